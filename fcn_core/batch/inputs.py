"""Pictures by their addresses: files, and whatever `fsspec` opens."""

from __future__ import annotations

import importlib.util
import posixpath
import re
from typing import Any
from urllib.parse import unquote

from fcn_core.errors import FcnError, FetchError
from fcn_core.images.limits import Limits
from fcn_core.images.read import RGBImage, read_image

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LOCAL = re.compile(r"(?:file|local)://", re.IGNORECASE)


def is_remote(address: str) -> bool:
    """Return whether an address is one that `fsspec` opens, such as ``s3://bucket/dog.jpg``."""
    return _SCHEME.match(address) is not None


def without_local_scheme(address: str) -> str:
    """Return the path of ``file:///photos/dog.jpg``; any other address as it is."""
    found = _LOCAL.match(address)
    return address[found.end() :] if found and "::" not in address else address


def read_picture(address: str, limits: Limits) -> RGBImage:
    """Return the picture at an address, as :func:`fcn_core.read_image` does.

    Raises
    ------
    ImageError
        See :func:`fcn_core.read_image`.
    FetchError
        The address does not answer, or what opens it is not installed.
    """
    address = without_local_scheme(address)
    if not is_remote(address):
        return read_image(address, limits=limits)
    system, path = file_system(address)
    try:
        with system.open(path, "rb") as file:
            return read_image(file, name=posixpath.basename(unquote(path)), limits=limits)
    except FcnError:
        raise
    except Exception as error:  # each file system has errors of its own
        raise _unanswered(address, error) from error


def file_system(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it.

    Raises
    ------
    FetchError
        `fsspec`, or the package that it needs for this kind of address, is not installed; or it refuses the address.
    """
    if importlib.util.find_spec("fsspec") is None:
        raise FetchError(
            f"Expected the package fsspec for {address}. Received none: it is not installed. Install "
            "it: pip install fsspec."
        )
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise FetchError(
            f"Expected a package that opens {address}. Received none: {error}. Install it beside fsspec."
        ) from error
    except Exception as error:  # a file system may check its settings, or connect
        raise _unanswered(address, error) from error
    return system, str(path)


def _unanswered(address: str, error: Exception) -> FetchError:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return FetchError(
        f"Expected a picture. Received none from {address}: {why}. Check the address and the access to it."
    )
