"""The Compare page without a browser: how tests open it and wait for it."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.app.explore_page import APP, answered, text
from tests.waiting import PATIENCE, wait_until


def compared(page: AppTest) -> AppTest:
    """Run Compare until both halves are there."""
    wait_until(lambda: not answered(page).get("progress"), lambda: text(page))
    assert "presence" in text(page)
    assert not page.exception and not page.error
    return page


def opened_compare(**query: str) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=PATIENCE).switch_page("app/pages/compare.py")
    for name, value in query.items():
        page.query_params[name] = value
    return compared(page)
