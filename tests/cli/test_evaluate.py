"""``fcn evaluate``."""

import json

import numpy as np
import pytest

from fcn_core.cli import evaluate as command
from tests.cli.commands import RANDOM, SMALL, one_line


def test_evaluate_prints_the_measures(run, index):
    status, text, err = run("evaluate", index, *SMALL)
    assert (status, err) == (0, "")
    head, *rows = text.splitlines()
    assert head == "2 pictures, EfficientNet-Lite0 on openvino, 64x96, aspect"
    names = ["pointing accuracy", "PxAP", "MaxBoxAccV2", "mean IoU", "own-threshold IoU"]
    names += ["own IoU below 0.1", "own IoU below 0.3", "seconds an image"]
    assert [row[:19].strip() for row in rows[:8]] == names
    assert all(float(row[19:].split()[0].rstrip(",")) >= 0 for row in rows[:8])
    assert rows[8] == ""
    assert rows[9].split("  ") == ["object's share of the picture", "rows", "mean IoU", "own IoU"]
    sizes = {row[:29].strip(): row[29:].split()[0] for row in rows[10:]}
    assert sizes == {"below 10 %": "0", "10 % to 20 %": "0", "20 % to 40 %": "1", "40 % and above": "1"}


def test_evaluate_omits_measures_that_need_masks(run, index):
    path = index.with_name("boxes.csv")
    path.write_text("image,synset_wnid,boxes\nchelsea.png,n02121620,60 40 400 260\n", encoding="utf-8")
    status, text, err = run("evaluate", path, *SMALL)
    assert (status, err) == (0, "")
    head, *rows = text.splitlines()
    assert head == "1 picture (0 with masks, 1 with boxes), EfficientNet-Lite0 on openvino, 64x96, aspect"
    assert [row[:19].strip() for row in rows] == ["pointing accuracy", "MaxBoxAccV2", "seconds an image"]


@pytest.mark.parametrize("kind", ["fine", "probability", "evidence"])
def test_evaluate_as_json(run, index, kind, random_resnet50):
    status, text, _ = run("evaluate", index, *RANDOM, "--map", kind, "--json")
    found = json.loads(text)
    assert status == 0
    assert (found["way"], found["weights"], found["pictures"]) == (kind, "random", 2)
    measured = {
        "pointing",
        "pxap",
        "max_box_acc_v2",
        "mean_iou",
        "mask_iou",
        "below_0_1",
        "below_0_3",
        "by_size",
    }
    assert measured | {"seconds", "pass_ratio", "scales", "model"} <= set(found)
    assert [group["pictures"] for group in found["by_size"]] == [0, 0, 1, 1]


@pytest.fixture
def no_tensorflow(monkeypatch):
    """What ways were asked for; those that need TensorFlow, which take long, are left out."""
    from fcn_core.evaluation import evaluate, ways

    asked = []
    plain = evaluate.evaluate_index

    def recorded(*arguments, **options):
        asked.append(options["ways"])
        kept = [way for way in options["ways"] if way not in ways.NEED_TENSORFLOW]
        return plain(*arguments, **{**options, "ways": kept})

    monkeypatch.setattr(evaluate, "evaluate_index", recorded)
    monkeypatch.setattr(command, "import_keras_quietly", lambda: None)
    return asked


def test_evaluate_compares_all_ways(run, index, no_tensorflow, random_resnet50):
    from fcn_core.evaluation.ways import NEED_TENSORFLOW, WAYS

    status, text, _ = run("evaluate", index, *RANDOM, "--compare")
    assert status == 0
    assert no_tensorflow == [tuple(WAYS)]
    assert "(random weights)" in text
    for title in ("notebook's mean", "CAM, mean of the scales", "Gaussian at the centre"):
        assert text.count(title) == 2  # in the table of measures, and in that of sizes
    found = json.loads(run("evaluate", index, *SMALL, "--compare", "--json")[1])["results"]
    assert [r["way"] for r in found] == [way for way in WAYS if way not in NEED_TENSORFLOW]
    assert all(r["worse_than_plain"] in (0, 0.5, 1) for r in found)


# --- --save-maps


def test_maps_are_saved_one_a_row(run, index, tmp_path):
    folder = tmp_path / "maps"
    status, text, err = run("evaluate", index, *SMALL, "--save-maps", folder)
    assert (status, err) == (0, "")
    assert "PxAP" in text
    assert sorted(path.name for path in folder.rglob("*.npy")) == ["chelsea.png.npy", "coffee.png.npy"]
    assert np.load(folder / "chelsea.png.npy").dtype == np.float32
    assert (folder / "metadata" / "OpenImages" / "test" / "localization.txt").is_file()


def test_in_a_comparison_the_chosen_map_is_saved(run, index, tmp_path, no_tensorflow):
    saved = {}
    for kind in ("fine", "evidence"):
        options = ["--map", kind, "--save-maps", tmp_path / kind]
        assert run("evaluate", index, *SMALL, *options)[0] == 0
        assert run("evaluate", index, *SMALL, *options[:3], tmp_path / f"{kind}-both", "--compare")[0] == 0
        alone, both = (np.load(tmp_path / name / "chelsea.png.npy") for name in (kind, f"{kind}-both"))
        assert np.array_equal(alone, both)
        saved[kind] = alone
    assert not np.array_equal(saved["fine"], saved["evidence"])


@pytest.mark.parametrize("content", ["", "mine"])
def test_a_bad_folder_is_reported_before_the_model_is_loaded(run, index, tmp_path, monkeypatch, content):
    monkeypatch.setattr(command, "chosen_predictor", lambda *_: pytest.fail("the model was loaded"))
    (tmp_path / "file").write_text(content, encoding="utf-8")
    for folder in (tmp_path, tmp_path / "file"):
        status, text, err = run("evaluate", index, *SMALL, "--save-maps", folder)
        assert (status, text) == (2, "")
        assert "--save-maps" in one_line(err)
    assert (tmp_path / "file").read_text(encoding="utf-8") == content
