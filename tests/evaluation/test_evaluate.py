import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_core import pipeline
from fcn_core.errors import DatasetError
from fcn_core.evaluation import evaluate
from fcn_core.evaluation.evaluate import WAYS, evaluate_index, read_index
from fcn_core.evaluation.metrics import Scores
from fcn_core.evaluation.tables import table
from fcn_core.images.resize import ResizedImage
from fcn_core.images.scales import Scale, plan_scales
from fcn_core.maps.fine_map import fine_map
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.region import suggest_threshold, threshold_mask
from fcn_core.synsets.ontology import Ontology
from tests.evaluation.red_cat import RedIsCat
from tests.places import ROOT
from tests.waiting import Ticks

SCALES = (Scale(64, 96), Scale(128, 192))


@pytest.fixture
def folder(tmp_path):
    """Two pictures with a red rectangle each; one mask has a void rim."""
    for name, box, void in (("one", (40, 30, 120, 90), 6), ("two", (100, 50, 170, 110), 0)):
        x0, y0, x1, y1 = box
        pixels = np.full((128, 192, 3), 90, np.uint8)
        pixels[y0:y1, x0:x1] = (220, 40, 40)
        mask = np.zeros((128, 192), np.uint8)
        mask[y0 - void : y1 + void, x0 - void : x1 + void] = 128 if void else 255
        mask[y0:y1, x0:x1] = 255
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / f"{name}-mask.png")
    return tmp_path


def written(folder, *rows, head="image,synset_wnid,mask,boxes"):
    path = folder / "index.csv"
    path.write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    return path


ONE, TWO = "one.png,n02121808,one-mask.png,40 30 120 90", "two.png,cat,two-mask.png,"


def test_red_cats_are_found(folder):
    (fine,) = evaluate_index(written(folder, ONE, TWO), RedIsCat(), scales=SCALES)
    s = fine.summary
    assert (s.pictures, s.pointing) == (2, 1.0)
    assert s.pxap > 0.97
    assert s.mean_iou > 0.95
    assert s.mask_iou > 0.9
    assert s.max_box_acc_v2 == 1.0


@pytest.mark.parametrize("kind", ["probability", "evidence"])
def test_an_evaluation_equals_the_measures_on_the_maps(folder, kind):
    (result,) = evaluate_index(written(folder, ONE), RedIsCat(), ways=[kind], scales=SCALES)
    pixels = np.asarray(Image.open(folder / "one.png"))
    mask = np.asarray(Image.open(folder / "one-mask.png"))
    model, maps = RedIsCat(), []
    for plan in plan_scales(128, 192, SCALES):
        logits = model.run(ResizedImage(pixels, plan.height, plan.width)).logits
        maps.append(ClassMap(logits, model.cells(plan.height, plan.width), plan, 0.0))
    values = fine_map(pixels, maps, Ontology.load().class_ids("n02121808"), snap=False, kind=kind)
    scores = Scores()
    own = threshold_mask(values, suggest_threshold(values))
    scores.add(values, mask == 255, mask != 128, [(40, 30, 120, 90)], own)
    assert result.summary == scores.summary()


def test_the_network_runs_once_per_picture_and_scale_for_all_rows_and_ways(folder, monkeypatch):
    monkeypatch.setattr(evaluate, "time", Ticks())
    monkeypatch.setattr(pipeline, "time", Ticks())
    model, seen = RedIsCat(), []
    path = written(folder, ONE, "one.png,n02084071,one-mask.png,", TWO)
    ways = ("notebook", "fine", "evidence")
    results = evaluate_index(path, model, ways=ways, scales=SCALES, progress=lambda *p: seen.append(p))
    assert model.passes == 2 * len(SCALES)
    assert [r.way for r in results] == list(ways)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    for result in results:
        assert result.forward_seconds == len(SCALES)
        assert result.seconds == len(SCALES) + 1
    shown = table(results).splitlines()
    assert len({len(line) for line in shown}) == 1
    assert [line.split("  ")[0] for line in shown[1:]] == [WAYS[w] for w in ways]
    assert f"{results[1].summary.pxap:.3f}" in shown[2]
    assert json.loads(json.dumps(results[1].to_json()))["pxap"] == results[1].summary.pxap


