import io
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from PIL import Image

from fcn_core import render
from fcn_core.images.read import RGBImage
from fcn_core.maps.heatmap import Heatmap, combine
from fcn_core.maps.region import Box, boxes_of, threshold_mask
from tests.waiting import PATIENCE


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def analysis(
    height=60, width=90, grids=((2, 3), (4, 6)), kind="probability", weights="imagenet", name="photo.jpg"
):
    rng = np.random.default_rng(1)
    top = 1.0 if kind == "probability" else 12.5
    heatmaps = {
        f"{32 * h}x{32 * w}": Heatmap((rng.random((h, w)) * top).astype(np.float32), kind) for h, w in grids
    }
    fine = np.zeros((height, width), np.float32)
    fine[height // 4 : height // 2, width // 3 : width // 2] = 0.9
    mask = threshold_mask(fine, 0.5)
    return SimpleNamespace(
        image=RGBImage(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), name, "0" * 64),
        model=SimpleNamespace(
            title="EfficientNet-Lite2", engine="openvino", output_stride=32, weights=weights
        ),
        synset=SimpleNamespace(wnid="n02084071", words=("dog", "domestic dog")),
        class_ids=(151, 152),
        kind=kind,
        fit="aspect",
        class_maps={name: SimpleNamespace(seconds=0.25) for name in heatmaps},
        heatmaps=heatmaps,
        arithmetic=combine(list(heatmaps.values())),
        geometric=combine(list(heatmaps.values()), power=0),
        fine=fine,
        threshold=0.5,
        mask=mask,
        boxes=boxes_of(mask, fine),
    )


