"""The Models page: all models, which are offered, and their preparation and removal."""

from __future__ import annotations

import html
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.state import comparison, predictors, selection, shared_queue
from app.state.queue.jobs import ModelKey
from fcn_core.engines import disk
from fcn_core.errors import MemoryBudgetError, WeightsUnavailable
from fcn_core.networks.zoo import ALL_MODELS, MODELS, model_spec
from tests.app.explore_page import APP, button, go, opened, text
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.usefixtures("prepared_app")

LITE0 = "efficientnet-lite0"


def models_page() -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=PATIENCE).run()
    page.switch_page("app/pages/models.py").run()
    assert not page.exception, page.exception
    return page


def listed(page: AppTest) -> list[str]:
    """Titles of the models, in their order."""
    return [html.unescape(title) for title in re.findall(r'class="name"><h3>(.+?)</h3>', text(page))]


def row(page: AppTest, name: str) -> dict[str, str]:
    """The figures of a model, as words."""
    (found,) = re.findall(rf"<h3>{re.escape(model_spec(name).title)}</h3>.*?<dl>(.*?)</dl>", text(page))
    plain = re.sub(r"<a [^>]*>|</a>", "", found)
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", plain))


def buttons(page: AppTest, kind: str) -> list[str]:
    """Names of the models that have such a button."""
    return [b.key.removeprefix(f"{kind}-") for b in page.button if b.key and b.key.startswith(f"{kind}-")]


def unavailable(*_: Any) -> Path:
    raise WeightsUnavailable("Put the weights into FCN_WEIGHTS_DIR.")


def run_until(page: AppTest, holds: Callable[[], Any]) -> None:
    wait_until(lambda: page.run() and holds(), lambda: (text(page)[-2000:], page.error), pause=0.1)
    assert not page.exception, page.exception


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lite0: Any, lite2: Any) -> Path:
    """A cache of this test with the graphs of both models."""
    for model in (lite0, lite2):
        made = model._graph.path.parent
        shutil.copytree(made, tmp_path / "graphs" / made.name)
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path))
    predictors.predictors()._loaded.pop(ModelKey(LITE0), None)
    return tmp_path


def test_all_models_are_listed_with_their_figures() -> None:
    page = models_page()
    assert listed(page) == [spec.title for spec in ALL_MODELS.values()]
    assert row(page, "vgg16") == {
        "Parameters": "138.4 M", "Weights": "553 MB", "Top-1": "71.3 %", "Fetches": "553 MB", "On disk": "nothing",
        "Proof": "one cell", "State": "not downloaded",
    }  # fmt: skip
    assert row(page, "mobilenet")["Fetches"] == "bring the file"
    assert row(page, LITE0)["Fetches"] == "nothing"
    for spec in ALL_MODELS.values():
        assert spec.accuracy and f'href="{spec.accuracy.source}"' in text(page)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("vgg", ["VGG16", "VGG19"]),
        ("VGG 19", ["VGG19"]),
        ("inception", ["InceptionV3", "InceptionResNetV2"]),
        ("efficientnet-v2 s", ["EfficientNetV2S"]),
        ("convnext large", ["ConvNeXtLarge", "ConvNeXtXLarge"]),
        ("alexnet", []),
        ("<b>*", []),
    ],
)
def test_a_search_finds_names_and_families(asked: str, found: list[str]) -> None:
    page = models_page()
    page.text_input("find-model").set_value(asked).run()
    assert not page.exception
    assert listed(page) == [*(spec.title for spec in MODELS.values()), *found]
    assert bool(page.info) == (not found)


