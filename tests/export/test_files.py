"""Exported files: each is opened again, and the recipes are run."""

import ast
import base64
import io
import json
import re
import shlex
import zipfile
from dataclasses import replace
from html.parser import HTMLParser

import nbformat
import numpy as np
import pytest
import skimage.data
import skimage.draw
from PIL import Image

from fcn_core.cli.entry import main
from fcn_core.export import files
from fcn_core.export.coco import coco_json
from fcn_core.images.read import image_from_array, read_image
from fcn_core.images.scales import parse_scales
from fcn_core.maps.region import boxes_of
from fcn_core.pipeline import Analysis, analyse
from tests.waiting import PATIENCE

EVIL = "<script>alert(1)</script> \"q\" 'r' `b` $(touch x) [red].png"


@pytest.fixture(scope="module")
def picture() -> bytes:
    """The bytes of a picture file, like an upload."""
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()[:400]).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def analysis(picture, lite0) -> Analysis:
    image = read_image(picture, name="space.jpg")
    scales = parse_scales("200x320,120x160")
    return analyse(image, "space shuttle", lite0, scales, fit="exact", always_mark=True)


@pytest.fixture(scope="module")
def random_analysis(random_resnet50) -> Analysis:
    image, scales = image_from_array(skimage.data.chelsea(), "cat"), parse_scales("96x128")
    return analyse(image, "cat", random_resnet50, scales, kind="evidence", snap=False, threshold=0.5)


