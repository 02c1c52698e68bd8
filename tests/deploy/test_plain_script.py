"""A platform that starts the file as a plain script, without the app object: what works there, and what is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.server.headers import headers
from tests.deploy import machine
from tests.deploy.conftest import Site, start_nginx, with_graphs
from tests.deploy.visitor import Visitor

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nginx as on Debian")

START = """
import sys
from streamlit import config
from streamlit.web import bootstrap
config._main_script_path = sys.argv[1]
options = {"server_port": int(sys.argv[2]), "server_address": "127.0.0.1"}
bootstrap.load_config_options(options)
bootstrap.run(sys.argv[1], False, [], options)
"""


@pytest.fixture(scope="module")
def site(certificate: Path, graphs: Path) -> Iterator[Site]:
    """Behind nginx for its TLS alone."""
    with machine.folder() as folder:
        port, _, app_port = machine.free_ports(3)
        site = Site(port, folder, [app_port])
        command = [sys.executable, "-c", START, str(machine.ROOT / "streamlit_app.py"), str(app_port)]
        environment = {**machine.settings(with_graphs(site.cache, graphs)), "HOME": str(folder)}
        app = machine.running(
            command,
            lambda: machine.listens(app_port),
            folder / "app.out",
            cwd=machine.ROOT,
            env=environment,
        )
        with app, start_nginx(site, certificate):
            yield site


def test_pages_and_uploads_work(site: Site) -> None:
    visitor = Visitor(site.port)
    with visitor.open() as page:
        assert len(visitor.run(page)) > 5
        _, answer = visitor.upload(page, bytes(3 * 2**20))
    assert answer.status == 204, answer.body


def test_what_the_page_on_deployment_says_is_missing_is_missing(site: Site) -> None:
    """Where one of these comes to be there, the page has to be changed."""
    visitor = Visitor(site.port)
    for path in ("/readyz", "/nothing/there"):
        answer = visitor.ask("GET", path)
        assert (answer.status, answer.body[:4]) == (200, b"<!--"), "the page, whatever is asked for"
        assert [name for name in headers() if answer.all(name)] == []
    assert machine.answers(site.ports[0], "/_stcore/metrics", **{"X-Forwarded-For": "192.0.2.1"})
