"""The field for a word: what it takes, what it says, and what it offers."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.explore_page import CAT, DOG, button, field, text
from tests.waiting import PATIENCE

PERSON, RAM, CARNIVORE = "n00007846", "n02412080", "n02075296"


def page() -> None:
    import streamlit as st

    from app.ui import synset_picker
    from fcn_core.synsets.class_labels import hierarchy_of
    from fcn_core.synsets.ontology import Ontology

    def choose(wnid: str) -> None:
        st.session_state["synset"] = wnid

    st.session_state.setdefault("synset", "n02121620")
    st.button("dog", on_click=choose, args=("n02084071",), key="chip-dog")
    if not st.toggle("away", key="away"):
        words = st.session_state.get("words")
        synset_picker.pick_synset("synset", hierarchy_of(words) if words else Ontology.load(), choose)


@pytest.fixture
def shown() -> AppTest:
    return AppTest.from_function(page, default_timeout=PATIENCE).run()


def offers(shown: AppTest) -> list[str]:
    return [b.label for b in shown.button if b.key and "-sense-" in b.key]


def look_for(shown: AppTest, word: str) -> None:
    field(shown, "synset").set_value(word).run()
    assert not shown.exception


def value(shown: AppTest) -> Any:
    return field(shown, "synset").value


@pytest.mark.parametrize(
    ("word", "wnid", "value_after", "line", "offered"),
    [
        ("dog", DOG, "dog", "", []),
        ("dogs", DOG, "dog", "", []),
        (" DOG ", DOG, "dog", "", []),
        ("n02084071", DOG, "dog", "", []),
        ("hund", DOG, "dog", "hund: dog (German).", []),
        ("carniv", CARNIVORE, "carnivore", "carniv: read as carnivore.", []),
        ("sheep", RAM, "sheep", "sheep: it knows rams only.", []),
        ("women", CAT, "women", "The network never learned woman. Nearest: person.", ["person"]),
        ("crane", CAT, "crane", "crane has 2 senses. Which one do you mean?", ["crane", "crane"]),
        ("love", CAT, "love", "The network never learned love, nor anything near it.", []),
        ("qqxzzv", CAT, "qqxzzv", "qqxzzv is no word that it knows.", []),
        ("<b>$x$", CAT, "<b>$x$", "&lt;b&gt;$x$ is no word that it knows.", []),
        ("", CAT, "", "", []),
    ],
)
def test_what_a_word_does(
    shown: AppTest, word: str, wnid: str, value_after: str, line: str, offered: list[str]
) -> None:
    key = field(shown, "synset").key
    look_for(shown, word)
    assert shown.session_state["synset"] == wnid
    assert value(shown) == value_after
    assert f'role="status">{line}</p>' in text(shown)
    assert [label.partition(" \\(")[0] for label in offers(shown)] == offered
    assert field(shown, "synset").key == key, "the field keeps the focus"


def test_senses_are_told_apart(shown: AppTest) -> None:
    look_for(shown, "crane")
    assert len(set(offers(shown))) == 2


def test_what_is_near_stays_on_offer_until_something_else_is_chosen(shown: AppTest) -> None:
    look_for(shown, "woman")
    button(shown, f"synset-sense-{PERSON}").click().run()
    assert shown.session_state["synset"] == PERSON
    assert value(shown) == "person"
    assert offers(shown) == ["person"], "the button keeps the focus"
    button(shown, "chip-dog").click().run()
    assert (value(shown), offers(shown)) == ("dog", [])
    assert "never learned" not in text(shown)


def test_the_field_follows_a_choice_made_elsewhere_and_a_late_value_does_not_undo_it(shown: AppTest) -> None:
    late = field(shown, "synset")
    button(shown, "chip-dog").click().run()
    assert value(shown) == "dog"
    late.set_value("cat").run()
    assert shown.session_state["synset"] == DOG
    assert value(shown) == "dog"


@pytest.mark.parametrize("typed", ["dog", "love", ""])
def test_the_field_shows_what_is_chosen_after_a_visit_elsewhere(shown: AppTest, typed: str) -> None:
    look_for(shown, typed)
    chosen = shown.session_state["synset"]
    shown.toggle(key="away").set_value(True).run()
    shown.toggle(key="away").set_value(False).run()
    assert shown.session_state["synset"] == chosen
    assert value(shown) == ("dog" if chosen == DOG else "cat")
