"""Messages on the page: errors, warnings, small print."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from app.state.pictures import Refusal
from app.state.queue.job_log import INTERNAL_ERROR
from app.ui import page_scripts
from fcn_core.errors import FcnError
from fcn_core.images.limits import Limits

logger = logging.getLogger(__name__)


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Show an `FcnError` as a message; log any other exception and show `INTERNAL_ERROR`."""
    try:
        yield
    except FcnError as error:
        problem(str(error))
    except Exception as error:
        if type(error).__module__.startswith(
            "streamlit"
        ):  # a fragment's exception, which Streamlit has shown
            raise
        logger.exception("%s failed", what)
        problem(INTERNAL_ERROR)


def problem(message: str) -> None:
    """Show an error message as plain text."""
    st.error(escape_markdown(message), icon=":material/error:")


def refused(refusal: Refusal, shown: str, choose: Callable[[str], None]) -> None:
    """Say that a picture could not be opened, why, and which one the page still shows."""
    st.error(
        f"**{escape_markdown(refusal.name)} was not opened.** {escape_markdown(refusal.reason)}\n\n"
        f"The page still shows {escape_markdown(shown)}.",
        icon=":material/hide_image:",
    )
    if refusal.again:
        st.button(
            "Try again",
            key="picture-again",
            on_click=choose,
            args=(refusal.again,),
            icon=":material/refresh:",
        )


def failed(model: str, reason: str, try_again: Callable[[], None], key: str) -> None:
    """Say that a model gave no result and why, and offer to try again."""
    st.error(
        f"**{escape_markdown(model)} could not be used.** {escape_markdown(reason)}", icon=":material/error:"
    )
    st.button("Try again", key=key, on_click=try_again, icon=":material/refresh:")


def gone() -> None:
    """Say that an uploaded picture is no longer stored."""
    minutes = st.get_option("server.disconnectedSessionTTL") / 60
    st.warning(
        "Your picture is gone, because pictures are kept in memory only. Either the server was "
        f"restarted, or the page was reloaded, or you were away for more than {minutes:g} minutes, or somebody else "
        "opened its address. Please upload it again. Until then a sample is shown.",
        icon=":material/hide_image:",
    )


UNDELIVERED = (
    "The picture did not arrive. Possible reasons: it is larger than {size} MB (a proxy may allow less); the server "
    "has no memory for pictures at the moment, so try again in a few minutes; or the connection was lost, so reload "
    "the page and try again."
)
IGNORED = "Ignored in the address: {names}"


def undelivered(limits: Limits, text: str = UNDELIVERED) -> str:
    """Return HTML that says what to do when an upload fails; `text` may be in another language.

    Streamlit offers no way to change its own message. So the page always contains this one, and the style sheet shows
    it while the uploader reports an error. A script names the files, and puts what the server
    said in place of the possible reasons, if it said why.
    """
    said = html.escape(text.format(size=f"{limits.max_bytes / 2**20:.4g}"))
    return (
        f'<div class="fcn-undelivered" role="alert"><b></b> <span>{said}</span></div>'
        f"{page_scripts.element(page_scripts.UNDELIVERED)}"
    )


def ignored_parameters(parameters: tuple[str, ...], text: str = IGNORED) -> None:
    """Say which parameters of the address are not valid; `text` may be in another language."""
    if parameters:
        names = escape_markdown(", ".join(parameters))
        st.toast(text.format(names=names), icon=":material/link_off:")


def escape_markdown(text: str) -> str:
    """Escape text so that Streamlit's Markdown shows it unchanged."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|~$:" else c for c in text)


def note(text: str) -> None:
    """Show small print as plain text."""
    st.html(f'<p class="fcn-note">{html.escape(text)}</p>')
