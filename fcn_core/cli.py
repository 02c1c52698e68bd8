"""The command line: ``python -m fcn_core``.

Exit status: 0 done, 1 a proof or check failed, 2 bad input, 3 weights not available.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcn_core.errors import FcnError, ModelError, ScaleError, WeightsUnavailable

if TYPE_CHECKING:
    from fcn_core.engines import Predictor
    from fcn_core.pipeline import Analysis, Step
    from fcn_core.zoo import ModelSpec

_SCALES = "200x320,400x640,800x1280,1600x2560"
_PROOF_LIMIT = 1e-4  # of the logits' range


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        Exit status.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's start-up notes are no news to a user
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except FcnError as error:
        return _report(error)
    except KeyboardInterrupt:
        print("fcn_core: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment]  # the reader has gone; nothing is left to flush
        return 0
    return status


def _report(error: FcnError) -> int:
    print(f"fcn_core: {' '.join(str(error).split())}", file=sys.stderr)
    return 3 if isinstance(error, WeightsUnavailable) else 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fcn_core", description="Where does an ImageNet network see a synset?"
    )
    parser.add_argument("--check", action=_Check, help="prove that this installation works, and stop")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    heatmap = commands.add_parser("heatmap", help="heatmaps of pictures, written to a folder each")
    heatmap.add_argument("images", nargs="+", metavar="IMAGE")
    heatmap.add_argument("--synset", required=True, metavar="WNID_OR_WORD")
    _model_options(heatmap)
    heatmap.add_argument("--output-stride", type=int, choices=(32, 16, 8), default=32)
    heatmap.add_argument(
        "--scales", default=_SCALES, metavar="HxW,...", help=f"height x width, default {_SCALES}"
    )
    heatmap.add_argument("--fit", choices=("aspect", "exact"), default="aspect")
    heatmap.add_argument("--map", choices=("probability", "evidence"), default="probability")
    heatmap.add_argument("--threshold", default="auto", metavar="auto|FLOAT")
    heatmap.add_argument("--no-snap", action="store_true", help="the fine map ignores the picture's regions")
    heatmap.add_argument("--out", required=True, type=Path, metavar="DIR")
    heatmap.add_argument("--json", action="store_true", help="print each manifest as one line of JSON")
    heatmap.set_defaults(run=_heatmap)

    synsets = commands.add_parser("synsets", help="search synsets by word or wnid, best first")
    synsets.add_argument("query")
    synsets.add_argument("--json", action="store_true")
    synsets.set_defaults(run=_synsets)

    synset = commands.add_parser("synset", help="one synset: words, gloss, parents, children, classes")
    synset.add_argument("name", metavar="WNID_OR_WORD")
    synset.add_argument("--json", action="store_true")
    synset.set_defaults(run=_synset)

    models = commands.add_parser("models", help="what there is, what is ready, what a first use would fetch")
    models.add_argument("--json", action="store_true")
    models.add_argument("--prepare", metavar="NAME", help="make a model ready to serve")
    models.set_defaults(run=_models)

    verify = commands.add_parser("verify", help="prove the conversion: print the largest error")
    _model_options(verify)
    verify.add_argument("--application", metavar="NAME", help="a classifier of keras.applications instead")
    verify.add_argument("--json", action="store_true")
    verify.set_defaults(run=_verify)

    evaluate = commands.add_parser("evaluate", help="measure localisation on pictures with masks")
    evaluate.add_argument("index", type=Path, metavar="INDEX.csv")
    _model_options(evaluate)
    evaluate.add_argument("--output-stride", type=int, choices=(32, 16, 8), default=32)
    evaluate.add_argument("--scales", default="200x320,400x640,800x1280", metavar="HxW,...")
    evaluate.add_argument("--fit", choices=("aspect", "exact"), default="aspect")
    evaluate.add_argument(
        "--map", choices=("fine", "probability", "evidence"), default="fine", help="default: the fine map"
    )
    evaluate.add_argument("--compare", action="store_true", help="beside the notebook's maps and Grad-CAM")
    evaluate.add_argument("--json", action="store_true")
    evaluate.set_defaults(run=_evaluate)
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="default: FCN_MODEL, else efficientnet-lite2")
    parser.add_argument("--engine", choices=("auto", "openvino", "tensorflow"), default=None)
    parser.add_argument(
        "--weights", choices=("imagenet", "none"), default="imagenet", help="none: random, seeded weights"
    )


class _Check(argparse.Action):
    """``--check`` stands alone, like ``--help``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        try:
            status = _check()
        except FcnError as error:
            status = _report(error)
        parser.exit(status)