@pytest.fixture(scope="module")
def folder(analysis, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "deep" / "space"
    assert {p.name for p in files.write_folder(analysis, folder)} == {p.name for p in folder.iterdir()}
    return folder


def test_the_manifest_has_what_the_contract_names(analysis, folder):
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["schema"] == files.SCHEMA
    assert manifest["image"] == {
        "name": "space.jpg",
        "sha256": analysis.image.sha256,
        "width": 512,
        "height": 400,
    }
    assert {"name", "weights_sha256", "engine", "output_stride"} <= set(manifest["model"])
    assert len(manifest["model"]["weights_sha256"]) == 64
    assert manifest["synset"] == {
        "wnid": "n04266014",
        "words": ["space shuttle"],
        "class_ids": list(analysis.class_ids),
    }
    assert (manifest["map"], manifest["fit"]) == ("probability", "exact")
    coarse, finer = manifest["scales"]
    assert set(coarse) >= {"requested", "input", "grid", "peak", "mean", "seconds"}
    assert (coarse["requested"], coarse["input"], coarse["grid"]) == ("120x160", [120, 160], [4, 5])
    assert (finer["requested"], finer["input"], finer["grid"]) == ("200x320", [200, 320], [7, 10])
    assert manifest["boxes"] == [[b.x0, b.y0, b.x1, b.y1] for b in analysis.boxes]
    assert manifest["threshold"] == analysis.threshold
    assert manifest["seconds"] > 0 < manifest["peak_rss_mb"]
    assert "numpy" in manifest["versions"]


def test_saved_maps_load_unchanged(analysis, folder):
    with np.load(folder / "maps.npz", allow_pickle=False) as maps:
        found = dict(maps)
    assert set(found) == {"120x160", "200x320", "arithmetic", "geometric", "fine"}
    assert {a.dtype for a in found.values()} == {np.dtype(np.float32)}
    assert found["120x160"].shape == (4, 5)
    assert found["200x320"].shape == found["arithmetic"].shape == found["geometric"].shape == (7, 10)
    assert found["fine"].shape == (400, 512)
    for name, expected in files.arrays(analysis).items():
        np.testing.assert_array_equal(found[name], expected)
    np.testing.assert_array_equal(found["arithmetic"], analysis.arithmetic.values)


def test_exported_pictures_have_the_size_of_the_input_and_the_mask_is_binary(analysis, folder):
    with Image.open(folder / "mask.png") as mask:
        pixels = np.asarray(mask)
    np.testing.assert_array_equal(pixels, np.where(analysis.mask, 255, 0))
    assert pixels.dtype == np.uint8
    with Image.open(folder / "overlay.png") as overlay, Image.open(folder / "figure.png") as figure:
        assert overlay.size == (512, 400)
        assert figure.size[0] > 1000
        for png in (overlay, figure):
            png.load()
            assert png.info["Description"].endswith("imagenet weights")


def test_writing_a_folder_again_replaces_all_files_and_leaves_no_partial_ones(
    random_analysis, folder, tmp_path
):
    for _ in range(2):
        files.write_folder(random_analysis, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(files.FILES)
    assert json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["map"] == "evidence"


def test_an_interrupted_write_leaves_no_manifest(analysis, tmp_path, monkeypatch):
    files.write_folder(analysis, tmp_path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "FILES", {**files.FILES, "overlay.png": full})
    with pytest.raises(OSError, match="No space"):
        files.write_folder(analysis, tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_random_weights_are_named_in_every_file(random_analysis, analysis):
    for name, data in _everything(random_analysis).items():
        assert _says(name, data), name
    for name, data in _everything(analysis).items():
        assert not _says(name, data), name
    drawn = np.asarray(Image.open(io.BytesIO(files.overlay_png(random_analysis)))).astype(int)
    clean = replace(random_analysis, model=replace(random_analysis.model, weights="imagenet"))
    plain = np.asarray(Image.open(io.BytesIO(files.overlay_png(clean)))).astype(int)
    assert np.abs(drawn - plain)[-40:].max() > 100
    assert np.abs(drawn - plain)[:-40].max() == 0


def _everything(analysis: Analysis) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(files.zip_all(analysis))) as archive:
        assert archive.testzip() is None
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def _says(name: str, data: bytes) -> bool:
    if name.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return b"random weights" in archive.comment
    if name.endswith((".sh", ".py")):
        return b"--weights none" in data or b"weights=None" in data
    return b"random weights" in data or b'"weights": "random"' in data


def test_the_archive_holds_all_files_in_one_folder(analysis, picture):
    with zipfile.ZipFile(io.BytesIO(files.zip_all(analysis, picture))) as archive:
        names = archive.namelist()
        assert {n.partition("/")[0] for n in names} == {"space"}
        expected = {*files.FILES, "report.html", "coco.json", "notebook.ipynb", "command.sh", "snippet.py"}
        assert {n.partition("/")[2] for n in names} == expected


def test_the_archive_is_made_of_one_file_after_another(analysis, monkeypatch):
    """They may be as large as the pixels of the picture."""
    alive, most = [0], [0]

    class Made(bytes):
        def __init__(self, _: bytes) -> None:
            alive[0] += 1
            most[0] = max(most[0], alive[0])

        def __del__(self) -> None:
            alive[0] -= 1

    monkeypatch.setattr(files, "FILES", {f"{i}.png": lambda _: Made(b"pixels") for i in range(4)})
    files.zip_all(analysis)
    assert most == [1]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("dog.jpg", "dog"),
        ("a.b.jpeg", "a.b"),
        ("...jpg", "jpg"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot"),
        ("Grüße 犬.png", "Grüße 犬"),
        ("", "picture"),
        ("..", "picture"),
        ("a\nb\x1b[31m.png", "ab[31m"),
        ("x" * 300 + ".png", "x" * 116),
    ],
)
def test_file_names_are_safe(name, stem):
    assert files.file_stem(name) == stem


# COCO


def _mask_analysis(analysis: Analysis, mask: np.ndarray) -> Analysis:
    fine = mask.astype(np.float32)
    image = image_from_array(np.zeros((*mask.shape, 3), np.uint8), "mask.png")
    changed = replace(analysis, image=image, make_fine=lambda: fine)
    vars(changed).update(mask=mask, boxes=boxes_of(mask, fine, min_share=0))  # before they are computed
    return changed


def _decoded(segmentation, height: int, width: int) -> np.ndarray:
    """Pixels of a COCO segmentation, by its definition."""
    if isinstance(segmentation, dict):
        assert segmentation["size"] == [height, width]
        counts = segmentation["counts"]
        assert sum(counts) == height * width
        assert all(c > 0 for c in counts[1:])
        inside = np.arange(len(counts)) % 2 == 1
        return np.repeat(inside, counts).reshape(width, height).T
    mask = np.zeros((height, width), bool)
    for polygon in segmentation:
        x, y = np.array(polygon[::2]), np.array(polygon[1::2])
        mask |= skimage.draw.polygon2mask((height, width), np.column_stack((y, x)) - 0.5)
    return mask


def _shapes() -> dict[str, np.ndarray]:
    blank = np.zeros((40, 60), bool)
    square, ring, corner, nested, full, edge = (blank.copy() for _ in range(6))
    square[5:15, 10:30] = True
    ring[5:25, 10:40] = True
    ring[10:20, 20:30] = False
    corner[0:5, 0:5] = corner[5:9, 5:9] = True  # connected at a corner only
    nested[2:38, 2:50] = True
    nested[6:30, 6:40] = False
    nested[10:20, 10:20] = True  # a region of its own within the other's box
    full[:] = True
    edge[:, 20:22] = edge[0:10, 22:30] = True  # runs that continue in the next column
    edge[3:5, 25:27] = False
    blobs = np.random.default_rng(3).random((40, 60)) < 0.45
    return {k: v for k, v in locals().items() if k != "blank"}


@pytest.mark.parametrize("shape", sorted(_shapes()))
def test_coco_annotations_cover_exactly_the_mask(analysis, shape):
    mask = _shapes()[shape]
    data = json.loads(coco_json(_mask_analysis(analysis, mask)))
    height, width = mask.shape
    union = np.zeros_like(mask)
    for annotation in data["annotations"]:
        covered = _decoded(annotation["segmentation"], height, width)
        assert annotation["area"] == covered.sum()
        rows, columns = np.nonzero(covered)
        x, y, w, h = annotation["bbox"]
        assert (x, y, x + w, y + h) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert not (union & covered).any()
        union |= covered
    np.testing.assert_array_equal(union, mask)


def test_coco_names_the_picture_and_the_synset(analysis):
    data = json.loads(coco_json(analysis))
    (image,) = data["images"]
    (category,) = data["categories"]
    assert (image["file_name"], image["width"], image["height"]) == ("space.jpg", 512, 400)
    assert (category["name"], category["wnid"]) == ("space shuttle", "n04266014")
    assert len(data["annotations"]) == len(analysis.boxes) > 0
    for annotation, box in zip(data["annotations"], analysis.boxes, strict=True):
        assert annotation["bbox"] == [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0]
        assert annotation["area"] == box.area
        assert annotation["score"] == pytest.approx(box.peak)
        assert (annotation["image_id"], annotation["category_id"], annotation["iscrowd"]) == (1, 1, 0)


def test_coco_without_a_box_is_still_a_data_set(analysis):
    data = json.loads(coco_json(_mask_analysis(analysis, np.zeros((10, 10), bool))))
    assert data["annotations"] == []


# HTML


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", ["space.jpg", EVIL])
def test_the_report_loads_nothing_and_escapes_names(analysis, name):
    # clean_name would change this name.
    evil = replace(analysis, image=replace(analysis.image, name=name))
    html = files.html_report(evil).decode()
    page = _Page(html)
    kinds = {tag for tag, _ in page.tags}
    assert not kinds & {"script", "link", "iframe", "object", "embed", "form", "b"}
    for tag, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes), tag
        for key in ("src", "href", "action", "srcset"):
            assert (attributes.get(key) or "data:image/").startswith("data:image/")
    assert "url(" not in html
    assert "@import" not in html
    assert name in page.text
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 2 + len(analysis.heatmaps) + 2 + 1
    for attributes in images:
        assert attributes["alt"]
        data = base64.b64decode((attributes["src"] or "").partition("base64,")[2])
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.size == (int(attributes["width"] or 0), int(attributes["height"] or 0))
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    for key, heatmap in analysis.heatmaps.items():
        assert f"{key}: {heatmap.grid[0]} × {heatmap.grid[1]} cells, peak {heatmap.peak:.3f}" in page.text


