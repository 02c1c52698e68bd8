"""Grad-CAM and LayerCAM against their definitions."""

import numpy as np
import pytest

from fcn_core.images.resize import resize_image
from fcn_core.networks.zoo import model_spec
from tests.evaluation.red_cat import CATS


@pytest.mark.tensorflow
def test_gradcam_is_the_class_activation_map_of_the_best_class(chelsea):
    # With pooling and one dense layer after the last feature maps Grad-CAM is CAM: relu(logits - bias) / cells.
    from fcn_core.engines.tensorflow import TensorFlowEngine
    from fcn_core.evaluation.gradcam import GradCAM

    spec = model_spec("efficientnet-lite0")
    engine = TensorFlowEngine(spec, False, 32)
    batch = spec.preprocessing.batch(resize_image(chelsea, 96, 96))
    logits = np.asarray(engine.network(batch, training=False))[0]
    bias = np.asarray(engine.network.get_layer("logits").bias)
    ids = [*CATS, 967]
    best = ids[int(logits.mean(axis=(0, 1))[ids].argmax())]
    expected = np.maximum(logits[..., best] - bias[best], 0) / 9
    cam = GradCAM("efficientnet-lite0")
    found = cam(chelsea, ids, 96)
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(np.ptp(expected)))
    assert cam(chelsea, [best], 64).shape == (2, 2)


@pytest.mark.tensorflow
def test_layercam_weights_each_cell_by_its_own_positive_gradient(chelsea):
    """At the last stage the gradient is the Dense layer's weight by the number of cells."""
    from fcn_core.evaluation.gradcam import LayerCAM

    layercam = LayerCAM("efficientnet-lite0")
    maps = layercam.stages(chelsea, [*CATS, 967], (96, 128))
    assert [m.shape for m in maps] == [(24, 32), (12, 16), (6, 8), (3, 4)]  # strides 4, 8, 16 and 32
    assert all((m >= 0).all() and m.max() > 0 for m in maps)

    network, head = layercam._body, layercam._head
    batch = model_spec("efficientnet-lite0").preprocessing.batch(resize_image(chelsea, 96, 128))
    features = np.asarray(network(batch, training=False)[-1])
    scores = np.asarray(head(features)).mean(axis=(0, 1, 2))
    best = max([*CATS, 967], key=lambda i: scores[i])
    weights = np.asarray(head.kernel)[0, 0, :, best] / 12
    expected = np.maximum(features[0], 0) @ np.maximum(weights, 0)
    np.testing.assert_allclose(maps[-1], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.tensorflow
def test_layercam_of_an_earlier_stage_is_the_change_of_the_score(chelsea):
    """Sum over cells and channels of positive gradient times feature, by differences of the score itself."""
    import keras

    from fcn_core.evaluation.gradcam import LayerCAM

    layercam = LayerCAM("efficientnet-lite0")
    (*_, stage, _) = layercam.stages(chelsea, [285], (64, 64))
    tensor = layercam._body.outputs[-2]
    rest = keras.Model(tensor, layercam._head(layercam._body.outputs[-1]))
    batch = model_spec("efficientnet-lite0").preprocessing.batch(resize_image(chelsea, 64, 64))
    features = np.asarray(layercam._body(batch, training=False)[-2])

    row, column = np.unravel_index(int(stage.argmax()), stage.shape)
    active = np.flatnonzero(features[0, row, column] > 0)
    steps = 0.05 * features[0, row, column, active]
    moved = np.repeat(features, 2 * active.size, axis=0)
    for sign, first in ((1, 0), (-1, active.size)):
        moved[first + np.arange(active.size), row, column, active] += sign * steps
    scores = np.asarray(rest(moved, training=False))[..., 285].mean(axis=(1, 2))
    slopes = (scores[: active.size] - scores[active.size :]) / (2 * steps)
    total = float((np.maximum(slopes, 0) * features[0, row, column, active]).sum())
    assert stage[row, column] == pytest.approx(total, rel=0.1)


def test_stages_are_fused_by_the_largest_after_scaling():
    pytest.importorskip("tensorflow")
    from fcn_core.evaluation.gradcam import fuse_stages

    fine = np.array([[0.0, 2.0], [1.0, 0.0]], np.float32)
    coarse = np.array([[5.0, 0.0], [0.0, 5.0]], np.float32)
    expected = np.tanh(2 * np.array([[1.0, 1.0], [0.5, 1.0]]))
    np.testing.assert_allclose(fuse_stages([fine, coarse]), expected, rtol=1e-6)
    assert fuse_stages([fine, np.array([[3.0]], np.float32)]).shape == (2, 2)
