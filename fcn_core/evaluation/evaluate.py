"""Measure localisation on pictures with masks or boxes: ours and the peers' ways, on one network in one run.

The index is a CSV file with the columns ``image,synset_wnid`` and ``mask``, ``boxes`` or both, of which a row needs
one; paths are relative to it. In a mask 255 is the object, 0 background, and 128 void, which takes part in nothing
(see :mod:`fcn_core.evaluation.masks`). Boxes are ``x0 y0 x1 y1`` in pixels with semicolons between; where
there are none, those
of the mask's connected regions are taken. Rows with boxes alone take part in the pointing game and MaxBoxAccV2.
"""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.load import Predictor
from fcn_core.errors import DatasetError, SynsetError
from fcn_core.evaluation.masks import exif_orientation, read_mask
from fcn_core.evaluation.metrics import PictureScore, Scores, Summary, score_boxes, score_picture
from fcn_core.images.read import RGBImage, read_image
from fcn_core.images.scales import Fit, ResizedImage, Scale, plan_scales, resize_array
from fcn_core.maps.fine_map import fine_map
from fcn_core.maps.heatmap import ClassMap, combine, place, synset_heatmap
from fcn_core.maps.region import boxes_of, suggest_threshold, threshold_mask
from fcn_core.synsets.ontology import Ontology

if TYPE_CHECKING:
    from fcn_core.evaluation.gradcam import GradCAM

#: What can be measured, by name.
WAYS: Mapping[str, str] = {
    "fine": "fine map (ours)",
    "probability": "probability, cells placed, mean",
    "evidence": "evidence, cells placed, mean",
    "notebook": "probability, notebook's mean",
    "gradcam-448": "Grad-CAM at 448x448",
    "gradcam-224": "Grad-CAM at 224x224",
}

#: The three scales at which the measures are stated: the fourth doubles the time and finds little more.
EVALUATION_SCALES = (Scale(200, 320), Scale(400, 640), Scale(800, 1280))

Float32 = NDArray[np.float32]
Progress = Callable[[int, int], None]
Maker = Callable[[RGBImage, Sequence[ClassMap], Sequence[int]], Float32]


@dataclass(frozen=True)
class Case:
    """One row of an index: find this synset in this picture.

    Attributes
    ----------
    image : Path
    synset : str
        Wnid or word.
    mask : Path or None
    boxes : tuple of (x0, y0, x1, y1)
        Empty where the index has none; then there is a mask.
    line : int
        In the index, for messages.
    """

    image: Path
    synset: str
    mask: Path | None
    boxes: tuple[tuple[float, ...], ...]
    line: int


@dataclass(frozen=True)
class Evaluation:
    """One way's measures over an index.

    Attributes
    ----------
    way : str
        Key of `WAYS`.
    summary : Summary
    seconds : float
        Mean time from a decoded picture to its map: all forward passes and what follows.
    forward_seconds : float
        The forward passes' part of it.
    """

    way: str
    summary: Summary
    seconds: float
    forward_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain data, keyed by the measures' names."""
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
        It cannot be read, lacks a column, or a row names a file that is not there.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            _check_columns(columns, path.name)
            reader.fieldnames = columns
            cases = tuple(_case(row, path, reader.line_num) for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"The index {path} cannot be read ({error}). Give a CSV file in UTF-8 with the columns "
            f"image, synset_wnid and mask or boxes."
        ) from error
    if not cases:
        raise DatasetError(f"Expected at least one row below the head of {path.name}. Received none.")
    return cases


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
            f"{', '.join(columns)[:200] or 'an empty file'}: {', '.join(missing)} is missing.{separated}"
        )


def _case(row: dict[Any, Any], index: Path, line: int) -> Case:
    where = f"Line {line} of {index.name}"
    if None in row:
        raise DatasetError(
            f"{where} has more fields than the head has columns. Put quotes around a field that holds a comma."
        )
    image, synset, mask, boxes = (
        (row.get(name) or "").strip() for name in ("image", "synset_wnid", "mask", "boxes")
    )
    if not (image and synset and (mask or boxes)):
        raise DatasetError(f"{where} lacks an image, a synset, or both mask and boxes. Fill it or remove it.")
    for name in filter(None, (image, mask)):
        if not (index.parent / name).is_file():
            raise DatasetError(
                f"{where} names {name!r}, which is not there. Paths are relative to the index."
            )
    return Case(
        index.parent / image, synset, index.parent / mask if mask else None, _boxes(boxes, where), line
    )


