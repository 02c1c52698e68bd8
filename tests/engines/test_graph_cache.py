"""Exported graphs: exported once, saved, checked, exported again when damaged."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fcn_core.engines import graph_cache
from fcn_core.engines.graph_cache import graph_folder, load_graph, prepare_graph
from fcn_core.errors import EngineError, WeightsInvalid
from fcn_core.networks import random_weights
from fcn_core.networks.weights import digest
from fcn_core.networks.zoo import MODELS

LITE = MODELS["efficientnet-lite0"]
FILES = {"graph.xml", "graph.bin", "meta.json"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session")
def exported(tmp_path_factory, lite0):
    """The files that the child process writes."""
    folder = tmp_path_factory.mktemp("exported")
    graph = prepare_graph(LITE)
    for name in ("graph.xml", "graph.bin"):
        (folder / name).write_bytes(graph.path.with_name(name).read_bytes())
    about = {"geometry": graph.geometry.to_json(), "exclusive": True}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


@pytest.fixture
def children(monkeypatch, exported):
    """Copy existing files instead of starting a child, and count how often."""
    calls = []

    def copy(spec, weights, output_stride, folder):
        calls.append((spec.name, output_stride))
        shutil.copytree(exported, folder, dirs_exist_ok=True)

    monkeypatch.setattr(graph_cache, "_export_in_child", copy)
    return calls


def making(cache):
    return [path.name for path in (cache / "graphs").glob(".making-*")]


def test_a_graph_is_exported_once(cache, children):
    graph = prepare_graph(LITE)
    assert graph == prepare_graph(LITE) == load_graph(graph.path.parent)
    assert len(children) == 1
    assert {path.name for path in graph.path.parent.iterdir()} == FILES
    assert making(cache) == []
    assert graph.weights_published
    assert graph.weights_sha256 == LITE.weights.digest
    assert graph.geometry.grid(224, 224) == (7, 7)


def test_what_the_folder_of_a_graph_depends_on(cache, monkeypatch):
    folders = {
        graph_folder(LITE, LITE.weights.digest, 32),
        graph_folder(LITE, None, 32),
        graph_folder(LITE, LITE.weights.digest, 16),
        graph_folder(MODELS["efficientnet-lite2"], LITE.weights.digest, 32),
    }
    for changed in ("keras", "openvino"):
        with monkeypatch.context() as patch:
            patch.setattr(
                graph_cache, "version", lambda name, changed=changed: "9.9" if name == changed else "1.0"
            )
            folders.add(graph_folder(LITE, LITE.weights.digest, 32))
    monkeypatch.setattr(graph_cache, "_FORMAT", -1)
    folders.add(graph_folder(LITE, LITE.weights.digest, 32))
    assert len(folders) == 7
    assert all(folder.parent == cache / "graphs" for folder in folders)


@pytest.mark.parametrize("name", sorted(FILES))
def test_damage_in_any_byte_is_noticed_and_repaired(name, cache, children, caplog):
    path = prepare_graph(LITE).path.with_name(name)
    whole = path.read_bytes()
    draw = random.Random(name)
    places = [0, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(20))]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        assert load_graph(path.parent) is None, place
    path.write_bytes(whole[:-1] if name != "meta.json" else b"")
    assert load_graph(path.parent) is None
    assert not caplog.records
    mended = prepare_graph(LITE)
    assert "damaged" in caplog.text, "whoever runs it may have a disk that fails"
    assert mended == load_graph(path.parent)
    assert name == "meta.json" or path.read_bytes() == whole
    assert len(children) == 2
    path.unlink()
    prepare_graph(LITE)
    assert len(children) == 3
    assert making(cache) == []


@pytest.mark.parametrize(
    "text", ["[]", "{}", "null", '{"meta_sha256": 1}', "[" * 100_000, "\x00", '{"sha256": []}']
)
def test_invalid_descriptions(text, cache, children):
    folder = prepare_graph(LITE).path.parent
    (folder / "meta.json").write_text(text, encoding="utf-8")
    assert load_graph(folder) is None


def test_other_weights_make_another_graph(cache, children, tmp_path, monkeypatch):
    """A file of the user with other contents has a graph of its own, marked as unpublished."""
    published = prepare_graph(LITE)
    own = tmp_path / "own" / LITE.weights.name
    own.parent.mkdir()
    own.write_bytes(b"other weights")
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(own))
    spec = replace(LITE, weights=replace(LITE.weights, package=None))
    other = prepare_graph(spec)
    assert other.path != published.path
    assert not other.weights_published
    assert other.weights_sha256 == digest(own)
    assert len(children) == 2
    drawn = prepare_graph(LITE, random=True)
    assert drawn.weights_sha256 is None
    assert not drawn.weights_published
    assert len({published.path, other.path, drawn.path}) == 3


def test_other_random_weights_make_another_graph(monkeypatch):
    drawn, read = graph_folder(LITE, None, 32), graph_folder(LITE, "0" * 64, 32)
    monkeypatch.setattr(random_weights, "SCHEME", random_weights.SCHEME + 1)
    assert graph_folder(LITE, None, 32) != drawn
    assert graph_folder(LITE, "0" * 64, 32) == read


def test_threads_that_race_all_succeed(cache, children):
    barrier, results = threading.Barrier(4), []

    def prepare():
        barrier.wait()
        results.append(prepare_graph(LITE))

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(map(repr, results))) == 1
    assert load_graph(results[0].path.parent) is not None
    assert making(cache) == []


PREPARE = """
import shutil, sys, time
from fcn_core.engines import graph_cache; from fcn_core.networks import random_weights
from fcn_core.networks.zoo import MODELS

