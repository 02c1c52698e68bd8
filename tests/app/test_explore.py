"""The Explore page, control by control, without a browser: every change must show in the state and the page."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.explore import inspector, results
from app.state import cached
from app.state.queue import job_queue
from app.state.queue.jobs import ModelKey
from app.state.samples import SAMPLES
from fcn_core.engines import effective_field
from fcn_core.images.limits import Limits
from fcn_core.maps.findings import Finding
from fcn_core.networks.geometry import CellAxis
from tests.places import ROOT
from tests.waiting import PATIENCE, wait_until

APP = ROOT / "streamlit_app.py"
CAT, ESPRESSO, DOG = "n02121620", "n07920052", "n02084071"


def settled(page: AppTest) -> AppTest:
    """Run until nothing is computed any more."""
    wait_until(lambda: not any(b.key == "stop" for b in page.run().button), lambda: text(page), pause=0.1)
    assert not page.exception, page.exception
    return page


def settled_until(page: AppTest, holds: Callable[[], bool]) -> None:
    """Settle until something holds: on a busy machine the queue may end a job between two runs."""
    wait_until(lambda: settled(page) and holds(), lambda: text(page))


def opened(**query: str) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=PATIENCE)
    for name, value in query.items():
        page.query_params[name] = value
    return settled(page)


@pytest.fixture(autouse=True, scope="module")
def _model(lite2: Any) -> Iterator[None]:
    """The model is prepared once, and the app's caches end with these tests."""
    yield
    import streamlit as st

    cached.queue().close()
    cached._queue.cache_clear()
    cached.models.cache_clear()
    st.cache_resource.clear()


@pytest.fixture(scope="module")
def shared() -> AppTest:
    """One page for tests that put back what they change."""
    page = opened()
    # The model warms up behind the first page.
    wait_until(lambda: not cached.queue().busy(ModelKey("efficientnet-lite2")))
    return settled(page)


def text(page: AppTest) -> str:
    return "\n".join(str(h.proto.body) for h in page.html)


def button(page: AppTest, key: str) -> Any:
    return next(b for b in page.button if b.key == key)


def group(page: AppTest, key: str) -> Any:
    return next(b for b in (*page.segmented_control, *page.pills) if b.key == key)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_the_first_run_is_complete_without_a_model_and_without_tensorflow(fresh_python: Any) -> None:
    """Nothing may wait for the network: the queue's thread is kept from loading anything."""
    code = """
import sys, threading
import app.state.cached, app.explore.results, app.explore.inputs
app.state.cached._Models.__call__ = lambda self, key: threading.Event().wait()
from streamlit.testing.v1 import AppTest
page = AppTest.from_file(sys.argv[1], default_timeout=float(sys.argv[2])).run()
body = "".join(h.proto.body for h in page.html)
assert not page.exception and not page.error, (page.exception, page.error)
assert "peak 0.89" in body and body.count("fcn-card") >= 5 and "fcn-wait" not in body.split("</style>")[1], body[-2000:]
assert page.session_state["synset"] == "n02121620"
heavy = {"tensorflow", "keras", "openvino", "pandas", "pyarrow", "matplotlib.pyplot", "skimage.data"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
print("complete", flush=True)
import os; os._exit(0)
"""
    assert fresh_python(code, str(APP), str(PATIENCE)).stdout.splitlines()[-1] == "complete"


def test_the_precomputed_sample_equals_a_fresh_run(lite2: Any) -> None:
    from app.state.samples import DEFAULT, load_precomputed
    from fcn_core.pipeline import compute_class_maps

    sha256, info, class_maps = load_precomputed()
    image = cached.sample(DEFAULT).whole()
    assert sha256 == image.sha256
    assert (info.name, info.weights_sha256) == (lite2.info.name, lite2.info.weights_sha256)
    fresh = compute_class_maps(image, lite2, cached.FIRST_SCALES)
    assert [str(m.scale.requested) for m in class_maps] == list(fresh)
    for stored, new in zip(class_maps, fresh.values(), strict=True):
        assert stored.cells == new.cells and stored.scale == new.scale
        assert np.abs(stored.logits - new.logits).max() < 0.02, "half precision"
        assert np.abs(stored.probabilities - new.probabilities).max() < 0.01


