"""Regions with names: hand-made class maps, scores and candidates, and the real network on a cat."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from fcn_core.errors import ScaleError
from fcn_core.images.read import image_from_array
from fcn_core.images.scales import PlannedScale, Scale, parse_scales
from fcn_core.maps.findings import Finding
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.segmentation import (
    COMPETITION,
    Segment,
    Segmentation,
    assign,
    label_regions,
)
from fcn_core.maps.superpixels import Regions, segment
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.pipeline import compute_class_maps
from fcn_core.synsets.ontology import Ontology

CAT, ESPRESSO = 285, 967
HEIGHT, WIDTH, STRIDE = 200, 320, 32


def class_map(probabilities, h=7, w=10):
    """Return a class map in which each class has the probability of its array (h, w); the others share the rest."""
    shares = np.full((h, w, 1000), 0.0, np.float64)
    for class_id, values in probabilities.items():
        shares[..., class_id] = values
    rest = (1 - shares.sum(axis=-1, keepdims=True)) / (1000 - len(probabilities))
    logits = np.log(np.where(shares > 0, shares, rest) + 1e-9).astype(np.float32)
    logits -= logits.mean(axis=-1, keepdims=True)
    cells = CellGrid(*(CellAxis(n * STRIDE, n, STRIDE, (STRIDE - 1) / 2, STRIDE) for n in (h, w)))
    return ClassMap(
        logits, cells, PlannedScale(Scale(h * STRIDE, w * STRIDE), h * STRIDE, w * STRIDE, False), 0.0
    )


def two_fields():
    """Return a picture that is blue in its left half and yellow in its right one."""
    rng = np.random.default_rng(0)
    left = np.arange(WIDTH)[None, :, None] < WIDTH / 2
    pixels = np.where(left, (40, 60, 160), (200, 180, 60)) + rng.normal(0, 6, (HEIGHT, WIDTH, 3))
    return image_from_array(pixels.clip(0, 255).astype(np.uint8), "fields")


def halves(h=7, w=10):
    left = np.broadcast_to(np.arange(w) < w / 2, (h, w))
    return left, ~left


def overlap(one, other):
    return (one & other).sum() / max(1, (one | other).sum())


def candidates(*pairs):
    ontology = Ontology.load()
    return [Finding(ontology.find(word), presence) for word, presence in pairs]


def strip(*widths):
    """Return regions side by side in a strip two pixels high."""
    labels = np.repeat(np.arange(len(widths)), widths)[None].repeat(2, axis=0)
    sizes = np.bincount(labels.ravel()).astype(float)
    return Regions(labels, sizes, np.zeros((len(widths), 2)), np.zeros((len(widths), 3)))


def test_two_fields_with_two_classes_are_two_segments_with_the_right_names():
    left, right = halves()
    maps = {"224x320": class_map({CAT: 0.97 * left, ESPRESSO: 0.96 * right})}
    found = label_regions(two_fields(), maps)
    names = {s.synset.words[0]: s for s in found.segments}
    assert set(names) == {"Egyptian cat", "espresso"}
    labels = found.expand()
    truth = np.broadcast_to(np.arange(WIDTH) < WIDTH / 2, (HEIGHT, WIDTH))
    assert overlap(labels == names["Egyptian cat"].label, truth) > 0.95
    assert overlap(labels == names["espresso"].label, ~truth) > 0.95


def test_one_finding_names_its_part_and_the_rest_is_nothing():
    left, _ = halves()
    found = label_regions(two_fields(), [class_map({CAT: 0.97 * left})])
    assert [s.synset.words[0] for s in found.segments] == ["Egyptian cat"]
    truth = np.broadcast_to(np.arange(WIDTH) < WIDTH / 2, (HEIGHT, WIDTH))
    assert overlap(found.expand() == 1, truth) > 0.95


@pytest.mark.parametrize("share", [0.0, 0.001])
def test_where_nothing_is_found_there_are_no_segments(share):
    left, _ = halves()
    found = label_regions(two_fields(), [class_map({CAT: share * left})])
    assert found.segments == ()
    assert not found.labels.any()
    assert found.expand().shape == (HEIGHT, WIDTH)


SURE = (0.9, 0.9, 0.9, 0.9)


@pytest.mark.parametrize(
    ("widths", "presences", "scores", "probabilities", "expected"),
    [
        pytest.param((9, 9), [], [], [], [0, 0], id="no candidate"),
        pytest.param((9, 9), [1.0], [(0, 0)], [(0, 0)], [0, 0], id="a candidate that is nowhere"),
        pytest.param((9, 9, 9), [0.9], [(1, 0.9, 0.1)], [(1, 1, 0)], [1, 1, 0], id="one candidate"),
        pytest.param(
            (9, 9, 9), [0.9, 0.9], [(1, 0.9, 0), (0, 0, 1)], [SURE[:3]] * 2, [1, 1, 2], id="side by side"
        ),
        pytest.param(
            (9, 9, 9),
            [0.8, 0.9],
            [(1, 0.9, 0), (0, 0.9, 1)],
            [SURE[:3]] * 2,
            [1, 2, 2],
            id="more certain wins",
        ),
        pytest.param(
            (9, 9, 9),
            [0.9, 0.8],
            [(1, 0.7, 0), (0, 1, 1)],
            [SURE[:3]] * 2,
            [1, 2, 2],
            id="seen more clearly wins",
        ),
        pytest.param(
            (9, 9, 9),
            [0.9, 0.9],
            [(1, 0.9, 0), (0, 0.9, 1)],
            [(0.9, 0.1, 0), (0, 0.8, 0.9)],
            [1, 2, 2],
            id="the network decides between equals",
        ),
        pytest.param(
            (9, 9, 9, 9),
            [0.9, 0.9],
            [(1, 0, 0, 0), (0, 0.4, 0.6, 1)],
            [SURE] * 2,
            [1, 0, 2, 2],
            id="as certain",
        ),
        pytest.param(
            (9, 9, 9, 9),
            [0.9, 0.54],
            [(1, 0, 0, 0), (0, 0.4, 0.6, 1)],
            [SURE] * 2,
            [1, 0, 0, 2],
            id="less certain must be seen more clearly",
        ),
        pytest.param((990, 9, 1), [0.9], [(0, 0, 1)], [SURE[:3]], [0, 0, 0], id="too small"),
    ],
)
def test_each_region_belongs_to_the_best_candidate_or_to_nothing(
    widths, presences, scores, probabilities, expected
):
    regions = strip(*widths)
    found = assign(regions, presences, [np.array(s) for s in scores], [np.array(p) for p in probabilities])
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([(1, 1, 0)], [1, 1, 1], id="a hole is filled"),
        pytest.param([(0, 0, 1)], [0, 0, 0], id="a speck is removed"),
        pytest.param([(0.9, 0.9, 0), (0, 0, 1)], [1, 1, 1], id="a speck of another name is removed"),
        pytest.param([(1, 0, 0)], [1, 0, 0], id="at the border of two it stays"),
        pytest.param([(1, 0, 1)], [1, 0, 1], id="at the border of two it stays, too"),
    ],
)
def test_a_region_that_one_other_label_encloses_gets_it(scores, expected):
    """Region 2 lies within regions 0 and 1, half of its border in each; none is taken across the picture's edge."""
    labels = np.repeat([0, 1], 10)[None].repeat(12, axis=0)
    labels[5:7, 9:11] = 2
    sizes = np.bincount(labels.ravel()).astype(float)
    regions = Regions(labels, sizes, np.zeros((3, 2)), np.zeros((3, 3)))
    found = assign(
        regions, [0.9] * len(scores), [np.array(s) for s in scores], [np.array(SURE[:3])] * len(scores)
    )
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("offered", "competing"),
    [
        ([("dog", 0.95), ("cat", 0.5), ("laptop", 0.45)], ["dog", "cat"]),
        ([("laptop", 0.31), ("dog", 0.6)], ["dog", "laptop"]),
        ([("dog", 0.29)], []),
        ([], []),
    ],
)
def test_candidates_compete_if_they_are_certain_enough(offered, competing):
    image, left = two_fields(), halves()[0]
    found = label_regions(image, [class_map({CAT: 0.9 * left})], candidates=candidates(*offered))
    assert [c.synset.words[0] for c in found.candidates] == competing