def _check() -> int:
    import skimage.data

    from fcn_core.images import image_from_array
    from fcn_core.pipeline import compute_class_maps
    from fcn_core.pyramid import Scale

    model = _loaded(None, None, "imagenet", 32)
    cat = image_from_array(skimage.data.chelsea(), "chelsea")
    (class_map,) = compute_class_maps(cat, model, [Scale(300, 451)]).values()
    best = int(class_map.logits.mean(axis=(0, 1)).argmax())
    good = best in range(281, 286)  # the five domestic cats
    print(
        f"{model.info.title} on {model.info.engine}: the sample picture of a cat is class {best}, "
        f"{'a domestic cat, as it should be' if good else 'expected one of 281 to 285, the domestic cats'}."
    )
    return 0 if good else 1


def _loaded(name: str | None, engine: str | None, weights: str, output_stride: int) -> Predictor:
    from fcn_core.engines import load_model

    if not sys.stderr.isatty():
        return load_model(name, engine, weights, output_stride)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Getting the model ready", total=None)
        return load_model(
            name,
            engine,
            weights,
            output_stride,
            lambda done, size: bar.update(task, completed=done, total=size),
        )


def _heatmap(options: argparse.Namespace) -> int:
    from fcn_core import export
    from fcn_core.images import read_image
    from fcn_core.pipeline import analyse
    from fcn_core.pyramid import parse_scales
    from fcn_core.synsets import Ontology

    synset = Ontology.load().find(options.synset)
    scales = parse_scales(options.scales)
    threshold = _threshold(options.threshold)
    model = _loaded(options.model, options.engine, options.weights, options.output_stride)
    status, taken = 0, set[str]()
    for path in options.images:
        try:
            with _StepBar(Path(path).name) as progress:
                analysis = analyse(
                    read_image(path),
                    synset,
                    model,
                    scales,
                    kind=options.map,
                    fit=options.fit,
                    threshold=threshold,
                    snap=not options.no_snap,
                    progress=progress,
                )
            folder = options.out / _free_name(Path(path).stem, taken)
            try:
                export.write_folder(analysis, folder)
            except OSError as error:
                raise FcnError(f"{folder} cannot be written ({error}). Choose another --out.") from error
        except FcnError as error:
            status = max(status, _report(type(error)(f"{path}: {error}")))
            continue
        if options.json:
            print(json.dumps(export.manifest(analysis), ensure_ascii=False), flush=True)
        else:
            print(_summary(analysis, path, folder), flush=True)
    return status


def _threshold(text: str) -> Any:
    if text == "auto":
        return "auto"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise FcnError(f"Expected a threshold from 0 to 1, or auto. Received {text[:40]!r}.")
    return value


def _free_name(stem: str, taken: set[str]) -> str:
    """The picture's stem; a second one of the same name in this run gets a number."""
    name, count = stem, 2
    while name in taken:
        name, count = f"{stem}-{count}", count + 1
    taken.add(name)
    return name


def _summary(analysis: Analysis, path: str, folder: Path) -> str:
    note = "" if analysis.model.weights == "imagenet" else f"  ({analysis.model.weights} weights)"
    lines = [
        f"{path}: {analysis.synset.words[0]} ({analysis.synset.wnid}, {len(analysis.class_ids)} classes){note}"
    ]
    for key, class_map in analysis.class_maps.items():
        heatmap = analysis.heatmaps[key]
        h, w = class_map.grid
        lines.append(
            f"  {key:>10}  grid {h:3d} x {w:<3d}  peak {heatmap.peak:6.3f}  mean {heatmap.mean:6.3f}  "
            f"{class_map.seconds:6.2f} s"
        )
    for name in ("arithmetic", "geometric"):
        mean = getattr(analysis, name)
        row, column = mean.peak_cell
        lines.append(f"  {name:>10}  peak {mean.peak:.3f} at row {row}, column {column}")
    lines.append(
        f"  {len(analysis.boxes)} box{'es' if len(analysis.boxes) != 1 else ''} above {analysis.threshold:.2f}, "
        f"{analysis.seconds:.2f} s in all -> {folder}"
    )
    return "\n".join(lines)


