"""``fcn batch``: a table of many pictures, which a later run continues."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcn_core.cli.arguments import (
    Commands,
    add_model_options,
    add_scale_options,
    chosen_predictor,
    chosen_threshold,
)
from fcn_core.cli.synsets import find
from fcn_core.cli.terminal import complain, progress_bar, shown, weights_note
from fcn_core.errors import FcnError

if TYPE_CHECKING:
    from fcn_core.batch.run import Runner, Summary
    from fcn_core.batch.work import Record, Task

_SCALES = "200x320,400x640,800x1280,1600x2560"
_FORMATS = ("parquet", "jsonl", "coco", "yolo")
_KINDS = ("masks", "overlays", "maps")
_REPORTED = 20  # bad pictures that are named on standard error


def add_commands(commands: Commands) -> None:
    """Add the command."""
    batch = commands.add_parser("batch", help="analyse many pictures into one table; a later run continues")
    batch.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="files, folders, patterns, @list.txt with one of them a line, or addresses such as s3://bucket/photos",
    )
    batch.add_argument(
        "--synset",
        action="append",
        default=[],
        metavar="WNID_OR_WORD",
        help="what to look for; may be given several times",
    )
    batch.add_argument("--all", action="store_true", help="also everything that is found in a picture")
    add_model_options(batch)
    add_scale_options(batch, _SCALES)
    batch.add_argument(
        "--map", choices=("probability", "evidence"), help="kind of heatmap, default probability"
    )
    batch.add_argument("--threshold", metavar="auto|FLOAT", help="of mask and boxes, 0 to 1, default auto")
    batch.add_argument(
        "--no-snap", action="store_true", help="do not fit the fine map to the regions of the picture"
    )
    batch.add_argument(
        "--always-mark",
        action="store_true",
        help="mask and boxes of the strongest trace even if the synset is probably not in the picture",
    )
    batch.add_argument(
        "--precision",
        choices=("f32", "bf16"),
        default="f32",
        help="bf16 is faster on processors that have it, and less exact; default f32",
    )
    batch.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder for the results, made if it is missing"
    )
    batch.add_argument(
        "--format", default="parquet", metavar=",".join(_FORMATS), help="of the table, default parquet"
    )
    batch.add_argument(
        "--write", default="", metavar=",".join(_KINDS), help="files to write for each picture and synset"
    )
    batch.add_argument(
        "--no-contact-sheet", action="store_true", help="no thumbnails and no page that shows them"
    )
    batch.add_argument(
        "--shard", default="1/1", metavar="I/N", help="only the I-th of N parts of the pictures"
    )
    batch.add_argument(
        "--ray", metavar="auto|ADDRESS", help="run on a Ray cluster; auto: that of this machine, or a new one"
    )
    batch.add_argument(
        "--ray-cpus",
        type=int,
        default=2,
        metavar="N",
        help="processors for each copy of the model, default 2",
    )
    batch.add_argument("--json", action="store_true", help="print what was done as one line of JSON")
    batch.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    # Before NumPy is loaded: matrices here are small, and threads of OpenBLAS would wait for those of the network.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from fcn_core.batch.cluster import require_ray
    from fcn_core.batch.inputs import sources
    from fcn_core.batch.layout import require_own
    from fcn_core.batch.many import Question, wanted_synsets
    from fcn_core.batch.run import Output, local_runner, run_batch
    from fcn_core.batch.work import Task
    from fcn_core.images.scales import parse_scales
    from fcn_core.networks.zoo import model_spec
    from fcn_core.pipeline import MapOptions
    from fcn_core.synsets.ontology import Ontology

    # Whatever can be wrong is reported before a model is loaded; only the classes of one's own are not known before.
    formats, write = _listed(options.format, "--format", _FORMATS), _listed(options.write, "--write", _KINDS)
    shard = parse_shard(options.shard)
    maps = MapOptions(
        kind=options.map or "probability",
        fit=options.fit,
        threshold=chosen_threshold(options.threshold or "auto"),
        snap=not options.no_snap,
        always_mark=options.always_mark,
    )
    if options.ray is not None:
        require_ray()
    if options.ray_cpus < 1:
        raise FcnError(
            f"Expected --ray-cpus of at least 1. Received {options.ray_cpus}. Correct it or leave it out."
        )
    if not options.synset and not options.all:
        raise FcnError("Expected --synset or --all. Received neither. Name a synset, such as --synset dog.")
    scales = parse_scales(options.scales)
    require_own(options.out, formats)
    found = sources(options.inputs, shard, options.out)
    own = model_spec(options.model, options.labels, options.preprocessing).given is not None
    model = chosen_predictor(options) if own else None
    ontology = Ontology.load() if model is None else model.info.outputs.ontology
    words = [find(text, ontology) for text in options.synset]
    model = model or chosen_predictor(options)
    model.compute_in(options.precision)
    synsets = wanted_synsets(words, model.info, options.all)
    task = Task(
        Question(synsets, options.all, maps, model.info), tuple(scales), write, not options.no_contact_sheet
    )
    runner = local_runner(task, model) if options.ray is None else _on_cluster(options, task)
    with progress_bar(shown(options.out.name)) as update:
        report = _Reporter(update)
        try:
            summary = run_batch(found, task, Output(options.out, formats, shard), runner, report)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(report.so_far()) from None
    _print(summary, options, weights_note(model.info.weights))
    return 2 if summary.failed else 0


def _on_cluster(options: argparse.Namespace, task: Task) -> Runner:
    from fcn_core.batch.cluster import ModelChoice, connect, ray_runner

    choice = ModelChoice(
        options.model,
        options.engine,
        options.weights,
        options.output_stride,
        options.labels,
        options.preprocessing,
        options.precision,
    )
    connect(options.ray)
    return ray_runner(task, choice, options.ray_cpus)


def parse_shard(text: str) -> tuple[int, int]:
    """Return the shard of ``3/16``."""
    found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise FcnError(
            f"Expected a --shard such as 3/16, from 1/16 to 16/16. Received {text[:40]!r}. Correct it or leave it out."
        )
    return number, count


def _listed(text: str, option: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if unknown := [name for name in names if name not in known]:
        raise FcnError(
            f"Expected {option} with {', '.join(known)}, with commas between. Received {unknown[0][:40]!r}. Correct it "
            "or leave it out."
        )
    return names


class _Reporter:
    """Shows the progress, and names the first bad pictures."""

    def __init__(self, update: Callable[[float, float, str], None]) -> None:
        self._update = update
        self._bad = self._number = self._count = 0

    def __call__(self, record: Record, number: int, count: int) -> None:
        self._number, self._count = number, count
        self._update(number, count, f"{number} of {count}")
        if record.error is not None:
            self._bad += 1
            if self._bad <= _REPORTED:
                complain(f"{record.path}: {record.error}")
            elif self._bad == _REPORTED + 1:
                complain("more pictures cannot be analysed: their rows have the reason")

    def so_far(self) -> str:
        """Return what a run that is stopped has done."""
        done = (
            f"{self._number} of {self._count} pictures done"
            if self._number
            else "no picture done in this run"
        )
        return f"{done}; the same command continues"


def _print(summary: Summary, options: argparse.Namespace, note: str) -> None:
    if options.json:
        from fcn_core.system import memory

        about: dict[str, Any] = {
            "pictures": summary.pictures,
            "done": summary.done,
            "done_before": summary.before,
            "failed": summary.failed,
            "rows": summary.rows,
            "seconds": summary.seconds,
            "peak_rss_mb": memory.peak_rss_mb(),
            "precision": options.precision,
            "out": str(options.out),
        }
        print(json.dumps(about))
        return
    speed = f", {summary.done / summary.seconds:.2f} a second" if summary.done else ""
    before = f", {summary.before} done before" if summary.before else ""
    changed = f", {shown(' and '.join(summary.changed))} changed" if summary.changed else ""
    pictures = f"{summary.pictures} picture{'' if summary.pictures == 1 else 's'}"
    print(
        f"{pictures}: {summary.done} done{speed}{before}{changed}, {summary.failed} bad, {options.precision}{note} -> "
        f"{shown(str(options.out))}"
    )
