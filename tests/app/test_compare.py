"""Compare: what differs between its halves, and what it says about them."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.compare import difference
from app.compare.difference import FLOOR
from fcn_core.maps.heatmap import Heatmap, place
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.synsets.ontology import Ontology
from tests.app.compare_page import compared, opened_compare
from tests.app.explore_page import CAT, DOG, question, stages, text
from tests.app.test_addresses import widget

SMALL = [[1.0, 0.5, FLOOR], [0.0, 0.1, 0.25]]
OTHER = [[FLOOR / 9, 0.25, 0.0], [0.0, 0.4, 0.25]]
WAYS = {"synsets": difference.of_synsets, "models": difference.of_models}


def heatmap(values: Any, offset: float = 0.0, extent: int = 100) -> Heatmap:
    rows, columns = np.shape(values)
    cells = CellGrid(
        CellAxis(32 * rows, rows, 32, 16 + offset, extent),
        CellAxis(32 * columns, columns, 32, 16 + offset, extent),
    )
    return Heatmap(np.asarray(values, np.float32), "probability", cells)


def expected(way: str, first: Any, second: Any) -> Any:
    if way == "models":
        return first - second
    return np.log(np.maximum(first, FLOOR) / np.maximum(second, FLOOR))


@pytest.mark.parametrize("way", WAYS)
def test_the_difference_is_that_of_the_maps(way: str) -> None:
    one, other = heatmap(SMALL), heatmap(OTHER)
    found = WAYS[way](one, other)
    values, cells = found.cells()
    assert cells == one.cells
    np.testing.assert_allclose(values, expected(way, np.array(SMALL), np.array(OTHER)), atol=1e-6)
    np.testing.assert_allclose(
        found.pixels(40, 60), expected(way, place(one, 40, 60), place(other, 40, 60)), atol=1e-5
    )
    assert values[1, 0] == values[1, 2] == 0, "zero where neither is anywhere, and where both are equal"


def test_the_range_of_synsets_holds_every_difference() -> None:
    found = difference.of_synsets(heatmap([[1.0, 0.0]]), heatmap([[0.0, 1.0]]))
    assert found.cells()[0].ravel().tolist() == pytest.approx([found.most, -found.most])
    assert found.most == pytest.approx(-math.log(FLOOR))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("offset", [0.0, 5.0], ids=["same cells", "other cells"])
def test_swapped_halves_have_the_opposite_difference(way: str, offset: float) -> None:
    one, other = heatmap(SMALL), heatmap(OTHER, offset)
    there, back = WAYS[way](one, other), WAYS[way](other, one)
    np.testing.assert_allclose(there.pixels(40, 60), -back.pixels(40, 60), atol=1e-6)
    np.testing.assert_allclose(there.cells()[0], -back.cells()[0], atol=1e-6)
    assert (there.cells()[1] is None) is bool(offset)
    wider = WAYS[way](one, heatmap(OTHER, offset, extent=300))
    assert np.array_equal(wider.cells()[0], there.cells()[0]), "how far the cells look is another matter"
    assert not WAYS[way](one, one).pixels(40, 60).any(), "zero where equal"


def test_maps_of_other_grids_are_compared_at_the_first_ones() -> None:
    one, other = heatmap(SMALL), heatmap([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    values, cells = difference.of_models(one, other).cells()
    assert values.shape == (2, 3) and cells is None
    np.testing.assert_allclose(values, place(one, 2, 3) - 0.5, atol=1e-6)


pages = pytest.mark.usefixtures("prepared_app")


def halves_of(page: AppTest) -> list[np.ndarray]:
    """The values under the pointer: of both halves, and of the difference."""
    shown = stages(page)
    shape = len(shown[0]["ys"]) - 1, len(shown[0]["xs"]) - 1
    return [np.reshape(each["values"], shape) / 1000 for each in shown]


@pages
@pytest.mark.parametrize("view", ["Outline", "Heatmap"])
@pytest.mark.parametrize("kind", ["Probability", "Evidence"])
def test_two_synsets_are_compared_by_how_many_times_one_is_more_probable(view: str, kind: str) -> None:
    query = {"compare": "Synsets", "picture": "dog", "synset": "dog", "other": "cat", "scales": "200x320"}
    page = opened_compare(**query, view=view, map=kind)
    assert question(page) == "Dog or cat: where, and how much?"
    assert [each["names"] for each in stages(page)][2] == ["times more dog", "times more cat"]
    assert {each["group"] for each in stages(page)} == {"compare"}
    shown = [[shape["name"] for shape in each["shapes"]] for each in stages(page)]
    assert shown == [["dog"] if view == "Outline" else [], [], []], "the absent one is marked nowhere"
    first, second, times = halves_of(page)
    if kind == "Probability":
        told = np.sign(times) * np.log(np.maximum(np.abs(times), 1))
        np.testing.assert_allclose(told, expected("synsets", first, second), atol=0.03)
    assert times.max() == pytest.approx(1 / FLOOR, rel=0.1)
    probable = halves_of(opened_compare(**query, map="Probability"))[2]
    np.testing.assert_allclose(
        times, probable, rtol=1e-3, err_msg="odds are of probabilities, whatever is shown"
    )
    swapped = opened_compare(**{**query, "synset": "cat", "other": "dog"}, view=view, map=kind)
    np.testing.assert_allclose(halves_of(swapped)[2], -times, rtol=1e-3)
    body = text(page)
    assert re.search(r"dog: sure \(\d+%\), outlined on \d+% of the photo", body)
    assert re.search(r"No cat found here \(\d+%\)", body)
    assert "20 times more dog" in body and "counts as 0.05" in body
    assert len(re.findall('data-announce="', body)) == 1


@pages
def test_two_equal_synsets_do_not_differ() -> None:
    page = opened_compare(compare="Synsets", synset="cat", other="cat", picture="cat", scales="200x320")
    assert not halves_of(page)[2].any()
    assert "at most" in stages(page)[2]["alt"] and "nowhere more cat" in stages(page)[2]["alt"]


@pages
def test_two_models_are_compared_by_the_difference_of_their_means(lite0: Any) -> None:
    query = {"picture": "cat", "synset": "cat", "scales": "200x320"}
    page = opened_compare(**query, model="efficientnet-lite2", other_model="efficientnet-lite0")
    first, second, differs = halves_of(page)
    np.testing.assert_allclose(differs, first - second, atol=0.002)
    assert np.abs(differs).max() > 0.01
    assert stages(page)[2]["names"] == ["more with EfficientNet-Lite2", "more with EfficientNet-Lite0"]
    assert "0.5 or more with EfficientNet-Lite2" in text(page)


@pages
def test_two_pictures_have_numbers_and_no_difference() -> None:
    page = opened_compare(
        compare="Pictures", picture="cat", other_picture="coffee", synset="cat", scales="200x320"
    )
    assert len(stages(page)) == 2
    assert len({each["group"] for each in stages(page)}) == 2, "their places do not belong together"
    assert "no difference is drawn" in text(page)
    assert re.search(r"In the first photo, cat: sure .* In the second, no cat found here", text(page))


@pages
def test_the_difference_is_drawn_over_the_photo() -> None:
    """Where it is zero everywhere, the picture is the photo."""
    page = opened_compare(compare="Synsets", synset="cat", other="cat", picture="cat", scales="200x320")
    shown = stages(page)[2]
    assert shown["over"] == shown["photo"]
    widget(page, "compare-other-pick").set_value("dog")
    compared(page)
    shown = stages(page)[2]
    assert shown["over"] != shown["photo"]


@pages
def test_the_choices_of_a_photo_and_a_view_stay_in_every_mode() -> None:
    page = opened_compare(compare="Synsets", picture="cat", view="Heatmap", scales="200x320")
    for what in ("Models", "Pictures", "Synsets"):
        widget(page, "compare-compare").set_value(what)
        compared(page)
        assert (widget(page, "compare-picture").value, widget(page, "compare-view").value) == (
            "cat",
            "Heatmap",
        )
    synsets = Ontology.load()
    assert [synsets.label(wnid) for wnid in (CAT, DOG)] == ["cat", "dog"]
