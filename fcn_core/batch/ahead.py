"""The network's inputs of the next picture, made while the network computes the one before.

They take memory, so they are made ahead only where there is much, and where the network runs over whole pictures.
Elsewhere the network makes its inputs itself, a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fcn_core.engines.base import Predictor, Preparing
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import ResizedImage
from fcn_core.images.scales import Fit, Scale, plan_scales

Inputs = dict[tuple[int, int], ResizedImage]

_SETS = 2  # of inputs: those of the picture in the network, and those of the next
_SHARE = 1 / 8  # of the free memory, for all sets
_PIXEL = 12  # bytes
_SPARE = 1.1  # a planned scale may have a few more pixels than the scale itself


class Ahead:
    """Makes inputs ahead.

    Parameters
    ----------
    model : Predictor
    scales, fit
        See :func:`fcn_core.compute_class_maps`.
    free_mb : float
        Memory that nothing uses yet.

    Attributes
    ----------
    reserved_mb : float
        Memory for the inputs, in megabytes; 0: none are made ahead.
    """

    def __init__(self, model: Predictor, scales: Sequence[Scale], fit: Fit, free_mb: float) -> None:
        self._model, self._scales, self._fit = model, scales, fit
        self._most = _SPARE * _PIXEL * sum(scale.height * scale.width for scale in scales)
        needed = _SETS * self._most / 2**20
        able = isinstance(model, Preparing) and needed <= _SHARE * free_mb
        self.reserved_mb = needed if able else 0.0

    def inputs(self, image: RGBImage, checkpoint: Callable[[], None]) -> Inputs:
        """Return the inputs of a picture by their height and width; none where the network makes them itself.

        The checkpoint is called before each, and may raise to stop.
        """
        model = self._model
        if not self.reserved_mb or not isinstance(model, Preparing):
            return {}
        plans = plan_scales(image.height, image.width, self._scales, self._fit)
        if _PIXEL * sum(plan.height * plan.width for plan in plans) > self._most:  # of odd proportions
            return {}
        made: Inputs = {}
        for plan in plans:
            checkpoint()
            expected = model.forecast(plan.height, plan.width)
            if expected.fits and expected.plan is None:
                resized = ResizedImage(image.pixels, plan.height, plan.width)
                made[plan.height, plan.width] = model.prepared(resized)
        return made
