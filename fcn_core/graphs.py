"""Exported graphs: made once a model by Keras in a child process, kept on disk, checked at every load.

The child runs Keras on its OpenVINO backend with channels first: no TensorFlow is loaded, and the graph comes out
with every normalisation folded into its convolution. The parent never imports Keras.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fcn_core.errors import EngineError
from fcn_core.geometry import Geometry
from fcn_core.zoo import MODELS, ModelSpec, Progress, cache_dir, digest, require_weights

_FORMAT = 1  # of what lies in a graph's folder


@dataclass(frozen=True)
class Graph:
    """An exported network on disk: OpenVINO's two files, and its geometry."""

    path: Path
    geometry: Geometry
    weights_sha256: str | None
    weights_published: bool


def graph_folder(spec: ModelSpec, weights_sha256: str | None, output_stride: int) -> Path:
    """Where the graph of these weights, made by these versions, belongs."""
    made_by = [_FORMAT, weights_sha256, output_stride, version("keras"), version("openvino")]
    key = hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16]
    return cache_dir() / "graphs" / f"{spec.name}-{output_stride}-{key}"


def load_graph(folder: Path) -> Graph | None:
    """Read a graph; None where it is missing or any of its bytes changed."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if meta.pop("meta_sha256") != _meta_digest(meta):
            return None
        if any(digest(folder / name) != expected for name, expected in meta["sha256"].items()):
            return None
        return Graph(
            folder / "graph.xml",
            Geometry.from_json(meta["geometry"]),
            meta["weights_sha256"],
            meta["weights_published"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _meta_digest(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def prepare_graph(
    spec: ModelSpec, *, random: bool = False, output_stride: int = 32, progress: Progress | None = None
) -> Graph:
    """Give the model's exported graph, making it first where it is missing, damaged or out of date.

    Safe when several processes prepare the same model: each writes a folder of its own, and one of them is
    moved into place whole.

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
        The export failed, or its result cannot be written.
    """
    weights = None if random else require_weights(spec, progress)
    sha256 = digest(weights) if weights else None
    folder = graph_folder(spec, sha256, output_stride)
    graph = load_graph(folder)
    if graph is not None:
        return graph
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as making:
            new = Path(making) / "graph"
            new.mkdir()
            _export_in_child(spec, weights, output_stride, new)
            _write_meta(new, spec, weights, sha256)
            graph = _move_into_place(new, folder)
    except OSError as error:
        raise EngineError(
            f"The graph of {spec.title} could not be written to {folder.parent} ({error}). "
            f"Free some space, or set FCN_CACHE_DIR to a folder that can be written."
        ) from error
    if graph is None:
        raise EngineError(
            f"The graph of {spec.title} was exported to {folder} but does not read back. Try again."
        )
    return graph


def _move_into_place(new: Path, folder: Path) -> Graph | None:
    graph = load_graph(folder)
    if graph is not None:  # another process was quicker
        return graph
    with suppress(FileNotFoundError):
        damaged = new.parent / "damaged"
        folder.rename(damaged)
    try:
        new.rename(folder)
    except OSError:  # another process moved its own in between
        if load_graph(folder) is None:
            raise
    return load_graph(folder)


def _write_meta(folder: Path, spec: ModelSpec, weights: Path | None, sha256: str | None) -> None:
    published = weights is not None and digest(weights, spec.weights.algorithm) == spec.weights.digest
    meta = {
        "model": spec.name,
        "weights_sha256": sha256,
        "weights_published": published,
        "geometry": json.loads((folder / "geometry.json").read_text()),
        "sha256": {name: digest(folder / name) for name in ("graph.xml", "graph.bin")},
    }
    (folder / "geometry.json").unlink()
    (folder / "meta.json").write_text(json.dumps({**meta, "meta_sha256": _meta_digest(meta)}))


def _export_in_child(spec: ModelSpec, weights: Path | None, output_stride: int, folder: Path) -> None:
    root = str(Path(__file__).resolve().parents[1])
    environment = {
        **os.environ,
        "KERAS_BACKEND": "openvino",
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
    }
    arguments = [spec.name, str(weights or ""), str(output_stride), str(folder)]
    child = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "fcn_core.graphs", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1][:300]
        how = f"was stopped by signal {-child.returncode}" if child.returncode < 0 else "failed"
        raise EngineError(
            f"Preparing {spec.title} {how} ({last}). Try again; if it was stopped, the machine may lack memory."
        )


def export(spec: ModelSpec, weights: Path | None, output_stride: int, folder: Path) -> None:
    """Build, convert and export a model; run in a child process whose Keras backend is OpenVINO."""
    import keras

    from fcn_core.convert import read_geometry, to_fully_convolutional
    from fcn_core.zoo import build_classifier

    keras.config.set_image_data_format("channels_first")
    classifier = build_classifier(spec, weights)
    network = to_fully_convolutional(
        classifier, output="logits", output_stride=None if output_stride == 32 else output_stride
    )
    geometry, cut_tensors = read_geometry(network)
    outputs: list[Any] = [network.outputs[0], *cut_tensors]
    keras.Model(network.inputs, outputs).export(str(folder / "graph.xml"), format="openvino", verbose=False)
    (folder / "geometry.json").write_text(json.dumps(geometry.to_json()))


def remove_graphs() -> None:
    """Delete every exported graph; they are made again when needed."""
    shutil.rmtree(cache_dir() / "graphs", ignore_errors=True)


if __name__ == "__main__":
    _name, _weights, _stride, _folder = sys.argv[1:]
    export(MODELS[_name], Path(_weights) if _weights else None, int(_stride), Path(_folder))
