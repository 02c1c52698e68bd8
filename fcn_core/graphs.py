"""Exported graphs: made once a model by Keras in a child process, kept on disk, checked at every load.

The child runs Keras on its OpenVINO backend with channels first: no TensorFlow is loaded. It takes no setting of
Keras from this machine or process, and a graph of another precision than float32 is neither kept nor loaded. A second
child, in which Keras's memory is not held any more, folds every normalisation into its convolution, so that the parent,
which never imports Keras, compiles the graph in a tenth of a second and holds its weights once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fcn_core import errors, random_weights
from fcn_core.errors import EngineError
from fcn_core.folders import cache_dir, temporary_root
from fcn_core.geometry import Geometry
from fcn_core.zoo import MODELS, ModelSpec, Progress, digest, require_weights

logger = logging.getLogger(__name__)

_FORMAT = 5  # of what lies in a graph's folder
_FILES = ("graph.xml", "graph.bin")
_EXPORTED = ("exported.xml", "exported.bin")
# Types in a graph's description, of its tensors and of what they are converted to, that are not float32 but fractions.
_OTHER_FRACTIONS = re.compile(
    rb'(?:element_type|destination_type|precision)="(?!f32"|FP32")(?:b?f|nf|BF|NF|FP)[0-9]\w*"'
)
_UNUSED = ("pandas", "matplotlib")  # Keras imports them where they are installed: 90 MB
_MAKING = ".making-"
_ABANDONED = 3600.0  # seconds; an export takes a few
_TIMEOUT = 900
_REFUSED, _UNWRITABLE = 20, 21  # exit statuses of the child


@dataclass(frozen=True)
class Graph:
    """An exported network on disk: OpenVINO's two files, and its geometry."""

    path: Path
    geometry: Geometry
    weights_sha256: str | None
    weights_published: bool


def graph_folder(
    spec: ModelSpec, weights_sha256: str | None, output_stride: int, root: Path | None = None
) -> Path:
    """Where the graph of these weights, made by these versions, belongs; `root` is the cache by default."""
    weights = weights_sha256 or f"random {random_weights.SCHEME}"
    made_by = [_FORMAT, weights, output_stride, version("keras"), version("openvino")]
    key = hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16]
    return (root or cache_dir()) / "graphs" / f"{spec.name}-{output_stride}-{key}"


