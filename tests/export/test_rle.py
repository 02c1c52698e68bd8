"""Run-length encodings of COCO against a plain reading of their definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fcn_core.export.rle import compressed, parts, run_lengths, run_lengths_of
from fcn_core.images.read import RGBImage

SHAPES = [(1, 1), (1, 9), (9, 1), (7, 5), (40, 60)]
# Written by pycocotools 2.0.11: mask.encode(np.asfortranarray(m, np.uint8))["counts"].
KNOWN = [
    (np.array([[0, 1], [1, 0]]), "121"),
    (np.ones((3, 2), int), "06"),
    (np.zeros((3, 2), int), "6"),
]


def picture(height, width, original):
    return RGBImage(np.zeros((height, width, 3), np.uint8), "picture", "", original=original)


def plain_counts(mask):
    """The lengths of the runs, pixel by pixel."""
    counts, inside = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return counts


def plain_reading(text):
    """The numbers of a compressed form, as `rleFrString` in maskApi.c reads them."""
    counts, place = [], 0
    while place < len(text):
        number, digits, more = 0, 0, True
        while more:
            digit = ord(text[place]) - 48
            number |= (digit & 0x1F) << 5 * digits
            more = bool(digit & 0x20)
            place, digits = place + 1, digits + 1
            if not more and digit & 0x10:
                number |= -1 << 5 * digits
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
    return counts


def masks():
    generator = np.random.default_rng(0)
    for height, width in SHAPES:
        for share in (0.0, 0.1, 0.5, 1.0):
            yield generator.random((height, width)) < share


@pytest.mark.parametrize("mask", list(masks()), ids=lambda m: f"{m.shape}-{m.mean():.2f}")
def test_runs_are_those_of_the_definition_and_their_compressed_form_says_them(mask):
    counts = run_lengths(mask, picture(*mask.shape, mask.shape))
    assert counts.tolist() == plain_counts(mask)
    assert plain_reading(compressed(counts)) == counts.tolist()
    assert run_lengths_of(compressed(counts)).tolist() == counts.tolist()


@pytest.mark.parametrize(("mask", "text"), KNOWN)
def test_the_compressed_form_is_that_of_pycocotools(mask, text):
    assert compressed(run_lengths(mask.astype(bool), picture(*mask.shape, mask.shape))) == text


@pytest.mark.parametrize("lengths", [[5, 2**40, 3, 2**40 + 7, 2], [0, 16, 15, 1, 47, 33], [1000, 1, 1000, 1]])
def test_numbers_of_any_length_are_written(lengths):
    assert plain_reading(compressed(lengths)) == run_lengths_of(compressed(lengths)).tolist() == lengths


def test_pixels_become_blocks_of_the_original():
    mask = np.random.default_rng(1).random((6, 7)) < 0.5
    large = mask.repeat(3, axis=0).repeat(2, axis=1)
    assert run_lengths(mask, picture(6, 7, (18, 14))).tolist() == plain_counts(large)


def test_a_part_of_the_picture_has_its_place():
    whole = np.zeros((6, 7), bool)
    whole[2:5, 3:6] = part = np.random.default_rng(2).random((3, 3)) < 0.7
    assert run_lengths(part, picture(6, 7, (6, 7)), (2, 3)).tolist() == plain_counts(whole)


@pytest.mark.parametrize("mask", list(masks()), ids=lambda m: f"{m.shape}-{m.mean():.2f}")
def test_connected_parts_are_those_of_the_pixels(mask):
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    expected = []
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        mine = labels == label
        box = (columns.start, rows.start, columns.stop, rows.stop)
        expected.append((box, int(mine.sum()), plain_counts(mine)))
    found = parts(run_lengths(mask, picture(*mask.shape, mask.shape)), *mask.shape)
    assert len(found) == count
    assert sorted((p.box, p.area, p.counts.tolist()) for p in found) == sorted(expected)
    assert [p.area for p in found] == sorted((p.area for p in found), reverse=True)
