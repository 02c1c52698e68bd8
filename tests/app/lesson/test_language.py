"""The lesson in each language is complete: its labels, its text, and what its steps show."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from app.lesson import choices, glossary, language
from app.lesson.choices import Learner
from app.lesson.text import (
    FOLDER,
    LANGUAGES,
    Block,
    CheckBlock,
    Code,
    Figure,
    Formula,
    Lesson,
    Prose,
    Question,
    Snippet,
    Task,
    names_of,
    read_exercises,
    read_handout,
    read_lesson,
)
from app.state.queue.job_log import INTERNAL_ERROR
from app.state.samples import SAMPLES
from app.ui import notices, synset_picker
from fcn_core.networks.zoo import MODELS
from tests.places import ROOT

OTHERS = [each for each in LANGUAGES if each != "en"]
NO_BREAK = language.NO_BREAK
ROOM = ROOT / "app" / "lesson"


# Labels


def literals(source: str) -> Iterator[str]:
    """Find the labels in Python source: the first arguments of `_`, `translated` and `marked` that are literals."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("_", "translated", "marked"):
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield first.value


def from_elsewhere() -> set[str]:
    """Texts that belong to other pages, too, and stand there."""
    titles = {each.title for each in SAMPLES.values()}
    models = {each.title for each in MODELS.values() if "," in each.title}
    picker = {synset_picker.PLACEHOLDER, synset_picker.HELP, synset_picker.WNID_HELP}
    return titles | models | picker | {notices.UNDELIVERED, notices.IGNORED, INTERNAL_ERROR}


def in_the_code() -> set[str]:
    found = from_elsewhere()
    for path in [*ROOM.rglob("*.py"), ROOT / "app" / "pages" / "learn.py"]:
        found |= set(literals(path.read_text(encoding="utf-8")))
    for path in ROOM.rglob("*.html"):
        found |= set(re.findall(r"\b_\(\"(.*?)\"", path.read_text(encoding="utf-8")))
    return found


def lines(lang: str) -> list[tuple[str, str]]:
    """All lines of a file of labels; a text may stand in it twice, in two tables."""
    tables = tomllib.loads((FOLDER / lang / "labels.toml").read_text(encoding="utf-8"))
    return [line for table in tables.values() for line in table.items()]