def export(spec, weights, output_stride, folder):
    print("exporting", flush=True)
    sys.stdin.readline()
    shutil.copytree(sys.argv[1], folder, dirs_exist_ok=True)

graph_cache._export_in_child = export
print(graph_cache.prepare_graph(MODELS["efficientnet-lite0"]).path)
"""


@contextmanager
def preparing(exported):
    """A process that prepares a model and waits during the export until it gets a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(exported)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout.readline() == "exporting\n"
            yield process
        finally:
            process.kill()


def test_processes_that_race_all_succeed(cache, exported):
    with preparing(exported) as one, preparing(exported) as two, preparing(exported) as three:
        assert len(making(cache)) == 3
        answers = [process.communicate("go on\n")[0].strip() for process in (one, two, three)]
        assert [process.returncode for process in (one, two, three)] == [0, 0, 0]
    assert len(set(answers)) == 1
    assert load_graph(Path(answers[0]).parent) is not None
    assert [path.name for path in (cache / "graphs").iterdir()] == [Path(answers[0]).parent.name]


def in_its_place(monkeypatch, code):
    """Run other code in place of the child process."""
    monkeypatch.setattr(graph_cache, "module_command", lambda *_: [sys.executable, "-c", code])


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_a_killed_child_raises_an_error_with_a_message(cache, monkeypatch):
    with monkeypatch.context() as patch:
        in_its_place(patch, f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})")
        with pytest.raises(EngineError, match="stopped by signal 9") as refusal:
            prepare_graph(LITE)
    assert "memory" in str(refusal.value)
    assert list((cache / "graphs").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "expected", "words"),
    [
        ("import sys; sys.exit('Boom: it failed')", EngineError, "failed (Boom: it failed)"),
        ("import sys; sys.exit(1)", EngineError, "failed (no message)"),
        ("import sys; sys.stderr.write('WeightsInvalid: no tensor'); sys.exit(20)", WeightsInvalid, "no tensor"),
        ("import threading; threading.Event().wait()", EngineError, "within"),
        ("import sys; sys.stderr.buffer.write(bytes(range(128, 256))); sys.exit(1)", EngineError, "failed"),
    ],
)  # fmt: skip
def test_a_failing_child_raises_an_error_with_a_message(code, expected, words, cache, monkeypatch):
    if words == "within":
        monkeypatch.setattr(graph_cache, "_TIMEOUT", 0.05)
    in_its_place(monkeypatch, code)
    with pytest.raises(expected) as refusal:
        prepare_graph(LITE)
    assert words in str(refusal.value)
    assert list((cache / "graphs").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_the_unfinished_graph_of_a_killed_parent_is_removed_later(cache, children, exported):
    """Killed during the export: the unfinished folder is not a graph and is removed when it is old."""
    with preparing(exported) as process:
        process.kill()
    [left] = making(cache)
    prepare_graph(LITE)
    assert making(cache) == [left]  # it might be another's, at work
    old = time.time() - 2 * 3600
    os.utime(cache / "graphs" / left, (old, old))
    prepare_graph(LITE, output_stride=16)
    assert making(cache) == []


def test_exporting_a_graph_removes_unused_ones_of_other_versions(cache, children, monkeypatch):
    """A program of another version may share the cache and use its graphs, or may have been replaced."""
    version, month = graph_cache.version, 40 * 86400

    def prepare(openvino, output_stride):
        with monkeypatch.context() as patch:
            patch.setattr(
                graph_cache, "version", lambda name: openvino if name == "openvino" else version(name)
            )
            return prepare_graph(LITE, output_stride=output_stride).path.parent

    ours, forgotten, used = prepare("2.0", 16), prepare("1.0", 32), prepare("1.0", 16)
    for folder in (ours, forgotten, used):
        for path in [*folder.iterdir(), folder]:
            os.utime(path, (time.time() - month, time.time() - month))
    assert prepare("1.0", 16) == used  # the other version loads it, so to speak just now
    new = prepare("2.0", 32)
    assert set((cache / "graphs").iterdir()) == {used, ours, new}
    assert len(children) == 4


def test_loading_a_graph_marks_it_as_used(cache, children):
    folder = prepare_graph(LITE).path.parent
    os.utime(folder, (0, 0))
    prepare_graph(LITE)
    assert time.time() - folder.stat().st_mtime < 86400


def test_the_temporary_folder_is_removed_at_exit(fresh_python):
    child = fresh_python(
        "from fcn_core.system.folders import temporary_root as root; print(root()); assert root() == root()"
    )
    assert not Path(child.stdout.strip()).exists()