def test_the_report_of_a_large_picture_stays_small(analysis):
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 3000, 3), dtype=np.uint8)
    fine = np.zeros(pixels.shape[:2], np.float32)
    large = replace(analysis, image=image_from_array(pixels, "noise"), make_fine=lambda: fine)
    assert len(files.html_report(large)) < 3_000_000


# Recipes


def test_the_command_line_makes_the_same_maps(analysis, picture, tmp_path, monkeypatch, capsys):
    (tmp_path / analysis.image.name).write_bytes(picture)
    monkeypatch.chdir(tmp_path)
    _run(files.command_line(analysis))
    assert "Traceback" not in capsys.readouterr().err
    _same_maps(analysis, tmp_path / "out" / "space" / "maps.npz")
    mask = np.asarray(Image.open(tmp_path / "out" / "space" / "mask.png")) > 0
    np.testing.assert_array_equal(mask, analysis.mask)


def test_every_choice_is_in_the_command_line_and_names_are_quoted(random_analysis, tmp_path, monkeypatch):
    path = tmp_path / "it's &calc& (1); -rf.png"
    Image.fromarray(skimage.data.chelsea()).save(path)
    command = files.command_line(random_analysis, str(path), out=str(tmp_path / "a b"))
    _run(command)
    (written,) = (tmp_path / "a b").iterdir()
    _same_maps(random_analysis, written / "maps.npz")
    assert json.loads((written / "manifest.json").read_text(encoding="utf-8"))["model"]["weights"] == "random"
    monkeypatch.chdir(tmp_path)
    assert "./-x.png" in shlex.split(files.command_line(random_analysis, "-x.png"))


