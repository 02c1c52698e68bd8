"""The files of users' pictures: kept in Streamlit's store of uploads, bounded, and gone with their session.

A page knows where its file is and asks for the bytes when it needs them. So nothing else holds them, and a file that
gives way to others is gone at once.
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

_FILES = 3  # of a session: an upload, a photo, and one that is to take a place
_SHARE = 0.12  # of the memory budget, for files of all sessions

GAVE_WAY = (
    "The file of your picture gave way to newer ones: the server has room for only so many. What is shown stays; for "
    "large scales and files to take away, choose the picture again."
)

_making_room = threading.Lock()


class PictureGone(FcnError):
    """The file of a picture is no longer kept."""


class File(Protocol):
    """Where a picture's file is."""

    @property
    def is_there(self) -> bool:
        """Whether it is still kept."""

    def read(self) -> bytes:
        """All of it.

        Raises
        ------
        PictureGone
            It is no longer kept.
        """


@dataclass(frozen=True)
class OwnFile:
    """One that comes with the app."""

    data: bytes
    is_there = True

    def read(self) -> bytes:
        """All of it."""
        return self.data


@dataclass(frozen=True)
class StoredFile:
    """One of a session's."""

    store: UploadedFileManager
    session: str
    id: str

    @property
    def is_there(self) -> bool:
        """Whether it is still kept."""
        return bool(self.store.get_files(self.session, [self.id]))

    def read(self) -> bytes:
        """All of it.

        Raises
        ------
        PictureGone
            It gave way to others, or was taken back.
        """
        for record in self.store.get_files(self.session, [self.id]):
            return record.data
        raise PictureGone(
            "The file of this picture is no longer kept: the server has room for only so many, and newer ones took "
            "its place, or you removed it. Choose the picture again."
        )


@dataclass(frozen=True)
class Room:
    """What files may take.

    Attributes
    ----------
    files, bytes : int
        Of one session, in number and bytes.
    stored : int
        Bytes of all sessions' files.
    """

    files: int
    bytes: int
    stored: int

    @classmethod
    def from_settings(cls) -> Room:
        """What the memory budget and the largest upload allow."""
        file = int(st.get_option("server.maxUploadSize")) << 20
        return cls(_FILES, 2 * file, max(2 * file, int(_SHARE * memory.budget_mb() * 2**20)))


def uploaded(file: UploadedFile) -> StoredFile:
    """Where an uploaded file is; the copy that a page gets lets go of the bytes."""
    store, session = streamlit_patches.here()
    file.truncate(0)
    return StoredFile(store, session, file.file_id)


def keep(data: bytes, name: str) -> StoredFile:
    """Store a file that this session fetched, as if it had been uploaded."""
    store, session = streamlit_patches.here()
    stored = StoredFile(store, session, str(uuid.uuid4()))
    record = UploadedFileRec(stored.id, name, "application/octet-stream", data)
    streamlit_patches.add_file(store, session, record)
    make_room(store, stored.session, stored.id)
    return stored


def make_room(store: UploadedFileManager, session: str, newest: str, room: Room | None = None) -> None:
    """Let files go until there is room: first the session's own, then the oldest of the session that holds most.

    Parameters
    ----------
    store : UploadedFileManager
    session, newest : str
        Whose file came last, and its id; it stays.
    room : Room, optional
        By default what the settings allow.
    """
    room = room or Room.from_settings()
    with _making_room:
        while over := _over(streamlit_patches.stored_files(store), session, newest, room):
            streamlit_patches.remove_file(store, *over)
            logger.warning("A file gave way to a newer one: files may take %d MB in all.", room.stored >> 20)


def _over(
    stored: Mapping[str, Mapping[str, Any]], session: str, newest: str, room: Room
) -> tuple[str, str] | None:
    """What has to go next: session and id, or None where there is room."""
    sizes = {of: {id_: len(record.data) for id_, record in files.items()} for of, files in stored.items()}
    own = sizes.get(session, {})
    if len(own) > room.files or sum(own.values()) > room.bytes:
        holders = {session: own}
    elif sum(sum(files.values()) for files in sizes.values()) > room.stored:
        holders = sizes
    else:
        return None
    others = {of: [id_ for id_ in files if (of, id_) != (session, newest)] for of, files in holders.items()}
    left = [of for of, ids in others.items() if ids]
    if not left:
        return None
    most = max(left, key=lambda of: sum(sizes[of].values()))
    return most, others[most][0]