@pytest.mark.parametrize("name", [n for n, s in SAMPLES.items() if s.file])
def test_every_sample_is_there_and_begins_with_a_synset(name: str) -> None:
    picture = cached.sample(name)
    assert picture.name == SAMPLES[name].file and len(picture.data) > 10_000
    assert picture.whole() is picture.working, "small enough to be kept whole"
    assert cached.ontology().find(SAMPLES[name].word).wnid
    assert SAMPLES[name].credit


def test_choosing_a_chip_redraws_without_running_the_network(
    shared: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Any] = []
    monkeypatch.setattr("app.state.queue.job_queue.compute_class_maps", lambda *a, **k: runs.append(a))
    before = text(shared)
    chip = next(b for b in shared.button if b.key and b.key.startswith("chip-") and b.key != f"chip-{CAT}")
    wnid = chip.key.removeprefix("chip-")
    chip.click()
    settled(shared)
    assert shared.session_state["synset"] == wnid
    assert shared.query_params["synset"] in ("dog", wnid)
    assert text(shared) != before
    button(shared, f"chip-{CAT}").click()
    settled(shared)
    assert shared.session_state["synset"] == CAT
    assert runs == []


def test_search_widen_narrow(shared: AppTest) -> None:
    picker = shared.selectbox[0]
    picker.set_value(DOG)
    settled(shared)
    assert shared.session_state["synset"] == DOG
    assert "n02084071" in text(shared)
    steps = [b for b in shared.button if b.key and b.key.startswith("explore-step-")]
    assert [b.label for b in steps][:1] == ["entity"]
    button(shared, "explore-step-n02075296").click()  # carnivore
    settled(shared)
    assert shared.session_state["synset"] == "n02075296"
    button(
        shared, f"explore-step-{CAT}" if _has(shared, f"explore-step-{CAT}") else "explore-step-n02120997"
    ).click()
    settled(shared)
    assert shared.session_state["synset"] in (CAT, "n02120997")
    shared.selectbox[0].set_value(CAT)
    settled(shared)


def _has(page: AppTest, key: str) -> bool:
    return any(b.key == key for b in page.button)


@pytest.mark.parametrize(
    ("key", "value", "default", "shows"),
    [
        ("view", "Fine", "Mean", "stretched from its lowest to its highest"),
        ("view", "Mask", "Mean", "threshold"),
        ("view", "Contour", "Mean", "regions"),
        ("range", "Shared", "Fixed", "shared range"),
        ("range", "Per map", "Fixed", "its own range"),
        ("map", "Evidence", "Probability", "20.00"),
        ("cells", "Blocks", "Smooth", "image/png"),
        ("place", "Even", "Centres", "fcn-card"),
        ("cards", "Plain", "Overlay", "fcn-card"),
    ],
)
def test_display_controls_change_the_page(
    shared: AppTest, key: str, value: str, default: str, shows: str
) -> None:
    before = text(shared)
    group(shared, key).set_value(value)
    settled(shared)
    after = text(shared)
    assert after != before or key == "view"
    assert shows.rstrip("s") in after
    assert shared.session_state[key] == value
    group(shared, key).set_value(default)
    settled(shared)
    assert text(shared) == before


@pytest.mark.parametrize(("key", "value", "default"), [("opacity", 0.2, 0.6), ("power", 0.0, 1.0)])
def test_sliders_change_the_page(shared: AppTest, key: str, value: float, default: float) -> None:
    before = text(shared)
    next(s for s in shared.slider if s.key == key).set_value(value)
    settled(shared)
    assert text(shared) != before
    next(s for s in shared.slider if s.key == key).set_value(default)
    settled(shared)
    assert text(shared) == before


def test_colour_maps_and_their_legend(shared: AppTest) -> None:
    before = text(shared)
    next(s for s in shared.selectbox if s.key == "colours").set_value("cividis")
    settled(shared)
    assert text(shared) != before
    next(s for s in shared.selectbox if s.key == "colours").set_value("viridis")
    settled(shared)


