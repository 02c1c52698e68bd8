"""What the page shows, the files that it makes and the command say the same, whatever the size of the picture."""

from __future__ import annotations

import io
import json
import shlex
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.state import caches
from app.state.picture_files import OwnFile
from app.state.pictures import Picture, open_picture
from app.state.queue.jobs import Job, ModelKey, job_key
from app.state.selection import Selection, default
from app.state.view import View
from fcn_core.cli import entry
from fcn_core.export import files, original
from fcn_core.images.limits import Limits
from fcn_core.images.read import read_image
from fcn_core.images.scales import parse_scales, plan_scales
from fcn_core.maps.region import hysteresis_mask, threshold_mask
from fcn_core.maps.segmentation import label_regions
from fcn_core.pipeline import Analysis, analyse, compute_class_maps

CAT, MISSILE = "n02121620", "n03773504"
SCALES = parse_scales("100x160,200x320")
ROTATED = 6  # EXIF: to be shown turned by 90 degrees


@dataclass(frozen=True)
class Case:
    """A picture of the cat, and what is asked of it."""

    height: int
    width: int
    kind: str = "JPEG"
    orientation: int = 1
    reduced: int = 1
    choices: tuple[tuple[str, Any], ...] = ()

    @property
    def chosen(self) -> Selection:
        return replace(default(), **{"synset": CAT, "scales": SCALES, **dict(self.choices)})

    def __str__(self) -> str:
        words = [
            f"{self.width}x{self.height}",
            self.kind,
            *(f"{name}={value}" for name, value in self.choices),
        ]
        words += ["rotated"] * (self.orientation > 1) + [f"1/{self.reduced}"] * (self.reduced > 1)
        return "-".join(words)


CASES = [
    Case(300, 451, "PNG"),
    Case(800, 1000, "PNG"),  # as large as a working copy
    Case(801, 1000, "PNG"),  # one row larger
    Case(901, 1001, orientation=ROTATED),
    Case(300, 3000, orientation=ROTATED),
    Case(1001, 803, choices=(("snap", False), ("fit", "Exact"))),
    Case(1001, 803, choices=(("snap", False), ("map", "Evidence"))),
    Case(1001, 803, choices=(("threshold", 0.37),)),
    Case(1001, 803, choices=(("synset", MISSILE),)),
    Case(1001, 803, choices=(("synset", MISSILE), ("trace", True))),
    Case(1801, 2003, orientation=ROTATED, reduced=2),  # as of a phone
]


@pytest.fixture(scope="module")
def cat(chelsea: np.ndarray) -> Image.Image:
    return Image.fromarray(chelsea)


def file_of(case: Case, cat: Image.Image) -> bytes:
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = case.orientation
    # The pixels are random in the smallest details, so that each way to make the picture smaller gives others.
    pixels = np.asarray(cat.resize((case.width, case.height), Image.Resampling.BICUBIC), np.int16)
    noise = np.random.default_rng(0).integers(-40, 40, pixels.shape, np.int16)
    picture = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
    picture.save(stream, case.kind, exif=exif, **({} if case.kind == "PNG" else {"quality": 90}))
    return stream.getvalue()


def opened(case: Case, data: bytes) -> Picture:
    """Open the picture as a page does; in too little memory for its whole size where it is to be reduced."""
    limits = Limits()
    if case.reduced > 1:
        limits = Limits(memory_mb=9 * case.height * case.width / 2**20 / 2)
    picture = open_picture(OwnFile(data), "cat.jpg", limits=limits)
    assert picture.reduced == case.reduced
    return picture


def view_of(case: Case, picture: Picture, model: Any) -> View:
    """Compute class maps as the queue does: from the whole picture."""
    chosen = case.chosen
    plans = tuple(plan_scales(picture.height, picture.width, SCALES, chosen.fitting))
    class_maps = compute_class_maps(picture.whole(), model, SCALES, chosen.fitting)
    job = Job(job_key(picture, ModelKey(model.info.name), plans), None, plans, chosen.fitting, "done")
    return View(job, picture, model.info, class_maps)


