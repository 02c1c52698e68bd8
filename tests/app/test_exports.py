"""Networks to take away: made one at a time, cancelled when nobody wants them, and removed afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.state import exports as module
from app.state import shared_queue
from app.state.exports import MOST_KEPT, MOST_WAITING, Export, Exports, Step, make_archive
from app.ui import model_export
from fcn_core.errors import Cancelled, EngineError, FcnError, MemoryBudgetError
from fcn_core.networks.zoo import MODELS, model_spec
from fcn_core.system import memory
from fcn_core.system.folders import temporary_root
from tests.app.explore_page import button, text
from tests.app.test_models import LITE0, buttons, models_page, run_until
from tests.waiting import PATIENCE, Clock, wait_until


class Maker:
    """In place of the exporters: waits at its gate, and fails as it is told."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def __call__(self, export: Export, folder: Path, checkpoint: Callable[[Step], None]) -> Path:
        self.made.append((export.model, export.format))
        checkpoint("write")
        while not self.gate.wait(0.01):
            checkpoint("write")
        if self.error is not None:
            raise self.error
        checkpoint("pack")
        archive = folder / "n.zip"
        archive.write_bytes(b"12345")
        return archive


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def made(maker: Maker) -> Iterator[Exports]:
    exports = Exports(maker)
    yield exports
    exports.close()
    assert folders() == []


def folders() -> list[str]:
    return [path.name for path in temporary_root().glob("export-*")]


def ended(export: Export, state: str) -> Export:
    wait_until(lambda: export.state == state, lambda: (export.state, export.error))
    return export


def test_one_at_a_time_and_equal_ones_are_shared(made: Exports, maker: Maker) -> None:
    maker.gate.clear()
    first = made.ask("resnet50", "onnx", session="a")
    assert made.ask("resnet50", "onnx", session="b") is first
    wait_until(lambda: first.step == "write")
    others = [made.ask("resnet50", "keras", session="c"), made.ask("resnet50", "litert", session="d")]
    assert [made.place(each) for each in (first, *others)] == [0, 1, 2]
    assert [each.state for each in (first, *others)] == ["running", "queued", "queued"]
    made.leave(first, session="a")
    maker.gate.set()
    for each in (first, *others):
        assert ended(each, "done").read() == b"12345" and each.size == 5
    assert maker.made == [("resnet50", kind) for kind in ("onnx", "keras", "litert")]
    assert made.ask("resnet50", "onnx", session="e") is first, "it is still there"


def test_what_waits_is_bounded(made: Exports, maker: Maker) -> None:
    maker.gate.clear()
    first = made.ask("resnet50", "onnx", session="first")
    wait_until(lambda: first.state == "running")
    waiting = [made.ask("vgg16", str(n), session=f"{n}") for n in range(MOST_WAITING)]
    with pytest.raises(FcnError, match=f"Expected at most {MOST_WAITING} waiting exports"):
        made.ask("vgg16", "another", session="one more")
    assert made.ask("vgg16", "another", session="0") in made._waiting, (
        "in place of what this session waited for"
    )
    assert waiting[0].state == "cancelled"


@pytest.mark.parametrize("way", ["left", "another", "no sign of life", "closed"])
def test_what_nobody_wants_is_cancelled(way: str, made: Exports, maker: Maker, clock: Clock) -> None:
    maker.gate.clear()
    running = made.ask("resnet50", "onnx", session="a")
    wait_until(lambda: running.step == "write")
    queued = made.ask("resnet50", "keras", session="b")
    if way == "left":
        made.leave(running, session="a")
    elif way == "another":
        made.ask("vgg16", "keras", session="a")
    elif way == "no sign of life":
        clock.now += module.ABANDONED_AFTER + 1
        made.keep_alive(queued, session="b")
    else:
        threading.Thread(target=made.close).start()
    ended(running, "cancelled")
    maker.gate.set()
    if way != "closed":
        ended(queued, "done")
    with pytest.raises(FcnError, match=r"it was removed.*Export it again"):
        running.read()


