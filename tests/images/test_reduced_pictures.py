"""JPEGs at reduced size: what they take is foreseen, what comes out is the picture, and files are in its own pixels."""

from __future__ import annotations

import ast
import io
import json
import shlex
import struct
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageCms, ImageFile

from fcn_core.cli.entry import main
from fcn_core.errors import ImageError
from fcn_core.export import files, original
from fcn_core.export.coco import coco_json
from fcn_core.images import jpeg
from fcn_core.images.limits import Limits
from fcn_core.images.read import RGBImage, read_image
from fcn_core.maps.region import Box, boxes_of
from fcn_core.pipeline import Analysis, interpret
from fcn_core.synsets.ontology import Ontology
from fcn_core.system import memory
from tests.encoded import saved
from tests.waiting import PATIENCE

CAT = Image.fromarray(skimage.data.chelsea())  # 451 x 300
LARGE = CAT.resize((804, 604), Image.Resampling.BICUBIC)


def jpeg_of(picture: Image.Image = LARGE, **options: object) -> bytes:
    return saved(picture, "JPEG", **{"quality": 95, **options})


@cache
def large(kind: str) -> bytes:
    return jpeg_of(progressive=True, subsampling=0) if kind == "progressive" else saved(LARGE, kind)


def refused(data: bytes, limits: Limits, reduce: object = "auto") -> str:
    with pytest.raises(ImageError) as caught:
        read_image(data, name="a.jpg", limits=limits, reduce=reduce)  # type: ignore[arg-type]
    return str(caught.value)


# What it takes

KINDS = {
    "baseline 4:4:4": ("RGB", {"subsampling": 0}, 0),
    "baseline 4:2:0": ("RGB", {"subsampling": 2}, 0),
    "baseline CMYK": ("CMYK", {}, 0),
    "progressive 4:4:4": ("RGB", {"progressive": True, "subsampling": 0}, 3),
    "progressive 4:2:2": ("RGB", {"progressive": True, "subsampling": 1}, 2),
    "progressive 4:2:0": ("RGB", {"progressive": True, "subsampling": 2}, 1.5),
    "progressive grey": ("L", {"progressive": True}, 1),
    "progressive CMYK": ("CMYK", {"progressive": True}, 4),
}


