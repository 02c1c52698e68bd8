"""``fcn models`` and ``fcn --check``."""

import json
import re
import shutil

from fcn_core.engines import graph_cache, load
from fcn_core.networks.zoo import ALL_MODELS, MODELS
from fcn_core.system import installed
from fcn_core.system.folders import cache_dir
from tests.cli.commands import one_line


def test_models_lists_what_is_ready_and_what_is_downloaded(run, lite0):
    rows = {row["name"]: row for row in json.loads(run("models", "--json")[1])}
    assert list(rows) == list(ALL_MODELS)
    assert rows["efficientnet-lite0"]["state"] == "ready"
    assert rows["resnet50"]["state"] == "fetches 103 MB"
    assert rows["resnet50"]["weights"] is None
    assert rows["vgg16"]["state"] == "fetches 553 MB"
    assert (rows["vgg16"]["family"], rows["vgg16"]["proof"]) == ("VGG", "one cell")
    assert rows["mobilenet"]["state"] == "weights to bring"
    text = run("models")[1]
    *lines, held = text.splitlines()
    assert lines.pop(len(MODELS)) == "Classifiers of keras.applications:"
    assert len(lines) == len(ALL_MODELS)
    assert all(name in text for name in rows)
    assert re.fullmatch(rf"The cache {re.escape(str(cache_dir()))} uses \d+ MB\.", held)


def test_prepare_makes_a_model_ready(run, tmp_path, monkeypatch, lite0):
    made = graph_cache.prepare_graph(MODELS["efficientnet-lite0"])

    def export_in_child(spec, weights, output_stride, folder):  # a copy of what it makes
        assert (spec.name, output_stride) == ("efficientnet-lite0", 32)
        shutil.copytree(made.path.parent, folder, dirs_exist_ok=True)
        about = {"geometry": made.geometry.to_json(), "exclusive": True}
        (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")

    monkeypatch.setattr(graph_cache, "_export_in_child", export_in_child)
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path))
    state = {row["name"]: row["state"] for row in json.loads(run("models", "--json")[1])}
    assert state["efficientnet-lite0"] == "weights here"
    status, text, err = run("models", "--prepare", "efficientnet-lite0")
    assert (status, err) == (0, "")
    assert text == "EfficientNet-Lite0 is ready on openvino.\n"
    state = {row["name"]: row["state"] for row in json.loads(run("models", "--json")[1])}
    assert state["efficientnet-lite0"] == "ready"


def test_check_passes_with_a_good_model(run, monkeypatch, lite0):
    monkeypatch.setenv("FCN_MODEL", "efficientnet-lite0")
    status, text, err = run("--check")
    assert (status, err) == (0, "")
    assert text.startswith("EfficientNet-Lite0 on openvino: the sample picture of a cat is class 28")
    assert "as it should be" in text


def test_check_calls_an_engine_that_it_does_not_need_optional(run, monkeypatch, lite0):
    monkeypatch.setenv("FCN_MODEL", "efficientnet-lite0")
    monkeypatch.setattr(installed, "is_installed", lambda package: package != "tensorflow")
    status, text, err = run("--check")
    assert (status, err) == (0, "")
    assert text.splitlines()[1].startswith("TensorFlow (optional): not installed.")


def test_check_fails_with_a_wrong_answer(run, monkeypatch, random_resnet50):
    monkeypatch.setattr(load, "load_model", lambda *_: random_resnet50)
    status, text, _ = run("--check")
    assert status == 1
    assert "expected one of 281 to 285" in text


def test_check_without_a_model_says_why(run, monkeypatch):
    monkeypatch.setenv("FCN_MODEL", "resnet50")
    status, _, err = run("--check")
    assert status == 3
    assert "resnet50_weights" in one_line(err)


def test_remove_frees_the_disk_and_says_how_much(run, tmp_path, monkeypatch, lite0):
    made = lite0._graph.path.parent
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path))
    shutil.copytree(made, tmp_path / "graphs" / made.name)
    before = {row["name"]: row for row in json.loads(run("models", "--json")[1])}
    assert before["efficientnet-lite0"]["disk_mb"] > 10
    status, text, err = run("models", "--remove", "EfficientNet-Lite0")
    assert (status, err) == (0, "")
    assert text == "EfficientNet-Lite0 is removed: 19 MB are free again.\n"
    (row,) = [r for r in json.loads(run("models", "--json")[1]) if r["name"] == "efficientnet-lite0"]
    assert (row["disk_mb"], row["state"]) == (0.0, "weights here")


def test_remove_refuses_what_it_does_not_know(run):
    for arguments, words in (
        (("--remove", ""), "Expected --remove with one of"),
        (("--remove", "alexnet"), "Expected a model among"),
        (("--remove", "resnet50", "--prepare", "resnet50"), "not allowed with"),
    ):
        status, _, err = run("models", *arguments)
        assert status == 2 and words in err
