"""Middle maps: which layers, their cells, and what they cost."""

import numpy as np
import pytest

from fcn_core.networks.middle import MOST_PIXELS, empty_maps, middle_layers, middle_values, part_of
from fcn_core.networks.zoo import MODELS

EXPECTED = {
    "lite0": (("block5_project", 16, 80), ("block11_project", 32, 192)),
    "lite2": (("block10_add", 16, 88), ("block15_project", 32, 208)),
    "random_resnet50": (),
}


@pytest.mark.parametrize("fixture", EXPECTED)
def test_the_layers_that_a_model_names_are_cuts(fixture, request):
    model = request.getfixturevalue(fixture)
    layers = middle_layers(model.geometry, MODELS[model.info.name].middle)
    found = tuple((e.nodes[-1].name, e.stride, e.nodes[-1].channels) for e in layers)
    assert found == EXPECTED[fixture]
    ends = [part[-1].name for part in model.geometry.parts()]
    assert [ends[part_of(layer)] for layer in layers] == [name for name, _, _ in found]


def test_a_layer_that_is_no_cut_is_refused(lite0):
    with pytest.raises(ValueError, match=r"block3_project, block5_project.*Received: block4_add"):
        middle_layers(lite0.geometry, ["block5_project", "block4_add"])


def test_half_precision_keeps_them_small(lite2):
    """At most 28 % of the class map of 1000 logits in single precision."""
    layers = middle_layers(lite2.geometry, MODELS["efficientnet-lite2"].middle)
    for size in ((200, 320), (400, 640), (800, 1280)):
        maps = empty_maps(layers, *size)
        nbytes = sum(each.values.nbytes for each in maps)
        assert nbytes == 2 * middle_values(layers, *size)
        assert nbytes <= 0.28 * 4000 * np.prod(lite2.geometry.grid(*size))
        for each, layer in zip(maps, layers, strict=True):
            assert each.cells == layer.cells(*size)
            assert each.values.shape[:2] == layer.grid(*size)
    assert empty_maps(layers, 1, MOST_PIXELS)
    assert empty_maps(layers, 1, MOST_PIXELS + 1) == ()
