"""The lesson's numbers against numbers computed by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from app.lesson import experiments, facts
from app.lesson.experiments import Check
from app.lesson.pictures import first_synset, outlines
from app.lesson.stage import Stage
from app.lesson.steps import step_1, step_7
from app.state import caches
from app.state.queue.jobs import ModelKey
from fcn_core.images.scales import PlannedScale, Scale
from fcn_core.maps.heatmap import ClassMap, Heatmap, power_mean
from fcn_core.networks.geometry import CellAxis, CellGrid, Geometry, Node, Window
from fcn_core.synsets.ontology import Ontology


def _heatmap(values: Any) -> Heatmap:
    return Heatmap(np.asarray(values, np.float32), "probability")


def _class_map(logits: Any) -> ClassMap:
    array = np.asarray(logits, np.float32)
    axes = [CellAxis(32 * n, n, 32, 15.5, 63) for n in array.shape[:2]]
    scale = PlannedScale(Scale(32 * array.shape[0], 32 * array.shape[1]), *array.shape[:2], False)
    return ClassMap(array, CellGrid(*axes), scale, 0.0)


@pytest.mark.parametrize(
    ("error", "limit", "passed"), [(0, 0, True), (1, 0, False), (2, 3, True), (np.nan, 1, False)]
)
def test_a_check_passes_within_its_limit_only(error: float, limit: float, passed: bool) -> None:
    assert Check(error, limit).passed is passed


def test_the_layers_end_in_the_shape_of_the_class_map(lite2: Any) -> None:
    rows = experiments.layer_table(lite2.geometry, 200, 300)
    assert rows[-1].shape == (7, 10, 1000)
    assert rows[-1].stride == 32
    assert [(r.window, r.step) for r in rows[:1]] == [("3 × 3", 2)]


def test_the_layers_shown_at_first_are_those_that_make_the_map_smaller(lite2: Any) -> None:
    rows = step_1.shrinking(experiments.layer_table(lite2.geometry, 260, 260)[:-1])
    assert [r.stride for r in rows] == [2, 4, 8, 16, 32, 32]
    assert all(r.window in ("3 × 3", "5 × 5") and r.step == 2 for r in rows[:-1])
    assert (rows[-1].window, rows[-1].shape) == ("1 × 1", (9, 9, 1280))


def test_dividing_and_rounding_up_gives_the_grid_of_the_model_but_not_of_every_network(lite2: Any) -> None:
    assert experiments.grid_check(lite2.geometry) == Check(0, 0)
    unpadded = Geometry((Node("a", (-1,), 8, Window(7, 2), Window(7, 2)),))
    assert not experiments.grid_check(unpadded).passed


@pytest.mark.parametrize("size", [200, 206, 333])
def test_counting_downwards_finds_the_cells_where_the_geometry_puts_them(lite2: Any, size: int) -> None:
    axis = lite2.geometry.cells(size, size).y
    for index in (0, 3, axis.size - 1):
        low, high = experiments.field_by_counting(lite2.geometry, "y", size, index)
        assert (low + high) / 2 == axis.centre(index)
        assert high - low + 1 == axis.extent


def test_counting_follows_branches_and_paddings() -> None:
    nodes = (
        Node("a", (-1,), 1, Window(3, 2, before=1, after=1), Window()),
        Node("b", (0,), 1, Window(3, 1, dilation=2, same=True), Window()),
        Node("join", (0, 1), 1),
    )
    assert experiments.field_by_counting(Geometry(nodes), "y", 20, 4) == (2 * 4 - 1 - 4, 2 * 4 - 1 + 4 + 2)


def test_a_field_is_clipped_to_the_picture() -> None:
    assert experiments.field_of(CellAxis(100, 4, 32, 0.0, 41), 0) == (0.0, 20.0)
    assert experiments.field_of(CellAxis(100, 4, 32, 0.0, 41), 3) == (76.0, 99.0)


def test_average_and_dense_change_places_but_not_average_and_softmax() -> None:
    features, kernel, bias = experiments.toy_features(3)
    assert experiments.order_check(features, kernel, bias).passed
    assert experiments.dense_of_mean(np.ones((2, 2, 1)), np.array([[3.0]]), np.array([1.0])) == 4
    sure, unsure = [10.0, 0.0], [0.0, 0.5]
    first, second = experiments.two_answers(_class_map([[sure, unsure]]))
    assert first[0] == pytest.approx(1 / (1 + np.exp(-4.75)))
    assert second[0] == pytest.approx((1 / (1 + np.exp(-10)) + 1 / (1 + np.exp(0.5))) / 2)


def test_the_stable_softmax_survives_what_breaks_the_plain_one() -> None:
    logits = experiments.random_logits()
    assert logits.shape == (10, 3, 4, 5)
    assert np.allclose(experiments.softmax(logits), experiments.naive_softmax(logits))
    assert experiments.ranks_kept(logits, experiments.softmax(logits)) == 120
    large = logits * np.float32(1000)
    assert np.isnan(experiments.naive_softmax(large)).any()
    assert experiments.sums_check(experiments.softmax(large)).passed
    assert not experiments.sums_check(experiments.naive_softmax(large)).passed


def test_temperature_softens_and_hardens() -> None:
    values = [experiments.softmax(np.array([1.0, 0.0]), t)[0] for t in (0.1, 1, 10)]
    assert values == pytest.approx([1 / (1 + np.exp(-10)), 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-0.1))])


@pytest.mark.tensorflow
def test_the_lesson_softmax_is_that_of_the_layer() -> None:
    from fcn_core.networks.layers import SoftmaxMap

    logits = experiments.random_logits()
    assert np.abs(np.asarray(SoftmaxMap()(logits)) - experiments.softmax(logits)).max() < 1e-6


def test_noise_is_the_same_every_time() -> None:
    assert experiments.noise(5, 7).shape == (5, 7, 3)
    assert (experiments.noise(5, 7) == experiments.noise(5, 7)).all()


def test_the_synsets_counted_twice() -> None:
    ontology = Ontology.load()
    twice = experiments.counted_again(ontology)
    assert len(twice) == 55
    assert max(max(facts.repeats(ontology, wnid)) for wnid in twice) == 5
    animal, dog = ontology.find("animal").wnid, ontology.find("dog").wnid
    assert animal in twice
    assert dog not in twice
    assert facts.repeats(ontology, dog) == {}
    assert facts.repeats(ontology, animal) == {2: 131, 3: 2}, "135 repetitions"
    ways = experiments.paths_between(ontology, animal, "n02123394")
    assert len(ways) == 2
    for way in ways:
        assert (way[0], way[-1]) == (animal, "n02123394")
        assert all(a in ontology[b].parents for a, b in pairwise(way))
    assert experiments.paths_between(ontology, dog, "n02123394") == ()


def test_the_shift_of_placement() -> None:
    assert experiments.placement_shift(CellAxis(320, 10, 32, 15.5, 63)) == 0
    assert experiments.placement_shift(CellAxis(320, 10, 32, 31.5, 63)) == pytest.approx(16 / 320)


def test_leaving_out_one_of_equal_maps_changes_nothing() -> None:
    same = {k: _heatmap([[0.2, 0.4]]) for k in "ab"}
    assert experiments.leave_one_out(same, 1.0) == pytest.approx({"a": 0, "b": 0}, abs=1e-7)
    changes = experiments.leave_one_out({**same, "c": _heatmap([[0.8, 0.4]])}, 1.0)
    assert changes["c"] == pytest.approx(0.1)
    assert changes["a"] == pytest.approx(0.05)


def test_the_veto_is_found_where_one_map_says_no() -> None:
    maps = {"fine": _heatmap([[0.9, 0.0], [0.9, 0.1]]), "coarse": _heatmap([[0.9, 0.9], [0.8, 0.1]])}
    veto = experiments.strongest_veto(maps)
    assert veto.cell == (0, 1)
    assert veto.values == pytest.approx({"fine": 0.0, "coarse": 0.9})
    assert (veto.arithmetic, veto.geometric) == pytest.approx((0.45, 0.0))
    assert experiments.means_check(tuple(maps.values())).passed


def test_masks_curves_and_shares() -> None:
    square = experiments.polygon_mask([(2, 2), (6, 2), (6, 6), (2, 6)], 10, 12)
    assert square.shape == (10, 12)
    assert square[4, 4] and not square[8, 8]
    box = experiments.box_mask(1, 2, 4, 6, 10, 12)
    assert box.sum() == 12
    assert box[2:6, 1:4].all()
    fine = box.astype(np.float32) * 0.5
    thresholds, scores = experiments.iou_curve(fine, box)
    assert scores[0] == pytest.approx(12 / 120)  # the whole picture
    assert (scores[1:] == 1).all()
    assert thresholds[-1] == 1
    assert experiments.share_near_top(np.array([1, 0.995, 0.9, 0], np.float32)) == 0.5


@pytest.mark.parametrize("q", np.arange(-5, 5.25, 0.25))
def test_where_a_power_mean_lies_is_said_truly(q: float) -> None:
    """In words the slider's every step; in numbers the means that the words name."""
    values = [np.array([[0.2]]), np.array([[0.5]]), np.array([[0.9]])]
    mean = float(power_mean(values, q)[0, 0])
    named = {
        "the smallest value": 0.2,
        "the harmonic mean": 3 / (1 / 0.2 + 1 / 0.5 + 1 / 0.9),
        "the geometric mean": (0.2 * 0.5 * 0.9) ** (1 / 3),
        "the arithmetic mean": 1.6 / 3,
        "the largest value": 0.9,
    }
    said = step_7.word(float(q))
    if said in named:
        assert mean == pytest.approx(named[said], rel=1e-6)
        return
    low, high = said.removeprefix("between ").split(" and ")
    assert named[low] < mean < named[high]
    between = [value for value in named.values() if named[low] < value < named[high]]
    assert between == [], "the words are the nearest"


