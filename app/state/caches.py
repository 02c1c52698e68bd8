"""Values that are computed once and kept between runs: the only home of ``st.cache_*``.

Values that depend on a user's picture are kept in that user's session and are dropped with it.
"""

# ruff: noqa: ARG001 - arguments without an underscore are the keys of the caches

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.state import picture_files
from app.state.picture_files import OwnFile, StoredFile
from app.state.pictures import Picture, open_picture
from app.state.predictors import predictor, predictors
from app.state.proof import ConversionProof, prove
from app.state.queue.forecasts import Forecasts
from app.state.queue.jobs import JobKey, ModelKey
from app.state.rooms import Rooms
from app.state.samples import SAMPLES
from fcn_core import settings
from fcn_core.engines.base import Predictor
from fcn_core.errors import FcnError
from fcn_core.images.limits import Limits
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import resize_image
from fcn_core.maps.findings import Finding, findings
from fcn_core.maps.fine_map import describe, fine_map
from fcn_core.maps.heatmap import ClassMap, MapKind
from fcn_core.maps.region_features import Scene
from fcn_core.system import memory

logger = logging.getLogger(__name__)

ClassMaps = Mapping[str, ClassMap]
Identity = tuple[tuple[str, int], ...]

# For all users


@st.cache_resource(show_spinner=False)
def wrong_settings() -> tuple[str, ...]:
    """Check the settings once, log what is wrong with them, and return it."""
    problems = settings.check()
    for problem in problems:
        logger.error("%s", problem)
    return problems


@st.cache_resource(show_spinner=False)
def sample(name: str) -> Picture:
    """Open a sample picture; one with a URL is downloaded first.

    Raises
    ------
    FcnError
        The file is missing, or the download failed.
    """
    return _open_sample(name)


def _open_sample(name: str) -> Picture:
    chosen = SAMPLES[name]
    if chosen.url is not None:
        from fcn_core.images.fetch import fetch_image_bytes

        data = fetch_image_bytes(chosen.url)
    else:
        path = chosen.path
        if path is None or not path.is_file():
            raise FcnError(
                f"Expected the sample {chosen.title!r} in scikit-image's data folder. Received none. Install "
                f"scikit-image again, or choose another sample."
            )
        data = path.read_bytes()
    return open_picture(OwnFile(data), chosen.file_name, name)


@st.cache_resource(show_spinner=False, max_entries=32)
def thumbnail(name: str, height: int = 120) -> bytes | None:
    """Return a sample's small square picture as JPEG, or None for a sample that must be downloaded."""
    if SAMPLES[name].url is not None:
        return None
    from fcn_core import render

    image = _open_sample(name).working  # not kept: of most samples the page shows nothing else
    side = min(image.height, image.width)
    top, left = (image.height - side) // 2, (image.width - side) // 2
    square = image.pixels[top : top + side, left : left + side]
    return render.encode(resize_image(square, height, height).round().astype(np.uint8), "jpeg", 85)


@st.cache_resource(show_spinner=False)
def forecasts() -> Forecasts:
    """Return the forecasts of what scales cost."""
    return Forecasts(predictor)


@st.cache_resource(show_spinner=False)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="lesson")


@st.cache_resource(show_spinner=False, max_entries=8)
def preparation(model: ModelKey) -> Future[Predictor]:
    """Start to load a model beside the queue, once."""
    return _pool().submit(predictors().load, model)


@st.cache_resource(show_spinner=False, max_entries=8)
def proof_of(model: str) -> Future[ConversionProof]:
    """Start the proof of a model's conversion, once."""
    return _pool().submit(prove, model)


@st.cache_resource(show_spinner=False)
def rooms() -> Rooms:
    """Return the rooms in which classes predict together."""
    return Rooms()