def test_a_row_without_boxes_gets_those_of_its_mask(folder):
    given = written(folder, "two.png,cat,two-mask.png,100 50 170 110")
    (expected,) = evaluate_index(given, RedIsCat(), scales=SCALES)
    for row, head in (
        ("two.png,cat,two-mask.png", "image,synset_wnid,mask"),
        (TWO, "image,synset_wnid,mask,boxes"),
    ):
        (found,) = evaluate_index(written(folder, row, head=head), RedIsCat(), scales=SCALES)
        assert found.summary == expected.summary


def test_rows_with_only_boxes_are_measured_by_pointing_and_boxes(folder):
    rows = ["one.png,cat,40 30 120 90", "two.png,cat,0 0 9 9;100 50 170 110"]
    (found,) = evaluate_index(
        written(folder, *rows, head="image,synset_wnid,boxes"), RedIsCat(), scales=SCALES
    )
    s = found.summary
    assert (s.pictures, s.masks, s.boxed) == (2, 0, 2)
    assert (s.pointing, s.max_box_acc_v2) == (1.0, 1.0)
    assert s.pxap is s.mean_iou is s.threshold is s.mask_iou is None
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["mean_iou"] is None
    assert table([found]).splitlines()[1].split()[4:8] == ["-", "1.000", "-", "-"]
    (missed,) = evaluate_index(
        written(folder, "one.png,cat,0 0 30 20", head="image,synset_wnid,boxes"), RedIsCat(), scales=SCALES
    )
    assert (missed.summary.pointing, missed.summary.max_box_acc_v2) == (0.0, 0.0)


def test_a_mixed_index_measures_each_row_by_what_it_has(folder):
    mixed = written(folder, "one.png,cat,,0 0 30 20", TWO, "two.png,cat,two-mask.png,100 50 170 110")
    (found,) = evaluate_index(mixed, RedIsCat(), scales=SCALES)
    (masks,) = evaluate_index(written(folder, TWO, TWO), RedIsCat(), scales=SCALES)
    s, alone = found.summary, masks.summary
    assert (s.pictures, s.masks, s.boxed) == (3, 2, 3)
    assert s.pointing == pytest.approx(2 / 3)
    assert s.max_box_acc_v2 == pytest.approx(2 / 3)
    for name in ("pxap", "mean_iou", "threshold", "mask_iou"):
        assert getattr(s, name) == getattr(alone, name)


def test_a_mask_is_rotated_with_its_picture(folder):
    """A camera held sideways stores pictures like this: the picture has an orientation, its mask may have none."""
    for name in ("one", "one-mask"):
        picture = Image.open(folder / f"{name}.png").transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        if name == "one":
            exif[0x0112] = 6
        picture.save(folder / f"turned-{name}.png", exif=exif)
    row = "turned-one.png,cat,turned-one-mask.png,"
    (found,) = evaluate_index(written(folder, row), RedIsCat(), scales=SCALES)
    (upright,) = evaluate_index(written(folder, "one.png,cat,one-mask.png,"), RedIsCat(), scales=SCALES)
    assert found.summary == upright.summary


def test_a_head_may_have_spaces_and_a_field_quotes(folder):
    path = written(folder, '"one.png", cat, "one-mask.png"', head="image, synset_wnid , mask")
    (case,) = read_index(path)
    assert (case.image, case.synset, case.mask) == (folder / "one.png", "cat", folder / "one-mask.png")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_index_may_have_more_columns_in_any_order(folder, mark):
    path = written(
        folder, "one-mask.png,somewhere,n02121808,one.png,1 2 3.5 4;5 6 7 8",
        head=mark + "mask,source,synset_wnid,image,boxes",
    )  # fmt: skip
    (case,) = read_index(path)
    assert (case.image, case.mask) == (folder / "one.png", folder / "one-mask.png")
    assert (case.synset, case.boxes, case.line) == ("n02121808", ((1, 2, 3.5, 4), (5, 6, 7, 8)), 2)


