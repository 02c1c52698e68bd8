"""What a model uses on the disk, and how that is freed."""

import shutil
from dataclasses import replace

import pytest

from fcn_core.engines import disk, graph_cache, housekeeping
from fcn_core.engines.disk import OnDisk, on_disk, remove
from fcn_core.errors import StorageError
from fcn_core.networks.zoo import MODELS, find_weights

LITE, RESNET = MODELS["efficientnet-lite0"], MODELS["resnet50"]
OTHER = MODELS["efficientnet-lite2"]


@pytest.fixture
def cache(tmp_path, monkeypatch, lite0):
    """A cache with one graph of EfficientNet-Lite0, one of an earlier version, and downloaded weights of ResNet50."""
    found = tmp_path / "cache"
    monkeypatch.setenv("FCN_CACHE_DIR", str(found))
    source = lite0._graph.path.parent
    shutil.copytree(source, found / "graphs" / source.name)
    for name in (f"{LITE.name}-16-{'0' * 16}", f"{OTHER.name}-32-{'1' * 16}", f"{LITE.name}-note"):
        (found / "graphs" / name).mkdir()
        (found / "graphs" / name / "graph.bin").write_bytes(bytes(1000))
    (found / "weights").mkdir()
    for name, size in ((RESNET.weights.name, 300), (f"{RESNET.weights.name}.part", 20), ("other.h5", 7)):
        (found / "weights" / name).write_bytes(bytes(size))
    return found


def test_what_a_model_uses_is_counted(cache, lite0):
    graph = housekeeping.cached_bytes(lite0._graph.path.parent)
    assert on_disk(LITE) == OnDisk(weights=0, graphs=graph + 1000, prepared=True)
    assert on_disk(OTHER) == OnDisk(weights=0, graphs=1000, prepared=False)
    assert on_disk(RESNET) == OnDisk(weights=320, graphs=0, prepared=False)


def test_a_graph_of_other_weights_prepares_nothing(cache, monkeypatch, tmp_path):
    """Also where the file has the same name, and changes after the first look."""
    own = tmp_path / LITE.weights.name
    shutil.copy(find_weights(LITE), own)
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(tmp_path))
    assert on_disk(LITE).prepared
    own.write_bytes(b"others")
    assert not on_disk(LITE).prepared
    own.unlink()
    assert on_disk(LITE).prepared, "those of the package again"
    monkeypatch.setattr(graph_cache, "_FORMAT", -1)
    assert not on_disk(LITE).prepared, "of another version"


def test_only_what_the_program_made_of_this_model_is_removed(cache):
    packaged, total = find_weights(LITE), on_disk(LITE).total
    assert remove(LITE) == total
    assert on_disk(LITE) == OnDisk(0, 0, prepared=False)
    assert find_weights(LITE) == packaged
    assert remove(LITE) == 0, "nothing is left"
    assert remove(RESNET) == 320
    assert sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file()) == [
        f"graphs/{LITE.name}-note/graph.bin", f"graphs/{OTHER.name}-32-{'1' * 16}/graph.bin", "weights/other.h5",
    ]  # fmt: skip


@pytest.mark.parametrize("folder", ["weights", "elsewhere"])
def test_weights_of_the_user_stay(cache, monkeypatch, folder):
    """Also if they are in the folder of downloads."""
    (cache / folder).mkdir(exist_ok=True)
    own = cache / folder / RESNET.weights.name
    own.write_bytes(bytes(300))
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(cache / folder))
    remove(RESNET)
    assert own.is_file()


def test_a_loaded_model_goes_on_without_its_files(cache, resized, chelsea):
    from fcn_core.engines.load import load_model

    model = load_model(LITE.name, "openvino")
    image = resized(chelsea, 64, 96)
    before = model.logits(image)
    remove(LITE)
    assert (model.logits(image) == before).all()


def test_files_that_stay_are_reported(cache, monkeypatch):
    monkeypatch.setattr(disk.housekeeping, "remove", lambda folder: None)
    with pytest.raises(
        StorageError, match=r"Expected to remove .* MB of EfficientNet-Lite0 from .* Received"
    ):
        remove(LITE)


def test_a_model_without_an_address_has_no_downloads(cache):
    spec = replace(RESNET, weights=replace(RESNET.weights, url=None))
    assert on_disk(spec).weights == 0
