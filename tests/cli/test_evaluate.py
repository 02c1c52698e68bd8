"""``fcn evaluate``."""

import json

import pytest

from tests.cli.commands import RANDOM, SMALL


def test_evaluate_prints_the_measures(run, index):
    status, text, err = run("evaluate", index, *SMALL)
    assert (status, err) == (0, "")
    head, *rows = text.splitlines()
    assert head == "2 pictures, EfficientNet-Lite0 on openvino, 64x96, aspect"
    names = ["pointing accuracy", "PxAP", "MaxBoxAccV2", "mean IoU", "seconds an image"]
    assert [row[:19].strip() for row in rows] == names
    assert all(float(row[19:].split()[0]) >= 0 for row in rows)


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
    assert {"pointing", "pxap", "max_box_acc_v2", "mean_iou", "seconds", "scales", "model"} <= set(found)


def test_evaluate_compares_all_ways(run, index, monkeypatch, random_resnet50):
    from fcn_core.evaluation import evaluate

    ways = {}
    plain = evaluate.evaluate_index

    def recorded(*arguments, **options):
        ways.update(asked=options["ways"])
        return plain(*arguments, **{**options, "ways": [w for w in options["ways"] if "gradcam" not in w]})

    monkeypatch.setattr(evaluate, "evaluate_index", recorded)
    status, text, _ = run("evaluate", index, *RANDOM, "--compare")
    assert status == 0
    assert ways["asked"] == tuple(evaluate.WAYS)
    assert "(random weights)" in text
    assert "notebook's mean" in text
    found = json.loads(run("evaluate", index, *SMALL, "--compare", "--json")[1])
    assert [r["way"] for r in found["results"]] == [w for w in evaluate.WAYS if "gradcam" not in w]
