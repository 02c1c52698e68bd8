"""The command line: ``python -m fcn_core``.

Exit status: 0 done, 1 a proof or check failed, 2 bad arguments or input, or an output that cannot be written,
3 weights not available, 70 a fault of the program, 130 stopped by the user, 141 nobody reads the output any more.
Whatever goes wrong is one line on standard error; with ``FCN_LOG=text`` or ``json`` the place of a fault is logged
as well.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from fcn_core import settings
from fcn_core.cli.streams import standard_streams
from fcn_core.errors import EngineError, FcnError, MemoryBudgetError, WeightsUnavailable

if TYPE_CHECKING:
    from fcn_core.engines.load import Predictor
    from fcn_core.evaluation.evaluate import Result
    from fcn_core.images.limits import Limits
    from fcn_core.networks.keras_settings import Backend
    from fcn_core.networks.zoo import ModelSpec
    from fcn_core.pipeline import Analysis

_SCALES = "200x320,400x640,800x1280,1600x2560"
_EVALUATION_SCALES = "200x320,400x640,800x1280"
_BYTES_A_PIXEL = (
    28  # of an analysis at the picture's size and its files, opening the picture included, as measured
)
_PROOF_LIMIT = 1e-4  # of the logits' range
_FAULT = 70  # EX_SOFTWARE of sysexits.h
_STRIDES = (32, 16, 8)
_START_UP_NOTES = (
    b"WARNING: All log messages before absl",
    b"I0000 ",
    b"To enable the following instructions",
)


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
    with standard_streams():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        try:
            options = _parser().parse_args(arguments)
        finally:
            sys.stdout.flush()  # --help ends here, and may not be printed either
        faults = settings.check()
        for fault in faults:
            _complain(fault)
        if faults:
            return 2
        from fcn_core import logs

        logs.configure("off")
        status: int = options.run(options)
        sys.stdout.flush()
    except FcnError as error:
        return _report(error)
    except MemoryError:
        return _report(
            MemoryBudgetError(
                "The memory of this machine did not suffice. Set FCN_MEMORY_MB to what it gives, so that large scales "
                "run in bands, or choose smaller ones."
            )
        )
    except KeyboardInterrupt:
        _complain("stopped")
        return 130
    except BrokenPipeError:
        return 141
    except Exception as fault:  # the one place where a fault ends: a line for the user, the rest for the log
        return _report_fault(fault)
    return status


def _complain(text: str) -> None:
    print(f"fcn_core: {_shown(text)}", file=sys.stderr)


def _report(error: FcnError, about: str = "") -> int:
    _complain(f"{about}: {error}" if about else str(error))
    return 3 if isinstance(error, WeightsUnavailable) else 2


def _report_fault(fault: Exception) -> int:
    import logging

    logger = logging.getLogger(__name__)
    if logger.isEnabledFor(logging.INFO):
        logger.exception("fault")
    _complain(f"a fault of the program ({type(fault).__name__}: {fault}). FCN_LOG=text tells where.")
    return _FAULT


def _shown(text: str) -> str:
    """One line without signs that would steer a terminal."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


class _Parser(argparse.ArgumentParser):
    """Complains in one line; the usage is there for the asking."""

    def error(self, message: str) -> NoReturn:
        _complain(f"{message}. See: {self.prog} --help")
        self.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m fcn_core", description="Where does an ImageNet network see a synset?")
    parser.add_argument(
        "--check",
        action="store_true",
        help="prove that this installation works: a sample gives its known answer",
    )
    parser.set_defaults(run=lambda options: _check() if options.check else parser.error("COMMAND is missing"))
    commands = parser.add_subparsers(metavar="COMMAND")

    heatmap = commands.add_parser("heatmap", help="heatmaps of pictures, written to a folder each")
    heatmap.add_argument("images", nargs="+", metavar="IMAGE")
    heatmap.add_argument("--synset", required=True, metavar="WNID_OR_WORD")
    _model_options(heatmap)
    _scale_options(heatmap, _SCALES)
    heatmap.add_argument("--map", choices=("probability", "evidence"), default="probability")
    heatmap.add_argument("--threshold", default="auto", metavar="auto|FLOAT")
    heatmap.add_argument("--no-snap", action="store_true", help="the fine map ignores the picture's regions")
    heatmap.add_argument(
        "--reduce",
        type=int,
        choices=(1, 2, 4, 8),
        default=1,
        help="decode JPEGs at this fraction of their sides, which takes less memory; the files say so",
    )
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
    verify.add_argument(
        "--application",
        metavar="NAME",
        help="a classifier of keras.applications instead, if it ends in average and one linear layer",
    )
    verify.add_argument("--json", action="store_true")
    verify.set_defaults(run=_verify)

    evaluate = commands.add_parser("evaluate", help="measure localisation on pictures with masks or boxes")
    evaluate.add_argument("index", type=Path, metavar="INDEX.csv")
    _model_options(evaluate)
    _scale_options(evaluate, _EVALUATION_SCALES)
    evaluate.add_argument(
        "--map", choices=("fine", "probability", "evidence"), default="fine", help="default: the fine map"
    )
    evaluate.add_argument(
        "--compare",
        action="store_true",
        help="beside the notebook's maps and Grad-CAM (on these networks: CAM)",
    )
    evaluate.add_argument("--json", action="store_true")
    evaluate.set_defaults(run=_evaluate)
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="default: FCN_MODEL, else efficientnet-lite2")
    parser.add_argument("--engine", choices=settings.ENGINES, help="default: FCN_ENGINE, else auto")
    parser.add_argument(
        "--weights", choices=("imagenet", "none"), default="imagenet", help="none: random, seeded weights"
    )


