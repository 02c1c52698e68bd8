"""The classifiers of ``keras.applications``: the table, its proofs, its preprocessing and its files of weights."""

import importlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fcn_core.errors import WeightsInvalid, WeightsUnavailable
from fcn_core.networks import zoo
from fcn_core.networks.applications import APPLICATIONS, FAMILIES
from fcn_core.networks.random_weights import seed_weights
from fcn_core.networks.zoo import (
    ALL_MODELS,
    MODELS,
    build_classifier,
    find_weights,
    model_spec,
    require_weights,
)

# The smallest of each family, and an input that is quick; its height differs from its width where it may.
SMALLEST = {
    "VGG": ("VGG16", (64, 32)),
    "ResNet": ("ResNet50", (64, 96)),
    "ResNetV2": ("ResNet50V2", (64, 96)),
    "Xception": ("Xception", (96, 96)),
    "Inception": ("InceptionV3", (107, 139)),
    "InceptionResNet": ("InceptionResNetV2", (75, 75)),
    "MobileNet": ("MobileNet", (96, 96)),
    "MobileNetV2": ("MobileNetV2", (96, 96)),
    "MobileNetV3": ("MobileNetV3Small", (64, 96)),
    "DenseNet": ("DenseNet121", (64, 32)),
    "NASNet": ("NASNetMobile", (64, 64)),
    "EfficientNet": ("EfficientNetB0", (64, 96)),
    "EfficientNetV2": ("EfficientNetV2B0", (64, 96)),
    "ConvNeXt": ("ConvNeXtTiny", (32, 64)),
}
BUILT_WITH_LOGITS = ("DenseNet", "MobileNet", "ResNetV2")


def picture(*shape):
    return np.random.default_rng(3).uniform(0, 255, shape).astype("float32")


@pytest.mark.tensorflow
def test_the_table_has_every_classifier_of_keras():
    import keras

    there = {name.lower() for name in dir(keras.applications) if name[0].isupper()}
    assert {name.lower() for name in APPLICATIONS} | {"resnet50"} == there
    assert list(ALL_MODELS) == [*MODELS, *APPLICATIONS]
    assert {spec.family for spec in APPLICATIONS.values()} == set(FAMILIES) == set(SMALLEST)
    for name, spec in APPLICATIONS.items():
        assert model_spec(spec.title) is model_spec(name) is spec
        least = min((s.parameters, s.title) for s in APPLICATIONS.values() if s.family == spec.family)[1]
        assert SMALLEST[spec.family][0] in (least, "ResNet50")


@pytest.mark.tensorflow
@pytest.mark.parametrize("family", SMALLEST)
def test_the_smallest_of_each_family_is_converted_and_proved(family):
    import keras

    from fcn_core.networks.convert import convert
    from fcn_core.networks.proof import prove
    from fcn_core.networks.structure import read_geometry

    name, size = SMALLEST[family]
    activation = None if family in BUILT_WITH_LOGITS else "softmax"
    build = getattr(keras.applications, name)
    classifier = build(weights=None, input_shape=(*size, 3), classes=10, classifier_activation=activation)
    pixels = np.tile(np.arange(256, dtype=np.float32), (3, 1, 1))
    preprocessing = FAMILIES[family].preprocessing
    seed_weights(classifier, input_square=float(np.mean(preprocessing(pixels) ** 2)))
    conversion = convert(classifier, output="logits")
    error, span = prove(classifier, conversion, lambda *shape: preprocessing.batch(picture(*shape[1:])))
    assert conversion.proof == FAMILIES[family].proof
    assert 1 < span < 1e3  # what random weights make worth proving
    assert error < 1e-4 * span
    # the cells the geometry knows are those there are, at other sizes too
    geometry, _ = read_geometry(conversion.network)
    assert geometry.bandable != FAMILIES[family].whole
    for height, width in ((128, 128), (200, 300), (131, 97)):
        assert conversion.network.compute_output_shape((1, height, width, 3)) == (
            1, *geometry.grid(height, width), 10,
        )  # fmt: skip


# Windows without padding, channels last only, squeeze-and-excite; benchmarks/engines.py has one of each family.
EXPORTED = ("mobilenet", "convnexttiny", "mobilenetv3small")


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", EXPORTED)
def test_both_engines_give_the_same(name, resized):
    from fcn_core.engines.load import load_model

    image = resized(picture(107, 139, 3), 107, 139)
    expected, found = (load_model(name, engine, None).logits(image) for engine in ("tensorflow", "openvino"))
    assert np.ptp(expected) > 1
    assert np.abs(found - expected).max() < 1e-4 * np.ptp(expected)


