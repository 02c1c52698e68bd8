"""``fcn heatmap``: the files that it writes, what it prints, and how bad pictures are reported."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_core.cli.heatmap import output_folders
from fcn_core.engines import load
from fcn_core.export import files, labelled
from fcn_core.synsets.ontology import Ontology
from tests.cli.commands import MODEL, RANDOM, SMALL, one_line

ALL_FILES = files.FILES


def test_heatmap_writes_one_folder_per_picture_and_prints_a_summary(run, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FILES", ALL_FILES)
    out = tmp_path / "out"
    status, text, err = run("heatmap", pictures / "cat.png", "--synset", "cat", *SMALL, "--out", out)
    assert (status, err) == (0, "")
    names = {"manifest.json", "maps.npz", "mask.png", "overlay.png", "figure.png"}
    assert {p.name for p in (out / "cat").iterdir()} == names
    manifest = json.loads((out / "cat" / "manifest.json").read_text(encoding="utf-8"))
    (scale,) = manifest["scales"]
    assert f"cat (n02121620, 7 classes)\n       64x96  grid {scale['grid'][0]:3d} x" in text
    assert f"peak {scale['peak']:6.3f}" in text
    assert f"{len(manifest['boxes'])} box" in text
    assert "random" not in text


def test_json_prints_one_manifest_per_line(run, pictures, tmp_path):
    images = pictures / "cat.png", pictures / "coffee.jpg"
    status, text, err = run("heatmap", *images, "--synset", "cat", *SMALL, "--out", tmp_path, "--json")
    assert (status, err) == (0, "")
    printed = [json.loads(line) for line in text.splitlines()]
    assert [m["image"]["name"] for m in printed] == ["cat.png", "coffee.jpg"]
    for manifest in printed:
        written = tmp_path / Path(manifest["image"]["name"]).stem / "manifest.json"
        assert json.loads(written.read_text(encoding="utf-8")) == manifest


def test_one_bad_picture_is_reported_and_the_others_are_done(run, pictures, tmp_path):
    bad = ("empty.png", "text.png", "cut.jpg", "nowhere.png", "other")
    images = [pictures / n for n in ("cat.png", *bad, "coffee.jpg")]
    status, text, err = run(
        "heatmap", *images, "--synset", "cat", *SMALL, "--out", tmp_path / "out", "--json"
    )
    assert status == 2
    lines = err.splitlines()
    assert len(lines) == len(bad)
    for line, name in zip(lines, bad, strict=True):
        assert line.startswith(f"fcn_core: {pictures / name}: ")
    assert [json.loads(line)["image"]["name"] for line in text.splitlines()] == ["cat.png", "coffee.jpg"]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"cat", "coffee"}


def test_the_same_stem_twice_gives_two_folders(run, pictures, tmp_path):
    images = pictures / "cat.png", pictures / "other" / "cat.png", pictures / "....png"
    status, _, _ = run("heatmap", *images, "--synset", "cat", *SMALL, "--out", tmp_path / "out")
    assert status == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"cat", "cat-2", "png"}
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["a/x.png", "b/x.jpg", "X.png"], ["x", "x-2", "X-3"]),
        (["x.png", "x-2.png", "x.jpg"], ["x", "x-2", "x-3"]),
        (["..", "...png", "../../x.png"], ["picture", "png", "x"]),
    ],
)
def test_folders_are_distinct_and_inside_the_output(names, folders):
    assert output_folders(names, Path("out")) == [Path("out") / f for f in folders]


def test_an_unwritable_folder_stops_only_its_picture(run, pictures, tmp_path):
    (tmp_path / "cat").touch()
    images = pictures / "cat.png", pictures / "coffee.jpg"
    status, text, err = run("heatmap", *images, "--synset", "cat", *SMALL, "--out", tmp_path)
    assert status == 2
    assert "cannot be written" in one_line(err)
    assert "coffee.jpg" in text


def test_scales_are_sorted_and_duplicates_dropped(run, pictures, tmp_path):
    scales = "128x100, 33x47,64X96,33x47"
    arguments = ("--synset", "cat", *MODEL, "--scales", scales, "--fit", "exact", "--out", tmp_path, "--json")
    status, text, _ = run("heatmap", pictures / "cat.png", *arguments)
    assert status == 0
    found = [(s["requested"], s["input"], s["grid"]) for s in json.loads(text)["scales"]]
    assert found == [
        ("33x47", [33, 47], [2, 2]),
        ("64x96", [64, 96], [2, 3]),
        ("128x100", [128, 100], [4, 4]),
    ]


def test_every_option_reaches_the_analysis(run, pictures, tmp_path, lite0, monkeypatch):
    asked = []

    def loaded(*arguments):
        asked.append(arguments[:4])
        return lite0

    monkeypatch.setattr(load, "load_model", loaded)
    model = ("--model", "resnet50", "--engine", "openvino", "--weights", "none", "--output-stride", "16")
    options = ("--map", "evidence", "--fit", "exact", "--threshold", "0.25", "--no-snap", "--scales", "64x96")
    place = ("--out", tmp_path, "--json")
    status, text, err = run("heatmap", pictures / "cat.png", "--synset", "cat", *model, *options, *place)
    assert (status, err) == (0, "")
    assert asked == [("resnet50", "openvino", "none", 16)]
    manifest = json.loads(text)
    assert (manifest["map"], manifest["fit"], manifest["threshold"]) == ("evidence", "exact", 0.25)
    assert manifest["snapped"] is False
    assert manifest["scales"][0]["input"] == [64, 96]


def test_random_weights_are_named_in_the_summary_and_the_manifest(run, pictures, tmp_path, random_resnet50):
    arguments = ("--synset", "cat", *RANDOM, "--out", tmp_path)
    status, text, _ = run("heatmap", pictures / "cat.png", *arguments)
    assert status == 0
    assert "(random weights)" in text
    manifest = json.loads((tmp_path / "cat" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["model"]["weights"] == "random"
    assert manifest["model"]["weights_sha256"] is None


@pytest.mark.parametrize(
    ("synset", "asked", "present", "marked", "words"),
    [
        ("cat", (), True, True, "  presence 0."),
        ("wooden spoon", (), False, False, "no wooden spoon found: presence 0.0"),
        ("wooden spoon", ("--always-mark",), False, True, "is below 0.15, marked as asked"),
    ],
)
def test_what_is_not_there_is_not_marked(run, pictures, tmp_path, synset, asked, present, marked, words):
    scale = (*MODEL, "--scales", "200x320")
    arguments = ("heatmap", pictures / "cat.png", "--synset", synset, *scale, *asked, "--out", tmp_path)
    status, text, err = run(*arguments)
    assert (status, err) == (0, "")
    assert words in text
    manifest = json.loads((tmp_path / "cat" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["present"] is present
    assert (manifest["presence"] >= 0.15) is present
    with Image.open(tmp_path / "cat" / "mask.png") as mask:
        assert bool(np.asarray(mask).any()) is bool(manifest["boxes"]) is marked


# --- everything at once


def test_all_writes_the_regions_of_each_picture(run, pictures, tmp_path):
    images = pictures / "cat.png", pictures / "coffee.jpg"
    arguments = ("--all", *MODEL, "--scales", "200x320", "--out", tmp_path, "--json")
    status, text, err = run("heatmap", *images, *arguments)
    assert (status, err) == (0, "")
    for line, name, wnid in zip(
        text.splitlines(), ("cat", "coffee"), ("n02124075", "n07920052"), strict=True
    ):
        manifest = json.loads(line)
        folder = tmp_path / name
        assert {p.name for p in folder.iterdir()} == set(labelled.FILES)
        written = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        assert written["schema"] == "fcn-regions/1"
        assert {k: v for k, v in written.items() if k != "peak_rss_mb"} == {
            k: v for k, v in manifest.items() if k != "peak_rss_mb"
        }
        first = manifest["segments"][0]["wnid"]  # the Egyptian cat and the espresso, or what they are
        assert first in {wnid, *Ontology.load().ancestors(wnid)}
        panoptic = json.loads((folder / "panoptic.json").read_text(encoding="utf-8"))
        (annotation,) = panoptic["annotations"]
        assert [s["id"] for s in annotation["segments_info"]] == [s["id"] for s in manifest["segments"]]
        assert (folder / annotation["file_name"]).is_file()


def test_all_prints_a_line_for_each_segment(run, pictures, tmp_path):
    arguments = ("--all", *MODEL, "--scales", "200x320", "--out", tmp_path)
    status, text, _ = run("heatmap", pictures / "cat.png", *arguments)
    assert status == 0
    segments = json.loads((tmp_path / "cat" / "manifest.json").read_text(encoding="utf-8"))["segments"]
    first, *middle, last = text.splitlines()
    assert first.endswith(f"cat.png: {len(segments)} segment{'s' * (len(segments) != 1)}")
    assert [line.split("(")[1].split(")")[0] for line in middle] == [s["wnid"] for s in segments]
    assert last.endswith(f"s in all -> {tmp_path / 'cat'}")


def test_all_reports_a_bad_picture_and_does_the_others(run, pictures, tmp_path):
    images = [pictures / n for n in ("text.png", "cat.png")]
    status, text, err = run("heatmap", *images, "--all", *SMALL, "--out", tmp_path, "--json")
    assert status == 2
    assert one_line(err).startswith(f"fcn_core: {images[0]}: Expected ")
    assert json.loads(text)["image"]["name"] == "cat.png"


def test_all_names_random_weights(run, pictures, tmp_path, random_resnet50):
    status, text, _ = run("heatmap", pictures / "cat.png", "--all", *RANDOM, "--out", tmp_path)
    assert status == 0
    assert "(random weights)" in text.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--synset --all is required"),
        (("--synset", "cat", "--all"), "not allowed with"),
        (("--all", "--threshold", "0.5"), "Received --threshold."),
        (("--all", "--threshold", "auto"), "Received --threshold."),
        (("--all", "--no-snap", "--map", "evidence"), "Received --map and --no-snap."),
    ],
)
def test_a_synset_or_all_is_asked_for_with_its_own_options(run, pictures, tmp_path, arguments, words):
    out = tmp_path / "out"
    status, text, err = run("heatmap", pictures / "cat.png", *arguments, *SMALL, "--out", out)
    assert (status, text) == (2, "")
    assert words in one_line(err)
    assert not out.exists()
