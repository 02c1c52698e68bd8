"""A long life in little memory: thousands of pictures of hundreds of proportions, in the library and on the page.

    python -m benchmarks.long_life [--model NAME ...] [--where library|page] [--pictures 2000] [--proportions 500]
                                   [--scales 200x320,400x640,800x1280] [--json]

Every fifth twenty pictures have one size that repeats, so that what a new shape costs shows in the same run. Reported
are the pictures refused, the time a picture of either kind, and memory: of the first and last tenth, and the most.
ResNet50 has random weights.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import load, session
from benchmarks.memory import BUDGETS, Watch

SCALES = "200x320,400x640,800x1280"
REPEATED = (600, 800)


def sizes(pictures: int, proportions: int) -> Iterator[tuple[bool, int, int]]:
    """Whether the size repeats, height, width."""
    rng = random.Random(0)
    known = [(rng.randrange(300, 900), rng.randrange(300, 900)) for _ in range(proportions)]
    for number in range(pictures):
        if number // 20 % 5 == 4:
            yield True, *REPEATED
        else:
            yield False, *rng.choice(known)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the table shows, from a row a picture."""
    tenth = max(1, len(rows) // 10)
    answered = [row for row in rows if row["error"] is None]
    new = [row["seconds"] for row in answered if not row["repeated"]]
    again = [
        row["seconds"]
        for before, row in pairwise(rows)
        if row["error"] is None and row["repeated"] and before["repeated"]
    ]
    return {
        "pictures": len(rows),
        "refused": len(rows) - len(answered),
        "first error": next((row["error"] for row in rows if row["error"]), None),
        "s, new size": round(statistics.median(new), 3),
        "s, repeated size": round(statistics.median(again), 3),
        "ratio": round(statistics.median(new) / statistics.median(again), 3),
        "MB, first tenth": round(max(row["mb"] for row in rows[:tenth])),
        "MB, last tenth": round(max(row["mb"] for row in rows[-tenth:])),
        "MB, most": round(max(row["mb"] for row in rows)),
    }


def library(name: str, pictures: int, proportions: int, scales: str) -> None:
    """Analyse the pictures in this process, a row each on standard output."""
    import fcn_core as fcn

    watch = Watch()
    model = fcn.load_model(name, "openvino", weights="none" if name == "resnet50" else "imagenet")
    watch.lap()
    wanted = fcn.parse_scales(scales)
    for number, (repeated, height, width) in enumerate(sizes(pictures, proportions)):
        image = fcn.read_image(session.picture(height, width, number))
        error, begin = None, time.perf_counter()
        try:
            fcn.analyse(image, "dog", model, wanted)
        except fcn.FcnError as refused:
            error = str(refused)
        row = {
            "repeated": repeated,
            "seconds": time.perf_counter() - begin,
            "error": error,
            "mb": watch.lap(),
        }
        print(json.dumps(row), flush=True)


def in_library(name: str, pictures: int, proportions: int, scales: str, cache: str) -> list[dict[str, Any]]:
    """Run :func:`library` in a process of its own."""
    environment = {**os.environ, "FCN_CACHE_DIR": cache, "FCN_MEMORY_MB": str(BUDGETS[name])}
    options = [f"--pictures={pictures}", f"--proportions={proportions}", f"--scales={scales}"]
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.long_life", "--work", name, *options],
        env=environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in child.stdout.splitlines()]


async def _visit(
    port: int, server: Any, pictures: int, proportions: int, scales: str
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    tally = session.Tally()
    user = session.Session(port, random.Random(0), tally, query=f"scales={scales}")
    await user.open()
    await user.settle()
    for number, (repeated, height, width) in enumerate(sizes(pictures, proportions)):
        file, known = session.picture(height, width, number), len(tally.errors)
        begin = time.perf_counter()
        widget = next(w for kind, w in user.widgets.values() if kind == "file_uploader")
        await user.upload(widget, file)
        await user.settle()
        seconds = time.perf_counter() - begin
        error = next(iter(tally.errors[known:]), None)
        rows.append({"repeated": repeated, "seconds": seconds, "error": error, "mb": load.rss_mb(server)})
    await user.close()
    return rows


def on_page(name: str, pictures: int, proportions: int, scales: str, cache: str) -> list[dict[str, Any]]:
    """Upload the pictures to the app one after the other and wait for each answer."""
    os.environ |= {"FCN_CACHE_DIR": cache, "FCN_MEMORY_MB": str(BUDGETS[name]), "FCN_MODEL": name}
    if name == "resnet50":
        from benchmarks.app import keras_file

        keras_file(Path(cache))
        os.environ["FCN_WEIGHTS_DIR"] = cache
    log = Path(cache) / "server.log"
    with load.app(log) as (port, server):
        rows = asyncio.run(_visit(port, server, pictures, proportions, scales))
    faults = re.findall(r"^.*(?:Traceback|\bERROR\b).*$", log.read_text(encoding="utf-8"), re.MULTILINE)
    if faults:
        raise SystemExit(f"{len(faults)} faults in the server's log, first: {faults[0]}")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the loops and print the table; exit status 1 where a picture was refused or memory left the budget."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", choices=tuple(BUDGETS))
    parser.add_argument("--where", action="append", choices=("library", "page"))
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--proportions", type=int, default=500)
    parser.add_argument("--scales", default=SCALES)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.pictures < 100:
        parser.error("at least 100 pictures: of each hundred the last twenty repeat their size")
    if options.work:
        library(options.work, options.pictures, options.proportions, options.scales)
        return 0
    table = []
    with tempfile.TemporaryDirectory() as cache:
        for name in options.model or BUDGETS:
            for where in options.where or ("library", "page"):
                run = in_library if where == "library" else on_page
                rows = run(name, options.pictures, options.proportions, options.scales, cache)
                table.append({"model": name, "where": where, "budget": BUDGETS[name], **summary(rows)})
                if not options.json:
                    print(table[-1], flush=True)
    if options.json:
        print(json.dumps(table))
    return int(any(row["refused"] or row["MB, most"] > row["budget"] for row in table))


if __name__ == "__main__":
    raise SystemExit(main())
