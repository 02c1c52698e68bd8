"""Lists of texts in a legacy file: those of Keras are read, and one that needs much memory is refused."""

import struct
import sys

import pytest

from fcn_core.errors import ConversionError
from fcn_core.networks import own_texts
from fcn_core.networks.own_file import read_model

h5py = pytest.importorskip("h5py")
TEXT = 2**21  # bytes


@pytest.fixture
def whole(tmp_path):
    """A model file of Keras."""
    keras = pytest.importorskip("keras")
    image = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    path = tmp_path / "own.h5"
    keras.Model(image, keras.layers.Dense(3)(pooled)).save(path)
    return path


def repeat_a_text(path, times):
    """Let all names of the layers be one long text, which the file holds once."""
    names = ["A" * TEXT, *(f"{number:06}" for number in range(times - 1))]
    with h5py.File(path, "r+") as file:
        del file["model_weights"].attrs["layer_names"]
        file["model_weights"].attrs.create("layer_names", names, dtype=h5py.string_dtype())
    data = bytearray(path.read_bytes())
    at = 0  # of 16 bytes each: length, address of a heap, index in it
    while struct.unpack_from("<II", data, at + 16)[0] != 6 or struct.unpack_from("<I", data, at + 32)[0] != 6:
        at = data.index(struct.pack("<I", TEXT), at + 1)
    data[at : at + 16 * times] = bytes(data[at : at + 16]) * times
    path.write_bytes(data)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not bound a process")
def test_a_text_that_is_named_again_and_again_is_refused(whole, tmp_path):
    repeat_a_text(whole, 200)  # 400 MB of 2
    with pytest.raises(
        ConversionError, match=r"Received own\.h5, whose lists of names need more than 256 MB"
    ):
        read_model(whole)


def test_what_keras_saves_passes_and_small_files_need_no_process(whole, tmp_path, monkeypatch):
    ran = []
    run = own_texts.run_child
    monkeypatch.setattr(own_texts, "run_child", lambda *given, **options: ran.append(run(*given, **options)))
    assert read_model(whole).count_params()
    assert ran == []
    own_texts.check_texts(whole, 10**9, "own.h5")
    assert ran == [""] or not sys.platform.startswith("linux")


def test_attributes_of_other_kinds_are_refused(whole):
    with h5py.File(whole, "r+") as file:
        file.attrs["names"] = file.ref
    with pytest.raises(ConversionError, match="whose attribute 'names' is no text"):
        read_model(whole)
