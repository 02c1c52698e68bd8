"""The working copy: bounded, of the picture's proportions, and its own working copy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcn_core.images.limits import MAX_PICTURE_SIDE, MIN_PICTURE_SIDE
from fcn_core.images.read import image_from_array
from fcn_core.images.working import WORKING_PIXELS, working_copy, working_pixels, working_size

side = st.integers(MIN_PICTURE_SIDE, MAX_PICTURE_SIDE)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(side, side)
def test_a_working_size_is_bounded_and_its_own(height, width):
    small = working_size(height, width)
    assert small[0] * small[1] <= WORKING_PIXELS
    assert min(small) >= MIN_PICTURE_SIDE
    assert working_size(*small) == small, "a copy of a copy is the copy"
    if height * width <= WORKING_PIXELS:
        assert small == (height, width)
    for here, there in zip(small, (height, width), strict=True):
        exact = there * min(1.0, (WORKING_PIXELS / (height * width)) ** 0.5)
        assert exact - 1 <= here <= exact + 1e-6


def test_a_small_picture_is_its_working_copy():
    image = image_from_array(np.zeros((800, 1000, 3), np.uint8), "small.png")
    assert working_copy(image) is image
    assert working_pixels(image.pixels) is image.pixels


@pytest.mark.parametrize(("height", "width"), [(801, 1000), (1500, 2000), (6000, 800)])
def test_a_copy_has_the_name_and_the_size_of_the_original(height, width):
    rows = np.linspace(0, 255, height)[:, None, None]
    image = image_from_array(np.broadcast_to(rows, (height, width, 3)).astype(np.uint8), "large.png")
    copy = working_copy(image)
    assert (copy.height, copy.width) == working_size(height, width)
    assert (copy.name, copy.sha256, copy.original) == (image.name, image.sha256, (height, width))
    assert copy.pixels.dtype == np.uint8
    again = working_copy(copy)
    assert again is copy
    levels = copy.pixels.mean(axis=(1, 2))
    np.testing.assert_allclose(levels, np.linspace(levels[0], levels[-1], copy.height), atol=1.5)