def test_archives_are_removed_when_no_page_shows_them(made: Exports, clock: Clock) -> None:
    kept = ended(made.ask("resnet50", "onnx", session="a"), "done")
    clock.now += module.ABANDONED_AFTER - 1
    made.keep_alive(kept, session="a")
    made.keep_alive(kept, session="a stranger")
    clock.now += module.ABANDONED_AFTER - 1
    other = ended(made.ask("resnet50", "keras", session="b"), "done")
    assert kept.read() and len(folders()) == 2
    made.keep_alive(other, session="b")
    clock.now += 2
    for number in range(MOST_KEPT):
        ended(made.ask("vgg16", f"{number}", session=f"{number}"), "done")
    ended(made.ask("vgg16", "one more", session="one more"), "done")
    with made._changed:
        made._sweep()
    assert (kept.state, other.state) == ("cancelled", "cancelled")
    assert len(folders()) == MOST_KEPT


@pytest.mark.parametrize(
    ("error", "said"),
    [(EngineError("Not so."), "Not so."), (ValueError("secret"), "An internal error occurred.")],
)
def test_a_failure_is_said_and_leaves_nothing(
    error: Exception, said: str, made: Exports, maker: Maker
) -> None:
    maker.error = error
    failed = ended(made.ask("resnet50", "onnx", session="a"), "failed")
    assert failed.error.startswith(said)
    assert folders() == []
    maker.error = None
    ended(made.ask("resnet50", "onnx", session="a"), "done")


# The memory


