from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from fcn_core.errors import AmbiguousSynset, HierarchyInvalid, UnknownSynset
from fcn_core.synsets.ontology import ASSET, Ontology
from fcn_core.synsets.records import SynsetRecord
from tests.synsets.places import ANIMAL, CAT, DOG, ENTITY, toy


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.load()


# The asset


def test_classes_come_first_in_the_order_of_the_outputs(ontology: Ontology) -> None:
    synsets = list(ontology)
    assert len(ontology) == len(synsets) == 1860
    assert len(ontology.classes) == 1000
    assert list(ontology.classes) == sorted(ontology.classes) == [s.wnid for s in synsets[:1000]]
    assert [s.class_id for s in synsets] == [*range(1000), *[None] * 860]
    assert all(bool(s.children) == (s.class_id is None) for s in synsets)
    assert [s.wnid for s in synsets if not s.parents] == [ontology.root] == [ENTITY]
    assert sum(len(s.parents) > 1 for s in synsets) == 75
    for synset in synsets:
        assert all(synset.wnid in ontology[child].parents for child in synset.children)
        assert all(synset.wnid in ontology[parent].children for parent in synset.parents)
        assert ontology[synset.wnid] is synset
        assert synset.gloss


@pytest.mark.parametrize(
    ("class_id", "word"), [(0, "tench"), (207, "golden retriever"), (285, "Egyptian cat"), (967, "espresso")]
)
def test_class_ids_are_the_indices_of_the_outputs(ontology: Ontology, class_id: int, word: str) -> None:
    assert ontology[ontology.classes[class_id]].words[0] == word
    assert ontology.class_ids(ontology.classes[class_id]) == (class_id,)


def test_the_asset_has_one_synset_per_line_and_a_licence() -> None:
    lines = ASSET.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1860 + 3
    assert json.loads(lines[2].rstrip(","))["wnid"] == "n01440764"
    assert "Princeton University" in (ASSET.parent / "LICENSE-WordNet.txt").read_text(encoding="utf-8")


def test_import_reads_no_file() -> None:
    code = (
        "import sys; from fcn_core.synsets import ontology as synsets; "
        "assert synsets._load.cache_info().currsize == 0; "
        "assert not {'scipy', 'tensorflow', 'keras', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_hierarchy_is_loaded_once() -> None:
    assert Ontology.load() is Ontology.load()


# The classes below a synset


@pytest.mark.parametrize(
    ("wnid", "classes", "naive"),
    [(DOG, 118, 118), (ANIMAL, 398, 533), (ENTITY, 1000, 1343), ("n02124075", 1, 1), (CAT, 7, 7)],
)
def test_class_counts(ontology: Ontology, wnid: str, classes: int, naive: int) -> None:
    ids, listed = ontology.class_ids(wnid), ontology.naive_class_ids(wnid)
    assert len(ids) == ontology.count(wnid) == classes
    assert len(listed) == naive
    assert tuple(sorted(set(listed))) == ids


def test_only_the_depth_first_search_counts_classes_twice(ontology: Ontology) -> None:
    listed = {s.wnid: ontology.naive_class_ids(s.wnid) for s in ontology}
    assert all(ontology.class_ids(wnid) == tuple(sorted(set(ids))) for wnid, ids in listed.items())
    assert sum(len(ids) > len(set(ids)) for ids in listed.values()) == 55


def test_an_endless_depth_first_search_is_stopped() -> None:
    levels = 40  # of two synsets that are both kinds of both above: 2**39 paths
    pairs = [(f"n{2 * i + 1:08}", f"n{2 * i + 2:08}") for i in range(levels)]
    nodes = [SynsetRecord("n00000000", ("root",), "", pairs[0])]
    for i, pair in enumerate(pairs):
        nodes += [SynsetRecord(w, (w,), "", pairs[i + 1] if i + 1 < levels else ()) for w in pair]
    ontology = Ontology(nodes)
    assert ontology.class_ids("n00000000") == (0, 1)
    with pytest.raises(HierarchyInvalid, match="at most 100000"):
        ontology.naive_class_ids("n00000000")


def test_membership_sums_the_probabilities_of_all_synsets(ontology: Ontology) -> None:
    membership = ontology.membership()
    assert membership.shape == (1860, 1000)
    assert membership.dtype == np.float32
    assert membership is ontology.membership()
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(1000, 0.02), 6).T.astype(np.float32)
    sums = membership @ probabilities
    assert sums.max() < 1 + 1e-5
    for synset in ontology:
        expected = probabilities[list(ontology.class_ids(synset.wnid))].sum(axis=0)
        np.testing.assert_allclose(sums[ontology.index(synset.wnid)], expected, atol=1e-5)
    with pytest.raises(ValueError, match="read-only"):
        membership.data[0] = 2


