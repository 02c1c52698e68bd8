"""Faults made to happen while work is under way: what is finished stays, what was held returns, and words come out."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from app.state.queue import job_queue, jobs
from app.state.queue.class_map_cache import ClassMapCache
from app.state.queue.job_queue import Queue
from app.state.queue.jobs import ModelKey, Snapshot
from fcn_core.engines.base import Forecast, ModelInfo, Pass
from fcn_core.errors import Cancelled, FetchError, MemoryBudgetError
from fcn_core.images import fetch, read
from fcn_core.images.read import RGBImage, image_from_array
from fcn_core.images.resize import ResizedImage
from fcn_core.images.scales import Scale
from fcn_core.maps.heatmap import ClassMap
from fcn_core.networks.geometry import CellGrid, Geometry, Node, Window
from fcn_core.system import memory
from tests.waiting import PATIENCE, Clock, wait_until

COARSE, FINE = Scale(64, 64), Scale(128, 128)
MODEL = ModelKey("slow")
BALLAST = 64 * 2**20

needs_sigkill = pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")


class SlowPredictor:
    """A network of one convolution that holds much memory, takes its time and can be made to fail."""

    info = ModelInfo("slow", "Slow", "random", None, "none", 32)
    geometry = Geometry((Node("only", (-1,), 1000, Window(32, 32), Window(32, 32)),))

    def __init__(self) -> None:
        self.go = threading.Event()  # lets the fine scale end
        self.holding = threading.Event()  # the fine scale is under way
        self.checks = 0  # how often the fine scale has asked whether to go on
        self.ran: list[int] = []
        self.fault: BaseException | None = None
        self.held: list[weakref.ref[Any]] = []

    def cells(self, height: int, width: int) -> CellGrid:
        return self.geometry.cells(height, width)

    def forecast(self, height: int, width: int) -> Forecast:
        return Forecast(1.0, 100.0, True)

    def run(self, image: ResizedImage, checkpoint: Callable[[float], None] | None = None) -> Pass:
        assert checkpoint is not None
        self.ran.append(image.height)
        ballast = np.ones(BALLAST, np.uint8)
        self.held.append(weakref.ref(ballast))
        checkpoint(0.0)
        if image.height == FINE.height:
            self.holding.set()
        while image.height == FINE.height and not self.go.wait(0.005):
            if self.fault is not None:
                raise self.fault
            checkpoint(0.5)
            self.checks += 1
        return Pass(np.zeros((*self.geometry.grid(image.height, image.width), 1000), np.float32))


@pytest.fixture
def predictor() -> Iterator[SlowPredictor]:
    predictor = SlowPredictor()
    yield predictor
    predictor.go.set()  # no thread outlives its test for long


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The queue's clock: how long nobody has looked is for a test to say."""
    clock = Clock()
    monkeypatch.setattr(job_queue, "time", clock)
    return clock


@pytest.fixture
def queue(predictor: SlowPredictor) -> Queue:
    return Queue(lambda key: predictor, ClassMapCache(2**24))


def picture(value: int = 0) -> RGBImage:
    return image_from_array(np.full((600, 600, 3), value, np.uint8), "picture")


def show(queue: Queue, job: jobs.Job) -> Snapshot:
    """Look at a job, as the pages of all its sessions do."""
    for session in tuple(job.sessions):
        queue.keep_alive(job, session=session)
    return queue.look(job)


def look_until(queue: Queue, job: jobs.Job, seen: Callable[[Snapshot], bool]) -> Snapshot:
    wait_until(lambda: seen(show(queue, job)), lambda: show(queue, job))
    return queue.look(job)


def later(clock: Clock, predictor: SlowPredictor, *looks: Callable[[], Snapshot]) -> None:
    """Let three times the time pass after which a job is forgotten, while it runs and somebody looks now and then."""
    for _ in range(6):
        clock.now += jobs.ABANDONED_AFTER / 2
        goal = predictor.checks + 2
        wait_until(lambda goal=goal: sum(look().finished for look in looks) or predictor.checks >= goal)


def at_fine(now: Snapshot) -> bool:
    return now.running is not None and now.running.requested == FINE


# The browser is closed, the user cancels


def test_a_closed_browser_ends_its_analysis_and_its_memory_returns(
    clock: Clock, queue: Queue, predictor: SlowPredictor
) -> None:
    image = picture()
    pixels = weakref.ref(image.pixels)
    job = queue.submit(image, MODEL, (COARSE, FINE), "aspect", session="one")
    look_until(queue, job, lambda now: predictor.holding.is_set())
    before = memory.rss_mb()
    del image
    clock.now += jobs.ABANDONED_AFTER + 1  # nobody looks any more
    wait_until(lambda: job.state == "cancelled")
    wait_until(
        lambda: (
            gc.collect() >= 0 and pixels() is None and not any(ref() is not None for ref in predictor.held)
        )
    )
    memory.trim_heap()
    assert before - memory.rss_mb() > 0.8 * BALLAST / 2**20
    assert not queue._jobs
    assert predictor.ran == [COARSE.height, FINE.height]


