"""The page says that TensorFlow runs a model because OpenVINO cannot."""

from types import SimpleNamespace

import pytest

from app.explore import how
from app.state.queue.jobs import ModelKey
from app.ui import notices


@pytest.mark.parametrize(
    ("wanted", "ran", "installed", "said"),
    [("auto", "tensorflow", True, True), ("auto", "openvino", True, False), ("tensorflow", "tensorflow", True, False),
     ("auto", "tensorflow", False, False)],
)  # fmt: skip
def test_an_engine_that_cannot_run_a_model_is_named(monkeypatch, wanted, ran, installed, said):
    notes = list[str]()
    monkeypatch.setattr(notices, "note", notes.append)
    monkeypatch.setattr(how, "is_installed", lambda package: installed and package == "openvino")
    view = SimpleNamespace(
        class_maps={(200, 320): SimpleNamespace(seconds=1.0)},
        info=SimpleNamespace(title="VGG16", engine=ran, weights="imagenet"),
    )
    how.summary(SimpleNamespace(model_key=ModelKey("vgg16", wanted)), view)
    assert notes[0].endswith(f"VGG16 on {ran}")
    assert any("OpenVINO cannot run this model here" in note for note in notes) is said
