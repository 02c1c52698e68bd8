"""The Explore page: first run, synsets, display and what the page remembers."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.explore import scale_row
from app.state import caches, shared_queue
from app.state.queue import job_queue
from app.state.view import View
from app.ui import wording
from fcn_core.maps.findings import Finding
from fcn_core.synsets.ontology import Ontology
from tests.app.explore_page import (
    APP,
    CAT,
    DOG,
    SHEPHERD,
    address,
    asked,
    button,
    field,
    group,
    large,
    opened,
    outlined,
    png,
    question,
    settled,
    text,
)
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.usefixtures("prepared_app")

ANIMAL, PERSON = "n00015388", "n00007846"


def test_the_first_run_is_complete_without_a_model_and_without_tensorflow(fresh_python: Any) -> None:
    """The page must not wait for the network: here the queue's thread never loads a model."""
    code = """
import sys, threading
import app.explore.running, app.state.predictors
app.state.predictors.Predictors.load = lambda self, key: threading.Event().wait()
from streamlit.testing.v1 import AppTest
page = AppTest.from_file(sys.argv[1], default_timeout=float(sys.argv[2])).run()
body = "".join(h.proto.body for h in page.html)
assert not page.exception and not page.error, (page.exception, page.error)
assert "Found: German shepherd" in body and "fcn-wait" not in body.split("</style>")[1], body[-2000:]
assert page.session_state["explore"].found[1] == "n02106662"
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
    image = caches.sample(DEFAULT).whole()
    assert sha256 == image.sha256
    assert (info.name, info.weights_sha256) == (lite2.info.name, lite2.info.weights_sha256)
    fresh = compute_class_maps(image, lite2, shared_queue.FIRST_SCALES)
    assert [str(m.scale.requested) for m in class_maps] == list(fresh)
    for stored, new in zip(class_maps, fresh.values(), strict=True):
        assert stored.cells == new.cells and stored.scale == new.scale
        assert np.abs(stored.logits - new.logits).max() < 0.02, "half precision"
        assert np.abs(stored.probabilities - new.probabilities).max() < 0.01
        assert [each.name for each in stored.middle] == ["block10_add", "block15_project"]
        for old, each in zip(stored.middle, new.middle, strict=True):
            assert old.cells == each.cells and old.values.dtype == np.float16
            step = np.abs(each.values.astype(np.float32)).max(axis=(0, 1)) / 127
            error = np.abs(old.values.astype(np.float32) - each.values)
            assert (error <= 0.51 * step + 0.01).all(), "eight bits for each channel"


def test_choosing_a_chip_redraws_without_running_the_network(
    shared: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Any] = []
    monkeypatch.setattr("app.state.queue.job_queue.compute_class_map", lambda *a, **k: runs.append(a))
    before = text(shared)
    button(shared, f"explore-step-{ANIMAL}").click()
    settled(shared)
    assert asked(shared) == ANIMAL
    assert shared.query_params["synset"] == "animal"
    assert text(shared) != before
    group(shared, "seen").set_value(SHEPHERD)
    settled(shared)
    assert asked(shared) == SHEPHERD
    assert shared.query_params["synset"] == "German shepherd"
    assert question(shared) == "Where is the German shepherd in this photo?"
    group(shared, "seen").set_value(None)
    settled(shared)
    assert "synset" not in shared.query_params, "pressed again, all that is found is shown"
    assert question(shared) == "What is in this photo, and where?"
    assert runs == []


def test_search_widen_narrow(shared: AppTest) -> None:
    field(shared, "synset").set_value("dog")
    settled(shared)
    assert asked(shared) == DOG
    assert "n02084071" in text(shared)
    steps = [b for b in shared.button if b.key and b.key.startswith("explore-step-")]
    assert [b.label for b in steps][:1] == ["entity"]
    button(shared, "explore-step-n02075296").click()  # carnivore
    settled(shared)
    assert asked(shared) == "n02075296"
    button(
        shared, f"explore-step-{CAT}" if _has(shared, f"explore-step-{CAT}") else "explore-step-n02120997"
    ).click()
    settled(shared)
    assert asked(shared) in (CAT, "n02120997")
    field(shared, "synset").set_value("cat")
    settled(shared)


def _has(page: AppTest, key: str) -> bool:
    return any(b.key == key for b in page.button)


def test_each_display_control_changes_the_page_and_all_changes_can_be_undone(shared: AppTest) -> None:
    first = text(shared)
    changes: list[tuple[Any, Any, Any, str]] = [
        (lambda: group(shared, "map"), "Evidence", "Probability", "20.00"),
        (lambda: group(shared, "range"), "Shared", "Fixed", "shared range"),
        (lambda: group(shared, "range"), "Per map", "Fixed", "its own range"),
        (lambda: group(shared, "cells"), "Blocks", "Smooth", "image/png"),
        (lambda: group(shared, "place"), "Even", "Centres", "fcn-card"),
        (lambda: shared.slider("opacity"), 0.2, 0.85, "fcn-card"),
        (lambda: group(shared, "cards"), "Plain", "Overlay", "fcn-card"),
        (lambda: shared.slider("power"), 0.0, 1.0, "fcn-card"),
        (lambda: shared.selectbox("colours"), "cividis", "viridis", "fcn-card"),
    ]
    for find, value, _default, shows in changes:
        before, key = text(shared), find().key
        find().set_value(value)
        settled(shared)
        assert text(shared) != before, key
        assert shows in text(shared), key
        assert str(value).removesuffix(".0") == shared.query_params[key], key
    for find, _value, default, _shows in changes:
        find().set_value(default)
    settled(shared)
    assert text(shared) == first


def test_the_large_picture_shows_outlines_a_heatmap_or_the_photo() -> None:
    page = opened()
    plain = large(page)
    assert outlined(page) == ["German shepherd"] and not plain["over"] and not plain["values"]
    assert plain["alt"] == "The photo with outlines of: German shepherd"
    group(page, "view").set_value("Heatmap")
    settled(page)
    fine = large(page)
    assert fine["over"] and fine["values"] and not fine["shapes"]
    assert "how surely this part of the photo belongs to it" in text(page)
    group(page, "heatmap").set_value("Mean")
    settled(page)
    assert large(page)["over"] != fine["over"]
    assert "mean of the scales: probability, fixed range" in text(page)
    group(page, "heatmap").set_value("Fine")
    group(page, "view").set_value("Photo")
    settled(page)
    shown = large(page)
    assert (shown["photo"], shown["over"], shown["shapes"], shown["values"]) == (plain["photo"], None, [], [])
    group(page, "view").set_value("Outline")
    settled(page)
    assert large(page) == plain


@pytest.mark.parametrize(
    ("old", "view", "heatmap"),
    [("Mean", "Heatmap", "Mean"), ("Fine", "Heatmap", "Fine"), ("Mask", "Outline", "Fine")],
)
def test_old_views_open(old: str, view: str, heatmap: str) -> None:
    page = opened(view=old, scales="200x320")
    assert (group(page, "view").value, group(page, "heatmap").value) == (view, heatmap)
    assert not page.toast


def test_everything_that_is_found_is_outlined_in_its_own_colour_until_one_thing_is_asked_for() -> None:
    page = opened(picture="astronaut", how="false")
    found = group(page, "seen").options
    shapes = large(page)["shapes"]
    assert len(shapes) == len(found) >= 2 and "person" in outlined(page)
    assert len({shape["colour"] for shape in shapes}) == len(shapes)
    assert not any(box.key.startswith("scale-") for box in page.checkbox), "the rest is folded away"
    (colour,) = (shape["colour"] for shape in shapes if shape["name"] == "person")
    group(page, "seen").set_value(PERSON)
    settled(page)
    (shape,) = large(page)["shapes"]
    assert (shape["name"], shape["colour"]) == ("person", colour), "its colour stays"


def test_weight_0_excludes_a_scale_and_all_0_is_reported(shared: AppTest) -> None:
    keys = [s.key for s in shared.slider if s.key and s.key.startswith("weight-")]
    assert keys == ["weight-200x320", "weight-400x640", "weight-800x1280"]
    for key in keys:
        next(s for s in shared.slider if s.key == key).set_value(0.0)
    settled(shared)
    assert "there is nothing to average" in text(shared)
    assert shared.query_params["weights"] == "0,0,0"
    for key in keys:
        next(s for s in shared.slider if s.key == key).set_value(1.0)
    settled(shared)
    assert "weights" not in shared.query_params


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_row_of_scales_is_a_true_equation(count: int) -> None:
    """The signs, with values between them, are evaluated as Python."""
    values = [1.0, 1.0, 0.99, 0.5][:count]
    signs = scale_row.signs_of(count)
    assert len(signs) == count + 1 and signs[-1].endswith("= arithmetic mean")
    left = " ".join(f"{sign} {value}" for sign, value in zip(signs, values, strict=False)) + signs[-1]
    assert eval(left.partition("=")[0]) == pytest.approx(float(np.mean(values)))  # noqa: S307


@pytest.mark.parametrize(
    ("scales", "shown"),
    [
        ("200x320", "= arithmetic mean"),
        ("200x320,400x640", ") / 2 = arithmetic mean"),
        ("200x320,300x480,400x640", ") / 3 = arithmetic mean"),
    ],
)
def test_the_row_divides_by_the_number_of_scales(scales: str, shown: str) -> None:
    page = opened(scales=scales)
    signs = re.findall(r'<span class="op"[^>]*>(.*?)</span>', text(page))
    count = scales.count(",") + 1
    assert signs == ([shown] if count == 1 else ["(", *["+"] * (count - 1), shown])
    captions = re.findall(r"(Arithmetic|Geometric) mean: ", text(page))
    assert captions == ["Arithmetic", "Geometric"], "each mean once"


def test_the_notebook_view_sets_everything_as_in_the_notebook() -> None:
    page = opened(scales="200x320", weights="0.5", map="Evidence", tab="Mask")
    next(b for b in page.button if b.label == "Notebook view").click()
    settled(page)
    expected = {
        "how": "true",
        "fit": "Exact",
        "place": "Even",
        "cells": "Blocks",
        "range": "Per map",
        "scales": "200x320,400x640,800x1280,1600x2560",
    }
    assert address(page) == expected
    assert "50 × 80 cells" in text(page)


def test_what_is_not_found_is_not_outlined_until_its_trace_is_asked_for() -> None:
    page = opened(synset="missile", tab="Mask")
    assert "No missile found here" in text(page) and "Nothing is marked" in text(page)
    assert outlined(page) == []
    page.toggle("trace").set_value(True)
    settled(page)
    assert "No missile found here" in text(page)
    assert outlined(page) == ["missile"]
    assert page.query_params["trace"] == "true"
    again = opened(synset="missile", trace="true")
    assert again.toggle("trace").value and outlined(again) == ["missile"]


def test_what_is_found_offers_no_trace() -> None:
    page = opened(synset="dog")
    assert "found here" not in text(page)
    assert not any(toggle.key == "trace" for toggle in page.toggle)


def test_the_list_says_what_is_there_in_words() -> None:
    page = opened(picture="cat")
    (chip,) = group(page, "seen").options
    assert re.fullmatch(r"!\[\]\(data:image/svg\+xml;base64,\S+\) cat :small\[:gray\[sure\]\]", chip)
    doubtful = group(page, "seen-less").options
    assert doubtful and all(option.endswith(" :small[:gray[perhaps]]") for option in doubtful)


@pytest.mark.parametrize(
    ("presence", "word"), [(1.0, "sure"), (0.9, "sure"), (0.89, "likely"), (0.7, "likely"), (0.69, "perhaps")]
)
def test_a_word_says_how_certain_a_finding_is(presence: float, word: str) -> None:
    assert wording.certainty(presence, Ontology.load()) == word


def test_invalid_parameters_of_the_address_are_ignored() -> None:
    page = opened(view="Nothing", synset="dog", bogus="1", opacity="x")
    assert asked(page) == DOG
    assert group(page, "view").value == "Outline"


@pytest.mark.parametrize("meanwhile", [None, ANIMAL])
def test_the_synset_of_the_first_scales_is_preliminary(
    monkeypatch: pytest.MonkeyPatch, coffee: np.ndarray, meanwhile: str | None
) -> None:
    """The first scale sees a dog, all scales see a cat. A synset chosen in between stays."""
    compute, goes_on = job_queue.compute_class_map, threading.Event()
    begun: list[Any] = []

    def held(image: Any, *arguments: Any) -> Any:
        if image.name == "new.png":
            begun.append(image)
            assert len(begun) == 1 or goes_on.wait(PATIENCE)
        return compute(image, *arguments)

    monkeypatch.setattr(job_queue, "compute_class_map", held)
    monkeypatch.setattr(
        View,
        "surest",
        property(lambda view: Finding(Ontology.load()[CAT if view.complete else DOG], 0.5)),
    )
    page = opened(scales="200x320,400x640")
    seed = 1 if meanwhile is None else 2  # each case has its own picture, for which nothing is cached
    page.file_uploader("upload").set_value(("new.png", png(coffee[: -8 * seed]), "image/png"))
    try:
        wait_until(lambda: asked(page.run()) == DOG, lambda: text(page), pause=0.1)
        assert len(re.findall("fcn-card fcn-wait", text(page))) == 1
        if meanwhile is not None:
            button(page, f"explore-step-{meanwhile}").click().run()
    finally:
        goes_on.set()
    settled(page)
    assert asked(page) == (meanwhile or CAT)
    assert "fcn-card fcn-wait" not in text(page)


def test_a_chosen_synset_stays_if_the_next_picture_shows_it() -> None:
    page = opened(synset="food", picture="coffee")
    food = asked(page)
    group(page, "picture").set_value("cat")
    settled(page)
    assert asked(page) == CAT, "no food in it: the picture decides"
    page = opened(synset="entity")
    group(page, "picture").set_value("coffee")
    settled(page)
    assert asked(page) != food
    assert page.query_params["synset"] == "entity"
