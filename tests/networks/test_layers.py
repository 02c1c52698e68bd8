"""`SoftmaxMap`, the notebook's layer, on both Keras backends."""

import numpy as np
import pytest

# Run on TensorFlow in this process and on OpenVINO in another: the layer has to be right on any backend.
CHECK = """
import sys
import keras
import numpy as np
from fcn_core.networks.layers import SoftmaxMap

softmax = lambda x: np.asarray(keras.ops.convert_to_numpy(SoftmaxMap()(keras.ops.convert_to_tensor(x))))
rng = np.random.default_rng(0)

logits = rng.uniform(-10, 10, (10, 3, 4, 5)).astype("float32")      # the notebook's example
maps = softmax(logits)
assert maps.shape == logits.shape and maps.dtype == np.float32
assert maps.min() >= 0 and np.abs(maps.sum(-1) - 1).max() < 1e-6
assert (maps.argmax(-1) == logits.argmax(-1)).all()
expected = np.exp(logits.astype("float64"))
assert np.abs(maps - expected / expected.sum(-1, keepdims=True)).max() < 1e-6

for peak in (1e4, -1e4, 3e38):                                      # exp would overflow or vanish
    big = np.full((2, 1, 2, 4), peak, "float32")
    assert np.allclose(softmax(big), 0.25)
    big[..., 2] = peak / 2 if peak < 0 else peak
    big[..., :2] = big[..., 3:] = min(peak, 0) if peak > 0 else peak
    assert np.allclose(softmax(big)[..., 2], 1)

for shape in ((7,), (3, 7), (2, 3, 7), (2, 1, 1, 3, 7)):            # any rank
    assert np.abs(softmax(rng.normal(size=shape).astype("float32")).sum(-1) - 1).max() < 1e-6

image = keras.Input((None, None, 5))
model = keras.Model(image, SoftmaxMap(name="probabilities")(image))
assert model.output_shape == (None, None, None, 5)
model.save(sys.argv[1])
again = keras.models.load_model(sys.argv[1])                        # registered: no custom_objects needed
assert type(again.get_layer("probabilities")) is SoftmaxMap
assert np.array_equal(np.asarray(again(logits)), np.asarray(model(logits)))
assert SoftmaxMap.from_config(SoftmaxMap(name="p").get_config()).name == "p"
print(keras.backend.backend())
"""


@pytest.mark.tensorflow
def test_softmax_map(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["", str(tmp_path / "model.keras")])
    exec(CHECK, {})  # noqa: S102


def test_softmax_map_on_the_openvino_backend(fresh_python, tmp_path):
    child = fresh_python(CHECK, str(tmp_path / "model.keras"), KERAS_BACKEND="openvino")
    assert child.stdout.strip() == "openvino"


@pytest.mark.tensorflow
def test_a_map_of_one_class_is_certain():
    from fcn_core.networks.layers import SoftmaxMap

    assert np.asarray(SoftmaxMap()(np.zeros((1, 2, 2, 1), "float32"))).tolist() == [[[[1], [1]], [[1], [1]]]]