def test_an_analysis_that_is_looked_at_goes_on(clock: Clock, queue: Queue, predictor: SlowPredictor) -> None:
    job = queue.submit(picture(), MODEL, (COARSE, FINE), "aspect", session="one")
    look_until(queue, job, at_fine)
    later(clock, predictor, lambda: show(queue, job))
    predictor.go.set()
    assert look_until(queue, job, lambda now: now.finished).state == "done"


def test_two_watch_one_analysis_and_one_leaves(clock: Clock, queue: Queue, predictor: SlowPredictor) -> None:
    first = queue.submit(picture(), MODEL, (FINE,), "aspect", session="one")
    second = queue.submit(picture(), MODEL, (FINE,), "aspect", session="two")
    assert first is second
    look_until(queue, first, at_fine)
    queue.leave(first, session="one")
    later(clock, predictor, lambda: show(queue, second))
    predictor.go.set()
    assert look_until(queue, second, lambda now: now.finished).state == "done"
    assert predictor.ran == [FINE.height]


def test_a_browser_closed_while_waiting_costs_nothing(
    clock: Clock, queue: Queue, predictor: SlowPredictor
) -> None:
    running = queue.submit(picture(1), MODEL, (FINE,), "aspect", session="one")
    left = [
        queue.submit(picture(value), MODEL, (FINE,), "aspect", session=f"left {value}")
        for value in range(2, 12)
    ]
    patient = queue.submit(picture(99), MODEL, (FINE,), "aspect", session="two")
    assert queue.look(patient).place in (10, 11)
    look_until(queue, running, at_fine)
    later(clock, predictor, lambda: show(queue, running), lambda: show(queue, patient))
    predictor.go.set()
    assert look_until(queue, patient, lambda now: now.finished).state == "done"
    assert {job.state for job in left} == {"cancelled"}
    assert all(job.image is None for job in left)
    assert predictor.ran == [FINE.height] * 2


def test_cancelling_a_run_keeps_the_finished_scales(queue: Queue, predictor: SlowPredictor) -> None:
    job = queue.submit(picture(), MODEL, (COARSE, FINE), "aspect", session="one")
    look_until(queue, job, at_fine)
    queue.leave(job, session="one")
    now = look_until(queue, job, lambda now: now.finished)  # though the scale would never have ended
    assert now.state == "cancelled" and now.error is None
    assert list(now.class_maps) == [str(COARSE)]
    predictor.go.set()
    again = queue.submit(picture(), MODEL, (COARSE, FINE), "aspect", session="one")
    assert look_until(queue, again, lambda now: now.finished).state == "done"
    assert predictor.ran == [COARSE.height, FINE.height, FINE.height], "the coarse scale was kept"


def test_a_cancel_while_the_model_loads(predictor: SlowPredictor) -> None:
    loads = threading.Event()

    def load(key: ModelKey) -> SlowPredictor:
        loads.wait(PATIENCE)
        return predictor

    queue = Queue(load, ClassMapCache(2**24))
    job = queue.submit(picture(), MODEL, (COARSE,), "aspect", session="one")
    look_until(queue, job, lambda now: now.state == "loading")
    queue.leave(job, session="one")
    loads.set()
    assert look_until(queue, job, lambda now: now.finished).state == "cancelled"
    assert not job.class_maps


# The engine or the memory fails