def test_recipes_leave_the_threshold_to_the_program_unless_it_was_chosen(analysis, random_analysis):
    """A number would cut the map as it is, without leaving unsure parts out."""
    for made, word, value in ((analysis, "auto", "'auto'"), (random_analysis, "0.5", "0.5")):
        words = shlex.split(files.command_line(made))
        assert words[words.index("--threshold") + 1] == word
        assert f"threshold={value}," in files.python_snippet(made)


def _run(command: str) -> None:
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "fcn_core"]
    assert main(words[3:]) == 0


def _same_maps(analysis: Analysis, path) -> None:
    with np.load(path) as maps:
        for name, expected in files.arrays(analysis).items():
            np.testing.assert_allclose(maps[name], expected, atol=1e-5, err_msg=name)


def test_the_snippet_reproduces_the_maps(analysis, picture, tmp_path, monkeypatch, capsys):
    (tmp_path / "space.jpg").write_bytes(picture)
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(files.python_snippet(analysis), scope)  # noqa: S102
    result = scope["result"]
    np.testing.assert_allclose(result.fine, analysis.fine, atol=1e-5)
    assert result.boxes[0].x0 == analysis.boxes[0].x0
    assert str(analysis.boxes[0].x0) in capsys.readouterr().out


@pytest.mark.parametrize("with_file", [True, False])
def test_a_notebook_is_valid_and_contains_the_picture(analysis, picture, with_file):
    data = files.notebook(analysis, picture if with_file else None)
    book = nbformat.reads(data.decode(), as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)
    embedded = re.search(r'data = """\n(.*)\n"""', book.cells[1].source, re.DOTALL)
    inside = base64.b64decode(embedded[1])
    assert inside == picture if with_file else inside.startswith(b"\x89PNG")
    np.testing.assert_array_equal(read_image(inside).pixels, analysis.image.pixels)


def test_a_notebook_runs_unchanged(analysis, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    book = nbformat.reads(files.notebook(analysis).decode(), as_version=4)
    values = "import numpy as np; np.savez('maps', fine=result.fine, arithmetic=result.arithmetic.values)"
    book.cells.append(nbformat.v4.new_code_cell(values))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel chooses its own
    NotebookClient(
        book, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    with np.load(tmp_path / "maps.npz") as maps:
        np.testing.assert_allclose(maps["fine"], analysis.fine, atol=1e-5)
        np.testing.assert_allclose(maps["arithmetic"], analysis.arithmetic.values, atol=1e-5)
    pictures = [
        o for c in book.cells if c.cell_type == "code" for o in c.outputs if "image/png" in o.get("data", {})
    ]
    assert len(pictures) == 3


def test_a_hostile_name_stays_a_string_in_notebook_and_snippet(analysis):
    evil = replace(analysis, image=replace(analysis.image, name="'''\"\"\"\\ `x` <img src=x onerror=y>.png"))
    book = json.loads(files.notebook(evil))
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            ast.parse(source)
        else:
            assert "<img" not in source.partition("```")[0]
    tree = ast.parse(files.python_snippet(evil))
    assert evil.image.name in {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}


@pytest.mark.parametrize("always", [False, True])
def test_exports_ask_to_mark_in_any_case_only_if_the_analysis_did(analysis, always):
    asked = replace(analysis, options=replace(analysis.options, always_mark=always))
    assert ("--always-mark" in files.command_line(asked).split()) is always
    cells = json.loads(files.notebook(asked))["cells"]
    for code in (files.python_snippet(asked), "".join(line for cell in cells for line in cell["source"])):
        assert ("always_mark=True" in code) is always


def test_the_manifest_says_whether_the_synset_is_there(analysis):
    manifest = files.manifest(analysis)
    assert manifest["presence"] == analysis.presence
    assert manifest["present"] is analysis.present
