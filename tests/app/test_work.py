"""How much is computed for each thing that the user does, counted: a page that is quick computes little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.explore import progress
from app.state import caches
from app.state.queue import job_queue
from app.state.samples import SAMPLES
from fcn_core import render
from tests.app.explore_page import APP, field, group, large, opened_at, outlined, png, settled
from tests.waiting import Clock

pytestmark = pytest.mark.usefixtures("prepared_app")

THINGS = ("dog", "coffee", "duck", "sheep")


@pytest.fixture(scope="module")
def several() -> bytes:
    """A photograph with four things in it, put together from samples."""
    parts = [
        np.asarray(Image.open(path).convert("RGB").resize((480, 360)))
        for path in (SAMPLES[name].path for name in THINGS)
        if path is not None
    ]
    return png(np.vstack([np.hstack(parts[:2]), np.hstack(parts[2:])]))


@pytest.fixture
def page(several: bytes) -> AppTest:
    """Explore with that photograph, outlined."""
    page = opened_at()
    page.file_uploader("upload").set_value(("several.png", several, "image/png"))
    settled(page)
    assert len(outlined(page)) >= 3, outlined(page)
    return page


class Work:
    """What was computed, by name, and the pictures that were encoded; each picture once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        self.pictures: set[bytes] = set()
        for name in ("fine_map", "describe", "outlines_of", "findings", "open_picture"):
            self._count(monkeypatch, caches, name)
        self._count(monkeypatch, job_queue, "compute_class_map")
        encode = render.encode

        def noted(*arguments: Any, **options: Any) -> bytes:
            made = encode(*arguments, **options)
            self.pictures.add(made)
            return made

        monkeypatch.setattr(render, "encode", noted)

    def _count(self, monkeypatch: pytest.MonkeyPatch, home: Any, name: str) -> None:
        compute = getattr(home, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            self.counts[name] += 1
            return compute(*arguments, **options)

        monkeypatch.setattr(home, name, counted)

    def during(self, act: Callable[[], object]) -> Counter[str]:
        """Do something; return what it took, as "picture" those that were never encoded before."""
        before, seen = Counter(self.counts), len(self.pictures)
        act()
        return self.counts - before + Counter(picture=len(self.pictures) - seen)


@pytest.fixture
def work(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Counts from now on, with what the page shows encoded."""
    work = Work(monkeypatch)
    page.run()
    assert work.pictures
    return work


def press(page: AppTest, wnid: str | None) -> None:
    """Press a chip, or the pressed one again."""
    group(page, "seen").set_value(wnid).run()
    assert not page.exception
    assert page.session_state["explore"].choices.now.synset == (wnid or "")


def show(page: AppTest, view: str) -> None:
    group(page, "view").set_value(view).run()
    assert not page.exception and page.session_state["explore"].choices.now.view == view


def things(page: AppTest) -> list[str]:
    """The wnids of what is outlined."""
    return [shape["id"] for shape in large(page)["shapes"]]


def test_a_chip_computes_nothing_that_was_outlined_before(page: AppTest, work: Work) -> None:
    for wnid in (*(found := things(page)), None, found[0]):
        assert not work.during(lambda wnid=wnid: press(page, wnid))


def test_a_chip_computes_one_fine_map_at_most_for_a_heatmap(page: AppTest, work: Work) -> None:
    found = things(page)
    show(page, "Heatmap")
    for wnid in found[1:]:
        took = work.during(lambda wnid=wnid: press(page, wnid))
        assert took <= Counter(fine_map=1, picture=1) and took["picture"], took
    assert not work.during(lambda: press(page, found[-2])), "the last two are kept"


def test_a_word_computes_one_fine_map_and_once(page: AppTest, work: Work) -> None:
    press(page, (found := things(page))[0])
    word = work.during(lambda: field(page, "synset").set_value("animal").run())
    assert things(page) == ["n00015388"]
    assert word == Counter(fine_map=1, outlines_of=1)
    press(page, found[0])
    assert not work.during(lambda: field(page, "synset").set_value("animal").run())


def test_a_view_encodes_one_new_picture_at_most(page: AppTest, work: Work) -> None:
    first = work.during(lambda: show(page, "Heatmap"))
    assert first <= Counter(fine_map=1, picture=1) and first["picture"]
    for view in ("Photo", "Outline", "Heatmap"):
        assert not work.during(lambda view=view: show(page, view))


def test_the_fold_runs_no_network(page: AppTest, work: Work) -> None:
    page.session_state["explore"].choices.choose(how=True)
    took = work.during(page.run)
    assert took["picture"] and set(took) <= {"picture", "fine_map"}, took


@pytest.mark.parametrize(
    ("scales", "waited", "draws"),
    [(0, 99.0, False), (1, 0.0, False), (2, 0.5, False), (2, 1.0, True), (3, 0.0, True)],
)
def test_the_page_is_drawn_with_all_scales_or_after_a_second(
    scales: int, waited: float, draws: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each drawing takes as long as the usual scales together."""
    clock = Clock()
    job = SimpleNamespace(key="job", plans=("a", "b", "c"))
    now = SimpleNamespace(
        finished=scales == 3, class_maps=dict.fromkeys(range(scales)), place=0, state="loading", share=0.1
    )
    drawn = []
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(
        progress, "queue", lambda: SimpleNamespace(look=lambda _: now, keep_alive=lambda *_, **__: 0)
    )
    monkeypatch.setattr(progress, "session", SimpleNamespace(explore=lambda: SimpleNamespace(stopped=None)))
    monkeypatch.setattr(progress, "session_id", lambda: "one")
    monkeypatch.setattr(progress.st, "rerun", lambda: drawn.append(1))
    clock.now += waited
    progress._look_at_job(job, 0, False, 0.0)  # type: ignore[arg-type]
    assert bool(drawn) == draws


def test_matrices_are_computed_in_one_thread(fresh_python: Any) -> None:
    """The setting works only if it comes before NumPy."""
    code = """
import sys, streamlit.web.cli, streamlit.web.bootstrap
assert "numpy" not in sys.modules
import os, runpy
os.environ.pop("OPENBLAS_NUM_THREADS", None)
sys.meta_path.insert(0, type("Watch", (), {"find_spec": staticmethod(
    lambda name, *_: name == "numpy" and print(os.environ["OPENBLAS_NUM_THREADS"], flush=True) or None)}))
runpy.run_path(sys.argv[1])
"""
    assert fresh_python(code, str(APP)).stdout.splitlines()[:1] == ["1"]