def essence(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest without what no two runs have in common."""
    scales = [{**scale, "seconds": 0} for scale in manifest["scales"]]
    return {**manifest, "scales": scales, "seconds": 0, "peak_rss_mb": 0}


@pytest.fixture(autouse=True)
def _without_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute what a session caches each time: outside of a page there is no session."""
    for name in ("scene", "fine"):
        monkeypatch.setattr(caches, name, getattr(caches, name).__wrapped__)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_page_its_files_and_the_command_say_the_same(
    case: Case, cat: Image.Image, lite0: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = file_of(case, cat)
    picture = opened(case, data)
    view = view_of(case, picture, lite0)
    page = view.analysis(case.chosen)
    whole = view.whole_analysis(case.chosen)()
    assert (page.image.height * page.image.width < picture.height * picture.width) == (
        picture.height * picture.width > 800_000
    )

    monkeypatch.setattr(
        files, "FILES", {n: make for n, make in files.FILES.items() if n != "figure.png"}
    )  # slow
    (tmp_path / "cat.jpg").write_bytes(data)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(files.command_line(page))
    assert entry.main(words[words.index("heatmap") :]) == 0
    written = tmp_path / "out" / "cat"
    command = json.loads((written / "manifest.json").read_text(encoding="utf-8"))

    assert essence(files.manifest(page)) == essence(files.manifest(whole)) == essence(command)
    assert command["threshold"] == page.threshold
    assert command["boxes"] == [[b.x0, b.y0, b.x1, b.y1] for b in original.boxes(page)]
    assert page.marked == bool(command["boxes"]), "the case shows something"
    assert files.coco_json(page) == files.coco_json(whole), "areas and outlines"
    mask = np.asarray(Image.open(written / "mask.png")) > 0
    assert mask.shape == picture.original
    np.testing.assert_array_equal(mask, np.asarray(Image.open(io.BytesIO(files.mask_png(page)))) > 0)
    np.testing.assert_array_equal(mask, np.asarray(Image.open(io.BytesIO(files.mask_png(whole)))) > 0)
    assert abs(mask.mean() - page.coverage) < 0.005, "blocks of the working copy differ by a pixel"
    if case.reduced == 1:
        np.testing.assert_array_equal(mask, whole.mask)
    if len(command["boxes"]) == 1 and page.marked:
        rows, columns = np.nonzero(mask)
        x0, y0, x1, y1 = command["boxes"][0]
        assert x0 >= columns.min() and y0 >= rows.min() and x1 <= columns.max() + 1 and y1 <= rows.max() + 1
    with np.load(written / "maps.npz") as maps:
        assert maps["fine"].shape == (picture.height, picture.width)
        np.testing.assert_array_equal(maps["fine"], whole.fine)
        found = hysteresis_mask if page.snapped and case.chosen.threshold is None else threshold_mask
        assert (found(maps["fine"], page.threshold) == whole.mask).all() or not page.marked


def test_an_archive_of_the_page_has_the_numbers_of_the_page(cat: Image.Image, lite0: Any) -> None:
    case = Case(901, 1001)
    data = file_of(case, cat)
    view = view_of(case, opened(case, data), lite0)
    page = view.analysis(case.chosen)
    with zipfile.ZipFile(io.BytesIO(files.zip_all(view.whole_analysis(case.chosen)(), data))) as archive:
        manifest = json.loads(archive.read("cat/manifest.json"))
        report = archive.read("cat/report.html").decode()
    assert essence(manifest) == essence(files.manifest(page))
    assert f"{page.threshold:.2f}: {page.coverage:.1%} of the picture, {len(page.boxes)} box" in report


def test_a_picture_has_the_regions_of_its_working_copy(cat: Image.Image, lite0: Any) -> None:
    case = Case(901, 1001)
    picture = opened(case, file_of(case, cat))
    whole = picture.whole()
    class_maps = compute_class_maps(whole, lite0, SCALES)
    one, other = label_regions(whole, class_maps), label_regions(picture.working, class_maps)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.segments and one.segments == other.resized(whole.height, whole.width).segments


def test_an_analysis_takes_the_fine_map_of_a_picture_or_of_its_working_copy(
    cat: Image.Image, lite0: Any
) -> None:
    image = read_image(file_of(Case(901, 1001), cat))
    first = analyse(image, "cat", lite0, SCALES)
    assert first.fine.shape == (901, 1001)
    for known in (first.fine, first.at_working_size.fine):
        again: Analysis = replace(first, make_fine=lambda known=known: known)
        np.testing.assert_array_equal(again.fine, first.fine)
        assert (again.threshold, again.boxes) == (first.threshold, first.boxes)
