"""The files of deploy/ agree with the app, and with each other."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app import server
from app.server import uploads
from fcn_core.images.limits import Limits
from tests.deploy.machine import ROOT, checkout
from tests.waiting import PATIENCE

FOLDER = ROOT / "deploy"
NGINX, UNIT, SETTINGS, DOCKERFILE = (
    (FOLDER / name).read_text(encoding="utf-8")
    for name in ("nginx.conf", "fcn@.service", "fcn.env", "Dockerfile")
)
PING = 30  # seconds between two of a page's socket, as Streamlit has it where nobody says otherwise


def test_nginx_takes_what_the_app_takes() -> None:
    location = NGINX.partition("/_stcore/upload_file/ {")[2]
    assert f"client_max_body_size {Limits().max_bytes / 2**20:g}m;" in location
    assert f"client_body_timeout   {uploads._TIMEOUT:g}s;" in NGINX
    (pages,) = re.findall(r"limit_conn fcn_pages (\d+);", NGINX)
    assert 40 < int(pages) <= server._MOST_PAGES / 5, "a class has room, and leaves room"
    (silence,) = re.findall(r"proxy_read_timeout +(\d+)s;", NGINX)
    assert int(silence) > 2 * PING


def test_the_settings_are_the_apps() -> None:
    names = re.findall(r"^(FCN_\w+)=", SETTINGS, re.MULTILINE)
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert names
    assert [name for name in names if f"| `{name}` |" not in page] == []


def test_the_unit_keeps_memory_above_the_apps_own_bound() -> None:
    (budget,) = re.findall(r"^FCN_MEMORY_MB=(\d+)$", SETTINGS, re.MULTILINE)
    (most,) = re.findall(r"^MemoryMax=(\d+)M$", UNIT, re.MULTILINE)
    assert 1.25 * int(budget) <= int(most) <= 1.5 * int(budget)


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here to check the unit"
)
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "fcn@8501.service"
    text = UNIT.replace("/opt/fcn/%i/.venv/bin/python", sys.executable)
    assert text.count(sys.executable) == 1
    unit.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_container_holds_what_the_app_needs(tmp_path: Path) -> None:
    copied = {
        name for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()
    }
    packaging = {"requirements.txt", "pyproject.toml", "README.md", "LICENSE"}  # what pip reads
    assert copied - packaging == {path.name for path in checkout(tmp_path / "app").iterdir()}
    for name in copied:
        assert (ROOT / name).exists()


def test_all_start_the_app_alike() -> None:
    command = "python -m streamlit run streamlit_app.py --server.port "
    assert command in UNIT
    assert command.replace(" ", '", "').strip(', "') in DOCKERFILE


def test_the_page_on_deployment_names_files_that_are_there() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page):
        assert (ROOT / "docs" / link).exists(), link
    commands = "".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    named = set(re.findall(r"\bdeploy/[\w.@]+", commands))
    assert named == {f"deploy/{path.name}" for path in FOLDER.iterdir() if path.is_file()}
    for old in re.findall(r"sed (?:-i )?'s/([^/]+)/", commands):
        assert old in NGINX or old == "worker_connections 768", "what is replaced is there"


def test_the_page_on_deployment_states_the_limits_that_nginx_and_the_app_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    told = " ".join(page.partition("Limits for one address")[2].partition("\n\n")[0].split())
    numbers = dict(re.findall(r"limit_conn (\w+) (\d+);", NGINX))
    bursts = dict(re.findall(r"zone=(\w+) burst=(\d+)", NGINX))
    rates = dict(re.findall(r"zone=(\w+):1m rate=(\d+)r/s", NGINX))
    assert f"{numbers['fcn_pages']} open pages" in told
    assert f"{numbers['fcn_connections']} connections" in told
    assert f"{bursts['fcn_uploads']} uploads at once and one a second" in told
    assert rates["fcn_uploads"] == "1"
    assert f"{bursts['fcn_requests']} requests at once" in told
    assert f"{rates['fcn_requests']} a second" in told
    assert f"{server._MOST_PAGES} open pages" in told
    monkeypatch.setattr(server.connections, "most_files", lambda: 65536)
    for memory in (450, 690, 1500):
        monkeypatch.setenv("FCN_MEMORY_MB", str(memory))
        assert re.search(rf"{server._most_pages()} (open pages )?in {memory}\b", told)
