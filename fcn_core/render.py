"""Arrays into pictures: colours, overlays, legends, outlines, the report figure.

Nothing here stretches a map behind the caller's back: every colour comes from an explicit range, and the
legend says which. Colour tables are matplotlib's, applied in NumPy; no figure is made for a map.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fcn_core.maps.region import contours_of
from fcn_core.system.folders import give_matplotlib_a_place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fcn_core.maps.region import Box
    from fcn_core.pipeline import Analysis

UInt8 = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Format = Literal["png", "webp", "jpeg"]

COLOUR_MAPS = ("viridis", "cividis", "magma", "gray", "jet")
"""Perceptually even and safe for colour-blind readers first; "jet" for comparison with older work."""

NO_DATA: Colour = (128, 128, 128)
"""Where a map is NaN."""

# From the palette of Okabe and Ito (2008), told apart with every kind of colour blindness; white stands out
# on all colour maps once it is cased in black.
BOX_COLOUR: Colour = (230, 159, 0)
CONTOUR_COLOUR: Colour = (255, 255, 255)
CASING: Colour = (0, 0, 0)

_INK, _MUTED, _WARNING = "#262730", "#6b6f7a", "#d55e00"
_REPORT_SIDE = 1800  # pixels of a picture that one panel of the report can show
_BLOCK_PIXELS = 1 << 20  # pictures are coloured and blended a band of rows at a time


@cache
def colour_table(cmap: str = "viridis") -> UInt8:
    """256 colours of a colour map, (256, 3) uint8, from the low end to the high.

    Raises
    ------
    ValueError
        If it is not one of `COLOUR_MAPS`.
    """
    if cmap not in COLOUR_MAPS:
        raise ValueError(f"Expected a colour map of {', '.join(COLOUR_MAPS)}. Received: {cmap!r}")
    give_matplotlib_a_place()
    import matplotlib

    table = np.array(matplotlib.colormaps[cmap](np.arange(256), bytes=True)[:, :3])
    table.flags.writeable = False
    return table


def colourise(values: npt.ArrayLike, vmin: float = 0.0, vmax: float = 1.0, cmap: str = "viridis") -> UInt8:
    """Colours of a map, as matplotlib would give them.

    Parameters
    ----------
    values : (H, W) array_like
        Values outside the range take the colour of its nearer end, NaN becomes `NO_DATA`.
    vmin, vmax : float
        Values of the lowest and the highest colour. Where they are equal, everything above is the highest.
    cmap : str
        One of `COLOUR_MAPS`.

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    array = np.asarray(values)
    if array.ndim != 2:
        raise ValueError(f"Expected a map of two dimensions. Received shape: {array.shape}")
    if not (math.isfinite(vmin) and math.isfinite(vmax)) or vmax < vmin:
        raise ValueError(f"Expected a finite range with vmin <= vmax. Received: {vmin} to {vmax}")
    table = colour_table(cmap)
    colours = np.empty((*array.shape, 3), np.uint8)
    for rows in _bands(array.shape):
        part = array[rows].astype(np.float32)
        unknown = np.isnan(part)
        if vmax > vmin:
            position = np.clip((part - np.float32(vmin)) * np.float32(256 / (vmax - vmin)), 0, 255)
        else:
            position = np.where(part > vmin, np.float32(255), np.float32(0))
        position[unknown] = 0
        np.take(table, position.astype(np.uint8), axis=0, out=colours[rows])
        colours[rows][unknown] = NO_DATA
    return colours


def overlay(photo: UInt8, colours: UInt8, opacity: float | npt.ArrayLike = 0.5) -> UInt8:
    """Blend colours over a photo.

    Parameters
    ----------
    photo, colours : (H, W, 3) uint8 ndarray
    opacity : float or (H, W) array_like
        0 shows the photo alone, 1 the colours alone; an array decides pixel by pixel.

    Returns
    -------
    (H, W, 3) uint8 ndarray
    """
    _check_photo(photo)
    if photo.shape != colours.shape:
        raise ValueError(f"Expected colours of the photo's shape {photo.shape}. Received: {colours.shape}")
    alpha = np.asarray(opacity, np.float32)
    if alpha.ndim not in (0, 2) or (alpha.ndim == 2 and alpha.shape != photo.shape[:2]):
        raise ValueError(f"Expected an opacity of shape () or {photo.shape[:2]}. Received: {alpha.shape}")
    if not bool((alpha >= 0).all() and (alpha <= 1).all()):
        raise ValueError("Expected an opacity from 0 to 1.")
    blended = np.empty_like(photo)
    for rows in _bands(photo.shape[:2]):
        share = alpha[rows, :, None] if alpha.ndim else alpha
        below = photo[rows].astype(np.float32)
        mixed = below + (colours[rows].astype(np.float32) - below) * share
        blended[rows] = np.rint(mixed, out=mixed)
    return blended


