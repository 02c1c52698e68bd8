import json

import numpy as np
import pytest

from fcn_core.maps.boosted_trees import BoostedTrees
from fcn_core.maps.fine_map import describe
from fcn_core.maps.read_out import object_probability, read_out
from fcn_core.maps.region_features import region_features
from fcn_core.maps.taught import shipped
from fcn_core.networks.middle import MiddleMap
from fcn_core.networks.zoo import MODELS
from fcn_core.synsets.ontology import Ontology
from tests.maps.pictures import class_map, grid, seen_in_part, two_coloured
from tests.places import ROOT

READ_OUTS = sorted((ROOT / "assets" / "read_outs").glob("*.json"))


def seen(layers):
    rng = np.random.default_rng(0)
    middle = tuple(
        MiddleMap(name, rng.normal(size=(5, 8, channels)).astype(np.float16), grid(5, 8, 32))
        for name, channels in layers
    )
    return class_map(seen_in_part(5, 8, 1000), middle=middle)


@pytest.mark.parametrize("path", READ_OUTS, ids=lambda path: path.stem)
def test_a_shipped_read_out_is_readable_small_and_tells_where_it_is_from(path):
    described = json.loads(path.read_text(encoding="utf-8"))
    numbers = sum(len(tree[key]) for tree in described["trees"] for key in ("threshold", "leaves"))
    assert numbers < 5000
    assert len(described["features"]) <= 100
    provenance = described["provenance"]
    assert {"made_by", "date", "networks", "photographs", "rows", "sources", "cross_validated"} <= set(
        provenance
    )
    assert "/" not in provenance["sources"]
    BoostedTrees.from_json(described)


@pytest.mark.parametrize("synset", [None, *shipped()])
def test_each_network_that_names_middle_layers_has_a_read_out_for_them(synset):
    described = [json.loads(path.read_text(encoding="utf-8")) for path in READ_OUTS]
    known = [tuple(each["layers"]) for each in described if each.get("synset") == synset]
    assert sorted(known) == sorted({(), *(spec.middle for spec in MODELS.values())})


@pytest.mark.parametrize("synset", [None, *shipped()])
@pytest.mark.parametrize(
    "layers",
    [(), (("block10_add", 88), ("block15_project", 208)), (("block5_project", 80), ("block11_project", 192))],
)
def test_the_probability_is_that_of_the_trees(layers, synset):
    ids = Ontology.load().class_ids(synset) if synset else [0]
    scene = describe(two_coloured(160, 240)[0], [seen(layers)])
    assert scene.layers == tuple(name for name, _ in layers)
    trees = read_out(scene.layers, synset)
    assert {name.split()[0] for name in trees.names} >= set(scene.layers)
    features = region_features(scene, ids)
    rows = np.stack([features[name] for name in trees.names], axis=1)
    np.testing.assert_allclose(object_probability(scene, ids), 1 / (1 + np.exp(-trees.decision(rows))))


@pytest.mark.parametrize("synset", [None, *shipped()])
def test_unknown_layers_get_the_read_out_for_any_network(synset):
    assert read_out(("another",), synset).names == read_out((), synset).names
    assert not any(" like " in name for name in read_out((), synset).names)


@pytest.mark.parametrize("synset", shipped())
def test_a_taught_synset_has_trees_of_its_own(synset):
    for spec in MODELS.values():
        own, common = (read_out(spec.middle, each) for each in (synset, None))
        assert not np.array_equal(own.values, common.values)
