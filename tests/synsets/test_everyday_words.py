"""What happens to the words that people type: a table of everyday nouns, singular and plural."""

from __future__ import annotations

import pytest

from fcn_core.errors import AmbiguousSynset, UnknownSynset
from fcn_core.synsets.look_up import Meaning
from fcn_core.synsets.ontology import Ontology
from tests.places import ROOT

TABLE = (ROOT / "tests" / "synsets" / "everyday_nouns.txt").read_text(encoding="utf-8").splitlines()
CASES = [tuple(line.split(": ", 1)) for line in TABLE if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.load()


def outcome(ontology: Ontology, meaning: Meaning) -> str:
    """The outcome as the table names it."""
    near = ", ".join(ontology.label(ontology.collapse(s.wnid)) for s in meaning.others)
    if meaning.line.startswith("The network never learned"):
        assert meaning.synset is None
        return f"never: {near}" if near else "nothing near"
    if "usual meaning" in meaning.line:
        return f"{'found, ' if meaning.synset else ''}other sense: {near}"
    if meaning.synset is None:
        return f"asks: {near}"
    if "it knows" in meaning.line:
        return f"only: {meaning.line.partition(' it knows ')[2].removesuffix(' only.')}"
    return f"found: {meaning.synset.words[0]}"


@pytest.mark.parametrize(("words", "expected"), CASES, ids=[words for words, _ in CASES])
def test_everyday_nouns(ontology: Ontology, words: str, expected: str) -> None:
    for word in words.split(", "):
        for typed in (word, f" {word.upper()} "):
            assert outcome(ontology, ontology.look_up(typed)) == expected, typed


@pytest.mark.parametrize(("words", "expected"), CASES, ids=[words for words, _ in CASES])
def test_find_and_search_agree_with_the_look_up(ontology: Ontology, words: str, expected: str) -> None:
    for word in words.split(", "):
        meaning = ontology.look_up(word)
        found = ontology.search(word)
        if expected.startswith(("found", "only")):
            if not meaning.line or meaning.line.startswith(
                f"{word}: it knows"
            ):  # else another word for it: "fridge"
                assert ontology.find(word) == found[0] == meaning.synset
        elif expected.startswith("asks"):
            with pytest.raises(AmbiguousSynset):
                ontology.find(word)
        elif not expected.startswith("other"):
            assert found[: len(meaning.others)] == meaning.others
            with pytest.raises(UnknownSynset) as caught:
                ontology.find(word)
            assert meaning.line in str(caught.value)


def test_the_table_has_enough_words_of_every_kind() -> None:
    kinds = [expected.partition(":")[0] for _, expected in CASES]
    assert len(CASES) >= 150
    assert min(map(kinds.count, ("found", "only", "never", "nothing near", "asks"))) >= 3


@pytest.mark.parametrize(
    ("text", "synset", "others", "line"),
    [
        ("n02084071", "dog", [], ""),
        ("N02084071", "dog", [], ""),
        ("n99999999", None, [], "n99999999 is none of its synsets."),
        ("woman", None, ["person"], "The network never learned woman. Nearest: person."),
        ("puppies", None, ["dog"], "The network never learned puppy. Nearest: dog."),
        ("sheep", "sheep", [], "sheep: it knows rams only."),
        ("Love", None, [], "The network never learned Love, nor anything near it."),
        ("Hund", "dog", [], "Hund: dog (German)."),
        ("chien", "dog", [], "chien: dog (French)."),
        ("Pferd", "horse", [], "Pferd: horse (German). horse: it knows sorrels only."),
        ("Frau", None, ["person"], "Frau: woman (German). The network never learned woman. Nearest: person."),
        ("smartphones", "cellular telephone", [], "smartphones: cellphone."),
        ("labr", "Labrador retriever", None, "labr: read as Labrador retriever."),
        ("zeebra", "zebra", [], "zeebra: read as zebra."),
        (
            "womann",
            None,
            ["person"],
            "womann: read as woman. The network never learned woman. Nearest: person.",
        ),
        (
            "peple",
            None,
            ["person"],
            "peple: read as people. The network never learned people. Nearest: person.",
        ),
        ("red cars", None, ["car"], "The network never learned red cars. Nearest: car."),
        ("wine glass", None, ["glass"], "The network never learned wine glass. Nearest: glass."),
        ("qqxzzv", None, [], "qqxzzv is no word that it knows."),
        ("cofee", "coffee", None, "cofee: read as coffee. coffee: it knows espressos only."),
        ("qxz\nqxz\0" * 50, None, [], " ".join(["qxz"] * 10) + "… is no word that it knows."),
    ],
)
def test_what_is_said(
    ontology: Ontology, text: str, synset: str | None, others: list[str] | None, line: str
) -> None:
    meaning = ontology.look_up(text)
    assert (meaning.synset.words[0] if meaning.synset else None) == synset
    if others is not None:
        assert [s.words[0] for s in meaning.others] == others
    assert meaning.line == line
    assert "\n" not in meaning.line
    assert len(meaning.line) < 200


def test_a_word_that_is_english_and_french_has_both_meanings(ontology: Ontology) -> None:
    meaning = ontology.look_up("chat")
    assert meaning.line.startswith("The network never learned chat. Nearest: ")
    assert "chat: cat (French)." in meaning.line
    assert meaning.synset is None
    assert "cat" in [s.words[0] for s in meaning.others]


@pytest.mark.parametrize("word", ["man", "people", "tree", "love", "sky", "boy"])
def test_nothing_is_found_by_its_letters_or_gloss_alone(ontology: Ontology, word: str) -> None:
    """ "man" is not the beginning of "mantis" here, and "tree" not a word in the definition of a drug."""
    meaning = ontology.look_up(word)
    assert meaning.synset is None
    assert {s.words[0] for s in meaning.others} <= {"person", "flower"}
