"""Everything at once: the picture divided into regions, each named by its best finding or by nothing.

Nothing here runs the network: `label_regions` reads the class maps that exist. The result keeps the labels at the size
of the small regions (at most 320 pixels a side) and expands them only when asked, so that a large picture costs
nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fcn_core.errors import ScaleError
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import block_edges, enlarge
from fcn_core.maps.findings import Finding, findings
from fcn_core.maps.heatmap import ClassMap, Float64, place, synset_heatmap
from fcn_core.maps.read_out import object_probability
from fcn_core.maps.region import suggest_threshold
from fcn_core.maps.region_features import read_scene
from fcn_core.maps.superpixels import Regions, segment
from fcn_core.maps.taught import taught_synset
from fcn_core.synsets.ontology import Ontology, Synset

Labels = npt.NDArray[np.unsignedinteger[Any]]
RegionScores = Callable[[Synset], npt.NDArray[np.floating[Any]]]

_MOST_FINDINGS = 12  # more do not change the result, and each costs a fine map


@dataclass(frozen=True)
class Segment:
    """The part of a picture that has one name. It need not be connected: two dogs are one segment.

    Attributes
    ----------
    label : int
        Its number in the labels, from 1; the most certain segment is the first.
    synset : Synset
    presence : float
        How certain it is that the synset is in the picture at all, 0 to 1.
    area : int
        Number of pixels.
    box : (x0, y0, x1, y1) of int
        Bounding box: its pixels are within ``x0 <= x < x1`` and ``y0 <= y < y1``.
    """

    label: int
    synset: Synset
    presence: float
    area: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A picture divided into segments, and what belongs to none.

    Attributes
    ----------
    labels : (h, w) uint8 or uint16 ndarray
        Segment of each pixel of the small regions, 0 for none. The longest side has at most 320 pixels.
    segments : tuple of Segment
        Most certain first. Areas and boxes are in pixels of the picture.
    candidates : tuple of Finding
        The synsets that competed, also those that got no region.
    height, width : int
        Size of the picture.
    """

    labels: Labels
    segments: tuple[Segment, ...]
    candidates: tuple[Finding, ...]
    height: int
    width: int

    def expand(self, height: int | None = None, width: int | None = None) -> Labels:
        """Return the labels at a size, (height, width); default: the size of the picture.

        Each pixel gets the label at its centre. One byte for each pixel, or two with more than 255 segments.
        """
        return enlarge(self.labels, *self._size(height, width))

    def resized(self, height: int, width: int) -> Segmentation:
        """Return the same segmentation of the picture at another size, with its areas and boxes.

        Raises
        ------
        ValueError
            The size is smaller than the labels, so that segments could vanish.
        """
        if height < self.labels.shape[0] or width < self.labels.shape[1]:
            raise ValueError(
                f"Expected a size of at least {self.labels.shape[0]} x {self.labels.shape[1]}. "
                f"Received: {height} x {width}"
            )
        named = [Finding(s.synset, s.presence) for s in self.segments]
        segments = _measured(self.labels, named, height, width)
        return Segmentation(self.labels, segments, self.candidates, height, width)

    def _size(self, height: int | None, width: int | None) -> tuple[int, int]:
        return self.height if height is None else height, self.width if width is None else width


@dataclass(frozen=True)
class Competition:
    """The parameters of `label_regions`; ``benchmarks/quality.md`` tells how they were found.

    Attributes
    ----------
    floor : float
        Least presence of a candidate.
    relative : float
        Least presence, as a share of the largest one.
    uncertainty : float
        Probability that is added to that of each candidate in a region: what the network says of a region decides,
        but where it says next to nothing the fine map does.
    enclosed : float
        Share of a region's border from which one neighbouring label takes the region.
    smallest : float
        Least area of a segment, as a share of the picture.
    """

    floor: float = 0.3
    relative: float = 0.5
    uncertainty: float = 0.02
    enclosed: float = 0.9
    smallest: float = 0.004


COMPETITION = Competition()


def label_regions(
    image: RGBImage,
    class_maps: Mapping[str, ClassMap] | Sequence[ClassMap],
    *,
    candidates: Sequence[Finding] | None = None,
    scores: RegionScores | None = None,
    regions: Regions | None = None,
    competition: Competition = COMPETITION,
) -> Segmentation:
    """Divide a picture into regions, and name each by its best finding or by nothing.

    Parameters
    ----------
    image : RGBImage
    class_maps : mapping to ClassMap, or sequence of ClassMap
        From :func:`fcn_core.compute_class_maps`, one or more scales.
    candidates : sequence of Finding, optional
        The synsets that may name regions; default: what the network sees (`fcn_core.maps.findings.findings`).
    scores : callable, optional
        Returns how much of a synset is in each region, (n,), 0 to 1; default: the probability of
        its object, from which its fine map is made (`fcn_core.maps.read_out`).
    regions : Regions, optional
        From `fcn_core.maps.superpixels.segment`, where they are known.
    competition : Competition, optional
        Other parameters, for measurements.

    Returns
    -------
    Segmentation
        Each synset has at most one segment.

    Raises
    ------
    ScaleError
        There is no class map.

    Notes
    -----
    A candidate k with presence p and score s in a region r claims the region if ``s(k, r) p(k) / max(p)`` reaches the
    threshold that Otsu's method suggests for its scores: what is less certain must be seen more clearly. Of several
    claims the one with the largest product of presence, score and the network's probability in the region wins.
    Without a claim the region is nothing. Then a region that one other label encloses gets that label, and segments
    that are too small become nothing.
    """
    scales = tuple(class_maps.values()) if isinstance(class_maps, Mapping) else tuple(class_maps)
    if not scales:
        raise ScaleError("Expected at least one scale. Received none. Choose for example 400x640.")
    ontology = scales[0].outputs.ontology
    regions = segment(image.pixels) if regions is None else regions
    if candidates is None:
        candidates = _found(scales, ontology)
    competing = _competing(candidates, competition)
    if regions.sizes.size < 2:  # nothing to divide
        competing = ()
    if scores is None and competing:
        scores = _scores_of_read_out(regions, scales, ontology)
    numbers = assign(
        regions,
        [c.presence for c in competing],
        [scores(c.synset) for c in competing] if scores is not None else [],
        [_probability(regions, scales, ontology.class_ids(c.synset.wnid)) for c in competing],
        competition,
    )
    left = [number for number in range(1, len(competing) + 1) if (numbers == number).any()]
    renumbered: Labels = np.zeros(len(competing) + 1, np.uint8 if len(left) < 256 else np.uint16)
    renumbered[left] = np.arange(1, len(left) + 1)
    labels = renumbered[numbers][regions.labels]
    segments = _measured(labels, [competing[n - 1] for n in left], image.height, image.width)
    return Segmentation(labels, segments, competing, image.height, image.width)


