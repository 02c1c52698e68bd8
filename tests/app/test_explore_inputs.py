"""The inputs of Explore: pictures, scales, model, and the job that follows from them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.explore import results
from app.state import caches, shared_queue
from app.state.predictors import Predictors
from app.state.queue.jobs import ModelKey
from app.state.samples import SAMPLES
from fcn_core.images.limits import Limits
from fcn_core.synsets.ontology import Ontology
from tests.app.explore_page import (
    ESPRESSO,
    asked,
    group,
    large,
    opened,
    outlined,
    png,
    settled,
    settled_until,
    text,
)
from tests.places import ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("prepared_app")


@pytest.mark.parametrize("name", [n for n, s in SAMPLES.items() if s.file])
def test_every_sample_exists_and_says_who_made_it(name: str) -> None:
    picture, sample = caches.sample(name), SAMPLES[name]
    assert picture.name == sample.file_name and len(picture.data) > 10_000
    assert sample.word is None or Ontology.load().find(sample.word).wnid
    assert sample.credit
    notice = (ROOT / "assets/README.md").read_text(encoding="utf-8")
    assert f"`{sample.file_name}`" in notice, "its author and licence are in the list"


def test_the_only_sample_that_is_downloaded_says_so_and_what_happens_without_internet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [name for name, sample in SAMPLES.items() if sample.url] == ["labrador"]
    monkeypatch.setenv("FCN_ALLOW_URLS", "0")
    page = opened(scales="200x320")
    (label,) = [option for option in group(page, "picture").options if "Labrador" in option]
    assert label == "Labrador", "no thumbnail"
    assert "internet" in group(page, "picture").help
    group(page, "picture").set_value("labrador")
    settled(page)
    assert len(page.error) == 1 and group(page, "picture").value == "dog", "the old one stays"


def test_scales_can_be_removed_and_added_and_none_is_reported() -> None:
    page = opened()
    box = {c.key: c for c in page.checkbox}
    box["scale-800x1280"].uncheck()
    settled(page)
    assert page.query_params["scales"] == "200x320,400x640"
    assert "800 × 1280" not in text(page)
    page.text_input("new-scale").set_value("300x480")
    settled(page)
    assert page.query_params["scales"] == "200x320,300x480,400x640"
    assert "300 × 480" in text(page)
    page.text_input("new-scale").set_value("3x4")
    settled(page)
    assert any("3x4" in e.value for e in page.error)
    for checkbox in page.checkbox:
        checkbox.uncheck()
    settled(page)
    assert any("Expected at least one scale" in e.value for e in page.error)
    assert "fcn-card" in text(page), "the last result stays"


def test_exact_stretches_the_picture() -> None:
    page = opened(scales="200x320")
    group(page, "fit").set_value("Exact")
    settled(page)
    assert "7 × 10 cells" in text(page)
    assert page.session_state["explore"].shown[0].class_maps["200x320"].scale.height == 200


def test_a_new_picture_chooses_the_synset() -> None:
    page = opened()
    group(page, "picture").set_value("coffee")
    settled(page)
    assert asked(page) == ESPRESSO
    assert page.query_params["picture"] == "coffee"
    assert "synset" not in page.query_params


def test_an_upload_is_shown_and_stays_after_a_bad_one(coffee: np.ndarray) -> None:
    page = opened(scales="200x320")
    page.file_uploader("upload").set_value(("mine <b>.png", png(coffee), "image/png"))
    settled(page)
    assert asked(page) == ESPRESSO, "the strongest finding"
    assert page.query_params["picture"] == "upload"
    assert not page.warning
    assert "mine" in text(page) and "mine <b>" not in text(page)
    page.file_uploader("upload").set_value(("bad.png", png(coffee)[:100], "image/png"))
    settled(page)
    assert len(page.error) == 1 and "bad" in page.error[0].value
    assert "600 × 400" in text(page), "the good one is still there"


def test_a_missing_upload_is_reported_until_the_next_one(coffee: np.ndarray) -> None:
    page = opened(picture="upload", scales="200x320")
    assert "Your picture is gone" in page.warning[0].value
    assert "German shepherd, by Hans Kemperman" in text(page), "a sample is shown instead"
    page.checkbox("scale-400x640").check()
    settled(page)
    assert len(page.warning) == 1 and page.query_params["picture"] == "upload", "also after a reload"
    page.file_uploader("upload").set_value(("mine.png", png(coffee), "image/png"))
    settled(page)
    assert not page.warning and "mine.png" in text(page)
    page = opened(picture="upload", scales="200x320")
    group(page, "picture").set_value("dog")
    settled(page)
    assert not page.warning and "picture" not in page.query_params


def test_a_picture_at_reduced_size_limits_the_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "limits", lambda: Limits(memory_mb=15))
    page = opened(scales="200x320")
    stream = io.BytesIO()
    Image.fromarray(caches.sample("cat").working.pixels).resize((3200, 2400)).save(stream, "JPEG")
    page.file_uploader("upload").set_value(("phone.jpg", stream.getvalue(), "image/jpeg"))
    settled(page)
    assert "phone.jpg, 3200 × 2400, opened at 1/4 of its sides" in text(page)
    page.checkbox("scale-800x1280").check()
    settled(page)
    assert "800x1280" in page.error[0].value and "to open it at 800 x 600" in page.error[0].value
    page.checkbox("scale-800x1280").uncheck()
    settled(page)
    assert not page.error


def test_evicted_class_maps_are_computed_again() -> None:
    page = opened(picture="rocket", scales="200x320")
    job = page.session_state["explore"].shown[0]
    shared_queue.queue().cache.__init__(shared_queue.queue().cache.max_bytes)  # type: ignore[misc]
    job.class_maps, job.state = {}, "cancelled"
    group(page, "view").set_value("Heatmap")
    settled(page)
    assert page.session_state["explore"].shown[0] is not job
    assert large(page)["over"] and not page.error


@pytest.mark.parametrize("at_once", [False, True])
def test_a_model_without_weights_keeps_the_last_result(
    monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    from fcn_core.errors import WeightsUnavailable

    page = opened()
    load = Predictors.load

    def refuse(self: Any, key: ModelKey) -> Any:
        if key.name == "resnet50":
            raise WeightsUnavailable("Put resnet50_weights.h5 into FCN_WEIGHTS_DIR.")
        return load(self, key)

    def draw_late(*arguments: Any) -> None:
        """The page sees the job waiting; it has failed when the page draws its progress."""
        wait_until(lambda: not shared_queue.queue()._jobs)
        draw(*arguments)

    draw = results.draw
    monkeypatch.setattr(Predictors, "load", refuse)
    if at_once:
        monkeypatch.setattr(results, "draw", draw_late)
    next(s for s in page.selectbox if s.key == "model").set_value("resnet50")
    settled_until(page, lambda: any("FCN" in e.value for e in page.error))
    assert "Below is the last result: EfficientNet-Lite2" in text(page)
    assert outlined(page) == ["German shepherd"]
    next(s for s in page.selectbox if s.key == "model").set_value("efficientnet-lite2")
    settled_until(page, lambda: not page.error)


def test_a_refused_link_is_explained_and_the_picture_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FCN_ALLOW_URLS", "0")
    page = opened()
    page.text_input("link").set_value("http://127.0.0.1/x.png")
    settled(page)
    assert any("disabled" in e.value for e in page.error)
    assert "German shepherd, by Hans Kemperman" in text(page)


def test_too_much_work_is_refused_and_nothing_waits() -> None:
    page = opened(picture="coffee", scales=",".join(f"{4000 - n}x{3900 - n}" for n in range(16)))
    (problem,) = [alert.value for alert in page.error]
    assert "249 megapixels in 16 scales" in problem.replace("\\", "") and "Expected at most 86" in problem
    session = page.session_state["session"]
    assert not any(session in job.sessions for job in shared_queue.queue()._jobs.values()), "nothing waits"
    for box in page.checkbox[4:]:
        box.uncheck()
    settled(page)
    page.checkbox[0].check()
    settled(page)
    assert not page.error and "1 scale in" in text(page)
