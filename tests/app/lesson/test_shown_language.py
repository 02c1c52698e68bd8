"""What the steps of the lesson show in another language: nothing is left in English."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block as Branch
from streamlit.testing.v1.element_tree import Element

from app.lesson import experiments, language, resnet50
from app.lesson.present import notes
from app.lesson.text import APPENDIX, LANGUAGES
from fcn_core.networks.zoo import MODELS, find_weights, model_spec
from fcn_core.synsets.ontology import Ontology
from tests.app.lesson.page import opened, settled

OTHERS = [each for each in LANGUAGES if each != "en"]


class _Words(HTMLParser):
    """The words of HTML that are seen or read aloud."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.within = tag
        self.found += [
            value
            for name, value in attrs
            if value and name in ("alt", "title", "aria-label", "data-announce")
        ]

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within not in ("style", "script"):
            self.found.append(data)


_SILENT = {
    "id", "url", "type", "icon", "key", "form_id", "element_id", "language", "format", "color", "anchor",
    "element_hash", "group_id", "file_urls", "markup", "link", "download_request_id", "deferred_file_id",
    "autocomplete", "theme",
}  # fmt: skip


def _strings(message: Message) -> Iterator[str]:
    """All strings of a message that may be shown."""
    for field, value in message.ListFields():
        if field.name in _SILENT:
            continue
        for each in value if isinstance(value, list) or hasattr(value, "append") else [value]:
            if isinstance(each, Message):
                yield from _strings(each)
            elif isinstance(each, str):
                yield each


def _in_chart(spec: Any, key: str = "") -> Iterator[str]:
    """All strings of a chart's description that may be shown."""
    if isinstance(spec, Mapping):
        for name, value in spec.items():
            if name != "config":
                yield from _in_chart(value, name)
    elif isinstance(spec, list):
        for each in spec:
            yield from _in_chart(each, key)
    elif (
        isinstance(spec, str)
        and key in ("title", "field", "domain", "sort")
        and spec not in ("name", "series")
    ):
        yield spec


def shown(node: Element | Branch) -> Iterator[str]:
    """All texts that a page shows or a screen reader reads."""
    if isinstance(node, Branch):
        if node.proto is not None:
            yield from _strings(node.proto)
        for child in node.children.values():
            yield from shown(child)
        return
    if node.type == "code":
        return
    if node.type == "html":
        words = _Words()
        words.feed(node.proto.body)
        yield from words.found
    elif node.type == "dataframe":
        table = node.value
        yield from map(str, table.columns)
        yield from (each for column in table.columns for each in table[column] if isinstance(each, str))
        yield node.proto.alt
        yield from _config(json.loads(node.proto.columns or "{}"))
    elif node.type == "bidi_component":  # it gets its words from Python
        yield from _words_in(json.loads(node.proto.json or node.proto.mixed.json or "null"))
    elif node.type == "vega_lite_chart":
        yield node.proto.alt
        yield from _in_chart(json.loads(node.proto.spec))
    else:
        yield from _strings(node.proto)


def _words_in(data: Any) -> Iterator[str]:
    """The values of all mappings called "words" in the data of a component."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            if name == "words" and isinstance(value, Mapping):
                yield from (each for each in value.values() if isinstance(each, str))
            else:
                yield from _words_in(value)
    elif isinstance(data, list):
        for each in data:
            yield from _words_in(each)


def _config(columns: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for column in columns.values():
        yield from (column[name] for name in ("label", "help") if column.get(name))


def _texts(lang: str, step: str, **query: str) -> dict[str, str]:
    """All texts of a page, before and after everything on it is switched on, and the title below which each stands."""
    app = opened(step=step, lang=lang, **query)
    found = _below_titles(app)
    if app.toggle:
        for toggle in app.toggle:
            toggle.set_value(True)
        settled(app)
    return found | _below_titles(app)


def _below_titles(app: AppTest) -> dict[str, str]:
    found, title = {}, ""
    titles = {each.value for each in app.title}
    for branch in (app.sidebar, app.main):
        for text in shown(branch):
            title = text if text in titles else title
            found[text] = title
    return found


SAME = {  # in all languages
    "Dense", "softmax", "logit", "Labrador", "Synset", "IoU", "q", "SoftmaxMap", "wnid", "Language · Langue",
    "20 minutes", "45 minutes", "classes",
    "Artefact", "Convolution", "Logit", "Saturation", "Softmax", "Veto", "Wnid", "WordNet",
    *LANGUAGES.values(), *(model.title for model in MODELS.values() if "," not in model.title),
}  # fmt: skip


@cache
def _same() -> set[str]:
    """Names, words of WordNet's, and what Python says."""
    ontology = Ontology.load()
    words = {ontology.label(synset.wnid) for synset in ontology}
    words |= {synset.gloss for synset in ontology} | {", ".join(synset.words) for synset in ontology}
    layers = {name for stage in resnet50.STAGES for name in (stage.name, stage.kind)} | {"stem", "head"}
    code = {text for old in experiments.old_lines() for text in (old.line, old.today, old.error)}
    code |= {"include_top", "input_shape", "filters", "kernel_size", "axis", "True", "False"}  # to fill in
    return SAME | words | layers | code


