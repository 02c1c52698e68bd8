"""A picture that cannot be opened: the main area names it and says why, and says which one it still shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.state import caches, samples
from app.state.queue.job_log import INTERNAL_ERROR
from fcn_core.errors import FcnError
from fcn_core.images import fetch
from fcn_core.images.limits import Limits
from tests.app.explore_page import button, group, opened, png, settled, text

pytestmark = pytest.mark.usefixtures("prepared_app")

STILL = "The page still shows "
GRADIENT = np.linspace(0, 255, 90 * 120 * 3).astype(np.uint8).reshape(90, 120, 3)


#: The beginning of a photograph of a phone: the rest did not arrive.
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def plain(markdown: str) -> str:
    return markdown.replace("\\", "")


def refusals(page: AppTest) -> list[str]:
    return [plain(alert.value) for alert in page.error]


REFUSED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "cut off HEIC": ("IMG_0001.heic", lambda: HEIC, "Expected"),
    "damaged PNG": ("bad.png", lambda: png(GRADIENT)[:300], "a damaged or cut off file"),
    "empty": ("empty.jpg", lambda: b"", "Expected"),
    "a document": ("paper.jpg", lambda: b"%PDF-1.7 and so on", "a PDF document"),
    "text": ("notes.txt", lambda: b"no picture at all", "Expected"),
    "too many pixels": ("huge.png", lambda: png(np.zeros((900, 1200, 3), np.uint8)), "Make it smaller"),
}


@pytest.fixture
def uploads() -> AppTest:
    """A page that waits for an upload, from an address that names one: it says that this one is gone."""
    page = opened(picture="upload", scales="200x320")
    assert "gone" in page.warning[0].value
    return page


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_file_is_named_with_the_reason_and_with_what_is_still_shown(
    uploads: AppTest, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "limits", lambda: Limits(max_pixels=1_000_000))
    name, make, reason = REFUSED[case]
    uploads.file_uploader("upload").set_value((name, make(), "application/octet-stream"))
    settled(uploads)
    (said,) = refusals(uploads)
    assert said.startswith(f"**{name} was not opened.** ") and reason in said
    assert said.endswith(f"{STILL}dog.webp.")
    assert not uploads.warning, "nothing stale: the picture of the address is not what is missing now"
    uploads.checkbox("scale-400x640").check()
    settled(uploads)
    assert refusals(uploads) == [said], "it stays as long as that file is chosen"


def test_only_the_last_refused_file_is_told_and_a_good_one_ends_it(uploads: AppTest) -> None:
    for name in ("first.heic", "second.heic"):
        uploads.file_uploader("upload").set_value((name, HEIC, "image/heic"))
        settled(uploads)
        (said,) = refusals(uploads)
        assert said.startswith(f"**{name} was not")
    uploads.file_uploader("upload").set_value(("good.png", png(GRADIENT), "image/png"))
    settled(uploads)
    assert refusals(uploads) == [] and "good.png" in text(uploads)
    uploads.file_uploader("upload").set_value(("third.heic", HEIC, "image/heic"))
    settled(uploads)
    (said,) = refusals(uploads)
    assert said.endswith(f"{STILL}good.png.")
    group(uploads, "picture").set_value("cat")
    settled(uploads)
    assert refusals(uploads) == [] and "Chelsea" in text(uploads)


def test_a_refused_photo_of_the_camera_is_named_so(uploads: AppTest) -> None:
    uploads.camera_input("camera").set_value(("shot.jpg", HEIC, "image/jpeg"))
    settled(uploads)
    (said,) = refusals(uploads)
    assert said.startswith("**The photo of the camera was not opened.** ")


def test_a_fault_of_the_program_is_told_in_the_same_way(
    uploads: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(caches, "read_upload", broken)
    uploads.file_uploader("upload").set_value(("mine.png", png(GRADIENT), "image/png"))
    settled(uploads)
    (said,) = refusals(uploads)
    assert said == f"**mine.png was not opened.** {INTERNAL_ERROR}\n\n{STILL}dog.webp."


@pytest.mark.parametrize("source", ["Link", "Samples"])
def test_a_download_that_failed_is_tried_again_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    tried: list[str] = []
    answers: list[bytes | None] = [None, None, png(GRADIENT)]

    def download(url: str, *_: Any, **__: Any) -> bytes:
        tried.append(url)
        answer = answers.pop(0)
        if answer is None:
            raise FcnError("Expected an answer. Received none. Check the address.")
        return answer

    far = "https://pictures.example/far.png"
    monkeypatch.setattr(fetch, "fetch_image_bytes", download)
    monkeypatch.setitem(
        samples.SAMPLES, "coffee", replace(samples.SAMPLES["coffee"], title="Far", file=None, url=far)
    )
    caches.sample.clear()
    caches.thumbnail.clear()
    page = opened(scales="200x320")
    if source == "Link":
        page.text_input("link").set_value(far)
    else:
        group(page, "picture").set_value("coffee")
    settled(page)
    (said,) = refusals(page)
    assert said.startswith(f"**{far if source == 'Link' else 'Far'} was not opened.** Expected an answer.")
    for _ in range(3):
        page.run()
    assert len(tried) == 1 and refusals(page) == [said], "not again at each run"
    button(page, "picture-again").click()
    settled(page)
    assert len(tried) == 2 and refusals(page) == [said]
    button(page, "picture-again").click()
    settled(page)
    assert len(tried) == 3 and refusals(page) == []
    assert ("far.png" if source == "Link" else "Far. By Rachel Michetti") in text(page)
    caches.sample.clear()
    caches.thumbnail.clear()
