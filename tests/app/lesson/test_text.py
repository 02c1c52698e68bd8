"""The lesson's text against its own rules, and its code against today's libraries."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.lesson import glossary
from app.lesson.source import source_of
from app.lesson.steps import (
    since_2020,
    step_1,
    step_2,
    step_3,
    step_4,
    step_5,
    step_6,
    step_7,
    step_8,
    step_9,
)
from app.lesson.text import (
    APPENDIX,
    FOLDER,
    LANGUAGES,
    CheckBlock,
    Code,
    Figure,
    Formula,
    Lesson,
    Question,
    Snippet,
    fill,
    names_of,
    parse,
    read_lesson,
)

STEPS = (step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, step_9, since_2020)
LESSONS = read_lesson("en")


def test_the_steps_are_in_order_and_the_appendix_is_last() -> None:
    assert [each.name for each in LESSONS] == [*map(str, range(1, 10)), APPENDIX]
    assert len(STEPS) == len(LESSONS)


@pytest.mark.parametrize("each", LESSONS, ids=lambda each: each.short)
def test_a_step_has_all_its_parts(each: Lesson) -> None:
    figures = [b.name for b in each.blocks if isinstance(b, Figure)]
    assert sorted(figures) == sorted(STEPS[LESSONS.index(each)].FIGURES)
    assert any(isinstance(b, Question) for b in each.blocks) or each.name == APPENDIX
    code = [b for b in each.blocks if isinstance(b, Code | Snippet)]
    assert code
    for block in code:
        compile(source_of(block.name) if isinstance(block, Code) else block.code, "<lesson>", "exec")
    if each.name != APPENDIX:
        assert any(isinstance(b, Formula) for b in each.blocks) or each.name == "4"
        assert any(isinstance(b, CheckBlock) for b in each.blocks)


# What may stand in the prose as a digit: names and a window of one cell.
_NAMES = r"ResNet50|NumPy 2|float32|20\d\d|1 × 1|ReLU6|MobileNetV3"


@pytest.mark.parametrize(
    "path",
    sorted(path for language in LANGUAGES for path in FOLDER.glob(f"{language}/*.md")),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_no_number_is_written_into_the_prose(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\$\$.*?\$\$|```.*?```", "", text, flags=re.DOTALL)  # formulas and code
    text = re.sub(r"\$[^$]*\$|`[^`]*`|\[\[.*?\]\]|\{\{\w+\}\}|\]\(https://[^)]*\)", "", text)
    text = re.sub(_NAMES, "", text)
    assert re.findall(r".*\d.*", text) == []


@pytest.mark.parametrize(
    "source",
    [
        "[[question why]]\nWhy?\n- [x] so\n[[end]]",
        "[[question why]]\nWhy?\n- [ ] so\n[[answer]]\nSo.\n[[end]]",
        "[[question why]]\nWhy?\n- [x] so\n[[answer value]]\nSo.\n[[end]]",
        "[[question]]\nWhy?\n- [x] so\n[[answer]]\nSo.\n[[end]]",
        "[[picture x]]",
    ],
)
def test_a_mark_that_is_not_complete_is_named(source: str) -> None:
    with pytest.raises(ValueError, match="Expected"):
        parse(f"---\ntitle: t\nshort: s\ngoal: g\n---\n{source}\n")


def test_live_values_are_filled_in() -> None:
    assert fill("{{a}} of {{b}}", {"a": "3"}) == "3 of …"
    assert names_of(Question("why", "{{a}}", ("{{b}}",), 0, "{{c}}")) == {"a", "b", "c"}


def test_every_term_explains_itself_in_short_words() -> None:
    assert len(glossary.entries()) > 25
    for anchor, term in glossary.entries().items():
        assert 20 < len(term.text) < 300, term.name
        assert glossary.glossary(term.name).endswith(f"(learn?step=glossary#{anchor})")
    with pytest.raises(KeyError):
        glossary.glossary("nothing")


# Old code and new code

SNIPPETS = [b for each in LESSONS for b in each.blocks if isinstance(b, Snippet)]


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(s.code, marks=[pytest.mark.tensorflow] if s.needs == "keras" else [])
        for s in SNIPPETS
        if s.when == "after"
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_written_now_runs(code: str) -> None:
    assert "assert" in code
    exec(code, {})  # noqa: S102


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_said_of_the_old_lines_is_true() -> None:
    import importlib

    import keras

    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("keras.engine")
    assert not hasattr(keras.backend, "exp")
    assert keras.applications.MobileNetV2(weights=None, include_top=False).layers[0].input == []
    assert keras.layers.Convolution2D(64, 3, 3).strides == (3, 3)
    assert keras.layers.Convolution2D(64, 1, 1).get_config()["strides"] == (1, 1)
    layer = keras.layers.Conv2D(8, 1)
    layer(keras.Input((7, 7, 3)))
    assert not hasattr(layer, "output_shape")
    with pytest.raises(ValueError, match="include_top"):
        keras.applications.ResNet50(weights=None, input_shape=(None, None, 3))
    picture = np.full((1, 2, 2, 3), 100.0, "float32")
    keras.applications.resnet50.preprocess_input(picture)
    assert not (picture == 100).any()


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_predict_prepares_itself_twice_and_no_more() -> None:
    import keras

    calls = []

    class Counted(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            calls.append(x.shape)
            return x

    model = keras.Sequential([keras.Input((None, None, 3)), Counted()])
    calls.clear()
    for size in (32, 48, 64, 96):
        model.predict(np.zeros((1, size, size, 3), "float32"), verbose=0)
    assert len(calls) == 2
