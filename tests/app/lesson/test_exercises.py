"""The exercises: their address, their text in all languages, and the page."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.lesson import choices, language
from app.lesson.exercises import answers, materials
from app.lesson.exercises.tasks import BY_NAME, EXERCISES
from app.lesson.exercises.verdicts import Verdict
from app.lesson.text import LANGUAGES, UNKNOWN, Prose, Task, names_of, parse, read_exercises
from fcn_core.networks.zoo import find_weights, model_spec
from fcn_core.synsets.ontology import Ontology
from tests.app.lesson.page import html_of, opened, settled, texts
from tests.app.lesson.test_verdicts import CASES, FACTS
from tests.maps.pictures import class_map

# The choices and the text


def test_answers_and_hints_are_in_the_address() -> None:
    learner = answers.with_answer(choices.plain(), "kernel.course", " (1, 1; 2048,\n1000) ")
    learner = answers.with_answer(learner, "gaps.axis", "a:b")
    learner = answers.with_help(learner, "kernel", 2, True)
    query = choices.write(learner)
    assert query["typed"] == "kernel.course:(1, 1, 2048,1000);gaps.axis:a:b"
    assert query["helped"] == "kernel.2,kernel.answer"
    assert choices.read(query) == (learner, ())
    assert answers.hints_of(learner, "kernel") == 2
    assert answers.is_answer_shown(learner, "kernel")
    assert answers.answers_of(learner, BY_NAME["kernel"]) == {"course": "(1, 1, 2048,1000)", "here": ""}
    learner = answers.with_answer(answers.with_help(learner, "kernel", 0, False), "kernel.course", "")
    assert choices.write(learner) == {"typed": "gaps.axis:a:b"}
    long = answers.with_answer(choices.plain(), "lines.order", "A" * 500)
    assert choices.read(choices.write(long)) == (long, ())


@pytest.mark.parametrize(
    "number", ["9" * 5000, "0", "-1", "²", "٣", "", "1e3", "1_0"], ids=lambda text: text[:9]
)
def test_a_number_in_the_address_that_no_page_writes_counts_as_none(number: str) -> None:
    learner = replace(choices.plain(), answers=(f"order.{number}",), helped=(f"kernel.{number}",))
    assert choices.answer_of(learner, "order") is None
    assert answers.hints_of(learner, "kernel") == 0


@pytest.mark.parametrize("name", ["answers", "shown", "helped"])
def test_words_of_the_address_are_short(name: str) -> None:
    assert choices.read({name: "x" * 40})[1] == ()
    learner, ignored = choices.read({name: "a," + "x" * 41})
    assert (learner, len(ignored)) == (choices.plain(), 1)


@pytest.mark.parametrize(
    "typed", ["x" * 41 + ":a", "", "a", "a:", ":b", "a:b;", "a:b;a:c", "a:" + "x" * 61, "a:b\x00"]
)
def test_a_damaged_address_is_ignored(typed: str) -> None:
    learner, ignored = choices.read({"typed": typed})
    assert learner == choices.plain()
    assert len(ignored) == 1


def tasks(lang: str) -> list[Task]:
    return [block for block in read_exercises(lang).blocks if isinstance(block, Task)]


def test_every_exercise_has_its_text() -> None:
    assert [task.name for task in tasks("en")] == [each.name for each in EXERCISES]
    for task in tasks("en"):
        assert len(task.hints) == 2
        assert task.title and task.text and task.answer


@pytest.mark.parametrize("lang", [each for each in LANGUAGES if each != "en"])
def test_languages_have_the_same_exercises(lang: str) -> None:
    for english, other in zip(read_exercises("en").blocks, read_exercises(lang).blocks, strict=True):
        assert names_of(english) == names_of(other)
        if isinstance(english, Task) and isinstance(other, Task):
            assert (english.name, len(english.hints)) == (other.name, len(other.hints))
            assert english.title != other.title
        else:
            assert isinstance(other, Prose)
    labels = {said for name, part, typed, _ in CASES for said in (verdict_of(name, part, typed).said,)}
    assert labels - language.labels(lang).keys() == set()


def verdict_of(name: str, part: str, typed: str) -> Verdict:
    return BY_NAME[name].verdicts({part: typed, "synset": "n1"} | {part: typed}, FACTS)[part]


@pytest.mark.parametrize(
    "source",
    [
        "[[exercise x]]\n## T\ntext\n[[end]]",
        "[[exercise x]]\ntext\n[[answer]]\na\n[[end]]",
        "[[exercise]]\n## T\ntext\n[[answer]]\na\n[[end]]",
        "[[exercise x]]\n## T\ntext\n[[answer]]\na\n[[hint]]\nh\n[[end]]",
    ],
)
def test_an_exercise_that_is_not_complete_is_named(source: str) -> None:
    with pytest.raises(ValueError, match="Expected a name, a title"):
        parse(f"---\ntitle: t\nshort: s\ngoal: g\n---\n{source}\n")


def test_wrong_maps_look_different(lite2: Any, chelsea: Any, resized: Any) -> None:
    seen, ontology = class_map(lite2.logits(resized(chelsea, 400, 640))), Ontology.load()
    for word in ("cat", "vehicle"):
        maps = materials.candidate_maps(seen, ontology.class_ids(ontology.find(word).wnid))
        assert "sum" in maps
        assert len(maps) >= 2
        values = [each.values for each in maps.values()]
        for n, one in enumerate(values):
            assert all(np.abs(one - other).mean() > 0.05 for other in values[:n])


# The page

needs_weights = pytest.mark.skipif(
    find_weights(model_spec()) is None, reason="the built-in weights are not installed"
)


def _type(app: AppTest, label: str, text: str) -> None:
    next(each for each in app.text_input if each.label == label).set_value(text)


@needs_weights
@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_draws_all_exercises_with_their_answers(lang: str) -> None:
    shown = ",".join(f"{each.name}.2,{each.name}.answer" for each in EXERCISES)
    app = opened(step="exercises", lang=lang, helped=shown)
    titles = [each.value.partition("\u2002")[2] for each in app.header]
    assert titles[: len(EXERCISES)] == [task.title for task in tasks(lang)]
    assert [text for text in texts(app) if UNKNOWN in text or "{" in text] == []
    assert sum(":material/lightbulb:" in text for text in texts(app)) == 2 * len(EXERCISES)


@needs_weights
def test_points_are_given_and_survive_another_step() -> None:
    app = opened(step="exercises")
    _type(app, "Kernel for ResNet50", "(2048, 1000)")
    _type(app, "Kernel for EfficientNet-Lite2", "(1, 1, 1280, 1000)")
    app.button("lesson-check-kernel").click()
    settled(app)
    assert any("This is the Dense kernel" in text for text in texts(app))
    assert "kernel.course:(2048, 1000)" in str(app.query_params["typed"])
    app.button("lesson-hint-kernel").click()
    settled(app)
    _type(app, "Kernel for ResNet50", "(1, 1, 2048, 1000)")
    app.button("lesson-check-kernel").click()
    settled(app)
    assert any("Solved: 3 of 4 points" in text for text in texts(app))
    assert any("3 of 36 points" in text for text in texts(app))
    app.button("lesson-go-contents-1").click()
    settled(app)
    app.button("lesson-go-contents-exercises").click()
    settled(app)
    assert any("3 of 36 points" in text for text in texts(app))
    attempt = app.session_state["lesson_state"].attempts["kernel"]
    assert (attempt.tries, attempt.hints, attempt.picture) == (2, 1, "dog")
    app.button("lesson-begin-again").click()
    settled(app)
    assert any("0 of 36 points" in text for text in texts(app))
    assert "typed" not in app.query_params
    assert any("Worth 3 points" in text for text in texts(app)), "the hint was seen"


@needs_weights
def test_a_heatmap_of_the_learners_picture_is_judged() -> None:
    app = opened(step="exercises", picture="cat")
    (look,) = [each for each in app.selectbox if each.label == "What to look for"]
    assert "cat" not in look.options
    look.select_index(0)
    settled(app)
    state = app.session_state["lesson_state"]
    (wnid,) = [text for name, text in state.choices.now.typed if name == "heat.synset"]
    html = html_of(app)
    (table,) = re.findall(r"<table[^>]*>(?:(?!</table>).)*>row<.*?</table>", html, re.DOTALL)
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", line)[1:] for line in table.split("<tr>")[2:]]
    cells = np.array(rows, float)
    row, column = divmod(int(cells.argmax()), cells.shape[1])
    _type(app, "Peak", f"{cells.max():g}")
    _type(app, "Row of the peak", str(row + 1))
    _type(app, "Column of the peak", str(column + 1))
    app.button("lesson-check-heat").click()
    settled(app)
    label = Ontology.load().label(wnid)
    assert any("All right." in text for text in texts(app))
    assert any(f"For “{label}”, the peak is" in text for text in texts(app))
