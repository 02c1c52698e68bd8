"""The proof of the conversion, as the command line gives it."""

import functools
import json
import math
import sys

import numpy as np
import pytest

from fcn_core.cli.entry import main
from fcn_core.engines.openvino import OpenVINOEngine
from fcn_core.errors import FcnError, UnknownModel, WeightsUnavailable
from fcn_core.evaluation import verify
from fcn_core.networks import convert, zoo
from tests.networks.wrong import A_ROW_LESS, WRONG_WEIGHTS, wrong_head

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def mobilenet():
    """Build the application of Keras once; a proof seeds its weights anew and changes nothing else."""
    import keras

    return functools.cache(keras.applications.MobileNetV2)


@pytest.fixture
def built_once(monkeypatch, zoo_classifiers, mobilenet):
    """Classifiers are built once, and tell two pictures apart: a wrong conversion shows on any."""
    import keras

    monkeypatch.setattr(verify, "_SQUARES", (4,))
    for module in (verify, zoo):
        monkeypatch.setattr(module, "build_classifier", lambda spec, *_: zoo_classifiers(spec.name))
    monkeypatch.setattr(keras.applications, "MobileNetV2", mobilenet)


def test_a_served_model_equals_its_classifier(capsys):
    assert main(["verify", "--model", "efficientnet-lite0", "--json"]) == 0
    proof = json.loads(capsys.readouterr().out)
    assert (proof["name"], proof["weights"]) == ("efficientnet-lite0", "imagenet")
    assert (proof["engine"], proof["backend"]) == ("openvino", "tensorflow")
    assert (proof["size"], proof["grid"], proof["ok"]) == (224, [7, 7], True)
    assert (proof["compared"], proof["classes"]) == (1000, 1000)
    assert 0 < proof["error"] < 1e-4 * proof["span"]
    assert proof["relative"] == pytest.approx(proof["error"] / proof["span"])


def test_any_application_of_keras_with_random_weights(capsys):
    assert main(["verify", "--application", "MobileNetV2", "--weights", "none"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("MobileNetV2 (random weights): at 224x224")
    assert "map of logits (keras) against the classifier's own answer (Keras on tensorflow)" in text
    assert "largest error" in text
    assert ", within 1e-04" in text


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        ("verify.verify_application('MobileNetV2')", "or set KERAS_BACKEND=openvino."),
        ("gradcam.GradCAM()", "or leave out Grad-CAM and LayerCAM, which --compare includes."),
        ("load.load_model(engine='tensorflow')", "or choose engine openvino."),
        ("keras_settings.import_keras('openvino')", "Run: pip install keras openvino."),
    ],
)
def test_the_message_about_a_missing_package_names_a_way_without_it(call, cure, fresh_python):
    code = f"""
import sys
missing = "keras" if "openvino" in {call!r} else "tensorflow"
sys.modules[missing] = None
from fcn_core.engines import load
from fcn_core.evaluation import gradcam, verify
from fcn_core.networks import keras_settings
try:
    {call}
except load.EngineError as error:
    print(error)
"""
    assert fresh_python(code).stdout.rstrip().endswith(cure)


PROVED = {
    "application": ["--application", "MobileNetV2", "--weights", "none"],
    "served": ["--model", "efficientnet-lite0", "--engine", "tensorflow"],
}


@pytest.mark.usefixtures("built_once")
@pytest.mark.parametrize("proved", PROVED)
@pytest.mark.parametrize("wrong", [*WRONG_WEIGHTS, A_ROW_LESS])
def test_a_wrong_conversion_ends_in_status_1(monkeypatch, capsys, wrong, proved):
    monkeypatch.setattr(convert, "OnMap", wrong_head(wrong))
    assert main(["verify", *PROVED[proved]]) == 1
    assert "NOT within" in capsys.readouterr().out


WRONG_MAPS = {
    "a row left out": lambda logits: logits[1:],
    "another class": lambda logits: logits[..., ::-1],
    "not a number": lambda logits: logits * np.nan,
}


