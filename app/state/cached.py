"""What the app keeps between reruns and users: the only home of ``st.cache_*`` and of model locks.

What belongs to one user (pictures, what was made of them) is kept for the session and goes with it.
"""

# ruff: noqa: ARG001 - arguments without an underscore are the keys of the caches

from __future__ import annotations

import gc
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import streamlit_patches
from app.state import picture_files
from app.state.picture_files import OwnFile, StoredFile
from app.state.pictures import Picture, open_picture
from app.state.proof import ConversionProof, prove
from app.state.queue.class_map_cache import ClassMapCache
from app.state.queue.forecasts import Forecasts
from app.state.queue.job_queue import Queue
from app.state.queue.jobs import JobKey, ModelKey
from app.state.queue.loader import Health
from app.state.samples import DEFAULT, SAMPLES, load_precomputed
from fcn_core import logs, settings
from fcn_core.engines.base import ModelInfo, Predictor
from fcn_core.engines.load import load_model
from fcn_core.errors import FcnError
from fcn_core.images.limits import Limits
from fcn_core.images.read import RGBImage
from fcn_core.images.resize import resize_image
from fcn_core.images.scales import NOTEBOOK_SCALES, Fit
from fcn_core.maps import findings as maps_findings
from fcn_core.maps.fine_map import Regions, fine_map, segment
from fcn_core.maps.heatmap import ClassMap, MapKind
from fcn_core.networks.zoo import find_weights, model_spec, require_weights
from fcn_core.pipeline import Analysis, interpret
from fcn_core.synsets.labels import picker_labels
from fcn_core.synsets.ontology import Ontology
from fcn_core.system import memory

logger = logging.getLogger(__name__)

ClassMaps = Mapping[str, ClassMap]
Done = tuple[tuple[str, int], ...]

_CACHE_SHARE = 0.12  # of the memory budget, for class maps
_CACHE_LIMIT = 512 * 2**20
_PAGES_SHARE = 0.17  # of the memory budget, for pages drawn while a network runs
_PAGES_LIMIT = 550  # megabytes: the largest picture's, while it is decoded
_COLLECT_EVERY = 5.0  # seconds
FIRST_SCALES = NOTEBOOK_SCALES[:3]


class _Models:
    """Loaded predictors; in a small container only the last one stays."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[ModelKey, Predictor] = {}
        self.fetched: dict[ModelKey, tuple[int, int]] = {}  # bytes so far and in all, of a download under way
        self._fetching: dict[str, Future[Path]] = {}
        self.room = 1 if memory.budget_mb() < 1500 else 3

    def __call__(self, key: ModelKey) -> Predictor:
        """Load a model, or give the one that is loaded; called in the queue's thread.

        No other keeps the memory of its last pass: to the forecast of this one's it would be in use.
        """
        with self._lock:
            for other, predictor in self._loaded.items():
                if other != key:
                    predictor.release_cached()
            if key not in self._loaded:
                while len(self._loaded) >= self.room:
                    self._loaded.pop(next(iter(self._loaded)))
                    memory.trim_heap()
                try:
                    self._loaded[key] = load_model(
                        key.name,
                        key.engine,
                        output_stride=key.output_stride,
                        progress=lambda done, whole: self.fetched.update({key: (done, whole)}),
                    )
                finally:
                    self.fetched.pop(key, None)
            return self._loaded[key]

    def peek(self, key: ModelKey) -> Predictor | None:
        """The predictor if it is loaded already."""
        return self._loaded.get(key)

    def loaded(self) -> list[ModelKey]:
        """What is loaded, the one that will leave first at the beginning."""
        return list(self._loaded)

    def fetch(self, key: ModelKey) -> Future[Path] | None:
        """Start to fetch a model's weights in a thread of its own, once; None where they need not be fetched."""
        spec = model_spec(key.name)
        if key in self._loaded or spec.weights.url is None or find_weights(spec) is not None:
            return None
        under_way = self._fetching.get(spec.name)
        if under_way is not None and not under_way.done():
            return under_way
        future = self._fetching[spec.name] = Future[Path]()

        def run() -> None:
            try:
                found = require_weights(spec, lambda done, whole: self.fetched.update({key: (done, whole)}))
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(found)
            finally:
                self.fetched.pop(key, None)

        threading.Thread(target=run, name="weights", daemon=True).start()
        return future


