from __future__ import annotations

import io
import itertools
import json
import os
import random
import re
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from fcn_core.errors import AmbiguousSynset, HierarchyInvalid, UnknownSynset
from fcn_core.synsets.devkit import MAX_INFLATED_BYTES, Node, read_devkit
from fcn_core.synsets.ontology import ASSET, STARTING_POINTS, Ontology, _typing_errors
from tests.places import ROOT

SHARED = Path(os.environ.get("FCN_SHARED", ROOT.parent / "shared"))
DEVKIT = SHARED / "reference" / "meta_clsloc.mat"
DATA_NOUN = Path("/usr/share/wordnet/data.noun")

DOG, ANIMAL, ENTITY, CAT = "n02084071", "n00015388", "n00001740", "n02121620"


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.load()


def toy(*nodes: tuple[str, str, str]) -> Ontology:
    """An ontology of (digit, words, digits of the children)."""
    return Ontology(
        Node(f"n0000000{d}", tuple(words.split(", ")), "", tuple(f"n0000000{c}" for c in children))
        for d, words, children in nodes
    )


# The asset


def test_the_hierarchy_has_the_classes_first_in_the_order_of_the_outputs(ontology: Ontology) -> None:
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
def test_classes_are_where_the_networks_have_them(ontology: Ontology, class_id: int, word: str) -> None:
    assert ontology[ontology.classes[class_id]].words[0] == word
    assert ontology.class_ids(ontology.classes[class_id]) == (class_id,)


def test_the_asset_has_one_synset_a_line_and_its_licence_beside_it() -> None:
    lines = ASSET.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1860 + 3
    assert json.loads(lines[2].rstrip(","))["wnid"] == "n01440764"
    assert "Princeton University" in (ASSET.parent / "LICENSE-WordNet.txt").read_text(encoding="utf-8")


@pytest.mark.skipif(not DATA_NOUN.exists(), reason="WordNet 3.0 is not installed")
def test_the_script_makes_the_asset_again(tmp_path: Path) -> None:
    made = tmp_path / "synsets.json"
    script = [sys.executable, str(ROOT / "scripts" / "make_synsets.py"), "--data-noun", str(DATA_NOUN)]
    subprocess.run([*script, "--out", str(made)], check=True, capture_output=True)
    assert made.read_bytes() == ASSET.read_bytes()


def test_importing_reads_nothing() -> None:
    code = (
        "import sys; from fcn_core.synsets import ontology as synsets; "
        "assert synsets._load.cache_info().currsize == 0; "
        "assert not {'scipy', 'tensorflow', 'keras', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_happens_once() -> None:
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


def test_only_the_naive_search_counts_twice(ontology: Ontology) -> None:
    listed = {s.wnid: ontology.naive_class_ids(s.wnid) for s in ontology}
    assert all(ontology.class_ids(wnid) == tuple(sorted(set(ids))) for wnid, ids in listed.items())
    assert sum(len(ids) > len(set(ids)) for ids in listed.values()) == 55


def test_a_naive_search_without_end_is_stopped() -> None:
    levels = 40  # of two synsets that are both kinds of both above: 2**39 paths
    pairs = [(f"n{2 * i + 1:08}", f"n{2 * i + 2:08}") for i in range(levels)]
    nodes = [Node("n00000000", ("root",), "", pairs[0])]
    for i, pair in enumerate(pairs):
        nodes += [Node(w, (w,), "", pairs[i + 1] if i + 1 < levels else ()) for w in pair]
    ontology = Ontology(nodes)
    assert ontology.class_ids("n00000000") == (0, 1)
    with pytest.raises(HierarchyInvalid, match="more than"):
        ontology.naive_class_ids("n00000000")


def test_membership_sums_every_synset_at_once(ontology: Ontology) -> None:
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
def test_depth_is_that_of_the_shortest_path(ontology: Ontology, wnid: str, depth: int) -> None:
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


def test_without_an_order_the_main_parent_is_the_most_specific() -> None:
    ontology = toy(
        ("1", "top", "234"), ("2", "near", "5"), ("3", "far", "4"), ("4", "farther", "5"), ("5", "leaf", "")
    )
    assert ontology.path_to_root("n00000005") == ("n00000005", "n00000004", "n00000003", "n00000001")
    assert ontology.depth("n00000005") == 2


# The hierarchy as a picker shows it


def test_one_synset_stands_for_all_with_the_same_classes(ontology: Ontology) -> None:
    for synset in ontology:
        stand_in = ontology.collapse(synset.wnid)
        assert ontology.class_ids(stand_in) == ontology.class_ids(synset.wnid)
        assert ontology.collapse(stand_in) == stand_in
        assert all(ontology.count(child) < ontology.count(stand_in) for child in ontology[stand_in].children)
        if ontology.count(synset.wnid) == 1:
            assert ontology[stand_in].class_id is not None
    assert len({ontology.collapse(s.wnid) for s in ontology}) == 1396


def test_every_collapsed_synset_can_be_reached_by_narrowing(ontology: Ontology) -> None:
    reached, waiting = set(), [ENTITY]
    while waiting:
        wnid = waiting.pop()
        children = ontology.visible_children(wnid)
        counts = [ontology.count(c) for c in children]
        assert counts == sorted(counts, reverse=True)
        assert all(ontology.collapse(c) == c != wnid for c in children)
        for child in children:
            between = {ontology.collapse(a) for a in ontology.ancestors(child)} - {child}
            assert between.isdisjoint(children), "a way round by another child"
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


def test_animals_narrow_to_what_one_expects(ontology: Ontology) -> None:
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
        ("market", "n03461385"),  # both senses have the same classes
    ],
)
def test_find(ontology: Ontology, text: str, wnid: str) -> None:
    found = ontology.find(text)
    assert ontology.collapse(found.wnid) == ontology.collapse(wnid)
    if text != "market":
        assert found.wnid == wnid


