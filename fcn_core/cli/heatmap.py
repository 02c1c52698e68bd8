"""``fcn heatmap``: heatmaps of a synset in pictures, or all that is found in them; one folder per picture."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fcn_core.cli.arguments import (
    Commands,
    add_model_options,
    add_scale_options,
    chosen_predictor,
    chosen_threshold,
)
from fcn_core.cli.synsets import find
from fcn_core.cli.terminal import progress_bar, report, shown, weights_note
from fcn_core.errors import FcnError, OutputError

if TYPE_CHECKING:
    from fcn_core.engines.base import Predictor
    from fcn_core.export.labelled import LabelledPicture
    from fcn_core.images.limits import Limits
    from fcn_core.images.read import RGBImage
    from fcn_core.images.scales import Scale
    from fcn_core.pipeline import Analysis, Progress
    from fcn_core.synsets.ontology import Ontology

_SCALES = "200x320,400x640,800x1280,1600x2560"
# Memory for one pixel of the picture, as measured: to open it, to analyse it at its own size, and to write its files.
_BYTES_A_PIXEL = 28


def add_commands(commands: Commands) -> None:
    """Add the command."""
    heatmap = commands.add_parser(
        "heatmap", help="compute heatmaps of pictures, and write one folder per picture"
    )
    heatmap.add_argument("images", nargs="+", metavar="IMAGE", help="picture files")
    wanted = heatmap.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--synset", metavar="WNID_OR_WORD", help="what to look for, such as dog or n02084071")
    wanted.add_argument(
        "--all",
        action="store_true",
        help="everything that is found: the picture divided into named regions",
    )
    add_model_options(heatmap)
    add_scale_options(heatmap, _SCALES)
    heatmap.add_argument(
        "--map",
        choices=("probability", "evidence"),
        help="kind of heatmap, default probability",
    )
    heatmap.add_argument("--threshold", metavar="auto|FLOAT", help="of mask and boxes, 0 to 1, default auto")
    heatmap.add_argument(
        "--no-snap", action="store_true", help="do not fit the fine map to the regions of the picture"
    )
    heatmap.add_argument(
        "--always-mark",
        action="store_true",
        help="write mask and boxes of the strongest trace even if the synset is probably not in the picture",
    )
    heatmap.add_argument(
        "--reduce",
        type=int,
        choices=(1, 2, 4, 8),
        default=1,
        help="decode JPEGs at 1/N of their height and width, which needs less memory; the manifest records it",
    )
    heatmap.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder for the results, made if it is missing"
    )
    heatmap.add_argument("--json", action="store_true", help="print each manifest as one line of JSON")
    heatmap.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from fcn_core.images.read import read_image
    from fcn_core.images.scales import parse_scales
    from fcn_core.networks.zoo import model_spec
    from fcn_core.synsets.ontology import Ontology

    own = model_spec(options.model, options.labels, options.preprocessing).given is not None
    # Whatever can be wrong is reported before a model is loaded; only the classes of one's own are not known before.
    model = chosen_predictor(options) if own else None
    ontology = Ontology.load() if model is None else model.info.outputs.ontology
    make = _everything(options) if options.all else _one_synset(options, ontology)
    scales = parse_scales(options.scales)
    _make_folder(options.out)
    model = model or chosen_predictor(options)
    limits = _limits()
    status = 0
    for path, folder in zip(options.images, output_folders(options.images, options.out), strict=True):
        try:
            with progress_bar(shown(Path(path).name)) as update:
                result = make(
                    read_image(path, limits=limits, reduce=options.reduce),
                    model,
                    scales,
                    lambda s: update(s.index + s.share, s.count, str(s.scale.requested)),
                )
            try:
                result.write(folder)
            except OSError as error:
                raise OutputError(
                    f"Expected a writable folder with enough space. Received {folder}, which cannot be written "
                    f"({error}). Free some space there, or choose another --out."
                ) from error
        except FcnError as error:
            status = max(status, report(error, path))
            continue
        result.log()
        if options.json:
            print(json.dumps(result.manifest()), flush=True)
        else:
            print(f"{result.summary(shown(path))} -> {shown(str(folder))}", flush=True)
    return status


@dataclass(frozen=True)
class _Result:
    """What is done with the result of one picture."""

    write: Callable[[Path], object]
    log: Callable[[], None]
    manifest: Callable[[], dict[str, Any]]
    summary: Callable[[str], str]  # of the name of the picture


class _Maker(Protocol):
    """Does the work for one picture."""

    def __call__(
        self, image: RGBImage, model: Predictor, scales: Sequence[Scale], progress: Progress, /
    ) -> _Result: ...


def _one_synset(options: argparse.Namespace, ontology: Ontology) -> _Maker:
    """Return the function that computes the heatmaps of the synset in a picture."""
    from fcn_core import logs
    from fcn_core.export import files
    from fcn_core.pipeline import analyse

    synset = find(options.synset, ontology)
    threshold = chosen_threshold("auto" if options.threshold is None else options.threshold)

    def make(image: RGBImage, model: Predictor, scales: Sequence[Scale], progress: Progress) -> _Result:
        analysis = analyse(
            image,
            synset,
            model,
            scales,
            kind=options.map or "probability",
            fit=options.fit,
            threshold=threshold,
            snap=not options.no_snap,
            always_mark=options.always_mark,
            progress=progress,
        )
        return _Result(
            write=partial(files.write_folder, analysis),
            log=partial(logs.log_analysis, analysis, cache_hit=False),
            manifest=partial(files.manifest, analysis),
            summary=partial(_summary, analysis),
        )

    return make


def _everything(options: argparse.Namespace) -> _Maker:
    """Return the function that divides a picture into named regions."""
    from fcn_core import logs
    from fcn_core.export import labelled
    from fcn_core.maps.segmentation import label_regions
    from fcn_core.pipeline import compute_class_maps
    from fcn_core.system import memory

    given = {"--map": options.map, "--threshold": options.threshold, "--no-snap": options.no_snap or None}
    given["--always-mark"] = options.always_mark or None
    if unused := [name for name, value in given.items() if value is not None]:
        raise FcnError(
            f"Expected --all without the options of one synset. Received {' and '.join(unused)}. Leave them out, or "
            "give --synset instead of --all."
        )

    def make(image: RGBImage, model: Predictor, scales: Sequence[Scale], progress: Progress) -> _Result:
        start = time.perf_counter()
        class_maps = compute_class_maps(image, model, scales, options.fit, progress)
        segmentation = label_regions(image, class_maps)
        seconds = time.perf_counter() - start
        found = labelled.LabelledPicture(image, model.info, options.fit, class_maps, segmentation, seconds)
        return _Result(
            write=partial(labelled.write_folder, found),
            log=lambda: logs.log_run(
                model.info,
                scales=list(class_maps),
                seconds=seconds,
                peak_rss_mb=memory.peak_rss_mb(),
                cache_hit=False,
                fit=options.fit,
            ),
            manifest=partial(labelled.manifest, found),
            summary=partial(_summary_of_all, found),
        )

    return make


def _limits() -> Limits:
    """Return limits for pictures whose maps and files fit into the remaining memory, too."""
    from fcn_core.images.limits import BYTES_A_PIXEL, Limits
    from fcn_core.system import memory

    left = max(1.0, memory.budget_mb() - memory.rss_mb())
    return Limits.from_env(memory_mb=left * BYTES_A_PIXEL / _BYTES_A_PIXEL)


def _make_folder(folder: Path) -> None:
    """Make the output folder first, so that a failure is reported before minutes of work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"Expected a folder that exists or can be created. Received --out {folder}, which cannot be created "
            f"({error}). Choose another folder."
        ) from error