def test_numpy_warns_where_the_plain_softmax_breaks_and_goes_on() -> None:
    with pytest.warns(RuntimeWarning) as warned:
        exponentials = np.exp(np.array([1000.0, 0.0], np.float32))
        result = exponentials / exponentials.sum()
    assert {str(w.message).split()[0] for w in warned} == {"overflow", "invalid"}
    assert np.isnan(result[0])


@pytest.mark.tensorflow
def test_tensorflow_does_not_even_warn(recwarn: pytest.WarningsRecorder) -> None:
    import tensorflow as tf

    exponentials = tf.exp(tf.constant([1000.0, 0.0]))
    assert np.isnan((exponentials / tf.reduce_sum(exponentials)).numpy()[0])
    assert len(recwarn) == 0


@pytest.mark.parametrize("name", ["lite0", "lite2"])
@pytest.mark.parametrize("picture", ["chelsea", "coffee"])
def test_the_logits_of_a_cell_are_nearly_centred(name: str, picture: str, request: Any, resized: Any) -> None:
    logits = request.getfixturevalue(name).logits(resized(request.getfixturevalue(picture), 300, 450))
    assert abs(logits.mean()) < 0.1 * logits.std(axis=-1).mean()
    assert 0.45 < (logits < 0).mean() < 0.6


