"""A network for tests of the queue: it computes nothing, counts its runs, and waits at a gate."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from app.state.queue import jobs
from app.state.queue.job_queue import Queue
from app.state.queue.jobs import Job, ModelKey
from fcn_core.engines.base import ModelInfo, Pass
from fcn_core.images.read import RGBImage, image_from_array
from fcn_core.images.resize import ResizedImage
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.networks.geometry import CellAxis, CellGrid
from fcn_core.system import memory
from tests.waiting import Clock, wait_until

KEY = ModelKey("efficientnet-lite2")
SCALES = NOTEBOOK_SCALES[:3]


class Network:
    """Counts its runs, and waits at its gate if it has one."""

    info = ModelInfo("fake", "Fake", "random", None, "none", 32)

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        self.gate: threading.Event | None = None
        self.fails: Exception | None = None
        self.missing_mb = 0.001
        self.refuses: Callable[[], Exception | None] = lambda: self.fails

    def cells(self, height: int, width: int) -> CellGrid:
        h, w = -(-height // 32), -(-width // 32)
        return CellGrid(CellAxis(height, h, 32, 16, 100), CellAxis(width, w, 32, 16, 100))

    def forecast(self, height: int, width: int) -> SimpleNamespace:
        return SimpleNamespace(memory_mb=memory.pass_budget_mb() + self.missing_mb)

    def run(self, image: ResizedImage, checkpoint: Callable[[float], None]) -> Pass:
        checkpoint(0.0)
        while self.gate is not None and not self.gate.wait(0.01):
            checkpoint(0.5)
        refused = self.refuses()
        if refused is not None:
            raise refused
        self.runs.append((image.height, image.width))
        cells = self.cells(image.height, image.width)
        return Pass(np.zeros((cells.y.size, cells.x.size, 10), np.float32))


class Timed(Network):
    """A network on which a megapixel takes a second of the test's clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def run(self, image: ResizedImage, checkpoint: Callable[[float], None]) -> Pass:
        done = super().run(image, checkpoint)
        self.clock.now += image.height * image.width / 1e6
        return done


class Later:
    """A picture that counts how often it is decoded."""

    def __init__(self, image: RGBImage) -> None:
        self.image, self.decoded = image, 0
        self.sha256, self.height, self.width = image.sha256, image.height, image.width

    def whole(self) -> RGBImage:
        self.decoded += 1
        return self.image


def picture(seed: int = 0) -> RGBImage:
    return image_from_array(np.random.default_rng(seed).integers(0, 255, (50, 80, 3), np.uint8), f"p{seed}")


def finished(queue: Queue, job: Job) -> jobs.Snapshot:
    """Show a job until it is finished, as a page does."""

    def show() -> jobs.Snapshot:
        for session in tuple(job.sessions) or ("one",):
            queue.keep_alive(job, session=session)
        return queue.look(job)

    wait_until(lambda: show().finished, lambda: queue.look(job))
    return show()
