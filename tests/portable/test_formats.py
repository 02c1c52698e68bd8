"""Each format of several networks, made by Keras and run in its runtime."""

import dataclasses
import json

import numpy as np
import pytest

from fcn_core.portable.formats import FORMATS, OUTPUTS, backend_of, format_of, largest_errors
from fcn_core.portable.network import LIMIT
from tests.docs.pages import PAGES, blocks, rows
from tests.places import ROOT

# A classifier with a Flatten head, and one whose preprocessing reorders the channels and ends in a sigmoid.
MAKE = """
import dataclasses, json, sys
from pathlib import Path
import keras
from fcn_core.networks.spec import CAFFE
from fcn_core.networks.zoo import MODELS, find_weights, model_spec
from fcn_core.portable.formats import FORMATS, largest_errors
from fcn_core.portable.making import make

def flat():
    layers = keras.layers
    return keras.Sequential([
        keras.Input((48, 48, 3)), layers.Normalization(mean=[3.0, 5.0, 7.0], variance=[4.0, 9.0, 16.0]),
        layers.Conv2D(8, 3, 4, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(12, activation="relu"), layers.Dense(7, activation="softmax"),
    ], name="flat")

def sigmoid():
    layers = keras.layers
    return keras.Sequential([
        keras.Input((48, 48, 3)), layers.Normalization(None, mean=3.0, variance=4.0, invert=True),
        layers.Conv2D(8, 3, 2, padding="same"), layers.BatchNormalization(),
        layers.GlobalAveragePooling2D(),
        layers.Dense(5, activation="sigmoid", bias_initializer="random_normal"),
    ], name="sigmoid")

own = dataclasses.replace(MODELS["resnet50"], input_size=48, preprocessing=CAFFE)
specs = {
    "flat": dataclasses.replace(own, name="flat", build=flat),
    "sigmoid": dataclasses.replace(own, name="sigmoid", build=sigmoid),
    "mobilenet": dataclasses.replace(model_spec("mobilenet"), input_size=64),
    "efficientnet-lite0": dataclasses.replace(MODELS["efficientnet-lite0"], input_size=64),
}
found = {}
for format in (FORMATS[name] for name in sys.argv[2:]):
    for name, spec in specs.items():
        if name == "mobilenet" and format.name in ("litert", "saved_model", "keras"):
            continue  # they take longest, and EfficientNet-Lite0 has the same layers
        folder = Path(sys.argv[1], name, format.name)
        folder.mkdir(parents=True)
        make(spec, find_weights(spec) if name == "efficientnet-lite0" else None, 32, format, folder)
        path = folder / f"network{format.suffix}"
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        found[f"{format.name} {name}"] = [largest_errors(format, path, folder / "reference.npz"), facts]
print(json.dumps(found))
"""
CLASSES = {"flat": 7, "sigmoid": 5, "mobilenet": 1000, "efficientnet-lite0": 1000}
CASES = [
    (kind, name)
    for kind in FORMATS
    for name in CLASSES
    if name != "mobilenet" or kind in ("onnx", "openvino")
]


@pytest.fixture(scope="module")
def made(tmp_path_factory, fresh_python):
    """A folder for each network and format, and what was found: one process for each backend of Keras."""
    for kind in FORMATS.values():
        pytest.importorskip(kind.runtime[0])
    folder, found = tmp_path_factory.mktemp("networks"), {}
    for backend in ("tensorflow", "openvino"):
        names = [kind.name for kind in FORMATS.values() if backend_of(kind) == backend]
        said = fresh_python(MAKE, str(folder), *names, KERAS_BACKEND=backend).stdout
        found |= json.loads(said.splitlines()[-1])
    return folder, found


@pytest.mark.tensorflow
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_file_gives_the_numbers_of_the_converted_classifier(made, kind, name):
    errors, facts = made[1][f"{kind} {name}"]
    assert set(errors) == set(OUTPUTS)
    assert max(errors.values()) < LIMIT
    assert facts["classes"] == CLASSES[name]
    assert facts["layers"] == []


@pytest.mark.tensorflow
def test_the_references_of_both_backends_agree_and_are_no_constants(made):
    """Or a file could be compared with a mistake of its own."""
    for name in CLASSES:
        ours, theirs = (np.load(made[0] / name / kind / "reference.npz") for kind in ("openvino", "onnx"))
        for number in range(2):
            logits = ours[f"logits{number}"]
            assert np.abs(logits - theirs[f"logits{number}"]).max() < LIMIT * np.ptp(logits)
            assert logits.std() > 0
        assert ours["image0"].shape != ours["image1"].shape


