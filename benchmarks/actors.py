"""Throughput of ``fcn batch --ray`` with two actors, as a multiple of that with one.

    python -m benchmarks.actors [--count N] [--rounds N] [--model NAME] [--scales HxW,...]

An actor has one processor, and Ray starts anew for each run, on this machine alone, with as many processors as actors.
The rate is that of the second half of the pictures, when all actors have their model. The runs take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}

from benchmarks.batch import SIZES, SOMEWHERE, make_pictures

_IN_A_BLOCK = 2  # pictures: the last blocks of the actors end at about the same time


def rate(actors: int, folder: str, scales: str, name: str) -> float:
    """Return the pictures a second of some actors, in this process."""
    import ray

    from fcn_core.batch import cluster
    from fcn_core.batch.inputs import sources
    from fcn_core.batch.many import Question, wanted_synsets
    from fcn_core.batch.run import Output, run_batch
    from fcn_core.batch.work import Record, Task
    from fcn_core.images.scales import parse_scales
    from fcn_core.pipeline import MapOptions

    cluster._IN_A_BLOCK = _IN_A_BLOCK
    choice = cluster.ModelChoice(name, "openvino", None, 32, None, None, "f32")
    info = choice.load().info
    question = Question(wanted_synsets(SOMEWHERE, info, False), False, MapOptions(), info)
    task = Task(question, tuple(parse_scales(scales)))
    ray.init(num_cpus=actors, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    arrived: list[float] = []

    def seen(_record: Record, _number: int, _count: int) -> None:
        arrived.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as out:
        runner = cluster.ray_runner(task, choice, 1)
        run_batch(sources([folder]), task, Output(Path(out), ("jsonl",)), runner, seen)
    ray.shutdown()
    half = len(arrived) // 2
    return (len(arrived) - 1 - half) / (arrived[-1] - arrived[half])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="efficientnet-lite2")
    parser.add_argument("--scales", default="200x320,400x640,800x1280")
    parser.add_argument(
        "--alone", nargs=2, metavar=("ACTORS", "FOLDER"), help="what each run is started with"
    )
    options = parser.parse_args()
    if options.alone:
        actors, folder = options.alone
        print(rate(int(actors), folder, options.scales, options.model))
        return
    command = [
        sys.executable,
        "-m",
        "benchmarks.actors",
        "--model",
        options.model,
        "--scales",
        options.scales,
    ]
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder), options.count, SIZES[:5])
        for _ in range(options.rounds):
            one, two = (
                float(
                    subprocess.run(
                        [*command, "--alone", str(actors), folder],
                        stdout=subprocess.PIPE,
                        encoding="utf-8",
                        check=True,
                    ).stdout.split()[-1]
                )
                for actors in (1, 2)
            )
            print(f"{one:.2f} and {two:.2f} pictures a second: {two / one:.2f} times", flush=True)


if __name__ == "__main__":
    main()
