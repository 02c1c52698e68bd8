"""Run a batch on a cluster, through Ray Data: an actor for a few processors holds the model, the driver keeps the rows.

The driver names pictures, blocks of them go to the actors, and each picture comes back as its rows and files as soon as
it is done. Ray starts as many actors as the cluster has room for, holds blocks back while results wait, and gives the
blocks of a lost node to others. What arrives is kept as on one machine: a driver that was killed continues.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fcn_core import settings
from fcn_core.batch.inputs import Source, read_picture
from fcn_core.batch.many import failed_result
from fcn_core.batch.run import Runner
from fcn_core.batch.stages import Stages, overlapped
from fcn_core.batch.work import Record, Task, made_of, write_files
from fcn_core.engines.base import Precision, Predictor
from fcn_core.engines.load import load_model
from fcn_core.errors import DatasetError, EngineError, FcnError
from fcn_core.images.limits import Limits
from fcn_core.images.read import RGBImage
from fcn_core.maps.heatmap import ClassMap
from fcn_core.system import memory

_IN_A_BLOCK = 32  # pictures: the unit that goes to an actor, and that is done again if its node is lost
_MOST_BLOCKS = 10_000
_CONNECT = 10.0  # seconds


@dataclass(frozen=True)
class ModelChoice:
    """How each actor loads the model: arguments of :func:`fcn_core.load_model`, and the precision.

    Attributes
    ----------
    name, engine, weights, labels, preprocessing : str or None
    output_stride : int
    precision : {"f32", "bf16"}
    """

    name: str | None
    engine: str | None
    weights: str | None
    output_stride: int
    labels: str | None
    preprocessing: str | None
    precision: Precision

    def load(self) -> Predictor:
        """Return the model, ready to run."""
        model = load_model(
            self.name,
            self.engine,
            self.weights,
            self.output_stride,
            labels=self.labels,
            preprocessing=self.preprocessing,
        )
        model.compute_in(self.precision)
        return model


def require_ray() -> None:
    """Check that Ray Data is installed.

    Raises
    ------
    DatasetError
        It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise DatasetError(
            "Expected the package ray for --ray. Received none: it is not installed. Install it: pip install "
            "'ray[data]'."
        )


def connect(address: str) -> None:
    """Connect to a cluster, unless this process is connected.

    Parameters
    ----------
    address : str
        ``auto``: the cluster of this machine, or of ``RAY_ADDRESS``; a new one of this machine alone if there is none.

    Raises
    ------
    DatasetError
        Nothing answers at the address.
    """
    require_ray()
    try:
        if address != "auto":
            _require_answer(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to others
        logging.getLogger("ray").setLevel(logging.ERROR)
        import ray

        if not ray.is_initialized():
            where = None if address == "auto" else address
            ray.init(address=where, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        why = " ".join(str(error).split())[:200]
        raise DatasetError(
            f"Expected a Ray cluster at --ray {address}. Received none: {why}. Start one with ray start --head, or "
            "choose --ray auto."
        ) from error


def _require_answer(address: str) -> None:
    """Check that something answers: Ray would try for minutes."""
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    if parts.hostname is None or parts.port is None:
        raise ValueError("an address has a host and a port, such as 10.0.0.1:6379")
    socket.create_connection((parts.hostname, parts.port), timeout=_CONNECT).close()


def ray_runner(task: Task, choice: ModelChoice, cpus: int) -> Runner:
    """Return what does pictures on the cluster to which this process is connected.

    Parameters
    ----------
    task : Task
    choice : ModelChoice
    cpus : int
        Processors of an actor.
    """

    def run(sources: list[Source], folder: Path) -> Iterator[Record]:
        import ray

        if not sources:
            return
        arrived: set[str] = set()
        try:
            for row in _dataset(sources, task, choice, cpus).iter_rows():
                if row["path"] in arrived:  # a node was lost between two results of a block
                    continue
                arrived.add(row["path"])
                write_files(folder, dict(zip(row["names"], row["contents"], strict=True)))
                about = int(row["rows"]), row["error"], float(row["seconds"])
                yield Record(row["path"], row["line"], *about)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, FcnError):
                raise error.cause from error
            raise

    return run


def _dataset(sources: list[Source], task: Task, choice: ModelChoice, cpus: int) -> Any:
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # after its own settings, which the import makes
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    actors = max(1, int(ray.cluster_resources().get("CPU", 1)) // cpus)
    blocks = min(-(-len(sources) // _IN_A_BLOCK), _MOST_BLOCKS)
    # Bytes, because a path need not be text in UTF-8.
    items = [{"path": os.fsencode(source.path), "state": source.state} for source in sources]
    return ray.data.from_items(items, override_num_blocks=blocks).map_batches(
        Analyser,
        fn_constructor_args=(task, choice, cpus),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
        num_cpus=cpus,
    )


class Analyser:
    """An actor: holds the model, and does blocks of pictures.

    Raises
    ------
    EngineError
        The model of this node is another one than the driver's.
    """

    def __init__(self, task: Task, choice: ModelChoice, cpus: int) -> None:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        share = min(1.0, cpus / memory.cpus())
        os.environ.setdefault(settings.MEMORY_MB.name, str(int(memory.budget_mb() * share)))
        memory.use_cpus(cpus)
        self._task, self._model = task, choice.load()
        ours, theirs = self._model.info, task.question.model
        if ours != theirs:
            raise EngineError(
                f"Expected the model of the driver on every node: {theirs}. Received {ours}. Install the same versions "
                "and weights everywhere."
            )

    def __call__(self, block: Mapping[str, Any]) -> Iterator[dict[str, list[Any]]]:
        """Yield each picture of a block as soon as it is done."""
        task = self._task
        sources = [
            Source(os.fsdecode(path), str(state))
            for path, state in zip(block["path"], block["state"], strict=True)
        ]

        def read(source: Source, limits: Limits) -> RGBImage:
            return read_picture(source.path, limits)

        def finish(
            source: Source, image: RGBImage, class_maps: Mapping[str, ClassMap]
        ) -> dict[str, list[Any]]:
            return _sent(*made_of(task, source, task.question.answer(source.key, image, class_maps)))

        def failed(source: Source, error: Exception) -> dict[str, list[Any]]:
            return _sent(*made_of(task, source, failed_result(source.key, error)))

        stages = Stages(read, finish, failed)
        yield from overlapped(sources, self._model, task.scales, task.question.options.fit, stages)


def _sent(record: Record, files: dict[str, bytes]) -> dict[str, list[Any]]:
    """Return a picture as a block of one row."""
    return {
        "path": [record.path],
        "line": [record.line],
        "rows": [record.rows],
        "error": [record.error],
        "seconds": [record.seconds],
        "names": [list(files)],
        "contents": [list(files.values())],
    }