def test_weights_leave_a_scale_out_and_all_zero_is_said(shared: AppTest) -> None:
    keys = [s.key for s in shared.slider if s.key and s.key.startswith("weight-")]
    assert keys == ["weight-200x320", "weight-400x640", "weight-800x1280"]
    for key in keys:
        next(s for s in shared.slider if s.key == key).set_value(0.0)
    settled(shared)
    assert "nothing is left to average" in text(shared)
    assert shared.query_params["weights"] == "0,0,0"
    for key in keys:
        next(s for s in shared.slider if s.key == key).set_value(1.0)
    settled(shared)
    assert "weights" not in shared.query_params


def test_scales_can_be_left_out_added_and_none_is_said() -> None:
    page = opened()
    box = {c.key: c for c in page.checkbox}
    box["scale-800x1280"].uncheck()
    settled(page)
    assert page.query_params["scales"] == "200x320,400x640"
    assert "800 × 1280" not in text(page)
    page.text_input("new-scale").set_value("300x480")
    settled(page)
    assert page.query_params["scales"] == "200x320,300x480,400x640"
    assert "10 × 15 cells" in text(page)
    page.text_input("new-scale").set_value("3x4")
    settled(page)
    assert any("3x4" in e.value for e in page.error)
    for checkbox in page.checkbox:
        checkbox.uncheck()
    settled(page)
    assert any("Choose at least one" in e.value for e in page.error)
    assert "fcn-card" in text(page), "the last result stays"


def test_exact_stretches_the_picture() -> None:
    page = opened(scales="200x320")
    group(page, "fit").set_value("Exact")
    settled(page)
    assert "7 × 10 cells" in text(page)
    assert page.session_state["explore-result"].job.class_maps["200x320"].scale.height == 200


def test_the_mask_follows_the_threshold(shared: AppTest) -> None:
    page = opened(tab="Mask")
    slider = next(s for s in page.slider if s.key and s.key.startswith("threshold-"))
    suggested = slider.value
    assert f"suggested {suggested:.2f}" in text(page)
    slider.set_value(0.9)
    settled(page)
    assert page.query_params["threshold"] == "0.9"
    small = page.session_state["threshold"]
    assert small == 0.9
    covered = text(page)
    next(b for b in page.button if b.label == "Use the suggested threshold").click()
    settled(page)
    assert "threshold" not in page.query_params
    assert text(page) != covered
    followed = text(page)
    page.toggle("snap").set_value(False)
    settled(page)
    assert text(page) != followed


def test_the_inspector_answers_to_row_and_column() -> None:
    page = opened(tab="Inspect", row="3", column="4")
    assert (page.number_input("row").value, page.number_input("column").value) == (3, 4)
    before = text(page)
    assert "Egyptian cat" in before or "cat" in before
    page.number_input("row").set_value(20)
    settled(page)
    assert text(page) != before
    assert "entity" in text(page)
    far = opened(tab="Inspect", row="9999", column="9999")
    at = (far.number_input("row").value, far.number_input("column").value)
    assert at == (15, 26), "outside the grid: the strongest cell"


