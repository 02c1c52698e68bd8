"""What is changed in the configuration of a user's model before Keras reads it, and a precision that is refused."""

import json
import zipfile

import numpy as np
import pytest

from fcn_core.errors import ConversionError
from fcn_core.networks.own_file import read_model
from fcn_core.networks.refusals import FILE_REFUSALS

keras = pytest.importorskip("keras")
layers = keras.layers


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_initial_weights_are_not_computed(tmp_path, monkeypatch, suffix):
    """Those of the file come in their place; orthogonal ones of 6000x6000 would take 9 seconds."""
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, kernel_initializer="orthogonal", bias_initializer="random_normal")(image)
    x = layers.PReLU("he_normal", shared_axes=(1, 2))(x)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalMaxPooling2D()(x)))
    path = tmp_path / f"own{suffix}"
    model.save(path)

    def forbidden(*_, **__):
        raise AssertionError("computed for nothing")

    for kind in (
        keras.initializers.Orthogonal,
        keras.initializers.RandomNormal,
        keras.initializers.VarianceScaling,
    ):
        monkeypatch.setattr(kind, "__call__", forbidden)
    for found, expected in zip(read_model(path).weights, model.weights, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["int8_from_float32", "int4_from_mixed_bfloat16", "float8_from_float32"])
@pytest.mark.parametrize("as_object", [False, True])
def test_a_quantised_precision_is_refused(tmp_path, dtype, as_object):
    policy = {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": dtype},
        "registered_name": None,
    }

    image = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="first")(image))
    keras.Model(image, layers.Dense(3)(x)).save(tmp_path / "as-it-was.keras")
    with (
        zipfile.ZipFile(tmp_path / "as-it-was.keras") as archive,
        zipfile.ZipFile(tmp_path / "own.keras", "w") as written,
    ):
        config = json.loads(archive.read("config.json"))
        config["config"]["layers"][1]["config"]["dtype"] = policy if as_object else dtype
        written.writestr("config.json", json.dumps(config))
        written.writestr("model.weights.h5", archive.read("model.weights.h5"))
    with pytest.raises(ConversionError) as refusal:
        read_model(tmp_path / "own.keras")
    assert str(refusal.value).startswith(
        f"Expected {FILE_REFUSALS['quantised'].expected}. Received own.keras with "
    )
