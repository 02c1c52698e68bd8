"""The architecture with its weights: a cat is a cat."""

import numpy as np
import pytest

from fcn_core.errors import WeightsInvalid
from fcn_core.networks.checkpoint import read_torch_weights
from fcn_core.networks.zoo import MODELS, find_weights, require_weights

LITES = ["efficientnet-lite0", "efficientnet-lite2"]


@pytest.mark.parametrize("name", LITES)
def test_weights_come_with_their_packages(name):
    weights = MODELS[name].weights
    path = require_weights(MODELS[name])
    assert path.stat().st_size == weights.size
    tensors = read_torch_weights(path)
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert not tensors["_fc.weight"].flags.writeable
    parameters = sum(t.size for n, t in tensors.items() if "running" not in n and "num_batches" not in n)
    assert parameters / 1e6 == pytest.approx(MODELS[name].parameters, abs=0.06)


@pytest.mark.parametrize("name", LITES)
@pytest.mark.parametrize(("picture", "class_id"), [("chelsea", 285), ("coffee", 967)])
def test_a_cat_is_a_cat_and_a_cup_a_cup(name, picture, class_id, request, resized):
    """The mean of the logits is the classifier's answer: Egyptian cat, espresso."""
    predictor = request.getfixturevalue({"efficientnet-lite0": "lite0", "efficientnet-lite2": "lite2"}[name])
    pixels = request.getfixturevalue(picture)
    side = MODELS[name].input_size
    logits = predictor.logits(resized(pixels, side, side))
    assert logits.shape == (*predictor.geometry.grid(side, side), 1000)
    assert logits.mean((0, 1)).argmax() == class_id


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", LITES)
def test_the_keras_classifier_itself(name, chelsea, resized, zoo_classifiers):
    spec, model = MODELS[name], zoo_classifiers(name)
    batch = spec.preprocessing(resized(chelsea, spec.input_size, spec.input_size).rows(0, spec.input_size))
    probabilities = np.asarray(model(np.moveaxis(batch, 0, -1)[None], training=False))[0]
    assert probabilities.argmax() == 285
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert model.count_params() / 1e6 == pytest.approx(spec.parameters, abs=0.1)


@pytest.mark.tensorflow
def test_a_missing_or_misshapen_tensor_is_named():
    from fcn_core.networks.efficientnet_lite import set_weights

    model = MODELS["efficientnet-lite0"].build()
    state = dict(read_torch_weights(find_weights(MODELS["efficientnet-lite0"])))
    for name, tensor in (("_blocks.3._bn1.running_mean", None), ("_fc.weight", np.zeros((10, 1280), "f"))):
        damaged = {**state, name: tensor}
        if tensor is None:
            del damaged[name]
        with pytest.raises(WeightsInvalid, match=name.rpartition(".")[0].replace(".", r"\.")):
            set_weights(model, damaged)


def test_another_file_of_the_same_name_is_refused(tmp_path, monkeypatch):
    spec = MODELS["efficientnet-lite0"]
    data = bytearray(find_weights(spec).read_bytes())
    data[-1] ^= 1
    (tmp_path / spec.weights.name).write_bytes(data)
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(WeightsInvalid, match="Expected the published weights"):
        require_weights(spec)
