"""The small internet of the tests of fetching."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.images.internet import PUBLIC, Net, answer


@pytest.fixture
def net() -> Iterator[Net]:
    net = Net({"pictures.example": [[PUBLIC]], "inside.example": [["10.0.0.7"]]}, {"/cat.png": answer()})
    yield net
    net.close()
