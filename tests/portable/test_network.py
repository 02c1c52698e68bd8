"""Writing a network: what is refused, what is left in place, and what the description says."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fcn_core.errors import (
    Cancelled,
    ConversionError,
    EngineError,
    FcnError,
    MemoryBudgetError,
    OutputError,
    UnknownModel,
)
from fcn_core.networks.weights import digest
from fcn_core.networks.zoo import MODELS, find_weights, model_spec
from fcn_core.portable import network
from fcn_core.portable.formats import FORMATS, backend_of
from fcn_core.portable.network import export_network

NAME = "efficientnet-lite0"


@pytest.fixture
def children(monkeypatch):
    """In place of the child processes: what they write, the errors that they find, and what is installed."""
    told = {"errors": {"logits": 1e-6, "probabilities": 1e-7}, "classes": 1000, "missing": set(), "ran": []}

    def run(work, module, arguments, backend):
        folder = work.folder
        told["ran"].append((module, backend))
        if module == "formats":
            return f"noise of a library\n{json.dumps(told['errors'])}\n"
        kind, made = FORMATS[arguments[3]], folder / f"network{FORMATS[arguments[3]].suffix}"
        if kind.suffix:
            made.write_bytes(b"network")
        else:
            made.mkdir()
            (made / "saved_model.pb").write_bytes(b"network")
        if kind.name == "openvino":
            made.with_suffix(".bin").write_bytes(b"weights")
        facts = {"classes": told["classes"], "layers": [], "exclusive": True, "input_size": 224}
        facts["output_stride"] = told.get("stride", int(arguments[2]))
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        return ""

    monkeypatch.setattr(network, "_run_child", run)
    monkeypatch.setattr(network, "is_installed", lambda module: module not in told["missing"])
    return told


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", FORMATS.values(), ids=list(FORMATS))
def test_files_and_description(children, tmp_path, kind):
    out = tmp_path / "new folder" / f"net{kind.suffix}"
    for _ in range(2):  # the second replaces the first
        exported = export_network(NAME, kind.name, out)
        assert exported.error == 1e-6
        assert exported.files[0] == out
        assert all(path.exists() for path in exported.files)
        assert len(exported.files) == (3 if kind.name == "openvino" else 2)
        assert sorted(p.name for p in out.parent.iterdir()) == sorted(p.name for p in exported.files)
    said = json.loads(exported.files[-1].read_text(encoding="utf-8"))
    assert exported.files[-1].name == f"net{kind.suffix}.json"
    assert said == exported.description
    assert (said["format"], said["model"]["name"], said["output_stride"]) == (kind.name, NAME, 32)
    weights = find_weights(MODELS[NAME])
    assert said["weights"] == {"kind": "imagenet", "file": weights.name, "sha256": digest(weights)}
    assert said["input"]["shape"] == ["batch", "height", "width", 3]
    assert list(said["outputs"]) == ["logits", "probabilities"]
    assert [each["id"] for each in said["classes"]] == list(range(1000))
    assert said["classes"][285] == {"id": 285, "wnid": "n02124075", "label": "Egyptian cat"}
    assert said["check"]["limit"] == 1e-4
    for name, sha256 in said["files"].items():
        part = out.parent / name
        assert sha256 == (digest(part) if part.is_file() else "folder")
    assert children["ran"][:2] == [("making", backend_of(kind)), ("formats", "tensorflow")]
    exported.write_archive(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == files(out.parent)


def test_random_weights_and_other_classes_are_said(children, tmp_path):
    children["classes"] = 5
    said = export_network(NAME, "onnx", tmp_path / "n.onnx", weights="none", output_stride=16).description
    assert said["weights"] == {"kind": "random", "file": None, "sha256": None}
    assert said["classes"] is None
    assert said["output_stride"] == 16


def test_one_output_is_the_second_of_two_classes(children, tmp_path):
    """Of a model of one's own, whose stride and input size are those of its network."""
    children.update(classes=1, stride=4)
    (tmp_path / "mine.keras").write_bytes(b"a network")
    spec = model_spec(str(tmp_path / "mine.keras"), ["cat"])
    said = export_network(spec, "onnx", tmp_path / "n.onnx").description
    assert [(each["id"], each["label"]) for each in said["classes"]] == [(0, "not cat"), (1, "cat")]
    assert all("of the second class" in each["meaning"] for each in said["outputs"].values())
    assert (said["output_stride"], said["model"]["input_size_of_classifier"]) == (4, 224)
    children["classes"] = 2
    assert "second" not in str(export_network(spec, "onnx", tmp_path / "n.onnx").description["outputs"])


def test_without_the_runtime_nothing_is_checked(children, tmp_path):
    children["missing"] = {"onnxruntime"}
    exported = export_network(NAME, "onnx", tmp_path / "n.onnx")
    assert (exported.error, exported.description["check"]) == (None, None)
    assert [module for module, _ in children["ran"]] == ["making"]