def test_the_inspector_frames_what_moves_the_cell_as_it_was_measured(
    lite2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[tuple[int, int]] = []
    frame = inspector.frame

    def recorded(axis: CellAxis, cell: int, side: int, pixels: int) -> tuple[int, int]:
        sides.append((axis.input_size, side))
        return frame(axis, cell, side, pixels)

    monkeypatch.setattr(inspector, "frame", recorded)
    page = opened(tab="Inspect", scales="200x320,400x640")
    field = cached.queue().field(ModelKey("efficientnet-lite2"), session="test").result(PATIENCE)
    settled_until(page, lambda: "Frames" in text(page))
    said = text(page)
    assert f"Frames: {field.side} × {field.side} pixels" in said
    assert f"from cell to cell {field.low} to {field.high}" in said
    assert f"all {lite2.cells(200, 320).y.extent} × {lite2.cells(200, 320).y.extent} pixels" in said
    assert f"up to {field.inward} pixels further inside" in said
    assert set(sides) == {(n, field.side) for n in (206, 310, 413, 620)}
    assert field == effective_field.measure(lite2)


@pytest.mark.parametrize(("cell", "frame"), [(4, (114, 214)), (0, (0, 86)), (9, (274, 320))])
def test_a_frame_is_as_large_as_the_field_and_clipped_to_the_picture(
    cell: int, frame: tuple[int, int]
) -> None:
    """Cells at 36 + 32 i of 320 pixels; 100 pixels to each, shown at the same size and at half of it."""
    axis = CellAxis(320, 10, 32, 35.5, 851)
    assert inspector.frame(axis, cell, 100, 320) == frame
    assert inspector.frame(axis, 4, 100, 160) == (57, 107)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_row_of_scales_is_a_true_equation(count: int) -> None:
    """The signs with the maps' values between them, read as Python."""
    values = [1.0, 1.0, 0.99, 0.5][:count]
    signs = results.signs_of(count)
    assert len(signs) == count + 2
    left = " ".join(f"{sign} {value}" for sign, value in zip(signs, values, strict=False)) + signs[count]
    assert eval(left.replace("=", "")) == pytest.approx(float(np.mean(values)))  # noqa: S307
    assert signs[count].endswith("=") and signs[count + 1] == ""


@pytest.mark.parametrize(
    ("scales", "shown"),
    [("200x320", "="), ("200x320,400x640", ") / 2 ="), ("200x320,300x480,400x640", ") / 3 =")],
)
def test_the_row_divides_by_the_number_of_scales(scales: str, shown: str) -> None:
    page = opened(scales=scales)
    signs = re.findall(r'<span class="op"[^>]*>(.*?)</span>', text(page))
    count = scales.count(",") + 1
    assert signs == ([shown] if count == 1 else ["(", *["+"] * (count - 1), shown])
    assert f"mean of {count}, cell by cell" in text(page)


def test_the_page_says_what_the_fine_map_is_made_of() -> None:
    page = opened(tab="Mask", view="Fine", scales="200x320")
    assert "fine map: probability and evidence, completed along regions" in text(page)
    assert "probability and evidence" in str(page.toggle("snap").help)


def test_a_picture_begins_with_what_is_in_it() -> None:
    page = opened()
    group(page, "picture").set_value("coffee")
    settled(page)
    assert page.session_state["synset"] == ESPRESSO
    assert page.query_params["picture"] == "coffee"
    assert "synset" not in page.query_params


@pytest.mark.parametrize("meanwhile", [None, "n00015388"])
def test_what_the_first_scales_say_is_for_the_meantime(
    monkeypatch: pytest.MonkeyPatch, coffee: np.ndarray, meanwhile: str | None
) -> None:
    """Held after the first scale, which sees a dog; all of them see a cat. What is chosen meanwhile stays."""
    compute, goes_on = job_queue.compute_class_maps, threading.Event()
    begun: list[Any] = []

    def held(image: Any, *arguments: Any) -> Any:
        if image.name == "new.png":
            begun.append(image)
            assert len(begun) == 1 or goes_on.wait(PATIENCE)
        return compute(image, *arguments)

    monkeypatch.setattr(job_queue, "compute_class_maps", held)
    monkeypatch.setattr(results, "_findings", lambda found: (Finding(CAT if found.complete else DOG, 0.5),))
    page = opened(scales="200x320,400x640")
    group(page, "source").set_value("Upload")
    page.run()
    seed = 1 if meanwhile is None else 2  # a picture of its own each: nothing is computed yet
    page.file_uploader("upload").set_value(("new.png", png(coffee[: -8 * seed]), "image/png"))
    try:
        wait_until(lambda: page.run().session_state["synset"] == DOG, lambda: text(page), pause=0.1)
        assert "mean of 1 so far" in text(page)
        if meanwhile is not None:
            button(page, f"explore-step-{meanwhile}").click().run()
    finally:
        goes_on.set()
    settled(page)
    assert page.session_state["synset"] == (meanwhile or CAT)
    assert "mean of 2, cell by cell" in text(page)


def test_a_chosen_synset_stays_while_it_is_seen_in_the_next_picture() -> None:
    page = opened(synset="food", picture="coffee")
    food = page.session_state["synset"]
    group(page, "picture").set_value("cat")
    settled(page)
    assert page.session_state["synset"] == CAT, "no food there: the picture decides"
    page = opened(synset="entity")
    group(page, "picture").set_value("coffee")
    settled(page)
    assert page.session_state["synset"] != food
    assert page.query_params["synset"] == "entity"


def test_an_upload_is_shown_and_a_bad_one_after_it_keeps_it(coffee: np.ndarray) -> None:
    page = opened(scales="200x320")
    group(page, "source").set_value("Upload")
    page.run()
    page.file_uploader("upload").set_value(("mine <b>.png", png(coffee), "image/png"))
    settled(page)
    assert page.session_state["synset"] == ESPRESSO, "the strongest finding"
    assert page.query_params["picture"] == "upload"
    assert not page.warning
    assert "mine" in text(page) and "mine <b>" not in text(page)
    page.file_uploader("upload").set_value(("bad.png", png(coffee)[:100], "image/png"))
    settled(page)
    assert len(page.error) == 1 and "bad" in page.error[0].value
    assert "600 × 400" in text(page), "the good one is still there"


def test_a_command_that_calls_the_picture_otherwise_says_so(coffee: np.ndarray) -> None:
    page = opened(scales="200x320", tab="Take it away")
    assert "The command names the picture" not in text(page)
    group(page, "source").set_value("Upload")
    page.run()
    page.file_uploader("upload").set_value(("100% &calc&.png", png(coffee), "image/png"))
    settled(page)
    (command,) = (code.value for code in page.code if code.language == "bash")
    assert ' heatmap "100_ &calc&.png" --synset ' in command
    assert "The command names the picture" in text(page)


def test_an_upload_that_is_gone_is_said_until_there_is_another(coffee: np.ndarray) -> None:
    page = opened(picture="upload", scales="200x320")
    assert "Your picture is gone" in page.warning[0].value
    assert group(page, "source").value == "Upload"
    assert "chelsea.png" in text(page), "a sample stands in its place"
    page.checkbox("scale-400x640").check()
    settled(page)
    assert len(page.warning) == 1 and page.query_params["picture"] == "upload", "and still after a reload"
    page.file_uploader("upload").set_value(("mine.png", png(coffee), "image/png"))
    settled(page)
    assert not page.warning and "mine.png" in text(page)
    page = opened(picture="upload", scales="200x320")
    group(page, "source").set_value("Samples")
    settled(page)
    assert not page.warning and "picture" not in page.query_params


def test_a_picture_at_reduced_size_is_said_and_bounds_the_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "limits", lambda: Limits(memory_mb=15))
    page = opened(scales="200x320")
    group(page, "source").set_value("Upload")
    page.run()
    stream = io.BytesIO()
    Image.fromarray(cached.sample("cat").working.pixels).resize((3200, 2400)).save(stream, "JPEG")
    page.file_uploader("upload").set_value(("phone.jpg", stream.getvalue(), "image/jpeg"))
    settled(page)
    assert "phone.jpg, 3200 × 2400, opened at 1/4 of its sides" in text(page)
    page.checkbox("scale-800x1280").check()
    settled(page)
    assert "800x1280" in page.error[0].value and "800 x 600 alone" in page.error[0].value
    page.checkbox("scale-800x1280").uncheck()
    settled(page)
    assert not page.error


