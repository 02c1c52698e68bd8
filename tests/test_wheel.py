"""The wheel, installed away from the checkout: it works by itself, and type checkers see its types."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from tests.places import ROOT
from tests.waiting import PATIENCE

# Tests run from the checkout, where neither the current folder nor the environment may help the wheel.
_HELPING = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "MYPYPATH")
TYPED = """
import fcn_core as fcn

image: fcn.RGBImage = fcn.read_image("cat.png")
result = fcn.analyse(image, "cat", fcn.load_model())
reveal_type(result)
"""
WRONG = "import fcn_core as fcn\nfcn.parse_scales(400)\n"


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel in it, and a folder elsewhere that commands run in."""

    folder: Path
    workplace: Path

    @property
    def scripts(self) -> Path:
        """Where its commands are."""
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its commands."""
        environment = {name: value for name, value in os.environ.items() if name not in _HELPING}
        return subprocess.run(
            [str(self.scripts / command), *arguments],
            cwd=self.workplace,
            env={**environment, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the declared backend of the environment the tests run in."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=PATIENCE, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Install it without a network: the dependencies are those of the tests' environment, without the checkout.

    A ``.pth`` file adds that environment's packages to the path; ``.pth`` files that lie there are not read, so
    an editable installation of the checkout is not seen.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "environment", with_pip=True, symlinks=os.name != "nt")
    found = Installation(folder / "environment", folder / "workplace")
    found.workplace.mkdir()
    done = found.run("python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel))
    assert done.returncode == 0, done.stderr
    asked = found.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    theirs = dict.fromkeys(path for path in sys.path if Path(path).name in ("site-packages", "dist-packages"))
    packages = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *theirs])
    (Path(asked.stdout.strip()) / "dependencies.pth").write_text("\n".join(packages) + "\n", encoding="utf-8")
    return found


def test_it_holds_the_package_and_its_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    metadata = [name for name in names if ".dist-info/" in name]
    assert {name.partition("/")[0] for name in names if name not in metadata} == {"fcn_core"}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fcn_core").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert {
        "fcn_core/py.typed",
        "fcn_core/assets/imagenet_synsets.json",
        "fcn_core/assets/nouns.txt",
        "fcn_core/assets/everyday_names.csv",
        "fcn_core/assets/everyday_words.csv",
        "fcn_core/assets/presence.json",
        "fcn_core/assets/taught.json",
    } <= set(names)
    templates = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "fcn_core").glob("*/templates/*")
        if path.is_file()
    }
    assert len(templates) > 2
    assert templates <= set(names)
    licences = {name.rpartition("/")[2] for name in metadata if "/licenses/" in name}
    assert licences == {"LICENSE", "LICENCES.md", "LICENSE-WordNet.txt"}


def test_the_package_is_the_wheels_and_not_the_checkouts(installed: Installation) -> None:
    code = "import fcn_core, sys; print(fcn_core.__file__); print(*sys.path, sep='\\n')"
    package, *places = installed.run("python", "-c", code).stdout.splitlines()
    assert Path(package).is_relative_to(installed.folder)
    assert [place for place in places if place and Path(place) == ROOT] == []
    without = installed.run("python", "-c", "import app")
    assert "No module named 'app'" in without.stderr, "the app is no part of the wheel"


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is prepared, so that the wheel has to find itself in the child that prepares, too."""
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("FCN_MODEL", "efficientnet-lite0")
    return tmp_path


def test_it_checks_itself_and_makes_a_heatmap_of_a_picture_elsewhere(
    installed: Installation, fresh_cache: Path
) -> None:
    checked = installed.run("fcn", "--check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "the sample picture of a cat is class 28" in checked.stdout
    picture = fresh_cache / "pictures" / "cat.png"
    picture.parent.mkdir()
    Image.fromarray(skimage.data.chelsea()).save(picture)
    made = installed.run(
        "fcn", "heatmap", str(picture), "--synset", "cat", "--scales", "200x300", "--out", "out"
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert {"manifest.json", "maps.npz", "mask.png", "overlay.png", "figure.png"} == {
        path.name for path in (installed.workplace / "out" / "cat").iterdir()
    }


def test_the_command_and_the_module_are_the_same(installed: Installation) -> None:
    by_name = installed.run("fcn", "synset", "dog", "--json")
    by_module = installed.run("python", "-m", "fcn_core", "synset", "dog", "--json")
    assert by_name.stdout == by_module.stdout != ""


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        (TYPED, 0, 'Revealed type is "fcn_core.pipeline.Analysis"'),
        (WRONG, 1, 'Argument 1 to "parse_scales" has incompatible type "int"'),
    ],
    ids=["right", "wrong"],
)
def test_a_type_checker_sees_the_types(code: str, status: int, words: str, installed: Installation) -> None:
    script = installed.workplace / "script.py"
    script.write_text(code, encoding="utf-8")
    command = [
        "mypy",
        "--strict",
        "--cache-dir",
        str(installed.workplace / "mypy"),
        "--follow-imports",
        "silent",
    ]
    done = installed.run("python", "-m", *command, script.name)
    assert words in done.stdout, done.stdout + done.stderr
    assert done.returncode == status
