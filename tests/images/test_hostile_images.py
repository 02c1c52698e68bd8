"""Whatever is uploaded: a picture or an ``ImageError``, in bounded memory, and no file takes for ever."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import textwrap
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fcn_core.errors import ImageError
from fcn_core.images.limits import Limits
from fcn_core.images.read import RGBImage, read_image
from tests import hostile
from tests.encoded import variants
from tests.hostile import hostile_files
from tests.waiting import PATIENCE

# 9 bytes for each of 50 million pixels, twice the largest file, and the importing of decoders.
MEGABYTES = 9 * 50 + 2 * 25 + 30

# Reads a corpus of (label, name, data) in a process of its own, whose memory is its own.
READER = """
    import json, struct, sys, warnings
    from pathlib import Path
    from fcn_core.errors import ImageError
    from fcn_core.images.read import read_image
    status = Path("/proc/self/status")  # getrusage would count the parent's memory, too
    def peak():
        text = status.read_text(encoding="utf-8") if status.exists() else "VmHWM: 0"
        return int(text.partition("VmHWM:")[2].split()[0]) / 2**10
    caught = []
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, *rest, **more: caught.append(type(message).__name__)
    before = peak()
    with open(sys.argv[1], "rb") as corpus:
        while header := corpus.read(12):
            fields = [corpus.read(size) for size in struct.unpack("<III", header)]
            name, data = fields[1].decode(errors="surrogatepass"), fields[2]
            record = {"label": fields[0].decode()}
            try:
                image = read_image(data, name=name)
                record |= {"shape": image.pixels.shape, "type": str(image.pixels.dtype), "name": image.name}
            except ImageError as error:
                record["error"] = str(error)
            print(json.dumps(record))
    print(json.dumps({"rise": peak() - before, "warnings": caught}))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[str, str]]]:
    """The hostile files in one file, and their names and hashes by label."""
    path = tmp_path_factory.mktemp("hostile") / "corpus"
    hashes = {}
    with path.open("wb") as file:
        for label, name, data in hostile_files():
            fields = label.encode(), name.encode(errors="surrogatepass"), data
            file.write(struct.pack("<III", *map(len, fields)) + b"".join(fields))
            hashes[label] = (name, hashlib.sha256(data).hexdigest())
    return path, hashes