def draw_mask(photo: UInt8, mask: npt.NDArray[np.bool_], opacity: float = 0.7) -> UInt8:
    """Show a region by veiling everything else: outside the mask the photo turns grey and dark.

    Parameters
    ----------
    photo : (H, W, 3) uint8 ndarray
    mask : (H, W) bool ndarray
    opacity : float
        Of the veil, 0 to 1.
    """
    veil = np.empty_like(photo)
    for rows in _bands(photo.shape[:2]):
        grey = photo[rows] @ np.array([0.299, 0.587, 0.114], np.float32)
        veil[rows] = (grey * 0.3 + 8)[..., None]
    return overlay(photo, veil, np.where(mask, np.float32(0), np.float32(opacity)))


def draw_contours(
    photo: UInt8,
    contours: Iterable[npt.NDArray[np.floating[Any]]],
    colour: Colour = CONTOUR_COLOUR,
    width: int | None = None,
) -> UInt8:
    """Draw closed outlines, (n, 2) arrays of (x, y) as `region.contours_of` gives them, cased in black."""
    canvas, draw, line = _canvas(photo, width)
    paths = [[(x - 0.5, y - 0.5) for x, y in np.concatenate([c, c[:1]]).tolist()] for c in contours if len(c)]
    for thickness, ink in ((line + 2 * _casing(line), CASING), (line, colour)):
        for path in paths:
            draw.line(path, fill=ink, width=thickness, joint="curve" if thickness > 2 else None)
    return np.asarray(canvas)


def draw_boxes(
    photo: UInt8, boxes: Iterable[Box], colour: Colour = BOX_COLOUR, width: int | None = None
) -> UInt8:
    """Draw bounding boxes, their outer edge along the outermost pixels inside, cased in black."""
    canvas, draw, line = _canvas(photo, width)
    case = _casing(line)
    for box in reversed(tuple(boxes)):  # the largest last, on top
        frame = (box.x0, box.y0, box.x1 - 1, box.y1 - 1)
        draw.rectangle(frame, outline=CASING, width=line + 2 * case)
        inner = (frame[0] + case, frame[1] + case, frame[2] - case, frame[3] - case)
        if inner[0] <= inner[2] and inner[1] <= inner[3]:
            draw.rectangle(inner, outline=colour, width=line)
    return np.asarray(canvas)


