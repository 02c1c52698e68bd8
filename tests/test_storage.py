"""Disks that are full, read-only or not accessible: what still works, the messages, and no unfinished files."""

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from fcn_core.engines import graph_cache
from fcn_core.engines.graph_cache import load_graph, prepare_graph
from fcn_core.errors import EngineError, StorageError
from fcn_core.networks.zoo import MODELS
from fcn_core.system import folders
from tests.waiting import PATIENCE

LITE = MODELS["efficientnet-lite0"]
SPACE = 41  # MB on disk that the export needs


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Three folders of this test: the cache, the temporary folder and the one in memory."""
    found = {name: tmp_path / name for name in ("cache", "temporary", "memory")}
    for name in ("temporary", "memory"):
        found[name].mkdir()
    monkeypatch.setenv("FCN_CACHE_DIR", str(found["cache"]))
    monkeypatch.setattr(folders.tempfile, "gettempdir", lambda: str(found["temporary"]))
    monkeypatch.setattr(folders, "_IN_MEMORY", str(found["memory"]))
    monkeypatch.setattr(folders.sys, "platform", "linux")
    return found


@pytest.fixture(scope="session")
def exported(tmp_path_factory, lite0):
    """The files that the child process writes."""
    folder = tmp_path_factory.mktemp("exported")
    shutil.copytree(lite0._graph.path.parent, folder, dirs_exist_ok=True)
    about = {"geometry": lite0.geometry.to_json(), "exclusive": True}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    (folder / "meta.json").unlink()
    return folder


@pytest.fixture
def children(monkeypatch, exported):
    """Copy existing files instead of starting a child, and record where."""
    calls = []

    def copy(spec, weights, output_stride, folder):
        calls.append(folder)
        shutil.copytree(exported, folder, dirs_exist_ok=True)

    monkeypatch.setattr(graph_cache, "_export_in_child", copy)
    return calls


def left(places):
    """Return all files and folders except those of complete graphs."""
    found = []
    for root in places.values():
        for path in root.rglob("*") if root.is_dir() else ():
            if path.name != "graphs" and not any(load_graph(each) for each in (path, path.parent)):
                found.append(path)
    return found


@contextmanager
def full(patch, *roots):
    """Make the system report almost no free space below these folders."""

    def usage(folder):
        inside = any(Path(folder).is_relative_to(root) for root in roots)
        return SimpleNamespace(total=10**12, free=10**6 if inside else 10**11)

    with patch.context() as inner:
        inner.setattr(folders.shutil, "disk_usage", usage)
        yield


SETS = [set(), {"cache"}, {"temporary"}, {"cache", "temporary"}, {"cache", "memory"}]


@pytest.mark.parametrize("names", SETS, ids=lambda names: "+".join(sorted(names)) or "none")
def test_if_one_place_is_full_another_is_used(names, places, children, monkeypatch, caplog):
    with full(monkeypatch, *(places[name] for name in names)):
        graph = prepare_graph(LITE)
    (made_in,) = children
    expected = next(name for name in places if name not in names)
    assert made_in.is_relative_to(places[expected])
    assert graph.cached == (expected == "cache")
    assert left(places) == []
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == (expected != "cache")
    if told:
        for words in (str(places["cache"]), "No space left", f"1.0 of {SPACE} MB are free", "FCN_CACHE_DIR"):
            assert words in told[0]


def test_if_all_places_are_full_each_is_named(places, children, monkeypatch):
    with full(monkeypatch, *places.values()), pytest.raises(StorageError) as refusal:
        prepare_graph(LITE)
    for words in (
        *map(str, places.values()),
        "No space left",
        "Free that much in one of them, or set FCN_CACHE_DIR",
    ):
        assert words in str(refusal.value)
    assert f"Expected {SPACE} MB of disk space" in str(refusal.value)
    assert children == []  # nothing was begun in vain
    assert left(places) == []
    assert prepare_graph(LITE).cached  # there is room again, in the same process


CAUSES = [
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENOTDIR,
]
STEPS = ["the folder", "the folder for the making", "the child", "the description", "the move"]


@pytest.mark.parametrize("cause", CAUSES, ids=errno.errorcode.get)
@pytest.mark.parametrize("step", STEPS)
def test_errors_of_the_cache_do_not_stop_the_export(step, cause, places, children, monkeypatch, caplog):
    def refused(call, place=0):
        def refuse(*arguments, **options):
            where = options.get("dir") or arguments[place]
            if Path(where).is_relative_to(places["cache"]):
                raise OSError(cause, os.strerror(cause))
            return call(*arguments, **options)

        return refuse

    targets = {
        "the folder": (Path, "mkdir", 0),
        "the folder for the making": (graph_cache.tempfile, "mkdtemp", 2),
        "the child": (graph_cache, "_export_in_child", 3),
        "the description": (graph_cache, "_write_meta", 0),
        "the move": (Path, "rename", 0),
    }
    with monkeypatch.context() as patch:
        owner, name, place = targets[step]
        patch.setattr(owner, name, refused(getattr(owner, name), place))
        graph = prepare_graph(LITE)
    assert not graph.cached
    assert os.strerror(cause) in caplog.text
    assert str(places["cache"]) in caplog.text
    assert left(places) == []
    assert prepare_graph(LITE).cached


def test_a_graph_in_memory_equals_the_one_on_disk(places, children, exported, monkeypatch):
    with full(monkeypatch, places["cache"]):
        held = prepare_graph(LITE)
    kept = prepare_graph(LITE)
    assert not held.cached and kept.cached
    assert held.description == kept.description == (exported / "graph.xml").read_bytes()
    assert held.weights[:] == kept.weights[:] == (exported / "graph.bin").read_bytes()
    assert not held.path.exists()


def test_no_place_to_write(places, children, monkeypatch):
    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(folders.tempfile, "gettempdir", none)
    monkeypatch.setattr(folders.sys, "platform", "darwin")
    with full(monkeypatch, places["cache"]), pytest.raises(StorageError, match="the cache"):
        prepare_graph(LITE)


def test_unfinished_graphs_of_killed_processes_are_removed(places, children, monkeypatch):
    old, new = (places["temporary"] / f"fcn_core-making-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    with full(monkeypatch, places["cache"]):
        prepare_graph(LITE)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_process_that_cannot_be_started_does_not_blame_the_disk(places, monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("fcn_core.system.child.subprocess.Popen", refuse)
    with pytest.raises(EngineError, match="second Python process") as refusal:
        prepare_graph(LITE)
    assert "cannot be written" not in str(refusal.value)
    assert left(places) == []


def test_errors_of_openvino_do_not_blame_the_disk(tmp_path, monkeypatch):
    """Unless nothing can be written: then the error of the system is raised."""

    def failing():
        with graph_cache._naming_full_disks(tmp_path, 10, "read it"):
            raise RuntimeError("\x1b[1mIncorrect weights in bin file!\x1b[0m\n at reader.cpp")

    with pytest.raises(
        EngineError, match=r"OpenVINO to read it\. Received an error \(Incorrect weights in bin file! at"
    ):
        failing()

    def refuse(self, *arguments, **options):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.EDQUOT)):
        failing()


# For real


@pytest.fixture
def small_disk(tmp_path):
    """Mount small disks, if this user may."""
    mounted = []

    def make(name, size):
        folder = tmp_path / name
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except OSError as error:
            pytest.skip(f"no disks can be mounted here: {error}")
        if done.returncode != 0:
            pytest.skip(f"no disks can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", str(folder)], timeout=PATIENCE, check=True)


@pytest.mark.parametrize("size", ["1m", "30m"])
def test_a_disk_that_fills_during_the_export(size, small_disk, monkeypatch, caplog, tmp_path):
    """During the export, and during the folding; the free space was not known before."""
    cache = small_disk("cache", size)
    monkeypatch.setenv("FCN_CACHE_DIR", str(cache))
    monkeypatch.setattr(graph_cache, "require_space", lambda *_: None)
    graph = prepare_graph(LITE)
    assert not graph.cached
    assert f"{cache / 'graphs'} (" in caplog.text
    assert "No space left on device" in caplog.text
    assert list((cache / "graphs").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
def test_a_limit_on_file_sizes(tmp_path, fresh_python):
    """The system refuses to write more than a million bytes into a file, in the child too."""
    child = fresh_python(
        """
