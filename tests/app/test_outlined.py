"""What Explore outlines where things overlap: each place belongs to one thing; a person gives way to what it wears."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.state import caches, selection, shared_queue
from app.state.queue.jobs import ModelKey
from app.state.view import View, apart
from fcn_core.synsets.ontology import Ontology
from tests.app.explore_page import large, opened, outlined

pytestmark = pytest.mark.usefixtures("prepared_app")
PERSON, HELMET, STETHOSCOPE = "n00007846", "n03379051", "n04317175"
SHUTTLE, WEAPON, VEHICLE = "n04266014", "n04565375", "n04524313"


@pytest.fixture
def view(lite2: Any, monkeypatch: pytest.MonkeyPatch) -> View:
    """The view of a page, outside of it: without the caches of its session."""
    page = opened(picture="astronaut", how="false")
    assert outlined(page) == ["person", "football helmet"]
    job, picture = page.session_state["explore"].shown
    assert shared_queue.queue().info(ModelKey("efficientnet-lite2")) is not None
    for name in ("outlined", "fine", "scene"):
        monkeypatch.setattr(caches, name, getattr(caches, name).__wrapped__)
    view = View.of(job, picture)
    assert view is not None
    return view


def test_a_person_gives_way_to_what_it_wears(view: View) -> None:
    chosen = replace(selection.default(), synset=PERSON)
    alone, beside = view.outlined(chosen, PERSON), view.outlined(chosen, PERSON, (HELMET,))
    helmet = view.outlined(chosen, HELMET, (PERSON,))
    assert (alone.mask & helmet.mask).any(), "they overlap"
    np.testing.assert_array_equal(beside.mask, alone.mask & ~helmet.mask)
    np.testing.assert_array_equal(helmet.mask, view.outlined(chosen, HELMET).mask)
    assert beside.coverage == pytest.approx(beside.mask.mean())


@pytest.mark.parametrize(
    "pair", [(SHUTTLE, WEAPON), (WEAPON, SHUTTLE), (HELMET, STETHOSCOPE), (VEHICLE, PERSON)]
)
def test_a_place_belongs_to_what_is_most_probably_there(view: View, pair: tuple[str, str]) -> None:
    chosen = replace(selection.default(), synset=PERSON)
    alone = [view.outlined(chosen, wnid).mask for wnid in pair]
    first, second = (view.outlined(chosen, wnid, (other,)).mask for wnid, other in (pair, (pair[1], pair[0])))
    assert (alone[0] & alone[1]).any() and not (first & second).any()
    np.testing.assert_array_equal(first | second, alone[0] | alone[1])
    analyses = [view.analysis(replace(chosen, synset=wnid)) for wnid in pair]
    ours, theirs = (each.presence * each.fine for each in analyses)
    np.testing.assert_array_equal(first, alone[0] & ~(alone[1] & (theirs > ours)))


def test_a_person_takes_nothing_from_what_it_wears(view: View) -> None:
    chosen = replace(selection.default(), synset=SHUTTLE)
    alone = view.outlined(chosen, STETHOSCOPE).mask
    assert (alone & view.outlined(chosen, PERSON).mask).any()
    np.testing.assert_array_equal(view.outlined(chosen, STETHOSCOPE, (PERSON,)).mask, alone)


@pytest.mark.parametrize(
    ("covered", "left"),
    [([], 6), ([slice(0, 4)], 2), ([slice(0, 5)], 0), ([slice(0, 2), slice(2, 5)], 0), ([slice(6, 9)], 6)],
)
def test_what_others_cover_for_the_most_part_is_not_outlined(covered: list[slice], left: int) -> None:
    mask, others = np.zeros((1, 9), bool), [np.zeros((1, 9), bool) for _ in covered]
    mask[:, :6] = True
    for other, columns in zip(others, covered, strict=True):
        other[:, columns] = True
    found = apart(mask, others)
    assert found.sum() == left and not any((found & other).any() for other in others)
    assert mask.sum() == 6, "unchanged"


def test_a_person_is_marked_and_nothing_else(view: View) -> None:
    analysis = view.analysis(replace(selection.default(), synset=PERSON))
    inside = {"face": (130, 230), "left arm": (350, 60), "chest": (330, 250), "neck": (205, 240)}
    outside = {"shuttle": (120, 415), "wall": (60, 330), "shelf": (290, 480), "beside the hair": (80, 145)}
    found = {name: bool(analysis.mask[place]) for name, place in (inside | outside).items()}
    assert found == dict.fromkeys(inside, True) | dict.fromkeys(outside, False)


def test_the_page_outlines_them_apart() -> None:
    shapes = {shape["name"]: shape for shape in large(opened(picture="astronaut", how="false"))["shapes"]}
    alone = large(opened(picture="astronaut", synset="person", how="false"))["shapes"][0]
    assert shapes["person"]["path"] != alone["path"]
    assert Ontology.load().label(PERSON) == "person"
