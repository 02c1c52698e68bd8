"""The proof of the conversion, as the command line gives it."""

import json

import numpy as np
import pytest

from fcn_core import verify
from fcn_core.cli import main
from fcn_core.errors import FcnError, UnknownModel, WeightsUnavailable

pytestmark = pytest.mark.tensorflow


def test_a_served_model_equals_its_classifier(capsys):
    assert main(["verify", "--model", "efficientnet-lite0", "--json"]) == 0
    proof = json.loads(capsys.readouterr().out)
    assert (proof["name"], proof["weights"], proof["engine"]) == (
        "efficientnet-lite0",
        "imagenet",
        "openvino",
    )
    assert (proof["size"], proof["grid"], proof["ok"]) == (224, [7, 7], True)
    assert 0 < proof["error"] < 1e-4 * proof["span"]
    assert proof["relative"] == pytest.approx(proof["error"] / proof["span"])


def test_any_application_of_keras_with_random_weights(capsys):
    assert main(["verify", "--application", "MobileNetV2", "--weights", "none"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("MobileNetV2 (random weights, keras): at 224x224")
    assert "largest error" in text
    assert ", within 1e-04" in text


def test_a_wrong_conversion_is_found_and_ends_in_status_1(monkeypatch, capsys):
    right = verify._logits
    monkeypatch.setattr(verify, "_logits", lambda *a: right(*a) + np.eye(1000, dtype=np.float32)[7])
    assert main(["verify", "--model", "efficientnet-lite0"]) == 1
    assert "NOT within" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "span", "relative"), [(1.0, 4.0, 0.25), (0.0, 0.0, 0.0), (1.0, 0.0, 1.0), (0.0, 1.0, 0.0)]
)
def test_the_error_is_a_share_of_the_range(error, span, relative):
    assert verify.Proof("x", "random", "keras", 224, (7, 7), error, span).relative == relative


@pytest.mark.parametrize("name", ["NoSuchNet", "", "imagenet_utils", "__doc__", "mobilenet_v2", "os.system"])
def test_an_application_keras_has_not_is_refused(name):
    with pytest.raises(UnknownModel, match="MobileNetV2"):
        verify.verify_application(name, "none")


def test_without_network_the_published_weights_are_not_to_be_had(capfd):
    with pytest.raises(WeightsUnavailable, match="--weights none"):
        verify.verify_application("MobileNetV2", "imagenet")
    assert issubclass(WeightsUnavailable, FcnError)


def test_the_published_weights_that_cannot_be_had_end_in_status_3_and_clean_output(capsys):
    assert main(["verify", "--application", "MobileNetV2", "--json"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "--weights none" in err.splitlines()[-1]
