from __future__ import annotations

import random

import pytest

from fcn_core.errors import AmbiguousSynset
from fcn_core.synsets.ontology import Ontology
from fcn_core.synsets.search import _NEAR, _NEAR_BEGINNING, STARTING_POINTS, _near_match
from tests.synsets.places import toy


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.load()


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("dog", ["dog", "hunting dog", "working dog"]),
        ("dogs", ["dog", "hunting dog"]),
        ("foxes", ["fox"]),
        ("wolves", ["wolf"]),
        ("crane", ["crane", "crane"]),
        ("cat", ["cat", "big cat", "domestic cat"]),
        ("carn", ["carnivore"]),
        ("gold retr", ["golden retriever"]),
        ("retr gold", ["golden retriever"]),
        ("lephan", ["elephant"]),
        ("elefant", ["elephant"]),
        ("elepfan", ["elephant"]),
        ("coffe", ["coffee"]),
        ("cofee", ["coffee"]),
        ("zeebra", ["zebra"]),
        ("gaot", ["goat"]),
        ("Egyptain cat", ["Egyptian cat"]),
        ("retreiver", ["retriever"]),
        ("n02084071", ["dog"]),
        ("n0208", ["canine", "dog", "hunting dog"]),
        ("puppy", ["dog"]),
        ("xyzzyxyzzy", []),
        ("q" * 5000, []),
    ],
)
def test_search(ontology: Ontology, query: str, first: list[str]) -> None:
    found = [s.words[0] for s in ontology.search(query)]
    assert found[: len(first)] == first
    assert bool(found) == bool(first)


def test_a_word_that_was_never_learned_is_not_searched_by_its_letters(ontology: Ontology) -> None:
    assert [s.words[0] for s in ontology.search("puppy")] == ["dog"], "no mud puppy, which is an axolotl"


def test_find_returns_the_first_result_of_search(ontology: Ontology) -> None:
    differing = set()
    for word in sorted({word for synset in ontology for word in synset.words})[::19]:
        found = ontology.search(word, limit=100)
        assert {s.wnid for s in ontology.senses(word)} <= {s.wnid for s in found}
        try:
            if ontology.find(word) != found[0]:
                differing.add(word)
        except AmbiguousSynset:
            pass
    assert not differing


def test_an_empty_query_returns_everyday_kinds_broadest_first(ontology: Ontology) -> None:
    for query in ("", "  ", "_"):
        found = ontology.search(query)
        assert {s.wnid for s in found} == set(STARTING_POINTS)
        assert [s.words[0] for s in found[:3]] == ["animal", "dog", "container"]
        counts = [ontology.count(s.wnid) for s in found]
        assert counts == sorted(counts, reverse=True)
    assert [s.words[0] for s in toy(("1", "top", "2"), ("2", "leaf", "")).search("")] == ["top", "leaf"]


@pytest.mark.parametrize("limit", [0, 1, 5, 10_000])
def test_search_returns_at_most_the_limit(ontology: Ontology, limit: int) -> None:
    found = ontology.search("a", limit)
    assert len(found) <= limit
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    "query", ["\0", "[", "(dog", "\ud800", "é", "犬", "n" * 99, "dog\ndog", "%s", "-" * 500]
)
def test_search_accepts_any_text(ontology: Ontology, query: str) -> None:
    assert isinstance(ontology.search(query), tuple)


def plain_typing_errors(a: str, b: str) -> int:
    table = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a[i - 1] != b[j - 1])
            )
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[len(a), len(b)]


@pytest.mark.parametrize("query", ["abc", "abcab", "ccbacab", "zzz"])
@pytest.mark.parametrize("allowed", [1, 2])
def test_near_matches_follow_the_plain_table(query: str, allowed: int) -> None:
    """A whole word may have the allowed typing errors, its beginning one fewer."""
    rng = random.Random(0)
    ranks = set()
    for _ in range(200):
        changed = [letter for letter in query if rng.random() < 0.8]
        word = "".join(changed + rng.choices("abc", k=rng.randint(0 if changed else 1, 6)))
        whole = plain_typing_errors(query, word)
        beginning = min(plain_typing_errors(query, word[:j]) for j in range(len(word) + 1))
        expected = (
            (_NEAR, whole)
            if whole <= allowed
            else (_NEAR_BEGINNING, beginning)
            if beginning < allowed
            else None
        )
        assert _near_match(query, word, allowed) == expected, word
        ranks.add(expected)
    assert {rank[0] if rank else None for rank in ranks} == {_NEAR, _NEAR_BEGINNING, None}
