"""The ways of making a map that an evaluation compares: this program's own, and others on the same network.

Each maker is a function from a :class:`Subject` to a map with its mask. This program's own maps and masks are those of
:class:`fcn_core.pipeline.Analysis`, so that what is measured is what the program gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fcn_core.engines.base import Predictor
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import resize_array
from fcn_core.images.scales import PlannedScale
from fcn_core.maps.heatmap import ClassMap, combine, place, synset_heatmap
from fcn_core.maps.region import normalise, suggest_threshold, threshold_mask
from fcn_core.pipeline import MapOptions, interpret
from fcn_core.synsets.ontology import Ontology, Synset

if TYPE_CHECKING:
    from fcn_core.evaluation.gradcam import GradCAM, LayerCAM

#: The ways of making a map that can be measured, by name.
WAYS: Mapping[str, str] = {
    "fine": "fine map (ours)",
    "probability": "probability, cells placed, mean",
    "evidence": "evidence, cells placed, mean",
    "notebook": "probability, notebook's mean",
    "cam": "CAM, mean of the scales",
    "layercam": "LayerCAM, stages and scales",
    "gradcam-448": "Grad-CAM at 448x448",
    "gradcam-224": "Grad-CAM at 224x224",
    "centre": "Gaussian at the centre",
}

#: The plain mean, with whose mask the masks of all other ways are compared.
PLAIN = "evidence"

#: The ways that need gradients, and with them TensorFlow.
NEED_TENSORFLOW = frozenset({"layercam", "gradcam-448", "gradcam-224"})

#: The ways that do not read class maps. The two kinds of Grad-CAM and LayerCAM run the network themselves.
NEED_NO_CLASS_MAPS = NEED_TENSORFLOW | {"centre"}

Float32 = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Subject:
    """What a map is made of: one synset in one picture.

    Attributes
    ----------
    image : RGBImage
    class_maps : mapping of str to ClassMap
        By scale as requested; empty if no way needs them.
    plans : tuple of PlannedScale
        The network's input size at each scale.
    synset : Synset
    class_ids : tuple of int
        ImageNet classes of the synset.
    """

    image: RGBImage
    class_maps: Mapping[str, ClassMap]
    plans: tuple[PlannedScale, ...]
    synset: Synset
    class_ids: tuple[int, ...]


class MapAndMask(Protocol):
    """A map (H, W) at the size of the picture, and the mask (H, W) that was made of it without the truth."""

    @property
    def fine(self) -> Float32:
        """The map."""

    @property
    def mask(self) -> Bools:
        """Pixels of the object."""


@dataclass(frozen=True, eq=False)
class OtherMap:
    """A map of another method, whose mask is that at Otsu's threshold."""

    fine: Float32

    @cached_property
    def mask(self) -> Bools:
        """Pixels of the object."""
        return threshold_mask(self.fine, suggest_threshold(self.fine))


Maker = Callable[[Subject], MapAndMask]


def makers_of(ways: Sequence[str], model: Predictor, ontology: Ontology) -> dict[str, Maker]:
    """Return for each way the function that makes its map.

    Parameters
    ----------
    ways : sequence of str
        Keys of `WAYS`.
    model : Predictor
        The model whose class maps the ways read; the others load the same network on TensorFlow.
    ontology : Ontology
    """

    def own(options: MapOptions) -> Maker:
        """A row states that its synset is there, so the mask is measured whatever the presence."""
        return lambda s: interpret(s.image, s.class_maps, s.synset, model.info, options, ontology=ontology)

    def other(make: Callable[[Subject], Float32]) -> Maker:
        return lambda subject: OtherMap(make(subject))

    makers: dict[str, Maker] = {
        "fine": own(MapOptions(always_mark=True)),
        "probability": own(MapOptions(kind="probability", snap=False, always_mark=True)),
        "evidence": own(MapOptions(kind="evidence", snap=False, always_mark=True)),
        "notebook": other(_notebook_mean),
        "cam": other(_cam),
        "centre": other(lambda subject: centre_gaussian(subject.image.height, subject.image.width)),
    }
    if NEED_TENSORFLOW & set(ways):
        from fcn_core.evaluation.gradcam import GradCAM, LayerCAM  # they load TensorFlow

        network: dict[str, Any] = {"name": model.info.name, "random": model.info.weights == "random"}
        if (given := model.info.given) is not None:
            network |= {"name": str(given.path), "preprocessing": given.preprocessing}
        if "layercam" in ways:
            makers["layercam"] = other(partial(_layercam, LayerCAM(**network)))
        if sizes := {way: int(way.removeprefix("gradcam-")) for way in ways if way.startswith("gradcam-")}:
            gradcam = GradCAM(**network)
            makers |= {way: other(partial(_gradcam, gradcam, size)) for way, size in sizes.items()}
    return {way: makers[way] for way in ways}


def centre_gaussian(height: int, width: int) -> Float32:
    """Return a Gaussian at the centre of the picture, which knows neither picture nor network.

    It is the baseline of Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020. It
    is isotropic in the square to which their protocol stretches pictures, so it has the proportions of the picture.

    Its standard deviation is half of each side. Another one orders the pixels in the same way: it changes only the mask
    at Otsu's threshold, and the other measures by no more than the step of their thresholds.

    Returns
    -------
    (height, width) float32 ndarray
    """
    rows, columns = (
        np.exp(-0.5 * ((np.arange(pixels) + 0.5) / pixels * 2 - 1) ** 2) for pixels in (height, width)
    )
    return np.outer(rows, columns).astype(np.float32)


def _notebook_mean(subject: Subject) -> Float32:
    mean = combine([synset_heatmap(m, subject.class_ids) for m in subject.class_maps.values()])
    return place(mean, subject.image.height, subject.image.width, placement="even")


def _cam(subject: Subject) -> Float32:
    """Return the class activation map (Zhou et al., CVPR 2016) of the synset's class with the highest score.

    A logit is that map plus the bias of its class, which scaling each map to 0 to 1 removes. The scaled maps of all
    scales, each spread evenly over the picture, are averaged.
    """
    maps = list(subject.class_maps.values())
    ids = list(subject.class_ids)
    scores = np.mean([m.logits[..., ids].mean(axis=(0, 1)) for m in maps], axis=0)
    best = ids[int(scores.argmax())]
    return _mean_of_scales(subject, [m.logits[..., best] for m in maps])


def _layercam(layercam: LayerCAM, subject: Subject) -> Float32:
    pixels, ids = subject.image.pixels, subject.class_ids
    return _mean_of_scales(
        subject, [layercam(pixels, ids, (plan.height, plan.width)) for plan in subject.plans]
    )


def _gradcam(gradcam: GradCAM, size: int, subject: Subject) -> Float32:
    image = subject.image
    return resize_array(gradcam(image.pixels, subject.class_ids, size), image.height, image.width)


def _mean_of_scales(subject: Subject, maps: Sequence[Float32]) -> Float32:
    """Return the mean of maps, each spread evenly over the picture and scaled to 0 to 1."""
    total = np.zeros((subject.image.height, subject.image.width), np.float32)
    for each in maps:
        total += normalise(resize_array(each, *total.shape))
    return total / np.float32(len(maps))