@pytest.mark.parametrize(
    ("models", "offers"),
    [("", [*MODELS]), ("vgg16", ["efficientnet-lite2", "vgg16"]), ("all", [*ALL_MODELS])],
)
def test_only_what_is_offered_can_be_prepared_and_chosen(
    models: str, offers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FCN_MODELS", models)
    monkeypatch.setattr(predictors.memory, "budget_mb", lambda: 1e6)
    wait_until(
        lambda: not any(shared_queue.queue().works_with(name) for name in offers)
    )  # what earlier tests began
    page = models_page()
    loaded = {key.name for key in predictors.predictors().loaded()}
    assert buttons(page, "prepare") == [name for name in offers if name not in loaded]
    assert ("FCN_MODELS" in text(page)) == (len(offers) < len(ALL_MODELS))
    titles = [model_spec(name).title for name in offers]
    (picker,) = [s for s in opened(scales="200x320").selectbox if s.key == "model"]
    assert picker.options == titles
    monkeypatch.setattr(predictors, "require_weights", unavailable)
    compared = go(AppTest.from_file(str(APP), default_timeout=PATIENCE).run(), "compare")
    for key in ("compare-model", "compare-other_model"):
        assert compared.selectbox(key).options == titles


@pytest.mark.parametrize(
    ("models", "asked", "valid"),
    [
        ("", "vgg16", False),
        ("", "resnet50", True),
        ("vgg16", "vgg16", True),
        ("vgg16", "resnet50", False),
        ("all", "convnextxlarge", True),
        ("all", "alexnet", False),
        ("all", "", False),
    ],
)
def test_an_address_may_name_what_is_offered(
    models: str, asked: str, valid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FCN_MODELS", models)
    for read in (selection.read, comparison.read):
        chosen, ignored = read({"model": asked})  # type: ignore[operator]
        assert (chosen.model, ignored) == (
            (asked, ()) if valid else ("efficientnet-lite2", (f"model={asked}",))
        )


def test_an_address_of_a_model_that_is_not_offered_is_noted() -> None:
    page = opened(model="vgg16", scales="200x320")
    assert [toast.value.replace("\\", "") for toast in page.toast] == ["Ignored in the address: model=vgg16"]


def test_the_only_model_is_compared_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FCN_MODELS", "efficientnet-lite2")
    assert comparison.plain().models == ("efficientnet-lite2", "efficientnet-lite2")


def test_a_download_shows_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FCN_MODELS", "xception")
    go_on = threading.Event()

    def download(spec: Any, progress: Callable[[int, int], None]) -> Path:
        progress(30_000_000, 91_641_920)
        assert go_on.wait(PATIENCE)
        raise WeightsUnavailable("Put xception into FCN_WEIGHTS_DIR.")

    monkeypatch.setattr(predictors, "require_weights", download)
    page = models_page()
    button(page, "prepare-xception").click()
    try:
        run_until(page, lambda: "30 of 92 MB" in str([p.proto for p in page.get("progress")]))
        assert "xception" not in buttons(page, "prepare")
    finally:
        go_on.set()
    run_until(page, lambda: page.error)
    assert "Xception could not be used" in page.error[0].value
    assert button(page, "prepare-xception").label == "Try again"


def test_a_model_that_cannot_fit_is_neither_offered_for_preparation_nor_downloaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FCN_MODELS", "all")
    monkeypatch.setattr(predictors.memory, "budget_mb", lambda: 690.0)
    page = models_page()
    assert row(page, "convnextxlarge")["State"] == "needs 1441 MB of memory"
    assert "convnextxlarge" not in buttons(page, "prepare") and "resnet101" in buttons(page, "prepare")
    wait_until(lambda: not shared_queue.queue()._jobs)
    fetched: list[str] = []
    monkeypatch.setattr(predictors, "require_weights", lambda spec, _: fetched.append(spec.name))
    monkeypatch.setattr(predictors, "load_model", lambda name, *_, **__: fetched.append(name))
    models = predictors.Predictors(1)
    assert models.fetch(ModelKey("convnextxlarge")) is None
    with pytest.raises(MemoryBudgetError, match=r"fits into 690 MB\. Received ConvNeXtXLarge, which needs"):
        models.load(ModelKey("convnextxlarge"))
    assert fetched == []
    models.load(ModelKey("resnet50"))
    assert fetched == ["resnet50"]


def test_nobody_can_remove_where_the_deployer_does_not_allow_it(own_cache: Path) -> None:
    page = models_page()
    assert row(page, LITE0)["State"] == "prepared" and row(page, LITE0)["On disk"] == "19 MB"
    assert buttons(page, "remove") == []


def test_remove_frees_the_disk(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FCN_ALLOW_REMOVE", "1")
    page = models_page()
    assert buttons(page, "remove") == [LITE0], "not the default model, and none without files"
    button(page, f"remove-{LITE0}").click().run()
    assert not page.exception
    assert [s.value.replace("\\", "") for s in page.success] == [
        "EfficientNet-Lite0 is removed: 19 MB are free again."
    ]
    assert disk.on_disk(MODELS[LITE0]).total == 0 and disk.on_disk(MODELS["efficientnet-lite2"]).total > 0
    assert row(page, LITE0)["State"] == "weights found"
    assert buttons(page, "remove") == [] and LITE0 in buttons(page, "prepare")
    page.run()
    assert not page.success, "said once"


@pytest.mark.parametrize("way", ["waiting", "downloading", "loading", "forbidden"])
def test_a_model_in_use_is_not_removed(way: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FCN_ALLOW_REMOVE", "1")
    page = models_page()
    models = predictors.predictors()
    if way == "waiting":
        monkeypatch.setattr(shared_queue.Queue, "works_with", lambda _, name: name == LITE0)
    elif way == "downloading":
        monkeypatch.setattr(models, "fetches", lambda name: name == LITE0)
    elif way == "loading":
        held = threading.Lock()
        held.acquire()
        monkeypatch.setattr(models, "_lock", held)
    else:
        monkeypatch.setenv("FCN_ALLOW_REMOVE", "0")
    button(page, f"remove-{LITE0}").click().run()
    (said,) = [e.value.replace("\\", "") for e in page.error]
    assert said.startswith("Expected ") and "EfficientNet-Lite0" in said
    assert disk.on_disk(MODELS[LITE0]).prepared


def test_the_queue_knows_for_which_models_somebody_waits() -> None:
    queue = shared_queue.queue()
    wait_until(lambda: not queue._jobs)
    assert not queue.works_with(LITE0)
    with queue.memory.hold("file"):
        job = queue.prepare(shared_queue.caches.sample("dog"), ModelKey(LITE0, output_stride=16), session="s")
        assert queue.works_with(LITE0) and not queue.works_with("efficientnet-lite2")
        queue.leave(job, session="s")