class _StepBar:
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self, title: str) -> None:
        self._title, self._bar = title, None
        self._task: Any = None

    def __enter__(self) -> Callable[[Step], None]:
        if not sys.stderr.isatty():
            return lambda _: None
        from rich.console import Console
        from rich.progress import Progress

        self._bar: Any = Progress(console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=1.0)
        return self._update

    def _update(self, step: Step) -> None:
        description = f"{self._title}  {step.scale.requested}"
        self._bar.update(
            self._task, completed=(step.index + step.share) / step.count, description=description
        )

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _synsets(options: argparse.Namespace) -> int:
    from fcn_core.synsets import Ontology

    ontology = Ontology.load()
    found = ontology.search(options.query)
    if options.json:
        rows = [
            {"wnid": s.wnid, "words": s.words, "gloss": s.gloss, "classes": ontology.count(s.wnid)}
            for s in found
        ]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    elif not found:
        print(f"No synset is like {options.query!r}.")
    for s in () if options.json else found:
        print(f"{s.wnid}  {ontology.count(s.wnid):4d}  {', '.join(s.words)}: {s.gloss}")
    return 0


def _synset(options: argparse.Namespace) -> int:
    from fcn_core.synsets import Ontology

    ontology = Ontology.load()
    s = ontology.find(options.name)
    class_ids = ontology.class_ids(s.wnid)
    if options.json:
        row = {
            "wnid": s.wnid,
            "words": s.words,
            "gloss": s.gloss,
            "parents": s.parents,
            "children": s.children,
            "class_ids": class_ids,
        }
        print(json.dumps(row, ensure_ascii=False, indent=2))
        return 0

    def named(wnids: Sequence[str]) -> str:
        return ", ".join(f"{ontology.label(w)} ({w})" for w in wnids) or "none"

    print(f"{s.wnid}  {', '.join(s.words)}\n{s.gloss}")
    print(f"parents:  {named(s.parents)}\nchildren: {named(s.children)}\nclasses:  {len(class_ids)}")
    return 0


def _models(options: argparse.Namespace) -> int:
    from fcn_core.zoo import MODELS, model_spec

    if options.prepare:
        spec = model_spec(options.prepare)
        model = _loaded(spec.name, None, "imagenet", 32)
        print(f"{model.info.title} is ready on {model.info.engine}.")
        return 0
    rows = [_model_row(spec) for spec in MODELS.values()]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print(f"{row['name']:<20} {row['parameters']:5.1f} M parameters  {row['state']:<18} {row['licence']}")
    return 0


def _model_row(spec: ModelSpec) -> dict[str, Any]:
    from fcn_core.graphs import graph_folder, load_graph
    from fcn_core.zoo import digest, find_weights

    weights = find_weights(spec)
    prepared = weights is not None and load_graph(graph_folder(spec, digest(weights), 32)) is not None
    fetch = 0.0 if weights else spec.weights.size / 1e6
    return {
        "name": spec.name,
        "title": spec.title,
        "state": "ready" if prepared else "weights here" if weights else f"fetches {fetch:.0f} MB",
        "ready": prepared,
        "weights": str(weights) if weights else None,
        "fetch_mb": round(fetch, 1),
        "parameters": spec.parameters,
        "input_size": spec.input_size,
        "source": spec.source,
        "licence": spec.licence,
    }


def _verify(options: argparse.Namespace) -> int:
    from fcn_core.verify import verify_application, verify_model

    if options.application:
        proof = verify_application(options.application, options.weights)
    else:
        proof = verify_model(options.model, options.engine, options.weights)
    good = proof.relative < _PROOF_LIMIT
    if options.json:
        print(json.dumps({**vars(proof), "relative": proof.relative, "ok": good}))
        return 0 if good else 1
    print(
        f"{proof.name} ({proof.weights} weights, {proof.engine}): at {proof.size}x{proof.size} the mean of the "
        f"{proof.grid[0]}x{proof.grid[1]} map of logits equals the classifier's logits.\n"
        f"largest error {proof.error:.2e} in a range of {proof.span:.2e}: {proof.relative:.1e} of it, "
        f"{'within' if good else 'NOT within'} {_PROOF_LIMIT:.0e}"
    )
    return 0 if good else 1


def _evaluate(options: argparse.Namespace) -> int:
    raise ModelError("not yet") if not options else ScaleError("not yet")
