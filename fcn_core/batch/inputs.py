"""Pictures by their addresses: files, folders, patterns, lists, and whatever `fsspec` opens."""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fcn_core.errors import DatasetError, FcnError, FetchError
from fcn_core.images.limits import Limits
from fcn_core.images.read import RGBImage, read_image

#: In folders, other files are no pictures. What is named itself, or by a pattern or a list, may have any name.
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .heic .heif .avif .gif .bmp .tif .tiff".split()  # noqa: SIM905
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LOCAL = re.compile(r"(?:file|local)://", re.IGNORECASE)
# What object stores and file systems call the state of a file, from the surest on.
_STATES = (
    "ETag",
    "etag",
    "md5Hash",
    "content_md5",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
    "created",
)


@dataclass(frozen=True, slots=True)
class Source:
    """A picture of the input.

    Attributes
    ----------
    path : str
        Path without detours such as ``./``, or address.
    state : str
        What changes if the file does: its size and time, or what its store says of it; "" where nothing is known.
    """

    path: str
    state: str = ""

    @property
    def key(self) -> str:
        """The path as text that every encoding knows: bytes of a file's name that are no UTF-8 are escaped."""
        return self.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def sources(inputs: Iterable[str], shard: tuple[int, int] = (1, 1), out: Path | None = None) -> list[Source]:
    """Return the pictures that the inputs name, each once, in order.

    Parameters
    ----------
    inputs : iterable of str
        Files, folders (with all folders in them), patterns such as ``photos/*.jpg`` or ``**/*.png``, lists
        (``@list.txt``: one of the others a line; ``#`` begins a comment), or addresses of these that `fsspec` opens.
    shard : (int, int)
        The i-th of n parts, from 1. The path decides which part a picture is in, so that others may be added.
    out : Path, optional
        Folder of the results: what is in it is no input, even if it is in a folder of the input.

    Raises
    ------
    DatasetError
        A list cannot be read, or an input names nothing.
    FetchError
        An address does not answer, or what opens it is not installed.
    """
    found: list[Source] = []
    seen: set[str] = set()
    results = None if out is None else os.path.join(_absolute(str(out)), "")  # noqa: PTH118
    for each in inputs:
        some = results_only = False
        for source in _expanded(each):
            place = place_of(source.path)
            if results and not is_remote(source.path) and _absolute(source.path).startswith(results):
                results_only = True
                continue
            some = True
            if place not in seen and in_shard(source.key, shard):
                found.append(source)
            seen.add(place)
        if results_only and not some:
            raise DatasetError(
                f"Expected pictures outside of the folder for the results. Received {each}, whose pictures all lie in "
                f"it ({out}). Choose another --out."
            )
        if not some:
            raise DatasetError(
                f"Expected a folder, a pattern or a list that names pictures. Received {each}, which names none. "
                "Check the path."
            )
    return found


def place_of(path: str) -> str:
    """Return by what a picture is known, however its path is written. Links are not followed."""
    if is_remote(path) or (".." in path and os.path.normpath(path) != path):  # see _normal
        return path
    return _absolute(path)


def _absolute(path: str) -> str:
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100 - of a million


def _normal(path: str) -> str:
    """Return a path without detours, unless it is another file then: ``..`` after a link."""
    normal = os.path.normpath(path)
    if ".." in path and normal != path:
        try:
            if not os.path.samefile(path, normal):  # noqa: PTH121
                return path
        except (OSError, ValueError):
            return path if os.path.lexists(path) else normal
    return normal


def in_shard(key: str, shard: tuple[int, int]) -> bool:
    """Return whether a picture is in the i-th of n parts."""
    number, count = shard
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") % count == number - 1


def _expanded(text: str) -> Iterator[Source]:
    if not text:
        raise DatasetError(
            "Expected files, folders, patterns, lists or addresses of pictures. Received an empty text. Name a "
            "picture, or . for the current folder."
        )
    if text.startswith("@"):
        for line in _lines(text[1:]):
            if line.startswith("@"):
                raise DatasetError(
                    f"Expected a picture, a folder, a pattern or an address in each line of a list. Received {line} in "
                    f"{text}. Name that list in the command; a picture whose name begins with @ is ./@name."
                )
            yield from _named(line)
    else:
        yield from _named(text)


def _lines(path: str) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"Expected a text file in UTF-8 with one input a line. Received @{path}, which cannot be read ({error}). "
            "Check the path; a picture whose name begins with @ is ./@name."
        ) from error
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def _named(text: str) -> Iterator[Source]:
    """Yield the pictures of a file, a folder or a pattern."""
    text = without_local_scheme(text)
    if is_remote(text):
        yield from _remote(text)
    elif os.path.isdir(text):  # noqa: PTH112 - any text, also one that is no path
        yield from _in_folder(text)
    elif glob.has_magic(text) and not os.path.lexists(text):
        for path in sorted(glob.iglob(text, recursive=True)):  # noqa: PTH207 - paths as they were written
            if not os.path.isdir(path):  # noqa: PTH112
                yield _local(path)
    else:
        yield _local(text)


def _in_folder(folder: str) -> Iterator[Source]:
    def refuse(error: OSError) -> None:
        raise DatasetError(
            f"Expected folders that can be read. Received {error.filename}, which cannot ({error.strerror}). Change "
            "its permissions, or name other folders."
        ) from error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if _is_picture(name):
                yield _local(os.path.join(place, name))  # noqa: PTH118


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and posixpath.splitext(name)[1].lower() in SUFFIXES


def _local(path: str) -> Source:
    path = _normal(path)
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return Source(path)  # reading it tells why
    return Source(path, f"{status.st_size}-{status.st_mtime_ns}")


def _remote(address: str) -> Iterator[Source]:
    protocol, _, rest = address.partition("://")
    inner, joint, outer = rest.partition("::")
    if _is_picture(posixpath.basename(inner)) and not glob.has_magic(inner):
        yield Source(address)  # without asking the store for each of a million
        return
    system, path = file_system(address)
    try:
        if glob.has_magic(path):
            listed = system.glob(path, detail=True)
        elif protocol.lower() not in ("http", "https") and system.isdir(path):
            listed = {p: about for p, about in system.find(path, detail=True).items() if _is_picture_at(p)}
        else:
            yield Source(address)
            return
    except Exception as error:  # each file system has errors of its own
        raise _unanswered(address, error) from error
    server = inner.strip("/").removesuffix(path.strip("/"))  # some file systems leave it out of the path
    for each, about in sorted(listed.items()):
        if about.get("type", "file") == "file":
            whole = each if is_remote(each) else f"{protocol}://{server}{each.lstrip('/')}"
            yield Source(f"{whole}{joint}{outer}", _state(about))


def _is_picture_at(path: str) -> bool:
    *folders, name = path.split("/")
    return _is_picture(name) and not any(folder.startswith(".") for folder in folders)


def _state(about: Mapping[str, Any]) -> str:
    known = next((str(about[name]) for name in _STATES if about.get(name)), "")
    return f"{about.get('size', '')}-{known}"


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
            f"Expected the package fsspec for {address}. Received none: it is not installed. Install it: pip "
            "install fsspec."
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