@pytest.mark.parametrize(("mode", "options", "samples"), KINDS.values(), ids=KINDS)
def test_what_is_held_of_the_whole_is_two_bytes_a_coefficient(mode, options, samples):
    whole_blocks = CAT.resize((640, 320)).convert(mode)
    assert jpeg.held_bytes(jpeg_of(whole_blocks, **options)) == 2 * samples * 640 * 320
    across, down = {1.5: (16, 16), 2: (16, 8)}.get(
        samples, (8, 8)
    )  # pixels of the blocks that belong together
    held = jpeg.held_bytes(jpeg_of(whole_blocks.crop((0, 0, 625, 305)), **options))
    assert held == 2 * samples * -(-625 // across) * across * -(-305 // down) * down


def test_a_first_scan_without_a_component_makes_it_several():
    data = jpeg_of(subsampling=0)
    scan = data.index(b"\xff\xda")
    one = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"  # of the first component alone
    assert data[scan + 4] == 3 and jpeg.held_bytes(data) == 0
    assert jpeg.held_bytes(data[:scan] + one + data[scan + 14 :]) == 2 * 3 * 808 * 608


@pytest.mark.parametrize("frame", [b"\xff\xc2\0\x02", b"\xff\xc2\0\x08\x08\xff\xff\xff\xff\0", b"\xff\xc2"])
def test_frames_that_say_nothing_hold_nothing(frame):
    assert jpeg.held_bytes(b"\xff\xd8" + frame + b"\xff\xd9") == 0


CHILD = """
import io, sys
from fcn_core.system import memory
from fcn_core.images.read import read_image
from fcn_core.images.limits import Limits
data = open(sys.argv[1], "rb").read()
read_image(data, reduce=8)  # what stays loaded is loaded
memory.limit_free_heap()
memory.trim_heap()
with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
    file.write("5")  # the peak begins anew
before = memory.rss_mb()
image = read_image(data, limits=Limits(memory_mb=float(sys.argv[2])), reduce="auto")
print(image.reduced, memory.peak_rss_mb() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("kind", "memory_mb", "reduced"),
    [
        ("baseline 4:4:4", 110, 1),
        ("baseline 4:2:0", 100, 2),
        ("baseline CMYK", 20, 4),
        ("progressive 4:2:0", 52, 2),
        ("progressive 4:4:4", 90, 2),
        ("progressive CMYK", 100, 4),
    ],
)
def test_decoding_takes_no_more_than_was_foreseen(tmp_path, kind, memory_mb, reduced):
    mode, options, _ = KINDS[kind]
    file = tmp_path / "a.jpg"
    file.write_bytes(jpeg_of(Image.new(mode, (4032, 3024), 90), **options))
    command = [sys.executable, "-c", CHILD, str(file), str(memory_mb)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    found, peak = done.stdout.split() or pytest.fail(done.stderr)
    assert int(found) == reduced
    assert float(peak) < memory_mb


# Which size is chosen


@pytest.mark.parametrize(
    ("kind", "bytes_a_pixel", "reduced"),
    [
        ("baseline 4:2:0", 9.1, 1),
        ("baseline 4:2:0", 8.9, 2),
        ("baseline 4:2:0", 2.3, 2),
        ("baseline 4:2:0", 2.2, 4),
        ("baseline 4:2:0", 0.15, 8),
        ("baseline 4:2:0", 0.13, None),
        ("progressive 4:2:0", 9.1, 1),
        ("progressive 4:2:0", 4.4, 2),
        ("progressive 4:2:0", 3.5, 4),
        ("progressive 4:2:0", 3.2, 8),
        ("progressive 4:2:0", 3.0, None),
        ("progressive 4:4:4", 11.2, 1),
        ("progressive 4:4:4", 10.9, 2),
        ("progressive 4:4:4", 6.0, None),
        ("progressive CMYK", 13.3, 1),
        ("progressive CMYK", 12.9, 2),
    ],
)
def test_the_largest_that_fits_is_chosen(kind, bytes_a_pixel, reduced):
    mode, options, _ = KINDS[kind]
    data = jpeg_of(LARGE.convert(mode), **options)
    limits = Limits(memory_mb=bytes_a_pixel * 804 * 604 / 2**20)
    if reduced is None:
        refused(data, limits)
        return
    image = read_image(data, limits=limits, reduce="auto")
    assert image.reduced == reduced
    assert image.pixels.shape == (-(-604 // reduced), -(-804 // reduced), 3)
    assert image.original == (604, 804)
    if reduced > 1:
        refused(data, limits, 1)
    same = read_image(data, limits=limits, reduce=reduced)
    np.testing.assert_array_equal(same.pixels, image.pixels)


def test_unasked_a_picture_is_decoded_whole():
    data = jpeg_of()
    whole = read_image(data)
    assert (whole.reduced, whole.original, whole.pixels.shape) == (1, (604, 804), (604, 804, 3))
    np.testing.assert_array_equal(whole.pixels, np.asarray(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(read_image(data, reduce="auto").pixels, whole.pixels)


@pytest.mark.parametrize(
    ("data", "reduce", "message"),
    [
        (saved(CAT, "PNG"), 2, "Expected a JPEG for reduce=2"),
        (saved(CAT, "BMP"), 4, "which is not a JPEG"),
        (saved(CAT, "HEIF"), 8, "which is not a JPEG"),
        (jpeg_of(), 3, "Expected reduce=1, 2, 4 or 8. Received reduce=3"),
        (jpeg_of(), 0, "reduce=0"),
        (jpeg_of(CAT.resize((8, 300))), 8, "1 x 38 pixels"),
        (jpeg_of(CAT.resize((2, 2))), 2, "1 x 1 pixels"),
    ],
)
def test_what_cannot_be_reduced_is_said(data, reduce, message):
    assert message in refused(data, Limits(), reduce)


def test_a_strip_is_not_reduced_to_nothing():
    data = jpeg_of(Image.new("RGB", (3, 5000)))
    assert read_image(data, limits=Limits(memory_mb=9 * 2 * 2500 / 2**20 + 0.001), reduce="auto").reduced == 2
    assert "1 x" not in refused(data, Limits(memory_mb=0.01))


# What comes out


def halved(pixels: np.ndarray, by: int) -> np.ndarray:
    height, width = (n // by for n in pixels.shape[:2])
    blocks = pixels[: height * by, : width * by].astype(float).reshape(height, by, width, by, 3)
    return blocks.mean(axis=(1, 3))


SWAPPED = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FILES = {
    "baseline": jpeg_of(),
    "progressive": jpeg_of(progressive=True),
    "grey": jpeg_of(LARGE.convert("L")),
    "inks": jpeg_of(LARGE.convert("CMYK")),
    "inks in scans": jpeg_of(LARGE.convert("CMYK"), progressive=True),
    "profile": jpeg_of(icc_profile=SWAPPED),
    "mpo": saved(LARGE, "MPO", save_all=True, append_images=[CAT], quality=95),
    "without its end": jpeg_of()[:-2],
    "progressive without its end": jpeg_of(progressive=True)[:-2] + b"\0\0",
}


@pytest.mark.parametrize("by", [2, 4, 8])
@pytest.mark.parametrize("kind", FILES)
def test_it_is_the_picture(kind, by):
    whole, reduced = read_image(FILES[kind]), read_image(FILES[kind], reduce=by)
    assert (reduced.sha256, reduced.original) == (whole.sha256, whole.original)
    assert reduced.pixels.shape == (-(-604 // by), -(-804 // by), 3)
    expected = halved(whole.pixels, by)
    inside = reduced.pixels[: expected.shape[0], : expected.shape[1]]
    assert np.abs(inside - expected).mean() < 2


@pytest.mark.parametrize("turn", range(1, 9))
def test_it_is_turned_as_the_whole_is(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    data = jpeg_of(LARGE.resize((800, 600)), exif=exif)
    whole, reduced = read_image(data), read_image(data, reduce=4)
    assert whole.original == whole.pixels.shape[:2] == reduced.original
    assert reduced.pixels.shape[:2] == (whole.height // 4, whole.width // 4)
    assert np.abs(reduced.pixels - halved(whole.pixels, 4)).mean() < 2


@pytest.mark.parametrize("reduce", ["auto", 8])
def test_what_is_cut_off_is_refused(reduce):
    data = jpeg_of()
    assert "cut off" in refused(data[: len(data) // 2], Limits(), reduce)


# What is refused before decoding


def header(width: int, height: int, data: bytes) -> bytes:
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    ("size", "limits", "message"),
    [
        ((65_535, 65_535), Limits(), "too large to decode"),
        ((9_000, 9_000), Limits(memory_mb=5000), "of 9000 x 9000 pixels. Make it smaller."),
        ((9_000, 9_000), Limits(), "set by FCN_MAX_MEGAPIXELS"),
        ((9_000, 5_000), Limits(memory_mb=5), "which needs about"),
        ((65_535, 0), Limits(memory_mb=5), "damaged"),
        ((65_535, 1), Limits(memory_mb=5), "65535 x 1 pixels"),
    ],
)
@pytest.mark.parametrize("reduce", ["auto", 8])
def test_a_header_cannot_misuse_it(monkeypatch, progressive, size, limits, message, reduce):
    data = header(*size, jpeg_of(CAT, progressive=progressive))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("the decoder was asked"))
    assert message in refused(data, limits, reduce)


def test_a_second_frame_cannot_hide_the_first():
    """Pillow goes by the last frame before the scans, libjpeg by the first; what either would hold is counted."""
    data = header(60_000, 60_000, jpeg_of(CAT, progressive=True))
    frame = data.index(b"\xff\xc2")
    small = header(64, 64, data)[frame : frame + 19]
    assert "which needs about" in refused(
        data[: frame + 19] + small + data[frame + 19 :], Limits(memory_mb=100)
    )


@pytest.mark.parametrize("setting", ["450", ""])
@pytest.mark.parametrize(
    ("kind", "reduce", "words"),
    [
        ("PNG", "auto", ("(PNG, 804 x 604", "save it as JPEG, which is opened at reduced size")),
        ("WEBP", "auto", ("(WEBP, 804 x 604 pixels", "save it as JPEG")),
        ("HEIF", "auto", ("(HEIF, 804 x 604 pixels", "save it as JPEG")),
        ("AVIF", "auto", ("(AVIF, 804 x 604 pixels", "save it as JPEG")),
        ("BMP", "auto", ("(BMP, 804 x 604 pixels", "save it as JPEG")),
        ("PNG", 1, ("(PNG, 804 x 604 pixels", "about 0.117 megapixels of this kind.")),
        ("JPEG", 1, ("(JPEG, 804 x 604 pixels, 0.486 megapixels)", "4 MB", "at 1/4 of its sides (--reduce 4)")),
        ("progressive", "auto", ("progressive", "JPEG that is not progressive")),
        ("progressive", 1, ("progressive", "MB. Make it smaller.")),
    ],
)  # fmt: skip
def test_the_message_says_what_would_fit_and_which_setting(monkeypatch, setting, kind, reduce, words):
    monkeypatch.setenv("FCN_MEMORY_MB", setting)
    message = refused(large(kind), Limits(memory_mb=1), reduce)
    budget = "FCN_MEMORY_MB=450 leaves" if setting else "the memory of this machine"
    said = (*words, "Expected at most 1 MB", budget, "FCN_MEMORY_MB", "megapixels of this kind")
    assert [word for word in said if word not in message] == [] and len(message) < 400


# Where things are


def reduced_image(height: int, width: int, by: int) -> RGBImage:
    size = -(-height // by), -(-width // by)
    return RGBImage(np.zeros((*size, 3), np.uint8), "a.jpg", "0" * 64, by, (height, width))  # type: ignore[arg-type]


def enlarged(image: RGBImage, mask: np.ndarray) -> np.ndarray:
    """The pixel of the mask in which the centre of each pixel of the original lies."""
    rows, columns = (
        (2 * np.arange(there) + 1) * here // (2 * there)
        for there, here in zip(image.original, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


CASES = [(80, 120, 2), (81, 123, 4), (83, 97, 8), (64, 64, 8), (7, 9, 4)]


@pytest.mark.parametrize(("height", "width", "by"), CASES)
def test_boxes_masks_and_outlines_are_in_pixels_of_the_original(height, width, by):
    image = reduced_image(height, width, by)
    mask = np.random.default_rng(0).random((image.height, image.width)) < 0.4
    mask[: image.height // 2, : image.width // 2] = True
    whole = enlarged(image, mask)
    found = np.asarray(Image.open(io.BytesIO(original.mask_png(image, mask))))
    np.testing.assert_array_equal(found, whole * 255)
    for box in boxes_of(mask):
        there = original.box(image, box)
        alone = np.zeros_like(mask)
        alone[box.y0 : box.y1, box.x0 : box.x1] = True
        rows, columns = np.nonzero(enlarged(image, alone))
        edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert (there.x0, there.y0, there.x1, there.y1) == edges
        assert there.peak == box.peak or np.isnan(there.peak)


def test_a_whole_picture_is_its_own_original():
    image, box = reduced_image(30, 40, 1), Box(3, 4, 17, 29, 55, 0.5)
    assert original.box(image, box) == box


@pytest.fixture(scope="module")
def analysis(lite0) -> Analysis:
    from fcn_core.images.scales import parse_scales
    from fcn_core.pipeline import compute_class_maps

    image = read_image(jpeg_of(), name="cat.jpg", reduce=4)
    class_maps = compute_class_maps(image, lite0, parse_scales("96x128,120x160"))
    return interpret(image, class_maps, Ontology.load().find("cat"), lite0.info)


@pytest.mark.parametrize("holes", [False, True])
def test_coco_is_in_pixels_of_the_original(analysis, holes):
    mask = np.zeros(analysis.mask.shape, bool)
    mask[20:90, 30:200] = mask[110:140, 5:60] = True
    if holes:
        mask[40:60, 50:90] = mask[50:70, 120:150] = False
    changed = replace(analysis)
    vars(changed).update(mask=mask, boxes=boxes_of(mask, analysis.fine))  # before they are computed
    data = json.loads(coco_json(changed))
    assert (data["images"][0]["height"], data["images"][0]["width"]) == (604, 804)
    whole, found = enlarged(analysis.image, mask), np.zeros((604, 804), bool)
    for entry in data["annotations"]:
        x, y, width, height = entry["bbox"]
        segmentation = entry["segmentation"]
        part = np.zeros((604, 804), bool)
        if isinstance(segmentation, dict):
            assert segmentation["size"] == [604, 804]
            inside = np.arange(len(segmentation["counts"])) % 2 == 1
            runs = np.repeat(inside, segmentation["counts"])
            part = np.pad(runs, (0, 604 * 804 - runs.size)).reshape(804, 604).T
        else:
            (ring,) = segmentation
            corners = np.array(ring).reshape(-1, 2)
            assert corners.min(axis=0).tolist() == [x, y]
            assert corners.max(axis=0).tolist() == [x + width, y + height]
            part[y : y + height, x : x + width] = True
        assert int(part.sum()) == entry["area"]
        rows, columns = np.nonzero(part)
        assert (columns.min(), rows.min()) == (x, y)
        assert (columns.max() + 1, rows.max() + 1) == (x + width, y + height)
        found |= part
    np.testing.assert_array_equal(found, whole)
    assert isinstance(data["annotations"][0]["segmentation"], dict) == holes


def test_every_file_says_it(analysis, tmp_path):
    files.write_folder(analysis, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    image = manifest["image"]
    assert (image["width"], image["height"], image["reduced"]) == (804, 604, 4)
    assert manifest["boxes"] == [[b.x0 * 4, b.y0 * 4, b.x1 * 4, b.y1 * 4] for b in analysis.boxes]
    assert max(b.x1 for b in analysis.boxes) > 0
    words = "picture decoded at 1/4 of its sides"
    for name, size in (("mask.png", (804, 604)), ("overlay.png", (201, 151)), ("figure.png", None)):
        picture = Image.open(tmp_path / name)
        assert words in picture.text["Description"]
        assert size is None or picture.size == size
    assert words.encode() in (tmp_path / "maps.npz").read_bytes()[-300:]
    report = files.html_report(analysis).decode()
    assert "804 × 604 pixels, decoded at 1/4 of its sides" in report
    assert f">{analysis.boxes[0].x1 * 4}</td>" in report
    assert "decoded at 1/4" in files.notebook(analysis, jpeg_of()).decode()


def test_every_recipe_repeats_it(analysis, tmp_path, monkeypatch):
    words = shlex.split(files.command_line(analysis))
    assert words[words.index("--reduce") + 1] == "4"
    assert "fcn.read_image('cat.jpg', reduce=4)" in files.python_snippet(analysis)
    for picture, size in ((jpeg_of(), (151, 201)), (None, (151, 201))):
        cell = json.loads(files.notebook(analysis, picture))["cells"][1]
        scope: dict = {}
        exec("".join(cell["source"]), scope)  # noqa: S102
        assert scope["image"].pixels.shape[:2] == size
    monkeypatch.chdir(tmp_path)
    Path("cat.jpg").write_bytes(jpeg_of())
    assert main(words[3:]) == 0
    again = json.loads(Path("out/cat/manifest.json").read_text(encoding="utf-8"))
    assert again["image"] == files.manifest(analysis)["image"]
    assert again["boxes"] == files.manifest(analysis)["boxes"]
    ast.parse(files.python_snippet(analysis))


def test_the_command_line_refuses_in_words_what_memory_is_too_small_for(tmp_path, monkeypatch, capsys, lite0):
    monkeypatch.setenv("FCN_MEMORY_MB", f"{memory.rss_mb() + 450:.0f}")
    file = tmp_path / "phone.jpg"
    file.write_bytes(jpeg_of(Image.new("RGB", (8064, 6048), "#336699")))
    options = ["--synset", "cat", "--model", "efficientnet-lite0", "--scales", "96x128"]
    command = ["heatmap", str(file), *options, "--out", str(tmp_path / "out")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "8064 x 6048 pixels, 48.8 megapixels" in said and "FCN_MEMORY_MB=" in said and "--reduce 2" in said
    assert main([*command, "--reduce", "8"]) == 0
    manifest = json.loads((tmp_path / "out" / "phone" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["image"]["width"], manifest["image"]["reduced"]) == (8064, 8)
