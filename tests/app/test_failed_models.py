"""A model that cannot be loaded: each page says so and why, offers to try again, and waits for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.state import predictors, shared_queue
from app.state.queue.class_map_cache import FinishedJobs
from app.state.queue.job_log import INTERNAL_ERROR
from app.state.queue.jobs import ModelKey
from fcn_core.errors import WeightsUnavailable
from tests.app.explore_page import APP, button, large, opened, outlined, settled, stages, text
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.usefixtures("prepared_app")

LITE0 = "efficientnet-lite0"
ERRORS: dict[str, tuple[Exception, str]] = {
    "no weights": (WeightsUnavailable("Put the weights into FCN_WEIGHTS_DIR."), "Put the weights into"),
    "a fault": (ZeroDivisionError("secret"), INTERNAL_ERROR),
    "no memory": (MemoryError(), "Choose smaller scales"),
}


class Loading:
    """Loads of EfficientNet-Lite0, which fail until they may succeed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: Exception | None = None
        self.tried = 0
        load = predictors.load_model

        def refuse(name: str, *arguments: Any, **options: Any) -> Any:
            if name == LITE0:
                self.tried += 1
                if self.error is not None:
                    raise self.error
            return load(name, *arguments, **options)

        monkeypatch.setattr(predictors, "load_model", refuse)


@pytest.fixture
def loading(lite0: Any, monkeypatch: pytest.MonkeyPatch) -> Loading:
    """EfficientNet-Lite0 is not loaded, and nothing that it computed is known."""
    queue = shared_queue.queue()
    queue.cache.clear()
    monkeypatch.setattr(queue, "_finished", FinishedJobs(queue.cache.max_bytes))
    predictors.predictors()._loaded.pop(ModelKey(LITE0), None)
    return Loading(monkeypatch)


def plain(value: str) -> str:
    return value.replace("\\", "")


def waits(page: AppTest) -> list[str]:
    """What on the page says that something is coming."""
    skeletons = ["skeleton"] * len(page.get("skeleton"))
    body = text(page).split("</style>")[-1]
    words = ["fcn-wait", "not yet computed", "Looking …"]
    return skeletons + [word for word in words if word in body or any(word in m.value for m in page.markdown)]


def idle(page: AppTest, loading: Loading, holds: Callable[[], bool]) -> None:
    """Run a page until it has ended its work."""
    wait_until(
        lambda: page.run() and not shared_queue.queue()._jobs and holds(),
        lambda: (text(page)[-2000:], [e.value for e in page.error], loading.tried),
        pause=0.1,
    )
    page.run()  # the last one may have drawn what was then under way
    assert not page.exception, page.exception


def fresh(**query: str) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=PATIENCE)
    for name, value in query.items():
        page.query_params[name] = value
    return page


def says_why(page: AppTest, case: str) -> None:
    (said,) = [plain(alert.value) for alert in page.error]
    assert said.startswith("**EfficientNet-Lite0 could not be used.** ") and ERRORS[case][1] in said, case
    assert waits(page) == [], case


def test_explore_says_so_and_waits_for_nothing(loading: Loading) -> None:
    page = fresh(model=LITE0, picture="coffee", scales="200x320")
    for number, case in enumerate(ERRORS, start=1):
        loading.error = ERRORS[case][0]
        if number > 1:
            button(page, "job-again").click()
        idle(page, loading, lambda number=number: loading.tried == number and bool(page.error))  # type: ignore[misc]
        says_why(page, case)
        assert large(page)["photo"] and not outlined(page), "the picture is shown"
    for _ in range(2):
        page.run()
    assert loading.tried == len(ERRORS), "not again at each run"
    loading.error = None
    button(page, "job-again").click()
    settled(page)
    assert not page.error and waits(page) == [] and outlined(page)


def test_explore_says_the_same_while_another_result_is_shown(loading: Loading) -> None:
    loading.error, _ = ERRORS["no weights"]
    page = opened(scales="200x320")
    next(s for s in page.selectbox if s.key == "model").set_value(LITE0)
    idle(page, loading, lambda: bool(page.error))
    assert waits(page) == [] and "It is not what you asked for last" in text(page)


@pytest.mark.parametrize("case", ERRORS)
def test_compare_says_so_and_waits_for_nothing(loading: Loading, case: str) -> None:
    loading.error = ERRORS[case][0]
    page = opened(scales="200x320").switch_page("app/pages/compare.py").run()
    page.selectbox("compare-other_model").set_value(LITE0)
    idle(page, loading, lambda: bool(page.error))
    says_why(page, case)
    assert not page.get("progress")
    shown, failed = stages(page)
    assert shown["shapes"] and failed["alt"] == "The photo: dog.webp"
    tried = loading.tried
    for _ in range(2):
        page.run()
    assert loading.tried == tried
    loading.error = None
    button(page, "side-again-1").click()
    idle(page, loading, lambda: not page.error)
    assert loading.tried == tried + 1 and waits(page) == []


def test_models_says_so_and_tries_again(loading: Loading) -> None:
    page = opened(scales="200x320").switch_page("app/pages/models.py").run()
    assert button(page, f"prepare-{LITE0}").label == "Prepare"
    for number, case in enumerate(ERRORS, start=1):
        loading.error = ERRORS[case][0]
        button(page, f"prepare-{LITE0}").click()
        idle(page, loading, lambda number=number: loading.tried == number and bool(page.error))  # type: ignore[misc]
        says_why(page, case)
        assert not page.get("progress"), case
        assert button(page, f"prepare-{LITE0}").label == "Try again", case
    loading.error = None
    button(page, f"prepare-{LITE0}").click()
    idle(page, loading, lambda: not page.error)
    assert loading.tried == len(ERRORS) + 1 and not page.get("progress")
    assert not any(b.key == f"prepare-{LITE0}" for b in page.button), "it is loaded"


def test_a_stopped_analysis_waits_for_nothing(loading: Loading) -> None:
    page = fresh(picture="rocket", scales="200x320,400x640")
    page.run()
    if not any(b.key == "stop" for b in page.button):  # it was faster
        return
    button(page, "stop").click()
    idle(page, loading, lambda: "Stopped after" in text(page))
    assert waits(page) == []
