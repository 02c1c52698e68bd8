"""The Explore page without a browser: how tests open it, wait for it and read it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.state import shared_queue
from app.state.queue.jobs import Job
from tests.places import ROOT
from tests.waiting import PATIENCE, wait_until

APP = ROOT / "streamlit_app.py"
CAT, ESPRESSO, DOG, SHEPHERD = "n02121620", "n07920052", "n02084071", "n02106662"


def answered(page: AppTest) -> AppTest:
    """Run the page; if it waits for analyses then, wait until the queue has finished them, but do not run it again."""
    page.run()
    queue, session = shared_queue.queue(), page.session_state["session"]

    def asked_for() -> list[Job]:
        return [job for job in list(queue._jobs.values()) if session in job.sessions and job.plans]

    def finished() -> bool:
        for job in asked_for():
            queue.keep_alive(job, session=session)
        return not asked_for()

    wait_until(finished, asked_for)
    return page


def settled(page: AppTest) -> AppTest:
    """Run the page until its job is finished."""
    wait_until(lambda: not any(b.key == "stop" for b in answered(page).button), lambda: text(page))
    assert not page.exception, page.exception
    return page


def settled_until(page: AppTest, holds: Callable[[], bool]) -> None:
    """Run the page until a condition holds: on a busy machine the queue may end a job between two runs."""
    wait_until(lambda: settled(page) and holds(), lambda: text(page))


def opened(**query: str) -> AppTest:
    """Open Explore with the part "How does it work?" open, where most widgets are."""
    return opened_at(**{"how": "true", **query})


def opened_at(**query: str) -> AppTest:
    """Open Explore with the parameters of its address."""
    page = AppTest.from_file(str(APP), default_timeout=PATIENCE)
    for name, value in query.items():
        page.query_params[name] = value
    return settled(page)


def go(page: AppTest, name: str) -> AppTest:
    """Go to another page by the links at the top: as the browser does, without the parameters of the address."""
    page.query_params.clear()
    return page.switch_page(f"app/pages/{name}.py").run()


def large(page: AppTest) -> dict[str, Any]:
    """What the large picture shows: the data of its component."""
    (data,) = stages(page)
    return data


def stages(page: AppTest) -> list[dict[str, Any]]:
    """What the large pictures show, from the top of the page."""
    return [dict(*json.loads(each.proto.json)) for each in page if each.type == "bidi_component"]


def outlined(page: AppTest) -> list[str]:
    """Names of what is outlined on the large picture."""
    return [shape["name"] for shape in large(page)["shapes"]]


def asked(page: AppTest) -> str:
    """The wnid that the page is about: what was asked for, or else what the picture shows."""
    explore = page.session_state["explore"]
    return str(explore.choices.now.synset or explore.found[1])


def question(page: AppTest) -> str:
    return re.findall(r"<h1[^>]*>(.*?)</h1>", text(page))[0]


def text(page: AppTest) -> str:
    return "\n".join(str(h.proto.body) for h in page.html)


def button(page: AppTest, key: str) -> Any:
    return next(b for b in page.button if b.key == key)


def group(page: AppTest, key: str) -> Any:
    groups = (*page.segmented_control, *page.pills)
    return next(
        b for b in groups if re.sub(r"-\d+$", "", b.key) == key
    )  # a replaced widget has a serial number


def field(page: AppTest, key: str) -> Any:
    """The field of a synset picker."""
    return next(t for t in page.text_input if t.key.startswith(f"{key}-pick-"))


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def number_input(page: AppTest, label: str) -> Any:
    return next(each for each in page.number_input if each.label == label)


def address(page: AppTest) -> dict[str, str]:
    """The parameters of the page's address."""
    values = {name: page.query_params[name] for name in page.query_params}
    return {name: value if isinstance(value, str) else value[-1] for name, value in values.items()}
