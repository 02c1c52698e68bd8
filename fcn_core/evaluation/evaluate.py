"""Measure localisation on pictures with masks or boxes: this program's maps and others, on one network in one run.

The index is described in :mod:`fcn_core.evaluation.index`. A row without boxes gets those of the mask's connected
regions. A row with only boxes is measured by the pointing game and MaxBoxAccV2.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fcn_core.engines.base import Predictor
from fcn_core.errors import DatasetError
from fcn_core.evaluation.index import Case, line_in_message, read_index
from fcn_core.evaluation.masks import exif_orientation, read_mask
from fcn_core.evaluation.metrics import PictureScore, Scores, Summary, score_boxes, score_picture
from fcn_core.evaluation.saved_maps import SavedMaps, Truth, image_ids, prepare_folder
from fcn_core.evaluation.ways import NEED_NO_CLASS_MAPS, PLAIN, WAYS, MapAndMask, Subject, makers_of
from fcn_core.images.read import RGBImage, read_image
from fcn_core.images.scales import Fit, Scale, plan_scales
from fcn_core.maps.region import boxes_of
from fcn_core.pipeline import compute_class_maps
from fcn_core.synsets.ontology import Ontology, Synset

__all__ = ["EVALUATION_SCALES", "MARGIN", "WAYS", "Case", "Evaluation", "evaluate_index", "read_index"]

#: The three scales at which the measures are stated: the fourth doubles the time and improves little.
EVALUATION_SCALES = (Scale(200, 320), Scale(400, 640), Scale(800, 1280))

#: By how much the IoU of a mask must be below that of the plain mean's mask to count as worse.
MARGIN = 0.1

RowProgress = Callable[[int, int], None]


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
    worse_than_plain : float or None
        Share of the rows with masks whose own mask has an IoU more than `MARGIN` below that of the plain mean's mask
        (evidence, cells placed, its own threshold); None if that way was not measured, or no row has a mask.
    """

    way: str
    summary: Summary
    seconds: float
    forward_seconds: float
    worse_than_plain: float | None

    @property
    def pass_ratio(self) -> float | None:
        """The time as a multiple of the forward passes; None for a way that does not read their class maps."""
        return self.seconds / self.forward_seconds if self.forward_seconds else None

    def to_json(self) -> dict[str, Any]:
        """Return plain data, keyed by the names of the measures."""
        return {
            "way": self.way,
            "title": WAYS[self.way],
            **asdict(self.summary),
            "worse_than_plain": self.worse_than_plain,
            "seconds": self.seconds,
            "forward_seconds": self.forward_seconds,
            "pass_ratio": self.pass_ratio,
        }


