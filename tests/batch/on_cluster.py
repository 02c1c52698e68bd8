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

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}

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

MODEL = ModelChoice("efficientnet-lite0", "openvino", "imagenet", 32, None, None, "f32")
SYNSETS = ["cat", "dog"]
SCALES = "64x96"
_IN_A_BLOCK = 3  # so that every node gets some
_MEMORY = 100 * 2**20  # bytes of a node's object store


def task_of(model) -> Task:
    question = Question(wanted_synsets(SYNSETS, model.info, False), False, MapOptions(), model.info)
    return Task(question, tuple(parse_scales(SCALES)), ("masks",))


def main(pictures: str, out: str, count: int, lose: bool) -> None:
    cluster._IN_A_BLOCK = _IN_A_BLOCK
    task = task_of(MODEL.load())
    node = {"num_cpus": 1, "object_store_memory": _MEMORY}
    nodes = Cluster(initialize_head=True, head_node_args={**node, "num_cpus": 1, "include_dashboard": False})
    others = [nodes.add_node(**node) for _ in range(count - 1)]
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")

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
