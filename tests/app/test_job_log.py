"""What users, operators and monitors learn of jobs."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from app.state.queue.class_map_cache import ClassMapCache
from app.state.queue.job_queue import Queue
from app.state.queue.jobs import ModelKey
from fcn_core.errors import ImageError, MemoryBudgetError, WeightsUnavailable
from fcn_core.images.read import image_from_array
from tests.app.fake_network import KEY, SCALES, Network, finished, picture
from tests.waiting import PATIENCE


@pytest.mark.parametrize(
    ("error", "words", "fault"),
    [
        (WeightsUnavailable("Put the file there."), "Put the file there.", False),
        (
            MemoryError(),
            "Expected enough memory. Received an out-of-memory error. Choose smaller scales.",
            False,
        ),
        (ZeroDivisionError("secret"), "An internal error occurred", True),
    ],
)
def test_a_users_error_is_explained_and_an_internal_error_is_logged(
    queue: Queue,
    network: Network,
    error: Exception,
    words: str,
    fault: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    network.fails = error
    look = finished(queue, queue.submit(picture(), KEY, SCALES, "exact", session="one"))
    assert look.state == "failed"
    assert look.error is not None and words in look.error and "secret" not in look.error
    assert look.fault is fault
    assert ("ZeroDivisionError" in caplog.text) is fault
    network.fails = None
    assert finished(queue, queue.submit(picture(), KEY, SCALES, "exact", session="one")).state == "done", (
        "the queue goes on"
    )


def test_every_run_is_logged_without_the_picture(caplog: pytest.LogCaptureFixture) -> None:
    """Model, scales, seconds, peak memory and cache hit; neither the picture nor its name."""
    network = Network()
    queue = Queue(lambda _: network, ClassMapCache(10**7))  # type: ignore[arg-type,return-value]
    image = image_from_array(np.zeros((200, 300, 3), np.uint8), "holiday.jpg")
    with caplog.at_level("INFO", "fcn_core.logs"):
        finished(queue, queue.submit(image, KEY, SCALES[:1], "exact", session="one"))
        for _ in range(3):
            queue.submit(image, KEY, SCALES[:1], "exact", session="one")
    queue.close()
    records = [record.__dict__["fields"] for record in caplog.records]
    assert [(r["model"], r["scales"], r["fit"], r["cache_hit"]) for r in records] == [
        ("fake", ["200x320"], "exact", False),
        ("fake", ["200x320"], "exact", True),
    ]
    assert all(r["seconds"] >= 0 and r["peak_rss_mb"] > 0 for r in records)
    assert "holiday" not in str(records) and image.sha256 not in str(records)


@pytest.mark.parametrize(
    ("error", "kept", "told"),
    [
        (WeightsUnavailable("Put it there."), {"error": "WeightsUnavailable", "message": "Put it there."}, True),
        (ImageError("Received holiday.jpg."), {"error": "ImageError"}, False),
        (ZeroDivisionError("holiday.jpg"), {"error": "ZeroDivisionError"}, False),
        (MemoryError(), {"error": "MemoryError"}, False),
    ],
)  # fmt: skip
def test_a_failed_job_is_one_record_of_an_error(
    network: Network, error: Exception, kept: dict[str, str], told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def load(_: ModelKey) -> Any:
        raise error

    queue = Queue(load, ClassMapCache(10**7))
    image = image_from_array(np.zeros((200, 300, 3), np.uint8), "holiday.jpg")
    job = queue.submit(image, KEY, SCALES, "exact", session="one")
    for _ in range(5):
        finished(queue, job)
    queue.close()
    (record,) = caplog.records
    assert (record.levelname, record.name.split(".")[0]) == ("ERROR", "app")
    about = {"job": "analysis", "model": KEY.name, "engine": "auto", "output_stride": 32}
    assert record.__dict__["fields"] == about | kept
    assert ("message" in kept) is told
    assert bool(record.exc_info) is isinstance(error, ZeroDivisionError)
    assert "holiday" not in str(record.__dict__["fields"]) + record.getMessage()


def test_health_is_that_of_the_model_prepared_first(network: Network) -> None:
    gate, errors = threading.Event(), [WeightsUnavailable("Put the file there.")]

    def load(key: ModelKey) -> Any:
        assert gate.wait(PATIENCE)
        if errors and key == KEY:
            raise errors.pop()
        return network

    queue = Queue(load, ClassMapCache(10**7))
    assert not queue.health().ready
    job = queue.prepare(picture(), KEY, SCALES[:1])
    assert (queue.health().ready, queue.health().reason) == (False, f"{KEY.name} is being loaded.")
    gate.set()
    finished(queue, job)
    assert (queue.health().ready, "Put the file there." in queue.health().reason) == (False, True)
    finished(queue, queue.prepare(picture(), ModelKey("another")))
    assert not queue.health().ready
    finished(queue, queue.submit(picture(), KEY, SCALES[:1], "exact", session="one"))
    assert (queue.health().ready, queue.health().reason) == (True, f"{KEY.name} is loaded.")
    queue.close()


def test_a_model_without_memory_for_its_first_pass_is_not_ready(network: Network) -> None:
    queue = Queue(lambda _: network, ClassMapCache(10**7))
    network.refuses = lambda: MemoryBudgetError("No scale, however small, fits.")
    network.missing_mb = 10.0**6
    finished(queue, queue.prepare(picture(), KEY, SCALES[:1]))
    assert (queue.health().ready, "No scale, however small" in queue.health().reason) == (False, True)
    queue.close()
