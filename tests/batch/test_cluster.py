"""A batch on a cluster: the same rows as on one machine, also when a node is lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from fcn_core.batch import cluster
from fcn_core.batch.cluster import Analyser, ModelChoice, connect, ray_runner, require_ray
from fcn_core.batch.inputs import sources
from fcn_core.batch.many import Question, wanted_synsets
from fcn_core.batch.run import Output, local_runner, run_batch
from fcn_core.batch.work import Task
from fcn_core.errors import DatasetError, EngineError, WeightsUnavailable
from fcn_core.images.scales import parse_scales
from fcn_core.pipeline import MapOptions
from fcn_core.system import memory
from fcn_core.system.installed import is_installed
from tests.batch.tables import table_of
from tests.places import ROOT
from tests.waiting import PATIENCE

CHOICE = ModelChoice("efficientnet-lite0", "openvino", "imagenet", 32, None, None, "f32")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(12):
        Image.fromarray(skimage.data.chelsea()[::5, ::5] // (1 + number % 4)).save(
            folder / f"{number:02d}.png"
        )
    (folder / "bad.png").touch()
    return folder


@pytest.fixture(scope="module")
def task(lite0) -> Task:
    question = Question(wanted_synsets(["cat", "dog"], lite0.info, False), False, MapOptions(), lite0.info)
    return Task(question, tuple(parse_scales("64x96")), ("masks",))


@pytest.fixture(scope="module")
def local(tmp_path_factory, pictures, task, lite0):
    """The folder of a run on this machine, and its rows."""
    folder = tmp_path_factory.mktemp("local")
    run_batch(sources([str(pictures)]), task, Output(folder, ("jsonl",)), local_runner(task, lite0))
    return folder, rows_of(folder)


def rows_of(folder: Path):
    return [{**row, "seconds": None} for row in table_of(folder)]


def files_of(folder: Path):
    kinds = ("masks", "thumbnails")
    paths = [path for kind in kinds for path in (folder / kind).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def ray(monkeypatch, lite0):
    """A module in place of Ray, whose data sets are done in this process; its results come twice."""
    made = types.SimpleNamespace(
        exceptions=types.SimpleNamespace(RayTaskError=type("RayTaskError", (Exception,), {"cause": None}))
    )
    monkeypatch.setitem(sys.modules, "ray", made)
    monkeypatch.setattr(ModelChoice, "load", lambda self: lite0)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("FCN_MEMORY_MB", "4000")

    class Dataset:
        def __init__(self, listed, task, choice, cpus):
            self.actor = Analyser(task, choice, cpus)
            self.block = {
                "path": [os.fsencode(source.path) for source in listed],
                "state": [source.state for source in listed],
            }

        def iter_rows(self):
            for sent in self.actor(self.block):
                for _ in range(2):
                    yield {name: column[0] for name, column in sent.items()}

    monkeypatch.setattr(cluster, "_dataset", Dataset)
    yield made
    memory.use_cpus(None)


def test_an_actor_gives_the_rows_and_files_of_this_machine_and_each_once(
    ray, tmp_path, pictures, task, local
):
    run_batch(sources([str(pictures)]), task, Output(tmp_path, ("jsonl",)), ray_runner(task, CHOICE, 1))
    assert rows_of(tmp_path) == local[1]
    assert files_of(tmp_path) == files_of(local[0]) != {}
    assert memory.cpus() == 1


def test_a_second_run_does_nothing(ray, tmp_path, pictures, task, monkeypatch):
    listed, output = sources([str(pictures)]), Output(tmp_path, ("jsonl",))
    run_batch(listed, task, output, ray_runner(task, CHOICE, 1))
    monkeypatch.setattr(cluster, "_dataset", None)
    assert run_batch(listed, task, output, ray_runner(task, CHOICE, 1)).done == 0


def test_another_model_on_a_node_is_refused(ray, task):
    other = replace(
        task, question=replace(task.question, model=replace(task.question.model, weights_sha256="0"))
    )
    with pytest.raises(EngineError, match="on every node"):
        Analyser(other, CHOICE, 1)


def test_what_a_user_can_correct_arrives_as_it_was(ray, tmp_path, task, monkeypatch):
    error = ray.exceptions.RayTaskError()
    error.cause = WeightsUnavailable("Expected weights. Received none. Put them there.")

    def fail(*_):
        raise error

    monkeypatch.setattr(cluster, "_dataset", fail)
    with pytest.raises(WeightsUnavailable):
        list(ray_runner(task, CHOICE, 1)(sources([str(tmp_path / "a.png")]), tmp_path))


def test_without_ray_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatasetError, match="pip install"):
        require_ray()


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "nonsense", "127.0.0.1"])
def test_an_address_that_does_not_answer_is_named_at_once(monkeypatch, address):
    monkeypatch.setattr(cluster, "require_ray", lambda: None)
    with socket.socket() as held:  # bound, and never listened on
        held.bind(("127.0.0.1", 0))
        with pytest.raises(DatasetError, match="--ray"):
            connect(address.format(held.getsockname()[1]))


@pytest.mark.skipif(not is_installed("ray"), reason="Ray is not installed: pip install 'ray[data]'")
def test_three_nodes_of_which_one_is_lost_give_the_rows_of_this_machine(tmp_path, pictures, local):
    out = tmp_path / "out"
    child = subprocess.run(
        [sys.executable, "-m", "tests.batch.on_cluster", str(pictures), str(out), "3", "--lose"],
        cwd=ROOT, capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-3000:]
    summary = json.loads(child.stdout.splitlines()[-1])
    assert (summary["done"], summary["failed"]) == (13, 1)
    assert rows_of(out) == local[1]
    assert files_of(out) == files_of(local[0])