@pytest.mark.usefixtures("built_once")
@pytest.mark.parametrize("wrong", WRONG_MAPS)
def test_a_wrong_map_of_the_serving_engine_ends_in_status_1(monkeypatch, capsys, wrong):
    right = OpenVINOEngine.logits
    monkeypatch.setattr(OpenVINOEngine, "logits", lambda *a: WRONG_MAPS[wrong](right(*a)))
    assert main(["verify", "--model", "efficientnet-lite0", "--json"]) == 1
    proof = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert not proof["ok"]
    assert (proof["error"] is None) == (wrong == "not a number")


@pytest.mark.parametrize(
    ("error", "span", "relative"),
    [(1.0, 4.0, 0.25), (0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (0.0, 1.0, 0.0), (math.inf, 1.0, math.inf)],
)
def test_the_error_is_a_share_of_the_range(error, span, relative):
    proof = verify.Verification(
        "x", "random", "keras", "tensorflow", "mean", False, 224, (7, 7), error, span, 1000, 1000
    )
    assert proof.relative == relative


@pytest.mark.parametrize(
    ("error", "span", "words", "status"),
    [
        (0.0, 0.0, "nothing can be proved", 1),
        (1e-8, 1e-7, "nothing can be proved", 1),
        (0.5, 0.0, "NOT within", 1),  # equal logits, and a map of others
        (math.inf, 0.0, "NOT within", 1),
        (1e-6, 1.0, "within 1e-04", 0),
    ],
)
def test_equal_logits_prove_nothing(error, span, words, status, monkeypatch, capsys):
    proof = verify.Verification(
        "x", "own", "keras", "tensorflow", "mean", False, 224, (7, 7), error, span, 3, 3
    )
    monkeypatch.setattr(verify, "verify_model", lambda *_: proof)
    assert main(["verify"]) == status
    said = capsys.readouterr().out
    assert words in said and ("NOT" in said) == (words == "NOT within")


def test_a_picture_that_proves_nothing_does_not_hide_one_that_does():
    keras = pytest.importorskip("keras")
    image = keras.Input((8, 8, 3))
    classifier = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    batch = np.stack([np.ones((8, 8, 3)), np.random.default_rng(0).random((8, 8, 3))]).astype(np.float32)
    how = verify._How("x", "own", "keras", "mean", False)
    found = verify._verification(how, classifier, batch, list(batch))
    assert found.provable and found.relative < 1e-4
    assert not verify._verification(how, classifier, batch[:1], [batch[0]]).provable


def test_classes_that_could_not_be_compared_are_reported(monkeypatch, capsys):
    proof = verify.Verification(
        "x", "random", "keras", "tensorflow", "mean", False, 224, (7, 7), 0.0, 80.0, 303, 1000
    )
    monkeypatch.setattr(verify, "verify_model", lambda *_: proof)
    assert main(["verify"]) == 0
    assert "(303 of 1000 classes" in capsys.readouterr().out


def test_without_tensorflow_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "keras", None)
    assert main(["verify", "--model", "efficientnet-lite0", "--engine", "openvino"]) == 2
    assert "pip install keras tensorflow" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["NoSuchNet", "", "imagenet_utils", "__doc__", "mobilenet_v2", "os.system"])
def test_an_unknown_application_is_an_error(name):
    with pytest.raises(UnknownModel, match="MobileNetV2"):
        verify.verify_application(name, "none")


def test_published_weights_need_a_network_connection(capfd):
    with pytest.raises(WeightsUnavailable, match="--weights none"):
        verify.verify_application("MobileNetV2", "imagenet")
    assert issubclass(WeightsUnavailable, FcnError)


def test_missing_published_weights_end_in_status_3_and_clean_output(capsys):
    assert main(["verify", "--application", "MobileNetV2", "--json"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "--weights none" in err.splitlines()[-1]