# Walking the graph


@pytest.mark.parametrize(("wnid", "depth"), [(ENTITY, 0), ("n00001930", 1), (DOG, 8), (ANIMAL, 6)])
def test_depth_is_the_length_of_the_shortest_path(ontology: Ontology, wnid: str, depth: int) -> None:
    assert ontology.depth(wnid) == depth


def test_paths_and_ancestors_agree(ontology: Ontology) -> None:
    classes = {synset.wnid: frozenset(ontology.class_ids(synset.wnid)) for synset in ontology}
    for synset in ontology:
        path, ancestors = ontology.path_to_root(synset.wnid), ontology.ancestors(synset.wnid)
        assert path[0] == synset.wnid
        assert path[-1] == ENTITY
        assert all(above in ontology[below].parents for below, above in itertools.pairwise(path))
        assert len(path) - 1 >= ontology.depth(synset.wnid)
        assert set(path[1:]) <= set(ancestors)
        assert len(ancestors) == len(set(ancestors))
        assert ancestors[: len(synset.parents)] == synset.parents
        assert all(classes[synset.wnid] <= classes[above] for above in ancestors)


def test_a_dog_is_a_canine_before_it_is_a_domestic_animal(ontology: Ontology) -> None:
    assert [ontology.label(w) for w in ontology.path_to_root(DOG)][:4] == [
        "dog",
        "canine",
        "carnivore",
        "placental",
    ]
    assert [ontology.label(w) for w in ontology.ancestors(DOG)][:2] == ["canine", "domestic animal"]


# The hierarchy as a picker shows it


def test_one_synset_represents_all_with_the_same_classes(ontology: Ontology) -> None:
    for synset in ontology:
        representative = ontology.collapse(synset.wnid)
        assert ontology.class_ids(representative) == ontology.class_ids(synset.wnid)
        assert ontology.collapse(representative) == representative
        assert all(
            ontology.count(child) < ontology.count(representative)
            for child in ontology[representative].children
        )
        if ontology.count(synset.wnid) == 1:
            assert ontology[representative].class_id is not None
    assert len({ontology.collapse(s.wnid) for s in ontology}) == 1396


def test_every_collapsed_synset_is_reachable_through_visible_children(ontology: Ontology) -> None:
    reached, waiting = set(), [ENTITY]
    while waiting:
        wnid = waiting.pop()
        children = ontology.visible_children(wnid)
        counts = [ontology.count(c) for c in children]
        assert counts == sorted(counts, reverse=True)
        assert all(ontology.collapse(c) == c != wnid for c in children)
        for child in children:
            between = {ontology.collapse(a) for a in ontology.ancestors(child)} - {child}
            assert between.isdisjoint(children), "reachable through another child"
        new = set(children) - reached
        reached |= new
        waiting += new
    assert reached | {ENTITY} == {ontology.collapse(s.wnid) for s in ontology}


def test_breadcrumbs(ontology: Ontology) -> None:
    crumbs = [ontology.label(w) for w in ontology.breadcrumb("n07920052")]
    assert crumbs == ["entity", "physical entity", "matter", "substance", "food", "beverage", "espresso"]
    for synset in ontology:
        path = ontology.breadcrumb(synset.wnid)
        assert path[0] == ENTITY
        assert path[-1] == ontology.collapse(synset.wnid)
        counts = [ontology.count(w) for w in path]
        assert all(wide > narrow for wide, narrow in itertools.pairwise(counts))


def test_visible_children_of_animal(ontology: Ontology) -> None:
    labels = [ontology.label(w) for w in ontology.visible_children(ANIMAL)]
    assert labels == ["vertebrate", "domestic animal", "invertebrate"]
    assert ontology.visible_children("n02124075") == ()


# Look-up


@pytest.mark.parametrize(
    ("text", "wnid"),
    [
        ("n02084071", DOG),
        (" N02084071 ", DOG),
        ("dog", DOG),
        ("DOG", DOG),
        ("domestic_dog", DOG),
        ("Egyptian  cat", "n02124075"),
        ("french_horn", "n03394916"),
        ("half-track", "n03478589"),
        ("half track", "n03478589"),
        ("éspresso", "n07920052"),
        ("cat", CAT),  # the first word of one sense only
        ("car", "n02958343"),  # much more often than the one of a train
        ("plane", "n02691156"),  # rather than a carpenter's
        ("dogs", DOG),
        ("geese", "n01855672"),
        ("market", "n03461385"),  # both senses have the same classes
    ],
)
def test_find(ontology: Ontology, text: str, wnid: str) -> None:
    found = ontology.find(text)
    assert ontology.collapse(found.wnid) == ontology.collapse(wnid)
    if text != "market":
        assert found.wnid == wnid