@pytest.fixture(scope="module")
def outcomes(corpus: tuple[Path, dict]) -> list[dict]:
    """What became of every file, and last what became of the process."""
    command = [sys.executable, "-c", textwrap.dedent(READER), str(corpus[0])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_there_are_enough_and_none_twice(outcomes: list[dict]) -> None:
    labels = [record["label"] for record in outcomes[:-1]]
    assert len(labels) >= 500
    assert len(set(labels)) == len(labels)


def test_the_files_are_always_the_same(corpus: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "_bombs", lambda: iter(()))  # nothing in them is drawn, and they take long
    again = {label: (name, hashlib.sha256(data).hexdigest()) for label, name, data in hostile_files()}
    assert len(again) > 1000
    assert again == {label: found for label, found in corpus[1].items() if label in again}


def test_pictures_are_read(outcomes: list[dict]) -> None:
    refused = {
        r["label"]: r["error"] for r in outcomes[:-1] if r["label"].startswith("valid") and "error" in r
    }
    assert not refused


def test_pictures_are_well_formed(outcomes: list[dict]) -> None:
    for record in outcomes[:-1]:
        if "shape" in record:
            assert record["type"] == "uint8"
            assert len(record["shape"]) == 3
            assert record["shape"][2] == 3
            assert min(record["shape"][:2]) >= 2
            assert_harmless_name(record["name"])


def test_refusals_are_in_words(outcomes: list[dict]) -> None:
    refusals = [record for record in outcomes[:-1] if "error" in record]
    assert len(refusals) >= 300
    for record in refusals:
        message = record["error"]
        assert message.startswith("Expected "), record
        assert message.isprintable(), record
        assert len(message) < 400, record
        assert "Received" in message, record
        for inner in ("Traceback", "Error", "unpack", "index out of range", "NoneType", "<_io"):
            assert inner not in message, record


def test_memory_stays_within_the_stated_bound(outcomes: list[dict]) -> None:
    assert outcomes[-1]["rise"] < MEGABYTES


def test_no_file_stays_open(outcomes: list[dict]) -> None:
    """Of Pillow's warnings about metadata there are some, of forgotten files none."""
    assert set(outcomes[-1]["warnings"]) <= {"UserWarning", "DecompressionBombWarning"}


def assert_harmless_name(name: str) -> None:
    assert 1 <= len(name.encode()) <= 120
    assert name not in (".", "..")
    assert not set(name) & set('/\\<>:"|?*')
    assert Path(name).stem.strip(". ")
    assert all(unicodedata.category(c)[0] != "C" for c in name)


# Such as FCN_FUZZ_EXAMPLES=100000, for a long search that differs each time.
EXAMPLES = int(os.environ.get("FCN_FUZZ_EXAMPLES", "0"))
search = settings(
    max_examples=EXAMPLES or 300,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

VARIANTS = variants()
SMALL = Limits(max_bytes=2**20, max_pixels=10**6)


def read_or_refuse(data: bytes) -> RGBImage | None:
    try:  # a JPEG at half its size, others not at all
        read_image(data, limits=replace(SMALL, memory_mb=0.001), reduce="auto")
    except ImageError as error:
        assert str(error).isprintable()
    try:
        image = read_image(data, limits=SMALL)
    except ImageError as error:
        assert str(error).isprintable()
        return None
    assert image.height * image.width <= SMALL.max_pixels
    return image


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A valid file with bytes changed, cut, doubled, or spliced with another."""
    data = bytearray(VARIANTS[draw(st.sampled_from(sorted(VARIANTS)))])
    for _ in range(draw(st.integers(1, 6))):
        position = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("change", "number", "cut", "remove", "double", "splice"))):
            case "change":
                data[position : position + 1] = draw(st.binary(min_size=1, max_size=4))
            case "number":
                value = draw(st.sampled_from((0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)))
                size = 1 if value < 0x100 else 2 if value < 0x10000 else 4
                data[position : position + size] = value.to_bytes(
                    size, draw(st.sampled_from(("big", "little")))
                )
            case "cut":
                del data[position:]
            case "remove":
                del data[position : position + draw(st.integers(1, 40))]
            case "double":
                data[position:position] = data[position : position + draw(st.integers(1, 200))]
            case "splice":
                other = VARIANTS[draw(st.sampled_from(sorted(VARIANTS)))]
                data[position:] = other[draw(st.integers(0, len(other))) :]
    return bytes(data)


@search
@given(mutations())
def test_mutated_files(data: bytes) -> None:
    read_or_refuse(data)


@pytest.mark.parametrize("kind", VARIANTS)
def test_flipped_bits(kind: str) -> None:
    """Some of those of a long run, the same every time; half of them where the header is."""
    data = VARIANTS[kind]
    rng = random.Random(kind)
    for number in range(60):
        broken = bytearray(data)
        for _ in range(1 + number % 6):
            broken[rng.randrange(len(data) if number % 2 else min(len(data), 600))] ^= 1 << rng.randrange(8)
        read_or_refuse(bytes(broken))


@pytest.mark.parametrize("kind", VARIANTS)
def test_what_is_cut_off_is_refused_or_nothing_is_missing(kind: str) -> None:
    """A picture of which a part is grey would be a lie."""
    data = VARIANTS[kind]
    whole = read_image(data).pixels
    refused = 0
    for end in sorted({*range(8, len(data), len(data) // 40 + 1), *range(len(data) - 30, len(data))}):
        image = read_or_refuse(data[:end])
        refused += image is None
        assert image is None or np.array_equal(image.pixels, whole), end
    assert refused >= 4, "most of the picture is needed"


HEADS = (
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"BM",
    b"RIFF\0\0\0\0WEBPVP8X",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"\0\0\0\x10ftypheic\0\0\0\0",
    b"\0\0\0\x10ftypavif\0\0\0\0",
)


@search
@given(st.sampled_from(HEADS), st.binary(max_size=300))
def test_any_bytes(head: bytes, tail: bytes) -> None:
    read_or_refuse(head + tail)


@search
@given(st.text(max_size=300))
def test_any_name(name: str) -> None:
    assert_harmless_name(read_image(VARIANTS["png"], name=name, limits=SMALL).name)


def test_many_threads_leave_the_globals_alone() -> None:
    """Pillow's settings and the warning filters are shared by the whole process."""
    filters = list(warnings.filters)
    pixels = Image.MAX_IMAGE_PIXELS
    names = sorted(VARIANTS)
    damaged = [VARIANTS[name][: len(VARIANTS[name]) // 2] for name in names]
    whole = [read_image(VARIANTS[name]).pixels.tobytes() for name in names]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            list(pool.map(read_or_refuse, damaged))
            again = pool.map(read_image, [VARIANTS[name] for name in names])
            assert [image.pixels.tobytes() for image in again] == whole
    assert list(warnings.filters) == filters
    assert pixels == Image.MAX_IMAGE_PIXELS
