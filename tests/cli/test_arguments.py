"""Arguments, settings and weights that are wrong: one line, and the exit status."""

import json

import pytest

from tests.cli.commands import one_line

BAD_ARGUMENTS = [
    ([], "COMMAND is missing"),
    (["frobnicate"], "invalid choice: 'frobnicate'"),
    (["heatmap"], "required: IMAGE, --out"),
    (["heatmap", "{cat}", "--synset", "cat"], "required: --out"),
    (["heatmap", "{cat}", "--synset", "flibber", "--out", "{out}"], "Received 'flibber'"),
    (["heatmap", "{cat}", "--synset", "crane", "--out", "{out}"], "Received 'crane', which has 2 senses"),
    (["heatmap", "{cat}", "--synset", "n00000000", "--out", "{out}"], "n00000000"),
    (["heatmap", "{cat}", "--synset", "", "--out", "{out}"], "Expected a wnid or word"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--scales", "big"], "Received 'big'"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--scales", ""], "0 scales"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--scales", "8x8"], "at least 32"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--scales", "99999x99999"], "megapixels"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--scales", "-1x5"], "scale"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--threshold", "1.5"], "from 0 to 1"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--threshold", "-0.5"], "from 0 to 1"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--threshold", "nan"], "from 0 to 1"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--threshold", "high"], "'high'"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--fit", "cover"], "invalid choice: 'cover'"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--map", "heat"], "invalid choice: 'heat'"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--output-stride", "7"], "invalid choice: 7"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--engine", "torch"], "'torch'"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--model", "vgg"], "efficientnet-lite2"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{cat}"], "cannot be created"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{cat}/deep"], "cannot be created"),
    (["synset", "flibber"], "Expected a wnid or word"),
    (["synset", "crane"], "2 senses"),
    (["synset"], "WNID_OR_WORD"),
    (["models", "--prepare", "vgg"], "Expected a model among"),
    (["models", "--prepare", ""], "empty name"),
    (["verify", "--model", "vgg"], "Expected a model among"),
    (["evaluate", "{out}.csv"], "cannot be read"),
    (["evaluate", "{cat}"], "cannot be read"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS, ids=[" ".join(a) for a, _ in BAD_ARGUMENTS])
def test_bad_arguments_end_in_one_line_and_status_2(run, pictures, tmp_path, arguments, message):
    places = {"cat": pictures / "cat.png", "out": tmp_path / "out"}
    status, text, err = run(*(a.format(**places) for a in arguments))
    assert (status, text) == (2, "")
    assert message in one_line(err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--model", "resnet50"),
        ("models", "--prepare", "resnet50"),
        ("evaluate", "{index}", "--model", "resnet50"),
    ],
)
def test_missing_weights_end_in_status_3_and_name_the_file(run, pictures, tmp_path, index, arguments):
    places = {"cat": pictures / "cat.png", "out": tmp_path / "out", "index": index}
    status, text, err = run(*(a.format(**places) for a in arguments))
    assert (status, text) == (3, "")
    assert "resnet50_weights_tf_dim_ordering_tf_kernels.h5" in one_line(err)
    assert "FCN_WEIGHTS_DIR" in err


def test_the_environment_chooses_model_and_engine(run, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_MODEL", "efficientnet-lite0")
    arguments = ("heatmap", pictures / "cat.png", "--synset", "cat", "--scales", "64x96", "--out", tmp_path)
    assert json.loads(run(*arguments, "--json")[1])["model"]["name"] == "efficientnet-lite0"
    monkeypatch.setenv("FCN_ENGINE", "abacus")
    status, _, err = run(*arguments)
    assert status == 2
    assert "'abacus'" in one_line(err)


def test_an_unknown_log_style_is_refused(run, monkeypatch):
    monkeypatch.setenv("FCN_LOG", "xml")
    status, _, err = run("synset", "dog")
    assert status == 2
    assert "json, text or off" in one_line(err)
