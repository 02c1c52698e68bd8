"""How the pages ask where something is."""

import pytest

from app.ui.question import where


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("dog", "Where is the dog"),
        ("bus", "Where is the bus"),
        ("chest of drawers", "Where is the chest of drawers"),
        ("cattle", "Where are the cattle"),
        ("sunglasses", "Where are the sunglasses"),
        ("swimming trunks", "Where are the swimming trunks"),
        ("baked goods", "Where are the baked goods"),
    ],
)
def test_the_verb_agrees_with_the_name(name, question):
    assert where(name) == question