@pytest.mark.parametrize(
    ("fault", "ours"),
    [(RuntimeError("oneDNN: could not create a primitive"), True), (MemoryError(), False),
     (MemoryBudgetError("A scale needs more. Choose a smaller one."), False), (Cancelled("stop"), False)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_failing_engine_leaves_the_queue_and_the_finished_scales(
    queue: Queue,
    predictor: SlowPredictor,
    fault: Exception,
    ours: bool | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    predictor.fault = fault
    job = queue.submit(picture(), MODEL, (COARSE, FINE), "aspect", session="one")
    now = look_until(queue, job, lambda now: now.finished)
    assert now.state == ("cancelled" if isinstance(fault, Cancelled) else "failed")
    assert list(now.class_maps) == [str(COARSE)]
    assert now.fault == ours
    assert bool([r for r in caplog.records if r.exc_info]) == ours, "faults of the program are logged"
    if now.state == "failed":
        assert isinstance(fault, MemoryError) <= ("smaller" in (now.error or ""))
        assert now.error and "Traceback" not in now.error and "oneDNN" not in now.error
    predictor.fault = None
    predictor.go.set()
    healthy = queue.submit(picture(5), MODEL, (COARSE, FINE), "aspect", session="one")
    assert look_until(queue, healthy, lambda now: now.finished).state == "done"


def test_a_budget_too_small_for_the_coarsest_scale_is_reported(
    lite0: Any, chelsea: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(lambda key: lite0, ClassMapCache(2**24))
    monkeypatch.setenv("FCN_MEMORY_MB", "20")
    job = queue.submit(
        image_from_array(chelsea, "cat"), MODEL, (Scale(200, 320), FINE), "aspect", session="one"
    )
    now = look_until(queue, job, lambda now: now.finished)
    assert now.state == "failed" and not now.fault and not now.class_maps
    assert now.error and "20 MB" in now.error and "FCN_MEMORY_MB" in now.error


# The clock


def test_a_clock_moved_back_disturbs_nothing(
    queue: Queue, predictor: SlowPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    moved = {"by": 0.0}
    monkeypatch.setattr(time, "time", lambda: real() + moved["by"])
    job = queue.submit(picture(), MODEL, (COARSE, FINE), "aspect", session="one")
    look_until(queue, job, at_fine)
    for days in (-400, 4000, -20000):
        moved["by"] = 86400.0 * days
        assert not look_until(queue, job, lambda now: True).finished
    predictor.go.set()
    now = look_until(queue, job, lambda now: now.finished)
    assert now.state == "done"
    assert all(0 <= m.seconds < 86400 for m in now.class_maps.values()), "as far as the clock was moved"
    moved["by"] = -1e9
    hung = threading.Event()
    wire = fetch.Wire(resolve=lambda host, port: ["93.184.216.34"] * hung.wait(PATIENCE))
    with pytest.raises(FetchError, match="within"):
        fetch.fetch_image_bytes("http://x.example/", limits=read.Limits(), seconds=0.05, wire=wire)
    hung.set()


# The cache of class maps under many hands


def test_the_cache_stays_within_its_bytes_under_many_threads() -> None:
    cells = SlowPredictor.geometry.cells(64, 64)
    from fcn_core.images.scales import plan_scales

    (plan,) = plan_scales(64, 64, (COARSE,))
    one = np.zeros((2, 2, 1000), np.float32)
    cache = ClassMapCache(10 * one.nbytes)
    faults: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            rng = np.random.default_rng(seed)
            for number in rng.integers(0, 40, 400):
                cache.put(str(number), MODEL, ClassMap(one.copy(), cells, plan, 0.1))
                cache.get(str(number), MODEL, plan)
                assert cache.nbytes <= 10 * one.nbytes
        except BaseException as error:  # told to the main thread
            faults.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert cache.nbytes == sum(m.nbytes for m in cache._entries.values())


# A batch is killed


def batch(folder: Path, out: Path) -> list[str]:
    paths = []
    for number in range(4):
        path = folder / f"picture{number}.png"
        if not path.exists():
            noise = np.random.default_rng(number).integers(0, 256, (90, 120, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path)
        paths.append(str(path))
    options = [
        "--synset",
        "dog",
        "--model",
        "efficientnet-lite0",
        "--engine",
        "openvino",
        "--scales",
        "64x64,96x96",
    ]
    return [
        sys.executable,
        "-m",
        "fcn_core",
        "heatmap",
        *paths,
        *options,
        "--out",
        str(out),
        "--json",
    ]


def check_whole(folder: Path) -> None:
    """Where there is a manifest, every other file is whole and belongs to it."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    with np.load(folder / "maps.npz") as maps:
        assert set(maps.files) == {"64x64", "96x96", "arithmetic", "geometric", "fine"}
        assert maps["fine"].shape == (manifest["image"]["height"], manifest["image"]["width"])
    for name in ("mask.png", "overlay.png", "figure.png"):
        with Image.open(folder / name) as file:
            file.load()


HELD = """
import sys
from pathlib import Path
from fcn_core.cli.entry import main
replace, moved = Path.replace, []
def held(part, target):
    if len(moved) == 7:  # of five files a picture: the second's are half written
        print("held", flush=True)
        sys.stdin.read()
    moved.append(target)
    return replace(part, target)
Path.replace = held
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def held(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A batch that has done one picture and waits in the writing of the second's files."""
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # as a shell's background jobs do not
    with subprocess.Popen(
        [sys.executable, "-c", HELD, *command[3:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeds,
    ) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["image"]["name"] == "picture0.png"
        assert child.stdout.readline() == "held\n"
        yield child


@needs_sigkill
def test_a_killed_batch_leaves_complete_results_and_can_run_again(tmp_path: Path, lite0: Any) -> None:
    out = tmp_path / "out"
    command = batch(tmp_path, out)
    with held(command) as killed:
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    finished = sorted(out.glob("*/manifest.json"))
    assert [path.parent.name for path in finished] == ["picture0"], "it was killed in the middle"
    assert list((out / "picture1").glob(".*"))
    for manifest in finished:
        check_whole(manifest.parent)
    again = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert again.returncode == 0, again.stderr
    assert len(again.stdout.splitlines()) == 4
    for number in range(4):
        check_whole(out / f"picture{number}")
    strays = [p.name for p in out.rglob(".*")]
    assert not strays, "what the killed one left half written is gone"


@needs_sigkill
def test_an_interrupted_batch_says_so_and_leaves_no_process(tmp_path: Path, lite0: Any) -> None:
    with held(batch(tmp_path, tmp_path / "out")) as stopped:
        children = psutil.Process(stopped.pid).children(recursive=True)
        stopped.send_signal(signal.SIGINT)
        _, said = stopped.communicate(timeout=PATIENCE)
    assert stopped.returncode == 130
    assert said.strip() == "fcn_core: stopped"
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1]
    assert not list(tmp_path.rglob("out/*/.*")), "nothing half written stays"
