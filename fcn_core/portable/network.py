"""A model as a file that other programs run, checked in its runtime, with a description beside it."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fcn_core.engines.housekeeping import remove_abandoned
from fcn_core.errors import ConversionError, EngineError, MemoryBudgetError, OutputError
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.weights import ByteProgress, digest
from fcn_core.networks.zoo import model_spec, require_weights
from fcn_core.portable.formats import INPUT, OUTPUTS, Format, backend_of, format_of, runtime_version
from fcn_core.system import memory
from fcn_core.system.child import child_environment, module_command, run_child
from fcn_core.system.folders import require_space
from fcn_core.system.installed import install_tensorflow, is_installed, versions

LIMIT = 1e-4
"""The largest error: of the logits as a share of their range, and of the probabilities."""

_TIMEOUT = 1800
_SPACE = 4  # disk space, in sizes of the weights: the exporters write copies
_MAKING = ".fcn-export-"
_STRIDES = (32, 16, 8)

Step = Literal["write", "check"]
Checkpoint = Callable[[Step], None]


@dataclass(frozen=True)
class ExportedNetwork:
    """A network in a file.

    Attributes
    ----------
    files : tuple of Path
        The file or folder of the network, for OpenVINO also that of its weights, and last the description.
    description : mapping
        What the description says.
    error : float or None
        The largest error of the logits in the runtime, as a share of their range; None if it is not installed.
    """

    files: tuple[Path, ...]
    description: Mapping[str, Any]
    error: float | None

    def write_archive(self, path: Path) -> None:
        """Write all files into one ZIP archive, such as for a download."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # weights hardly shrink
            for file in self.files:
                for part in sorted(file.rglob("*")) if file.is_dir() else [file]:
                    if part.is_file():
                        archive.write(part, part.relative_to(file.parent))


@dataclass(frozen=True)
class _Work:
    """What is written from what, in which folder, and where it belongs."""

    spec: ModelSpec
    source: Path | None
    output_stride: int
    kind: Format
    folder: Path
    path: Path
    checkpoint: Checkpoint | None


def export_network(
    model: str | Path | ModelSpec | None,
    format: str,
    out: Path | str,
    *,
    weights: str | None = "imagenet",
    output_stride: int = 32,
    progress: ByteProgress | None = None,
    checkpoint: Checkpoint | None = None,
) -> ExportedNetwork:
    """Write the fully convolutional network of a model into a file that other programs run.

    It takes float32 pictures of shape (N, height, width, 3), RGB 0..255, of any size, under the name ``image``; its
    preprocessing is inside. It returns maps of ``logits`` and ``probabilities`` of shape (N, rows, columns, classes).

    Parameters
    ----------
    model : str or ModelSpec, optional
        The name as for :func:`fcn_core.load_model`, or what :func:`fcn_core.networks.zoo.model_spec` returns.
    format : {"keras", "onnx", "openvino", "litert", "saved_model"}
    out : Path or str
        The file, with the suffix of the format: .keras, .onnx, .xml (the weights are beside it in .bin), .tflite; for
        "saved_model" a folder. Its folder is made if it is missing, and an older file is replaced. The description is
        beside it, in a file with ``.json`` added to the name.
    weights : "imagenet" or None
        The published weights, or random, seeded ones (also "none").
    output_stride : {32, 16, 8}
        Input pixels from cell to cell.
    progress : callable, optional
        Called with (bytes so far, bytes in all) while weights are downloaded.
    checkpoint : callable, optional
        Called several times a second with what is done now, "write" or "check". It may raise
        :class:`fcn_core.errors.Cancelled`: then the work stops, and nothing is written.

    Returns
    -------
    ExportedNetwork

    Raises
    ------
    UnknownModel, WeightsUnavailable, WeightsInvalid, ConversionError
        As for :func:`fcn_core.load_model`.
    EngineError
        A package is missing, the export failed, or the file gives other numbers in its runtime.
    MemoryBudgetError
        The export does not fit into ``FCN_MEMORY_MB``.
    OutputError
        The file cannot be written. An older one is then as it was.

    Notes
    -----
    The work is done in child processes: this one loads neither Keras nor a runtime.
    """
    spec = model if isinstance(model, ModelSpec) else model_spec(model)
    kind, path = format_of(format), Path(out)
    if weights not in (None, "none", "imagenet"):
        raise EngineError(
            f"Expected weights imagenet or none. Received {str(weights)[:40]!r}. Choose one of them."
        )
    if spec.given and weights != "imagenet":
        raise EngineError(
            f"Expected your own model with its own weights. Received weights none for {spec.title}. Leave it out."
        )
    if spec.given and path.exists() and path.samefile(spec.given.path):
        raise OutputError(
            f"Expected a file of its own for the exported network. Received {path}, which is your model. Choose "
            f"another name: an export cannot be trained or converted again."
        )
    if output_stride not in _STRIDES:
        raise ConversionError(
            f"Expected output stride 32, 16 or 8. Received {output_stride}. Choose one of them."
        )
    _require_packages(kind)
    _require_name(path, kind)
    _require_memory(spec, kind)
    source = None if weights in (None, "none") else require_weights(spec, progress)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.lstat()  # a name that cannot be is said before the work
        require_space(path.parent, spec.weights.size * _SPACE)
        remove_abandoned(path.parent, _MAKING)
        with tempfile.TemporaryDirectory(
            dir=path.parent, prefix=_MAKING, ignore_cleanup_errors=True
        ) as folder:
            return _make(_Work(spec, source, output_stride, kind, Path(folder), path, checkpoint))
    except (OSError, ValueError) as error:
        raise OutputError(
            f"Expected a folder with {spec.weights.size * _SPACE / 1e6:.0f} MB of space that can be written. Received "
            f"{path.parent} ({error}). Free some space there, close programs that use the file, or choose another one."
        ) from error


