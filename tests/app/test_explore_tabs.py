"""The tabs of Explore, and the other pages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.explore import inspect_tab
from app.state import shared_queue
from app.state.queue.jobs import ModelKey
from fcn_core.engines import effective_field
from fcn_core.networks.geometry import CellAxis
from fcn_core.synsets.ontology import Ontology
from tests.app.explore_page import (
    APP,
    go,
    number_input,
    opened,
    png,
    settled,
    settled_until,
    text,
)
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("prepared_app")


def test_the_mask_follows_the_threshold(shared: AppTest) -> None:
    page = opened(tab="Mask")
    slider = next(s for s in page.slider if s.key and s.key.startswith("threshold"))
    suggested = slider.value
    assert f"suggested {suggested:.2f}" in text(page)
    slider.set_value(0.9)
    settled(page)
    assert page.query_params["threshold"] == "0.9"
    assert page.session_state["explore"].choices.now.threshold == 0.9
    covered = text(page)
    next(b for b in page.button if b.label == "Use the suggested threshold").click()
    settled(page)
    assert "threshold" not in page.query_params
    assert text(page) != covered
    followed = text(page)
    page.toggle("snap").set_value(False)
    settled(page)
    assert text(page) != followed


def test_the_inspect_tab_follows_row_and_column() -> None:
    page = opened(picture="cat", synset="cat", tab="Inspect", row="3", column="4")
    assert (number_input(page, "Row").value, number_input(page, "Column").value) == (3, 4)
    before = text(page)
    assert "Egyptian cat" in before or "cat" in before
    number_input(page, "Row").set_value(20)
    settled(page)
    assert text(page) != before
    assert "entity" in text(page)
    far = opened(picture="cat", synset="cat", tab="Inspect", row="9999", column="9999")
    at = (number_input(far, "Row").value, number_input(far, "Column").value)
    assert at == (15, 26), "outside the grid: the strongest cell"


def test_the_inspect_tab_draws_the_measured_field(lite2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[tuple[int, int]] = []
    frame = inspect_tab.frame

    def recorded(axis: CellAxis, cell: int, side: int, pixels: int) -> tuple[int, int]:
        sides.append((axis.input_size, side))
        return frame(axis, cell, side, pixels)

    monkeypatch.setattr(inspect_tab, "frame", recorded)
    page = opened(picture="cat", tab="Inspect", scales="200x320,400x640")
    field = shared_queue.queue().field(ModelKey("efficientnet-lite2"), session="test").result(PATIENCE)
    settled_until(page, lambda: "Frames" in text(page))
    said = text(page)
    assert f"Frames: {field.side} × {field.side} pixels" in said
    assert f"{field.low} to {field.high} for single cells" in said
    assert (
        f"pixels of the {lite2.cells(200, 320).y.extent} × {lite2.cells(200, 320).y.extent} around it" in said
    )
    assert f"up to {field.inward} pixels further inside" in said
    assert set(sides) == {(n, field.side) for n in (206, 310, 413, 620)}
    assert field == effective_field.measure(lite2)


@pytest.mark.parametrize(("cell", "frame"), [(4, (114, 214)), (0, (0, 86)), (9, (274, 320))])
def test_a_frame_has_the_size_of_the_field_and_is_clipped_to_the_picture(
    cell: int, frame: tuple[int, int]
) -> None:
    """Cells at 36 + 32 i of 320 pixels, with frames of 100 pixels; shown at full and at half size."""
    axis = CellAxis(320, 10, 32, 35.5, 851)
    assert inspect_tab.frame(axis, cell, 100, 320) == frame
    assert inspect_tab.frame(axis, 4, 100, 160) == (57, 107)


def test_the_page_explains_the_fine_map() -> None:
    page = opened(tab="Mask", view="Fine", scales="200x320")
    assert "how surely this part of the photo belongs to it" in text(page)
    assert "small regions of similar colour" in str(page.toggle("snap").help)


def test_a_command_with_another_file_name_says_so(coffee: np.ndarray) -> None:
    page = opened(scales="200x320", tab="Export")
    assert "The command names the picture" not in text(page)
    page.file_uploader("upload").set_value(("100% &calc&.png", png(coffee), "image/png"))
    settled(page)
    (command,) = (code.value for code in page.code if code.language == "bash")
    assert ' heatmap "100_ &calc&.png" --synset ' in command
    assert "The command names the picture" in text(page)


@pytest.mark.parametrize("page_file", ["compare", "models"])
def test_the_other_pages_open(page_file: str) -> None:
    page = AppTest.from_file(str(APP), default_timeout=PATIENCE).run()
    go(page, page_file)
    assert not page.exception and not page.error


@pytest.mark.parametrize(("synset", "other"), [("cat", "dog"), ("dog", "cat"), ("espresso", "dog")])
def test_compare_starts_with_two_different_synsets(synset: str, other: str) -> None:
    page = go(opened(synset=synset), "compare")
    synsets = Ontology.load()
    found = page.session_state["compare"].choices.now.wnids
    assert list(found) == [synsets.collapse(synsets.find(word).wnid) for word in (synset, other)]


def test_another_cell_gets_new_inputs_and_a_typed_one_keeps_them() -> None:
    page = opened(tab="Inspect", row="3", column="4", scales="200x320,400x640")
    first = number_input(page, "Row").key
    number_input(page, "Row").set_value(2)
    settled(page)
    assert number_input(page, "Row").key == first
    page.session_state["explore"].choices.choose(row=5, column=6)  # as a click does
    settled(page)
    assert number_input(page, "Row").key != first
    assert (number_input(page, "Row").value, number_input(page, "Column").value) == (5, 6)
