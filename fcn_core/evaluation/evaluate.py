"""Measure localisation on pictures with masks or boxes: this program's maps and others, on one network in one run.

The index is a CSV file with the columns ``image`` and ``synset_wnid``, and ``mask``, ``boxes`` or both; a row needs a
mask or boxes. Paths are relative to the index. In a mask 255 is the object, 0 the background and 128 void: void pixels
are ignored (see :mod:`fcn_core.evaluation.masks`). Boxes are ``x0 y0 x1 y1`` in pixels, separated by semicolons; a row
without boxes gets those of the mask's connected regions. A row with only boxes is measured by the pointing game and
MaxBoxAccV2.
"""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.base import Predictor
from fcn_core.errors import DatasetError, SynsetError
from fcn_core.evaluation.masks import exif_orientation, read_mask
from fcn_core.evaluation.metrics import PictureScore, Scores, Summary, score_boxes, score_picture
from fcn_core.images.read import RGBImage, read_image
from fcn_core.images.resize import resize_array
from fcn_core.images.scales import Fit, Scale
from fcn_core.maps.fine_map import fine_map
from fcn_core.maps.heatmap import ClassMap, combine, place, synset_heatmap
from fcn_core.maps.region import boxes_of, suggest_threshold, threshold_mask
from fcn_core.pipeline import compute_class_maps
from fcn_core.synsets.ontology import Ontology

if TYPE_CHECKING:
    from fcn_core.evaluation.gradcam import GradCAM

#: The ways of making a map that can be measured, by name.
WAYS: Mapping[str, str] = {
    "fine": "fine map (ours)",
    "probability": "probability, cells placed, mean",
    "evidence": "evidence, cells placed, mean",
    "notebook": "probability, notebook's mean",
    "gradcam-448": "Grad-CAM at 448x448",
    "gradcam-224": "Grad-CAM at 224x224",
}

#: The three scales at which the measures are stated: the fourth doubles the time and improves little.
EVALUATION_SCALES = (Scale(200, 320), Scale(400, 640), Scale(800, 1280))

Float32 = NDArray[np.float32]
RowProgress = Callable[[int, int], None]
Maker = Callable[[RGBImage, Sequence[ClassMap], Sequence[int]], Float32]


@dataclass(frozen=True)
class Case:
    """One row of an index: one synset in one picture.

    Attributes
    ----------
    image : Path
    synset : str
        Wnid or word.
    mask : Path or None
    boxes : tuple of (x0, y0, x1, y1)
        Empty if the row has none; it then has a mask.
    line : int
        Line of the index, for messages.
    """

    image: Path
    synset: str
    mask: Path | None
    boxes: tuple[tuple[float, ...], ...]
    line: int


@dataclass(frozen=True)
class Evaluation:
    """The measures of one way over an index.

    Attributes
    ----------
    way : str
        Key of `WAYS`.
    summary : Summary
    seconds : float
        Mean time from a decoded picture to its map, forward passes included.
    forward_seconds : float
        The part of it that the forward passes took.
    """

    way: str
    summary: Summary
    seconds: float
    forward_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data, keyed by the names of the measures."""
        return {
            "way": self.way,
            "title": WAYS[self.way],
            **asdict(self.summary),
            "seconds": self.seconds,
            "forward_seconds": self.forward_seconds,
        }


def read_index(path: Path) -> tuple[Case, ...]:
    """Read an index of pictures, synsets, masks and boxes.

    Raises
    ------
    DatasetError
        It cannot be read, lacks a column, or names a file that does not exist.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            _check_columns(columns, path.name)
            reader.fieldnames = columns
            cases = []
            for row in reader:
                with _line_in_message(reader.line_num, path):
                    cases.append(_case(row, path, reader.line_num))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"Expected a CSV file in UTF-8 with the columns image, synset_wnid and mask or boxes. Received {path}, "
            f"which cannot be read ({error}). Correct the file or its name."
        ) from error
    if not cases:
        raise DatasetError(
            f"Expected at least one row below the head of {path.name}. Received none. Add a row for each picture."
        )
    return tuple(cases)