@pytest.mark.parametrize("errors", [{"logits": 2e-4, "probabilities": 0}, {"logits": 0, "probabilities": 1}])
def test_a_file_that_gives_other_numbers_is_not_written(children, tmp_path, errors):
    out = tmp_path / "n.onnx"
    export_network(NAME, "onnx", out)
    before = files(tmp_path)
    children["errors"] = errors
    with pytest.raises(EngineError, match=r"Expected ONNX to give .* Received an error of .* Nothing was"):
        export_network(NAME, "onnx", out, weights=None)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("nonsense", "onnx", "n.onnx"), {}, UnknownModel, "Expected a model among"),
        ((NAME, "h5", "n.h5"), {}, FcnError, "Expected a format among"),
        ((NAME, "onnx", "n.keras"), {}, OutputError, r"ends in \.onnx for ONNX"),
        ((NAME, "onnx", ".onnx"), {}, OutputError, r"ends in \.onnx for ONNX"),
        ((NAME, "saved_model", "n.onnx"), {}, OutputError, "folder name without a suffix"),
        ((NAME, "saved_model", "others"), {}, OutputError, "which is something else"),
        ((NAME, "saved_model", "file"), {}, OutputError, "which is something else"),
        ((NAME, "onnx", "folder.onnx"), {}, OutputError, "which is something else"),
        ((NAME, "onnx", "file/n.onnx"), {}, OutputError, "MB of space that can be written"),
        ((NAME, "onnx", "n\0.onnx"), {}, OutputError, "MB of space that can be written"),
        ((NAME, "onnx", "n.onnx"), {"weights": "mine"}, EngineError, "Expected weights imagenet or none"),
        ((NAME, "onnx", "n.onnx"), {"output_stride": 4}, ConversionError, "Expected output stride 32"),
    ],
)
def test_what_is_refused(children, tmp_path, arguments, options, error, message):
    (tmp_path / "others").mkdir()
    (tmp_path / "folder.onnx").mkdir()
    for name in ("others/mine.txt", "file"):
        (tmp_path / name).write_bytes(b"mine")
    before = files(tmp_path)
    model, kind, out = arguments
    with pytest.raises(error, match=message):
        export_network(model, kind, tmp_path / out, **options)
    assert files(tmp_path) == before
    assert children["ran"] == []


@pytest.mark.parametrize(
    ("missing", "kind", "message"),
    [
        ({"tf2onnx", "onnx"}, "onnx", r"Expected tf2onnx and onnx to write ONNX\..*pip install tf2onnx onnx"),
        ({"tensorflow"}, "litert", r"Expected tensorflow to write LiteRT\."),
        ({"openvino"}, "openvino", "pip install openvino"),
    ],
)
def test_a_missing_package_is_named(children, tmp_path, missing, kind, message):
    children["missing"] = missing
    with pytest.raises(EngineError, match=message):
        export_network(NAME, kind, tmp_path / f"n{FORMATS[kind].suffix}")


def test_too_little_memory_is_said_before_work(children, tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_MEMORY_MB", "450")
    with pytest.raises(
        MemoryBudgetError, match=r"Expected \d+ MB of memory to write EfficientNet-Lite0 as ONNX"
    ):
        export_network(NAME, "onnx", tmp_path / "n.onnx")
    assert children["ran"] == []


@pytest.mark.parametrize("kind", ["onnx", "openvino", "saved_model"])
@pytest.mark.parametrize("fails", range(1, 6))
def test_a_failure_in_between_leaves_what_was_there(children, tmp_path, monkeypatch, kind, fails):
    """Whichever move fails, the older files are back, or the new ones are complete."""
    out = tmp_path / f"n{FORMATS[kind].suffix}"
    old = export_network(NAME, kind, out)
    (old.files[0] / "mark" if out.is_dir() else old.files[0]).write_bytes(b"old")
    before, count, replace = files(tmp_path), 0, Path.replace

    def failing(self, target):
        nonlocal count
        count += 1
        if count == fails:
            raise PermissionError(13, "in use")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    moves = 6 if kind == "openvino" else 4
    if fails > moves:
        export_network(NAME, kind, out)
        return
    with pytest.raises(OutputError, match="in use"):
        export_network(NAME, kind, out)
    assert files(tmp_path) == before


def test_a_child_that_fails_is_told(tmp_path):
    """With real processes."""
    np.savez(tmp_path / "reference.npz")
    work = network._Work(MODELS[NAME], None, 32, FORMATS["openvino"], tmp_path, tmp_path / "n.xml", None)
    with pytest.raises(UnknownModel, match="Expected a model among"):
        network._run_child(work, "making", ["nonsense", "", "32", "keras", str(tmp_path)], "openvino")
    missing = [str(tmp_path / "no.xml"), str(tmp_path / "reference.npz")]
    with pytest.raises(
        EngineError, match=r"to check .* Received one that failed \(.*\)\. Try another format"
    ):
        network._run_child(work, "formats", ["openvino", *missing], "openvino")


def test_a_cancelled_export_leaves_nothing(tmp_path):
    """With a real process, which is stopped as soon as it runs."""
    steps = []

    def stop(step):
        steps.append(step)
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        export_network(NAME, "openvino", tmp_path / "n.xml", checkpoint=stop)
    assert steps == ["write"]
    assert list(tmp_path.iterdir()) == []
