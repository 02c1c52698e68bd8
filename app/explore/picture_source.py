"""The picture of Explore: where it comes from, how it is opened, and the widgets to choose it with."""

from __future__ import annotations

import base64
import logging

import streamlit as st

from app.state import caches, picture_files, session
from app.state.picture_files import EVICTED, StoredFile
from app.state.pictures import Picture
from app.state.queue.job_log import INTERNAL_ERROR
from app.state.samples import DEFAULT, SAMPLES
from app.state.session import ExplorePage
from app.streamlit_patches import DeletedFile
from app.ui import notices, page_scripts
from fcn_core.errors import FcnError
from fcn_core.images.limits import Limits

logger = logging.getLogger(__name__)


def open_chosen() -> Picture:
    """Open the picture that the widgets name, before they are drawn.

    If that fails, the last good picture stays, and the page's record gets a message.
    """
    page = session.explore()
    opening = {"Samples": _open_sample, "Upload": _open_upload, "Camera": _open_photo, "Link": _open_link}
    try:
        picture = opening[st.session_state["source"]](page)
        if picture is not None:
            page.picture, page.picture_gone = picture, False
    except FcnError as error:
        page.problem = str(error)
    except Exception:
        logger.exception("A picture could not be read")
        page.problem = INTERNAL_ERROR
    if page.picture is None:
        page.picture = caches.sample(DEFAULT)
    return page.picture


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
    """Draw the row of pictures: one's own first, then the samples."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="pictures"):
        _uploader()
        with st.popover("", icon=":material/more_horiz:", help="Take a picture, or give the address of one"):
            _camera()
            _link()
        _samples()


def _came_from(source: str) -> None:
    st.session_state["source"] = source


def _uploader() -> None:
    key = _upload_key()
    with st.container(width="content", key="own-photo"):
        st.file_uploader(
            "Use your photo",
            key=key,
            label_visibility="collapsed",
            on_change=_came_from,
            args=("Upload",),
            width=170,
        )
    if isinstance(st.session_state.get(key), DeletedFile):  # not known before it was drawn
        st.rerun()
    scripts = page_scripts.element(page_scripts.PICTURES_FIRST) + page_scripts.element(
        page_scripts.DROP_AND_PASTE
    )
    st.html(scripts + notices.undelivered(Limits.from_env()), unsafe_allow_javascript=True)


def _camera() -> None:
    st.camera_input("Take a picture", key="camera", on_change=_came_from, args=("Camera",))


def _link() -> None:
    st.text_input(
        "Address of a picture",
        key="link",
        placeholder="https://",
        persist_state="session",
        on_change=_came_from,
        args=("Link",),
        help="The server downloads it, from public addresses only, and treats it like an upload.",
    )


def _samples() -> None:
    if st.session_state["source"] != "Samples":
        st.session_state["picture"] = None
    st.pills(
        "Samples",
        list(SAMPLES),
        key="picture",
        format_func=_label,
        label_visibility="collapsed",
        on_change=_choose_sample,
        persist_state="session",
    )


def _choose_sample() -> None:
    if st.session_state["picture"] is not None:
        _came_from("Samples")
    elif st.session_state["source"] == "Samples":  # a second click does not take it away
        picture = session.explore().picture
        st.session_state["picture"] = picture.address if picture is not None else DEFAULT


def _label(name: str) -> str:
    small, title = caches.thumbnail(name), SAMPLES[name].title
    if small is None:
        return f":material/cloud_download: {title}"
    return f"![{title}](data:image/jpeg;base64,{base64.b64encode(small).decode()})"


def credit(picture: Picture) -> str:
    """Return what is written below a picture: a sample's author and licence, or what an uploaded file is."""
    sample = SAMPLES.get(picture.address)
    return f"{sample.title}. {sample.credit}" if sample is not None else picture.description