def test_scores_candidates_and_regions_can_be_given():
    image = two_fields()
    regions = segment(image.pixels)
    left = regions.centres[:, 1] < WIDTH / 2
    asked = []

    def scores(synset):
        asked.append(synset.words[0])
        return np.where(left == (synset.words[0] == "dog"), 0.9, 0.05)

    found = label_regions(
        image,
        [class_map({CAT: 0.9 * halves()[0]})],
        candidates=candidates(("laptop", 0.7), ("dog", 0.9)),
        scores=scores,
        regions=regions,
    )
    assert asked == ["dog", "laptop"]
    assert [(s.label, s.synset.words[0], s.presence) for s in found.segments] == [
        (1, "dog", 0.9),
        (2, "laptop", 0.7),
    ]
    np.testing.assert_array_equal(found.labels, np.where(left, 1, 2)[regions.labels])


def test_numbers_have_no_gap_where_a_candidate_gets_nothing():
    image = two_fields()
    regions = segment(image.pixels)
    of = {"dog": 0.0, "cat": 0.9, "laptop": 0.0}
    left = regions.centres[:, 1] < WIDTH / 2
    found = label_regions(
        image,
        [class_map({CAT: 0.9 * halves()[0]})],
        candidates=candidates(("dog", 0.9), ("cat", 0.8), ("laptop", 0.7)),
        scores=lambda synset: np.where(left, of[synset.words[0]], 0.0),
        regions=regions,
    )
    assert [(s.label, s.synset.words[0]) for s in found.segments] == [(1, "cat")]
    assert len(found.candidates) == 3
    assert set(np.unique(found.labels)) == {0, 1}