@pytest.mark.tensorflow
def test_the_addresses_and_digests_are_those_of_keras():
    """Each is written in the source of Keras, in one piece or in two."""
    import keras.src.applications as applications

    folder = Path(applications.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py")).lower()
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    for spec in APPLICATIONS.values():
        folder, _, file = spec.weights.url.rpartition("/")
        parent, _, last = folder.rpartition("/")
        assert f"{folder}/" in source or (f"{parent}/" in source and f'"{last}/' in source), spec.title
        assert spec.weights.digest in source, spec.title
        assert re.split(r"[_-]|b\d|\d", file.lower())[0] in source, spec.title


@pytest.mark.tensorflow
@pytest.mark.parametrize("family", FAMILIES)
def test_preprocessing_equals_that_of_keras(family):
    import keras

    build = getattr(keras.applications, SMALLEST[family][0])
    preprocess = importlib.import_module(build.__module__).preprocess_input
    pixels = picture(1, 6, 7, 3)
    expected = preprocess(pixels.copy())
    assert np.abs(FAMILIES[family].preprocessing.batch(pixels[0]) - expected).max() < 1e-4


# --- weights from a file in Keras' own layout -------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights_folder(tmp_path_factory):
    """Weights of two classifiers as Keras publishes them: in the legacy HDF5 layout, with the top layer."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    folder = tmp_path_factory.mktemp("weights")
    for name in ("mobilenetv3small", "efficientnetb0"):
        model = build_classifier(APPLICATIONS[name], None, seed=7)
        with h5py.File(folder / APPLICATIONS[name].weights.name, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return folder


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["mobilenetv3small", "efficientnetb0"])
def test_a_file_of_weights_gives_the_classifier_that_keras_loads(name, weights_folder, monkeypatch):
    """Also where Keras adds a layer only for its published weights (EfficientNet)."""
    import keras
    from keras.src.utils import file_utils

    spec = APPLICATIONS[name]
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(weights_folder))
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(weights_folder / spec.weights.name))
    build = getattr(keras.applications, spec.title)
    reference = build(weights="imagenet", input_shape=(224, 224, 3))
    ours = build_classifier(spec, require_weights(spec))
    pixels = picture(1, 224, 224, 3)
    expected = np.log(np.asarray(reference(pixels)))
    found = np.log(np.asarray(ours(spec.preprocessing.batch(pixels[0]))))
    assert np.ptp(expected) > 1
    assert np.abs(found - expected).max() < 1e-4 * np.ptp(expected)


@pytest.mark.tensorflow
def test_a_wrong_file_is_refused(weights_folder, monkeypatch, tmp_path):
    spec = APPLICATIONS["mobilenetv3small"]
    (tmp_path / spec.weights.name).write_bytes(
        (weights_folder / APPLICATIONS["efficientnetb0"].weights.name).read_bytes()
    )
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(WeightsInvalid, match="Expected the weights of MobileNetV3Small"):
        build_classifier(spec, require_weights(spec))


@pytest.mark.parametrize("name", ["vgg16", "mobilenet"])
def test_without_a_network_the_file_to_bring_is_named(name, monkeypatch, tmp_path):
    """MobileNet's file has no published digest, so the program does not even try to download it."""
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path))
    spec = APPLICATIONS[name]
    if spec.weights.digest:
        spec = replace(spec, weights=replace(spec.weights, url="http://127.0.0.1:9/" + spec.weights.name))
    assert find_weights(spec) is None
    with pytest.raises(WeightsUnavailable) as refusal:
        require_weights(spec)
    for words in (spec.weights.url, f"keep the name {spec.weights.name}", "FCN_WEIGHTS_DIR"):
        assert words in str(refusal.value)
    assert ("no digest" in str(refusal.value)) == (name == "mobilenet")


def test_a_file_without_a_published_digest_is_accepted_where_a_user_puts_it(monkeypatch, tmp_path):
    spec = APPLICATIONS["mobilenet"]
    (tmp_path / spec.weights.name).write_bytes(b"weights")
    monkeypatch.setenv("FCN_WEIGHTS_DIR", str(tmp_path))
    assert require_weights(spec) == tmp_path / spec.weights.name
    assert zoo.digest(tmp_path / spec.weights.name, spec.weights.algorithm) != spec.weights.digest


@pytest.mark.tensorflow
def test_the_accuracies_are_published_ones():
    """Those of MobileNetV3 are in the source of Keras; more parameters of one family are not less accurate."""
    from keras.src.applications import mobilenet_v3

    for size in ("small", "large"):
        (row,) = re.findall(rf"mobilenet_v3_{size}_1\.0_224 .*", mobilenet_v3.BASE_DOCSTRING)
        assert float(row.split("|")[3]) == APPLICATIONS[f"mobilenetv3{size}"].accuracy.top1
    for family in FAMILIES:
        members = [s for s in ALL_MODELS.values() if s.family == family and "Res" not in family]
        found = [s.accuracy.top1 for s in sorted(members, key=lambda s: s.parameters)]
        assert found == sorted(found)
    assert all(60 < spec.accuracy.top1 < 90 for spec in ALL_MODELS.values())
    assert all(spec.accuracy.source.startswith("https://") for spec in ALL_MODELS.values())
