"""Graphs of Keras models, and the private names of Keras and OpenVINO that the program uses."""

import inspect
from importlib.metadata import version

import keras
import pytest
from keras import layers

from fcn_core.networks.graph import (
    activation_of,
    data_format,
    flatten,
    is_linear,
    kind_of,
    layers_of,
    nodes_of,
    pair,
    rebuild,
)

pytestmark = pytest.mark.tensorflow


def small():
    image = keras.Input((32, 48, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(image)
    x = layers.Add(name="add")([x, layers.Conv2D(8, 1, name="pointwise")(x)])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(5, activation="softmax", name="dense")(x), name="small")


def test_private_names_of_keras():
    """If this fails after an update of Keras, correct networks/graph.py and networks/keras_settings.py first."""
    from keras.src.backend.common import global_state
    from keras.src.models.functional import Functional

    hint = f"written for Keras 3.15, this is {version('keras')}"
    model = small()
    assert isinstance(model, Functional), hint
    assert {"inputs", "operation_fn"} <= set(inspect.signature(model._run_through_graph).parameters), hint
    nodes = [node for depth in model._nodes_by_depth.values() for node in depth]
    assert len(nodes) == 6, hint
    for node in nodes:
        assert node.operation in model.layers, hint
        assert isinstance(node.is_input, bool), hint
        for tensor in (*node.input_tensors, *node.outputs):
            assert isinstance(tensor, keras.KerasTensor), hint
    assert isinstance(keras.Sequential([keras.Input((4,)), layers.Dense(2)])._functional, Functional), hint
    # Without a chosen policy nothing is set; a policy that is set is the one that Keras builds with.
    before = global_state.get_global_attribute("dtype_policy")
    try:
        global_state.set_global_attribute("dtype_policy", keras.DTypePolicy("float64"))
        assert keras.config.dtype_policy().name == "float64", hint
    finally:
        global_state.set_global_attribute("dtype_policy", before)
    assert global_state.get_global_attribute("dtype_policy") is before, hint


def test_private_names_of_openvino():
    """If this fails after an update of OpenVINO, correct engines/graph_cache.py first."""
    from openvino._offline_transformations import apply_moc_transformations

    hint = f"written for OpenVINO 2026.4, this is {version('openvino')}"
    assert "cf: bool" in apply_moc_transformations.__doc__, hint


def test_the_private_tensor_of_keras_on_openvino(fresh_python):
    """If this fails after an update of Keras, correct engines/tracing.py first."""
    code = """
import keras
from fcn_core.engines.tracing import to_openvino
image = keras.Input((3, None, None))
narrow = keras.layers.Conv2D(4, 7, strides=2, data_format="channels_first")(image)  # no window in one pixel
model = to_openvino(keras.Model(image, [narrow, narrow]))
print(model.inputs[0].partial_shape, *(output.partial_shape for output in model.outputs))
"""
    hint = f"written for Keras 3.15, this is {version('keras')}"
    assert (
        fresh_python(code, KERAS_BACKEND="openvino").stdout.strip() == "[?,3,?,?] [?,4,1..,1..] [?,4,1..,1..]"
    ), hint


def test_nodes_come_after_those_they_read():
    known = set()
    names = []
    for node in nodes_of(small()):
        assert all(id(tensor) in known for tensor in node.input_tensors)
        known |= {id(tensor) for tensor in node.outputs}
        names.append(node.operation.name)
    assert names == ["image", "conv", "pointwise", "add", "pool", "dense"]


def test_kind_activation_and_linearity_of_nodes():
    said = {n.operation.name: (kind_of(n), activation_of(n), is_linear(n)) for n in nodes_of(small())}
    assert said == {
        "image": ("InputLayer", "linear", False),
        "conv": ("Conv2D", "relu", False),
        "pointwise": ("Conv2D", "linear", True),
        "add": ("Add", "linear", False),
        "pool": ("GlobalAveragePooling2D", "linear", False),
        "dense": ("Dense", "softmax", True),
    }
    image = keras.Input((4,))
    (*_, softmax) = nodes_of(keras.Model(image, layers.Softmax()(image)))
    assert activation_of(softmax) == "softmax"


@pytest.mark.parametrize(("value", "expected"), [(3, (3, 3)), ((2, 5), (2, 5)), ([4, 1], (4, 1))])
def test_sizes_are_pairs(value, expected):
    assert pair(value) == expected


def test_models_inside_models_are_flattened_and_share_their_weights():
    inner = small()
    image = keras.Input((32, 48, 3))
    outer = keras.Sequential([image, keras.Sequential([inner]), layers.Dense(2, name="last")])
    flat = flatten(outer)
    assert not any(isinstance(node.operation, keras.Model) for node in nodes_of(flat))
    assert [layer.name for layer in layers_of(flat)][-2:] == ["dense", "last"]
    assert {id(w) for w in flat.weights} == {id(w) for w in outer.weights}
    assert flatten(inner) is inner


def test_a_graph_is_rebuilt_with_other_layers_for_any_size():
    model = small()
    body = keras.Model(model.inputs[0], model.get_layer("add").output)
    free = rebuild(
        body, lambda layer: layers.Conv2D(8, 1) if layer.name == "pointwise" else layer, free_size=True
    )
    assert free.compute_output_shape((1, 64, 64, 3)) == (1, 31, 31, 8)
    assert free.get_layer("conv") is body.get_layer("conv")
    assert "pointwise" not in {layer.name for layer in free.layers}


def test_the_data_format_is_that_of_the_model():
    assert data_format(small()) == "channels_last"
    image = keras.Input((3, 8, 8))
    first = keras.Model(image, layers.Conv2D(4, 3, data_format="channels_first")(image))
    assert data_format(first) == "channels_first"
