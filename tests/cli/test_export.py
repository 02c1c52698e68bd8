"""``fcn export``."""

import json

import numpy as np
import pytest

from fcn_core.cli import export
from fcn_core.portable import network
from fcn_core.portable.formats import FORMATS
from tests.cli.commands import MODEL, one_line


def test_the_formats_are_those_of_the_library():
    assert list(FORMATS) == list(export.FORMATS)


def test_an_exported_network_is_the_one_that_serves(run, tmp_path, lite0, chelsea, resized):
    """As a whole, with real processes: the class map of a photograph from the file, and from the program."""
    out = tmp_path / "cat" / "net.xml"
    status, text, err = run("export", *MODEL, "--format", "openvino", "--out", out)
    assert (status, err) == (0, "")
    first, second = text.splitlines()
    assert first == f"EfficientNet-Lite0 -> {out}, {out.with_suffix('.bin')}, {out}.json"
    assert second.startswith("In openvino 20")
    assert second.endswith(", within 1e-04.")
    openvino = pytest.importorskip("openvino")
    served = openvino.compile_model(out, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = served({"image": chelsea[None].astype(np.float32)})
    expected = lite0.run(resized(chelsea, *chelsea.shape[:2])).logits
    assert np.abs(found["logits"][0] - expected).max() < 1e-4 * np.ptp(expected)
    assert found["logits"].mean(axis=(0, 1, 2)).argmax() == 285
    assert np.abs(found["probabilities"].sum(axis=-1) - 1).max() < 1e-5


def test_json_and_an_unchecked_file(run, tmp_path, monkeypatch):
    described = {
        "model": {"title": "A"}, "weights": {"kind": "random"}, "runtime": "onnxruntime", "check": None,
    }  # fmt: skip
    done = network.ExportedNetwork((tmp_path / "n.onnx",), described, None)
    monkeypatch.setattr(network, "export_network", lambda *_, **__: done)
    asked = ("export", "--format", "onnx", "--out", tmp_path / "n.onnx")
    assert json.loads(run(*asked, "--json")[1]) == described
    text = run(*asked)[1]
    assert "(random weights)" in text
    assert text.endswith("Not checked: onnxruntime is not installed. Run: pip install onnxruntime\n")


def test_a_refusal_is_one_line(run, tmp_path):
    status, text, err = run("export", "--format", "onnx", "--out", tmp_path / "n.keras")
    assert (status, text) == (2, "")
    assert "ends in .onnx" in one_line(err)
