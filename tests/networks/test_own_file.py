"""A user's model file: what Keras saves is read, and what a hostile file holds is neither run nor read.

Each hostile file is made here. ``marker`` is a file that its code would make, ``secret`` one that it would read.
"""

import base64
import json
import marshal
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fcn_core.errors import ConversionError, MemoryBudgetError, UnknownModel
from fcn_core.networks.own_config import ALLOWED, CODE
from fcn_core.networks.own_file import read_model
from fcn_core.networks.refusals import FILE_REFUSALS

keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")
if keras.backend.backend() != "tensorflow":
    pytest.skip("these models are made in Keras on TensorFlow", allow_module_level=True)
layers = keras.layers


def small(*front, inner=None):
    image = keras.Input((16, 16, 3))
    x = image
    for layer in (*front, *([inner] if inner else [])):
        x = layer(x)
    x = layers.Conv2D(4, 3, activation="relu", name="first")(x)
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def saved(tmp_path, model, name="own.keras"):
    path = tmp_path / name
    model.save(path)
    return path


def changed(path, change, weights=None):
    """Write the file again with its configuration changed in place, and other weights."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    parts["config.json"] = json.dumps(change(config) or config).encode()
    if weights is not None:
        parts["model.weights.h5"] = weights
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def first(config):
    """Return the layer "first" of a configuration."""
    return next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == "first")


def bytecode(marker):
    """Return Python code as Keras stores that of a Lambda; it makes the marker."""
    code = compile(
        f"lambda x: open({str(marker)!r}, 'w', encoding='utf-8').close()", "<file>", "eval"
    ).co_consts[0]
    return base64.b64encode(marshal.dumps(code)).decode()


def placed(layer):
    """Return a change that puts another object in the place of the layer "first"."""

    def change(config):
        old = first(config)
        old |= {"config": {"name": "first"}, "build_config": None} | layer

    return change


def activated(function):
    def change(config):
        first(config)["config"]["activation"] = function

    return change


def a_lambda(marker):
    code = bytecode(marker)
    config = {"code": code, "defaults": None, "closure": None, "value": [code, None, None]}
    return {"class_name": "__lambda__", "config": config}


def a_layer(name, module="keras.layers", **config):
    return {
        "module": module,
        "class_name": name,
        "registered_name": None,
        "config": {"name": "first"} | config,
    }


def a_function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def hostile_configs(marker, secret):
    """Return by name: a change of the configuration, the reason of the refusal, what the message names."""
    run = {"function": a_lambda(marker)}
    dense = a_layer("Dense", units=10**6, kernel_initializer="ones")
    deep = ["x"]
    for _ in range(300):
        deep = [deep]
    return {
        "Lambda": (placed(a_layer("Lambda", **run)), "code", "Lambda 'first'"),
        "Lambda in a wrapper": (
            placed(a_layer("TimeDistributed", layer=a_layer("Lambda", **run))), "not pictures", "TimeDistributed"),
        "Lambda in augmentation": (placed(a_layer("Pipeline", layers=[a_layer("Lambda", **run)])), "code", "Lambda"),
        "Lambda as Keras 2 names it": (
            placed({"class_name": "Lambda", "module": None, "config": {"function": [bytecode(marker), None, None]}}),
            "code", "Lambda"),
        "code as activation": (activated(a_lambda(marker)), "code", "__lambda__"),
        "code in training settings of a layer": (
            lambda config: first(config).update(compile_config={"loss": a_lambda(marker)}), None, ""),
        "a type of TensorFlow": (
            activated({"class_name": "__typespec__", "spec_name": "x", "module": "os", "registered_name": "x",
                       "config": []}), "code", "__typespec__"),
        "TorchModuleWrapper": (placed(a_layer("TorchModuleWrapper")), "code", "TorchModuleWrapper"),
        "TFSMLayer": (placed(a_layer("TFSMLayer", filepath=str(secret))), "code", "TFSMLayer"),
        "JaxLayer": (placed(a_layer("JaxLayer")), "code", "JaxLayer"),
        "os.system": (activated(a_function("os", "system")), "custom", "function 'system' of os"),
        "a class of subprocess": (placed(a_layer("Popen", "subprocess")), "custom", "Popen"),
        "a function of Keras that writes": (
            activated(a_function("keras.utils", "get_file")), "custom", "function 'get_file'"),
        "a class of Keras that is no layer": (
            placed(a_layer("ProgbarLogger", "keras.callbacks")), "not pictures", "ProgbarLogger"),
        "a layer in a module of another name": (placed(a_layer("Dense", "keras_layers")), "custom", "Dense"),
        "a module with a path": (placed(a_layer("Dense", "keras.layers/../os")), "not pictures", "Dense"),
        "a loop as operation": (placed(a_layer("WhileLoop", "keras.src.ops.core")), "not pictures", "WhileLoop"),
        "a class that is not registered": (
            placed(a_layer("Own", "my_layers") | {"registered_name": "my>Own"}), "custom", "Own 'first' of my_layers"),
        "a function in an operation of Keras 2": (
            placed({"class_name": "TFOpLambda", "module": "keras.layers"}), "Keras 2", "TFOpLambda"),
        "a vocabulary in a file": (
            placed(a_layer("StringLookup", vocabulary=str(secret))), "not pictures", "StringLookup"),
        "a path in an allowed layer": (placed(a_layer("Embedding", vocabulary=str(secret))), "elsewhere", "vocabulary"),
        "a name that is no text": (placed({"class_name": ["Dense"]}), "custom", "Dense"),
        "a huge array": (
            activated({"class_name": "__numpy__", "config": {"value": "x", "dtype": "V4000000000"}}), "custom",
            "__numpy__"),
        "layers without weights in the file": (placed(dense), "damaged", ""),
        "nested too deep": (lambda config: {**config, "config": deep}, "limits", "100 deep"),
        "too many layers": (
            lambda config: config["config"].update(layers=[a_layer("ReLU")] * 50_001), "limits", "50000 objects"),
        "layers from the last to the first": (
            lambda config: config["config"].update(
                layers=[{**a_layer("ReLU"), "name": f"r{i}", "inbound_nodes": [[f"r{i + 1}"]]} for i in range(300)]
            ), "limits", "before those that they use"),
        "no model": (lambda config: [config], "damaged", "names no model"),
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile_configs(Path("m"), Path("s")))
def test_what_a_configuration_holds_is_not_executed(tmp_path, name):
    marker, secret = tmp_path / "marker", tmp_path / "secret"
    secret.write_text("this is secret\n", encoding="utf-8")
    change, reason, named = hostile_configs(marker, secret)[name]
    path = changed(saved(tmp_path, small()), change)
    if reason is None:
        read_model(path)
    else:
        with pytest.raises(ConversionError) as refusal:
            read_model(path)
        assert str(refusal.value).startswith(f"Expected {FILE_REFUSALS[reason].expected}. Received own.keras")
        assert str(refusal.value).endswith(FILE_REFUSALS[reason].cure)
        assert named in str(refusal.value)
        assert "this is secret" not in str(refusal.value)
    assert not marker.exists()


def test_the_code_of_these_files_would_run_without_the_check(tmp_path):
    marker = tmp_path / "marker"
    path = changed(saved(tmp_path, small()), activated(a_lambda(marker)))
    with pytest.raises(ValueError, match="None"):  # the code returns no tensor
        keras.saving.load_model(path, safe_mode=False)(np.zeros((1, 16, 16, 3), "float32"))
    assert marker.exists()


def weights_file(tmp_path, write):
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        write(file)
    return path.read_bytes()


def hostile_weights(tmp_path):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.ones(8, "float32")
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(64))
    layout = h5py.VirtualLayout((8,), "float32")
    layout[:] = h5py.VirtualSource(str(other), "secret", (8,))

    def many(file):
        file.create_dataset("large", (10**6, 500), "float32", chunks=(1000, 500), compression="gzip")

    return {
        "external link": (lambda f: f.update(x=h5py.ExternalLink(str(other), "secret")), "elsewhere", "a link at 'x'"),
        "link in the file": (lambda f: f.update(x=h5py.SoftLink("/y")), "elsewhere", "a link at 'x'"),
        "numbers in another file": (
            lambda f: f.create_dataset("x", (16,), "float32", external=[(str(raw), 0, 64)]), "elsewhere", "/x"),
        "virtual": (lambda f: f.create_virtual_dataset("x", layout), "elsewhere", "/x"),
        "nothing stored of 2 GB": (many, "bomb", "/large"),
        "a large chunk": (lambda f: f.create_dataset("x", (1,), "int8", chunks=(2**30,), maxshape=(None,)), "bomb", ""),
        "a type": (lambda f: f.update(x=np.dtype("float32")), "damaged", "Datatype"),
        "references": (lambda f: f.create_dataset("x", data=f.ref, dtype=h5py.ref_dtype), "damaged", "/x"),
        "itself": (lambda f: f.update(layers=f["/"]), "damaged", ""),
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    "name",
    ["external link", "link in the file", "numbers in another file", "virtual", "nothing stored of 2 GB",
     "a large chunk", "a type", "references", "itself"],
)  # fmt: skip
def test_weights_are_numbers_inside_the_file(tmp_path, name, suffix):
    write, reason, named = hostile_weights(tmp_path)[name]
    path = saved(tmp_path, small(), f"own{suffix}")
    if suffix == ".keras":
        changed(path, lambda config: None, weights_file(tmp_path, write))
    else:
        with h5py.File(path, "r+") as file:
            write(file)
    if (name, suffix) == ("itself", ".h5"):  # a group that contains itself ends, and nothing asks for it
        read_model(path)
        return
    with pytest.raises(ConversionError) as refusal:
        read_model(path)
    assert str(refusal.value).startswith(f"Expected {FILE_REFUSALS[reason].expected}. Received own{suffix}")
    assert named in str(refusal.value)


def test_a_layer_without_weights_in_the_file_takes_no_memory(tmp_path, monkeypatch):
    def change(config):
        layer = first(config)
        layer["config"] |= {"filters": 10**7, "kernel_initializer": "ones"}
        layer["build_config"] = None

    allocated = []
    numbers = keras.initializers.Zeros.__call__
    monkeypatch.setattr(
        keras.initializers.Zeros, "__call__",
        lambda self, shape, dtype=None, **options: allocated.append(shape) or numbers(self, shape, dtype),
    )  # fmt: skip
    with pytest.raises(ConversionError, match=r"own\.keras"):
        read_model(changed(saved(tmp_path, small()), change))
    assert max(map(np.prod, allocated)) < 10, "only those of the model that is saved"


def test_damaged_and_foreign_files_are_refused(tmp_path):
    whole = saved(tmp_path, small())
    model = small()
    model.save_weights(tmp_path / "of.weights.h5")
    (tmp_path / "renamed.h5").write_bytes((tmp_path / "of.weights.h5").read_bytes())
    (tmp_path / "saved_model").mkdir()
    for name in ("net.onnx", "net.pt", "net.pb"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "cut.keras").write_bytes(whole.read_bytes()[:-100])
    (tmp_path / "text.h5").write_text("no model", encoding="utf-8")
    changed(saved(tmp_path, model, "bytes.keras"), lambda config: None, b"no weights")
    with zipfile.ZipFile(tmp_path / "no-config.keras", "w") as archive:
        archive.writestr("model.weights.h5", b"")
    with zipfile.ZipFile(tmp_path / "packed.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"{}")
        archive.writestr("model.weights.h5", bytes(2**24))
    with zipfile.ZipFile(tmp_path / "many.keras", "w") as archive:
        for i in range(20_000):
            archive.writestr(f"a-long-name-of-a-file-{i}", b"")
    cases = {
        "saved_model": "kind", "net.onnx": "kind", "net.pt": "kind", "net.pb": "kind",
        "of.weights.h5": "weights only", "renamed.h5": "weights only", "cut.keras": "damaged", "text.h5": "damaged",
        "bytes.keras": "damaged", "no-config.keras": "damaged", "packed.keras": "bomb", "many.keras": "limits",
    }  # fmt: skip
    for name, reason in cases.items():
        with pytest.raises(ConversionError) as refusal:
            read_model(tmp_path / name)
        assert str(refusal.value).startswith(f"Expected {FILE_REFUSALS[reason].expected}. Received "), name
        assert name in str(refusal.value)
    with pytest.raises(UnknownModel, match="Expected a model file"):
        read_model(tmp_path / "none.keras")


def test_a_file_beyond_the_memory_budget_is_refused(tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4000)])
    path = saved(tmp_path, model)
    monkeypatch.setenv("FCN_MEMORY_MB", "4")
    with pytest.raises(MemoryBudgetError, match=r"fits into 4 MB of memory. Received own.keras"):
        read_model(path)


def half(x):
    return x


def compiled():
    model = small()
    model.compile(loss=lambda y, p: keras.ops.mean(y - p), metrics=[lambda y, p: keras.ops.mean(p)])
    return model


def with_a_compiled_model_inside():
    image = keras.Input((16, 16, 3))
    inner = keras.Model(image, layers.Conv2D(3, 3, padding="same")(image))
    inner.compile(loss=half)
    return small(inner=inner)


def shared():
    dense, image = layers.Conv2D(3, 1), keras.Input((16, 16, 3))
    inner = keras.Model(image, dense(image))
    x = inner(dense(image))
    return keras.Model(image, layers.Dense(3)(layers.GlobalMaxPooling2D()(x)))


def mixed():
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, dtype="mixed_float16")(image)
    return keras.Model(image, layers.Dense(3, dtype="float32")(layers.GlobalAveragePooling2D()(x)))


def quantised():
    model = small()
    model.quantize("int8")
    return model


def own_layers():
    from fcn_core.networks.layers import SoftmaxMap

    image = keras.Input((None, None, 3))
    return keras.Model(image, SoftmaxMap()(layers.Conv2D(4, 3)(image)))


def with_operations():
    image = keras.Input((16, 16, 3))
    x = keras.ops.relu6(layers.Conv2D(4, 3)(image) * 2.0 + 3.0) / 6.0
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def normalised():
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).random((8, 16, 16, 3), "float32"))
    return small(layers.RandomFlip(), layers.Rescaling(1 / 255), layer)


def a_list_of_one_input():
    image = keras.Input((16, 16, 3))
    return keras.Model([image], small()(image))


def sequential():
    return keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)]
    )


READ = {
    "functional": small, "a list of one input": a_list_of_one_input,
    "sequential": sequential, "compiled with custom loss and metric": compiled,
    "a compiled model inside": with_a_compiled_model_inside, "a shared layer": shared, "mixed precision": mixed,
    "layers of this program": own_layers, "operations": with_operations,
    "augmentation and normalisation": normalised,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of Keras: HDF5 is its older format
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", READ)
def test_what_keras_saves_is_read(tmp_path, name, suffix):
    if suffix == ".h5" and name == "operations":
        pytest.skip("Keras does not read its own .h5 files of these")
    model = READ[name]()
    path = saved(tmp_path, model, f"own{suffix}")
    before = path.read_bytes()
    found = read_model(path)
    picture = np.random.default_rng(0).random((1, 16, 16, 3), "float32")
    assert not found.compiled
    expected = model([picture] if name == "a list of one input" else picture)
    np.testing.assert_allclose(
        found(picture), expected, rtol=1e-3, atol=1e-2 if name == "mixed precision" else 1e-5
    )
    assert {layer.compute_dtype for layer in found.layers} == {"float32"}
    assert path.read_bytes() == before


def channels_first():
    image = keras.Input((3, 16, 16))
    x = layers.Conv2D(4, 3, data_format="channels_first")(image)
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D(data_format="channels_first")(x)))


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
@pytest.mark.parametrize(("make", "reason"), [(quantised, "quantised"), (channels_first, "channels first")])
def test_what_the_engines_cannot_run_is_refused(tmp_path, make, reason):
    with pytest.raises(ConversionError) as refusal:
        read_model(saved(tmp_path, make()))
    assert str(refusal.value).startswith(f"Expected {FILE_REFUSALS[reason].expected}. Received own.keras")


def test_a_registered_layer_of_the_user_is_read(tmp_path):
    @keras.saving.register_keras_serializable(package="test_own_file")
    class Doubled(layers.Layer):
        def call(self, x):
            return 2 * x

    path = saved(tmp_path, small(Doubled()))
    assert any(isinstance(layer, Doubled) for layer in read_model(path).layers)
    del keras.saving.get_custom_objects()["test_own_file>Doubled"]
    with pytest.raises(ConversionError, match="first import the code that registers it"):
        read_model(path)


def test_every_layer_of_keras_is_on_the_list_or_left_out_on_purpose():
    public = {
        name
        for name, kind in vars(layers).items()
        if isinstance(kind, type) and issubclass(kind, layers.Layer)
    }
    assert ALLOWED["layers"] <= public
    left_out = public - ALLOWED["layers"]
    assert set(CODE) & public <= left_out
    assert not {
        name for name in left_out if re.search("Conv[0-9]D|Pool.*2D|Activation|Normalization$", name)
    } - {
        "SpectralNormalization"  # a wrapper, whose iterations a file could make endless
    }


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_of_keras_2_are_read(suffix):
    """Both were saved by tf_keras 2.21, which also computed the answer."""
    picture = np.arange(16 * 16 * 3, dtype="float32").reshape(1, 16, 16, 3) / 768
    found = read_model(Path(__file__).with_name(f"keras2{suffix}"))(picture)
    np.testing.assert_allclose(found, [[0.26179314, 0.5701772, 0.16802961]], rtol=1e-5)
