"""The report figure: what it shows, in every shape, and that nothing leaves the sheet."""

from types import SimpleNamespace

import numpy as np
import pytest

from fcn_core.export.figure import report_figure
from fcn_core.images.read import RGBImage
from fcn_core.maps.heatmap import Heatmap, combine
from fcn_core.maps.region import boxes_of, threshold_mask


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
    made = SimpleNamespace(
        image=RGBImage(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), name, "0" * 64),
        model=SimpleNamespace(
            vocabulary="imagenet",
            title="EfficientNet-Lite2",
            engine="openvino",
            output_stride=32,
            weights=weights,
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
        coverage=mask.mean(),
        marked=True,
        boxes=boxes_of(mask, fine),
    )
    made.at_working_size = made
    return made


def drawn(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def written(figure):
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    bars = [axes for axes in figure.axes if axes.get_ylabel()]
    return [*texts, *(text for axes in bars for text in (axes.yaxis.label, *axes.get_yticklabels()))]


def texts(figure):
    return " | ".join(text.get_text() for text in written(figure))


def test_the_report_names_everything():
    figure = report_figure(analysis())
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


def test_probability_maps_are_drawn_cell_by_cell_from_0_to_1():
    figure = report_figure(analysis())
    maps = [image for axes in figure.axes for image in axes.get_images() if image.get_array().ndim == 2][:4]
    assert [image.get_array().shape for image in maps] == [(2, 3), (4, 6), (4, 6), (4, 6)]
    assert all(image.get_clim() == (0, 1) and image.get_interpolation() == "nearest" for image in maps)


def test_evidence_has_its_own_range():
    record = analysis(kind="evidence")
    figure = report_figure(record)
    top = max(heatmap.peak for heatmap in record.heatmaps.values())
    maps = [image for axes in figure.axes for image in axes.get_images() if image.get_array().ndim == 2][:4]
    assert all(image.get_clim() == pytest.approx((0, top)) for image in maps)
    assert len(figure.axes) == 8  # and a second colour bar


def test_random_weights_are_named():
    assert "random weights" in texts(report_figure(analysis(weights="random")))


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
    pixels = drawn(report_figure(analysis(**case), dpi=50))
    assert pixels.shape[1] == 700
    assert pixels.std() > 10


def test_an_analysis_without_an_object_is_drawn():
    record = analysis()
    record.mask[:] = False
    record.coverage = 0.0
    record.boxes = ()
    record.fine[:] = 0
    for name, heatmap in record.heatmaps.items():
        record.heatmaps[name] = Heatmap(np.zeros_like(heatmap.values), "probability")
    figure = report_figure(record, cmap="cividis", dpi=50)
    assert "0 boxes, 0% of the picture" in texts(figure)
    assert drawn(figure).std() > 5


@pytest.mark.parametrize("kind", ["probability", "evidence"])
@pytest.mark.parametrize(("height", "width"), [(60, 90), (20, 600), (400, 30)])
def test_all_text_of_the_report_stays_on_the_sheet(kind, height, width):
    grids = ((7, 10), (13, 20), (25, 40), (50, 80))
    figure = report_figure(
        analysis(name="x" * 200, grids=grids, kind=kind, height=height, width=width, weights="random")
    )
    figure.canvas.draw()
    margin = 0.1 * figure.dpi
    for text in written(figure):
        extent = text.get_window_extent()
        assert extent.x0 >= margin and extent.y0 >= margin, text
        assert extent.x1 <= figure.bbox.x1 - margin and extent.y1 <= figure.bbox.y1 - margin, text
