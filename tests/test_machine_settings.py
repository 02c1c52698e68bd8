"""Settings of the user's machine and process have no effect here, and are not changed."""

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from fcn_core.engines import graph_cache
from fcn_core.engines.graph_cache import load_graph, prepare_graph
from fcn_core.errors import EngineError, FcnError
from fcn_core.networks.keras_settings import keras_settings
from fcn_core.networks.zoo import MODELS, find_weights
from fcn_core.settings import SETTINGS
from fcn_core.system import folders
from fcn_core.system.child import child_environment, run_child
from fcn_core.system.folders import cache_dir
from tests.waiting import PATIENCE

LITE = MODELS["efficientnet-lite0"]
FLOAT16 = {
    "floatx": "float16",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}
OTHER = {**FLOAT16, "floatx": "float64", "backend": "torch", "image_data_format": "channels_first"}

# Keras' file of settings: name -> what lies in its place, None for a folder
FILES = {
    "float16": json.dumps(FLOAT16),
    "float64, channels first": json.dumps(OTHER),
    "no table": "[]",
    "no such precision": '{"floatx": "float8"}',
    "asks for a package": '{"backend": "jax", "nnx_enabled": true}',
    "no such format": '{"image_data_format": "channels_middle"}',
    "a folder": None,
}
BREAKS_KERAS = {"no table", "asks for a package", "no such precision", "no such format", "a folder"}
# Of each kind one, as the child reads none: Keras would obey the first, and fail on the others.
UNREAD = [("float64, channels first", "torch"), ("asks for a package", "nonsense"), ("a folder", "")]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Write an entry of `FILES` where Keras reads its settings."""

    def put(name):
        file = tmp_path / "keras home" / "keras.json"
        file.parent.mkdir()
        if FILES[name] is None:
            file.mkdir()
        else:
            file.write_text(FILES[name], encoding="utf-8")
        monkeypatch.setenv("KERAS_HOME", str(file.parent))
        return file

    return put


# Keras in the child that exports

CHILD = """
import warnings
import keras
warnings.warn("deprecated")
from fcn_core.networks.keras_settings import keras_settings
from fcn_core.settings import SETTINGS
with keras_settings("channels_first"):
    found = [keras.backend.backend(), keras.config.floatx(), keras.config.dtype_policy().name]
    print(*found, keras.config.image_data_format(), keras.config.epsilon())
"""


@pytest.mark.parametrize(("name", "backend"), UNREAD)
def test_the_child_ignores_settings_of_keras(name, backend, settings, tmp_path, monkeypatch):
    file = settings(name)
    before = file.stat().st_mtime_ns, sorted(file.parent.iterdir())
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "none")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    said = run_child(
        [sys.executable, "-c", CHILD],
        child_environment("openvino", tmp_path / "own"),
        "say what it finds",
        timeout=PATIENCE,
    )
    assert said.split() == ["openvino", "float32", "float32", "channels_first", "1e-07"]
    assert (file.stat().st_mtime_ns, sorted(file.parent.iterdir())) == before


def test_float16_in_keras_json_changes_nothing(settings, tmp_path, monkeypatch, lite0):
    """Neither the export with it nor loading without it."""
    settings("float16")
    expected = lite0._graph.path
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path / "cache"))
    graph = prepare_graph(LITE)
    assert graph.path.name == expected.name
    assert _types(graph.path) == _types(expected) == {"f32", "fp32", "i64"}
    assert graph.path.with_suffix(".bin").read_bytes() == expected.with_suffix(".bin").read_bytes()
    monkeypatch.delenv("KERAS_HOME")
    assert prepare_graph(LITE) == graph


def _types(description):
    text = description.read_text(encoding="utf-8")
    return {found.lower() for found in re.findall(r'(?:element_type|precision)="(\w+)"', text)}


# A graph of another precision


@pytest.fixture
def exported(lite0):
    """The files that the child process writes."""
    folder = lite0._graph.path.parent
    files = {name: (folder / name).read_bytes() for name in ("graph.xml", "graph.bin")}
    geometry = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["geometry"]
    return {**files, "about.json": json.dumps({"geometry": geometry, "exclusive": True}).encode()}


def _export(monkeypatch, files):
    def write(spec, weights, output_stride, folder):
        for name, content in files.items():
            (folder / name).write_bytes(content)

    monkeypatch.setattr(graph_cache, "_export_in_child", write)


def _half(exported, folder):
    """Return the files of the graph saved by OpenVINO in half precision."""
    import openvino

    for name, content in exported.items():
        (folder / name).write_bytes(content)
    network = openvino.Core().read_model(folder / "graph.xml")
    openvino.save_model(network, folder / "half.xml", compress_to_fp16=True)
    names = {"graph.xml": "half.xml", "graph.bin": "half.bin", "about.json": "about.json"}
    return {name: (folder / source).read_bytes() for name, source in names.items()}


@pytest.mark.parametrize("precision", ["saved in half", "f16", "f64", "bf16", "f8e4m3", "nf4"])
def test_another_precision_is_neither_saved_nor_loaded(precision, exported, tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path / "cache"))
    wrong = dict(exported)
    if precision == "saved in half":
        wrong = _half(exported, tmp_path)
    else:  # one tensor of many
        wrong["graph.xml"] = wrong["graph.xml"].replace(
            b'element_type="f32"', f'element_type="{precision}"'.encode(), 1
        )
        assert wrong["graph.xml"] != exported["graph.xml"]
    _export(monkeypatch, wrong)
    with pytest.raises(EngineError, match="another precision than float32"):
        prepare_graph(LITE)
    assert list((tmp_path / "cache" / "graphs").iterdir()) == []
    # and where one lies in the cache all the same, whole by its digests
    with monkeypatch.context() as patch:
        patch.setattr(graph_cache, "_is_float32", lambda folder: True)
        folder = prepare_graph(LITE).path.parent
        assert load_graph(folder) is not None
    assert load_graph(folder) is None
    _export(monkeypatch, exported)
    assert prepare_graph(LITE).path.read_bytes() == exported["graph.xml"]


# TensorFlow's Keras in this process

ENGINE = """
import os, sys
import numpy as np
import fcn_core as fcn
from fcn_core.cli.entry import main
from fcn_core.images.resize import ResizedImage

pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
image = ResizedImage(pixels, 96, 128)
expected = fcn.load_model("efficientnet-lite0", "openvino").logits(image)
assert "keras" not in sys.modules
assert main(["verify", "--application", "MobileNetV2", "--weights", "none"]) == 0  # TensorFlow's first start
assert main(["verify", "--model", "efficientnet-lite0"]) == 0
model = fcn.load_model("efficientnet-lite0", "tensorflow")
model._part_runs()

import keras
def found():
    return (keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy().name,
            os.environ.get("KERAS_BACKEND"))
keras.config.set_floatx("float16")  # layers still follow it: no policy was left behind
assert found() == ("float16", "channels_first", "float16", sys.argv[1]), found()
keras.config.set_dtype_policy("mixed_float16")
again = fcn.load_model("efficientnet-lite0", "tensorflow")
assert found()[2] == "mixed_float16"
for engine in (model, again):
    assert {w.dtype for w in engine.network.weights} == {"float32"}
    logits = engine.logits(image)
    assert logits.dtype == np.float32
    error = np.abs(logits - expected).max() / np.ptp(expected)
    assert error < 1e-5, error
keras.utils.clear_session()
"""


@pytest.mark.tensorflow
def test_tensorflow_proves_and_computes_in_float32_and_restores_the_settings(settings, lite0, fresh_python):
    settings("float64, channels first")
    child = fresh_python(ENGINE, "nonsense", KERAS_BACKEND="nonsense")
    assert child.stderr == ""
    assert child.stdout.count(", within 1e-04") == 2


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", sorted(BREAKS_KERAS))
def test_invalid_settings_of_keras_are_named(name, settings, fresh_python):
    file = settings(name)
    code = """
import fcn_core as fcn
for _ in range(2):
    try:
        fcn.load_model("efficientnet-lite0", "tensorflow")
    except fcn.FcnError as error:
        print(type(error).__name__, error)