def load_graph(folder: Path) -> Graph | None:
    """Read a graph; None where it is missing, any of its bytes changed, or its precision is not float32."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta.pop("meta_sha256") != _meta_digest(meta):
            return None
        if any(digest(folder / name) != meta["sha256"][name] for name in _FILES):
            return None
        if not _is_float32(folder):
            return None
        return Graph(
            folder / "graph.xml",
            Geometry.from_json(meta["geometry"]),
            meta["weights_sha256"],
            meta["weights_published"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_float32(folder: Path) -> bool:
    """Whether the graph takes, holds and gives no fractions but float32."""
    description = (folder / _FILES[0]).read_bytes()
    return b'element_type="f32"' in description and not _OTHER_FRACTIONS.search(description)


def _meta_digest(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def prepare_graph(
    spec: ModelSpec, *, random: bool = False, output_stride: int = 32, progress: Progress | None = None
) -> Graph:
    """Give the model's exported graph, making it first where it is missing, damaged or out of date.

    Safe when several processes prepare the same model: each writes a folder of its own, and one of them is
    moved into place whole. Where the cache cannot be written, the graph lies in a temporary folder and lives as long
    as the process.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    random : bool
        Seeded random weights instead of the published ones.
    output_stride : int
        Input pixels from cell to cell: 32, 16 or 8.
    progress : callable, optional
        For a download of weights, see :func:`fcn_core.zoo.require_weights`.

    Raises
    ------
    WeightsUnavailable, WeightsInvalid
        See :func:`fcn_core.zoo.require_weights`.
    EngineError
        The export failed, or its result can be written nowhere.
    """
    weights = None if random else require_weights(spec, progress)
    sha256 = digest(weights) if weights else None
    folder = graph_folder(spec, sha256, output_stride)
    graph = load_graph(folder)
    if graph is not None:
        return graph
    try:
        return _make(spec, weights, sha256, output_stride, folder)
    except OSError as error:
        logger.warning(
            "The cache %s cannot be written (%s); %s is kept for this process only. Free some space, or set "
            "FCN_CACHE_DIR to a folder that can be written.", folder.parent, error, spec.title,
        )  # fmt: skip
    try:
        folder = graph_folder(spec, sha256, output_stride, temporary_root())
        return load_graph(folder) or _make(spec, weights, sha256, output_stride, folder)
    except OSError as error:
        raise EngineError(
            f"The graph of {spec.title} could be written neither to {cache_dir()} nor to a temporary folder ({error}). "
            f"Free some space, or set FCN_CACHE_DIR to a folder that can be written."
        ) from error


def _make(
    spec: ModelSpec, weights: Path | None, sha256: str | None, output_stride: int, folder: Path
) -> Graph:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=_MAKING, ignore_cleanup_errors=True) as making:
        new = Path(making) / "graph"
        new.mkdir()
        _export_in_child(spec, weights, output_stride, new)
        if not _is_float32(new):
            raise EngineError(
                f"The graph of {spec.title} was exported in another precision than float32 and is not kept. "
                f"Choose engine tensorflow."
            )
        _write_meta(new, spec, weights, sha256)
        graph = _move_into_place(new, folder)
    if graph is None:
        raise EngineError(
            f"The graph of {spec.title} was exported to {folder} but does not read back. Try again."
        )
    return graph


def _remove_abandoned(graphs: Path) -> None:
    """Delete what processes that were killed left half made."""
    for folder in graphs.glob(f"{_MAKING}*"):
        with suppress(OSError):
            age = time.time() - folder.stat().st_mtime
            if not -86400 < age < _ABANDONED:  # from the future: the clock was moved back
                shutil.rmtree(folder, ignore_errors=True)


def _move_into_place(new: Path, folder: Path) -> Graph | None:
    graph = load_graph(folder)
    if graph is not None:  # another process was quicker
        return graph
    with suppress(FileNotFoundError):
        folder.rename(new.parent / "damaged")
    try:
        new.rename(folder)
    except OSError:  # another process moved its own in between
        if load_graph(folder) is None:
            raise
    return load_graph(folder)


def _write_meta(folder: Path, spec: ModelSpec, weights: Path | None, sha256: str | None) -> None:
    published = weights is not None and digest(weights, spec.weights.algorithm) == spec.weights.digest
    geometry = folder / "geometry.json"
    meta = {
        "model": spec.name,
        "weights_sha256": sha256,
        "weights_published": published,
        "geometry": json.loads(geometry.read_text(encoding="utf-8")),
        "sha256": {name: digest(folder / name) for name in _FILES},
    }
    geometry.unlink()
    described = json.dumps({**meta, "meta_sha256": _meta_digest(meta)})
    (folder / "meta.json").write_text(described, encoding="utf-8")


def _export_in_child(spec: ModelSpec, weights: Path | None, output_stride: int, folder: Path) -> None:
    own = folder.with_name("child")  # for what the children write beside the graph: settings, temporary files
    own.mkdir()
    _run_child(spec, own, "export", spec.name, str(weights or ""), str(output_stride), str(folder))
    _run_child(spec, own, "fold", str(folder))
    for name in _EXPORTED:
        (folder / name).unlink()


def _run_child(spec: ModelSpec, own: Path, *arguments: str) -> None:
    root = str(Path(__file__).resolve().parents[1])
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("KERAS_")},
        "KERAS_BACKEND": "openvino",
        "KERAS_HOME": str(own),  # where there is no keras.json
        "TMPDIR": str(own),
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONWARNINGS": "ignore",  # or "error" stops it where Keras uses what NumPy will drop
    }
    try:
        child = subprocess.run(  # noqa: S603
            [sys.executable, "-P", "-m", "fcn_core.graphs", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"Preparing {spec.title} took longer than {_TIMEOUT} seconds. Try again."
        ) from error
    if child.returncode == 0:
        return
    last = (child.stderr.strip().splitlines() or ["no message"])[-1]
    kind, _, message = last.partition(": ")
    if child.returncode == _REFUSED and hasattr(errors, kind):
        raise getattr(errors, kind)(message)
    if child.returncode == _UNWRITABLE:
        raise OSError(message)
    how = f"was stopped by signal {-child.returncode}" if child.returncode < 0 else "failed"
    raise EngineError(
        f"Preparing {spec.title} {how} ({last[:300]}). Try again; if it was stopped, the machine may lack memory."
    )


def export(spec: ModelSpec, weights: Path | None, output_stride: int, folder: Path) -> None:
    """Build, convert and export a model; run in a child process whose Keras backend is OpenVINO."""
    import keras

    from fcn_core.convert import read_geometry, to_fully_convolutional
    from fcn_core.keras_settings import keras_settings
    from fcn_core.zoo import build_classifier

    with keras_settings("channels_first"):
        classifier = build_classifier(spec, weights)
        network = to_fully_convolutional(
            classifier, output="logits", output_stride=None if output_stride == 32 else output_stride
        )
        geometry, cut_tensors = read_geometry(network)
        (folder / "geometry.json").write_text(json.dumps(geometry.to_json()), encoding="utf-8")
        model = keras.Model(network.inputs, [network.outputs[0], *cut_tensors])
        try:
            model.export(str(folder / _EXPORTED[0]), format="openvino", verbose=False)
        except RuntimeError as error:
            raise OSError(f"the exported graph cannot be written: {str(error)[:200]}") from error


def fold(folder: Path) -> None:
    """Fold an exported graph's constants and turn its logits channels last; run in a child process of its own."""
    import openvino
    from openvino._offline_transformations import apply_moc_transformations

    core = openvino.Core()
    try:  # a full disk cuts files off without a word
        network = core.read_model(folder / _EXPORTED[0])
        logits = network.results[0].input(0)
        order = openvino.opset13.constant([0, 2, 3, 1])
        logits.replace_source_output(openvino.opset13.transpose(logits.get_source_output(), order).output(0))
        apply_moc_transformations(network, cf=True)
        openvino.save_model(network, folder / _FILES[0], compress_to_fp16=False)
        core.read_model(folder / _FILES[0])
    except RuntimeError as error:
        raise OSError(f"the graph cannot be written or read back: {str(error)[:200]}") from error


def remove_graphs() -> None:
    """Delete every exported graph; they are made again when needed."""
    shutil.rmtree(cache_dir() / "graphs", ignore_errors=True)


def _main(step: str, *arguments: str) -> int:
    """Do one step of the export in this process; on failure the last line on standard error says what happened."""
    try:
        if step == "export":
            name, weights, output_stride, folder = arguments
            export(MODELS[name], Path(weights) if weights else None, int(output_stride), Path(folder))
        else:
            fold(Path(*arguments))
    except errors.FcnError as error:
        print(_one_line(error), file=sys.stderr)
        return _REFUSED
    except OSError as error:
        print(_one_line(error), file=sys.stderr)
        return _UNWRITABLE
    return 0


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


if __name__ == "__main__":
    for _name in _UNUSED:
        sys.modules[_name] = None  # type: ignore[assignment] # as though it were not installed
    sys.exit(_main(*sys.argv[1:]))