def test_a_result_that_has_given_way_to_others_is_computed_anew() -> None:
    page = opened(picture="rocket", scales="200x320")
    job = page.session_state["explore-result"].job
    cached.queue().cache.__init__(cached.queue().cache.max_bytes)  # type: ignore[misc]
    job.class_maps, job.state = {}, "cancelled"
    group(page, "view").set_value("Mask")
    settled(page)
    assert page.session_state["explore-result"].job is not job
    assert "threshold" in text(page) and not page.error


@pytest.mark.parametrize("at_once", [False, True])
def test_a_model_without_weights_keeps_the_last_result(
    monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    from fcn_core.errors import WeightsUnavailable

    page = opened()
    load = cached._Models.__call__

    def refuse(self: Any, key: ModelKey) -> Any:
        if key.name == "resnet50":
            raise WeightsUnavailable("Put resnet50_weights.h5 into FCN_WEIGHTS_DIR.")
        return load(self, key)

    def draw_late(*arguments: Any) -> None:
        """The job has failed by the time the page, which still saw it waiting, draws its progress."""
        wait_until(lambda: not cached.queue()._jobs)
        draw(*arguments)

    draw = results.draw
    monkeypatch.setattr(cached._Models, "__call__", refuse)
    if at_once:
        monkeypatch.setattr(results, "draw", draw_late)
    next(s for s in page.selectbox if s.key == "model").set_value("resnet50")
    settled_until(page, lambda: any("FCN" in e.value for e in page.error))
    assert "Below is the last result: EfficientNet-Lite2" in text(page)
    assert "peak 0.89" in text(page)
    next(s for s in page.selectbox if s.key == "model").set_value("efficientnet-lite2")
    settled_until(page, lambda: not page.error)


def test_a_link_is_refused_in_words_and_the_picture_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FCN_ALLOW_URLS", "0")
    page = opened()
    group(page, "source").set_value("Link")
    page.run()
    page.text_input("link").set_value("http://127.0.0.1/x.png")
    settled(page)
    assert any("disabled" in e.value for e in page.error)
    assert "chelsea.png" in text(page)


def test_nonsense_in_the_address_is_ignored_with_a_word() -> None:
    page = opened(view="Nothing", synset="dog", bogus="1", opacity="x")
    assert page.session_state["synset"] == DOG
    assert group(page, "view").value == "Mean"


def test_a_low_peak_is_said() -> None:
    page = opened(synset="missile")
    assert "The peak is only 0.0" in text(page)


@pytest.mark.parametrize("page_file", ["compare", "models"])
def test_the_other_pages_open(page_file: str) -> None:
    page = AppTest.from_file(str(APP), default_timeout=PATIENCE).run()
    page.switch_page(f"app/pages/{page_file}.py").run()
    assert not page.exception and not page.error


@pytest.mark.parametrize(("synset", "other"), [("cat", "dog"), ("dog", "cat"), ("espresso", "dog")])
def test_no_synset_is_compared_with_itself_unasked(synset: str, other: str) -> None:
    page = opened(synset=synset).switch_page("app/pages/compare.py").run()
    synsets = cached.ontology()
    found = [page.session_state[name] for name in ("compare-synset", "compare-other")]
    assert found == [synsets.collapse(synsets.find(word).wnid) for word in (synset, other)]


@pytest.mark.parametrize("place", [0, 1, 7])
def test_how_long_the_wait_is_is_told_in_words(place: int) -> None:
    from app.pages import explore

    words = explore.waiting_words(place)
    assert (
        words
        == {
            0: "About to begin",
            1: "Waiting for 1 scale of other analyses",
            7: "Waiting for 7 scales of other analyses",
        }[place]
    )


def test_more_than_one_may_ask_for_is_refused_in_words_and_the_page_rests() -> None:
    page = opened(picture="coffee", scales=",".join(f"{4000 - n}x{3900 - n}" for n in range(16)))
    (problem,) = [alert.value for alert in page.error]
    assert "249 megapixels in 16 scales" in problem.replace("\\", "") and "Expected at most 86" in problem
    session = page.session_state["queue-session"]
    assert not any(session in job.sessions for job in cached.queue()._jobs.values()), "nothing waits"
    for box in page.checkbox[4:]:
        box.uncheck()
    settled(page)
    page.checkbox[0].check()
    settled(page)
    assert not page.error and "1 scale in" in text(page)
