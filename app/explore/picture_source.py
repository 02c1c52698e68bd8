"""The picture of Explore: where it comes from, how it is opened, and the widgets to choose it with."""

from __future__ import annotations

import logging

import streamlit as st

from app.state import caches, picture_files, session
from app.state.picture_files import EVICTED, StoredFile
from app.state.pictures import Picture, Refusal
from app.state.queue.job_log import INTERNAL_ERROR
from app.state.samples import DEFAULT, SAMPLES
from app.state.session import ExplorePage
from app.streamlit_patches import DeletedFile
from app.ui import notices, page_scripts, sample_label
from fcn_core.errors import FcnError
from fcn_core.images.limits import Limits

logger = logging.getLogger(__name__)


def open_chosen() -> Picture:
    """Open the picture that the user chose, before anything is drawn.

    If that fails, the last good picture stays, and the page's record says which one was refused, and why.
    """
    page = session.explore()
    _take_files(page)
    name = page.choices.now.picture
    try:
        picture = _open(page, name)
        if picture is not None:
            page.picture = picture
    except FcnError as error:
        _refuse(page, _title(name), str(error), name)
    except Exception:
        logger.exception("A picture could not be read")
        _refuse(page, _title(name), INTERNAL_ERROR, name)
    if page.picture is None:
        page.picture = caches.sample(DEFAULT)
    return page.picture


def _title(name: str) -> str:
    return SAMPLES[name].title if name in SAMPLES else name


def _refuse(page: ExplorePage, name: str, why: str, again: str = "") -> None:
    """Return to the last good picture."""
    page.choices.choose(picture=DEFAULT if page.picture is None else page.picture.address)
    page.refused = Refusal(name, why, again)


def _open(page: ExplorePage, name: str) -> Picture | None:
    if name in SAMPLES:
        return caches.sample(name)
    return _open_link(name) if name else page.uploaded


def _take_files(page: ExplorePage) -> None:
    """Open a file that has just been uploaded, or a photo that has just been taken, and choose it."""
    file, shot = st.session_state.get(_upload_key()), st.session_state.get("camera")
    if isinstance(file, DeletedFile):  # the browser still lists a file that the server has evicted
        page.uploader += 1
        if page.picture is not None and isinstance(page.picture.file, StoredFile):
            page.problem = EVICTED
        else:
            session.choose_picture("")
        file = None
    files = {each.file_id: each for each in (file, shot) if each is not None}
    new = [each for id_, each in files.items() if id_ not in page.taken]
    page.taken = frozenset(files)
    for each in new:
        name = "camera" if each is shot else each.name
        title = "The photo of the camera" if each is shot else name
        try:
            page.uploaded = caches.read_upload(each.file_id, name, picture_files.uploaded(each))
            session.choose_picture("")
        except FcnError as error:
            _refuse(page, title, str(error))
        except Exception:
            logger.exception("A picture could not be read")
            _refuse(page, title, INTERNAL_ERROR)


def _open_link(url: str) -> Picture:
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
        with st.popover("Camera or link", icon=":material/photo_camera:"):
            _camera()
            _link()
        _samples()
    scripts = page_scripts.element(page_scripts.PICTURES_FIRST) + page_scripts.element(
        page_scripts.DROP_AND_PASTE
    )
    st.html(scripts + notices.undelivered(Limits.from_env()), unsafe_allow_javascript=True)


def _uploader() -> None:
    key = _upload_key()
    with st.container(width="content", key="own-photo"):
        st.file_uploader(
            "Use your photo",
            key=key,
            label_visibility="collapsed",
            width=170,
        )
    if isinstance(st.session_state.get(key), DeletedFile):  # not known before it was drawn
        st.rerun()


def _camera() -> None:
    st.camera_input("Take a picture", key="camera")


def _link() -> None:
    page = session.explore()
    st.text_input(
        "Address of a picture",
        placeholder="https://",
        help="The server downloads it, from public addresses only, and treats it like an upload.",
        **page.choices.widget("link", page.link, choose=_choose_link),
    )


def _choose_link(text: str) -> None:
    session.explore().link = url = text.strip()
    if url:
        session.choose_picture(url)


def _samples() -> None:
    choices = session.explore().choices
    name = choices.now.picture
    st.pills(
        "Samples",
        list(SAMPLES),
        format_func=sample_label.of,
        label_visibility="collapsed",
        help="The last one, the course notebook's, is downloaded when you choose it. Without internet the photo stays.",
        **choices.widget(
            "picture", name if name in SAMPLES else None, choose=_choose_sample, initial="default"
        ),
    )


def _choose_sample(name: str | None) -> None:
    if name is not None:  # a second click does not take it away
        session.choose_picture(name)


def credit(picture: Picture) -> str:
    """Return what is written below a picture: a sample's author and licence, or what an uploaded file is."""
    sample = SAMPLES.get(picture.address)
    return f"{sample.title}. {sample.credit}" if sample is not None else picture.description