def _require_packages(kind: Format) -> None:
    if missing := missing_packages(kind):
        raise EngineError(
            f"Expected {' and '.join(missing)} to write {kind.title}. Received none: not installed. "
            f"{install(missing)} (the extras tensorflow and export hold all that the formats need)."
        )


def missing_packages(kind: Format) -> list[str]:
    """Return the distributions that writing a format needs and that are not installed."""
    return [distribution for module, distribution in kind.writers.items() if not is_installed(module)]


def install(missing: Sequence[str]) -> str:
    """Return what to do about missing packages."""
    return install_tensorflow() if "tensorflow" in missing else f"Run: pip install {' '.join(missing)}"


def _require_name(path: Path, kind: Format) -> None:
    if path.suffix.lower() != kind.suffix or not path.stem:
        wanted = (
            f"a file name that ends in {kind.suffix}" if kind.suffix else "a folder name without a suffix"
        )
        raise OutputError(
            f"Expected {wanted} for {kind.title}. Received {path.name[:80]!r}. Change the name."
        )
    foreign = path.is_dir() and not (not kind.suffix and (path / "saved_model.pb").is_file())
    if foreign or (path.is_file() and not kind.suffix):
        raise OutputError(
            f"Expected a new name, or that of an older export. Received {path}, which is something else. Choose "
            f"another name."
        )


def needed_mb(spec: ModelSpec, kind: Format) -> float:
    """Return the memory of the process that writes a model, in megabytes (2**20 bytes)."""
    return kind.base_mb + kind.times * spec.weights.size / 2**20


def _require_memory(spec: ModelSpec, kind: Format) -> None:
    needed = needed_mb(spec, kind)
    allowed = memory.budget_mb() - memory.reserved_mb() - memory.rss_mb()
    if needed > allowed:
        raise MemoryBudgetError(
            f"Expected {needed:.0f} MB of memory to write {spec.title} as {kind.title}. Received {allowed:.0f} MB that "
            f"are free of those allowed (FCN_MEMORY_MB, else the memory of the machine). Choose format openvino or "
            f"keras, which need less, or a smaller model."
        )


def _make(work: _Work) -> ExportedNetwork:
    """Make everything in a temporary folder; check it, and move it to its place."""
    spec, kind, folder, path = work.spec, work.kind, work.folder, work.path
    making = [spec.name, str(work.source or ""), str(work.output_stride), kind.name, str(folder)]
    if spec.given:
        making = [str(spec.given.path.resolve()), *making[1:], spec.given.preprocessing]
    _run_child(work, "making", making, backend_of(kind))
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    network = folder / f"network{kind.suffix}"
    check = _check(work, network, facts["layers"])
    parts = {network: path}
    if kind.name == "openvino":
        parts = {network.with_suffix(".bin"): path.with_suffix(".bin"), **parts}
    beside = path.with_name(f"{path.name}.json")
    description = {
        **_description(work, facts),
        "files": {
            target.name: digest(part) if part.is_file() else "folder" for part, target in parts.items()
        },
        "check": check,
    }
    text = folder / "description.json"
    text.write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _move({**parts, text: beside}, folder)
    return ExportedNetwork(
        (*reversed(list(parts.values())), beside),
        description,
        check["largest_error_of_logits"] if check else None,
    )


