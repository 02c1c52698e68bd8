"""A picture with named regions as files: the manifest, and COCO's panoptic format read as COCO's tools read it."""

import io
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from PIL import Image

from fcn_core import render
from fcn_core.engines.base import ModelInfo
from fcn_core.export import labelled
from fcn_core.images.read import RGBImage, image_from_array
from fcn_core.images.scales import PlannedScale, Scale
from fcn_core.maps.findings import Finding
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.segmentation import Segment, Segmentation
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.synsets.ontology import Ontology

MODEL = ModelInfo("efficientnet-lite2", "EfficientNet-Lite2", "imagenet", "0" * 64, "openvino", 32)


def rgb2id(png):
    """Return the number of each pixel, as COCO defines it."""
    pixels = np.asarray(Image.open(io.BytesIO(png))).astype(np.int64)
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    return pixels[..., 0] + 256 * pixels[..., 1] + 256**2 * pixels[..., 2]


def class_map():
    cells = CellGrid(CellAxis(64, 2, 32, 15.5, 32), CellAxis(96, 3, 32, 15.5, 32))
    return ClassMap(
        np.zeros((2, 3, 1000), np.float32), cells, PlannedScale(Scale(64, 96), 64, 96, False), 0.25
    )


def made_up(words=("dog", "espresso"), labels=None, image=None):
    """Return a labelled picture; by default dog and espresso lie in two corners, and the rest is nothing."""
    image = image or image_from_array(skimage.data.chelsea(), "cat")
    if labels is None:
        labels = np.zeros((20, 30), np.uint8)
        labels[:7, :11] = 1
        labels[12:, 20:] = min(2, len(words))
    ontology = Ontology.load()
    competing = tuple(Finding(ontology.find(word), 0.9 - k / 10) for k, word in enumerate((*words, "laptop")))
    segments = tuple(
        Segment(k, c.synset, c.presence, 0, (0, 0, 0, 0)) for k, c in enumerate(competing[:-1], start=1)
    )
    segmentation = Segmentation(labels * bool(words), segments, competing, image.height, image.width)
    segmentation = segmentation.resized(image.height, image.width)
    return labelled.LabelledPicture(image, MODEL, "aspect", {"64x96": class_map()}, segmentation, 1.5)


CASES = {
    "two": made_up(),
    "one": made_up(("dog",)),
    "none": made_up(()),
    "reduced": made_up(
        image=RGBImage(skimage.data.chelsea(), "cat", "0" * 64, reduced=4, original=(1197, 1801))
    ),
    "many": made_up(
        tuple(Ontology.load().classes[:40]), 1 + np.repeat(np.arange(40), 15).reshape(20, 30).astype(np.uint8)
    ),
}


@pytest.fixture(params=CASES)
def found(request):
    return CASES[request.param]


def test_png_and_json_have_the_same_segments(found):
    """What `pq_compute` of COCO's panopticapi checks, and that areas and boxes are those of the pixels."""
    data = json.loads(labelled.panoptic_json(found))
    numbers = rgb2id(labelled.panoptic_png(found))
    (image,), (annotation,) = data["images"], data["annotations"]
    assert numbers.shape == (image["height"], image["width"]) == found.image.original
    assert annotation["image_id"] == image["id"]
    assert annotation["file_name"] == "panoptic.png"
    categories = {c["id"]: c for c in data["categories"]}
    assert len(categories) == len(data["categories"])
    infos = {info["id"]: info for info in annotation["segments_info"]}
    assert len(infos) == len(found.segmentation.segments)
    assert set(np.unique(numbers)) - {0} == set(infos)
    for number, info in infos.items():
        rows, columns = np.nonzero(numbers == number)
        x, y, width, height = info["bbox"]
        assert info["area"] == rows.size
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        assert info["iscrowd"] == 0
        assert info["category_id"] in categories


def test_each_number_names_the_synset_of_its_pixels(found):
    """The way back: from the colours of the PNG to the labels."""
    data = json.loads(labelled.panoptic_json(found))
    numbers = rgb2id(labelled.panoptic_png(found))
    wnids = {c["id"]: c["wnid"] for c in data["categories"]}
    names = {info["id"]: wnids[info["category_id"]] for info in data["annotations"][0]["segments_info"]}
    labels = found.segmentation.expand(*found.image.original)
    for segment in found.segmentation.segments:
        assert {names[n] for n in np.unique(numbers[labels == segment.label])} == {segment.synset.wnid}
    assert not numbers[labels == 0].any()