def test_the_sense_that_contains_the_others_wins() -> None:
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


@pytest.mark.parametrize("word", ["crane", "Crane", "car", "machine"])
def test_an_ambiguous_word_lists_its_senses_on_one_line(ontology: Ontology, word: str) -> None:
    with pytest.raises(AmbiguousSynset) as caught:
        ontology.find(word)
    message = str(caught.value)
    assert "\n" not in message
    senses = ontology.senses(word)
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
def test_an_unknown_word_says_what_to_do_on_one_line(ontology: Ontology, text: str, says: str) -> None:
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


# Search


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
        ("xyzzyxyzzy", []),
        ("q" * 5000, []),
    ],
)
def test_search(ontology: Ontology, query: str, first: list[str]) -> None:
    found = [s.words[0] for s in ontology.search(query)]
    assert found[: len(first)] == first
    assert bool(found) == bool(first)


def test_what_is_found_is_the_first_of_the_search(ontology: Ontology) -> None:
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


def test_an_empty_search_shows_everyday_kinds_broadest_first(ontology: Ontology) -> None:
    for query in ("", "  ", "_"):
        found = ontology.search(query)
        assert {s.wnid for s in found} == set(STARTING_POINTS)
        assert [s.words[0] for s in found[:3]] == ["animal", "dog", "container"]
        counts = [ontology.count(s.wnid) for s in found]
        assert counts == sorted(counts, reverse=True)
    assert [s.words[0] for s in toy(("1", "top", "2"), ("2", "leaf", "")).search("")] == ["top", "leaf"]


@pytest.mark.parametrize("limit", [0, 1, 5, 10_000])
def test_search_keeps_to_the_limit(ontology: Ontology, limit: int) -> None:
    found = ontology.search("a", limit)
    assert len(found) <= limit
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    "query", ["\0", "[", "(dog", "\ud800", "é", "犬", "n" * 99, "dog\ndog", "%s", "-" * 500]
)
def test_search_takes_any_text(ontology: Ontology, query: str) -> None:
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


def test_typing_errors_are_counted_as_by_the_plain_table() -> None:
    rng = random.Random(0)
    words = ["".join(rng.choices("abc", k=rng.randint(1, 7))) for _ in range(60)]
    letters = np.array(words).view(np.uint32).reshape(len(words), -1)
    for query in ("a", "ab", "abcab", "ccbacab", "zzz"):
        errors = _typing_errors(query, letters)
        for word, row in zip(words, errors, strict=True):
            assert [plain_typing_errors(query, word[:j]) for j in range(len(word) + 1)] == list(
                row[: len(word) + 1]
            )