@pytest.mark.usefixtures("prepared_app")
@pytest.mark.parametrize(("budget", "beside"), [(10_000.0, True), (2_000.0, False)])
def test_passes_run_beside_a_process_only_where_half_of_the_memory_is_left(
    budget: float, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = shared_queue.queue()
    wait_until(lambda: not queue._jobs)
    monkeypatch.setattr(memory, "budget_mb", lambda: budget)
    monkeypatch.setattr(memory, "rss_mb", lambda: 400.0)
    whole = memory.pass_budget_mb()
    with shared_queue.memory_for_a_process(1200.0):
        assert queue.memory._held == (not beside)
        assert whole - memory.pass_budget_mb() == (1200.0 if beside else 0.0)
    assert not queue.memory._held and memory.lent_mb() == 0


def test_a_pass_that_does_not_fit_beside_waits_until_the_memory_is_returned() -> None:
    looks = threading.Event()
    entered = memory.lent(100.0)
    entered.__enter__()

    def stop() -> None:
        raise Cancelled("Left.")

    with pytest.raises(Cancelled):
        memory.wait_until_returned(stop)
    waiting = threading.Thread(target=lambda: memory.wait_until_returned(looks.set) and looks.clear())
    waiting.start()
    assert looks.wait(PATIENCE)
    entered.__exit__(None, None, None)
    waiting.join(PATIENCE)
    assert not waiting.is_alive()
    assert not memory.wait_until_returned(stop), "nothing is lent"


def test_an_archive_holds_what_the_export_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    class Written:
        def write_archive(self, path: Path) -> None:
            path.write_bytes(b"zip")

    def export(spec: Any, kind: str, out: Path, progress: Any, checkpoint: Any) -> Written:
        assert memory.lent_mb() > 0 or shared_queue.queue().memory._held
        out.parent.mkdir()
        out.write_bytes(b"network")
        progress(1, 2)
        checkpoint("check")
        return Written()

    monkeypatch.setattr(module, "export_network", export)
    wanted = Export(MODELS[LITE0], "openvino")
    archive = make_archive(wanted, tmp_path, steps.append)  # type: ignore[arg-type]
    assert (archive.name, archive.read_bytes()) == ("efficientnet-lite0-openvino.zip", b"zip")
    assert [path.name for path in tmp_path.iterdir()] == [archive.name], "what was packed is removed"
    assert (steps, wanted.fetched) == (["write", "check", "pack"], (1, 2))


# The page


@pytest.fixture
def page(made: Exports, monkeypatch: pytest.MonkeyPatch, prepared_app: None) -> AppTest:
    monkeypatch.setattr(model_export, "exports", lambda: made)
    return models_page()


def progress(page: AppTest) -> str:
    return str([bar.proto for bar in page.get("progress")])


def test_an_export_is_watched_and_downloaded(page: AppTest, made: Exports, maker: Maker) -> None:
    maker.gate.clear()
    page.radio(f"format-{LITE0}").set_value("ONNX").run()
    button(page, f"make-{LITE0}").click().run()
    run_until(page, lambda: "Writing the network as ONNX" in progress(page))
    assert LITE0 not in buttons(page, "make") and "resnet50" in buttons(page, "make")
    (running,) = [made._running]
    assert running is not None
    running.fetched = 30_000_000, 92_000_000
    assert "30 of 92 MB" in progress(page.run())
    button(page, f"stop-export-{LITE0}").click().run()
    ended(running, "cancelled")
    assert LITE0 in buttons(page.run(), "make") and not page.get("progress")
    maker.gate.set()
    page.radio(f"format-{LITE0}").set_value("ONNX").run()
    button(page, f"make-{LITE0}").click().run()
    run_until(page, lambda: page.get("download_button"))
    (download,) = page.get("download_button")
    assert download.proto.label == "Download EfficientNet-Lite0 as ONNX, 0.0 MB"  # type: ignore[attr-defined]
    assert maker.made == [(LITE0, "onnx")] * 2
    shown = page.session_state["model-export"]
    made.leave(shown, session=page.session_state["session"])
    with made._changed:
        made._sweep()
    assert not page.run().get("download_button"), "it was removed"
    assert not page.exception


def test_failures_and_refusals_are_said_in_the_row(
    page: AppTest, maker: Maker, made: Exports, monkeypatch: Any
) -> None:
    maker.error = MemoryBudgetError("Expected less.")
    button(page, f"make-{LITE0}").click().run()
    run_until(page, lambda: page.error)
    assert "EfficientNet-Lite0 was not exported as Keras" in page.error[0].value.replace("\\", "")
    monkeypatch.setattr(module, "MOST_WAITING", 0)
    button(page, "make-resnet50").click().run()
    assert any("waiting exports" in each.value for each in page.error)
    monkeypatch.setenv("FCN_ALLOW_EXPORT", "0")
    with pytest.raises(FcnError, match=r"may export \(FCN_ALLOW_EXPORT\)\. Received EfficientNet-Lite0"):
        made.ask(LITE0, "keras", session="a")
    assert buttons(page.run(), "make") == []


@pytest.mark.parametrize(
    ("setting", "own", "published"), [("", False, True), ("1", True, True), ("0", False, False)]
)
def test_a_deployers_own_model_is_exported_only_where_the_setting_is_made(
    setting: str, own: bool, published: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.keras").write_bytes(b"a network")
    monkeypatch.setenv("FCN_ALLOW_EXPORT", setting)
    assert (module.allowed(model_spec(str(tmp_path / "mine.keras"))), module.allowed(MODELS[LITE0])) == (
        own,
        published,
    )


@pytest.mark.parametrize(
    ("missing", "budget", "offers", "notes"),
    [
        (set(), 1e6, ["Keras", "ONNX", "OpenVINO", "LiteRT", "TensorFlow SavedModel"], []),
        ({"tf2onnx"}, 1e6, ["Keras", "OpenVINO", "LiteRT", "TensorFlow SavedModel"], ["Run: pip install tf2onnx"]),
        ({"tensorflow"}, 1e6, ["Keras", "OpenVINO"], ["LiteRT: tensorflow is not installed"]),
        (set(), 690.0, ["OpenVINO"], ["ONNX: needs 1262 MB of memory", "Keras: needs 1144 MB"]),
        ({"openvino", "tensorflow"}, 1e6, [], []),
        (set(), 400.0, [], []),
    ],
)  # fmt: skip
def test_formats_that_cannot_be_written_are_said_and_nothing_is_offered_in_vain(
    missing: set[str], budget: float, offers: list[str], notes: list[str], page: AppTest, monkeypatch: Any
) -> None:
    monkeypatch.setattr("fcn_core.portable.network.is_installed", lambda module: module not in missing)
    monkeypatch.setattr(model_export.memory, "budget_mb", lambda: budget)
    page.run()
    shown = [each for each in page.radio if each.key == f"format-{LITE0}"]
    assert [each.options for each in shown] == ([offers] if offers else [])
    assert (LITE0 in buttons(page, "make")) == bool(offers)
    assert all(note in text(page) for note in notes)