def _check_columns(columns: Sequence[str], name: str) -> None:
    missing = [column for column in ("image", "synset_wnid") if column not in columns]
    if not {"mask", "boxes"} & set(columns):
        missing.append("mask or boxes")
    if missing:
        separated = (
            " Separate them with commas." if len(columns) == 1 and re.search(r"[;\t|]", columns[0]) else ""
        )
        raise DatasetError(
            f"Expected the columns image, synset_wnid and mask or boxes (or both) in {name}. Received "
            f"{', '.join(columns)[:200] or 'an empty file'}. Add: {', '.join(missing)}.{separated}"
        )


@contextmanager
def _line_in_message(line: int, index: Path) -> Iterator[None]:
    """Put the line of the index before the message of an error."""
    try:
        yield
    except (DatasetError, SynsetError) as error:
        raise DatasetError(f"Line {line} of {index.name}: {error}") from error


def _case(row: dict[Any, Any], index: Path, line: int) -> Case:
    if None in row:
        raise DatasetError(
            "Expected as many fields as columns. Received more. Put quotes around a field that has a comma."
        )
    image, synset, mask, boxes = (
        (row.get(name) or "").strip() for name in ("image", "synset_wnid", "mask", "boxes")
    )
    if not (image and synset and (mask or boxes)):
        raise DatasetError(
            "Expected an image, a synset, and a mask or boxes. Received less. Complete the row or remove it."
        )
    for name in filter(None, (image, mask)):
        if not (index.parent / name).is_file():
            raise DatasetError(
                f"Expected a path relative to the index. Received {name!r}, which does not exist. Correct it."
            )
    return Case(index.parent / image, synset, index.parent / mask if mask else None, _boxes(boxes), line)


def _boxes(text: str) -> tuple[tuple[float, ...], ...]:
    try:
        boxes = tuple(tuple(float(n) for n in box.split()) for box in text.split(";") if box.strip())
    except ValueError:
        boxes = ((),)
    if any(len(b) != 4 or not (b[0] < b[2] and b[1] < b[3]) for b in boxes) or (text and not boxes):
        raise DatasetError(
            f"Expected boxes as 'x0 y0 x1 y1' with x0 < x1 and y0 < y1. Received {text[:60]!r}. Separate several boxes "
            f"by semicolons."
        )
    return boxes


def evaluate_index(
    index: str | Path,
    model: Predictor,
    ontology: Ontology | None = None,
    *,
    ways: Sequence[str] = ("fine",),
    scales: Sequence[Scale] = EVALUATION_SCALES,
    fit: Fit = "aspect",
    progress: RowProgress | None = None,
) -> tuple[Evaluation, ...]:
    """Measure several ways of making maps on the pictures of an index.

    Parameters
    ----------
    index : path
        The CSV file; see the module's docstring.
    model : Predictor
        From `fcn_core.engines.load.load_model`.
    ontology : Ontology, optional
        The shipped one by default.
    ways : sequence of str
        Keys of `WAYS`.
    scales, fit
        Scales of the multi-scale ways; Grad-CAM has its own size.
    progress : callable, optional
        Called with (rows done, number of rows).

    Returns
    -------
    tuple of Evaluation
        One per way, in the order of `ways`. `Summary.mask_iou` is measured at the suggested threshold, which is
        chosen without knowledge of the truth.

    Raises
    ------
    DatasetError
        The index or one of its masks cannot be read, a box exceeds its picture, or a synset is unknown.
    FcnError
        A picture cannot be read, a scale cannot be planned, or the network cannot run.
    ValueError
        A way is unknown.
    """
    unknown = [way for way in ways if way not in WAYS]
    if unknown or not ways:
        raise ValueError(f"Expected ways among {', '.join(WAYS)}. Received: {ways!r}")
    ontology = ontology or Ontology.load()
    cases = read_index(Path(index))
    class_ids = [_class_ids(ontology, case, Path(index)) for case in cases]
    makers = _makers(ways, model)
    multiscale = any(not way.startswith("gradcam") for way in ways)
    scores = {way: Scores() for way in ways}
    seconds = dict.fromkeys(ways, 0.0)
    forward = 0.0
    image = read_image(cases[0].image)
    class_maps = tuple(compute_class_maps(image, model, scales, fit).values()) if multiscale else ()
    for done, (case, ids) in enumerate(zip(cases, class_ids, strict=True)):
        if progress is not None:
            progress(done, len(cases))
        if done and case.image != cases[done - 1].image:
            image = read_image(case.image)
            class_maps = tuple(compute_class_maps(image, model, scales, fit).values()) if multiscale else ()
        forward += sum(m.seconds for m in class_maps)
        with _line_in_message(case.line, Path(index)):
            measured = _measure(case, image)
            for way, maker in makers.items():
                start = time.perf_counter()
                values = maker(image, class_maps, ids)
                seconds[way] += time.perf_counter() - start
                scores[way].include(measured(values))
    if progress is not None:
        progress(len(cases), len(cases))
    return tuple(
        Evaluation(way, scores[way].summary(), (seconds[way] + own) / len(cases), own / len(cases))
        for way in ways
        for own in [0.0 if way.startswith("gradcam") else forward]
    )


