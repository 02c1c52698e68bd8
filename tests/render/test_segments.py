"""Segments over a picture: colours that everybody tells apart, numbers, and a legend that can be read."""

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000

from fcn_core import render
from fcn_core.maps.segmentation import Segment, Segmentation
from fcn_core.render.lettering import PAPER, font_of, wrapped
from fcn_core.render.segments import NOTHING
from fcn_core.synsets.ontology import Ontology
from tests.render.vision import VISION, seen


def made_up(words=("dog", "cat"), height=90, width=120):
    """Return a segmentation of columns; the last column is nothing."""
    ontology = Ontology.load()
    labels = np.repeat((*range(1, len(words) + 1), 0), 10)[None].repeat(30, axis=0).astype(np.uint8)
    segments = tuple(
        Segment(k, ontology.find(word), 0.9 - 0.01 * k, 0, (0, 0, 0, 0))
        for k, word in enumerate(words, start=1)
    )
    return Segmentation(labels, segments, (), height, width).resized(height, max(width, labels.shape[1]))


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize(("count", "least"), [(7, 10.0), (14, 6.0)])
def test_every_kind_of_colour_vision_tells_the_colours_apart(vision, count, least):
    """By CIEDE2000; 2.3 is a just noticeable difference."""
    lab = seen(render.segment_colours(count), vision)
    assert min(deltaE_ciede2000(one, other) for one, other in combinations(lab, 2)) > least


def test_no_two_colours_are_equal_and_none_is_black():
    colours = render.segment_colours(300)
    assert len({*colours, (0, 0, 0)}) == 301
    assert all(0 <= level <= 255 for colour in colours for level in colour)
    assert colours[:7] == render.segment_colours(7)
    with pytest.raises(ValueError, match=r"at most \d+ segments"):
        render.segment_colours(400)


@pytest.mark.parametrize("colour", render.segment_colours(28))
def test_numbers_can_be_read_on_their_colours(colour):
    assert render.contrast(render.ink_on(colour), colour) >= 4.5


@pytest.mark.parametrize("dark", [False, True])
def test_names_can_be_read_on_the_legend(dark):
    assert render.contrast(*PAPER[dark]) >= 7


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 0, 0), (255, 255, 255), 21.0),
        ((9, 9, 9), (9, 9, 9), 1.0),
        ((255, 255, 255), (118, 118, 118), 4.54),
    ],
)
def test_the_contrast_is_that_of_wcag(one, other, expected):
    assert render.contrast(one, other) == pytest.approx(expected, abs=0.01)
    assert render.contrast(other, one) == render.contrast(one, other)


def test_segments_have_their_colours_and_the_rest_stays_as_it_is():
    found = made_up()
    photo = np.full((90, 120, 3), 100, np.uint8)
    shown = render.draw_segments(photo, found, opacity=0.5)
    dog, cat = render.segment_colours(2)
    for column, colour in ((10, dog), (60, cat), (110, None)):
        expected = [100, 100, 100] if colour is None else [round(50 + c / 2) for c in colour]
        np.testing.assert_allclose(shown[5, column], expected, atol=1)
    assert (photo == 100).all()


def test_each_segment_has_its_number_in_its_own_colour():
    found = made_up(("dog", "cat", "espresso"), 300, 400)
    shown = render.draw_segments(np.full((300, 400, 3), 128, np.uint8), found, opacity=0.2)
    labels = found.expand()
    for label, colour in enumerate(render.segment_colours(3), start=1):
        plate = (shown == colour).all(axis=-1)
        assert plate.sum() > 50
        assert (labels[plate] == label).all()


def test_overlays_in_blocks_have_no_seams(monkeypatch):
    from fcn_core.render import colours

    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    whole = render.draw_segments(photo, made_up())
    monkeypatch.setattr(colours, "_BLOCK_PIXELS", 500)
    np.testing.assert_array_equal(render.draw_segments(photo, made_up()), whole)


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two", 1000, ["one two"]),
        ("one two", 1, ["…", "…"]),
        ("", 100, []),
        ("ii ii ii ii", 35, ["ii ii", "ii ii"]),
    ],
)
def test_text_is_divided_between_words(text, width, lines):
    assert wrapped(text, font_of(20), width) == lines


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [40, 360, 1500])
def test_the_legend_has_a_line_for_each_segment(width, dark):
    ground, _ = PAPER[dark]
    heights = []
    for words in ((), ("dog",), ("dog", "cat")):
        drawn = render.segment_legend(made_up(words), width, dark)
        assert drawn.shape[1] == max(width, 120)
        assert tuple(drawn[0, 0]) == ground
        for colour in render.segment_colours(len(words)):
            assert (drawn == colour).all(axis=-1).sum() > 100
        heights.append(drawn.shape[0])
    assert heights[2] > heights[1] > heights[0]


def test_the_legend_says_how_certain_each_segment_is_and_where_nothing_is(monkeypatch):
    from PIL import ImageDraw

    written = []
    text = ImageDraw.ImageDraw.text

    def noted(self, place, words, **options):
        written.append(words)
        text(self, place, words, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    render.segment_legend(made_up(), 600)
    assert written == ["1", "dog", "89%", "2", "cat", "88%", "Where there is no colour, nothing was found."]
    written.clear()
    render.segment_legend(made_up(()), 600)
    assert written == [NOTHING]
    written.clear()
    render.segment_legend(made_up(), 120)
    assert " ".join(written[6:]) == "Where there is no colour, nothing was found."
    assert len(written) > 7


@pytest.mark.parametrize("width", [60, 120, 500])
def test_the_legend_stands_below_the_picture(width):
    picture = np.full((40, width, 3), 7, np.uint8)
    sheet = render.with_segment_legend(picture, made_up())
    below = render.segment_legend(made_up(), width)
    np.testing.assert_array_equal(sheet[:40, :width], picture)
    np.testing.assert_array_equal(sheet[40:], below)
