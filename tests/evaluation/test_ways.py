"""The ways of making a map, each against its definition."""

import numpy as np
import pytest

from fcn_core.engines.base import Pass
from fcn_core.evaluation.ways import NEED_TENSORFLOW, WAYS, OtherMap, Subject, centre_gaussian, makers_of
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import resize_array
from fcn_core.images.scales import Scale, plan_scales
from fcn_core.maps.region import hysteresis_mask, suggest_threshold, threshold_mask
from fcn_core.pipeline import Analysis, compute_class_maps, interpret
from fcn_core.synsets.ontology import Ontology
from tests.evaluation.red_cat import RedIsCat

SCALES = (Scale(64, 96), Scale(128, 192))
ONTOLOGY = Ontology.load()


@pytest.fixture(scope="module")
def subject():
    """A red rectangle on grey, sought as a cat."""
    pixels = np.full((128, 192, 3), 90, np.uint8)
    pixels[30:90, 40:120] = (220, 40, 40)
    image = RGBImage(pixels, "red.png", "")
    cat = ONTOLOGY.find("cat")
    maps = compute_class_maps(image, RedIsCat(), SCALES)
    plans = plan_scales(image.height, image.width, SCALES)
    return Subject(image, maps, plans, cat, ONTOLOGY.class_ids(cat.wnid))


def made(way, subject):
    return makers_of([way], RedIsCat(), ONTOLOGY)[way](subject)


@pytest.mark.parametrize("way", [way for way in WAYS if way not in NEED_TENSORFLOW])
def test_every_way_gives_a_map_and_a_mask_of_the_pictures_size(way, subject):
    found = made(way, subject)
    assert found.fine.shape == found.mask.shape == (128, 192)
    assert found.fine.dtype == np.float32
    assert found.mask.dtype == bool
    assert np.isfinite(found.fine).all()
    assert found.mask[60, 80]
    assert not found.mask[2, 2]


def test_own_masks_follow_the_rule_of_an_analysis(subject, monkeypatch):
    """A new rule for masks is measured from the moment it is the program's."""
    analysis = interpret(subject.image, subject.class_maps, subject.synset, RedIsCat.info)
    found = made("fine", subject)
    assert np.array_equal(found.fine, analysis.fine)
    assert np.array_equal(found.mask, analysis.mask)
    monkeypatch.setattr(Analysis, "mask", property(lambda self: np.zeros_like(self.fine, bool)))
    for way in ("fine", "probability", "evidence"):
        assert not made(way, subject).mask.any()
    assert made("notebook", subject).mask.any()


def test_own_masks_are_measured_although_the_program_finds_nothing(subject):
    """A row states that its synset is there."""
    spoon = ONTOLOGY.find("wooden spoon")
    absent = Subject(subject.image, subject.class_maps, subject.plans, spoon, ONTOLOGY.class_ids(spoon.wnid))
    assert not interpret(absent.image, absent.class_maps, spoon, RedIsCat.info).present
    for way in ("fine", "probability", "evidence"):
        found, cut = made(way, absent), hysteresis_mask if way == "fine" else threshold_mask
        assert np.array_equal(found.mask, cut(found.fine, found.threshold))


def test_other_masks_are_cut_at_otsus_threshold():
    values = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30) ** 3
    assert np.array_equal(OtherMap(values).mask, values >= suggest_threshold(values))


# --- the Gaussian at the centre


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 9), (8, 6), (101, 40), (224, 224)])
def test_the_gaussian_is_symmetric_about_the_centre(height, width):
    found = centre_gaussian(height, width)
    assert found.shape == (height, width)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, found[::-1], rtol=1e-5)
    np.testing.assert_allclose(found, found[:, ::-1], rtol=1e-5)
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    assert abs(row - (height - 1) / 2) <= 0.5
    assert abs(column - (width - 1) / 2) <= 0.5


def test_the_gaussian_has_a_standard_deviation_of_half_a_side():
    found = centre_gaussian(2000, 1001)
    peak = found.max()
    assert found[0, 500] / peak == pytest.approx(np.exp(-0.5), rel=2e-3)
    assert found[1000, 0] / peak == pytest.approx(np.exp(-0.5), rel=2e-3)
    assert found[0, 0] / peak == pytest.approx(np.exp(-1), rel=4e-3)
    assert found[500, 500] / peak == pytest.approx(np.exp(-0.125), rel=2e-3)  # half a standard deviation


def test_the_gaussian_follows_the_proportions_of_the_picture():
    square = centre_gaussian(60, 60)
    for height, width in ((60, 120), (30, 60)):
        small = resize_array(centre_gaussian(height, width), 60, 60)
        assert np.abs(small - square).max() < 0.03


# --- CAM


def test_cam_is_the_mean_of_the_scaled_maps_of_the_best_class():
    rng = np.random.default_rng(0)
    image = RGBImage(np.zeros((40, 60, 3), np.uint8), "x.png", "")
    cat = ONTOLOGY.find("cat")
    ids = ONTOLOGY.class_ids(cat.wnid)

    class Noise(RedIsCat):
        def run(self, image, checkpoint=None):
            values = rng.normal(size=(image.height // 16, image.width // 16, 1000)).astype(np.float32)
            values[..., ids[2]] += 3  # the best class of the synset
            values[..., 0] += 9  # not of the synset
            return Pass(values)

    model = Noise()
    maps = compute_class_maps(image, model, SCALES)
    subject = Subject(image, maps, (), cat, ids)
    found = makers_of(["cam"], model, ONTOLOGY)["cam"](subject).fine
    expected = np.zeros((40, 60))
    for each in maps.values():
        spread = resize_array(each.logits[..., ids[2]].astype(np.float64), 40, 60)
        expected += (spread - spread.min()) / np.ptp(spread) / len(maps)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_cam_does_not_depend_on_the_bias(subject):
    class Biased(RedIsCat):
        def run(self, image, checkpoint=None):
            return Pass(super().run(image).logits + 7)

    maps = compute_class_maps(subject.image, Biased(), SCALES)
    biased = Subject(subject.image, maps, subject.plans, subject.synset, subject.class_ids)
    np.testing.assert_allclose(made("cam", biased).fine, made("cam", subject).fine, atol=1e-5)


# --- LayerCAM over scales


@pytest.mark.tensorflow
def test_layercam_sees_the_sizes_of_the_scales(subject, monkeypatch):
    from fcn_core.evaluation import gradcam

    seen = []

    class Recorded:
        def __init__(self, name, random):
            assert (name, random) == ("red", True)

        def __call__(self, pixels, class_ids, size):
            seen.append(size)
            return np.eye(4, dtype=np.float32) * len(seen)

    monkeypatch.setattr(gradcam, "LayerCAM", Recorded)
    found = made("layercam", subject)
    assert seen == [(plan.height, plan.width) for plan in subject.plans]
    expected = resize_array(np.eye(4, dtype=np.float64), 128, 192)
    np.testing.assert_allclose(found.fine, (expected - expected.min()) / np.ptp(expected), atol=1e-5)
