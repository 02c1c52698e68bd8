"""``fcn batch`` killed (SIGKILL) again and again: its rows in the end, compared with those of an undisturbed run.

    python -m benchmarks.kills [--kills 50] [--pictures 2000] [--format parquet|jsonl] [--seed 0]

Every run is killed at a random moment, and the next one continues. After each kill the rows that are there are noted,
with the time that each took: in the end the very same rows must be there, so nothing that was done was done again.
Beside the rows, the files that they name must be there and whole, and no others.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Rows = dict[tuple[str, str], dict[str, Any]]


def make_pictures(folder: Path, count: int) -> None:
    """Write small pictures, every hundredth of them damaged."""
    import skimage.data

    folder.mkdir()
    cat, generator = skimage.data.chelsea(), np.random.default_rng(0)
    for number in range(count):
        top, left = int(generator.integers(0, 230)), int(generator.integers(0, 350))
        path = folder / f"{number:05d}.png"
        Image.fromarray(cat[top : top + 60, left : left + 90]).save(path)
        if number % 100 == 99:
            path.write_bytes(path.read_bytes()[:500])


def rows_in(folder: Path) -> Rows:
    """Return the rows of all parts and journals."""
    from fcn_core.batch.journal import Journal
    from fcn_core.batch.layout import Layout, number_of, table_format

    layout = Layout(folder, (1, 1), table_format(folder, ("jsonl",)))
    rows = [row for path in layout.parts() for row in layout.table.read(path, None)]
    made = {number_of(path) for path in layout.parts()}
    for path in layout.journals():
        if number_of(path) not in made:
            rows += Journal(path).rows()
    found = {(row["path"], row["wnid"] or ""): row for row in rows}
    assert len(found) == len(rows), "a row is there twice"
    return found


def missing_files(folder: Path, rows: Rows) -> list[str]:
    """Return the files that rows name and that are not there or not whole, and those that no row names."""
    named = {
        row[column] for row in rows.values() for column in ("mask_file", "thumbnail_file") if row[column]
    }
    there = {
        path.relative_to(folder).as_posix()
        for kind in ("masks", "thumbnails")
        for path in (folder / kind).rglob("*")
        if path.is_file()
    }
    for name in sorted(named & there):
        Image.open(folder / name).load()
    return sorted(named ^ there)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--format", choices=("parquet", "jsonl"), default="parquet")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        pictures, whole, disturbed = (Path(place) / name for name in ("pictures", "whole", "disturbed"))
        make_pictures(pictures, options.pictures)
        command = [
            sys.executable,
            "-m",
            "fcn_core",
            "batch",
            str(pictures),
            "--synset",
            "cat",
            "--synset",
            "dog",
        ]
        command += ["--model", "efficientnet-lite0", "--scales", "64x96", "--write", "masks", "--json"]
        command += ["--format", options.format]
        about = json.loads(_run([*command, "--out", str(whole)]))
        expected = rows_in(whole)
        print(
            f"undisturbed: {about['done']} pictures, {len(expected)} rows, {about['seconds']:.0f} s",
            flush=True,
        )
        seen: Rows = {}
        for number in range(options.kills):
            child = subprocess.Popen(
                [*command, "--out", str(disturbed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            _wait_for(disturbed, child)
            time.sleep(generator.uniform(0, 2 * about["seconds"] / options.kills))
            child.kill()
            child.wait()
            now = rows_in(disturbed) if disturbed.exists() else {}
            assert seen.items() <= now.items(), "a row that was there has gone, or was made again"
            seen = now
            if number % 10 == 9:
                print(f"{number + 1} kills: {len({path for path, _ in seen})} pictures done", flush=True)
        last = json.loads(_run([*command, "--out", str(disturbed)]))
        rows = rows_in(disturbed)
        assert seen.items() <= rows.items(), "what was done was done again"
        for row in (*expected.values(), *rows.values()):
            del row["seconds"]
        assert rows == expected, "the rows differ from those of the undisturbed run"
        assert missing_files(disturbed, rows) == missing_files(whole, expected) == []
        sheets = [(folder / "contact-sheet" / "index.html").read_bytes() for folder in (whole, disturbed)]
        assert sheets[0] == sheets[1]
        print(
            f"{options.kills} kills; the last run did {last['done']} pictures, {last['done_before']} were done: all "
            f"{len(rows)} rows and their files are those of the undisturbed run, and no row was made twice"
        )


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", check=False
    )
    assert done.returncode == 2, "some pictures are bad"
    return done.stdout


def _wait_for(folder: Path, child: subprocess.Popen[bytes]) -> None:
    """Wait until a run has opened the folder: before, there is nothing to disturb."""
    lock = (folder / "state" / "lock-00001-of-00001").resolve()
    files = Path(f"/proc/{child.pid}/fd")
    while child.poll() is None:
        with suppress(OSError):  # a file that is closed in this moment
            if any(link.readlink() == lock for link in files.iterdir()):
                return
        time.sleep(0.02)


if __name__ == "__main__":
    main()
