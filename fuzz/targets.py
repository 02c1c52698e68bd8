"""What is fuzzed: every reader of bytes that a stranger or a damaged disk may have made.

A target takes bytes and returns whether they were accepted. It raises only when the reader broke its promise:
a result as described, or the one error it names, in a message that can be shown.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from fcn_core.engines.graph_cache import _meta_digest, load_graph
from fcn_core.errors import (
    FcnError,
    FetchError,
    ImageError,
    ScaleError,
    WeightsInvalid,
)
from fcn_core.images import fetch
from fcn_core.images.limits import Limits
from fcn_core.images.read import clean_name, read_image
from fcn_core.images.scales import parse_scales
from fcn_core.networks.weights import digest

os.environ.setdefault("KERAS_BACKEND", "openvino")  # the weights reader's module imports Keras

LIMITS = Limits(max_bytes=2**20, max_pixels=10**6)


class BrokenPromise(AssertionError):
    """A reader did what it said it never does."""


def image(data: bytes) -> bool:
    """`read_image`: a picture within the limits, or an ImageError."""
    try:
        picture = read_image(data, name="fuzz", limits=LIMITS)
    except ImageError as error:
        return _said(error)
    _hold(picture.pixels.dtype == np.uint8 and picture.pixels.shape[2:] == (3,), "not RGB")
    _hold(picture.height * picture.width <= LIMITS.max_pixels, "beyond the limits")
    _hold(not picture.pixels.flags.writeable, "writeable")
    return True


def weights(data: bytes) -> bool:
    """`read_torch_weights`: arrays that lie inside the file, or WeightsInvalid."""
    from fcn_core.networks.checkpoint import read_torch_weights

    try:
        tensors = read_torch_weights(_file(data))
    except WeightsInvalid as error:
        return _said(error)
    for name, tensor in tensors.items():
        _hold(isinstance(name, str) and isinstance(tensor, np.ndarray), "not a tensor by name")
        _hold(tensor.dtype in (np.dtype("<f4"), np.dtype("<i8")), "another type")
        _hold(not tensor.flags.writeable, "writeable")
        if tensor.size:
            low, high = np.lib.array_utils.byte_bounds(tensor)
            _hold(high - low <= len(data), "reaches outside the file")
            float(tensor.flat[0]), float(tensor.flat[-1])
    return True


def graph(data: bytes) -> bool:
    """`load_graph` with any description, as it is and with the right digests put in: a graph, or None."""
    folder = _folder()
    file = folder / "meta.json"
    file.write_bytes(data)
    _hold(load_graph(folder) is None, "a graph without digests")
    try:
        meta = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(meta, dict):
        return False
    meta = {**meta, "sha256": {name: digest(folder / name) for name in ("graph.xml", "graph.bin")}}
    meta.pop("meta_sha256", None)
    file.write_text(json.dumps({**meta, "meta_sha256": _meta_digest(meta)}), encoding="utf-8")
    return load_graph(folder) is not None


def text(data: bytes) -> bool:
    """What is typed: addresses, names, scales."""
    typed = data.decode("utf-8", "surrogateescape")
    name = clean_name(typed)
    _hold(name.isprintable() and not set(name) & set('/\\<>:"|?*') and name[0] != ".", "a name that misleads")
    _hold(len(name.encode("utf-8", "surrogateescape")) <= 130, "a long name")
    fetch.name_of(typed)
    accepted = False
    try:
        parts = fetch._checked(typed)
        _hold(parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc, "not plain")
        accepted = True
    except FetchError as error:
        _said(error)
    try:
        accepted |= bool(parse_scales(typed))
    except ScaleError as error:
        _said(error)
    return accepted


TARGETS: dict[str, Callable[[bytes], bool]] = {
    "image": image,
    "weights": weights,
    "graph": graph,
    "text": text,
}


def _hold(promise: object, broken: str) -> None:
    if not promise:
        raise BrokenPromise(broken)


def _said(error: FcnError) -> bool:
    message = str(error)
    _hold(0 < len(message) < 2000, "a message of no use")
    return False


@lru_cache(1)
def _folder() -> Path:
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    folder = Path(tempfile.mkdtemp(prefix="fcn-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "graph.xml").write_bytes(b'<net element_type="f32"/>')
    (folder / "graph.bin").write_bytes(bytes(16))
    return folder


def _file(data: bytes) -> Path:
    path = _folder() / "input"
    path.write_bytes(data)
    return path