@pytest.mark.tensorflow
def test_keras_loads_its_file_without_this_program(made, fresh_python):
    path = made[0] / "flat" / "keras" / "network.keras"
    child = fresh_python(
        """
import sys
sys.modules["fcn_core"] = None  # importing it raises
import keras
network = keras.saving.load_model(sys.argv[1], safe_mode=True)
print(network.input.name, network.input.shape, sorted(network.output))
""",
        str(path),
        KERAS_BACKEND="openvino",
    )
    assert child.stdout.splitlines()[-1] == "image (None, None, None, 3) ['logits', 'probabilities']"


@pytest.mark.tensorflow
def test_an_onnx_file_is_whole_and_its_free_axes_have_names(made):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(made[0] / "flat" / "onnx" / "network.onnx").graph
    written = {path.name for path in (made[0] / "flat" / "onnx").iterdir()}
    assert written == {"network.onnx", "reference.npz", "facts.json"}, "the weights are in the same file"
    axes = [[a.dim_param or a.dim_value for a in p.type.tensor_type.shape.dim] for p in graph.output]
    assert [each.name for each in graph.output] == list(OUTPUTS)
    assert axes == [["batch", "rows", "columns", 7]] * 2


@pytest.mark.tensorflow
def test_the_examples_of_the_page_run(made, fresh_python, tmp_path, coffee):
    from PIL import Image

    Image.fromarray(coffee).save(tmp_path / "photo.png")
    for kind in FORMATS:
        for part in (made[0] / "efficientnet-lite0" / kind).glob("network*"):
            (tmp_path / part.name).symlink_to(part)
    examples = blocks("docs/export.md", "python")
    assert len(examples) == len(FORMATS)
    child = fresh_python("import os, sys; os.chdir(sys.argv[1])\n" + "\n".join(examples), str(tmp_path))
    assert child.stdout.splitlines()[-len(FORMATS) :] == ["(1, 13, 19, 1000) 967"] * len(FORMATS)


def test_the_page_lists_the_formats_and_names():
    page = PAGES["docs/export.md"]
    assert [row[0].strip("`") for row in rows(page.partition("\n## ")[0])] == list(FORMATS)
    for kind in FORMATS.values():
        assert f"`network{kind.suffix}`" in page
    assert f"{LIMIT:.0e}".replace("e-0", "e-") in page
    assert "tf2onnx" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def arrays(path, span):
    logits = np.linspace(0, span, 24, dtype=np.float32).reshape(1, 2, 3, 4)
    image = np.zeros((1, 8, 8, 3), np.float32)
    np.savez(path, image0=image, logits0=logits, probabilities0=logits / span)
    return logits


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda logits: logits, 0),
        (lambda logits: logits + 1, 0.1),  # a lost bias
        (lambda logits: logits[..., ::-1], 0.13),
        (lambda logits: logits * np.nan, np.inf),
        (lambda logits: logits[:, :1], np.inf),
    ],
)
def test_a_wrong_file_is_seen(tmp_path, spoil, expected):
    logits = arrays(tmp_path / "reference.npz", 10)
    fake = dataclasses.replace(
        FORMATS["onnx"],
        open=lambda _: lambda _: {"logits": spoil(logits), "probabilities": spoil(logits) / 10},
    )
    found = largest_errors(fake, tmp_path, tmp_path / "reference.npz")
    assert found["logits"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("logits", "error", "passes"),
    [
        (np.full((1, 2, 2, 1), -0.02), 1e-8, True),  # one output that is nearly constant
        (np.full((1, 2, 2, 1), -0.02), 1e-5, False),
        (np.full((1, 2, 2, 3), 1 / 3), 1e-7, True),  # untrained
        (np.full((1, 2, 2, 3), 1 / 3), 1e-5, False),
        (np.zeros((1, 2, 2, 3)), 0, True),
        (np.zeros((1, 2, 2, 3)), 1e-6, False),
        (np.arange(12).reshape(1, 2, 2, 3) / 1000 + 5, 1e-5, False),  # an offset does not excuse errors
    ],
)
def test_nearly_equal_logits_are_compared_with_their_size(tmp_path, logits, error, passes):
    logits = logits.astype(np.float32)
    np.savez(tmp_path / "r.npz", image0=np.zeros((1, 8, 8, 3)), logits0=logits, probabilities0=logits)
    fake = dataclasses.replace(
        FORMATS["onnx"],
        open=lambda _: lambda _: {"logits": logits + np.float32(error), "probabilities": logits},
    )
    assert (largest_errors(fake, tmp_path, tmp_path / "r.npz")["logits"] < LIMIT) == passes


def test_an_unknown_format_is_refused():
    from fcn_core.errors import FcnError

    with pytest.raises(FcnError, match=r"Expected a format among keras, .* Received 'h5'"):
        format_of("h5")
