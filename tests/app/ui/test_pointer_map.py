"""The edges between cells of the pointer map."""

from __future__ import annotations

import pytest

from app.ui.pointer_map import edges
from fcn_core.networks.geometry import CellAxis


@pytest.mark.parametrize(
    ("axis", "size", "expected"),
    [
        (None, 1, [0, 1]),
        (None, 4, [0, 0.25, 0.5, 0.75, 1]),
        (CellAxis(64, 2, 32, 15.5, 63), 2, [0, 0.5, 1]),  # centred cells are an even grid
        (CellAxis(64, 2, 32, 31.0, 63), 2, [0, 47.5 / 64, 1]),  # cells that look to the lower right
        (CellAxis(64, 3, 32, 31.0, 63), 3, [0, 47.5 / 64, 1, 1]),  # an edge outside the picture is clipped
        (CellAxis(64, 1, 64, 31.5, 63), 1, [0, 1]),
    ],
)
def test_edges_lie_halfway_between_centres(axis: CellAxis | None, size: int, expected: list[float]) -> None:
    assert edges(axis, size) == pytest.approx(expected)