def test_there_must_be_a_class_map():
    with pytest.raises(ScaleError, match="at least one scale"):
        label_regions(two_fields(), {})


@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 3), (7, 5), (3, 400)])
def test_small_and_narrow_pictures_have_labels_of_their_size(height, width):
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    found = label_regions(image_from_array(pixels, "small"), [class_map({CAT: 0.9}, 2, 2)])
    assert found.expand().shape == (height, width)
    assert sum(s.area for s in found.segments) == np.count_nonzero(found.expand())


# --- labels at the size of the picture


def made_up(height, width, segments=2, h=9, w=12):
    """Return a segmentation with random labels."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, segments + 1, (h, w)).astype(np.uint8)
    labels.flat[: segments + 1] = np.arange(segments + 1)
    (dog,) = candidates(("dog", 0.9))
    empty = Segmentation(labels, (), (dog,), height, width)
    placeholders = tuple(Segment(k + 1, dog.synset, dog.presence, 0, (0, 0, 0, 0)) for k in range(segments))
    return replace(empty, segments=placeholders).resized(height, width)


@pytest.mark.parametrize(("height", "width"), [(9, 12), (10, 12), (31, 77), (90, 120), (301, 999)])
def test_areas_and_boxes_are_those_of_the_expanded_labels(height, width):
    found = made_up(height, width)
    labels = found.expand()
    assert labels.shape == (height, width)
    for s in found.segments:
        rows, columns = np.nonzero(labels == s.label)
        assert s.area == rows.size
        assert s.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    larger = found.resized(2 * height, 3 * width)
    assert (larger.height, larger.width) == (2 * height, 3 * width)
    assert [s.area for s in larger.segments] == [
        int((larger.expand() == s.label).sum()) for s in found.segments
    ]


def test_labels_are_not_made_smaller_than_they_are():
    with pytest.raises(ValueError, match="at least 9 x 12"):
        made_up(9, 12).resized(8, 12)


def test_labels_of_a_large_picture_take_a_byte_for_each_pixel():
    found = made_up(5000, 4000)
    tracemalloc.start()
    try:
        labels = found.expand()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert labels.dtype == np.uint8
    assert peak < 1.1 * labels.size


def test_more_than_255_segments_have_two_bytes_for_each_pixel():
    regions = strip(*[4] * 300)
    image = image_from_array(np.zeros((2, 1200, 3), np.uint8), "strip")
    ontology = Ontology.load()
    names = [Finding(ontology[wnid], 0.9) for wnid in ontology.classes[:300]]
    found = label_regions(
        image,
        [class_map({CAT: 0.9}, 2, 2)],
        candidates=names,
        scores=lambda synset: np.eye(300)[synset.class_id],
        regions=regions,
        competition=replace(COMPETITION, enclosed=2.0, smallest=0.0),
    )
    assert found.labels.dtype == np.uint16
    np.testing.assert_array_equal(found.labels[0], 1 + regions.labels[0])


def test_the_network_names_a_cat_and_where_it_is(chelsea, lite2):
    image = image_from_array(chelsea, "cat")
    maps = compute_class_maps(image, lite2, parse_scales("200x320,400x640"))
    found = label_regions(image, maps)
    assert found.segments[0].synset.words[0] == "cat"
    labels = found.expand()
    assert (labels[60:200, 150:300] == 1).mean() > 0.9, "the face"
    assert (labels == 1).mean() < 0.95
    again = label_regions(image, maps)
    np.testing.assert_array_equal(again.labels, found.labels)
