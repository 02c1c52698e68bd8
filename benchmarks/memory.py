"""Memory of the models in a small container, and whether it was foreseen.

    python -m benchmarks.memory [--model NAME ...] [--large] [--json]

A process like the app's (it has imported what the app imports) is given a budget, prepares the model from nothing in
an empty cache, and runs the four notebook scales twice, keeping the class maps. Its memory and that of its children is
read every few milliseconds. A second process without a budget shows what the same passes take whole. ``--large`` runs
0.06 to 16 megapixels and 7000x7000 as well. :mod:`benchmarks.long_life` shows a process that lives long.
ResNet50 has random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import psutil

BUDGETS = {"efficientnet-lite2": 450, "resnet50": 690}
LARGE_BUDGET = 690
NOTEBOOK = "200x320,400x640,800x1280,1600x2560"
GROWING = "200x320,400x640,800x1280,1600x2560,3200x5120"


class Watch:
    """The largest memory of a process and its children, read every few milliseconds."""

    def __init__(self) -> None:
        self.peak = 0.0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self._sample()
            time.sleep(0.005)

    def _sample(self) -> None:
        this, total = psutil.Process(), 0
        for process in [this, *this.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
        self.peak = max(self.peak, total / 2**20)

    def lap(self) -> float:
        """The peak since the last lap."""
        self._sample()
        peak, self.peak = self.peak, 0.0
        return peak


def work(name: str, sizes: str, keep: bool) -> None:
    """Load a model and run the sizes, telling what was foreseen and what it was."""
    watch = Watch()
    import matplotlib
    import numpy as np
    import skimage.segmentation
    import streamlit

    assert all((matplotlib, skimage.segmentation, streamlit))
    from fcn_core.engines.load import load_model
    from fcn_core.images.resize import ResizedImage
    from fcn_core.images.scales import Scale
    from fcn_core.system import memory

    memory.limit_free_heap()
    say({"what": "imports", "peak": watch.lap()})
    begin = time.perf_counter()
    predictor = load_model(name, "openvino", weights=None if name == "resnet50" else "imagenet")
    say({"what": "preparing", "peak": watch.lap(), "seconds": time.perf_counter() - begin})
    pixels = np.random.default_rng(0).integers(0, 255, (1000, 1600, 3), np.uint8)
    kept = []
    for text in sizes.split(","):
        scale = Scale.parse(text)
        foreseen = predictor.forecast(scale.height, scale.width)
        watch.lap()
        begin, cpu = time.perf_counter(), time.process_time()
        logits = predictor.logits(ResizedImage(pixels, scale.height, scale.width))
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        if keep:
            kept.append(logits)
        del logits
        say(
            {
                "what": text, "peak": watch.lap(), "seconds": seconds, "cpu": cpu,
                "foreseen": foreseen.memory_mb, "foreseen_seconds": foreseen.seconds,
                "bands": foreseen.plan and [len(part.bands) for part in foreseen.plan.parts],
                "strips": foreseen.plan and len(foreseen.plan.strips.bands),
                "megapixels": scale.height * scale.width / 1e6,
            }
        )  # fmt: skip


def say(record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)


def run(name: str, sizes: str, budget: int | None, cache: str, keep: bool = False) -> list[dict[str, Any]]:
    environment = {**os.environ, "FCN_CACHE_DIR": cache}
    environment.pop("FCN_MEMORY_MB", None)
    if budget is not None:
        environment["FCN_MEMORY_MB"] = str(budget)
    arguments = ["--work", name, "--sizes", sizes, *(["--keep"] if keep else [])]
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    records = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
    if child.returncode:
        last = child.stderr.strip().splitlines()[-1:] or ["no message"]
        records.append({"what": "failed", "error": last[0], "peak": 0.0})
    return [{"model": name, "budget": budget, **record} for record in records]


def _table(records: list[dict[str, Any]]) -> None:
    print(
        "| model | budget MB | what | in | peak MB | foreseen | s | foreseen | s a megapixel | CPU s a megapixel |"
    )
    print("|---|---:|---|---|---:|---:|---:|---:|---:|---:|")
    for r in records:
        cells = [r["model"], str(r["budget"] or "none"), r["what"]]
        if "error" in r:
            cells += [r["error"], *[""] * 6]
        elif "foreseen" in r:
            ways = "the whole" if r["bands"] is None else f"{' '.join(map(str, r['bands']))} bands"
            ways += f" in {r['strips']} strips" if (r["strips"] or 1) > 1 else ""
            cells += [ways, f"{r['peak']:.0f}", f"{r['foreseen']:.0f} ({r['foreseen'] / r['peak'] - 1:+.0%})"]
            cells += [f"{r['seconds']:.2f}", f"{r['foreseen_seconds']:.2f}"]
            cells += [f"{r['seconds'] / r['megapixels']:.2f}", f"{r['cpu'] / r['megapixels']:.2f}"]
        else:
            cells += ["", f"{r['peak']:.0f}", "", f"{r.get('seconds', 0.0):.1f}", "", "", ""]
        print("| " + " | ".join(cells) + " |")
    for name in dict.fromkeys(r["model"] for r in records):
        peaks = [r["peak"] for r in records if r["model"] == name and r["budget"] == BUDGETS[name]]
        print(
            f"\n{name}: {max(peaks):.0f} MB at most, preparation and children included; goal {BUDGETS[name]}."
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", choices=tuple(BUDGETS))
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.sizes, options.keep)
        return
    records = []
    with tempfile.TemporaryDirectory() as cache:
        for name in options.model or BUDGETS:
            records += run(name, f"{NOTEBOOK},{NOTEBOOK}", BUDGETS[name], cache, keep=True)
            records += run(name, f"{NOTEBOOK},{NOTEBOOK}", None, cache)
            if options.large:
                records += run(name, f"{GROWING},{GROWING}", LARGE_BUDGET, cache)
                records += run(name, "7000x7000", LARGE_BUDGET, cache)
    if options.json:
        print(json.dumps(records))
    else:
        _table(records)


if __name__ == "__main__":
    main()