def drawn(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def texts(figure):
    return " | ".join(text.get_text() for text in figure.texts)


# --- colours


@pytest.mark.parametrize("cmap", render.COLOUR_MAPS)
def test_colours_are_matplotlibs(cmap):
    values = np.linspace(-0.2, 1.2, 600, dtype=np.float32).reshape(20, 30)
    expected = matplotlib.colormaps[cmap](np.clip(values, 0, 1), bytes=True)[..., :3]
    found = render.colourise(values, 0, 1, cmap)
    assert found.dtype == np.uint8
    assert (found != expected).any(axis=-1).mean() < 0.01  # rounding at the border of two colours
    assert np.abs(found.astype(int) - expected).max() <= 16


def test_the_range_is_the_callers():
    ends = matplotlib.colormaps["viridis"]([0, 255], bytes=True)[:, :3]
    found = render.colourise([[-5.0, 2.0, 4.0, 99.0]], vmin=2, vmax=4)
    assert found[0].tolist() == [ends[0].tolist(), ends[0].tolist(), ends[1].tolist(), ends[1].tolist()]
    low = render.colourise([[0.01, 0.02]])
    assert np.abs(low.astype(int) - ends[0]).max() < 12  # small values stay dark


def test_unknown_values_are_grey():
    found = render.colourise([[np.nan, 0.5]])
    assert tuple(found[0, 0]) == render.NO_DATA
    assert tuple(found[0, 1]) != render.NO_DATA


def test_a_range_of_no_width_has_two_colours():
    found = render.colourise([[0.0, 0.1]], 0, 0, "gray")
    assert found[0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_colouring_in_bands_leaves_no_seams(monkeypatch):
    values = np.random.default_rng(0).random((50, 40))
    whole = render.colourise(values)
    blended = render.overlay(whole, whole[::-1], values)
    monkeypatch.setattr(render, "_BLOCK_PIXELS", 120)
    assert np.array_equal(render.colourise(values), whole)
    assert np.array_equal(render.overlay(whole, whole[::-1], values), blended)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: render.colourise([1.0]), "two dimensions"),
        (lambda: render.colourise([[1.0]], 1, 0), "vmin <= vmax"),
        (lambda: render.colourise([[1.0]], 0, np.nan), "finite range"),
        (lambda: render.colourise([[1.0]], cmap="rainbow"), "viridis, cividis"),
        (lambda: render.encode(np.zeros((2, 2), np.uint8), "gif"), "png"),
        (lambda: render.encode(np.zeros((2, 2))), "float64"),
        (lambda: render.encode(np.zeros((2, 2, 2), np.uint8)), r"\(2, 2, 2\)"),
        (lambda: render.draw_boxes(np.zeros((2, 2), np.uint8), []), "uint8"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# --- overlays


def test_opacity_goes_from_photo_to_colours(photo):
    colours = 255 - photo
    assert np.array_equal(render.overlay(photo, colours, 0), photo)
    assert np.array_equal(render.overlay(photo, colours, 1), colours)
    half = render.overlay(photo, colours, 0.5)
    assert np.abs(half.astype(float) - 127.5).max() <= 0.5


def test_opacity_may_differ_from_pixel_to_pixel(photo):
    opacity = np.zeros(photo.shape[:2])
    opacity[:, 45:] = 1
    found = render.overlay(photo, 255 - photo, opacity)
    assert np.array_equal(found[:, :45], photo[:, :45])
    assert np.array_equal(found[:, 45:], 255 - photo[:, 45:])


@pytest.mark.parametrize("opacity", [-0.1, 1.1, np.nan, np.zeros((3, 3))])
def test_impossible_opacity_is_refused(photo, opacity):
    with pytest.raises(ValueError, match="opacity"):
        render.overlay(photo, photo, opacity)


def test_overlay_wants_one_size(photo):
    with pytest.raises(ValueError, match="shape"):
        render.overlay(photo, photo[:-1])


def test_the_mask_keeps_the_object_and_veils_the_rest(photo):
    mask = np.zeros(photo.shape[:2], bool)
    mask[10:30, 20:50] = True
    found = render.draw_mask(photo, mask)
    assert np.array_equal(found[mask], photo[mask])
    assert found[~mask].mean() < 0.6 * photo[~mask].mean()
    assert np.array_equal(render.draw_mask(photo, mask, opacity=0), photo)


def test_boxes_are_drawn_inside_their_pixels_and_leave_the_photo_alone(photo):
    before = photo.copy()
    found = render.draw_boxes(photo, [Box(20, 10, 50, 40, 900, 1.0)], width=2)
    changed = np.argwhere((found != photo).any(axis=-1))
    assert changed.min(axis=0).tolist() == [10, 20]
    assert changed.max(axis=0).tolist() == [39, 49]
    assert tuple(found[25, 21]) == render.BOX_COLOUR
    assert tuple(found[25, 20]) == render.CASING
    assert np.array_equal(found[20:30, 30:40], photo[20:30, 30:40])
    assert np.array_equal(photo, before)


def test_a_box_of_one_pixel_can_be_drawn(photo):
    assert render.draw_boxes(photo, [Box(5, 5, 6, 6, 1, 1.0)]).shape == photo.shape


def test_contours_are_cased(photo):
    outline = np.array([[20, 10], [70, 10], [70, 50], [20, 50]], float)
    found = render.draw_contours(photo, [outline], width=3)
    assert tuple(found[10, 45]) == render.CONTOUR_COLOUR
    column = found[5:16, 45]
    assert (column == render.CASING).all(axis=-1).sum() >= 2
    assert np.array_equal(found[25:35, 40:50], photo[25:35, 40:50])


def test_nothing_to_draw_is_the_photo(photo):
    assert np.array_equal(render.draw_boxes(photo, []), photo)
    assert np.array_equal(render.draw_contours(photo, []), photo)


# --- legend


@pytest.mark.parametrize("dark", [False, True])
def test_the_legend_holds_the_whole_colour_map(dark):
    found = render.legend(0, 1, "viridis", "probability, fixed 0 to 1", dark=dark)
    colours = {tuple(c) for c in found.reshape(-1, 3).tolist()}
    table = {tuple(c) for c in render.colour_table("viridis").tolist()}
    assert len(table - colours) < 5
    assert found.shape[1] == 360
    assert bool(found[0].mean() < 60) is dark


def test_the_legend_says_its_range():
    assert not np.array_equal(render.legend(0, 1), render.legend(0, 0.5))
    assert not np.array_equal(render.legend(label="a"), render.legend(label="b"))
    assert render.legend(label="a label that is far too long for a narrow bar", width=120).shape[1] == 120


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (0.5, "0.5"),
        (12.3, "12.3"),
        (0.0312, "0.031"),
        (0.0031, "0.0031"),
        (4e-7, "4e-07"),
    ],
)
def test_numbers_are_short(value, text):
    assert render._number(value) == text


# --- encoding


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
def test_encoded_pictures_open_again(format):
    gradient = np.stack([np.tile(np.arange(90, dtype=np.uint8), (60, 1))] * 3, axis=-1)
    data = render.encode(gradient, format, quality=95)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == format.upper()
        assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - gradient).mean() < 2