# Nodes that are no hierarchy


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ([], "one root"),
        ([("n00000001", "a", ("n00000002",))], "not among"),
        ([("n00000001", "a", ()), ("n00000001", "b", ())], "twice"),
        ([("n00000001", "a", ()), ("n00000002", "b", ())], "one root"),
        ([("n00000001", "a", ("n00000002",)), ("n00000002", "b", ("n00000001",))], "kinds of themselves"),
        ([("n00000001", "a", ("n00000001",))], "kinds of themselves"),
        ([("dog", "a", ())], "eight digits"),
        ([("n0000000１", "a", ())], "eight digits"),
        ([("n00000001", " ", ())], "empty"),
        ([("n00000001", "a" * 101, ())], "endless"),
    ],
)
def test_what_is_no_hierarchy_is_refused(nodes: list[tuple[str, str, tuple[str, ...]]], says: str) -> None:
    with pytest.raises(HierarchyInvalid, match=says):
        Ontology(Node(wnid, (word,), "", children) for wnid, word, children in nodes)


def test_parents_must_be_those_whose_children_it_is() -> None:
    nodes = [Node("n00000001", ("a",), "", ("n00000002",)), Node("n00000002", ("b",), "", (), ("n00000003",))]
    with pytest.raises(HierarchyInvalid, match="parents"):
        Ontology(nodes)


def test_a_very_deep_hierarchy_does_not_exhaust_the_stack() -> None:
    wnids = [f"n{i:08}" for i in range(3000)]
    nodes = [Node(w, (w,), "", tuple(wnids[i + 1 : i + 2])) for i, w in enumerate(wnids)]
    ontology = Ontology(nodes)
    assert ontology.depth(wnids[-1]) == 2999
    assert ontology.breadcrumb(wnids[0]) == (wnids[-1],)
    assert ontology.naive_class_ids(wnids[0]) == (0,)


# The devkit's file


def as_mat(nodes: list[Node], *, compress: bool = True) -> bytes:
    """Write nodes as the devkit does: the classes first, ids from 1."""
    ids = {node.wnid: i for i, node in enumerate(nodes, start=1)}
    fields = ("ILSVRC2014_ID", "WNID", "words", "gloss", "num_children", "children")
    synsets = np.zeros((1, len(nodes)), [(name, object) for name in fields])
    for place, node in enumerate(nodes):
        children = np.array([[ids[c] for c in node.children]], np.uint16)
        values = (ids[node.wnid], node.wnid, ", ".join(node.words), node.gloss, len(node.children), children)
        synsets[0, place] = values
    file = io.BytesIO()
    savemat(file, {"synsets": synsets}, do_compression=compress)
    return file.getvalue()


@pytest.fixture(scope="module")
def small() -> bytes:
    nodes = [
        Node("n00000002", ("dog", "Canis"), "barks", ()),
        Node("n00000003", ("cat",), "purrs", ()),
        Node("n00000001", ("animal",), "moves", ("n00000002", "n00000003")),
    ]
    return as_mat(nodes, compress=False)


def assert_same(read: Ontology, ours: Ontology) -> None:
    for a, b in zip(read, ours, strict=True):
        assert (a.wnid, a.words, a.gloss, a.children) == (b.wnid, b.words, b.gloss, b.children)
        assert (a.class_id, set(a.parents)) == (b.class_id, set(b.parents))


@pytest.mark.parametrize("compress", [True, False])
def test_a_devkit_file_is_read_back(ontology: Ontology, tmp_path: Path, compress: bool) -> None:
    file = tmp_path / "meta_clsloc.mat"
    nodes = [Node(s.wnid, s.words, s.gloss, s.children) for s in ontology]
    file.write_bytes(as_mat(nodes, compress=compress))
    assert_same(Ontology.from_devkit_mat(file), ontology)


@pytest.mark.skipif(not DEVKIT.exists(), reason="the devkit's meta_clsloc.mat is not at hand")
def test_all_synsets_are_the_devkits(ontology: Ontology) -> None:
    assert_same(Ontology.from_devkit_mat(DEVKIT), ontology)

    # once more by SciPy alone, with the notebook's depth-first search, for what our own reader might miss
    cells = loadmat(DEVKIT)["synsets"][0]
    assert len(cells) == 1860
    children = {c["ILSVRC2014_ID"].item(): [int(i) for i in c["children"].ravel()] for c in cells}
    wnids = {c["ILSVRC2014_ID"].item(): c["WNID"].item() for c in cells}
    assert sorted(wnids[i] for i in range(1, 1001)) == list(ontology.classes)

    def depth_first_search(identity: int) -> list[int]:
        return [identity, *(i for child in children[identity] for i in depth_first_search(child))]

    for cell in cells:
        synset = ontology[cell["WNID"].item()]
        assert cell["words"].item() == ", ".join(synset.words)
        assert cell["gloss"].item() == synset.gloss
        assert {wnids[i] for i in children[cell["ILSVRC2014_ID"].item()]} == set(synset.children)
        found = [ontology[wnids[i]].class_id for i in depth_first_search(cell["ILSVRC2014_ID"].item())]
        naive = ontology.naive_class_ids(synset.wnid)
        assert sorted(i for i in found if i is not None) == sorted(naive)


