"""The tables of nouns, and the script that makes the larger one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fcn_core.synsets import nouns
from fcn_core.synsets.ontology import Ontology
from fcn_core.synsets.search import normal
from tests.places import ROOT

WORDNET = Path("/usr/share/wordnet")


@pytest.mark.skipif(not WORDNET.exists(), reason="WordNet 3.0 is not installed")
def test_the_script_makes_the_same_table_again(tmp_path: Path) -> None:
    made = tmp_path / "nouns.txt"
    script = [
        sys.executable,
        str(ROOT / "scripts" / "make_nouns.py"),
        "--wordnet",
        str(WORDNET),
        "--out",
        str(made),
    ]
    subprocess.run(script, check=True, capture_output=True)
    assert made.read_bytes() == nouns.TABLE.read_bytes()


def test_every_line_of_the_table_has_a_key_and_words_in_normal_form() -> None:
    ontology = Ontology.load()
    source, *lines = nouns.TABLE.read_text(encoding="utf-8").splitlines()
    assert "Princeton" in source
    seen = set[str]()
    for line in lines:
        key, *words, end = line.split(",")
        assert words == sorted(words) or key == "*"
        assert end == ""
        assert all(word == normal(word) for word in words)
        if key != "*":
            assert seen.isdisjoint(words)
            seen.update(words)
        if key and key[0] not in ">*":
            assert all(wnid in ontology for wnid in key.lstrip("=+").split())
    assert lines[-1].startswith("*,")
    assert 50_000 < len(seen) < 90_000
    assert nouns.TABLE.stat().st_size < 1_000_000


def test_a_known_word_is_never_among_those_that_were_not_learned() -> None:
    found = nouns.load()
    for synset in Ontology.load():
        for word in map(normal, synset.words):
            assert found.singular(word) == word
            noun = found.never_learned(word)
            assert noun is None or noun.word != word


def test_every_everyday_word_leads_to_an_english_one_that_is_understood() -> None:
    ontology = Ontology.load()
    header, *lines = nouns.ABROAD.read_text(encoding="utf-8").splitlines()
    assert header == "word,language,English"
    pairs = [tuple(line.split(",")) for line in lines]
    assert {language for _, language, _ in pairs} == {"German", "French", "English"}
    assert len({(normal(word), language, english) for word, language, english in pairs}) == len(pairs)
    for word, _, english in pairs:
        meaning = ontology.look_up(english)
        assert meaning.understood, english
        assert meaning.synset or meaning.others or "nor anything near" in meaning.line
        assert ontology.look_up(word).understood, word


@pytest.mark.parametrize(
    ("word", "similar"),
    [("womann", ("woman", 1)), ("peple", ("people", 1)), ("xqzzv", None), ("ab", None), ("", None)],
)
def test_misspelt_nouns(word: str, similar: tuple[str, int] | None) -> None:
    assert nouns.load().misspelt(word) == similar