import resource, sys
from fcn_core.engines import graph_cache
from fcn_core.errors import StorageError
from fcn_core.networks.zoo import MODELS
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    graph_cache.prepare_graph(MODELS["efficientnet-lite0"])
except StorageError as error:
    print(error)
""",
        FCN_CACHE_DIR=str(tmp_path / "cache"),
        TMPDIR=str(tmp_path),
    )
    assert (
        f"the cache {tmp_path / 'cache' / 'graphs'} ([Errno 27] File too large); {tmp_path} (" in child.stdout
    )
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["cache", "graphs"]


HEATMAP = """
import sys, tempfile
from fcn_core.system import folders
tempfile.tempdir, folders._IN_MEMORY = sys.argv.pop(1), sys.argv.pop(1)
if tempfile.tempdir == "nowhere":
    def nowhere():
        raise FileNotFoundError("No usable temporary directory found")
    tempfile.gettempdir = nowhere
from fcn_core.cli.entry import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def heatmap(tmp_path):
    """Run the command with this cache, temporary folder and folder in memory."""
    from PIL import Image

    Image.new("RGB", (80, 60), "red").save(tmp_path / "red.png")

    def run(cache, temporary, memory, out=tmp_path / "out"):
        command = [
            *(
                sys.executable,
                "-c",
                HEATMAP,
                str(temporary),
                str(memory),
                "heatmap",
                str(tmp_path / "red.png"),
            ),
            *("--synset", "dog", "--model", LITE.name, "--scales", "64x64", "--out", str(out)),
        ]
        folders = {"FCN_CACHE_DIR": str(cache), "XDG_CONFIG_HOME": str(cache), "XDG_CACHE_HOME": str(cache)}
        others = {k: v for k, v in os.environ.items() if k not in folders}
        if not cache.is_dir():  # that would be a setting that means nothing, which is refused at once
            del folders["FCN_CACHE_DIR"]
        return subprocess.run(
            command,
            env={**others, **folders, "FCN_MEMORY_MB": "690"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    return run


@pytest.mark.skipif(sys.platform != "linux", reason="no folder in memory there")
@pytest.mark.parametrize("disks", ["full", "none", "no temporary one"])
def test_in_690_mb_without_a_disk_the_command_works_and_warns(disks, heatmap, tmp_path, request):
    """Even without any disk, where Matplotlib would not find a folder for its settings."""
    if disks == "full":
        small_disk = request.getfixturevalue("small_disk")
        cache, temporary, reason = small_disk("cache", "1m"), small_disk("temporary", "1m"), "No space left"
    else:
        cache = temporary = tmp_path / "obstacle"
        cache.touch()
        temporary = temporary if disks == "none" else Path("nowhere")
        reason = "Not a directory"
    memory = tmp_path / "memory"
    memory.mkdir()
    done = heatmap(cache, temporary, memory)
    assert done.returncode == 0, done.stderr
    told, *_ = done.stderr.splitlines()  # the others are Matplotlib's
    assert f"the cache {cache}/" in told and f"graphs ({reason}" in told
    manifest = json.loads((tmp_path / "out" / "red" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["model"]["engine"] == "openvino"
    assert not temporary.is_dir() or list(temporary.iterdir()) == []
    assert list(memory.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="caches lie elsewhere there")
@pytest.mark.tensorflow
def test_in_690_mb_tensorflow_does_not_replace_openvino(heatmap, tmp_path):
    """Each folder is a file: the message names it, and does not ask for another scale."""
    obstacle = tmp_path / "obstacle"
    obstacle.touch()
    done = heatmap(obstacle, obstacle, obstacle)
    assert done.returncode == 2
    (told,) = done.stderr.splitlines()
    assert f"the cache {obstacle}/" in told
    assert "TensorFlow could be used instead, but needs about" in told
    assert "690 MB are allowed" in told
    assert "scale" not in told


def test_an_output_on_a_full_disk_is_reported_and_leaves_no_unfinished_files(
    heatmap, small_disk, tmp_path, lite0
):
    out = small_disk("output", "32k")
    done = heatmap(lite0._graph.path.parents[2], tmp_path, tmp_path, out)
    assert done.returncode == 2
    told = done.stderr.splitlines()[-1]
    assert f"{out / 'red'}, which cannot be written ([Errno 28] No space left on device)" in told
    assert "Free some space there, or choose another --out" in told
    assert not [path for path in out.rglob("*") if path.name.startswith(".") or path.name == "manifest.json"]