_LAYER = re.compile(r"\bNone\b|\bblock\d+_\w+")
_FIELD = re.compile(r"\{\w+\}")  # which a component fills in


def is_the_same(text: str) -> bool:
    """Whether a text is the same in all languages: a name, a number, a formula, code or a word of WordNet's."""
    bare = re.sub(
        r"^\d\W|\$\$.*\$\$|:\w+\[|:material/\w+:|\*\*|\]$", "", _FIELD.sub("", text).strip(), flags=re.DOTALL
    )
    bare = bare.strip()
    parts = [bare, *re.split(r"\n\n| · ", bare.removeprefix("## "))]
    named = [part in _same() or not re.search(r"[A-Za-zÀ-ÿ]{2}", _LAYER.sub("", part)) for part in parts]
    return named[0] or all(named[1:])


_ENGLISH = re.compile(
    r"\b(the|of|and|is|are|was|with|from|this|that|each|every|not|its|picture|cells?|means?|peak|size|row|which)\b"
)
_QUOTED = re.compile(  # code, formulas, words of WordNet's, and the titles of papers
    r"```.*?```|`.*?`|\{\w+\}|\$.*?\$|«.*?»|\*[A-Z][^*]*\*|^- [^\n]*\(\d{4}\)(?:[^\n]|\n  )*",
    re.DOTALL | re.MULTILINE,
)

# "all" has what all steps show; the first and the last have what is around a step, too.
STEPS = ["1", APPENDIX, "exercises", "room", "glossary", "all", notes.STEP]


@pytest.fixture
def texts() -> Callable[..., dict[str, str]]:
    if find_weights(model_spec()) is None:
        pytest.skip("the built-in weights are not installed")
    return _texts


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("7 × 10", True),
        ("(None, 7, 7, 2048)", True),
        (":primary[**Dense**]", True),
        ("German shepherd · 1", True),
        ("Today", False),
        (":primary[**Today**]", False),
        ("dog of somebody", False),
    ],
)
def test_names_and_numbers_are_told_from_text(text: str, same: bool) -> None:
    assert is_the_same(text) is same


@pytest.mark.parametrize("lang", OTHERS)
@pytest.mark.parametrize("step", STEPS)
def test_a_page_shows_nothing_in_english(texts: Callable[..., dict[str, str]], step: str, lang: str) -> None:
    english, found = texts("en", step), texts(lang, step)
    names = language.labels(lang)["In English: {term}"].partition("{")[0]  # below the terms of the glossary
    there = {text for text in found if not is_the_same(text) and not text.startswith(names)}

    def below(wrong: Iterable[str]) -> list[tuple[str, str]]:
        return sorted((found[text], text) for text in wrong)

    assert below(there & (english.keys() | language.labels(lang).keys())) == []
    assert below(text for text in there if _ENGLISH.search(_QUOTED.sub("", text))) == []
    # Numbers: not a part of a version, such as 2.5.1.
    assert below(text for text in there if re.search(r"(?<![\d.])\d+\.\d+(?![\d.])|\d%", text)) == []