def evaluate_index(
    index: str | Path,
    model: Predictor,
    *,
    ways: Sequence[str] = ("fine",),
    scales: Sequence[Scale] = EVALUATION_SCALES,
    fit: Fit = "aspect",
    save_maps: Path | None = None,
    progress: RowProgress | None = None,
) -> tuple[Evaluation, ...]:
    """Measure several ways of making maps on the pictures of an index.

    Parameters
    ----------
    index : path
        The CSV file; see :mod:`fcn_core.evaluation.index`.
    model : Predictor
        From `fcn_core.engines.load.load_model`.
    ways : sequence of str
        Keys of `WAYS`.
    scales, fit
        Scales of the multi-scale ways; Grad-CAM has its own size.
    save_maps : Path, optional
        A new or empty folder for the maps of the first of the ways; see :mod:`fcn_core.evaluation.saved_maps`.
    progress : callable, optional
        Called with (rows done, number of rows).

    Returns
    -------
    tuple of Evaluation
        One per way, in the order of `ways`. `Summary.mask_iou` is that of the program's own masks, which are made
        without knowledge of the truth.

    Raises
    ------
    DatasetError
        The index or one of its masks cannot be read, a box exceeds its picture, or a synset is unknown.
    OutputError
        The folder for the maps has files, or cannot be written.
    FcnError
        A picture cannot be read, a scale cannot be planned, or the network cannot run.
    ValueError
        A way is unknown.
    """
    unknown = [way for way in ways if way not in WAYS]
    if unknown or not ways:
        raise ValueError(f"Expected ways among {', '.join(WAYS)}. Received: {ways!r}")
    path, ontology = Path(index), model.info.outputs.ontology
    cases = read_index(path)
    synsets = [_synset(ontology, case, path) for case in cases]
    saved = None
    if save_maps is not None:
        prepare_folder(save_maps)
        saved = SavedMaps(save_maps, image_ids([c.name for c in cases], [s.wnid for s in synsets]))
    makers = makers_of(ways, model, ontology)
    tallies = {way: _Tally() for way in ways}
    with_maps = not NEED_NO_CLASS_MAPS.issuperset(ways)
    forward, image, class_maps = 0.0, None, {}
    for done, (case, synset) in enumerate(zip(cases, synsets, strict=True)):
        if progress is not None:
            progress(done, len(cases))
        if image is None or case.image != cases[done - 1].image:
            image = read_image(case.image)
            class_maps = compute_class_maps(image, model, scales, fit) if with_maps else {}
        forward += sum(m.seconds for m in class_maps.values())
        plans = plan_scales(image.height, image.width, scales, fit)
        subject = Subject(image, class_maps, plans, synset, ontology.class_ids(synset.wnid))
        with line_in_message(case.line, path):
            truth = _truth(case, image)
            for way, maker in makers.items():
                start = time.perf_counter()
                found = maker(subject)
                values = found.fine
                tallies[way].seconds += time.perf_counter() - start
                tallies[way].add(_score(found, truth))
                if saved is not None and way == ways[0]:
                    saved.add(values, truth, subject.class_ids[0])
        _compare(tallies)
    if saved is not None:
        saved.finish()
    if progress is not None:
        progress(len(cases), len(cases))
    return tuple(
        tallies[way].evaluation(way, 0.0 if way in NEED_NO_CLASS_MAPS else forward, PLAIN in ways)
        for way in ways
    )


class _Tally:
    """What is known of one way so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.last: float | None = None
        self.worse = 0
        self._scores = Scores()

    def add(self, score: PictureScore) -> None:
        """Add a row."""
        self.last = score.mask_iou
        self._scores.include(score)

    def evaluation(self, way: str, forward: float, compared: bool) -> Evaluation:
        """Return the measures of the rows so far; `forward` is the time of all forward passes."""
        summary = self._scores.summary()
        return Evaluation(
            way=way,
            summary=summary,
            seconds=(self.seconds + forward) / summary.pictures,
            forward_seconds=forward / summary.pictures,
            worse_than_plain=self.worse / summary.masks if compared and summary.masks else None,
        )


def _compare(tallies: dict[str, _Tally]) -> None:
    """Count the ways whose mask of the last row is worse than the plain mean's."""
    plain = tallies[PLAIN].last if PLAIN in tallies else None
    if plain is not None:
        for tally in tallies.values():
            tally.worse += tally.last is not None and tally.last < plain - MARGIN


def _truth(case: Case, image: RGBImage) -> Truth:
    for x0, y0, x1, y1 in case.boxes:
        if x0 < 0 or y0 < 0 or x1 > image.width or y1 > image.height:
            raise DatasetError(
                f"Expected boxes within the picture of {image.width}x{image.height} pixels. Received {x0:g} {y0:g} "
                f"{x1:g} {y1:g}. Give 'x0 y0 x1 y1' in pixels of the upright picture."
            )
    if case.mask is None:
        return Truth(case.boxes)
    pixels, valid = read_mask(case.mask, image.height, image.width, exif_orientation(case.image))
    boxes = case.boxes or tuple((b.x0, b.y0, b.x1, b.y1) for b in boxes_of(pixels))
    return Truth(boxes, pixels, valid)


def _score(found: MapAndMask, truth: Truth) -> PictureScore:
    if truth.pixels is None:
        return score_boxes(found.fine, truth.boxes)
    return score_picture(found.fine, truth.pixels, truth.valid, truth.boxes, found.mask)


def _synset(ontology: Ontology, case: Case, index: Path) -> Synset:
    with line_in_message(case.line, index):
        return ontology.find(case.synset)