def _move(parts: Mapping[Path, Path], folder: Path) -> None:
    """Move the files into place, the description last: if there is one, the others are complete and belong to it.

    Older files are moved aside first, and back if one of them, or the place of a new one, cannot be written.
    """
    aside: dict[Path, Path] = {}
    moved: list[Path] = []
    try:
        for number, target in enumerate(reversed(list(parts.values()))):
            if target.exists():
                target.replace(folder / f"old{number}")
                aside[target] = folder / f"old{number}"
        for part, target in parts.items():
            part.replace(target)
            moved.append(target)
    except OSError:
        for number, target in enumerate(moved):
            target.replace(folder / f"new{number}")
        for target, old in aside.items():
            old.replace(target)
        raise


def _check(work: _Work, network: Path, layers: Sequence[str]) -> dict[str, Any] | None:
    """Run the file in its runtime; return what was found, or None if the runtime is not installed."""
    kind = work.kind
    if not is_installed(kind.runtime[0]):
        return None
    backend = "tensorflow" if is_installed("tensorflow") else "openvino"
    reference = work.folder / "reference.npz"
    said = _run_child(work, "formats", [kind.name, str(network), str(reference), *layers], backend)
    found = json.loads(said.splitlines()[-1])
    if not max(found.values()) < LIMIT:
        raise EngineError(
            f"Expected {kind.title} to give the numbers of {work.spec.title} to {LIMIT:g} of the range of the logits. "
            f"Received an error of {found['logits']:.1e} (probabilities: {found['probabilities']:.1e}). Nothing was "
            f"written. Choose another format."
        )
    return {
        "runtime": runtime_version(kind),
        "largest_error_of_logits": found["logits"],
        "largest_error_of_probabilities": found["probabilities"],
        "limit": LIMIT,
    }


def _description(work: _Work, facts: Mapping[str, Any]) -> dict[str, Any]:
    spec, source = work.spec, work.source
    published = source is not None and digest(source, spec.weights.algorithm) == spec.weights.digest
    count = facts["classes"]
    cells = ["batch", "rows", "columns", count]
    said = {
        "logits": "before the softmax or sigmoid; their mean over all cells is the classifier's own answer"
        if spec.proof == "mean"
        else "before the softmax or sigmoid; the one cell of a picture of the classifier's input size has its answer",
        "probabilities": "from 0 to 1",
    }
    if count == 1:
        said = {
            name: f"of the second class, the first has the rest; {meaning}" for name, meaning in said.items()
        }
    return {
        "format": work.kind.name,
        "runtime": work.kind.runtime[1],
        "model": {
            "name": spec.name,
            "title": spec.title,
            "source": spec.source,
            "licence_of_weights": spec.licence,
            "input_size_of_classifier": facts["input_size"],
        },
        "weights": {
            "kind": "own"
            if spec.given
            else "random"
            if source is None
            else "imagenet"
            if published
            else "unpublished",
            "file": source.name if source else None,
            "sha256": digest(source) if source else None,
        },
        "input": {
            "name": INPUT,
            "shape": ["batch", "height", "width", 3],
            "dtype": "float32",
            "colours": "RGB",
            "range": [0, 255],
            "preprocessing": "inside the network: give pixels as they are",
        },
        "outputs": {name: {"shape": cells, "dtype": "float32", "meaning": said[name]} for name in OUTPUTS},
        "output_stride": facts["output_stride"],
        "classes": _classes(spec, count, facts["exclusive"]),
        "import_before_loading": facts["layers"],
        "versions": versions(),
    }


def _classes(spec: ModelSpec, count: int, exclusive: bool) -> list[dict[str, Any]] | None:
    """Return the classes in the order of the last axis; None if their names are not known.

    One output is the second of two classes.
    """
    ontology = spec.outputs(count, exclusive).ontology
    by_id = {
        ids[0]: synset for synset in ontology if len(ids := ontology.class_ids(synset.wnid)) == 1
        and not synset.children
    }  # fmt: skip
    if len(by_id) != (2 if count == 1 else count):
        return None
    return [{"id": i, "wnid": by_id[i].wnid, "label": by_id[i].name} for i in sorted(by_id)]


def _run_child(work: _Work, module: str, arguments: Sequence[str], backend: str) -> str:
    """Run a module of this room in a process of its own; return what it printed."""
    step: Step = "write" if module == "making" else "check"
    own = work.folder / "child"
    environment = child_environment(
        backend,
        own,
        MPLCONFIGDIR=str(own),
        TF_CPP_MIN_LOG_LEVEL="3",
        TF2ONNX_CATCH_ERRORS="FALSE",  # or it copies the graph for each step
    )
    if work.kind.name == "onnx":  # protobuf in C frees no tensor that a message has held before
        environment["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
    return run_child(
        module_command(f"fcn_core.portable.{module}", *arguments),
        environment,
        f"{step} {work.spec.title} as {work.kind.title}",
        timeout=_TIMEOUT,
        cure="Try another format",
        checkpoint=partial(work.checkpoint, step) if work.checkpoint is not None else None,
    )