BAD_INDEXES = [
    ("image,mask\none.png,one-mask.png\n", "Add: synset_wnid"),
    ("", "an empty file"),
    ("image,synset_wnid,mask\n", "at least one row"),
    ("image,synset_wnid,mask\nnone.png,cat,one-mask.png\n", "Line 2 of index.csv: .*'none.png'"),
    ("image,synset_wnid,mask\none.png,cat,none.png\n", "'none.png', which does not exist"),
    ("image,synset_wnid,mask\none.png,,one-mask.png\n", "Line 2 of index.csv: Expected an image, a synset"),
    ("image,synset_wnid,mask\none.png\n", "Received less"),
    ("image,synset_wnid,mask,boxes\none.png,cat,one-mask.png,1 2 3\n", "Expected boxes as 'x0 y0 x1 y1'"),
    ("image,synset_wnid,mask,boxes\none.png,cat,one-mask.png,a b c d\n", "Expected boxes as 'x0 y0 x1 y1'"),
    ("image,synset_wnid,mask,boxes\none.png,cat,one-mask.png,9 2 3 4\n", "x0 < x1"),
    ("image,synset_wnid,mask,boxes\none.png,cat,one-mask.png,nan 2 3 4\n", "x0 < x1"),
    ("image,synset_wnid,mask\none.png,flibber,one-mask.png\n", "Line 2 of index.csv: .*flibber"),
    ("image,synset_wnid,mask\none.png,cat,one.png\n", "Line 2 of index.csv: .*colours that are not grey, 90"),
    ("image,synset_wnid,mask\none.png,cat,index.csv\n", "Line 2 of index.csv: .*cannot be read"),
    ("image;synset_wnid;mask\none.png;cat;one-mask.png\n", "Separate them with commas"),
    ("image\tsynset_wnid\tmask\none.png\tcat\tone-mask.png\n", "Separate them with commas"),
    ("image,synset_wnid\none.png,cat\n", "Add: mask or boxes"),
    ("image,synset_wnid,mask,boxes\none.png,cat,,\n", "and a mask or boxes. Received less"),
    (
        "image,synset_wnid,mask\none.png,cat,one-mask.png,1 2 3 4\n",
        "Line 2 of index.csv: Expected as many fields",
    ),
    ("image,synset_wnid,boxes\none.png,cat,;\n", "Line 2 of index.csv: .*Received ';'"),
    ("image,synset_wnid,boxes\none.png,cat,1 2 3 4;5 6\n", "Expected boxes as 'x0 y0 x1 y1'"),
    ('image,synset_wnid,boxes\none.png,cat,"1,2,3,4"\n', "Expected boxes as 'x0 y0 x1 y1'"),
    (
        "image,synset_wnid,boxes\none.png,cat,1 2 3 inf\n",
        "Line 2 of index.csv: .*Received 1 2 3 inf",
    ),
    (
        "image,synset_wnid,boxes\none.png,cat,-1 2 3 4\n",
        "within the picture of 192x128 pixels. Received -1 2 3 4",
    ),
    ("image,synset_wnid,boxes\none.png,cat,1 2 193 4\n", "Received 1 2 193 4"),
    ("image,synset_wnid,mask,boxes\none.png,cat,one-mask.png,1 2 3 129\n", "Received 1 2 3 129"),
    (
        "image,synset_wnid,boxes\none.png,cat,1.1 1.1 1.2 1.2\n",
        "Line 2 of index.csv: Expected boxes that contain a pixel's centre",
    ),
    ("image,synset_wnid,mask\none.png,cat,small.png\n", "192x128 pixels of its picture. Received 9x9"),
    ("image,synset_wnid,mask\none.png,cat,empty.png\n", "Expected pixels of an object"),
]


@pytest.mark.parametrize(("text", "message"), BAD_INDEXES)
def test_errors_of_an_index_say_what_is_wrong(folder, text, message):
    Image.new("L", (9, 9)).save(folder / "small.png")
    Image.new("L", (192, 128)).save(folder / "empty.png")
    path = folder / "index.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        evaluate_index(path, RedIsCat(), scales=SCALES)


@pytest.mark.parametrize("content", [b"image,synset_wnid,mask\n\xff\xfe,\x00,\n", b"\x00\x01"])
def test_binary_data_as_index_is_an_error(tmp_path, content):
    (tmp_path / "index.csv").write_bytes(content)
    with pytest.raises(DatasetError):
        read_index(tmp_path / "index.csv")


def test_a_missing_index_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        evaluate_index(tmp_path / "none.csv", RedIsCat())


# --- beside the plain mean