def test_old_lines_are_tried_and_said_truly() -> None:
    said = {line.line: line.error for line in experiments.old_lines()}
    assert said["int(np.array([[5]]))"].startswith("TypeError")
    assert said["np.alltrue([1 < 2, 2 < 3])"].startswith("AttributeError")
    assert said["from scipy.misc import imread"].startswith(("ImportError", "ModuleNotFoundError"))
    for line in experiments.old_lines():
        exec(line.today, {"np": np})  # noqa: S102


def test_the_facts_the_prose_relies_on(lite2: Any) -> None:
    stage = Stage(ModelKey("efficientnet-lite2"), caches.sample("dog"))
    facts.gather(stage)
    values = stage.values
    assert values["dog_classes"] == "118"
    assert (values["animal_entries"], values["animal_classes"], values["animal_extra"]) == (
        "533",
        "398",
        "135",
    )
    assert values["ask_grid"] == "7 × 10"
    assert values["native_grid"] == "{} × {}".format(*lite2.geometry.grid(260, 260))
    assert values["convolution_shape"] == "(1, 1, 1280, 1000)"
    assert values["exp_limit"] == "88.7"
    asked = {
        "synset": values["synset"],
        "classes": Ontology.load().count(first_synset("dog", Ontology.load())),
    }
    assert asked == {"synset": "dog", "classes": 118}


def test_the_outline_lies_on_the_cat() -> None:
    picture = caches.sample("cat").working
    (corners,) = outlines()["cat"]
    mask = experiments.polygon_mask(corners, picture.height, picture.width)
    assert 0.7 < mask.mean() < 0.8
    for y, x in ((110, 170), (135, 315), (240, 265)):  # eyes and nose
        assert mask[y, x]
    for y, x in ((30, 430), (250, 430), (60, 5)):  # behind it
        assert not mask[y, x]
