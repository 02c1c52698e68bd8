"""Windows of a class map's cells, and what else is the same for all synsets: what the presence is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from scipy import sparse

from fcn_core.maps.heatmap import ClassMap, Float32

_WINDOW = 4  # cells a side of a window: about the part of a picture that the network was trained to name
_STEP = 2  # cells from one window to the next


@dataclass(frozen=True, eq=False)
class Terms:
    """What is the same for all synsets of a class map; a few numbers a cell.

    Attributes
    ----------
    mean, deviation, log_normaliser : (cells,) ndarray
        Of each cell's logits.
    windows : sparse (windows, cells)
        Averages the cells of each window: four by four cells, every second cell; the last ends at the edge.
    window_log_normaliser : (windows,) ndarray
    """

    mean: Float32
    deviation: Float32
    log_normaliser: Float32
    windows: sparse.csr_array
    window_log_normaliser: Float32


_KEPT: WeakKeyDictionary[ClassMap, Terms] = WeakKeyDictionary()


def terms_of(class_map: ClassMap) -> Terms:
    """Return the terms of a class map, computed once and kept as long as it."""
    if (kept := _KEPT.get(class_map)) is not None:
        return kept
    logits = class_map.logits.reshape(-1, class_map.logits.shape[-1])
    mean = logits.mean(axis=1)
    deviation = np.maximum(logits.std(axis=1), 1e-6)
    height, width = class_map.grid
    windows = sparse.kron(_averages(height), _averages(width), format="csr").astype(np.float32)
    averaged = np.asarray(windows @ logits)
    largest = averaged.max(axis=1)
    averaged -= largest[:, None]
    normaliser = largest + np.log(np.exp(averaged, out=averaged).sum(axis=1))
    terms = Terms(mean, deviation, class_map.log_normaliser.ravel(), windows, normaliser)
    _KEPT[class_map] = terms
    return terms


def _averages(size: int) -> sparse.csr_array:
    """Return the matrix (windows, cells) that averages each window along one axis; the last window ends at the edge."""
    window = min(_WINDOW, size)
    starts = np.union1d(np.arange(0, size - window + 1, _STEP), [size - window])
    columns = (starts[:, None] + np.arange(window)).ravel()
    ends = np.arange(0, columns.size + 1, window)
    return sparse.csr_array((np.full(columns.size, 1 / window), columns, ends), shape=(starts.size, size))
