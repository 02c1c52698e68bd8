import base64
import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image
from skimage.color import deltaE_ciede2000

from fcn_core import render
from fcn_core.maps.region import Box
from fcn_core.render import colours
from tests.render.vision import VISION, seen
from tests.waiting import PATIENCE


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


# --- colours


@pytest.mark.parametrize("cmap", render.COLOUR_MAPS)
def test_colours_are_matplotlibs(cmap):
    values = np.linspace(-0.2, 1.2, 600, dtype=np.float32).reshape(20, 30)
    expected = matplotlib.colormaps[cmap](np.clip(values, 0, 1), bytes=True)[..., :3]
    found = render.colourise(values, 0, 1, cmap)
    assert found.dtype == np.uint8
    assert (found != expected).any(axis=-1).mean() < 0.01  # rounding at the border of two colours
    assert np.abs(found.astype(int) - expected).max() <= 16


def test_the_caller_gives_the_range():
    ends = matplotlib.colormaps["viridis"]([0, 255], bytes=True)[:, :3]
    found = render.colourise([[-5.0, 2.0, 4.0, 99.0]], vmin=2, vmax=4)
    assert found[0].tolist() == [ends[0].tolist(), ends[0].tolist(), ends[1].tolist(), ends[1].tolist()]
    low = render.colourise([[0.01, 0.02]])
    assert np.abs(low.astype(int) - ends[0]).max() < 12  # small values stay dark


def test_nan_is_grey():
    found = render.colourise([[np.nan, 0.5]])
    assert tuple(found[0, 0]) == render.NO_DATA
    assert tuple(found[0, 1]) != render.NO_DATA


def test_a_range_of_no_width_has_two_colours():
    found = render.colourise([[0.0, 0.1]], 0, 0, "gray")
    assert found[0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_colouring_in_blocks_leaves_no_seams(monkeypatch):
    values = np.random.default_rng(0).random((50, 40))
    whole = render.colourise(values)
    blended = render.overlay(whole, whole[::-1], values)
    monkeypatch.setattr(colours, "_BLOCK_PIXELS", 120)
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
def test_what_cannot_be_drawn_is_an_error(call, words):
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
def test_an_impossible_opacity_is_an_error(photo, opacity):
    with pytest.raises(ValueError, match="opacity"):
        render.overlay(photo, photo, opacity)


def test_overlay_requires_one_size(photo):
    with pytest.raises(ValueError, match="shape"):
        render.overlay(photo, photo[:-1])


def test_a_signed_map_has_two_colours_and_leaves_the_photo_at_zero(photo):
    values = np.full(photo.shape[:2], np.nan, np.float32)
    values[:20], values[20:40, :30], values[20:40, 30:60] = 0, 2, -9
    values[40, 0] = 1
    found = render.overlay_signed(photo, values, 2, opacity=1)
    assert np.array_equal(found[:20], photo[:20]), "zero"
    assert np.array_equal(found[41:], photo[41:]), "NaN"
    above, below = render.DIVERGING
    assert (found[20:40, :30] == above).all() and (found[20:40, 30:60] == below).all()
    assert np.abs(found[40, 0] - (photo[40, 0] + np.array(above, float)) / 2).max() <= 0.5
    other = render.overlay_signed(np.zeros_like(photo), values, 2, opacity=0.5)
    assert np.abs(other[20, 0] - np.array(above) / 2).max() <= 0.5


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("level", [20, 128, 235])
def test_every_kind_of_colour_vision_tells_the_signs_apart(vision, level):
    """By CIEDE2000, at half and at full opacity, over a dark, a middle and a light photo; in grey by the lightness."""
    plain = np.full((1, 4, 3), level, np.uint8)
    found = render.overlay_signed(plain, np.array([[-1.0, -0.5, 0.5, 1.0]]), 1.0)
    low, lower, higher, high = seen(found[0], vision)
    assert deltaE_ciede2000(low, high) > 30 and deltaE_ciede2000(lower, higher) > 15
    assert high[0] + 12 < low[0], "grey: the orange is lighter"


@pytest.mark.parametrize("most", [0, -1, np.nan, np.inf])
def test_a_signed_map_needs_a_range(photo, most):
    with pytest.raises(ValueError, match="above 0"):
        render.overlay_signed(photo, np.zeros(photo.shape[:2]), most)


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


def test_contours_have_a_casing(photo):
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


def test_the_legend_states_its_range():
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
    assert render.short_number(value) == text


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


def test_a_data_uri_contains_the_file():
    data = render.encode(np.zeros((2, 3, 3), np.uint8), "webp")
    head, _, body = render.data_uri(data, "webp").partition(",")
    assert head == "data:image/webp;base64"
    assert base64.b64decode(body, validate=True) == data


@pytest.mark.parametrize(
    ("head", "rows", "expected"),
    [
        (["a", "<b>"], [["x", "1 & 2"]], "<thead><tr><th>a</th><th class=\"n\">&lt;b&gt;</th></tr></thead>"),
        (["a"], [["1"], ["x"]], "<tbody><tr><td>1</td></tr><tr><td>x</td></tr></tbody>"),
        (["a"], [["\N{MINUS SIGN}1"], [""]], '<tr><td class="n">\N{MINUS SIGN}1</td></tr><tr><td class="n"></td></tr>'),
        (["", ""], [["a", "b"]], "<table><tbody><tr><td>a</td><td>b</td></tr></tbody></table>"),
        (["a"], [[Markup("<b>x</b>")]], "<td><b>x</b></td>"),
        (["", "a"], [["x", "y"]], "<thead><tr><td></td><th>a</th></tr></thead>"),
        (["a"], [], "<thead><tr><th>a</th></tr></thead><tbody></tbody>"),
    ],
)  # fmt: skip
def test_tables_escape_text_and_mark_columns_of_numbers(head, rows, expected):
    assert expected in render.html_table(head, rows)


def test_a_table_has_the_class_it_is_given():
    assert render.html_table(["a"], [], 'x" y').startswith('<table class="x&#34; y">')


def test_rendering_needs_no_window_and_loads_matplotlib_late():
    program = (
        "import sys, fcn_core.render as r\n"
        "assert 'matplotlib' not in sys.modules\n"
        "r.legend()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert not {'tensorflow', 'keras', 'openvino'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)