class Found:
    """A map and a mask: the truth, of which a part is left out."""

    def __init__(self, subject, left_out):
        with Image.open(subject.image.name.replace(".png", "-mask.png")) as file:
            truth = np.asarray(file) == 255
        rows = np.flatnonzero(truth.any(axis=1))
        self.fine = truth.astype(np.float32)
        self.mask = truth.copy()
        self.mask[rows[: round(left_out * rows.size)]] = False


@pytest.mark.parametrize(
    ("plain", "fine", "worse"),
    [
        ((0, 0), (0, 0), 0),
        ((0, 0), (0.2, 0), 1 / 2),
        ((0, 0), (0.2, 0.5), 1),
        ((0, 0), (0.05, 0.05), 0),  # within the margin
        ((0.5, 0.5), (0.2, 0.2), 0),  # better
        ((0.5, 0), (0, 0.5), 1 / 2),
    ],
)
def test_masks_worse_than_the_plain_means_are_counted(folder, monkeypatch, plain, fine, worse):
    monkeypatch.chdir(folder)
    left_out = {"fine": dict(zip(("one.png", "two.png"), fine, strict=True))}
    left_out["evidence"] = dict(zip(("one.png", "two.png"), plain, strict=True))

    def makers(ways, model, ontology):
        return {way: lambda s, way=way: Found(s, left_out[way][s.image.name]) for way in ways}

    monkeypatch.setattr(evaluate, "makers_of", makers)
    index = written(folder, ONE, TWO, "two.png,cat,,100 50 170 110")  # boxes alone: not compared
    for ways in (("fine", "evidence"), ("evidence", "fine")):
        found = {r.way: r for r in evaluate_index(index, RedIsCat(), ways=ways, scales=SCALES)}
        assert found["fine"].worse_than_plain == worse
        assert found["evidence"].worse_than_plain == 0
        assert found["fine"].to_json()["worse_than_plain"] == worse
    (alone,) = evaluate_index(index, RedIsCat(), ways=["fine"], scales=SCALES)
    assert alone.worse_than_plain is None


def test_rows_of_boxes_alone_are_compared_with_nothing(folder):
    index = written(folder, "one.png,cat,40 30 120 90", head="image,synset_wnid,boxes")
    for found in evaluate_index(index, RedIsCat(), ways=["fine", "evidence"], scales=SCALES):
        assert found.worse_than_plain is None


def test_a_way_that_runs_no_network_takes_none_of_its_time(folder, monkeypatch):
    monkeypatch.setattr(evaluate, "time", Ticks())
    monkeypatch.setattr(pipeline, "time", Ticks())
    model = RedIsCat()
    centre, fine = evaluate_index(written(folder, ONE), model, ways=["centre", "fine"], scales=SCALES)
    assert (centre.forward_seconds, centre.pass_ratio) == (0, None)
    assert fine.pass_ratio == (len(SCALES) + 1) / len(SCALES)
    passes = model.passes
    evaluate_index(written(folder, ONE), model, ways=["centre"], scales=SCALES)
    assert model.passes == passes


@pytest.mark.parametrize("ways", [(), ("fine", "best")])
def test_an_unknown_way_is_an_error(folder, ways):
    with pytest.raises(ValueError, match="Expected ways among"):
        evaluate_index(written(folder, ONE), RedIsCat(), ways=ways)


SHARED = Path(os.environ.get("FCN_SHARED") or ROOT.parent / "shared")


@pytest.mark.skipif(
    not (SHARED / "eval_dev" / "index.csv").is_file(), reason="no photographs with masks here"
)
def test_on_photographs_the_fine_map_beats_the_plain_ones(lite2, tmp_path):
    with (SHARED / "eval_dev" / "index.csv").open(encoding="utf-8") as file:
        head, *rows = file.read().splitlines()
    path = tmp_path / "index.csv"
    folder = os.path.relpath(SHARED / "eval_dev", tmp_path)
    text = "\n".join([head, *rows[::24]])
    absolute = text.replace("images/", f"{folder}/images/").replace("masks/", f"{folder}/masks/")
    path.write_text(absolute, encoding="utf-8")
    fine, evidence, notebook = evaluate_index(path, lite2, ways=("fine", "evidence", "notebook"))
    assert fine.summary.pxap > 0.80
    assert fine.summary.mean_iou > 0.60
    assert fine.summary.pxap > max(evidence.summary.pxap, notebook.summary.pxap) + 0.05
    assert abs(fine.summary.mask_iou - fine.summary.mean_iou) < 0.05
