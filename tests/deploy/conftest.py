"""nginx with the repository's configuration, before the app as it is deployed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import machine
from tests.deploy.machine import ROOT

CONFIGURATION = ROOT / "deploy" / "nginx.conf"
# What the watcher of the tests of the browser notes beside.
_ELSEWHERE = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.sendto",
    "mmap.__new__",
    "subprocess.Popen",
    "os.exec",
)


@dataclass(frozen=True)
class Site:
    """The app behind nginx."""

    port: int
    folder: Path
    ports: list[int]  # of the app's processes
    base: str = ""

    @property
    def cache(self) -> Path:
        """What the app may write to."""
        return self.folder / "cache"

    @property
    def writings(self) -> list[list[str]]:
        """What the app opened for writing and did to files."""
        lines = (self.cache / "audit").read_text(encoding="utf-8").splitlines()
        return [event for line in lines if (event := json.loads(line))[0] not in _ELSEWHERE]

    @property
    def access_log(self) -> str:
        """What nginx wrote down."""
        return (self.folder / "logs" / "fcn.log").read_text(encoding="utf-8")

    @property
    def error_log(self) -> str:
        """What nginx complained of."""
        return (self.folder / "logs" / "fcn-error.log").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate and its key, for localhost: what every test behind nginx asks for first."""
    folder = tmp_path_factory.mktemp("certificate")
    command = [
        str(machine.OPENSSL),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]
    command += ["-subj", "/CN=localhost", "-days", "2", "-keyout", "privkey.pem", "-out", "fullchain.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def graphs(lite0: Any) -> Path:
    """Where EfficientNet-Lite0 is prepared."""
    return Path(os.environ["FCN_CACHE_DIR"]) / "graphs"


def with_graphs(cache: Path, graphs: Path) -> Path:
    """Make a cache in which the model is prepared."""

    def others(_: str, names: list[str]) -> list[str]:
        return [name for name in names if name.startswith(("resnet50", "efficientnet-lite2"))]

    shutil.copytree(graphs, cache / "graphs", ignore=others)
    return cache


def configuration(site: Site, certificate: Path) -> str:
    """The repository's file with this site's name, ports and folders in place of the example's."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    first, *more = site.ports
    for old, new in {
        "/etc/letsencrypt/live/fcn.example.org": str(certificate),
        "fcn.example.org": "localhost",
        "listen 80;": f"listen 127.0.0.1:{site.port + 1};",
        "listen [::]:80;": "",
        "listen 443": f"listen 127.0.0.1:{site.port}",
        "listen [::]:443 ssl default_server;": "",
        "listen [::]:443 ssl;": "",
        "/var/log/nginx": str(site.folder / "logs"),
        "server 127.0.0.1:8501;": " ".join(f"server 127.0.0.1:{port};" for port in (first, *more)),
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    sealed = site.folder / "sealed"  # what nginx wrote there would fail
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "\n".join(f"{kind}_temp_path {sealed / kind};" for kind in kinds)
    main = f"daemon off; worker_processes 1; pid {site.folder}/logs/pid; error_log stderr crit;"
    return f"{main}\nevents {{ worker_connections 1024; }}\nhttp {{\naccess_log off;\n{places}\n{text}\n}}\n"


def start_nginx(site: Site, certificate: Path, text: str | None = None) -> Any:
    """Run nginx (with another `text` than the repository's); nobody can write to its folders of temporary files."""
    machine.give(site.folder / "logs")
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (site.folder / "sealed" / kind).mkdir(parents=True)
    machine.seal(site.folder / "sealed")
    file = site.folder / "nginx.conf"
    file.write_text(text or configuration(site, certificate), encoding="utf-8")
    command = [str(machine.NGINX), "-p", str(site.folder), "-c", str(file), "-e", "stderr"]
    return machine.running(
        machine.as_other(command), lambda: machine.listens(site.port), site.folder / "nginx.out"
    )


@pytest.fixture(scope="module")
def site(certificate: Path, graphs: Path) -> Iterator[Site]:
    """Below a path, by another user, from a checkout and with a home that nobody may change; and watched."""
    with machine.folder() as folder:
        port, _, app_port, _ = machine.free_ports(4)  # the app's next one is its watcher's
        site = Site(port, folder, [app_port], "/fcn")
        root = machine.checkout(folder / "checkout")
        watcher = shutil.copy(ROOT / "tests" / "browser" / "audited.py", root)
        for name in ("home", "temporary"):
            (folder / name).mkdir()
        for name in ("checkout", "home", "temporary"):
            machine.seal(folder / name)
        machine.give(with_graphs(site.cache, graphs))
        environment = {
            **machine.settings(site.cache),
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "temporary"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [
            sys.executable,
            watcher,
            str(site.cache / "audit"),
            str(app_port),
            "--server.baseUrlPath",
            "fcn",
        ]
        log = folder / "app.out"
        app = machine.running(
            machine.as_other(command), lambda: machine.ready(app_port), log, cwd=root, env=environment
        )
        with app, start_nginx(site, certificate):
            yield site
        said = log.read_text(encoding="utf-8")
        assert "Traceback" not in said, said
