"""Exported graphs: made once per model by Keras in a child process, saved on disk, checked whenever they are loaded.

The child runs Keras on its OpenVINO backend with channels first, without TensorFlow. It ignores the Keras settings of
this machine and process; a graph of another precision than float32 is neither saved nor loaded. A second child, free of
Keras' memory, folds every normalisation into its convolution. The parent never imports Keras: it compiles the graph in
a tenth of a second and has its weights in memory once.

If the cache cannot be written, the graph is made in a temporary folder, on disk or in memory, and kept in this process.

The second child uses a private name of OpenVINO 2026.4, ``openvino._offline_transformations``;
``tests/networks/test_graph.py`` checks it and fails first when OpenVINO changes it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fcn_core.engines import housekeeping
from fcn_core.errors import EngineError, StorageError
from fcn_core.networks import random_weights
from fcn_core.networks.geometry import Geometry
from fcn_core.networks.own_model import GRAPH_NAME
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.weights import ByteProgress, digest
from fcn_core.networks.zoo import model_spec, require_weights
from fcn_core.system.child import child_environment, exit_status, module_command, run_child
from fcn_core.system.folders import cache_dir, megabytes, require_space, scratch_places

logger = logging.getLogger(__name__)

_FORMAT = 8  # of the files in a graph's folder
_FILES = ("graph.xml", "graph.bin")
_EXPORTED = ("exported.xml", "exported.bin")
# Matches floating-point types other than float32 of tensors and conversions in a graph's description.
_OTHER_FLOATS = re.compile(
    rb'(?:element_type|destination_type|precision)="(?!f32"|FP32")(?:b?f|nf|BF|NF|FP)[0-9]\w*"'
)
_COLOURS = re.compile(r"\x1b\[[\d;]*m")  # in messages of Keras and OpenVINO
_UNUSED = ("pandas", "matplotlib")  # Keras imports them if they are installed; they use 90 MB
_SCRATCH = "fcn_core-making-"
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
_SPACE = 2.2  # disk space, in sizes of the weights: for the exported and the folded graph at the same time
_TIMEOUT = 900


@dataclass(frozen=True)
class Graph:
    """An exported network: OpenVINO's two files, and its geometry.

    Its contents are checked and do not change when the files do.

    Attributes
    ----------
    path : Path
        File of the description; it no longer exists if the graph is not `cached`.
    description : bytes
    weights : mmap
        Mapped from the file, or in this process's own memory if the graph is not `cached`.
    made : str
        Identifies this export.
    fresh : bool
        Whether it was exported by this call.
    exclusive : bool
        Whether the outputs exclude each other (:attr:`fcn_core.networks.convert.Conversion.exclusive`).
    """

    path: Path
    geometry: Geometry
    exclusive: bool
    weights_sha256: str | None
    weights_published: bool
    made: str
    description: bytes = field(repr=False, compare=False)
    weights: mmap.mmap = field(repr=False, compare=False)
    cached: bool = field(default=True, repr=False, compare=False)
    fresh: bool = field(default=False, repr=False, compare=False)


@dataclass(frozen=True)
class _Recipe:
    """What a graph is exported from."""

    spec: ModelSpec
    weights: Path | None
    weights_sha256: str | None
    output_stride: int

    @property
    def space(self) -> int:
        """Bytes on disk that the export needs."""
        return int(self.spec.weights.size * _SPACE)


def graph_folder(
    spec: ModelSpec, weights_sha256: str | None, output_stride: int, root: Path | None = None
) -> Path:
    """Return the folder for the graph of these weights and versions; `root` is the cache by default."""
    weights = weights_sha256 or f"random {random_weights.SCHEME}"
    made_by = [*_made_by().values(), weights, output_stride]
    key = hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16]
    name = GRAPH_NAME if spec.given else spec.name
    return (root or cache_dir()) / "graphs" / f"{name}-{output_stride}-{key}"


def _made_by() -> Mapping[str, object]:
    return {"format": _FORMAT, "keras": version("keras"), "openvino": version("openvino")}


def load_graph(folder: Path) -> Graph | None:
    """Load a graph; return None if it is missing, damaged, or not in float32."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta.pop("meta_sha256") != _meta_digest(meta):
            return None
        description = (folder / _FILES[0]).read_bytes()
        with (folder / _FILES[1]).open("rb") as file:  # the file that is mapped is the one that was checked
            found = hashlib.sha256(description).hexdigest(), hashlib.file_digest(file, "sha256").hexdigest()
            if found != tuple(meta["sha256"][name] for name in _FILES) or not _is_float32(description):
                return None
            # Copy on write: nothing is written, so nothing is copied.
            weights = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return Graph(
            folder / _FILES[0],
            Geometry.from_json(meta["geometry"]),
            bool(meta["exclusive"]),
            meta["weights_sha256"],
            meta["weights_published"],
            str(meta["made"]),
            description,
            weights,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_float32(description: bytes) -> bool:
    """Return whether all floating-point tensors of the graph are float32."""
    return b'element_type="f32"' in description and not _OTHER_FLOATS.search(description)


def _meta_digest(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def prepare_graph(
    spec: ModelSpec,
    *,
    random: bool = False,
    output_stride: int = 32,
    progress: ByteProgress | None = None,
    rejected: Graph | None = None,
) -> Graph:
    """Return the model's exported graph; export it first if it is missing, damaged or out of date.

    Several processes may prepare the same model: each writes its own folder, and one folder is moved into place.
    If the cache cannot be written, the graph is kept in memory, with a warning.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    random : bool
        Seeded random weights instead of the published ones.
    output_stride : int
        Input pixels from cell to cell: 32, 16 or 8.
    progress : callable, optional
        For a download of weights, see :func:`fcn_core.networks.zoo.require_weights`.
    rejected : Graph, optional
        A graph that the engine rejected: it is removed if it is still there, and exported again.

    Raises
    ------
    WeightsUnavailable, WeightsInvalid
        See :func:`fcn_core.networks.zoo.require_weights`.
    StorageError
        The graph cannot be written anywhere.
    EngineError
        The export failed.
    """
    weights = None if random else require_weights(spec, progress)
    recipe = _Recipe(spec, weights, digest(weights) if weights else None, output_stride)
    folder = graph_folder(spec, recipe.weights_sha256, output_stride)
    there, graph = folder.is_dir(), load_graph(folder)
    if graph is not None and graph == rejected:
        housekeeping.remove(folder)
        graph = None
    elif graph is None and there:
        logger.warning("The graph of %s in %s is damaged. Exporting it again.", spec.title, folder)
    if graph is not None:
        housekeeping.mark_used(folder)
        return graph
    try:
        return _make(recipe, folder)
    except OSError as error:
        failures = [f"the cache {folder.parent} ({_reason(error)})"]
    for place in scratch_places():
        try:
            graph = _make_in_memory(recipe, place)
        except OSError as error:
            failures.append(f"{place} ({_reason(error)})")
            continue
        logger.warning(
            "The graph of %s cannot be saved in %s. It is kept in memory (%s MB) for this process only; the next one "
            "exports it again. Free %s MB, or set FCN_CACHE_DIR to a folder with that much space.",
            spec.title, failures[0], megabytes(len(graph.weights)), megabytes(recipe.space),
        )  # fmt: skip
        return graph
    raise StorageError(
        f"Expected {megabytes(recipe.space)} MB of disk space to prepare {spec.title}. Received no folder that can be "
        f"used: {'; '.join(failures)}. Free that much in one of them, or set FCN_CACHE_DIR to a folder that has it."
    )


def _reason(error: OSError) -> str:
    return " ".join((error.strerror or str(error)).split())[:200]


def _make(recipe: _Recipe, folder: Path) -> Graph:
    spec = recipe.spec
    folder.parent.mkdir(parents=True, exist_ok=True)
    housekeeping.tidy(folder.parent, _made_by())
    require_space(folder.parent, recipe.space)
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=housekeeping.MAKING, ignore_cleanup_errors=True
    ) as making:
        new = Path(making) / "graph"
        new.mkdir()
        _export_in_child(spec, recipe.weights, recipe.output_stride, new)
        if not _is_float32((new / _FILES[0]).read_bytes()):
            raise EngineError(
                f"Expected a graph of {spec.title} in float32. Received another precision than float32 from Keras. "
                f"Choose engine tensorflow."
            )
        _write_meta(new, recipe)
        graph = _move_into_place(new, folder)
    if graph is None:
        raise EngineError(
            f"Expected the exported graph of {spec.title} in {folder}. Received files that cannot be loaded. Try again."
        )
    return graph


def _make_in_memory(recipe: _Recipe, place: Path) -> Graph:
    """Export a graph into a temporary folder and read it into memory; clean up after killed processes."""
    housekeeping.remove_abandoned(place, _SCRATCH)
    with tempfile.TemporaryDirectory(dir=place, prefix=_SCRATCH, ignore_cleanup_errors=True) as scratch:
        folder = graph_folder(recipe.spec, recipe.weights_sha256, recipe.output_stride, Path(scratch))
        graph = _make(recipe, folder)
        weights = mmap.mmap(-1, len(graph.weights), **_PRIVATE)
        weights.write(graph.weights)
        graph.weights.close()
    return replace(graph, weights=weights, cached=False)


def _move_into_place(new: Path, folder: Path) -> Graph | None:
    graph = load_graph(folder)
    if graph is not None:  # another process has exported it
        return graph
    with suppress(FileNotFoundError):
        folder.rename(new.parent / "damaged")
    try:
        new.rename(folder)
    except OSError:  # another process moved its folder there in between
        if load_graph(folder) is None:
            raise
    graph = load_graph(folder)
    return graph and replace(graph, fresh=True)


def _write_meta(folder: Path, recipe: _Recipe) -> None:
    weights, published = recipe.weights, recipe.spec.weights
    about = folder / "about.json"
    meta = {
        "model": recipe.spec.name,
        "made": secrets.token_hex(8),
        "made_by": _made_by(),
        "weights_sha256": recipe.weights_sha256,
        "weights_published": weights is not None and digest(weights, published.algorithm) == published.digest,
        **json.loads(about.read_text(encoding="utf-8")),
        "sha256": {name: digest(folder / name) for name in _FILES},
    }
    about.unlink()
    described = json.dumps({**meta, "meta_sha256": _meta_digest(meta)})
    (folder / "meta.json").write_text(described, encoding="utf-8")


def _export_in_child(spec: ModelSpec, weights: Path | None, output_stride: int, folder: Path) -> None:
    own = folder.with_name("child")  # for all other files of the children: settings, temporary files
    name = str(spec.given.path.resolve()) if spec.given else spec.name
    _run_child(spec, own, "export", name, str(weights or ""), str(output_stride), str(folder))
    _run_child(spec, own, "fold", name, str(folder))
    for name in _EXPORTED:
        (folder / name).unlink()


def _run_child(spec: ModelSpec, own: Path, *arguments: str) -> None:
    command = module_command("fcn_core.engines.graph_cache", *arguments)
    run_child(command, child_environment("openvino", own), f"prepare {spec.title}", timeout=_TIMEOUT)


def export(spec: ModelSpec, weights: Path | None, output_stride: int, folder: Path) -> None:
    """Build, convert and export a model; called in a child process whose Keras backend is OpenVINO."""
    import keras
    import openvino

    from fcn_core.engines.tracing import to_openvino
    from fcn_core.networks.convert import convert
    from fcn_core.networks.keras_settings import keras_settings
    from fcn_core.networks.layout import channels_first
    from fcn_core.networks.structure import read_geometry
    from fcn_core.networks.zoo import build_classifier

    with keras_settings("channels_first" if spec.channels_first else "channels_last"):
        classifier = build_classifier(spec, weights)
        conversion = convert(
            classifier, output="logits", output_stride=None if output_stride == 32 else output_stride
        )
        network = conversion.network
    with keras_settings("channels_first"):
        if not spec.channels_first:
            network = channels_first(network)
        geometry, cut_tensors = read_geometry(network)
        about = {"geometry": geometry.to_json(), "exclusive": conversion.exclusive}
        (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
        model = keras.Model(network.inputs, [network.outputs[0], *cut_tensors])
        with _naming_full_disks(folder, spec.weights.size, f"export {spec.title}"):
            openvino.save_model(to_openvino(model), folder / _EXPORTED[0], compress_to_fp16=False)


def fold(spec: ModelSpec, folder: Path) -> None:
    """Fold the constants of an exported graph and move the channels of its logits last; called in a child process."""
    import openvino
    from openvino._offline_transformations import apply_moc_transformations

    core = openvino.Core()
    with _naming_full_disks(folder, spec.weights.size, f"fold and load {spec.title}"):
        network = core.read_model(folder / _EXPORTED[0])
        logits = network.results[0].input(0)
        order = openvino.opset13.constant([0, 2, 3, 1])
        logits.replace_source_output(openvino.opset13.transpose(logits.get_source_output(), order).output(0))
        apply_moc_transformations(network, cf=True)
        openvino.save_model(network, folder / _FILES[0], compress_to_fp16=False)
        core.read_model(folder / _FILES[0])


@contextmanager
def _naming_full_disks(folder: Path, size: int, task: str) -> Iterator[None]:
    """If OpenVINO fails, write a file of the same size, so that the system reports a full disk.

    OpenVINO does not report it, and may truncate a file without an error.
    """
    try:
        yield
    except RuntimeError as error:
        (folder / "probe").write_bytes(bytes(size))
        reason = " ".join(_COLOURS.sub("", str(error)).split())[:200]
        raise EngineError(
            f"Expected OpenVINO to {task}. Received an error ({reason}). Try again, or choose engine tensorflow."
        ) from error


def _main(step: str, *arguments: str) -> None:
    """Do one step of the export in this process."""
    if step == "export":
        name, weights, output_stride, folder = arguments
        export(model_spec(name), Path(weights) if weights else None, int(output_stride), Path(folder))
    else:
        name, folder = arguments
        fold(model_spec(name), Path(folder))


if __name__ == "__main__":
    for _name in _UNUSED:
        sys.modules[_name] = None  # type: ignore[assignment] # as if it were not installed
    sys.exit(exit_status(partial(_main, *sys.argv[1:])))