"""
    lines = fresh_python(code).stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith(
            "EngineError Expected a working Keras on tensorflow. Received one that cannot be loaded ("
        )
        assert str(file) in line
        assert "choose engine openvino" in line


@pytest.mark.tensorflow
def test_settings_are_restored_after_errors_too():
    import keras

    def now():
        return keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy().name

    before = now()
    keras.config.set_floatx("float64")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_bfloat16")
    theirs = "float64", "channels_first", "mixed_bfloat16"
    try:
        with pytest.raises(ZeroDivisionError), keras_settings():
            assert now() == ("float32", "channels_last", "float32")
            with keras_settings("channels_first", "mixed_float16"):
                assert now() == ("float32", "channels_first", "mixed_float16")
            assert now() == ("float32", "channels_last", "float32")
            raise ZeroDivisionError
        assert now() == theirs
        # Two at once: the second waits, or it would lose its settings when the first gives back what it found.
        second_is_in, first_is_out, seen = threading.Event(), threading.Event(), []

        def second():
            with keras_settings("channels_first"):
                second_is_in.set()
                first_is_out.wait(10)
                seen.append(keras.config.image_data_format())

        thread = threading.Thread(target=second)
        with keras_settings("channels_last"):
            thread.start()
            second_is_in.wait(0.5)
        first_is_out.set()
        thread.join()
        assert seen == ["channels_first"]
        assert now() == theirs
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_image_data_format(before[1])
        keras.config.set_dtype_policy(before[2])


# Folders


@pytest.fixture
def homeless(monkeypatch):
    """Simulate a user without HOME and without a passwd entry."""
    pwd = pytest.importorskip("pwd")

    def unknown(_):
        raise KeyError("no such user")

    for name in ("HOME", "FCN_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    monkeypatch.setenv("MPLCONFIGDIR", "somewhere")
    folders._announced_root.cache_clear()
    folders.temporary_root.cache_clear()
    yield
    folders._announced_root.cache_clear()
    folders.temporary_root.cache_clear()


def test_without_a_home_the_cache_is_temporary_with_one_warning(homeless, caplog):
    with caplog.at_level(logging.WARNING):
        found = {cache_dir() for _ in range(3)}
    (folder,) = found
    assert folder.is_relative_to(tempfile.gettempdir())
    assert folder.is_dir()
    (record,) = caplog.records
    assert "no home folder" in record.getMessage()
    assert "FCN_CACHE_DIR" in record.getMessage()
    assert str(folder) in record.getMessage()


def test_without_a_home_and_a_temporary_folder_an_error_is_raised(homeless, monkeypatch):
    def nowhere(**_):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "mkdtemp", nowhere)
    with pytest.raises(FcnError, match="FCN_CACHE_DIR"):
        cache_dir()


def test_without_a_home_a_cache_that_is_set_is_used(homeless, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "fcn_core"
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    assert caplog.records == []


HOMELESS = """
import os, pwd, runpy, sys
os.environ.pop("HOME", None)
del os.environ["FCN_CACHE_DIR"], os.environ["KERAS_HOME"]
def unknown(_):
    raise KeyError("no such user")
pwd.getpwuid = pwd.getpwnam = unknown
runpy.run_module("fcn_core", run_name="__main__", alter_sys=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such users there")
@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "--json"),
        ("models", "--prepare", LITE.name),
        ("verify", "--model", LITE.name, "--engine", "tensorflow"),
    ],
    ids=" ".join,
)
def test_commands_without_a_home(arguments, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS, *arguments],
        cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (told,) = (
        line for line in done.stderr.splitlines() if "Matplotlib" not in line
    )  # which says that it is slow
    assert "There is no home folder" in told
    assert list(tmp_path.iterdir()) == []  # neither a folder named ~, nor what was temporary


@pytest.mark.parametrize("variable", ["FCN_CACHE_DIR", "FCN_WEIGHTS_DIR"])
@pytest.mark.parametrize("value", ["~/x", "~", "~nobody-of-this-name/x"])
def test_a_tilde_is_the_home_folder_or_refused(variable, value, homeless, monkeypatch, tmp_path):
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv(variable, value)
    with pytest.raises(FcnError, match=variable) as refusal:
        find_weights(MODELS["resnet50"])
    assert value in str(refusal.value)
    if "nobody" not in value:
        monkeypatch.setenv("HOME", str(tmp_path))
        (setting,) = (s for s in SETTINGS if s.name == variable)
        assert setting.value() == Path(value.replace("~", str(tmp_path)))


def test_a_home_folder_that_cannot_be_read(monkeypatch, caplog, tmp_path):
    """As after a change of user, with HOME still set to the other home."""
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path / "another's"))
    looked_into = Path.is_file

    def refused(self):
        if "another's" in self.parts:
            raise PermissionError(13, "Permission denied", str(self))
        return looked_into(self)

    monkeypatch.setattr(Path, "is_file", refused)
    assert find_weights(MODELS["resnet50"]) is None
    assert find_weights(LITE) is not None


@pytest.mark.tensorflow
def test_tensorflow_runs_without_a_temporary_folder(lite0):
    """Only start-up notes go to standard error, which otherwise are collected in a temporary file."""
    code = "import runpy, tempfile; tempfile.tempdir = '/nowhere'; "
    code += "runpy.run_module('fcn_core', run_name='__main__', alter_sys=True)"
    done = subprocess.run(
        [sys.executable, "-c", code, "verify", "--model", LITE.name],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "fcn_core: " not in done.stderr