def assign(
    regions: Regions,
    presences: Sequence[float],
    scores: Sequence[npt.NDArray[np.floating[Any]]],
    probabilities: Sequence[npt.NDArray[np.floating[Any]]],
    competition: Competition = COMPETITION,
) -> npt.NDArray[np.intp]:
    """Decide which candidate each region belongs to; see `label_regions`.

    Parameters
    ----------
    regions : Regions
    presences : sequence of k float
        How certain it is that each candidate is in the picture, 0 to 1.
    scores, probabilities : sequence of k (n,) float ndarray
        How much of each candidate is in each region, by the fine map and by the network alone, 0 to 1.
    competition : Competition

    Returns
    -------
    (n,) int ndarray
        From 1 to k; 0 for nothing.
    """
    if not presences:
        return np.zeros(regions.sizes.size, np.intp)
    score, presence = np.asarray(scores, np.float64), np.asarray(presences, np.float64)[:, None]
    thresholds = np.array([[suggest_threshold(each[regions.labels])] for each in score])
    claims = (score * presence >= thresholds * presence.max()) & (score > 0)
    strength = presence * score * (np.asarray(probabilities, np.float64) + competition.uncertainty)
    numbers = np.where(claims.any(axis=0), 1 + np.where(claims, strength, -1.0).argmax(axis=0), 0)
    numbers = _enclosed(regions, numbers, competition.enclosed)
    areas = np.bincount(numbers, regions.sizes, len(presences) + 1)
    numbers[areas[numbers] < competition.smallest * regions.sizes.sum()] = 0
    return numbers


def _found(scales: Sequence[ClassMap], ontology: Ontology) -> tuple[Finding, ...]:
    """Return what the network sees."""
    return findings(scales, ontology, limit=_MOST_FINDINGS, least=COMPETITION.floor)


def _competing(candidates: Sequence[Finding], competition: Competition) -> tuple[Finding, ...]:
    """Return the candidates that are certain enough, most certain first."""
    least = competition.relative * max((c.presence for c in candidates), default=0.0)
    enough = [c for c in candidates if c.presence >= max(least, competition.floor)]
    return tuple(sorted(enough, key=lambda c: -c.presence))


def _scores_of_read_out(regions: Regions, scales: Sequence[ClassMap], ontology: Ontology) -> RegionScores:
    """Return the function that gives the probability of a synset's object in each region."""
    scene = read_scene(regions, scales)
    return lambda synset: object_probability(scene, ontology.class_ids(synset.wnid))


def _probability(regions: Regions, scales: Sequence[ClassMap], class_ids: Sequence[int]) -> Float64:
    """Return the mean probability of a synset in each region over the scales, (n,)."""
    taught = taught_synset(class_ids, scales[0].outputs.ontology)
    maps = [synset_heatmap(m, class_ids) if taught is None else taught.heatmap(m) for m in scales]
    return regions.mean(np.mean([place(each, *regions.labels.shape) for each in maps], axis=0))


def _enclosed(regions: Regions, numbers: npt.NDArray[np.intp], share: float) -> npt.NDArray[np.intp]:
    """Return the numbers after each region whose border has one other number, to this share, has got it."""
    count = int(numbers.max()) + 1
    lengths = np.zeros((regions.sizes.size, count))
    labels = regions.labels
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        apart = one != other
        for inside, outside in ((one[apart], other[apart]), (other[apart], one[apart])):
            np.add.at(lengths, (inside, numbers[outside]), 1)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):  # nothing beyond it takes a region
        np.add.at(lengths, (edge, numbers[edge]), 1)
    border = lengths.sum(axis=1)
    takes = lengths.max(axis=1) >= share * border
    return np.where(takes, lengths.argmax(axis=1), numbers)


def _measured(labels: Labels, named: Sequence[Finding], height: int, width: int) -> tuple[Segment, ...]:
    """Return the segments with their areas and boxes at a size, without expanding the labels."""
    rows, columns = (
        block_edges(cells, pixels) for cells, pixels in zip(labels.shape, (height, width), strict=True)
    )
    segments = []
    for label, candidate in enumerate(named, start=1):
        inside = labels == label
        area = int(np.diff(rows) @ (inside @ np.diff(columns)))
        down, across = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        box = (columns[across[0]], rows[down[0]], columns[across[-1] + 1], rows[down[-1] + 1])
        x0, y0, x1, y1 = map(int, box)
        segments.append(Segment(label, candidate.synset, candidate.presence, area, (x0, y0, x1, y1)))
    return tuple(segments)
