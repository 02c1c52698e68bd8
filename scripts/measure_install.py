"""Measure how long an empty machine takes to the first heatmap with the serving installation, and its size on disk.

    python scripts/measure_install.py [--compile] [--extra tensorflow] [--keep FOLDER] [--json]

It needs the network, as a user's installation does: it builds the wheel, makes an empty virtual environment outside the
checkout, installs the wheel with its dependencies there, and runs ``fcn --check`` and ``fcn heatmap`` with an empty
cache. The size is what the environment and the cache hold afterwards, bytecode that Python has written included.
``--compile`` lets pip compile everything in advance, as it does by default; without it, Python compiles what is used.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 12
# Makes the sample picture in the new environment: this one may have none of the dependencies.
PICTURE = (
    "import skimage.data, PIL.Image; PIL.Image.fromarray(skimage.data.astronaut()).save('astronaut.png')"
)


def main() -> int:
    """Measure and print; the exit status is that of the first command that fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--compile", action="store_true", help="let pip compile all modules in advance")
    parser.add_argument(
        "--extra", action="append", default=[], help="also install this extra; may come again"
    )
    parser.add_argument("--keep", type=Path, help="a new folder for the installation, which is then kept")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    place = nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory()
    try:
        with place as folder:
            found = measure(Path(folder).resolve(), options.extra, options.compile)
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(error.cmd)} failed:\n{error.stderr}", file=sys.stderr)
        return int(error.returncode)
    if options.json:
        print(json.dumps(found))
        return 0
    for name, seconds in found["seconds"].items():
        print(f"{name:<32} {seconds:6.1f} s")
    for name, megabytes in found["mb"].items():
        print(f"{name:<32} {megabytes:6.1f} MB")
    return 0


def measure(folder: Path, extras: list[str], compiled: bool) -> dict[str, dict[str, float]]:
    """Install into `folder` and use it; return seconds by step and megabytes (1e6 bytes) by part."""
    folder.mkdir(parents=True, exist_ok=True)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    run(build, folder)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    seconds: dict[str, float] = {}

    def timed(name: str, act: Callable[[], object]) -> None:
        begun = time.perf_counter()
        act()
        seconds[name] = round(time.perf_counter() - begun, 1)

    wanted = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    install = [str(scripts / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--compile" if compiled else "--no-compile", wanted]
    heatmap = [str(scripts / "fcn"), "heatmap", "astronaut.png", "--synset", "space shuttle", "--out", "out"]
    timed("an empty environment", lambda: venv.create(environment, with_pip=True, symlinks=os.name != "nt"))
    timed("the installation", lambda: run(install, folder))
    run([str(scripts / "python"), "-c", PICTURE], folder)
    timed("the first heatmap", lambda: run(heatmap, folder))
    seconds = {**seconds, "from nothing to the first heatmap": round(sum(seconds.values()), 1)}
    timed("the check", lambda: run([str(scripts / "fcn"), "--check"], folder))
    sizes = by_distribution(environment)
    whole = size(environment) + size(folder / "cache")
    bytecode = sum(path.stat().st_size for path in environment.rglob("*.pyc"))
    parts = {"on disk": whole, "of it bytecode": bytecode, "of it the prepared model": size(folder / "cache")}
    parts |= dict(sizes.most_common(LARGEST))
    return {"seconds": seconds, "mb": {name: round(number / 1e6, 1) for name, number in parts.items()}}


def run(command: list[str], folder: Path) -> None:
    """Run a command in `folder` with a cache of its own; raise CalledProcessError where it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FCN", "PYTHON"))}
    environment = dict(kept, FCN_CACHE_DIR=str(folder / "cache"))
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, encoding="utf-8")  # noqa: S603


def size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def by_distribution(environment: Path) -> Counter[str]:
    """Bytes that each installed distribution takes, with the bytecode of its modules."""
    found: Counter[str] = Counter()
    for record in environment.rglob("*.dist-info/RECORD"):
        name = record.parent.name.partition("-")[0]
        for line in record.read_text(encoding="utf-8").splitlines():
            path = record.parents[1] / re.sub(r",[^,]*,[^,]*$", "", line).strip('"')
            cached = path.parent.glob(f"__pycache__/{path.stem}.*.pyc") if path.suffix == ".py" else ()
            recorded = () if path.suffix == ".pyc" else (path,)
            found[name] += sum(each.stat().st_size for each in (*recorded, *cached) if each.is_file())
    return found


if __name__ == "__main__":
    sys.exit(main())
