"""A batch on a cluster of this machine: a script for a process of its own, because Ray leaves much behind in one.

    python -m tests.batch.on_cluster PICTURES OUT NODES [--lose]

Starts a cluster of nodes with one processor each, and runs a batch on it; with ``--lose`` one of the nodes is killed
after the first picture. Prints what was done as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

# A node that is busy is not lost: it has minutes to answer. One that is killed refuses, which is seen at once.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "120000",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_gcs_server_request_timeout_seconds": "600",
}

import ray
from ray.cluster_utils import Cluster

from fcn_core.batch import cluster
from fcn_core.batch.cluster import ModelChoice, ray_runner
from fcn_core.batch.inputs import sources
from fcn_core.batch.many import Question, wanted_synsets
from fcn_core.batch.run import Output, run_batch
from fcn_core.batch.work import Task
from fcn_core.images.scales import parse_scales
from fcn_core.pipeline import MapOptions
from tests.waiting import wait_until

MODEL = ModelChoice("efficientnet-lite0", "openvino", "imagenet", 32, None, None, "f32")
SYNSETS = ["cat", "dog"]
SCALES = "64x96"
_IN_A_BLOCK = 3  # so that every node gets some
_MEMORY = 100 * 2**20  # bytes of a node's object store
_ATTEMPTS = 10  # to start a node: Ray gives each 30 seconds, which a busy machine may need several times


def task_of(model) -> Task:
    question = Question(wanted_synsets(SYNSETS, model.info, False), False, MapOptions(), model.info)
    return Task(question, tuple(parse_scales(SCALES)), ("masks",))


def started(nodes: Cluster, options: dict[str, object]) -> object:
    """Return a node that was added to a cluster."""
    for attempt in range(_ATTEMPTS):
        try:
            return nodes.add_node(wait=False, **options)
        except Exception:  # Ray raises nothing more special
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def main(pictures: str, out: str, count: int, lose: bool) -> None:
    cluster._IN_A_BLOCK = _IN_A_BLOCK
    task = task_of(MODEL.load())
    node = {"num_cpus": 1, "object_store_memory": _MEMORY}
    nodes = Cluster()
    started(nodes, {**node, "include_dashboard": False, "include_log_monitor": False})
    others = [started(nodes, node) for _ in range(count - 1)]
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    wait_until(lambda: sum(each["Alive"] for each in ray.nodes()) >= count, ray.nodes, pause=0.2)

    def seen(record, number, of) -> None:
        if lose and number == 1:
            nodes.remove_node(others[0], allow_graceful=False)

    try:
        summary = run_batch(
            sources([pictures]), task, Output(Path(out), ("jsonl",)), ray_runner(task, MODEL, 1), seen
        )
    finally:
        ray.shutdown()
        nodes.shutdown()
    print(json.dumps(asdict(summary)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), "--lose" in sys.argv)