def output_folders(paths: Sequence[str], out: Path) -> list[Path]:
    """Return one folder per picture, named by its stem; a number is added to a stem that is taken."""
    from fcn_core.export.files import file_stem

    taken: set[str] = set()
    folders = []
    for path in paths:
        stem = file_stem(path)
        name, count = stem, 2
        while name.casefold() in taken:  # some file systems ignore case
            name, count = f"{stem}-{count}", count + 1
        taken.add(name.casefold())
        folders.append(out / name)
    return folders


def _summary(analysis: Analysis, name: str) -> str:
    from fcn_core.synsets.records import classes_in_words

    synset = analysis.synset
    lines = [
        f"{name}: {synset.name} ({synset.wnid}, {classes_in_words(len(analysis.class_ids))})"
        + weights_note(analysis.model.weights)
    ]
    for key, class_map in analysis.class_maps.items():
        heatmap = analysis.heatmaps[key]
        h, w = class_map.grid
        lines.append(
            f"  {key:>10}  grid {h:3d} x {w:<3d}  peak {heatmap.peak:6.3f}  mean {heatmap.mean:6.3f}  "
            f"{class_map.seconds:6.2f} s"
        )
    for title in ("arithmetic", "geometric"):
        mean = getattr(analysis, title)
        row, column = mean.peak_cell
        lines.append(f"  {title:>10}  peak {mean.peak:.3f} at row {row}, column {column}")
    count = len(analysis.boxes)
    boxes = f"{count} box{'' if count == 1 else 'es'} above {analysis.threshold:.2f}"
    there = f"presence {analysis.presence:.2f}"
    if not analysis.present:
        how = (
            "marked as asked"
            if analysis.marked
            else "so nothing is marked (--always-mark: the strongest trace)"
        )
        there = f"no {synset.name} found: {there} is below {analysis.presence_floor:g}, {how}"
    lines.append(f"  {there}, {boxes}, {analysis.seconds:.2f} s in all")
    return "\n".join(lines)


def _summary_of_all(found: LabelledPicture, name: str) -> str:
    segmentation = found.segmentation
    count, pixels = len(segmentation.segments), segmentation.height * segmentation.width
    lines = [f"{name}: {count} segment{'' if count == 1 else 's'}" + weights_note(found.model.weights)]
    lines += [
        f"  {s.label:3d}  {s.presence:4.0%}  {s.synset.name} ({s.synset.wnid}), on {s.area / pixels:.1%} of it"
        for s in segmentation.segments
    ]
    lines.append(f"  {found.seconds:.2f} s in all")
    return "\n".join(lines)
