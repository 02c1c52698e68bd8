"""The picture of Explore: where it comes from, how it is opened, and the widgets to choose it with."""

from __future__ import annotations

import base64
import logging

import streamlit as st

from app.state import caches, picture_files, session
from app.state.picture_files import EVICTED, StoredFile
from app.state.pictures import Picture, Refusal
from app.state.queue.job_log import INTERNAL_ERROR
from app.state.samples import DEFAULT, SAMPLES
from app.state.session import ExplorePage
from app.streamlit_patches import DeletedFile
from app.ui import notices, page_scripts
from fcn_core.errors import FcnError
from fcn_core.images.decoding import FORMATS
from fcn_core.images.limits import Limits

logger = logging.getLogger(__name__)

_SOURCES = ("Samples", "Upload", "Camera", "Link")


def open_chosen() -> Picture:
    """Open the picture that the widgets name, before they are drawn.

    If that fails, the last good picture stays, and the page's record says which one was refused, and why.
    """
    page = session.explore()
    source = str(st.session_state["source"])
    opening = {"Samples": _open_sample, "Upload": _open_upload, "Camera": _open_photo, "Link": _open_link}
    asked, name = _asked(source)
    if page.refused is None or page.refused.asked != asked:
        page.refused = None
        try:
            picture = opening[source](page)
            if picture is not None:
                page.picture, page.picture_gone = picture, False
        except FcnError as error:
            _refuse(page, asked, name, str(error))
        except Exception:
            logger.exception("A picture could not be read")
            _refuse(page, asked, name, INTERNAL_ERROR)
    if page.picture is None:
        page.picture = caches.sample(DEFAULT)
    return page.picture


def _refuse(page: ExplorePage, asked: str, name: str, reason: str) -> None:
    downloaded = asked.startswith(("Samples", "Link"))
    page.refused, page.picture_gone = Refusal(name, reason, asked, downloaded), False


def _asked(source: str) -> tuple[str, str]:
    """Return what tells one wish for a picture from another, and the picture's name in words."""
    if source == "Samples":
        name = str(st.session_state["picture"])
        return f"{source} {name}", SAMPLES[name].title
    if source == "Link":
        address = str(st.session_state.get("link") or "").strip()
        return f"{source} {address}", address
    file = st.session_state.get(_upload_key() if source == "Upload" else "camera")
    name = "The photo of the camera" if source == "Camera" else getattr(file, "name", "")
    return f"{source} {getattr(file, 'file_id', '')}", name


def _open_sample(_: ExplorePage) -> Picture:
    return caches.sample(str(st.session_state["picture"]))


def _open_upload(page: ExplorePage) -> Picture | None:
    file = st.session_state.get(_upload_key())
    if isinstance(file, DeletedFile):  # the browser still lists a file that the server has evicted
        page.uploader += 1
        if page.picture is not None and isinstance(page.picture.file, StoredFile):
            page.problem = EVICTED
        else:
            page.picture_gone = True
        return None
    if file is None:
        return None
    return caches.read_upload(file.file_id, file.name, picture_files.uploaded(file))


def _open_photo(_: ExplorePage) -> Picture | None:
    shot = st.session_state.get("camera")
    if shot is None:
        return None
    return caches.read_upload(shot.file_id, "camera", picture_files.uploaded(shot))


def _open_link(_: ExplorePage) -> Picture | None:
    url = str(st.session_state.get("link") or "").strip()
    if not url:
        return None
    picture = caches.fetch(url)
    if not picture.file.is_there:
        caches.fetch.clear(url)
        picture = caches.fetch(url)
    return picture


def _upload_key() -> str:
    serial = session.explore().uploader
    return f"upload-{serial}" if serial else "upload"


def draw() -> None:
    """Draw the widgets to choose a picture with."""
    source = st.segmented_control(
        "Picture",
        _SOURCES,
        key="source",
        required=True,
        width="stretch",
        persist_state="session",
        help=f"{FORMATS}. An uploaded picture stays in this session's memory and is deleted with the session.",
    )
    {"Samples": _samples, "Upload": _uploader, "Camera": _camera, "Link": _link}[str(source)]()


def _samples() -> None:
    name = st.pills(
        "Samples",
        list(SAMPLES),
        key="picture",
        required=True,
        format_func=_label,
        label_visibility="collapsed",
        persist_state="session",
    )
    notices.note(SAMPLES[str(name)].credit)


def _label(name: str) -> str:
    small = caches.thumbnail(name)
    title = SAMPLES[name].title
    if small is None:
        return f":material/cloud_download: {title}"
    return f"![](data:image/jpeg;base64,{base64.b64encode(small).decode()}) {title}"


def _uploader() -> None:
    key = _upload_key()
    st.file_uploader("Picture file", key=key, label_visibility="collapsed")
    if isinstance(st.session_state.get(key), DeletedFile):  # not known before it was drawn
        st.rerun()
    first = page_scripts.element(page_scripts.PICTURES_FIRST)
    st.html(first + notices.undelivered(Limits.from_env()), unsafe_allow_javascript=True)


def _camera() -> None:
    st.camera_input("Take a picture", key="camera", label_visibility="collapsed")


def _link() -> None:
    st.text_input(
        "Address of a picture",
        key="link",
        placeholder="https://",
        persist_state="session",
        help="The server downloads it, from public addresses only, and treats it like an upload.",
    )