def test_png_is_exact_and_masks_become_black_and_white(photo):
    with Image.open(io.BytesIO(render.encode(photo))) as picture:
        assert np.array_equal(np.asarray(picture), photo)
    mask = photo[..., 0] > 127
    with Image.open(io.BytesIO(render.encode(mask))) as picture:
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), mask * 255)


def test_jpeg_drops_transparency(photo):
    rgba = np.concatenate([photo, photo[..., :1]], axis=-1)
    with Image.open(io.BytesIO(render.encode(rgba, "jpeg"))) as picture:
        assert picture.mode == "RGB"


# --- the report figure


def test_the_report_names_everything():
    figure = render.report_figure(analysis())
    words = texts(figure)
    for part in (
        "dog, domestic dog", "n02084071, 2 ImageNet classes", "probability map", "EfficientNet-Lite2", "photo.jpg",
        "64x96", "128x192", "2 × 3 cells", "4 × 6 cells", "arithmetic mean", "geometric mean", "peak", "range",
        "threshold 0.50, 1 box", "0.25 s",
    ):  # fmt: skip
        assert part in words
    assert words.count("+") == 1
    assert words.count("=") == 1
    assert "random" not in words
    assert len(figure.axes) == 7  # photo, fine map, two scales, two means, one colour bar


def test_the_report_shows_maps_cell_by_cell_between_nought_and_one():
    figure = render.report_figure(analysis())
    maps = [image for axes in figure.axes for image in axes.get_images() if image.get_array().ndim == 2][:4]
    assert [image.get_array().shape for image in maps] == [(2, 3), (4, 6), (4, 6), (4, 6)]
    assert all(image.get_clim() == (0, 1) and image.get_interpolation() == "nearest" for image in maps)


def test_evidence_has_a_range_of_its_own():
    record = analysis(kind="evidence")
    figure = render.report_figure(record)
    top = max(heatmap.peak for heatmap in record.heatmaps.values())
    maps = [image for axes in figure.axes for image in axes.get_images() if image.get_array().ndim == 2][:4]
    assert all(image.get_clim() == pytest.approx((0, top)) for image in maps)
    assert len(figure.axes) == 8  # and a second colour bar


def test_random_weights_are_named():
    assert "random weights" in texts(render.report_figure(analysis(weights="random")))


@pytest.mark.parametrize(
    "case",
    [
        {"grids": ((2, 3),)},
        {"grids": ((1, 1), (2, 3), (3, 4), (4, 6), (5, 7), (6, 9), (7, 10))},
        {"height": 400, "width": 30},
        {"height": 20, "width": 600},
        {"height": 1, "width": 1},
        {"height": 2500, "width": 1900},
        {"kind": "evidence", "grids": ((3, 3),)},
        {"name": "$\\alpha$ _^{ 写真 📷\n" + "x" * 300},
    ],
)
def test_every_shape_of_analysis_is_drawn(case):
    pixels = drawn(render.report_figure(analysis(**case), dpi=50))
    assert pixels.shape[1] == 700
    assert pixels.std() > 10


def test_nothing_found_is_drawn_too():
    record = analysis()
    record.mask[:] = False
    record.boxes = ()
    record.fine[:] = 0
    for name, heatmap in record.heatmaps.items():
        record.heatmaps[name] = Heatmap(np.zeros_like(heatmap.values), "probability")
    figure = render.report_figure(record, cmap="cividis", dpi=50)
    assert "0 boxes, 0% of the picture" in texts(figure)
    assert drawn(figure).std() > 5


def test_no_text_of_the_report_leaves_the_sheet():
    figure = render.report_figure(analysis(name="x" * 200, grids=((7, 10), (13, 20), (25, 40), (50, 80))))
    renderer = figure.canvas.get_renderer()
    for text in figure.texts:
        extent = text.get_window_extent(renderer)
        assert extent.x0 >= 0 and extent.y0 >= 0
        assert extent.x1 <= figure.bbox.x1 and extent.y1 <= figure.bbox.y1


def test_rendering_needs_no_window_and_loads_matplotlib_late():
    program = (
        "import sys, fcn_core.render as r\n"
        "assert 'matplotlib' not in sys.modules\n"
        "r.legend()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert not {'tensorflow', 'keras', 'openvino'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)
