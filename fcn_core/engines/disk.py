"""What a model uses on the disk: its downloaded weights and its exported graphs, and how that is freed.

Only files that the program made are counted and removed. Weights that come with a package, or that a user provides in
``FCN_WEIGHTS_DIR``, stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fcn_core import settings
from fcn_core.engines import housekeeping
from fcn_core.engines.graph_cache import graph_folder
from fcn_core.errors import StorageError
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.weights import digest
from fcn_core.networks.zoo import find_weights
from fcn_core.system.folders import cache_dir, megabytes


@dataclass(frozen=True)
class OnDisk:
    """What a model uses on the disk.

    Attributes
    ----------
    weights, graphs : int
        Bytes of downloaded weights and of exported graphs, those of earlier versions too.
    prepared : bool
        Whether there is a graph at output stride 32 of the weights that are here, made by this version. Its content is
        checked when it is loaded.
    """

    weights: int
    graphs: int
    prepared: bool

    @property
    def total(self) -> int:
        """All bytes, which :func:`remove` frees."""
        return self.weights + self.graphs


def on_disk(spec: ModelSpec) -> OnDisk:
    """Return what a model uses on the disk."""
    graphs = list(_graphs(spec))
    return OnDisk(
        sum(_size(path) for path in _downloads(spec)),
        sum(housekeeping.cached_bytes(folder) for folder in graphs),
        bool(graphs) and _is_prepared(spec),
    )


def remove(spec: ModelSpec) -> int:
    """Remove a model's downloaded weights and its graphs; return the bytes that this frees.

    A process that has loaded the model goes on with it. The next use downloads and exports it again.

    Raises
    ------
    StorageError
        Some files cannot be removed.
    """
    before = on_disk(spec).total
    for folder in _graphs(spec):
        housekeeping.remove(folder)
    for path in _downloads(spec):
        with suppress(OSError):
            path.unlink()
    left = on_disk(spec).total
    if left:
        raise StorageError(
            f"Expected to remove {megabytes(before)} MB of {spec.title} from {cache_dir()}. Received {megabytes(left)} "
            f"MB that cannot be removed. Close other programs that use the model, or remove the files as the user who "
            f"made them."
        )
    return before


def _graphs(spec: ModelSpec) -> Iterator[Path]:
    own = [graph_folder(spec, spec.weights.digest, stride) for stride in (32, 16, 8)] if spec.given else []
    for folder in housekeeping.graphs_in(cache_dir() / "graphs"):
        if folder in own or (not own and folder.name.rsplit("-", 2)[0] == spec.name):
            yield folder


def _downloads(spec: ModelSpec) -> Iterator[Path]:
    folder = cache_dir() / "weights"
    if spec.weights.url is None or settings.WEIGHTS_DIR.value() == folder:
        return
    for name in (spec.weights.name, f"{spec.weights.name}.part"):
        if (folder / name).is_file():
            yield folder / name


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _is_prepared(spec: ModelSpec) -> bool:
    weights = find_weights(spec)
    if weights is None:
        return False
    try:
        about = weights.stat()
        sha256 = _digest(weights, about.st_mtime_ns, about.st_size)
        return (graph_folder(spec, sha256, 32) / "meta.json").is_file()
    except OSError:
        return False


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int, size: int) -> str:  # noqa: ARG001 - a file that has changed is read again
    return digest(path)