def _boxes(text: str, where: str) -> tuple[tuple[float, ...], ...]:
    try:
        boxes = tuple(tuple(float(n) for n in box.split()) for box in text.split(";") if box.strip())
    except ValueError:
        boxes = ((),)
    if any(len(b) != 4 or not (b[0] < b[2] and b[1] < b[3]) for b in boxes) or (text and not boxes):
        raise DatasetError(
            f"{where} has the boxes {text[:60]!r}. "
            f"Expected 'x0 y0 x1 y1' with x0 < x1 and y0 < y1, and semicolons between several."
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
    progress: Progress | None = None,
) -> tuple[Evaluation, ...]:
    """Measure several ways of making maps on the pictures of an index.

    Parameters
    ----------
    index : path
        CSV file, see the module.
    model : Predictor
        From `fcn_core.engines.load.load_model`.
    ontology : Ontology, optional
        The shipped one by default.
    ways : sequence of str
        Keys of `WAYS`.
    scales, fit
        Of the multi-scale ways; Grad-CAM has its own size.
    progress : callable, optional
        Called with (rows done, rows in all).

    Returns
    -------
    tuple of Evaluation
        One a way, in the order asked for. `Summary.mask_iou` is that of the suggested threshold, which
        is chosen without the truth.

    Raises
    ------
    DatasetError
        The index or one of its masks cannot be read, a box leaves its picture, or a synset is unknown.
    FcnError
        What reading pictures, planning scales and running the network raise.
    ValueError
        If a way is unknown.
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
    class_maps = _class_maps(image, model, scales, fit) if multiscale else ()
    for done, (case, ids) in enumerate(zip(cases, class_ids, strict=True)):
        if progress is not None:
            progress(done, len(cases))
        if done and case.image != cases[done - 1].image:
            image = read_image(case.image)
            class_maps = _class_maps(image, model, scales, fit) if multiscale else ()
        forward += sum(m.seconds for m in class_maps)
        try:
            measured = _measure(case, image)
            for way, maker in makers.items():
                start = time.perf_counter()
                values = maker(image, class_maps, ids)
                seconds[way] += time.perf_counter() - start
                scores[way].include(measured(values))
        except DatasetError as error:
            raise DatasetError(f"Line {case.line} of {Path(index).name}: {error}") from error
    if progress is not None:
        progress(len(cases), len(cases))
    return tuple(
        Evaluation(way, scores[way].summary(), (seconds[way] + own) / len(cases), own / len(cases))
        for way in ways
        for own in [0.0 if way.startswith("gradcam") else forward]
    )


def table(results: Sequence[Evaluation]) -> str:
    """Lay results out for a terminal, one row a way."""
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
    """For a row of the index the function that measures a map of its picture."""
    for x0, y0, x1, y1 in case.boxes:
        if x0 < 0 or y0 < 0 or x1 > image.width or y1 > image.height:
            raise DatasetError(
                f"The box {x0:g} {y0:g} {x1:g} {y1:g} leaves its picture of {image.width}x{image.height} pixels. "
                f"Expected 'x0 y0 x1 y1' in pixels of the picture as it is seen."
            )
    if case.mask is None:
        return partial(score_boxes, boxes=case.boxes)
    truth, valid = read_mask(case.mask, image.height, image.width, exif_orientation(case.image))
    boxes = case.boxes or tuple((b.x0, b.y0, b.x1, b.y1) for b in boxes_of(truth))
    return lambda values: score_picture(
        values, truth, valid, boxes, threshold_mask(values, suggest_threshold(values))
    )


def _class_ids(ontology: Ontology, case: Case, index: Path) -> tuple[int, ...]:
    try:
        return ontology.class_ids(ontology.find(case.synset).wnid)
    except SynsetError as error:
        raise DatasetError(f"Line {case.line} of {index.name}: {error}") from error


def _class_maps(image: RGBImage, model: Predictor, scales: Sequence[Scale], fit: Fit) -> tuple[ClassMap, ...]:
    maps = []
    for plan in plan_scales(image.height, image.width, scales, fit):
        start = time.perf_counter()
        logits = model.logits(ResizedImage(image.pixels, plan.height, plan.width))
        seconds = time.perf_counter() - start
        maps.append(ClassMap(logits, model.cells(plan.height, plan.width), plan, seconds))
    return tuple(maps)


def _makers(ways: Sequence[str], model: Predictor) -> dict[str, Maker]:
    """For each way the function from a picture, its class maps and a synset's classes to a map of its size."""
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
