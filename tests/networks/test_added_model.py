"""A model that a visitor adds: a file and its labels in the folder of models, or a reason why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from fcn_core.errors import FcnError, StorageError
from fcn_core.networks import added_model
from fcn_core.networks.added_model import MOST_MODELS, add_model
from fcn_core.networks.zoo import own_models

ZIP, HDF5 = b"PK\x03\x04 and more", b"\x89HDF\r\n\x1a\n and more"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    models = tmp_path / "models"
    models.mkdir()
    monkeypatch.setenv("FCN_MODELS_DIR", str(models))
    return models


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder.parent).as_posix() for path in folder.parent.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "data", "model", "suffix"),
    [
        ("My Shapes.keras", ZIP, "my-shapes", ".keras"),
        ("old.H5", HDF5, "old", ".h5"),
        ("../../up.keras", ZIP, "up", ".keras"),
        (".keras.keras", ZIP, "keras", ".keras"),
        ("<b>ü</b>.keras", ZIP, "b", ".keras"),
    ],
)
def test_it_lies_in_the_folder_under_a_plain_name(
    folder: Path, name: str, data: bytes, model: str, suffix: str
) -> None:
    assert add_model(name, memoryview(data), "disc\n\n square \n") == model
    assert files(folder) == {f"models/{model}{suffix}", f"models/{model}.txt"}
    assert (folder / f"{model}{suffix}").read_bytes() == data
    found = own_models()[model]
    assert not isinstance(found, FcnError) and found.given is not None and found.given.ontology is not None
    assert found.given.ontology.find("square").class_id == 1


@pytest.mark.parametrize(
    ("name", "data", "labels", "reason"),
    [
        ("a.pt", ZIP, "x", "Expected a Keras model"),
        ("a.keras", b"pickle", "x", "Expected a Keras model"),
        ("a.h5", ZIP, "x", "Expected a Keras model"),
        ("a.keras", b"", "x", "Expected a Keras model"),
        ("taken.h5", HDF5, "x", "Received taken, which is there already"),
        ("VGG16.keras", ZIP, "x", "Received vgg16, which is there already"),
        ("a.keras", ZIP, " \n ", "Expected the labels"),
        ("a.keras", ZIP, "dog\ndog", "Expected each label once"),
        ("a.keras", ZIP, "n99999999", "Received n99999999"),
        ("a.keras", ZIP, "x\x07y", "Expected labels that can be printed"),
    ],
)
def test_what_is_no_model_or_has_no_name_or_labels_of_its_own_is_refused(
    folder: Path, name: str, data: bytes, labels: str, reason: str
) -> None:
    (folder / "taken.keras").write_bytes(ZIP)
    with pytest.raises(FcnError, match=reason):
        add_model(name, data, labels)
    assert files(folder) == {"models/taken.keras"}


def test_the_folder_is_bounded(folder: Path) -> None:
    for number in range(MOST_MODELS):
        add_model(f"{number}.keras", ZIP, "x")
    with pytest.raises(FcnError, match=f"at most {MOST_MODELS} models"):
        add_model("one more.keras", ZIP, "x")


def test_without_a_folder_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FCN_MODELS_DIR")
    with pytest.raises(FcnError, match="Set FCN_MODELS_DIR"):
        add_model("a.keras", ZIP, "x")


@pytest.mark.parametrize("fails", [".txt", ".keras"])
def test_a_disk_that_is_full_leaves_nothing_behind(
    folder: Path, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        write(path, data[:1])
        if fails in path.name:
            raise OSError(28, "No space left on device")
        return len(data)

    monkeypatch.setattr(added_model.Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left"):
        add_model("a.keras", ZIP, "x")
    assert files(folder) == set()
