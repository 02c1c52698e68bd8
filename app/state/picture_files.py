"""The files of users' pictures: in Streamlit's store of uploads, bounded, and deleted with their session.

A page knows where its file is and reads the bytes when it needs them. Nothing else refers to them, so the memory of an
evicted file is free at once.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import streamlit as st

from app import streamlit_patches
from app.streamlit_patches import UploadedFile, UploadedFileManager, UploadedFileRec
from fcn_core.errors import FcnError
from fcn_core.system import memory

logger = logging.getLogger(__name__)

_FILES = 256  # of a session: more than a browser may announce at once; their bytes are what counts
_FETCHED = 2  # of these, fetched from addresses: as many as the session's cache of downloads
_FETCHED_TYPE = "x-fetched"
_SHARE = 0.12  # of the memory budget, for files of all sessions

EVICTED = (
    "The server deleted the file of your picture to make room for newer ones. The page stays as it is. To compute "
    "large scales or to export files, choose the picture again."
)

_evicting = threading.Lock()


class PictureGone(FcnError):
    """The file of a picture was deleted."""


class File(Protocol):
    """The file of a picture."""

    @property
    def is_there(self) -> bool:
        """Whether it still exists."""

    def read(self) -> bytes:
        """Read the whole file.

        Raises
        ------
        PictureGone
            The file was deleted.
        """


@dataclass(frozen=True)
class OwnFile:
    """A file that comes with the app."""

    data: bytes
    is_there = True

    def read(self) -> bytes:
        """Read the whole file."""
        return self.data


@dataclass(frozen=True)
class StoredFile:
    """A file in Streamlit's store of uploads."""

    store: UploadedFileManager
    session: str
    id: str

    @property
    def is_there(self) -> bool:
        """Whether it still exists."""
        return bool(self.store.get_files(self.session, [self.id]))

    def read(self) -> bytes:
        """Read the whole file.

        Raises
        ------
        PictureGone
            It was evicted, or the user removed it.
        """
        for record in self.store.get_files(self.session, [self.id]):
            return record.data
        raise PictureGone(
            "Expected the file of this picture. Received none: it was deleted, by you or to make room for newer ones. "
            "Choose the picture again."
        )

    def delete(self) -> None:
        """Delete the file, if it is still there."""
        if self.is_there:
            streamlit_patches.remove_file(self.store, self.session, self.id)


@dataclass(frozen=True)
class FileLimits:
    """How much files may take.

    Attributes
    ----------
    files, bytes : int
        Number and bytes of one session's files.
    stored : int
        Bytes of all sessions' files.
    """

    files: int
    bytes: int
    stored: int

    @classmethod
    def from_settings(cls) -> FileLimits:
        """Derive the limits from the memory budget and the largest upload."""
        file = int(st.get_option("server.maxUploadSize")) << 20
        stored = max(2 * file, int(_SHARE * memory.budget_mb() * 2**20))
        return cls(_FILES, stored, stored)


def uploaded(file: UploadedFile) -> StoredFile:
    """Return an uploaded file; the page's own copy of its bytes is released."""
    store, session = streamlit_patches.here()
    file.truncate(0)
    return StoredFile(store, session, file.file_id)


def keep(data: bytes, name: str) -> StoredFile:
    """Store a downloaded file as if the user had uploaded it; earlier ones but the last are deleted."""
    store, session = streamlit_patches.here()
    stored = StoredFile(store, session, str(uuid.uuid4()))
    streamlit_patches.add_file(store, session, UploadedFileRec(stored.id, name, _FETCHED_TYPE, data))
    own = streamlit_patches.stored_files(store).get(session, {})
    for earlier in [id_ for id_, record in own.items() if record.type == _FETCHED_TYPE][:-_FETCHED]:
        streamlit_patches.remove_file(store, session, earlier)
    evict_files(store, stored.session, stored.id)
    return stored


def evict_files(
    store: UploadedFileManager, session: str, newest: str, limits: FileLimits | None = None
) -> None:
    """Delete files until the limits are met: first the session's own, then the oldest of the session with most bytes.

    Parameters
    ----------
    store : UploadedFileManager
    session, newest : str
        The session of the newest file, and its id; that file stays.
    limits : FileLimits, optional
        By default those of the settings.
    """
    limits = limits or FileLimits.from_settings()
    with _evicting:
        while next_ := _next_to_evict(streamlit_patches.stored_files(store), session, newest, limits):
            streamlit_patches.remove_file(store, *next_)
            logger.warning(
                "A file was evicted for a newer one: files may take %d MB in total.", limits.stored >> 20
            )


def _next_to_evict(
    stored: Mapping[str, Mapping[str, Any]], session: str, newest: str, limits: FileLimits
) -> tuple[str, str] | None:
    """Return session and id of the next file to delete, or None if the limits are met."""
    sizes = {of: {id_: len(record.data) for id_, record in files.items()} for of, files in stored.items()}
    own = sizes.get(session, {})
    if len(own) > limits.files or sum(own.values()) > limits.bytes:
        holders = {session: own}
    elif sum(sum(files.values()) for files in sizes.values()) > limits.stored:
        holders = sizes
    else:
        return None
    others = {of: [id_ for id_ in files if (of, id_) != (session, newest)] for of, files in holders.items()}
    left = [of for of, ids in others.items() if ids]
    if not left:
        return None
    most = max(left, key=lambda of: sum(sizes[of].values()))
    return most, others[most][0]