def legend(
    vmin: float = 0.0,
    vmax: float = 1.0,
    cmap: str = "viridis",
    label: str = "",
    width: int = 360,
    dark: bool = False,
) -> UInt8:
    """Colour bar with the values at its ends and middle, and what they are.

    Parameters
    ----------
    vmin, vmax : float
        The range the colours stand for, as given to `colourise`.
    cmap : str
        One of `COLOUR_MAPS`.
    label : str
        What is shown, and how the range was chosen: "probability, fixed 0 to 1".
    width : int
        In pixels, at least 120.
    dark : bool
        Light writing on a dark ground.

    Returns
    -------
    (h, width, 3) uint8 ndarray
    """
    width = max(int(width), 120)
    size = max(11, min(round(width / 26), 28))
    font = _font(size)
    ground, ink = ((14, 17, 23), (250, 250, 250)) if dark else ((255, 255, 255), (38, 39, 48))
    side, bar, gap = size, round(size * 1.1), round(size * 0.4)
    top = size + 2 * gap if label else gap
    canvas = Image.new("RGB", (width, top + bar + gap + size + gap), ground)
    draw = ImageDraw.Draw(canvas)
    if label:
        draw.text((side, gap), _fitted(label, font, width - 2 * side), fill=ink, font=font, anchor="lt")
    inside = width - 2 * side
    table = colour_table(cmap)[np.linspace(0, 255, inside).round().astype(int)]
    canvas.paste(Image.fromarray(np.repeat(table[None], bar, axis=0)), (side, top))
    draw.rectangle((side - 1, top - 1, side + inside, top + bar), outline=ink)
    places = (
        (side, vmin, "lt"),
        (side + inside // 2, (vmin + vmax) / 2, "mt"),
        (side + inside - 1, vmax, "rt"),
    )
    for x, value, anchor in places:
        draw.text((x, top + bar + gap), _number(value), fill=ink, font=font, anchor=anchor)
    return np.asarray(canvas)


def encode(pixels: npt.NDArray[Any], format: Format = "png", quality: int = 90) -> bytes:
    """Encode a picture or a mask.

    Parameters
    ----------
    pixels : uint8 ndarray of shape (H, W), (H, W, 3) or (H, W, 4), or bool ndarray of shape (H, W)
        A bool mask becomes 0 and 255.
    format : "png", "webp" or "jpeg"
    quality : int
        1 to 100, for WebP and JPEG.

    Returns
    -------
    bytes
    """
    if format not in ("png", "webp", "jpeg"):
        raise ValueError(f"Expected format 'png', 'webp' or 'jpeg'. Received: {format!r}")
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise ValueError(
            f"Expected uint8 (H, W), (H, W, 3) or (H, W, 4). Received: {pixels.dtype} {pixels.shape}"
        )
    if format == "jpeg" and pixels.ndim == 3:
        pixels = pixels[..., :3]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    stream = io.BytesIO()
    if format == "png":
        picture.save(stream, "PNG", compress_level=4)
    elif format == "webp":
        picture.save(stream, "WEBP", quality=quality, method=2)
    else:
        picture.save(stream, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2)
    return stream.getvalue()


def report_figure(analysis: Analysis, cmap: str = "viridis", dpi: int = 150) -> Figure:
    """Everything on one sheet: photo, fine map with outline and boxes, every scale, both means.

    Heatmaps are drawn cell by cell, without smoothing, and all against one range: probabilities 0 to 1,
    evidence 0 to the largest value of any scale. A ring marks each peak.

    Parameters
    ----------
    analysis : Analysis
        Read are ``image``, ``model``, ``synset``, ``class_ids``, ``kind``, ``fit``, ``class_maps``,
        ``heatmaps``, ``arithmetic``, ``geometric``, ``fine``, ``threshold``, ``mask`` and ``boxes``.
    cmap : str
        One of `COLOUR_MAPS`.
    dpi : int

    Returns
    -------
    matplotlib.figure.Figure
        On an Agg canvas: ``figure.savefig(path)``. It belongs to no window and needs no closing.
    """
    give_matplotlib_a_place()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    colour_table(cmap)
    photo, fine, contours, boxes = _thinned_for_report(analysis)
    height, width = photo.shape[:2]
    shape = min(max(height / width, 0.2), 1.6)  # of every frame; a picture beyond it stands in the middle
    cards = [
        *((name, heatmap, analysis.class_maps[name].seconds) for name, heatmap in analysis.heatmaps.items()),
        ("arithmetic mean", analysis.arithmetic, None),
        ("geometric mean", analysis.geometric, None),
    ]
    maps = [heatmap for _, heatmap, _ in cards]
    top = 1.0 if analysis.kind == "probability" else max(1e-6, *(heatmap.peak for heatmap in maps))

    sheet = _Sheet(columns=min(max(len(cards), 4), 6), cards=len(cards), shape=shape)
    figure = Figure(figsize=(sheet.width, sheet.height), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    _write_header(figure, sheet, analysis)

    shown = overlay(photo, colourise(fine, 0, 1, cmap), 0.6)
    line = max(2, round(max(height, width) / 240))
    region = draw_boxes(draw_contours(shown, contours, width=line), boxes, width=line)
    share = np.count_nonzero(analysis.mask) / analysis.mask.size
    count = f"{len(boxes)} box{'' if len(boxes) == 1 else 'es'}"
    picture = analysis.image
    captions = (
        ("photo", f"{_shortened(picture.name, 50)}, {picture.size_in_words}"),
        ("fine map", f"outline at threshold {analysis.threshold:.2f}, {count}, {share:.0%} of the picture"),
    )
    for place_, pixels, (title, caption) in zip(sheet.large(), (photo, region), captions, strict=True):
        axes = _framed(figure, sheet, place_)
        axes.imshow(pixels, extent=(0, width, height, 0), interpolation="antialiased")
        _title(figure, sheet, place_, title, caption, size=11)

    scales = len(analysis.heatmaps)
    for index, (place_, (title, heatmap, seconds)) in enumerate(zip(sheet.small(), cards, strict=True)):
        axes = _framed(figure, sheet, place_)
        axes.imshow(
            heatmap.values, vmin=0, vmax=top, cmap=cmap, extent=(0, width, height, 0), interpolation="nearest"
        )
        rows, columns = heatmap.grid
        row, column = heatmap.peak_cell
        centre = ((column + 0.5) * width / columns, (row + 0.5) * height / rows)
        for ink, thickness in (("black", 2.6), ("white", 1.2)):
            axes.plot(*centre, "o", markersize=6.5, fillstyle="none", color=ink, markeredgewidth=thickness)
        axes.set(xlim=(0, width), ylim=(height, 0))
        time = "" if seconds is None else f" · {seconds:.2f} s"
        span = _range(float(heatmap.values.min()), heatmap.peak)
        caption = f"{rows} × {columns} cells{time}\npeak {_number(heatmap.peak)} · range {span}"
        _title(figure, sheet, place_, title, caption)
        if 0 < index <= scales:
            _sign(figure, sheet, place_, "+" if index < scales else "=", sheet.gap)

    if analysis.kind == "probability":
        label = "probability and fine map, fixed range 0 to 1"
        _colour_bar(figure, sheet, sheet.bar("both"), top, cmap, label)
    else:
        _colour_bar(figure, sheet, sheet.bar("large"), 1.0, cmap, "fine map, 0 to 1")
        _colour_bar(figure, sheet, sheet.bar("small"), top, cmap, "evidence (logits), shared range")
    return figure


@dataclass(frozen=True)
class _Place:
    """A rectangle on the sheet, in inches from the top left corner."""

    x: float
    y: float
    wide: float
    tall: float


@dataclass(frozen=True)
class _Sheet:
    """Where things stand on the report figure, in inches from its top left corner."""

    columns: int
    cards: int
    shape: float  # height : width of the frames

    width: float = 14.0
    margin: float = 0.45
    header: float = 0.95
    caption: float = 0.5
    gap: float = 0.34
    bar_room: float = 0.95

    @property
    def content(self) -> float:
        return self.width - 2 * self.margin - self.bar_room

    @property
    def large_size(self) -> tuple[float, float]:
        wide = (self.content - self.gap) / 2
        tall = min(wide * self.shape, 7.0)
        return wide, tall

    @property
    def small_size(self) -> tuple[float, float]:
        wide = (self.content - (self.columns - 1) * self.gap) / self.columns
        return wide, wide * self.shape

    @property
    def rows(self) -> int:
        return math.ceil(self.cards / self.columns)

    @property
    def row_height(self) -> float:
        return self.caption + 0.22 + self.small_size[1] + 0.22

    @property
    def small_top(self) -> float:
        return self.header + self.caption + self.large_size[1] + 0.3

    @property
    def height(self) -> float:
        return self.small_top + self.rows * self.row_height + self.margin - 0.22

    def large(self) -> list[_Place]:
        wide, tall = self.large_size
        top = self.header + self.caption
        return [_Place(self.margin + i * (wide + self.gap), top, wide, tall) for i in range(2)]

    def small(self) -> list[_Place]:
        wide, tall = self.small_size
        return [
            _Place(
                self.margin + (i % self.columns) * (wide + self.gap),
                self.small_top + (i // self.columns) * self.row_height + self.caption + 0.22,
                wide,
                tall,
            )
            for i in range(self.cards)
        ]

    def bar(self, beside: Literal["large", "small", "both"]) -> _Place:
        first, last = self.large()[0], self.small()[-1]
        top = first.y if beside != "small" else self.small()[0].y
        bottom = first.y + first.tall if beside == "large" else last.y + last.tall
        return _Place(self.width - self.margin - self.bar_room + 0.35, top, 0.16, bottom - top)


def _thinned_for_report(
    analysis: Analysis,
) -> tuple[UInt8, npt.NDArray[np.float32], list[npt.NDArray[np.float64]], list[Box]]:
    """Photo, fine map, outlines and boxes at no more pixels than the figure can show."""
    photo = analysis.image.pixels
    height, width = photo.shape[:2]
    step = max(1, math.ceil(max(height, width) / _REPORT_SIDE))
    if step > 1:
        photo = np.asarray(Image.fromarray(photo).reduce(step))
    rows, columns = photo.shape[:2]
    fine = analysis.fine[step // 2 :: step, step // 2 :: step][:rows, :columns]
    photo = photo[: fine.shape[0], : fine.shape[1]]
    outlines = [contour / step for contour in contours_of(analysis.mask)]
    boxes = [
        replace(box, x0=box.x0 // step, y0=box.y0 // step, x1=-(-box.x1 // step), y1=-(-box.y1 // step))
        for box in analysis.boxes
    ]
    return photo, fine, outlines, boxes


def _framed(figure: Figure, sheet: _Sheet, place: _Place) -> Axes:
    axes = figure.add_axes(
        (
            place.x / sheet.width,
            1 - (place.y + place.tall) / sheet.height,
            place.wide / sheet.width,
            place.tall / sheet.height,
        )
    )
    axes.set_axis_off()
    axes.set_anchor("NW")
    return axes


def _write(figure: Figure, sheet: _Sheet, x: float, y: float, text: str, **style: Any) -> None:
    """Text with its first line's top at (x, y) inches."""
    style = {"va": "top", "color": _INK, "fontfamily": "DejaVu Sans", "parse_math": False, **style}
    figure.text(x / sheet.width, 1 - y / sheet.height, _printable(text), **style)


def _write_header(figure: Figure, sheet: _Sheet, analysis: Analysis) -> None:
    model = analysis.model
    classes = len(analysis.class_ids)
    facts = [
        f"{analysis.synset.wnid}, {classes} ImageNet class{'' if classes == 1 else 'es'}",
        f"{analysis.kind} map",
        f"{model.title} ({model.engine}, output stride {model.output_stride})",
        f"fit: {analysis.fit}",
    ]
    words = _shortened(", ".join(analysis.synset.words[:2]), 60)
    _write(figure, sheet, sheet.margin, 0.32, f"Where is “{words}”?", fontsize=17, weight="bold")
    _write(figure, sheet, sheet.margin, 0.68, "  ·  ".join(facts), fontsize=9, color=_MUTED)
    if model.weights == "random":
        edge = sheet.width - sheet.margin
        warning = "random weights: for measuring only"
        _write(figure, sheet, edge, 0.36, warning, fontsize=10, weight="bold", color=_WARNING, ha="right")


def _title(figure: Figure, sheet: _Sheet, place: _Place, title: str, caption: str, size: float = 9) -> None:
    lines = caption.count("\n") + 1
    leading = 0.165 if size < 10 else 0.18
    top = place.y - 0.07 - leading * lines
    _write(figure, sheet, place.x, top - 0.06, title, fontsize=size, weight="bold", va="bottom")
    _write(figure, sheet, place.x, top, caption, fontsize=size - 1.5, color=_MUTED, linespacing=1.35)


def _sign(figure: Figure, sheet: _Sheet, place: _Place, sign: str, gap: float) -> None:
    x, y = place.x - gap / 2, place.y + place.tall / 2
    _write(figure, sheet, x, y, sign, fontsize=15, color=_MUTED, ha="center", va="center")


def _colour_bar(figure: Figure, sheet: _Sheet, place: _Place, top: float, cmap: str, label: str) -> None:
    axes = _framed(figure, sheet, place)
    axes.set_axis_on()
    axes.imshow(
        np.linspace(0, 1, 256)[:, None], cmap=cmap, origin="lower", aspect="auto", extent=(0, 1, 0, top)
    )
    axes.set(xticks=[], yticks=np.linspace(0, top, 6))
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_yticklabels([_number(tick) for tick in np.linspace(0, top, 6)], fontsize=8, color=_INK)
    axes.set_ylabel(label, fontsize=8, color=_MUTED, labelpad=6)
    axes.tick_params(length=3, width=0.6, color=_MUTED)
    axes.spines[:].set(linewidth=0.6, color=_MUTED)


def _printable(text: str) -> str:
    """Replace what DejaVu Sans has no sign for by a box: file names come in every script."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(sign if sign == "\n" or ord(sign) in known else "□" for sign in text)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _bands(shape: Sequence[int]) -> Iterable[slice]:
    rows = max(1, _BLOCK_PIXELS // max(shape[1], 1))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def _check_photo(photo: npt.NDArray[Any]) -> None:
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise ValueError(f"Expected a photo as uint8 (H, W, 3). Received: {photo.dtype} {photo.shape}")


def _canvas(photo: UInt8, width: int | None) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    _check_photo(photo)
    canvas = Image.fromarray(photo)
    line = width if width is not None else max(2, round(math.sqrt(photo.shape[0] * photo.shape[1]) / 260))
    return canvas, ImageDraw.Draw(canvas), line


def _casing(line: int) -> int:
    return max(1, round(line / 3))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    give_matplotlib_a_place()
    import matplotlib  # its DejaVu Sans is there on every system

    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size
    )


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _range(low: float, high: float) -> str:
    """Both ends to the decimals that the high one needs for two digits."""
    decimals = 2 if high <= 0 else min(max(2, 1 - math.floor(math.log10(high))), 6)
    return f"{low:.{decimals}f} to {high:.{decimals}f}"


def _number(value: float) -> str:
    """Shortest writing that shows two significant digits: 0, 0.5, 12.3, 0.0031, 4e-07."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.0e}"
    if abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:.2f}".rstrip("0").rstrip(".")
