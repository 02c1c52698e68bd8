"""From a picture to an analysis: order, progress, cancelling, grids, the notebook's means, odd sizes."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import skimage.transform

import fcn_core
from fcn_core import pipeline
from fcn_core.errors import Cancelled, FcnError, ScaleError, UnknownSynset
from fcn_core.images.read import image_from_array, read_image
from fcn_core.images.scales import NOTEBOOK_SCALES, Scale, parse_scales
from fcn_core.maps.region import hysteresis_mask, threshold_mask
from fcn_core.networks import middle
from fcn_core.networks.zoo import MODELS
from fcn_core.pipeline import MapOptions, Step, analyse, compute_class_maps, interpret
from fcn_core.synsets.ontology import Ontology
from fcn_core.system.installed import versions
from tests.places import ROOT
from tests.waiting import Ticks

SMALL = parse_scales("96x128,64x64,128x192")
CAT, DOG, SPOON = "n02121620", "n02084071", "n04597913"


@pytest.fixture(scope="module")
def cat():
    return image_from_array(skimage.data.chelsea(), "chelsea.png")


@pytest.fixture(scope="module")
def cat_maps(cat, lite0):
    return compute_class_maps(cat, lite0, parse_scales("200x320,100x160"))


@pytest.fixture(scope="module")
def cat_analysis(cat, cat_maps, lite0):
    return interpret(cat, cat_maps, Ontology.load().find(CAT), lite0.info)


def test_scales_in_any_order_run_coarse_first(cat, lite0):
    maps = compute_class_maps(cat, lite0, SMALL, "exact")
    assert list(maps) == ["64x64", "96x128", "128x192"]
    assert [m.grid for m in maps.values()] == [(2, 2), (3, 4), (4, 6)]
    assert all(m.logits.shape == (*m.grid, 1000) and m.logits.dtype == np.float32 for m in maps.values())


def test_class_maps_have_the_middle_of_the_same_pass(cat, lite0, monkeypatch):
    monkeypatch.setattr(middle, "MOST_PIXELS", 96 * 128)
    passes = []
    run = type(lite0)._run_whole
    monkeypatch.setattr(type(lite0), "_run_whole", lambda *a: passes.append(1) or run(*a))
    maps = compute_class_maps(cat, lite0, SMALL, "exact")
    assert len(passes) == len(SMALL)
    names = MODELS["efficientnet-lite0"].middle
    assert [tuple(e.name for e in m.middle) for m in maps.values()] == [names, names, ()]
    for m in maps.values():
        assert m.nbytes == m.logits.nbytes + sum(e.values.nbytes for e in m.middle)
        for each in m.middle:
            h, w, _ = each.values.shape
            assert (each.cells.y.size, each.cells.x.size) == (h, w)
            assert each.cells.y.input_size == m.scale.height
            assert each.values.dtype == np.float16
            assert np.isfinite(each.values).all()
            assert np.ptp(each.values) > 1
    copy = pickle.loads(pickle.dumps(maps["64x64"]))
    assert np.array_equal(copy.middle[1].values, maps["64x64"].middle[1].values)


def test_progress_never_decreases_and_passes_every_class_map(cat, lite0):
    steps: list[Step] = []
    maps = compute_class_maps(cat, lite0, SMALL, progress=steps.append)
    whole = [(s.index + s.share) / s.count for s in steps]
    assert whole == sorted(whole)
    assert whole[0] == 0
    assert whole[-1] == 1
    done = [s.class_map for s in steps if s.class_map is not None]
    assert done == list(maps.values())
    assert {s.count for s in steps} == {3}


def test_cancelling_stops_between_scales(cat, lite0):
    finished: list[str] = []

    def progress(step: Step) -> None:
        if step.class_map is not None:
            finished.append(str(step.scale.requested))

    with pytest.raises(Cancelled, match="96x128"):
        compute_class_maps(cat, lite0, SMALL, progress=progress, cancelled=lambda: bool(finished))
    assert finished == ["64x64"]


def test_errors_of_the_progress_callback_propagate_and_the_model_still_runs(cat, lite0):
    def progress(_: Step) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        compute_class_maps(cat, lite0, SMALL[:1], progress=progress)
    assert compute_class_maps(cat, lite0, SMALL[:1])


class _NoNetwork:
    def __getattr__(self, name: str):
        raise AssertionError(f"the network was used: {name}")


def test_a_new_synset_reuses_the_class_maps_and_runs_no_network(
    cat, cat_maps, cat_analysis, lite0, monkeypatch
):
    monkeypatch.setattr(type(lite0), "run", _NoNetwork.__getattr__)
    dog = interpret(cat, cat_maps, Ontology.load().find(DOG), lite0.info)
    assert dog.class_maps is cat_maps
    assert len(dog.class_ids) == 118
    assert dog.arithmetic.peak < 0.2 < 0.5 < cat_analysis.arithmetic.peak


def test_analyse_is_both_halves(cat, cat_analysis, lite0, monkeypatch):
    monkeypatch.setattr(pipeline, "time", Ticks())
    whole = analyse(cat, "cat", lite0, parse_scales("200x320,100x160"))
    assert whole.synset.wnid == CAT
    np.testing.assert_allclose(whole.arithmetic.values, cat_analysis.arithmetic.values, atol=1e-6)
    np.testing.assert_allclose(whole.fine, cat_analysis.fine, atol=1e-5)
    assert [m.seconds for m in whole.class_maps.values()] == [1, 1]
    assert whole.seconds > 2, "from the beginning to the end"
    assert whole.peak_rss_mb > 10
    assert analyse(cat, whole.synset, lite0, SMALL[:1]).synset is whole.synset


def test_heatmaps_are_the_softmax_summed_over_the_synsets_classes(cat_analysis):
    for key, class_map in cat_analysis.class_maps.items():
        shifted = np.exp(class_map.logits.astype(np.float64) - class_map.logits.max(-1, keepdims=True))
        expected = (shifted / shifted.sum(-1, keepdims=True))[..., list(cat_analysis.class_ids)].sum(-1)
        np.testing.assert_allclose(cat_analysis.heatmaps[key].values, expected, atol=1e-5)


def test_evidence_is_the_positive_part_of_the_largest_logit(cat, cat_maps, cat_analysis, lite0):
    result = interpret(cat, cat_maps, cat_analysis.synset, lite0.info, kind="evidence")
    for key, class_map in cat_maps.items():
        expected = np.maximum(class_map.logits[..., list(result.class_ids)].max(-1), 0)
        np.testing.assert_array_equal(result.heatmaps[key].values, expected)


def test_means_are_the_notebooks_formulas(cat_analysis):
    finest = max((h.values for h in cat_analysis.heatmaps.values()), key=np.size)
    resized = [
        h.values.astype(np.float64)
        if h.values.shape == finest.shape
        else skimage.transform.resize(
            h.values.astype(np.float64), finest.shape, mode="reflect", preserve_range=True, anti_aliasing=True
        )
        for h in cat_analysis.heatmaps.values()
    ]
    np.testing.assert_allclose(cat_analysis.arithmetic.values, sum(resized) / len(resized), atol=1e-6)
    geometric = np.power(np.prod(resized, axis=0), 1 / len(resized))
    np.testing.assert_allclose(cat_analysis.geometric.values, geometric, atol=1e-6)


def test_the_notebooks_scales_give_the_notebooks_grids(lite0):
    base = skimage.data.coffee()
    image = image_from_array(np.tile(base, (4, 5, 1))[:1600, :2560], "coffee.png")
    maps = compute_class_maps(image, lite0, NOTEBOOK_SCALES, "exact")
    assert [m.grid for m in maps.values()] == [(7, 10), (13, 20), (25, 40), (50, 80)]
    assert not any(m.scale.enlarges for m in maps.values())


@pytest.mark.parametrize("snap", [True, False])
def test_the_fine_map_and_what_is_made_from_it_fit_the_picture(cat, cat_maps, cat_analysis, lite0, snap):
    result = interpret(cat, cat_maps, cat_analysis.synset, lite0.info, snap=snap)
    assert result.snapped is snap
    assert result.fine.shape == result.mask.shape == (300, 451)
    assert result.fine.dtype == np.float32
    assert 0 <= result.fine.min() < 0.1 < 0.9 < result.fine.max() <= 1
    cut = hysteresis_mask if snap else threshold_mask
    np.testing.assert_array_equal(result.mask, cut(result.fine, result.threshold))
    assert result.boxes
    for box in result.boxes:
        assert 0 <= box.x0 < box.x1 <= 451
        assert 0 <= box.y0 < box.y1 <= 300
        assert result.mask[box.y0 : box.y1, box.x0 : box.x1].any()


def test_the_snapped_map_is_of_evidence_whatever_the_kind_and_the_plain_one_is_of_the_kind(
    cat, cat_maps, cat_analysis, lite0
):
    def fine(kind, snap):
        return interpret(cat, cat_maps, cat_analysis.synset, lite0.info, kind=kind, snap=snap).fine

    np.testing.assert_array_equal(fine("probability", True), fine("evidence", True))
    assert np.abs(fine("probability", False) - fine("evidence", False)).max() > 0.05


@pytest.mark.parametrize(
    ("options", "marked"),
    [({}, 1), ({"threshold": 0.4}, 2), ({"snap": False}, 2)],
    ids=["of itself", "at a threshold of the user's", "of a plain mean"],
)
def test_an_unsure_part_is_left_out_unless_the_user_chose_the_threshold(
    cat, cat_maps, cat_analysis, lite0, options, marked
):
    fine = np.zeros((300, 451), np.float32)
    fine[50:200, 50:200], fine[100:200, 300:400] = 0.95, 0.6
    result = interpret(cat, cat_maps, cat_analysis.synset, lite0.info, fine=fine, **options)
    assert result.threshold < 0.6
    assert len(result.boxes) == marked
    assert result.mask[150, 350] == (marked == 2)
    assert result.mask[100, 100]


def test_a_given_fine_map_is_requested_late_and_once(cat, cat_maps, cat_analysis, lite0):
    asked: list[bool] = []

    def kept():
        asked.append(True)
        return cat_analysis.fine

    again = interpret(cat, cat_maps, cat_analysis.synset, lite0.info, threshold=0.3, fine=kept)
    assert again.arithmetic.peak > 0.5
    assert not asked, "heatmaps need no fine map"
    np.testing.assert_array_equal(again.mask, cat_analysis.fine >= 0.3)
    assert again.boxes
    assert again.fine is cat_analysis.fine
    assert len(asked) == 1
    given = interpret(cat, cat_maps, cat_analysis.synset, lite0.info, fine=cat_analysis.fine)
    assert given.fine is cat_analysis.fine


def test_an_analysis_can_be_pickled(cat_analysis):
    copy = pickle.loads(pickle.dumps(replace(cat_analysis)))
    np.testing.assert_array_equal(copy.fine, cat_analysis.fine)
    assert copy.boxes == cat_analysis.boxes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, MapOptions()),
        ({"options": MapOptions(kind="evidence")}, MapOptions(kind="evidence")),
        ({"threshold": 0.25, "fit": "exact"}, MapOptions(threshold=0.25, fit="exact")),
        ({"options": MapOptions("evidence", snap=False), "snap": True}, MapOptions("evidence")),
    ],
)
def test_options_are_a_record_or_keywords(cat, cat_maps, cat_analysis, lite0, given, expected):
    result = interpret(cat, cat_maps, cat_analysis.synset, lite0.info, **given)
    assert result.options == expected
    assert (result.kind, result.fit, result.snapped) == (expected.kind, expected.fit, expected.snap)


@pytest.mark.parametrize("function", [interpret, analyse])
def test_an_unknown_keyword_is_named_in_the_error(cat, cat_maps, cat_analysis, lite0, function, monkeypatch):
    monkeypatch.setattr(type(lite0), "run", _NoNetwork.__getattr__)
    arguments = {
        interpret: (cat, cat_maps, cat_analysis.synset, lite0.info),
        analyse: (cat, "cat", lite0, SMALL),
    }
    with pytest.raises(TypeError, match="kind, fit, threshold, snap"):
        function(*arguments[function], treshold=0.5)


@pytest.mark.parametrize("option", [{"kind": "logits"}, {"fit": "stretch"}, {"threshold": 2}])
def test_an_unknown_option_is_an_error_before_the_network_runs(cat, lite0, option, monkeypatch):
    monkeypatch.setattr(type(lite0), "run", _NoNetwork.__getattr__)
    with pytest.raises(FcnError, match=r"Expected .* Received .* Choose"):
        analyse(cat, "cat", lite0, SMALL, **option)


@pytest.mark.parametrize(("threshold", "share"), [(0, 1.0), (0.0, 1.0), (1, None), (0.25, None)])
def test_a_given_threshold_is_used(cat, cat_maps, cat_analysis, lite0, threshold, share):
    result = interpret(cat, cat_maps, cat_analysis.synset, lite0.info, threshold=threshold)
    assert result.threshold == threshold
    assert result.mask.mean() == (share if share is not None else (cat_analysis.fine >= threshold).mean())
    assert result.mask.any() == (threshold < 1)  # a probability of 1 is not reached


@pytest.mark.parametrize("threshold", [-0.1, 1.01, float("nan"), float("inf")])
def test_a_threshold_out_of_range_is_an_error(cat, cat_maps, cat_analysis, lite0, threshold):
    with pytest.raises(FcnError, match="from 0 to 1"):
        interpret(cat, cat_maps, cat_analysis.synset, lite0.info, threshold=threshold)


def test_an_analysis_needs_a_scale(cat, cat_analysis, lite0):
    with pytest.raises(ScaleError, match="at least one"):
        interpret(cat, {}, cat_analysis.synset, lite0.info)
    with pytest.raises(ScaleError, match="at least one"):
        compute_class_maps(cat, lite0, ())


def test_an_unknown_synset_is_an_error_before_the_network_runs(cat, lite0, monkeypatch):
    monkeypatch.setattr(type(lite0), "run", _NoNetwork.__getattr__)
    with pytest.raises(UnknownSynset):
        analyse(cat, "flibbertigibbet", lite0)


@pytest.mark.parametrize("fit", ["aspect", "exact"])
@pytest.mark.parametrize(
    ("height", "width"), [(2, 2), (2, 3), (5, 4), (31, 33), (40, 40), (2, 3000), (3000, 2), (17, 900)]
)
def test_tiny_pictures_and_strips_give_maps_of_their_size(lite0, height, width, fit):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    result = analyse(image_from_array(pixels, "strip"), "dog", lite0, [Scale(64, 96)], fit=fit)
    assert result.fine.shape == result.mask.shape == (height, width)
    assert np.isfinite(result.fine).all()
    assert np.isfinite(result.arithmetic.values).all()
    assert next(iter(result.class_maps.values())).scale.enlarges == (height * width < 64 * 96)


def test_a_picture_of_one_colour_can_be_analysed(lite0):
    result = analyse(image_from_array(np.full((60, 80, 3), 127, np.uint8)), "dog", lite0, [Scale(64, 64)])
    assert result.fine.shape == (60, 80)
    assert 0 <= result.threshold <= 1


def test_an_analysis_is_frozen(cat_analysis):
    with pytest.raises(AttributeError):
        cat_analysis.options = MapOptions()
    changed = replace(cat_analysis, options=MapOptions(threshold=0.5))
    assert changed.threshold == 0.5
    np.testing.assert_array_equal(changed.mask, cat_analysis.fine >= 0.5)


@pytest.mark.tensorflow
def test_versions_name_what_the_numbers_depend_on():
    assert {"python", "numpy", "openvino", "keras", "tensorflow", "scikit-image"} <= set(versions())


def _shared() -> Path:
    return Path(os.environ.get("FCN_SHARED") or ROOT.parent / "shared")


@pytest.mark.skipif(
    not (_shared() / "images/corgi.jpg").is_file(), reason="the corgi's picture is not at hand"
)
def test_the_peaks_of_the_means_are_on_the_corgi(lite2):
    image = read_image(_shared() / "images/corgi.jpg")
    result = analyse(image, DOG, lite2, NOTEBOOK_SCALES, fit="exact")
    assert [m.grid for m in result.class_maps.values()] == [(7, 10), (13, 20), (25, 40), (50, 80)]
    for mean in (result.arithmetic, result.geometric):
        assert mean.peak > 0.9
        row, column = mean.peak_cell
        y, x = mean.cells.y.centre(row), mean.cells.x.centre(column)
        assert 1000 <= x * image.width / 2560 <= 1400
        assert 750 <= y * image.height / 1600 <= 1450
    largest = result.boxes[0]
    assert largest.x0 < 1200 < largest.x1
    assert largest.y0 < 1000 < largest.y1


@pytest.mark.parametrize(
    ("wnid", "always", "present", "marked"),
    [
        (CAT, False, True, True),
        (CAT, True, True, True),
        (SPOON, False, False, False),
        (SPOON, True, False, True),
    ],
)
def test_what_is_not_there_is_not_marked_unless_asked_for(
    wnid, always, present, marked, cat, cat_maps, lite0
):
    found = interpret(cat, cat_maps, Ontology.load().find(wnid), lite0.info, always_mark=always)
    assert found.presence == fcn_core.presence(cat_maps, wnid)
    assert found.presence_floor == pipeline.PRESENCE_FLOOR
    assert (found.present, found.marked) == (present, marked)
    assert found.mask.shape == (cat.height, cat.width)
    assert bool(found.mask.any()) == bool(found.boxes) == marked
    assert found.fine.max() > found.threshold, "the map shows the strongest trace in any case"


def test_the_floor_itself_counts_as_there(cat_analysis, monkeypatch):
    monkeypatch.setattr(pipeline, "PRESENCE_FLOOR", cat_analysis.presence)
    assert cat_analysis.present
    monkeypatch.setattr(pipeline, "PRESENCE_FLOOR", np.nextafter(cat_analysis.presence, 1))
    assert not cat_analysis.present
