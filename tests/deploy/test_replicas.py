"""Two processes of the app behind one nginx: a browser stays with its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy import machine
from tests.deploy.conftest import Site, configuration, start_nginx, with_graphs
from tests.deploy.visitor import Visitor

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nginx as on Debian")


@dataclass(frozen=True)
class Replicas:
    """Two processes and nginx before them."""

    site: Site
    certificate: Path
    processes: list[subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def replicas(certificate: Path, graphs: Path) -> Iterator[Replicas]:
    """Both with one cache, started by the documented command."""
    with machine.folder() as folder, contextlib.ExitStack() as stack:
        port, _, *ports = machine.free_ports(4)
        site = Site(port, folder, ports)
        environment = {**machine.settings(with_graphs(site.cache, graphs)), "HOME": str(folder)}

        def start(each: int) -> subprocess.Popen[bytes]:
            log = folder / f"{each}.out"
            command = machine.streamlit(each)
            app = machine.running(
                command, lambda: machine.ready(each), log, cwd=machine.ROOT, env=environment
            )
            return stack.enter_context(app)

        processes = [start(each) for each in ports]
        stack.enter_context(start_nginx(site, certificate))
        yield Replicas(site, certificate, processes)


def who_answered(site: Site) -> list[str]:
    """The ports of the app's processes that answered so far."""
    fields = [line.split() for line in site.access_log.splitlines()]
    return [line[-2].rpartition(":")[2] for line in fields if ":" in line[-2]]


def test_a_browser_stays_with_its_replica_and_uploads_there(replicas: Replicas) -> None:
    visitor, before = Visitor(replicas.site.port), len(who_answered(replicas.site))
    with visitor.open() as page:
        visitor.run(page)
        for _ in range(20):
            assert visitor.ask("GET", "/_stcore/health").status == 200
        _, answer = visitor.upload(page, bytes(3 * 2**20))
    assert answer.status == 204, answer.body
    answered = who_answered(replicas.site)[before:]
    assert len(answered) >= 24
    assert len(set(answered[1:])) == 1, "from the second request on: the first answer brings the cookie"
    assert answered[0] == answered[1]


def test_browsers_are_spread(replicas: Replicas) -> None:
    before = len(who_answered(replicas.site))
    for number in range(64):
        Visitor(replicas.site.port, cookies={"fcn_replica": f"{number:032x}"}).ask("GET", "/_stcore/health")
    answered = who_answered(replicas.site)[before:]
    for port in replicas.site.ports:
        assert answered.count(str(port)) > 8


def test_without_that_uploads_fail_as_the_page_on_deployment_says(replicas: Replicas) -> None:
    with machine.folder() as folder:
        site = Site(machine.free_ports(2)[0], folder, replicas.site.ports)
        text = configuration(site, replicas.certificate)
        assert text.count("hash $fcn_browser consistent;") == 1
        with start_nginx(site, replicas.certificate, text.replace("hash $fcn_browser consistent;", "")):
            visitor = Visitor(site.port)
            with visitor.open() as page:
                visitor.run(page)
                path, first = visitor.upload(page, b"no picture")
                answers = [first, visitor.put(path, b"no picture")]
    assert sorted(answer.status for answer in answers) == [204, 400]
    assert any(b"sticky sessions" in answer.body for answer in answers)


def test_when_a_replica_ends_the_other_answers_its_browsers(replicas: Replicas) -> None:
    visitor = Visitor(replicas.site.port)
    visitor.ask("GET", "/")
    answered = int(who_answered(replicas.site)[-1])
    ended = replicas.processes[replicas.site.ports.index(answered)]
    ended.terminate()
    ended.wait()
    assert visitor.ask("GET", "/").status == 200, "the very next request"
    with visitor.open() as page:
        assert visitor.run(page)
    assert who_answered(replicas.site)[-1] != str(answered)