def test_find_prefers_the_sense_that_contains_the_others() -> None:
    wide = (
        ("1", "top", "23"),
        ("2", "bar, vehicle", "45"),
        ("3", "other", ""),
        ("4", "van, bar", ""),
        ("5", "bar", ""),
    )
    assert toy(*wide).find("bar").wnid == "n00000002"
    apart = ("1", "top", "24"), ("2", "vehicle", "35"), ("3", "bar", ""), ("4", "bar", ""), ("5", "lorry", "")
    with pytest.raises(AmbiguousSynset):
        toy(*apart).find("bar")


@pytest.mark.parametrize("word", ["crane", "Crane", "cranes", "panda", "helmet"])
def test_the_error_for_an_ambiguous_word_lists_all_senses(ontology: Ontology, word: str) -> None:
    with pytest.raises(AmbiguousSynset) as caught:
        ontology.find(word)
    message = str(caught.value)
    assert "\n" not in message
    senses = ontology.senses(word.removesuffix("s"))
    assert len(senses) > 1
    for synset in senses:
        assert synset.wnid in message
        assert ", ".join(synset.words) in message
        assert synset.gloss in message
        assert re.search(rf"\b{ontology.count(synset.wnid)} class", message)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("elefant", "n02503517"),
        ("n99999999", "n99999999"),
        ("", "n02084071"),
        (" _\n", "n02084071"),
        ("zzzzzzzzzz", "zzzzzzzzzz"),
        ("x" * 10_000, "xxx"),
        ("do\0g\n<script>", "script"),
        ("\ud800", "ud800"),
    ],
)
def test_the_error_for_an_unknown_word_says_what_to_do(ontology: Ontology, text: str, says: str) -> None:
    with pytest.raises(UnknownSynset) as caught:
        ontology.find(text)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert len(message) < 400


def test_methods_refuse_unknown_wnids(ontology: Ontology) -> None:
    assert DOG in ontology
    assert "dog" not in ontology
    for method in ("class_ids", "count", "naive_class_ids", "depth", "ancestors", "path_to_root", "label"):
        with pytest.raises(UnknownSynset, match="dog"):
            getattr(ontology, method)("dog")
    for method in ("collapse", "visible_children", "breadcrumb", "index", "__getitem__"):
        with pytest.raises(UnknownSynset, match="n00000000"):
            getattr(ontology, method)("n00000000")


# Nodes that are no hierarchy


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ([], "one root"),
        ([("n00000001", "a", ("n00000002",))], "among the synsets"),
        ([("n00000001", "a", ()), ("n00000001", "b", ())], "twice"),
        ([("n00000001", "a", ()), ("n00000002", "b", ())], "one root"),
        ([("n00000001", "a", ("n00000002",)), ("n00000002", "b", ("n00000001",))], "without cycles"),
        ([("n00000001", "a", ("n00000001",))], "without cycles"),
        ([("dog", "a", ())], "eight digits"),
        ([("n0000000１", "a", ())], "eight digits"),
        ([("n00000001", " ", ())], "empty"),
        ([("n00000001", "a" * 101, ())], "longer"),
    ],
)
def test_nodes_that_are_no_hierarchy_are_refused(
    nodes: list[tuple[str, str, tuple[str, ...]]], says: str
) -> None:
    with pytest.raises(HierarchyInvalid, match=says):
        Ontology(SynsetRecord(wnid, (word,), "", children) for wnid, word, children in nodes)


def test_parents_must_agree_with_children() -> None:
    nodes = [
        SynsetRecord("n00000001", ("a",), "", ("n00000002",)),
        SynsetRecord("n00000002", ("b",), "", (), ("n00000003",)),
    ]
    with pytest.raises(HierarchyInvalid, match="parents"):
        Ontology(nodes)


def test_a_very_deep_hierarchy_does_not_exhaust_the_stack() -> None:
    wnids = [f"n{i:08}" for i in range(3000)]
    nodes = [SynsetRecord(w, (w,), "", tuple(wnids[i + 1 : i + 2])) for i, w in enumerate(wnids)]
    ontology = Ontology(nodes)
    assert ontology.depth(wnids[-1]) == 2999
    assert ontology.breadcrumb(wnids[0]) == (wnids[-1],)
    assert ontology.naive_class_ids(wnids[0]) == (0,)