def test_categories_are_described_as_coco_does(found):
    data = json.loads(labelled.panoptic_json(found))
    for category, segment in zip(data["categories"], found.segmentation.segments, strict=True):
        assert set(category) == {"id", "name", "supercategory", "isthing", "color", "wnid"}
        assert category["id"] == int(segment.synset.wnid[1:])
        assert category["name"] == segment.synset.name
        assert category["isthing"] == 0
        assert len(category["color"]) == 3
    for info in data["annotations"][0]["segments_info"]:
        assert set(info) == {"id", "category_id", "area", "bbox", "iscrowd", "presence"}
        assert all(type(n) is int for n in (*info["bbox"], info["area"], info["id"]))


def test_the_png_shows_the_colours_of_the_overlay():
    with Image.open(io.BytesIO(labelled.panoptic_png(CASES["two"]))) as png:
        pixels = np.asarray(png)
        assert png.info["Description"].endswith("imagenet weights")
    assert [tuple(pixels[0, 0]), tuple(pixels[-1, -1])] == list(render.segment_colours(2))


def test_the_manifest_says_what_was_found_and_how():
    found = CASES["two"]
    manifest = labelled.manifest(found)
    json.dumps(manifest, allow_nan=False)
    assert manifest["schema"] == "fcn-regions/1"
    assert manifest["image"] == {"name": "cat", "sha256": found.image.sha256, "width": 451, "height": 300}
    assert manifest["model"]["name"] == "efficientnet-lite2"
    assert manifest["fit"] == "aspect"
    (scale,) = manifest["scales"]
    assert (scale["requested"], scale["input"], scale["grid"], scale["seconds"]) == (
        "64x96",
        [64, 96],
        [2, 3],
        0.25,
    )
    assert [f["words"][0] for f in manifest["findings"]] == ["dog", "espresso", "laptop"]
    dog, espresso = manifest["segments"]
    infos = json.loads(labelled.panoptic_json(found))["annotations"][0]["segments_info"]
    for segment, info in zip((dog, espresso), infos, strict=True):
        x, y, width, height = info["bbox"]
        assert segment["box"] == [x, y, x + width, y + height]
        assert (segment["id"], segment["area"]) == (info["id"], info["area"])
    assert (dog["wnid"], dog["presence"]) == ("n02084071", 0.9)
    assert manifest["seconds"] == 1.5
    assert manifest["peak_rss_mb"] > 0
    assert "numpy" in manifest["versions"]


def test_sizes_of_a_reduced_picture_are_those_of_the_original():
    manifest = labelled.manifest(CASES["reduced"])
    assert (manifest["image"]["width"], manifest["image"]["height"], manifest["image"]["reduced"]) == (
        1801,
        1197,
        4,
    )
    assert manifest["segments"][1]["box"][2:] == [1801, 1197]
    assert b"decoded at 1/4" in labelled.panoptic_png(CASES["reduced"])


def test_the_overlay_has_the_picture_and_the_legend(found):
    with Image.open(io.BytesIO(labelled.overlay_png(found))) as overlay:
        pixels = np.asarray(overlay)
    height, width = found.image.height, found.image.width
    np.testing.assert_array_equal(
        pixels[:height, :width], render.draw_segments(found.image.pixels, found.segmentation)
    )
    np.testing.assert_array_equal(pixels[height:], render.segment_legend(found.segmentation, width))


def test_random_weights_are_written_on_the_overlay_and_in_the_files():
    random = replace(CASES["two"], model=replace(MODEL, weights="random", weights_sha256=None))
    assert labelled.overlay_png(random) != labelled.overlay_png(CASES["two"])
    assert b"random weights" in labelled.panoptic_png(random)
    assert "random weights" in json.loads(labelled.panoptic_json(random))["info"]["description"]
    assert labelled.manifest(random)["model"]["weights"] == "random"


def test_a_folder_has_all_files_and_the_manifest_is_the_last(tmp_path):
    paths = labelled.write_folder(CASES["two"], tmp_path / "new" / "cat")
    assert (
        {p.name for p in paths}
        == {p.name for p in (tmp_path / "new" / "cat").iterdir()}
        == set(labelled.FILES)
    )
    assert paths[-1].name == "manifest.json"
    written = json.loads(paths[-1].read_text(encoding="utf-8"))
    assert written["segments"] == labelled.manifest(CASES["two"])["segments"]


def test_the_png_of_a_large_picture_takes_little_memory():
    """50 megapixels of three bytes would be 150 MB."""
    image = RGBImage(skimage.data.chelsea(), "large", "0" * 64, reduced=8, original=(6000, 9000))
    large = made_up(image=image)
    tracemalloc.start()
    try:
        png = labelled.panoptic_png(large)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(png) < 2e6
    assert peak < 10e6
