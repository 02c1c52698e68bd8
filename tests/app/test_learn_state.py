"""What a learner chose: in the address, from step to step, reset; and what a class costs the network."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app.lesson import choices
from app.lesson.choices import FACTORS, FITS, KINDS, OF_STEP, SIZES, TRUTHS, Learner
from app.lesson.pictures import SHOWN, first_synset, outlines
from app.lesson.text import APPENDIX, LANGUAGES, read_lesson
from app.state import caches
from app.state.queue.job_queue import Queue
from fcn_core.networks.zoo import find_weights, model_spec
from fcn_core.synsets.ontology import Ontology
from tests.app.lesson.page import begun, opened, settled, texts, widget

needs_weights = pytest.mark.skipif(
    find_weights(model_spec()) is None, reason="the built-in weights are not installed"
)
WNIDS = sorted(synset.wnid for synset in Ontology.load())
ends = st.lists(st.integers(0, 900), min_size=2, max_size=2, unique=True).map(
    lambda found: tuple(sorted(map(float, found)))
)
LEARNERS = st.builds(
    Learner,
    step=st.sampled_from(["1", "8", APPENDIX, "glossary", "all"]),
    lang=st.sampled_from(list(LANGUAGES)),
    present=st.booleans(),
    picture=st.sampled_from([*SHOWN, "", "https://example.org/a.jpg?b=c&d"]),
    synset=st.sampled_from(["", *WNIDS[:40]]).map(lambda w: w and Ontology.load().collapse(w)),
    answers=st.sets(st.sampled_from(["cells.1", "order.2", "veto.3"])).map(
        lambda found: tuple(sorted(found))
    ),
    shown=st.sets(st.sampled_from(["cells", "order"])).map(lambda found: tuple(sorted(found))),
    grid_height=st.integers(32, 800),
    grid_row=st.integers(0, 99),
    toy=st.just(()) | st.tuples(*[st.integers(-999, 999).map(lambda n: n / 10)] * 16),
    factor=st.sampled_from(FACTORS),
    temperature=st.integers(1, 50).map(lambda n: n / 10),
    noise_run=st.booleans(),
    fit=st.sampled_from(FITS),
    centres=st.sampled_from(SIZES[:3]),
    power=st.integers(-20, 20).map(lambda n: n / 4),
    truth=st.sampled_from(TRUTHS),
    box_x=st.just(()) | ends,
    kind=st.sampled_from(KINDS),
    cut=st.none() | st.integers(0, 100).map(lambda n: n / 100),
)


@settings(max_examples=300, deadline=None)
@given(LEARNERS)
def test_an_address_keeps_every_choice(learner: Learner) -> None:
    assert choices.read(choices.write(learner)) == (learner, ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("lang", "de"), ("grid_height", "31"), ("grid_height", "801"), ("row", "0"), ("factor", "3")],
        *[("temperature", "9"), ("toy", "1,2"), ("toy", "a"), ("box_x", "5,5"), ("box_x", "1")],
        *[("cut", "2"), ("cut", "nan"), ("power", "inf"), ("picture", "nobody"), ("model", "resnet51")],
        *[("synset", "nothing like it"), ("step", "a" * 30), ("other", "1")],
    ],
)
def test_a_choice_that_no_widget_could_have_made_is_named_and_ignored(name: str, text: str) -> None:
    learner, ignored = choices.read({name: text})
    assert learner == choices.plain()
    assert [each.partition("=")[0] for each in ignored] == [name]


def test_every_choice_of_a_step_is_set_back_and_no_other() -> None:
    changed = Learner(
        model=choices.plain().model, lang="fr", picture="cow", power=3.0, fit="exact", cut=0.5, truth="box",
        answers=("veto.1", "cells.2"), shown=("veto", "cells"),
    )  # fmt: skip
    back = choices.reset(changed, "7", ("veto",))
    assert back.power == 0.5
    assert (back.answers, back.shown) == (("cells.2",), ("cells",))
    assert (back.lang, back.picture, back.fit, back.cut, back.truth) == ("fr", "cow", "exact", 0.5, "box")
    assert choices.is_changed(changed, "7", ("veto",)) and not choices.is_changed(back, "7", ("veto",))


def test_every_choice_belongs_to_one_step_or_to_the_whole_lesson() -> None:
    of_steps = [name for names in OF_STEP.values() for name in names]
    assert len(of_steps) == len(set(of_steps))
    whole = {"step", "lang", "picture", "synset", "model", "answers", "shown"}
    whole |= {"present", "slide", "path", "notes"} | {"typed", "helped"} | {"room", "room_key"}
    assert set(of_steps) | whole == set(Learner.__dataclass_fields__)


def test_the_names_of_questions_are_unique_and_the_same_in_all_languages() -> None:
    names = {
        language: [name for lesson in read_lesson(language) for name in lesson.questions]
        for language in LANGUAGES
    }
    assert len(set(names["en"])) == len(names["en"])
    assert all(found == names["en"] for found in names.values())


@pytest.mark.parametrize("name", outlines())
def test_an_outline_is_that_of_its_sample(name: str) -> None:
    picture = caches.sample(name)
    corners = [corner for polygon in outlines()[name] for corner in polygon]
    assert all(0 <= x <= picture.width and 0 <= y <= picture.height for x, y in corners)
    assert max(x for x, _ in corners) > picture.width / 2, "drawn at the size of the file"


@needs_weights
def test_choices_made_by_widgets_are_in_the_address_and_an_address_makes_them() -> None:
    app = opened(step="3")
    widget(app, "Sample").set_value(4)
    widget(app, "Multiply all logits by").set_value(100)
    settled(app)
    widget(app, "Temperature T").set_value(2.5)
    settled(app)
    app.radio[0].set_value(1)
    widget(app, "Show the answer").set_value(True)
    settled(app)
    query = dict(app.query_params)
    assert query == {
        "step": "3", "sample": "4", "factor": "100", "temperature": "2.5", "answers": "overflow.2",
        "shown": "overflow",
    }  # fmt: skip
    again = opened(**query)
    assert (widget(again, "Sample").value, widget(again, "Temperature T").value) == (4, 2.5)
    assert again.radio[0].value == 1 and any("Correct." in text for text in texts(again))
    again.button("lesson-reset").click()
    settled(again)
    assert dict(again.query_params) == {"step": "3"}
    assert again.radio[0].value is None and widget(again, "Sample").value == 1


@needs_weights
def test_a_number_of_the_small_example_is_kept(opened_toy: AppTest) -> None:
    app = opened_toy
    before = widget(app, "Row 2, column 3").value
    widget(app, "Row 2, column 3").set_value(9.5)
    settled(app)
    kept = app.query_params["toy"]
    assert kept.split(",")[6] == "9.5"
    assert widget(opened(step="2", toy=kept), "Row 2, column 3").value == 9.5
    widget(app, "Row 2, column 3").set_value(before)
    settled(app)
    assert "toy" not in app.query_params


@pytest.fixture
def opened_toy() -> AppTest:
    return opened(step="2")


@needs_weights
@pytest.mark.parametrize("picture", ["dog", "cow", "hens", "cat"])
def test_the_numbers_follow_the_picture(picture: str) -> None:
    app = begun(step="8", picture=picture).run()  # the outline needs no network
    covers = [text for text in texts(app) if "It covers" in text]
    mask = caches.sample(picture).working
    ontology = Ontology.load()
    assert first_synset(picture, ontology) in ontology
    shares = {"dog": "30%", "cow": "22%", "hens": "29%", "cat": "74%"}
    assert any(f"It covers {shares[picture]} of the picture" in text for text in covers), (covers, mask.name)


@needs_weights
def test_a_class_costs_the_network_nothing_beyond_the_first_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []
    compute = Queue._compute
    monkeypatch.setattr(
        Queue, "_compute", lambda self, *arguments: runs.append(arguments[-1]) or compute(self, *arguments)
    )
    steps = [lesson.name for lesson in read_lesson("en")]
    for step in steps:
        opened(step=step, picture="duck")
    first = len(runs)
    assert first > 0, "the first learner's"
    for _ in range(2):
        for step in steps:
            opened(step=step, picture="duck")
    assert len(runs) == first


@needs_weights
@pytest.mark.parametrize(("synset", "is_there"), [("German shepherd", True), ("boat", False)])
def test_a_place_is_not_called_the_best_guess_where_nothing_is(synset: str, is_there: bool) -> None:
    said = " ".join(texts(opened(step="6", synset=synset))).replace("\n", " ")
    assert ("only the best guess at hand" in said) is is_there
    assert ("The program thinks that it is not in the picture" in said) is not is_there


@needs_weights
def test_the_whole_lesson_loads_no_tables_and_no_charts_of_others(fresh_python: Any) -> None:
    """They take 110 MB of a container that may have 690."""
    code = """
import sys
from tests.app.lesson.page import opened
opened(step="all", noise_run="true")
heavy = {"tensorflow", "keras", "pandas", "pyarrow", "altair", "matplotlib.pyplot"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
print("complete", flush=True)
import os; os._exit(0)
"""
    assert fresh_python(code).stdout.splitlines()[-1] == "complete"
