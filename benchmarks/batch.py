"""Throughput of ``fcn batch`` as a ratio to bare passes of OpenVINO, and its memory.

    python -m benchmarks.batch [INPUT ...] [--count N] [--minutes M] [--scales HxW,...] [--precision f32|bf16]
                               [--model NAME] [--block N]
    python -m benchmarks.batch --memory [--count N]

The first measures blocks of pictures in turn, so that a busy machine slows all ways alike: the passes alone, with
inputs that are ready; a batch in which next to nothing is marked; and a batch in which every picture gets a fine mask.
At the beginning and at the end of a block nothing overlaps, so small blocks cost a batch more than large ones.
A batch is all of it: reading, decoding, passes, rows, thumbnails, the table on the disk. Loading the model is not
counted. Without INPUT, pictures are made of scikit-image's, from 0.1 to 12 megapixels. ``--minutes`` ends the rounds
early. The last column is the ratio of processor seconds, which programs beside this one change less than the clock.

The second runs the command over N and over a tenth of N small pictures, each in a process of its own, and compares the
peaks of their memory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from PIL import Image

SIZES = (0.1, 0.2, 0.3, 0.5, 0.5, 1.0, 2.0, 3.0, 8.0, 12.0)  # megapixels
PICTURES = ("astronaut", "chelsea", "coffee", "rocket")
NOWHERE, SOMEWHERE = "wooden spoon", "animal"


def make_pictures(folder: Path, count: int, sizes: tuple[float, ...] = SIZES) -> list[str]:
    """Write pictures of mixed sizes and proportions; return their paths."""
    import skimage.data

    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    paths = []
    for number in range(count):
        pixels = getattr(skimage.data, PICTURES[number % len(PICTURES)])()
        height, width = pixels.shape[:2]
        top, left = (int(generator.integers(0, side // 4)) for side in (height, width))
        part = Image.fromarray(pixels[top:, left:])
        factor = (1e6 * sizes[number % len(sizes)] / (part.width * part.height)) ** 0.5
        size = (max(16, round(part.width * factor)), max(16, round(part.height * factor)))
        paths.append(str(folder / f"{number:05d}.jpg"))
        part.resize(size, Image.Resampling.BICUBIC).save(paths[-1], quality=88)
    return paths


def bare_passes(model: Any, scales: Any) -> Callable[[list[str]], None]:
    """Return what runs the network alone over pictures of these sizes."""
    from fcn_core.images.scales import plan_scales

    # One buffer for all sizes: the engine gives memory back after each pass in a process that has much.
    largest = max(scale.height * scale.width for scale in scales)
    buffer = np.random.default_rng(0).random(4 * largest, np.float32)

    def run(paths: list[str]) -> None:
        for path in paths:
            with Image.open(path) as picture:
                plans = plan_scales(picture.height, picture.width, scales, "aspect")
            for plan in plans:
                size = (1, 3, plan.height, plan.width)
                model._run_whole(buffer[: math.prod(size)].reshape(size))

    return run


def batch_of(model: Any, scales: Any, word: str, always_mark: bool) -> Callable[[list[str]], None]:
    """Return what does a batch, with everything that belongs to it."""
    from fcn_core.batch.inputs import sources
    from fcn_core.batch.many import Question, wanted_synsets
    from fcn_core.batch.run import Output, local_runner, run_batch
    from fcn_core.batch.work import Task
    from fcn_core.pipeline import MapOptions

    options = MapOptions(always_mark=always_mark)
    task = Task(Question(wanted_synsets(word, model.info, False), False, options, model.info), tuple(scales))

    def run(paths: list[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            summary = run_batch(sources(paths), task, Output(Path(folder)), local_runner(task, model))
        assert (summary.done, summary.failed) == (len(paths), 0)

    return run


def throughput(
    paths: list[str], name: str, scales: Any, precision: str, minutes: float, block: int
) -> dict[str, Any]:
    """Return pictures a second and processor seconds a picture of each way, and the ratios to the bare passes."""
    from fcn_core.engines.load import load_model

    model: Any = load_model(name, "openvino")
    model.compute_in(precision)
    ways = {
        "bare passes": bare_passes(model, scales),
        "batch, nothing marked": batch_of(model, scales, NOWHERE, False),
        "batch, a fine mask for each": batch_of(model, scales, SOMEWHERE, True),
    }
    end = time.monotonic() + 60 * minutes
    for run in ways.values():
        run(paths[: len(SIZES)])  # kernels of these sizes are compiled
    seconds, processor = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
    rounds: list[dict[str, float]] = []  # seconds of each way
    count = 0
    for first in range(0, len(paths), block):
        if rounds and time.monotonic() > end:
            break
        before = dict(seconds)
        count += len(paths[first : first + block])
        for way, run in ways.items():
            begin, used = time.perf_counter(), time.process_time()
            run(paths[first : first + block])
            seconds[way] += time.perf_counter() - begin
            processor[way] += time.process_time() - used
        rounds.append({way: seconds[way] - before[way] for way in ways})
    rates = {way: count / spent for way, spent in seconds.items()}
    bare = "bare passes"
    return {
        "pictures": count,
        "model": name,
        "precision": model.info.precision,
        "scales": [str(scale) for scale in scales],
        "rates": rates,
        "ratios": {way: rate / rates[bare] for way, rate in rates.items()},
        "medians": {way: statistics.median(each[bare] / each[way] for each in rounds) for way in ways},
        "processor": {way: spent / count for way, spent in processor.items()},
        "work": {way: processor[bare] / spent for way, spent in processor.items()},
    }


def peak_of(paths: list[str], folder: Path, scales: str, name: str) -> float:
    """Return the peak memory of the command over these pictures, in megabytes."""
    listed = folder / f"list-{len(paths)}.txt"
    listed.write_text("\n".join(paths), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "fcn_core",
        "batch",
        f"@{listed}",
        "--synset",
        SOMEWHERE,
        "--always-mark",
    ]
    command += ["--scales", scales, "--model", name, "--out", str(folder / f"out-{len(paths)}"), "--json"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    return float(json.loads(done.stdout)["peak_rss_mb"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="*")
    parser.add_argument("--count", type=int)
    parser.add_argument("--scales", default="200x320,400x640,800x1280,1600x2560")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--model", default="efficientnet-lite2")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--block", type=int, default=10, help="pictures that one way does before the next")
    options = parser.parse_args()
    from fcn_core.batch.inputs import sources
    from fcn_core.images.scales import parse_scales

    with tempfile.TemporaryDirectory() as place:
        if options.memory:
            paths = make_pictures(Path(place) / "pictures", options.count or 2000, SIZES[:5])
            few, many = (
                peak_of(some, Path(place), options.scales, options.model)
                for some in (paths[: len(paths) // 10], paths)
            )
            print(
                f"peak of {len(paths) // 10} pictures {few:.0f} MB, of {len(paths)} {many:.0f} MB: {many / few:.3f}"
            )
            return
        if options.inputs:
            paths = [source.path for source in sources(options.inputs)][: options.count]
        else:
            paths = make_pictures(Path(place) / "pictures", options.count or 500)
        found = throughput(
            paths,
            options.model,
            parse_scales(options.scales),
            options.precision,
            options.minutes,
            options.block,
        )
    print(
        f"{found['pictures']} pictures, {found['model']}, {found['precision']}, {', '.join(found['scales'])}\n"
    )
    print(
        "| way | pictures a second | to the bare passes | median of the rounds | processor seconds a picture "
        "| the bare passes' to them |\n|---|---:|---:|---:|---:|---:|"
    )
    for way, rate in found["rates"].items():
        figures = (rate, *(found[name][way] for name in ("ratios", "medians", "processor", "work")))
        print(f"| {way} | {' | '.join(f'{figure:.2f}' for figure in figures)} |")


if __name__ == "__main__":
    main()
