"""Uploaded pictures as their users meet it when something between them and the server goes wrong."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from app.server.uploads import REFUSED
from app.state.samples import SAMPLES
from tests.browser.conftest import free_port, serve, settle
from tests.waiting import PATIENCE

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]
COFFEE, ROCKET = SAMPLES["coffee"].path, SAMPLES["rocket"].path
GONE = "Your picture is gone"
HELP = "The picture did not arrive"


def chooser(page: Any) -> Any:
    return page.locator('input[type="file"]').first


def upload(page: Any, file: Path) -> None:
    chooser(page).set_input_files(file)


def shows(page: Any, text: str) -> None:
    """Wait until a picture is shown; while one gives way to another, both may be there."""
    expect(page.locator(".st-key-about-picture").filter(has_text=text)).to_have_count(1)


@pytest.fixture(scope="module")
def restarted(
    tmp_path_factory: pytest.TempPathFactory, lite2: Any
) -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of an app, and what ends it without a word and starts it again."""
    folder = tmp_path_factory.mktemp("restarted")
    port, log, hold = free_port(), folder / "log", folder / "hold"
    servers: list[subprocess.Popen[bytes]] = [serve(port, log, hold)]

    def restart() -> None:
        servers[-1].kill()
        servers[-1].wait(PATIENCE)
        servers.append(serve(port, log, hold))

    yield f"http://127.0.0.1:{port}", restart
    servers[-1].terminate()
    servers[-1].wait(PATIENCE)
    said = log.read_text(encoding="utf-8")
    assert "Traceback" not in said, said


def test_a_picture_that_went_with_the_server_is_said_to_be_gone(
    visit: Visit, restarted: tuple[str, Callable[[], None]]
) -> None:
    address, restart = restarted
    page = visit(f"{address}/?scales=200x320&how=true")
    upload(page, COFFEE)
    shows(page, "600 × 400")
    settle(page)
    assert "picture=upload" in page.url
    restart()  # and nobody reloads the page or clicks: the browser finds the server again
    expect(page.get_by_text(GONE)).to_be_visible()
    settle(page)
    shows(page, "German shepherd")
    expect(page.get_by_test_id("stFileChip")).to_have_count(0)  # what the browser listed is not there
    page.get_by_role("button", name="Scales and model").click()
    page.locator(".st-key-scale-400x640 label").click()  # not its place, which is there before it
    page.locator(".fcn-card").nth(1).wait_for()
    settle(page)
    expect(page.get_by_text(GONE)).to_be_visible()
    page.reload()
    settle(page)
    expect(page.get_by_text(GONE)).to_be_visible()
    chooser(page).set_input_files(COFFEE)
    shows(page, "600 × 400")
    expect(page.get_by_text(GONE)).to_have_count(0)
    page.get_by_role("link", name="Compare").click()
    page.wait_for_url(re.compile(r"/compare\?.*picture=upload"))
    settle(page)
    restart()
    expect(page.get_by_text(GONE)).to_be_visible()


def test_a_page_answers_again_after_a_restart(
    visit: Visit, restarted: tuple[str, Callable[[], None]]
) -> None:
    address, restart = restarted
    page = visit(f"{address}/?picture=coffee&scales=200x320")
    frames: list[Any] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))
    restart()
    polls = int(1000 * PATIENCE / 50)
    while len(frames) < 10:  # the whole page comes again
        assert (polls := polls - 1), "nothing came"
        page.wait_for_timeout(50)
    settle(page)
    page.locator("[class*=st-key-view] button", has_text="Heatmap").click()
    expect(page.get_by_text("how surely this part")).to_be_visible()  # drawn by a part that runs by itself
    shows(page, "Rachel Michetti")
    expect(page.get_by_text(GONE)).to_have_count(0)


def test_a_picture_that_does_not_arrive_is_explained(visit: Visit) -> None:
    page = visit("/?scales=200x320")
    chooser(page).wait_for(state="attached")
    explained = page.get_by_role("alert").filter(has_text=HELP)
    fault: int | str = 0

    def refuse(route: Any) -> None:
        if route.request.method != "PUT":
            route.continue_()
        elif isinstance(fault, int):
            route.fulfill(status=fault, body="refused")
        else:
            route.abort()

    for fault in (413, 400, 404, 503, 507, "the network"):
        expect(explained, str(fault)).to_have_count(0)  # not for those who only hear the page either
        page.route("**/_stcore/upload_file/**", refuse)
        chooser(page).set_input_files(COFFEE)
        expect(explained, str(fault)).to_be_visible()
        expect(explained).to_contain_text("coffee.png: ")
        expect(explained).to_contain_text("25 MB")
        expect(page.locator("[data-testid=stFileChip][aria-invalid=true]")).to_have_count(1)
        expect(page.locator("[data-testid=stFileChip]:not([aria-invalid=true])")).to_have_count(0)
        page.unroute("**/_stcore/upload_file/**")
        chooser(page).set_input_files(ROCKET)
        shows(page, "rocket.jpg")
        expect(explained, str(fault)).to_have_count(0)
        settle(page)


def test_what_the_server_said_of_a_refused_file_is_told_and_forgotten(visit: Visit) -> None:
    """Failed files do not pile up, and leave the row of pictures as it was."""
    page = visit("/?scales=200x320")
    row = page.locator(".st-key-pictures")
    chooser(page).wait_for(state="attached")
    before = row.bounding_box()
    said = page.locator(".fcn-undelivered")
    page.route(
        "**/_stcore/upload_file/**",
        lambda route: route.fulfill(status=503, body="The server sleeps.", headers={REFUSED: "1"}),
    )
    for file in (COFFEE, ROCKET):
        chooser(page).set_input_files(file)
        expect(said).to_have_text(f"{file.name}: The server sleeps.")
        expect(page.locator("[data-testid=stFileChip][aria-invalid=true]")).to_have_count(1)
    assert row.bounding_box() == before
    page.locator(".st-key-pictures [role=radio]").nth(2).click()
    expect(said).to_be_hidden()
    expect(page.get_by_test_id("stFileChip")).to_have_count(0)


def test_of_several_files_those_that_did_not_arrive_are_named(visit: Visit) -> None:
    page = visit("/many?scales=200x320", wait=False)
    chooser(page).wait_for(state="attached")
    some = iter([True, False])

    def refuse_one(route: Any) -> None:
        if route.request.method == "PUT" and next(some):
            route.fulfill(status=503, body="The server sleeps.", headers={REFUSED: "1"})
        else:
            route.continue_()

    page.route("**/_stcore/upload_file/**", refuse_one)
    chooser(page).set_input_files([COFFEE, ROCKET])
    said = page.locator(".fcn-undelivered")
    expect(said).to_have_text(re.compile(r"^(coffee.png|rocket.jpg): The server sleeps\.$"))
    expect(page.locator("[class*=st-key-many-row-]").first).to_be_visible()
    expect(said).to_be_visible()
