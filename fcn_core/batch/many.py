"""Analyse many pictures: results in the order of the pictures, in bounded memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fcn_core.batch.inputs import read_picture
from fcn_core.batch.stages import Stages, overlapped
from fcn_core.engines.base import ModelInfo, Predictor
from fcn_core.errors import FcnError, SynsetError
from fcn_core.images.read import RGBImage
from fcn_core.images.scales import NOTEBOOK_SCALES, Scale
from fcn_core.maps.findings import findings
from fcn_core.maps.fine_map import describe, fine_map
from fcn_core.maps.heatmap import ClassMap
from fcn_core.maps.region_features import Scene
from fcn_core.pipeline import Analysis, MapOptions, interpret
from fcn_core.synsets.ontology import Ontology, Synset


@dataclass(frozen=True, eq=False)
class PictureResult:
    """What was found in one of many pictures, or why it could not be analysed.

    Attributes
    ----------
    path : str
        As it was given.
    image : RGBImage or None
        The picture's working copy, of at most 0.8 megapixels; its `original` is the size of the picture. None: the
        picture could not be analysed.
    asked : tuple of Analysis
        One for each synset that was asked for, in that order.
    found : tuple of Analysis
        With ``everything``: one for each other synset that is in the picture, most certain first.
    error : str or None
        Why there is no analysis: what was expected, what was received, what to do.
    error_type : str or None
        Name of the error's class, such as "ImageError".
    seconds : float
        Time of the network and of everything after it, in the threads that did it.
    """

    path: str
    image: RGBImage | None = None
    asked: tuple[Analysis, ...] = ()
    found: tuple[Analysis, ...] = ()
    error: str | None = None
    error_type: str | None = None
    seconds: float = 0.0

    @property
    def analyses(self) -> tuple[Analysis, ...]:
        """All analyses, those asked for first."""
        return self.asked + self.found


def analyse_many(
    paths: Iterable[str | os.PathLike[str]],
    synsets: str | Synset | Sequence[str | Synset],
    model: Predictor,
    scales: Sequence[Scale] = NOTEBOOK_SCALES,
    options: MapOptions | None = None,
    *,
    everything: bool = False,
) -> Iterator[PictureResult]:
    """Show where synsets are in many pictures.

    While the network computes one picture, the next is read and the one before is read out. Each picture passes the
    network once, however many synsets there are.

    Parameters
    ----------
    paths : iterable of str or path
        Files, or addresses such as ``s3://bucket/dog.jpg``, which need `fsspec`. It is read only as far as pictures are
        worked on, so it may be a generator.
    synsets : str, Synset, or sequence of them
        Words ("dog"), wnids ("n02084071"), or synsets of the model's ontology; may be empty with `everything`.
    model : Predictor
        From :func:`fcn_core.load_model`.
    scales : sequence of Scale
    options : MapOptions, optional
    everything : bool
        Also analyse each synset that :func:`fcn_core.findings` finds in a picture.

    Returns
    -------
    iterator of PictureResult
        One for each path, in the same order. A picture that cannot be analysed is a result with an `error`.

    Raises
    ------
    SynsetError
        No synset, or more than one, has a word, or no synset is asked for; raised by the call itself.

    Notes
    -----
    A result holds the class maps of its picture, some 20 MB with the notebook's scales. The memory is bounded if each
    result is dropped before the next but few.
    """
    options = options or MapOptions()
    wanted = wanted_synsets(synsets, model.info, everything)
    ask = Question(wanted, everything, options, model.info)
    stages = Stages(read=read_picture, finish=ask.answer, failed=failed_result)
    return overlapped((os.fspath(path) for path in paths), model, scales, options.fit, stages)


def failed_result(path: str, error: Exception) -> PictureResult:
    """Return the result of a picture that could not be analysed."""
    kind = type(error).__name__
    why = str(error) if isinstance(error, FcnError) else f"internal error ({kind}: {error})"
    return PictureResult(path, error=why, error_type=kind)


def wanted_synsets(
    synsets: str | Synset | Sequence[str | Synset], model: ModelInfo, everything: bool
) -> tuple[Synset, ...]:
    """Return the synsets that are asked for, each once.

    Raises
    ------
    SynsetError
        See `analyse_many`.
    """
    listed = [synsets] if isinstance(synsets, (str, Synset)) else list(synsets)
    if not listed and not everything:
        raise SynsetError(
            "Expected at least one synset. Received none. Name one, such as dog, or ask for everything."
        )
    found = [model.outputs.ontology.find(each) if isinstance(each, str) else each for each in listed]
    return tuple({synset.wnid: synset for synset in found}.values())


@dataclass(frozen=True)
class Question:
    """What is asked of every picture.

    Attributes
    ----------
    synsets : tuple of Synset
    everything : bool
        Whether what else is in the picture is analysed, too.
    options : MapOptions
    model : ModelInfo
    """

    synsets: tuple[Synset, ...]
    everything: bool
    options: MapOptions
    model: ModelInfo

    def answer(self, path: str, image: RGBImage, class_maps: Mapping[str, ClassMap]) -> PictureResult:
        """Return the result of a picture from its working copy and its class maps; the network does not run."""
        start = time.perf_counter()
        scene = _SharedScene(image, class_maps, self.options)
        asked = tuple(self._analysis(scene, synset) for synset in self.synsets)
        found: tuple[Analysis, ...] = ()
        if self.everything:
            known = {synset.wnid for synset in self.synsets}
            others = [each.synset for each in findings(class_maps) if each.synset.wnid not in known]
            found = tuple(self._analysis(scene, synset) for synset in others)
        passes = sum(each.seconds for each in class_maps.values())
        return PictureResult(path, image, asked, found, seconds=passes + time.perf_counter() - start)

    def _analysis(self, scene: _SharedScene, synset: Synset) -> Analysis:
        ontology: Ontology = self.model.outputs.ontology
        fine = partial(scene.fine, ontology.class_ids(synset.wnid))
        found = interpret(scene.image, scene.class_maps, synset, self.model, self.options, fine=fine)
        _ = found.boxes  # computed here, in the pool, rather than by whoever reads the results
        return found


class _SharedScene:
    """A picture's regions and what does not depend on a synset, computed once and only where something is marked."""

    def __init__(self, image: RGBImage, class_maps: Mapping[str, ClassMap], options: MapOptions) -> None:
        self.image, self.class_maps, self._options = image, class_maps, options
        self._scene: Scene | None = None

    def fine(self, class_ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the fine map of a synset's classes."""
        maps, options = tuple(self.class_maps.values()), self._options
        if options.snap and self._scene is None:
            self._scene = describe(self.image.pixels, maps)
        return fine_map(
            self.image.pixels, maps, class_ids, snap=options.snap, kind=options.kind, scene=self._scene
        )
