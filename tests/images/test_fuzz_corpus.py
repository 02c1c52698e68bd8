"""Every input that fuzzing found worth keeping, replayed; and that the targets can tell a broken promise."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest

from fcn_core.images import read
from fuzz import targets
from fuzz.targets import TARGETS, BrokenPromise
from tests.places import ROOT

CORPUS = ROOT / "fuzz" / "corpus"


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.tensorflow) if n == "weights" else n for n in TARGETS]
)
def test_the_corpus_keeps_every_promise(name: str) -> None:
    files = sorted((CORPUS / name).iterdir())
    TARGETS[name](b"")  # imports what it needs
    accepted = 0
    for file in files:
        try:
            accepted += TARGETS[name](file.read_bytes())
        except Exception as error:
            pytest.fail(f"{file.relative_to(ROOT)}: {type(error).__name__}: {error}")
    assert 0 < accepted < len(files), "a corpus of which all or nothing is accepted tests one side only"


def test_every_target_has_a_corpus_and_the_repository_stays_small() -> None:
    assert {p.name for p in CORPUS.iterdir()} == set(TARGETS)
    assert sum(p.stat().st_size for p in CORPUS.rglob("*") if p.is_file()) < 300_000


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda picture: picture.pixels.astype(np.float32), "not RGB"),
        (lambda picture: picture.pixels.copy(), "writeable"),
        (lambda picture: np.zeros((2000, 2000, 3), np.uint8), "beyond the limits"),
    ],
)
def test_a_broken_promise_is_noticed(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[read.RGBImage], np.ndarray], broken: str
) -> None:
    def broken_reader(*args: object, **options: object) -> read.RGBImage:
        picture = read.read_image(*args, **options)
        return read.RGBImage(change(picture), picture.name, picture.sha256)

    monkeypatch.setattr(targets, "read_image", broken_reader)
    with pytest.raises(BrokenPromise, match=broken):
        TARGETS["image"]((CORPUS / "image" / "seed-png").read_bytes())


def test_another_error_than_promised_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **options: object) -> None:
        raise KeyError("scan")

    monkeypatch.setattr(targets, "read_image", fails)
    with pytest.raises(KeyError):
        TARGETS["image"](b"x")


def test_seeds_come_out_the_same() -> None:
    """Those that no library's version changes; all are accepted or refused as the corpus' are."""
    from fuzz import seeds

    for name, make in (("weights", seeds.weights), ("graph", seeds.graphs), ("text", seeds.texts)):
        for seed, data in make().items():
            assert (CORPUS / name / f"seed-{seed}").read_bytes() == data
    for seed, data in seeds.images().items():
        assert TARGETS["image"](data) == TARGETS["image"]((CORPUS / "image" / f"seed-{seed}").read_bytes())
        assert io.BytesIO(data).getbuffer().nbytes < 2000
