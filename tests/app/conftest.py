"""Fixtures of the app's tests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from app.state import predictors, shared_queue
from app.state.queue import job_queue, jobs
from app.state.queue.class_map_cache import ClassMapCache
from app.state.queue.job_queue import Queue
from app.state.queue.jobs import ModelKey
from tests.app.explore_page import opened, settled
from tests.app.fake_network import Network
from tests.waiting import Clock, wait_until


@pytest.fixture(scope="session", autouse=True)
def _packages_looked_through_once() -> Iterator[None]:
    """Each `AppTest` looks for components in all packages, which takes as long as a page; none comes or goes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests)
        )
        yield


@pytest.fixture(scope="module")
def prepared_app(lite2: Any) -> Iterator[None]:
    """The default model is prepared; the app's caches end with the module."""
    yield
    shared_queue.queue().close()
    shared_queue._queue.cache_clear()
    predictors.predictors.cache_clear()
    st.cache_resource.clear()


@pytest.fixture(scope="module")
def shared(prepared_app: None) -> AppTest:
    """One page for tests that undo what they change."""
    page = opened()
    # The model is prepared while the first page is drawn.
    wait_until(lambda: not shared_queue.queue().busy(ModelKey("efficientnet-lite2")))
    return settled(page)


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def queue(network: Network) -> Iterator[Queue]:
    made = Queue(lambda _: network, ClassMapCache(10**8))  # type: ignore[arg-type,return-value]
    yield made
    if network.gate is not None:
        network.gate.set()
    made.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(job_queue, "time", clock)
    monkeypatch.setattr(jobs, "ABANDONED_AFTER", 1e9)  # the clock jumps here; no job is abandoned
    return clock