def test_another_number_of_classes_is_refused(small: bytes, tmp_path: Path) -> None:
    file = tmp_path / "small.mat"
    file.write_bytes(small)
    assert [node.wnid for node in read_devkit(file)] == ["n00000002", "n00000003", "n00000001"]
    with pytest.raises(HierarchyInvalid, match="2 classes"):
        Ontology.from_devkit_mat(file)


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def array(array_class: int, shape: tuple[int, ...], rest: bytes, flags: int = 0) -> bytes:
    description = element(6, struct.pack("<II", array_class | flags, 0))
    dimensions = element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, description + dimensions + element(1, b"synsets") + rest)


HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
NESTED = b""
for _ in range(2000):
    NESTED = array(1, (1, 1), NESTED or array(9, (1, 1), element(2, b"\x01")))

HOSTILE = {
    "empty": b"",
    "short": b"MATLAB",
    "header alone": HEADER,
    "text": b"wnid,words\n" * 100,
    "MATLAB 4": struct.pack("<iiiii", 0, 1, 1, 0, 8) + b"synsets\0" + bytes(200),
    "MATLAB 7.3": b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(600),
    "too large": HEADER + bytes(5 * 2**20),
    "zip bomb": HEADER + struct.pack("<II", 15, len(bomb := zlib.compress(bytes(300 * 2**20)))) + bomb,
    "cut compression": HEADER + struct.pack("<II", 15, 12) + zlib.compress(b"abcdefgh" * 9)[:12],
    "no compression": HEADER + struct.pack("<II", 15, 16) + b"0123456789abcdef",
    "endless struct": HEADER
    + array(2, (2**15, 2**16), element(5, b"\x08\0\0\0") + element(1, b"WNID\0\0\0\0")),
    "endless cells": HEADER + array(1, (1, 2**31 - 1), b""),
    "endless numbers": HEADER + array(6, (2**31 - 1, 2**31 - 1), element(9, bytes(8))),
    "endless emptiness": HEADER + array(6, (0, 2**31 - 1), element(9, b"")),
    "negative size": HEADER + array(6, (-1, -8), element(9, bytes(64))),
    "many dimensions": HEADER + array(6, (1,) * 40, element(9, bytes(8))),
    "nested cells": HEADER + NESTED,
    "sparse": HEADER + array(5, (1, 1), element(5, bytes(4)) * 2 + element(9, bytes(8))),
    "function": HEADER + array(16, (1, 1), array(9, (1, 1), element(2, b"\x01"))),
    "object": HEADER + array(3, (1, 1), b""),
    "complex": HEADER + array(6, (1, 1), element(9, bytes(8)) * 2, flags=0x800),
    "wrong variable": HEADER + array(9, (1, 1), element(2, b"\x01")),
    "no names": HEADER + array(2, (1, 1), element(5, b"\0\0\0\0") + element(1, b"")),
    "not an array": HEADER + element(9, bytes(64)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_devkit_file_is_refused_in_little_memory(name: str, tmp_path: Path) -> None:
    file = tmp_path / "meta_clsloc.mat"
    file.write_bytes(HOSTILE[name])
    tracemalloc.start()
    try:
        with pytest.raises(HierarchyInvalid, match=re.escape(str(file))):
            Ontology.from_devkit_mat(file)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_INFLATED_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("path", ["", "nowhere.mat", ".", "/dev/zero", "a\0b", "x" * 5000])
def test_a_path_that_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(HierarchyInvalid):
        Ontology.from_devkit_mat(path)


def test_damaged_devkit_files_are_read_or_refused(small: bytes, tmp_path: Path) -> None:
    rng = random.Random(0)
    file = tmp_path / "damaged.mat"
    damaged = [small[:n] for n in range(0, len(small), 37)]
    for _ in range(1500):
        data = bytearray(small)
        for _ in range(rng.choice((1, 1, 2, 8))):
            data[rng.randrange(124, len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        damaged.append(bytes(data))
    refused = 0
    for data in damaged:
        file.write_bytes(data)
        try:
            Ontology(read_devkit(file))
        except HierarchyInvalid as fault:
            refused += 1
            assert "\n" not in str(fault)
    assert len(damaged) > refused > len(damaged) // 4