def table(results: Sequence[Evaluation]) -> str:
    """Format results as a table for a terminal, one row per way."""
    head = ("", "pointing", "PxAP", "MaxBoxAccV2", "mean IoU", "at", "IoU, own threshold", "s/image")
    rows: list[tuple[str, ...]] = [head]
    for result in results:
        s = result.summary
        figures = (s.pointing, s.pxap, s.max_box_acc_v2, s.mean_iou, s.threshold, s.mask_iou)
        shown = ["-" if f is None else f"{f:.3f}" for f in figures]
        rows.append((WAYS[result.way], *shown, f"{result.seconds:.2f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _measure(case: Case, image: RGBImage) -> Callable[[Float32], PictureScore]:
    """Return the function that measures a map of the row's picture."""
    for x0, y0, x1, y1 in case.boxes:
        if x0 < 0 or y0 < 0 or x1 > image.width or y1 > image.height:
            raise DatasetError(
                f"Expected boxes within the picture of {image.width}x{image.height} pixels. Received {x0:g} {y0:g} "
                f"{x1:g} {y1:g}. Give 'x0 y0 x1 y1' in pixels of the upright picture."
            )
    if case.mask is None:
        return partial(score_boxes, boxes=case.boxes)
    truth, valid = read_mask(case.mask, image.height, image.width, exif_orientation(case.image))
    boxes = case.boxes or tuple((b.x0, b.y0, b.x1, b.y1) for b in boxes_of(truth))
    return lambda values: score_picture(
        values, truth, valid, boxes, threshold_mask(values, suggest_threshold(values))
    )


def _class_ids(ontology: Ontology, case: Case, index: Path) -> tuple[int, ...]:
    with _line_in_message(case.line, index):
        return ontology.class_ids(ontology.find(case.synset).wnid)


def _makers(ways: Sequence[str], model: Predictor) -> dict[str, Maker]:
    """Return for each way the function from a picture, its class maps and a synset's classes to a map of its size."""
    makers: dict[str, Maker] = {
        "fine": lambda image, maps, ids: fine_map(image.pixels, maps, ids),
        "probability": lambda image, maps, ids: fine_map(
            image.pixels, maps, ids, snap=False, kind="probability"
        ),
        "evidence": lambda image, maps, ids: fine_map(image.pixels, maps, ids, snap=False, kind="evidence"),
        "notebook": _notebook_mean,
    }
    sizes = {way: int(way.removeprefix("gradcam-")) for way in ways if way.startswith("gradcam-")}
    if sizes:
        from fcn_core.evaluation.gradcam import GradCAM  # loads TensorFlow

        gradcam = GradCAM(model.info.name, random=model.info.weights == "random")
        makers |= {way: partial(_gradcam_map, gradcam, size) for way, size in sizes.items()}
    return {way: makers[way] for way in ways}


def _gradcam_map(
    gradcam: GradCAM, size: int, image: RGBImage, _: Sequence[ClassMap], class_ids: Sequence[int]
) -> Float32:
    return resize_array(gradcam(image.pixels, class_ids, size), image.height, image.width)


def _notebook_mean(image: RGBImage, class_maps: Sequence[ClassMap], class_ids: Sequence[int]) -> Float32:
    mean = combine([synset_heatmap(m, class_ids) for m in class_maps])
    return place(mean, image.height, image.width, placement="even")
