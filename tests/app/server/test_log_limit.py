"""Repeated log records are omitted and counted."""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
import tomllib
from collections.abc import Iterator

import pytest
from streamlit import error_util

from app.server import log_limit
from tests.places import ROOT
from tests.waiting import Clock


@pytest.fixture
def logger() -> Iterator[tuple[logging.Logger, io.StringIO, Clock]]:
    clock, stream = Clock(), io.StringIO()
    logger = logging.Logger("tried")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.addFilter(log_limit.RateLimit(3, 60.0, lambda: clock.now))
    yield logger, stream, clock


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_repeated_records_pass_up_to_a_limit_and_are_counted(
    logger: tuple[logging.Logger, io.StringIO, Clock], level: int
) -> None:
    log, stream, clock = logger

    def tell(times: int) -> list[str]:
        stream.seek(0), stream.truncate()
        for i in range(times):
            log.log(level, "request %d", i)
        return stream.getvalue().splitlines()

    name = logging.getLevelName(level)
    assert tell(100) == [f"{name} request {i}" for i in range(3)]
    clock.now = 59.0
    assert tell(100) == []
    clock.now = 60.0
    assert tell(5) == [
        f"{name} request 0 (and 197 similar records before, omitted)",
        f"{name} request 1",
        f"{name} request 2",
    ]
    clock.now = 120.0
    assert tell(1) == [f"{name} request 0 (and 2 similar records before, omitted)"]
    clock.now = 180.0
    assert tell(1) == [f"{name} request 0"]


def test_other_lines_and_other_exceptions_are_counted_separately(
    logger: tuple[logging.Logger, io.StringIO, Clock],
) -> None:
    log, stream, _ = logger

    def fail(kind: type[Exception], there: bool) -> None:
        try:
            if there:
                raise kind("there")
            raise kind("here")
        except kind:
            log.exception("It failed")

    for _ in range(9):
        log.error("one")
    for _ in range(9):
        log.error("another")
    for _ in range(9):
        fail(ValueError, True)
        fail(ValueError, False)
        fail(KeyError, True)
    said = stream.getvalue()
    assert said.count("ERROR one") == said.count("ERROR another") == 3
    assert (
        said.count("ValueError: there") == said.count("ValueError: here") == said.count("KeyError") // 1 == 3
    )


LIMIT = """
import asyncio, logging
from streamlit.logger import get_logger
from app.server import log_limit
before = get_logger("streamlit.imported_before")
async def main():
    log_limit.limit()
    tell = asyncio.get_running_loop().call_exception_handler
    for _ in range(99):
        tell({"message": "accept() out of system resource", "exception": OSError(24, "Too many")})
        tell({"message": "a fault", "exception": ValueError("x")})
asyncio.run(main())
later = [logging.getLogger(name) for name in ("uvicorn.error", "app.later", "fcn_core.jobs")]
for log in (before, get_logger("streamlit.imported_later"), *later):
    for _ in range(99):  # logged at a different line each
        log.handle(log.makeRecord(log.name, logging.WARNING, log.name, 1, f"{log.name} said this", (), None))
"""


def test_every_logger_of_the_server_is_limited_whenever_it_is_created(fresh_python) -> None:  # type: ignore[no-untyped-def]
    said = fresh_python(LIMIT).stderr
    for name in ("streamlit.imported_before", "streamlit.imported_later", "uvicorn.error", "app.later"):
        assert said.count(f"{name} said this") == 10, name
    assert said.count("out of system resource: Too many") == 10
    assert "OSError" not in said  # a line, not a traceback
    assert said.count("ValueError: x") == 10  # a fault keeps its traceback
    assert said.count("fcn_core.jobs said this") == 99


def test_asyncio_errors_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    try:
        log_limit._handle_error(loop, {"message": "Task was destroyed"})
    finally:
        loop.close()
    assert "Task was destroyed" in caplog.text


def test_a_failed_retry_after_the_end_of_the_server_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    try:
        failed = ValueError("Invalid file descriptor: -1")
        log_limit._handle_error(
            loop, {"message": "Exception in callback X._start_serving(...)", "exception": failed}
        )
    finally:
        loop.close()
    assert "Traceback" not in caplog.text
    assert len(caplog.records) == 1


def test_exceptions_of_a_page_are_logged_and_not_printed() -> None:
    """Streamlit prints them with Rich if that is installed, and Keras installs it."""
    shipped = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert shipped["logger"]["enableRich"] is False
    logged = inspect.getsource(error_util._log_uncaught_app_exception)
    assert 'config.get_option("logger.enableRich")' in logged
    assert "_LOGGER.error(" in logged
    assert error_util._LOGGER.name.split(".")[0] in log_limit._SOURCES