@st.cache_resource(show_spinner=False)
def wrong_settings() -> tuple[str, ...]:
    """What was wrong with the settings when the app started; said in the log, too."""
    faults = settings.check()
    for fault in faults:
        logger.error("%s", fault)
    return faults


@cache
def models() -> _Models:
    """The models, shared by all users."""
    return _Models()


_first = threading.RLock()  # of several that ask for the queue at once, one makes it


def queue() -> Queue:
    """The queue of analyses, shared by all users: one a process, which nothing clears.

    It starts with the default sample's class maps, computed beforehand, so that the first page is complete at
    once; behind it the default model is loaded, and computes them afresh.
    """
    with _first:
        return _queue()


@cache
def _queue() -> Queue:
    logs.configure("text")
    memory.limit_free_heap()
    memory.reserve(min(memory.budget_mb() * _PAGES_SHARE, _PAGES_LIMIT))
    size = min(int(memory.budget_mb() * _CACHE_SHARE) * 2**20, _CACHE_LIMIT)
    relieve = streamlit_patches.clear_page_caches
    made = Queue(models(), ClassMapCache(size), models().loaded, models().room, models().fetch, relieve)
    first = ModelKey(model_spec().name)
    try:
        sha256, info, class_maps = load_precomputed()
        spec = model_spec(info.name)
        same_engine = first.engine in ("auto", info.engine)
        if info.name == first.name and same_engine and info.weights_sha256 == spec.weights.digest:
            made.adopt(first, info, sha256, class_maps)
    except (OSError, ValueError, KeyError) as error:
        logger.warning("The precomputed sample cannot be read: %s", error)
    _warm(made)
    gc.collect()
    gc.freeze()  # the modules, which need not be looked through each time
    threading.Thread(target=_collect, name="collector", daemon=True).start()
    return made


def try_again() -> None:
    """Have the default model loaded where that failed: the reason may be gone. What is under way goes on."""
    if _queue.cache_info().currsize and not health().ready:
        _warm(_queue())


def _warm(made: Queue) -> None:
    made.warm(sample(DEFAULT), ModelKey(model_spec().name), FIRST_SCALES)


def health() -> Health:
    """Whether the default model can be used; never waits."""
    if not _queue.cache_info().currsize:
        return Health(False, "The app starts.")
    return _queue().health()


def _collect() -> None:
    """Free what pages have left behind in circles, now and then.

    Streamlit would do so after every run of every page, which with many pages open takes all of the processor; it is
    told not to (``runner.postScriptGC``).
    """
    seen = -1
    while True:
        time.sleep(_COLLECT_EVERY)
        young = gc.get_stats()[0]["collections"]
        if young != seen:  # something was made since
            gc.collect()
            seen = gc.get_stats()[0]["collections"]


@st.cache_resource(show_spinner=False)
def ontology() -> Ontology:
    """The shipped hierarchy of synsets."""
    return Ontology.load()


@st.cache_resource(show_spinner=False)
def synset_choices() -> dict[str, str]:
    """The entries of a synset picker: label by wnid."""
    return picker_labels(ontology())


@st.cache_resource(show_spinner=False)
def sample(name: str) -> Picture:
    """A sample picture; one with an address is fetched when first asked for.

    Raises
    ------
    FcnError
        It cannot be had: there is no network, or the file is missing.
    """
    chosen = SAMPLES[name]
    if chosen.url is not None:
        from fcn_core.images.fetch import fetch_image_bytes

        data = fetch_image_bytes(chosen.url)
    else:
        path = chosen.path
        if path is None or not path.is_file():
            raise FcnError(f"The sample {chosen.title!r} comes with scikit-image, which lacks it here.")
        data = path.read_bytes()
    return open_picture(OwnFile(data), chosen.file_name, name)


@st.cache_resource(show_spinner=False, max_entries=32)
def thumbnail(name: str, height: int = 120) -> bytes | None:
    """A sample's small picture as JPEG; None for one that would have to be fetched."""
    if SAMPLES[name].url is not None:
        return None
    from fcn_core import render

    image = sample(name).working
    side = min(image.height, image.width)
    top, left = (image.height - side) // 2, (image.width - side) // 2
    square = image.pixels[top : top + side, left : left + side]
    return render.encode(resize_image(square, height, height).round().astype(np.uint8), "jpeg", 85)