def fields(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def test_labels_are_found_in_source() -> None:
    source = 'x = _("a {n}", n=1)\ny = marked("b")\nz = translated("c")\nw = _(table[x])\nother("d")\n'
    assert list(literals(source)) == ["a {n}", "b", "c"]
    assert {"Predict first", "Questions", "the dog", "Dog"} <= in_the_code()


@pytest.mark.parametrize("lang", OTHERS)
def test_every_label_is_translated(lang: str) -> None:
    assert sorted(in_the_code() - dict(lines(lang)).keys()) == []


@pytest.mark.parametrize("lang", OTHERS)
def test_every_translation_is_of_a_label_and_stands_once(lang: str) -> None:
    english = [text for text, _ in lines(lang)]
    assert sorted(set(english) - in_the_code()) == []
    assert sorted(text for text in set(english) if english.count(text) > 1) == []


@pytest.mark.parametrize("lang", OTHERS)
def test_a_translation_keeps_what_is_replaced_and_marked(lang: str) -> None:
    for english, text in lines(lang):
        assert text.strip(), english
        assert fields(text) == fields(english), english
        for mark in ("**", "`"):
            assert text.count(mark) == english.count(mark), english
        assert (text[0] == " ", text[-1] == " ") == (english[0] == " ", english[-1] == " "), english


# The text


def code_of(snippet: Snippet) -> str:
    """The code without its comments, which are translated."""
    return re.sub(r" *#.*", "", snippet.code)


def shape(block: Block) -> tuple[Any, ...]:
    """What a block must have in every language."""
    match block:
        case Prose(text):
            found: tuple[Any, ...] = (
                re.findall(r"^#+ ", text, re.MULTILINE),
                len(re.split(r"\n\s*\n", text)),
                len(re.findall(r"^- ", text, re.MULTILINE)),
                re.findall(r"\]\((.*?)\)", text),
                sorted(re.findall(r"\$.*?\$", text)),
                text.count("**"),
            )
        case Formula(latex):
            found = (re.sub(r"\\text\{.*?\}", "", latex),)
        case Figure(name, caption) | CheckBlock(name, caption):
            found = (name, caption == "")
        case Code(name):
            found = (name,)
        case Question(name, _, answers, right, answer, depends):
            found = (name, len(answers), right, len(answer.split("\n\n")), depends)
        case Task(name, _, text, hints, answer):
            found = (name, len(text.split("\n\n")), len(hints), len(answer.split("\n\n")))
        case Snippet(when, needs, _):
            found = (when, needs, code_of(block))
    # "the dog" or "of the dog": which of them depends on the grammar
    values = {re.sub("^(of_|an_)?[oO]bject$", "object", name) for name in names_of(block)}
    return (type(block).__name__, *found, sorted(values))


PAIRS = [
    pytest.param(one, other, id=f"{lang}-{one.name}")
    for lang in OTHERS
    for one in (*read_lesson("en"), read_exercises("en"), read_handout("en"))
    for other in (*read_lesson(lang), read_exercises(lang), read_handout(lang))
    if one.name == other.name
]


@pytest.mark.parametrize("lang", OTHERS)
def test_a_language_has_the_same_files(lang: str) -> None:
    english = {path.name for path in (FOLDER / "en").iterdir()}
    assert {path.name for path in (FOLDER / lang).iterdir()} == english | {"labels.toml"}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_step_has_the_same_parts_in_the_same_order(one: Lesson, other: Lesson) -> None:
    assert [shape(block) for block in other.blocks] == [shape(block) for block in one.blocks]


def sentences(lesson: Lesson) -> Iterator[str]:
    """Everything in a step that is said in words."""
    yield from (lesson.title, lesson.short, lesson.goal)
    for block in lesson.blocks:
        match block:
            case Prose(text):
                yield from text.split("\n\n")
            case Figure(_, text) | CheckBlock(_, text):
                yield text
            case Question(_, text, answers, _, answer, _):
                yield from (text, *answers, *answer.split("\n\n"))
            case Task(_, title, text, hints, answer):
                yield from (title, *text.split("\n\n"), *hints, *answer.split("\n\n"))


NAMES = {"SoftmaxMap"}  # of a step


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_sentence_of_a_step_was_left_as_it_is(one: Lesson, other: Lesson) -> None:
    same = set(sentences(one)) & set(sentences(other))
    assert {text for text in same if re.sub(r"\{\{\w+\}\}|\W|\d", "", text)} <= NAMES


@pytest.mark.parametrize("lang", OTHERS)
def test_the_glossary_has_the_same_terms_and_its_links_work(lang: str) -> None:
    english, terms = glossary.entries(), glossary.entries(lang)
    assert terms.keys() == english.keys()
    assert not {term.text for term in terms.values()} & {term.text for term in english.values()}
    assert glossary.glossary("Cell", lang).endswith(f"(learn?step=glossary&lang={lang}#cell)")
    assert terms["cell"].text in glossary.glossary("Cell", lang)
    assert "Glossary" not in glossary.glossary("Cell", lang)


# French

_NOT_PROSE = re.compile(
    r"```.*?```|\$\$.*?\$\$|\$[^$\n]*\$|`[^`\n]*`|\[\[.*?\]\]|\]\([^)]*\)|\{.*?\}", re.DOTALL
)


def wrong_signs(text: str) -> list[str]:
    """Find signs that French writes otherwise: no space or a breaking one before them, straight quotation marks."""
    prose = _NOT_PROSE.sub("x", text)
    prose = re.sub(r"\w+://\S+", "", prose)
    return re.findall(
        rf".{{0,15}}(?:[^{NO_BREAK}\n?!][;!?%»]|[^{NO_BREAK}\n]:(?!//)|«[^{NO_BREAK}]|[\"']).{{0,15}}", prose
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (f"oui{NO_BREAK}? «{NO_BREAK}non{NO_BREAK}»{NO_BREAK}: 5{NO_BREAK}%", 0),
        ("oui ?", 1),
        ("oui?", 1),
        ("« non", 1),
        ("l'image", 1),
        ("`a: 'b'` et $x : y$", 0),
    ],
)
def test_wrong_signs_are_found(text: str, count: int) -> None:
    assert len(wrong_signs(text)) == count


@pytest.mark.parametrize("path", sorted((FOLDER / "fr").glob("*.md")), ids=lambda path: path.stem)
def test_french_text_has_the_signs_of_french(path: Path) -> None:
    text = re.sub(r"^(title|short|goal): ", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert wrong_signs(text) == []


def test_french_labels_have_the_signs_of_french() -> None:
    assert [found for _, text in lines("fr") for found in wrong_signs(text)] == []


def test_numbers_are_written_as_the_language_does(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {}
    for lang in LANGUAGES:
        monkeypatch.setattr(language, "current", lambda lang=lang: lang)
        said[lang] = language.number(0.5), language.percent(0.55), language.percent(0.012)
    assert said == {"en": ("0.50", "55%", "1.2%"), "fr": ("0,50", f"55{NO_BREAK}%", f"1,2{NO_BREAK}%")}


# The language of a first visit


@pytest.mark.parametrize(
    ("locale", "lang"), [("fr-CA", "fr"), ("fr", "fr"), ("en-GB", "en"), ("de", "en"), (None, "en")]
)
def test_a_browser_asks_for_a_language(
    monkeypatch: pytest.MonkeyPatch, locale: str | None, lang: str
) -> None:
    monkeypatch.setattr(type(choices.st.context), "locale", locale)
    assert choices.preferred_language() == lang


def test_an_address_names_the_language_where_the_browser_would_choose_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def address(preferred: str, chosen: str) -> dict[str, str]:
        monkeypatch.setattr(choices, "preferred_language", lambda: preferred)
        return choices.write(Learner(model=choices.plain().model, lang=chosen))

    assert address("en", "en") == {}
    assert address("en", "fr") == address("fr", "fr") == {"lang": "fr"}
    assert address("fr", "en") == {"lang": "en"}
