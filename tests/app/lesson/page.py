"""The Learn page without a browser."""

from __future__ import annotations

from typing import Any

from streamlit.testing.v1 import AppTest

from app.state import shared_queue
from tests.places import ROOT
from tests.waiting import PATIENCE, wait_until


def _site(page: str) -> None:
    """The smallest app that holds the page."""
    import streamlit as st

    st.navigation([st.Page(page, title="Learn", url_path="learn", default=True)]).run()


def html_of(app: AppTest) -> str:
    """Return all HTML of the page."""
    return "".join(str(each.proto.body) for each in app.get("html"))


def _wait_for_jobs(app: AppTest) -> None:
    """Wait for what the page asked of the network; to draw the page meanwhile would hold the network up."""
    if "session" not in app.session_state:
        return  # it asked for nothing
    queue, session = shared_queue.queue(), app.session_state["session"]

    def finished() -> bool:
        asked = [job for job in list(queue._jobs.values()) if session in job.sessions]
        for job in asked:
            queue.keep_alive(job, session=session)
        return not asked

    wait_until(finished)


def settled(app: AppTest) -> AppTest:
    """Run until no figure waits for the network."""

    def drawn() -> bool:
        html = html_of(app.run())
        _wait_for_jobs(app)
        assert not app.exception
        return 'class="lesson-wait"' not in html

    wait_until(drawn, lambda: html_of(app), pause=0.1)
    assert not app.error, app.error[0].value
    return app


def opened(**query: str) -> AppTest:
    """Open the page in a new session at an address, and wait until it is complete."""
    return settled(begun(**query))


def begun(**query: str) -> AppTest:
    """Make a new session at an address; the page does not run yet."""
    app = AppTest.from_function(
        _site, args=(str(ROOT / "app" / "pages" / "learn.py"),), default_timeout=PATIENCE
    )
    for name, value in query.items():
        app.query_params[name] = value
    return app


def texts(app: AppTest) -> list[str]:
    """Return all text and captions of the page."""
    return [each.value for each in app.markdown] + [each.value for each in app.caption]


def widget(app: AppTest, label: str) -> Any:
    """Return the widget with a label."""
    kinds = (app.slider, app.select_slider, app.toggle, app.number_input, app.selectbox, app.button_group)
    return next(each for kind in kinds for each in kind if each.label == label)