def _scale_options(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--output-stride", type=int, choices=_STRIDES, default=_STRIDES[0])
    parser.add_argument(
        "--scales", default=default, metavar="HxW,...", help=f"height x width, default {default}"
    )
    parser.add_argument("--fit", choices=("aspect", "exact"), default="aspect")


def _check() -> int:
    import skimage.data

    from fcn_core.images.read import image_from_array
    from fcn_core.images.scales import Scale
    from fcn_core.pipeline import compute_class_maps
    from fcn_core.system.installed import missing_engines

    model = _loaded(None, None, "imagenet", 32)
    cat = image_from_array(skimage.data.chelsea(), "chelsea")
    (class_map,) = compute_class_maps(cat, model, [Scale(cat.height, cat.width)]).values()
    best = int(class_map.logits.mean(axis=(0, 1)).argmax())
    good = best in range(281, 286)  # the five domestic cats
    print(
        f"{model.info.title} on {model.info.engine}: the sample picture of a cat is class {best}, "
        f"{'a domestic cat, as it should be' if good else 'expected one of 281 to 285, the domestic cats'}."
    )
    for title, reason in missing_engines().items():
        print(f"{title}: {reason}")
    return 0 if good else 1


@contextmanager
def _bar(title: str, bytes_: bool = False) -> Iterator[Callable[[float, float, str], None]]:
    """A progress bar on a terminal, nothing elsewhere; what it gives takes (done, of, note)."""
    if not sys.stderr.isatty():
        yield lambda _done, _of, _note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn

    amount = DownloadColumn() if bytes_ else TaskProgressColumn()
    text = TextColumn("{task.description}", markup=False)  # a file's name is not markup
    with Progress(text, BarColumn(), amount, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, of, note: bar.update(
            task, completed=done, total=of, description=f"{title} {note}".rstrip()
        )


def _import_keras(backend: Backend = "tensorflow") -> None:
    """Import Keras without TensorFlow's start-up notes, which no setting stops; what else it writes is passed on."""
    from fcn_core.networks.keras_settings import import_keras

    with suppress(EngineError), _without_start_up_notes():  # whoever needs it complains
        import_keras(backend)


@contextmanager
def _without_start_up_notes() -> Iterator[None]:
    sys.stderr.flush()
    try:
        notes = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    except OSError:  # no temporary folder that can be written
        yield
        return
    kept = os.dup(2)
    with notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            notes.seek(0)
            with suppress(OSError):
                for line in notes:
                    if not line.startswith(_START_UP_NOTES):
                        os.write(2, line)


def _loaded(name: str | None, engine: str | None, weights: str, output_stride: int) -> Predictor:
    from fcn_core.engines.load import load_model

    if (engine or settings.ENGINE.value()) == "tensorflow":
        _import_keras()
    with _bar("Getting the model ready", bytes_=True) as update:
        return load_model(name, engine, weights, output_stride, lambda done, of: update(done, of, ""))


def _heatmap(options: argparse.Namespace) -> int:
    from fcn_core import logs
    from fcn_core.export import files
    from fcn_core.images.read import read_image
    from fcn_core.images.scales import parse_scales
    from fcn_core.pipeline import analyse
    from fcn_core.synsets.ontology import Ontology

    synset = Ontology.load().find(options.synset)
    scales = parse_scales(options.scales)
    threshold = _threshold(options.threshold)
    _writable(options.out)
    model = _loaded(options.model, options.engine, options.weights, options.output_stride)
    limits = _limits()
    status = 0
    for path, folder in zip(options.images, _folders(options.images, options.out), strict=True):
        try:
            with _bar(_shown(Path(path).name)) as update:
                analysis = analyse(
                    read_image(path, limits=limits, reduce=options.reduce),
                    synset,
                    model,
                    scales,
                    kind=options.map,
                    fit=options.fit,
                    threshold=threshold,
                    snap=not options.no_snap,
                    progress=lambda s: update(s.index + s.share, s.count, str(s.scale.requested)),
                )
            try:
                files.write_folder(analysis, folder)
            except OSError as error:
                raise FcnError(
                    f"{folder} cannot be written ({error}). Free some space there, or choose another --out."
                ) from error
        except FcnError as error:
            status = max(status, _report(error, path))
            continue
        logs.log_analysis(analysis, cache_hit=False)
        if options.json:
            print(json.dumps(files.manifest(analysis)), flush=True)
        else:
            print(_summary(analysis, path, folder), flush=True)
    return status


def _limits() -> Limits:
    """What a picture may take to open, so that maps and files of it fit into the memory that is left, too."""
    from fcn_core.images.limits import BYTES_A_PIXEL, Limits
    from fcn_core.system import memory

    left = max(1.0, memory.budget_mb() - memory.rss_mb())
    return Limits.from_env(memory_mb=left * BYTES_A_PIXEL / _BYTES_A_PIXEL)


def _threshold(text: str) -> Any:
    if text == "auto":
        return "auto"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise FcnError(f"Expected a --threshold from 0 to 1, or auto. Received {text[:40]!r}.")
    return value


def _writable(folder: Path) -> None:
    """Make a folder now, rather than find out after minutes of work that it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise FcnError(f"--out {folder} cannot be made ({error}). Name a folder that can.") from error


def _folders(paths: Sequence[str], out: Path) -> list[Path]:
    """A folder a picture, named by its stem; a stem that comes again gets a number."""
    from fcn_core.export.files import file_stem

    taken: set[str] = set()
    folders = []
    for path in paths:
        stem = file_stem(path)
        name, count = stem, 2
        while name.casefold() in taken:  # some file systems do not tell cases apart
            name, count = f"{stem}-{count}", count + 1
        taken.add(name.casefold())
        folders.append(out / name)
    return folders


def _weights_note(weights: str) -> str:
    return "" if weights == "imagenet" else f"  ({weights} weights)"


def _summary(analysis: Analysis, path: str, folder: Path) -> str:
    synset, classes = analysis.synset, len(analysis.class_ids)
    lines = [
        f"{_shown(path)}: {synset.words[0]} ({synset.wnid}, {classes} class{'' if classes == 1 else 'es'})"
        + _weights_note(analysis.model.weights)
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
    boxes = len(analysis.boxes)
    lines.append(
        f"  {boxes} box{'' if boxes == 1 else 'es'} above {analysis.threshold:.2f}, "
        f"{analysis.seconds:.2f} s in all -> {_shown(str(folder))}"
    )
    return "\n".join(lines)


def _synsets(options: argparse.Namespace) -> int:
    from fcn_core.synsets.ontology import Ontology

    ontology = Ontology.load()
    found = ontology.search(options.query)
    if options.json:
        rows = [
            {"wnid": s.wnid, "words": s.words, "gloss": s.gloss, "classes": ontology.count(s.wnid)}
            for s in found
        ]
        print(json.dumps(rows, indent=2))
    elif not found:
        print(f"No synset is like {options.query[:60]!r}.")
    for s in () if options.json else found:
        print(f"{s.wnid}  {ontology.count(s.wnid):4d}  {', '.join(s.words)}: {s.gloss}")
    return 0


def _synset(options: argparse.Namespace) -> int:
    from fcn_core.synsets.ontology import Ontology

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
        print(json.dumps(row, indent=2))
        return 0

    def named(wnids: Sequence[str]) -> str:
        return ", ".join(f"{ontology.label(w)} ({w})" for w in wnids) or "none"

    print(f"{s.wnid}  {', '.join(s.words)}\n{s.gloss}")
    print(f"parents:  {named(s.parents)}\nchildren: {named(s.children)}\nclasses:  {len(class_ids)}")
    return 0


def _models(options: argparse.Namespace) -> int:
    from fcn_core.engines.housekeeping import held_bytes
    from fcn_core.networks.zoo import MODELS, model_spec
    from fcn_core.system.folders import cache_dir, megabytes

    if options.prepare is not None:
        if not options.prepare:
            raise FcnError(f"Expected --prepare with one of {', '.join(MODELS)}. Received an empty name.")
        model = _loaded(model_spec(options.prepare).name, None, "imagenet", 32)
        print(
            f"{model.info.title} is ready on {model.info.engine}.", file=sys.stderr if options.json else None
        )
    rows = [_model_row(spec) for spec in MODELS.values()]
    if options.json:
        print(json.dumps(rows, indent=2))
    if options.json or options.prepare:
        return 0
    for row in rows:
        print(
            f"{row['name']:<20} {row['parameters']:5.1f} M parameters  {row['state']:<16}  {row['licence']}"
        )
    print(f"The cache {_shown(str(cache_dir()))} holds {megabytes(held_bytes(cache_dir()))} MB.")
    return 0


def _model_row(spec: ModelSpec) -> dict[str, Any]:
    from importlib.util import find_spec

    from fcn_core.engines.graph_cache import graph_folder, load_graph
    from fcn_core.networks.weights import digest
    from fcn_core.networks.zoo import find_weights

    weights = find_weights(spec)
    served = find_spec("openvino") is not None
    graph = load_graph(graph_folder(spec, digest(weights), 32)) if weights and served else None
    fetch = 0.0 if weights else spec.weights.size / 1e6
    return {
        "name": spec.name,
        "title": spec.title,
        "state": "ready" if graph else "weights here" if weights else f"fetches {fetch:.0f} MB",
        "ready": graph is not None,
        "weights": str(weights) if weights else None,
        "fetch_mb": round(fetch, 1),
        "parameters": spec.parameters,
        "input_size": spec.input_size,
        "source": spec.source,
        "licence": spec.licence,
    }


def _verify(options: argparse.Namespace) -> int:
    from fcn_core.evaluation.verify import reference_backend, verify_application, verify_model
    from fcn_core.networks.zoo import model_spec

    model_spec(options.model)  # complain before TensorFlow is loaded
    _import_keras(reference_backend(options.engine))
    with redirect_stdout(sys.stderr):  # Keras tells of downloads on standard output
        if options.application is not None:
            proof = verify_application(options.application, options.weights)
        else:
            proof = verify_model(options.model, options.engine, options.weights)
    good = proof.relative < _PROOF_LIMIT
    if options.json:
        found = {**vars(proof), "relative": proof.relative, "ok": good}
        print(json.dumps({name: None if value == math.inf else value for name, value in found.items()}))
        return 0 if good else 1
    compared = ""
    if proof.compared < proof.classes:
        compared = (
            f" ({proof.compared} of {proof.classes} classes: the others are too improbable for float32)"
        )
    print(
        f"{proof.name} ({proof.weights} weights): at {proof.size}x{proof.size} the mean of the "
        f"{proof.grid[0]}x{proof.grid[1]} map of logits ({proof.engine}) against the classifier's own answer "
        f"(Keras on {proof.backend}).\n"
        f"largest error {proof.error:.2e} in a range of {proof.span:.2e}{compared}: {proof.relative:.1e} of it, "
        f"{'within' if good else 'NOT within'} {_PROOF_LIMIT:.0e}"
    )
    return 0 if good else 1


def _evaluate(options: argparse.Namespace) -> int:
    from fcn_core.evaluation.evaluate import WAYS, evaluate_index, read_index, table
    from fcn_core.images.scales import parse_scales

    scales = parse_scales(options.scales)
    read_index(options.index)  # complain before the model is loaded
    model = _loaded(options.model, options.engine, options.weights, options.output_stride)
    with _bar(_shown(options.index.name)) as update:
        results = evaluate_index(
            options.index,
            model,
            ways=tuple(WAYS) if options.compare else (options.map,),
            scales=scales,
            fit=options.fit,
            progress=lambda done, of: update(done, of, ""),
        )
    if options.json:
        about = {
            "model": model.info.name,
            "weights": model.info.weights,
            "engine": model.info.engine,
            "output_stride": model.info.output_stride,
            "scales": [str(s) for s in scales],
            "fit": options.fit,
        }
        found = {"results": [r.to_json() for r in results]} if options.compare else results[0].to_json()
        print(json.dumps({**about, **found}))
        return 0
    s = results[0].summary
    known = "" if s.masks == s.pictures else f" ({s.masks} with masks, {s.boxed} with boxes)"
    print(
        f"{s.pictures} picture{'' if s.pictures == 1 else 's'}{known}, {model.info.title} on {model.info.engine}, "
        f"{', '.join(map(str, scales))}, {options.fit}{_weights_note(model.info.weights)}"
    )
    print(table(results) if options.compare else _measures(results[0]))
    return 0


def _measures(result: Result) -> str:
    s = result.summary
    rows = [("pointing accuracy", f"{s.pointing:.3f}")]
    if s.pxap is not None:
        rows += [("PxAP", f"{s.pxap:.3f}")]
    if s.max_box_acc_v2 is not None:
        rows += [("MaxBoxAccV2", f"{s.max_box_acc_v2:.3f}")]
    if s.mean_iou is not None:
        rows += [("mean IoU", f"{s.mean_iou:.3f} at the best single threshold, {s.threshold:.2f}")]
    rows += [("seconds an image", f"{result.seconds:.2f}")]
    return "\n".join(f"{name:<18} {value}" for name, value in rows)
