"""What Explore asks for depends on the picture, the scales and the model alone, not on what was ready first."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest

from app.explore import header
from app.state import session
from app.state.session import ExplorePage
from fcn_core.synsets.ontology import Ontology
from tests.app.explore_page import CAT, DOG, ESPRESSO

#: What each set of scales shows.
SHOWS = {
    "a": DOG,
    "b": ESPRESSO,
    "c": DOG,
    "ab": ESPRESSO,
    "ac": DOG,
    "bc": ESPRESSO,
    "abc": CAT,
    "abcd": DOG,
}
WORDLESS = SimpleNamespace(word=None)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ExplorePage:
    remembered = ExplorePage()
    monkeypatch.setattr(session, "explore", lambda: remembered)
    return remembered


def view(ready: str, all_scales: str = "abc", shows: tuple[str, ...] = ()) -> Any:
    synset = Ontology.load()[SHOWS["".join(sorted(ready))]]
    return SimpleNamespace(
        ontology=Ontology.load(),
        complete=len(ready) == len(all_scales),
        surest=SimpleNamespace(synset=synset),
        present=lambda wnid: wnid in shows,
    )


@pytest.mark.parametrize("order", list(map("".join, permutations("abc"))))
@pytest.mark.parametrize("looks", [(1, 2, 3), (2, 3), (3,), (1, 1, 3)])
def test_the_order_in_which_scales_are_ready_does_not_matter(
    page: ExplorePage, order: str, looks: tuple[int, ...]
) -> None:
    for ready in looks:
        header.adapt_synset(view(order[:ready]), WORDLESS)
    assert page.found == (Ontology.load(), CAT) and session.selection().synset == CAT


def test_the_choice_is_revised_until_the_user_has_chosen(page: ExplorePage) -> None:
    header.adapt_synset(view("abc"), WORDLESS)
    header.adapt_synset(view("abcd", "abcd"), WORDLESS)
    assert session.selection().synset == DOG, "a scale was added"
    session.choose_synset(ESPRESSO)
    header.adapt_synset(view("abc"), WORDLESS)
    assert session.selection().synset == ESPRESSO, "the user has chosen"


@pytest.mark.parametrize("first", ["a", "b", "ab", "abc"])
@pytest.mark.parametrize("shows", [(), (ESPRESSO,)])
def test_all_scales_decide_whether_a_chosen_synset_stays_for_the_next_picture(
    page: ExplorePage, first: str, shows: tuple[str, ...]
) -> None:
    session.choose_synset(ESPRESSO)
    session.choose_picture("")
    if first != "abc":  # the first scales say the opposite
        header.adapt_synset(view(first, shows=() if shows else (ESPRESSO,)), WORDLESS)
        assert session.selection().synset == ESPRESSO, "not decided yet"
    header.adapt_synset(view("abc", shows=shows), WORDLESS)
    assert session.selection().synset == (ESPRESSO if shows else CAT)
    header.adapt_synset(view("abcd", "abcd"), WORDLESS)
    assert session.selection().synset == (ESPRESSO if shows else DOG), (
        "what the user chose is not doubted again"
    )