def predictor(key: ModelKey) -> Predictor | None:
    """A model that is loaded, or None while it is not; never waits."""
    return models().peek(key)


@st.cache_resource(show_spinner=False)
def forecasts() -> Forecasts:
    """What scales will cost, for the pages of all users."""
    return Forecasts(predictor)


def limits() -> Limits:
    """What an upload may be: what is decoded beside a running network must fit into what was kept free for it."""
    return Limits.from_env(memory_mb=memory.reserved_mb() or None)


# What belongs to one user


def session() -> str:
    """Whose work a job is: a number drawn at random, for as long as the session lasts."""
    if "queue-session" not in st.session_state:
        st.session_state["queue-session"] = secrets.token_hex(8)
    return str(st.session_state["queue-session"])


@st.cache_resource(show_spinner=False, scope="session", max_entries=2)
def read_upload(file: str, name: str, _stored: StoredFile) -> Picture:
    """Decode an uploaded picture once (`file` is its id)."""
    return open_picture(_stored, name, limits=limits())


@st.cache_resource(show_spinner=False, scope="session", max_entries=2)
def fetch(url: str) -> Picture:
    """Fetch and decode the picture at an address once."""
    from fcn_core.images.fetch import fetch_image_bytes, name_of

    name = name_of(url)
    return open_picture(picture_files.keep(fetch_image_bytes(url), name), name, url, limits())


@st.cache_resource(show_spinner=False, scope="session", max_entries=6)
def photo(sha256: str, height: int, width: int, _image: RGBImage) -> NDArray[np.uint8]:
    """The picture at the size it is shown."""
    return resized(_image.pixels, (height, width))


def resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A drawing at the size (height, width) it is shown."""
    if pixels.shape[:2] == size:
        return pixels
    return np.clip(resize_image(pixels, *size).round(), 0, 255).astype(np.uint8)


@st.cache_resource(show_spinner=False, scope="session", max_entries=3)
def regions(sha256: str, _image: RGBImage) -> Regions:
    """The regions of a picture; they serve every synset."""
    return segment(_image.pixels)


@st.cache_resource(show_spinner=False, scope="session", max_entries=2)
def fine(
    key: JobKey, done: Done, wnid: str, kind: MapKind, snap: bool, _picture: RGBImage, _class_maps: ClassMaps
) -> NDArray[np.float32]:
    """The fine map of a synset, which serves every threshold."""
    return fine_map(
        _picture.pixels,
        tuple(_class_maps.values()),
        ontology().class_ids(wnid),
        snap=snap,
        kind="evidence" if snap else kind,
        regions=regions(key.image_sha256, _picture) if snap else None,
    )


def analysis(
    key: JobKey,
    class_maps: ClassMaps,
    wnid: str,
    picture: RGBImage,
    info: ModelInfo,
    *,
    kind: MapKind = "probability",
    fit: Fit = "aspect",
    snap: bool = True,
    threshold: float | Literal["auto"] = "auto",
) -> Analysis:
    """Interpret class maps; the fine map is computed or taken from the cache when it is first read."""
    return interpret(
        picture,
        class_maps,
        ontology()[wnid],
        info,
        kind=kind,
        fit=fit,
        threshold=threshold,
        snap=snap,
        fine=lambda: fine(key, done(class_maps), wnid, kind, snap, picture, class_maps),
        ontology=ontology(),
    )


def done(class_maps: ClassMaps) -> Done:
    """Which scales, and which arrays they are: a key of what is derived from them."""
    return tuple((key, id(m.logits)) for key, m in class_maps.items())


@st.cache_resource(show_spinner=False, scope="session", max_entries=4)
def findings(key: JobKey, done: Done, _class_maps: ClassMaps) -> tuple[maps_findings.Finding, ...]:
    """What the network sees in the picture."""
    return maps_findings.findings(_class_maps)


@st.cache_resource(show_spinner=False)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="lesson")


@st.cache_resource(show_spinner=False, max_entries=8)
def preparation(model: ModelKey) -> Future[Predictor]:
    """Start loading a model beside the queue; once a model for all users."""
    return _pool().submit(models(), model)


@st.cache_resource(show_spinner=False, max_entries=8)
def proof_of(model: str) -> Future[ConversionProof]:
    """Start the conversion's proof; once a model for all users."""
    return _pool().submit(prove, model)
