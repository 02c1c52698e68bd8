"""``fcn synsets`` and ``fcn synset``."""

import json

import pytest

from fcn_core.synsets.ontology import Ontology


def test_synsets_lists_the_best_match_first(run):
    status, text, _ = run("synsets", "dog", "--json")
    rows = json.loads(text)
    assert status == 0
    assert rows[0]["wnid"] == "n02084071"
    assert set(rows[0]) == {"wnid", "words", "gloss", "classes"}
    assert rows[0]["classes"] == 118
    status, text, _ = run("synsets", "dog")
    assert [line.split()[0] for line in text.splitlines()] == [row["wnid"] for row in rows]


@pytest.mark.parametrize("query", ["zzzzqqqqxxxx", "∅", "\x1b[31m"])
def test_synsets_without_a_match_says_so(run, query):
    status, text, _ = run("synsets", query)
    assert status == 0
    assert "\x1b" not in text
    assert json.loads(run("synsets", query, "--json")[1]) == [] or text.startswith("n")


@pytest.mark.parametrize("name", ["dog", "n02084071", "Domestic Dog"])
def test_synset_prints_all_fields(run, name):
    status, text, _ = run("synset", name, "--json")
    row = json.loads(text)
    assert status == 0
    assert set(row) == {"wnid", "words", "gloss", "parents", "children", "class_ids"}
    dog = Ontology.load()["n02084071"]
    assert row["wnid"] == dog.wnid
    assert row["words"] == list(dog.words)
    assert row["parents"] == list(dog.parents)
    assert row["children"] == list(dog.children)
    assert len(row["class_ids"]) == 118
    plain = run("synset", name)[1]
    assert "classes:  118" in plain
    assert "corgi (n02112826)" in plain


@pytest.mark.parametrize("suffix", ["txt", "list"])
def test_the_words_of_a_model_of_ones_own(run, tmp_path, monkeypatch, suffix):
    """Its network is not read: the file here holds none."""
    path, labels = tmp_path / "mine.keras", tmp_path / f"mine.{suffix}"
    path.write_bytes(b"a network")
    labels.write_text("disc, circle\nsquare\n", encoding="utf-8")
    chosen = ["--model", path, *(["--labels", labels] if suffix == "list" else [])]
    assert run("synsets", "circle", *chosen)[1].splitlines() == ["class-0     1  disc, circle: "]
    assert json.loads(run("synset", "square", *chosen, "--json")[1])["class_ids"] == [1]
    status, _, err = run("synset", "dics", *chosen)
    assert status == 2
    assert err.endswith("Received 'dics'. dics is no word that it knows. Did you mean disc (class-0)?\n")
    monkeypatch.setenv("FCN_MODELS_DIR", str(tmp_path))
    assert run("synset", "disc", "--model", "mine", *chosen[2:])[0] == 0
    if suffix == "txt":
        monkeypatch.setenv("FCN_MODEL", "mine")
        assert run("synset", "disc")[0] == 0
    labels.unlink()
    status, _, err = run("synset", "disc", *chosen[:2])
    assert (status, "Expected the labels of mine.keras. Received none. Give them with --labels" in err) == (
        2,
        True,
    )
    assert "118" in run("synset", "dog", "--model", "vgg16")[1], "a model of ImageNet"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "dogg",
            "dogg is no word that it knows. Did you mean dog (n02084071), hunting dog (n02087122) or working",
        ),
        (
            "dics",
            "dics is no word that it knows. Did you mean disk (n03208556), magnetic disk (n03706653) or disk br",
        ),
        (
            "wman",
            "wman: read as man. The network never learned man. Nearest: person. Give one of these: person (n000",
        ),
        ("zzzzqqqqx", "zzzzqqqqx is no word that it knows. Search by a part of the word."),
    ],
)
def test_a_misspelt_word_is_asked_about(run, word, said):
    status, _, err = run("synset", word)
    assert status == 2
    assert f"Received '{word}'. {said}" in err


@pytest.mark.parametrize(
    ("query", "said", "first"),
    [
        ("dog", "", "n02084071"),
        ("dogs", "", "n02084071"),
        ("woman", "The network never learned woman. Nearest: person.", "n00007846"),
        ("sheep", "sheep: it knows rams only.", "n02411705"),
        ("Hund", "Hund: dog (German).", "n02084071"),
        ("love", "The network never learned love, nor anything near it.", None),
    ],
)
def test_synsets_says_what_the_word_means_to_the_network(run, query, said, first):
    status, text, err = run("synsets", query, "--json")
    rows = json.loads(text)
    assert status == 0
    assert [row["wnid"] for row in rows[:1]] == [first] * bool(first) or not first
    assert err == (f"fcn_core: {said}\n" if said and rows else "")
    assert said in "".join(run("synsets", query)[1:])


@pytest.mark.parametrize(
    ("name", "wnid", "said"),
    [
        ("sheep", "n02411705", "sheep: it knows rams only."),
        ("geese", "n01855672", ""),
        ("n02411705", "n02411705", ""),
    ],
)
def test_a_word_that_becomes_another_is_announced(run, name, wnid, said):
    status, text, err = run("synset", name, "--json")
    assert (status, json.loads(text)["wnid"]) == (0, wnid)
    assert err == (f"fcn_core: {said}\n" if said else "")


def test_a_word_that_was_never_learned_is_an_error_that_says_so(run):
    status, text, err = run("synset", "women")
    assert (status, text) == (2, "")
    assert (
        "Received 'women'. The network never learned woman. Nearest: person. Give one of these: person (n00007846)."
        in err
    )
    assert len(err.splitlines()) == 1
