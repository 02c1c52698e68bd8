"""The stored shapes of ResNet50 are those of Keras."""

from __future__ import annotations

import pytest

from app.lesson import resnet50


def test_the_shapes_are_those_that_the_notebook_prints() -> None:
    last = resnet50.STAGES[-1]
    assert last.shape(None) == (None, None, None, 2048)
    assert last.shape(resnet50.INPUT) == (None, 7, 7, 2048)
    assert last.shape(200)[1] == 7


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_table_is_what_keras_builds() -> None:
    import keras

    for size in (None, resnet50.INPUT):
        network = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(size, size, 3))
        assert len(network.layers) == resnet50.LAYERS
        assert network.count_params() == resnet50.WEIGHTS
        for stage in resnet50.STAGES[1:]:
            layer = network.get_layer(stage.name)
            assert type(layer).__name__ == stage.kind
            assert tuple(layer.output.shape) == stage.shape(size)
        assert network.layers[-1].name == resnet50.STAGES[-1].name
        assert type(network.layers[0]).__name__ == resnet50.STAGES[0].kind
        assert tuple(network.inputs[0].shape) == resnet50.STAGES[0].shape(size)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_other_layer_changes_the_shape() -> None:
    import keras

    network = keras.applications.ResNet50(include_top=False, weights=None)
    ends = {stage.name: stage.channels for stage in resnet50.STAGES[3:]}
    blocks = [layer for layer in network.layers if layer.name.endswith("_out")]
    changes = [
        (one.name, one.output.shape[-1])
        for one, other in zip(blocks, [*blocks[1:], None], strict=True)
        if other is None or other.output.shape[-1] != one.output.shape[-1]
    ]
    assert dict(changes) == ends