@st.cache_resource(show_spinner=False, max_entries=8)  # 1.2 MB each
def cells_of_sample(key: tuple[object, ...], _make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Make what the lesson's figure of cells sends to the browser, once; `key` is all that it depends on."""
    return _make()


@st.cache_resource(show_spinner=False, max_entries=4)  # at most 4 MB each
def fine_of_sample(key: JobKey, wnid: str, _make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Make the fine map that masks a sample in the lesson, once for all learners."""
    return _make()


def limits() -> Limits:
    """Return the limits of an upload: it is decoded in the memory that is kept free beside a running network."""
    return Limits.from_env(memory_mb=memory.reserved_mb() or None)


# For one user


@st.cache_resource(show_spinner=False, scope="session", max_entries=2)
def read_upload(file: str, name: str, _stored: StoredFile) -> Picture:
    """Decode an uploaded picture once; `file` is its id."""
    return open_picture(_stored, name, limits=limits())


@st.cache_resource(show_spinner="Downloading the picture …", scope="session", max_entries=2)
def fetch(url: str) -> Picture:
    """Download and decode a picture once."""
    from fcn_core.images.fetch import fetch_image_bytes, name_of

    name = name_of(url)
    return open_picture(picture_files.keep(fetch_image_bytes(url), name), name, url, limits())


@st.cache_resource(show_spinner=False, scope="session", max_entries=1)
def cells_of_own_picture(key: tuple[object, ...], _make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Make what `cells_of_sample` makes, of a user's picture."""
    return _make()


@st.cache_resource(show_spinner=False, scope="session", max_entries=6)
def photo(sha256: str, height: int, width: int, _image: RGBImage) -> NDArray[np.uint8]:
    """Resize a picture to the size at which it is shown."""
    return resized(_image.pixels, (height, width))


def resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a drawing to (height, width)."""
    if pixels.shape[:2] == size:
        return pixels
    return np.clip(resize_image(pixels, *size).round(), 0, 255).astype(np.uint8)


@st.cache_resource(show_spinner=False, scope="session", max_entries=1)  # 5 MB
def scene(key: JobKey, identity: Identity, _picture: RGBImage, _class_maps: ClassMaps) -> Scene:
    """Compute what the fine maps of all synsets have in common."""
    return describe(_picture.pixels, tuple(_class_maps.values()))


@st.cache_resource(show_spinner=False, scope="session", max_entries=2)
def fine(
    key: JobKey,
    identity: Identity,
    wnid: str,
    kind: MapKind,
    snap: bool,
    _picture: RGBImage,
    _class_maps: ClassMaps,
) -> NDArray[np.float32]:
    """Compute the fine map of a synset; it serves every threshold."""
    return fine_map(
        _picture.pixels,
        tuple(_class_maps.values()),
        next(iter(_class_maps.values())).outputs.ontology.class_ids(wnid),
        snap=snap,
        kind="evidence" if snap else kind,
        scene=scene(key, identity, _picture, _class_maps) if snap else None,
    )


@dataclass(frozen=True, eq=False)
class Outlined:
    """A mask as the page shows it at first: it takes a thirtieth of the fine map's memory.

    Attributes
    ----------
    polygons : tuple of (n, 2) float ndarray
        Its outlines, (x, y) from 0 to 1 of its sides, largest first; empty if nothing is marked.
    coverage : float
        Share of the picture that it covers.
    bits : uint8 ndarray
        The mask, eight pixels a byte.
    shape : (int, int)
        Height and width of the mask.
    """

    polygons: tuple[NDArray[np.float64], ...]
    coverage: float
    bits: NDArray[np.uint8]
    shape: tuple[int, int]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask, (H, W)."""
        height, width = self.shape
        pixels: NDArray[np.bool_] = (
            np.unpackbits(self.bits, count=height * width).reshape(self.shape).view(np.bool_)
        )
        return pixels


NOTHING_OUTLINED = Outlined((), 0.0, np.zeros(1, np.uint8), (1, 1))


@st.cache_resource(show_spinner=False, scope="session", max_entries=24)  # 0.1 MB each
def outlined(
    key: JobKey,
    identity: Identity,
    wnid: str,
    way: tuple[object, ...],
    _mask: Callable[[], NDArray[np.bool_]],
) -> Outlined:
    """Compute the outlines of a mask; `way` is what else it depends on."""
    mask = _mask()
    height, width = mask.shape
    return Outlined(outlines_of(mask), float(mask.mean()), np.packbits(mask), (height, width))


def outlines_of(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
    """Return the smoothed outlines of a mask, (x, y) from 0 to 1 of its sides, largest first.

    The steps of its pixels are smoothed away, and specks of some ten pixels with them.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.measure import approximate_polygon, find_contours

    if not mask.any():
        return ()
    soft = gaussian_filter(np.pad(mask, 1).astype(np.float32), max(mask.shape) / 640, mode="nearest")
    lines = sorted(find_contours(soft, 0.5), key=len, reverse=True)
    size = mask.shape[1], mask.shape[0]
    return tuple(np.clip((approximate_polygon(line, 0.3)[:, ::-1] - 0.5) / size, 0, 1) for line in lines)


@st.cache_resource(show_spinner=False, scope="session", max_entries=4)
def guesses(key: JobKey, identity: Identity, _class_maps: ClassMaps) -> tuple[Finding, ...]:
    """Find what may be in a picture, most certain first, also what is not worth saying."""
    return findings(_class_maps, least=0.0)


def identity(class_maps: ClassMaps) -> Identity:
    """Return the scales of class maps and the ids of their arrays: a key for what is computed from them."""
    return tuple((key, id(m.logits)) for key, m in class_maps.items())
