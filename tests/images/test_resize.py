import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import resize

from fcn_core.images.resize import (
    ResizedImage,
    block_edges,
    blocks_of,
    enlarge,
    resize_array,
    resize_image,
    resize_matrix,
)

GREY_LEVELS = 0.01  # promised distance from scikit-image, of 255
side = st.integers(1, 90)


def skimage_resize(pixels, height, width):
    return resize(pixels, (height, width), mode="reflect", preserve_range=True)


def picture(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(side, side, side, side, st.sampled_from([None, 1, 3, 4]), st.integers(0, 99))
def test_pictures_are_resized_as_scikit_image_does(height, width, new_height, new_width, channels, seed):
    pixels = picture(height, width, channels or 1, seed)
    pixels = pixels if channels else pixels[:, :, 0]
    resized = resize_image(pixels, new_height, new_width)
    expected = skimage_resize(pixels, new_height, new_width)
    assert resized.shape == expected.shape
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected, rtol=0, atol=GREY_LEVELS)


@pytest.mark.parametrize(
    ("size", "new_size"),
    [
        ((300, 451), (200, 320)),
        ((300, 451), (400, 640)),
        ((1601, 640), (200, 80)),
        ((1601, 200), (1600, 200)),
        ((200, 2560), (200, 320)),
        ((7, 4000), (32, 200)),
        ((4000, 7), (64, 1000)),
        ((1, 1), (32, 32)),
        ((1, 500), (32, 40)),
        ((500, 1), (40, 32)),
        ((2, 2), (321, 33)),
        ((300, 2000), (64, 90)),
        ((64, 64), (64, 64)),
        ((97, 101), (1, 1)),
    ],
)
def test_usual_and_unusual_sizes(size, new_size):
    pixels = picture(*size)
    expected = skimage_resize(pixels, *new_size)
    np.testing.assert_allclose(resize_image(pixels, *new_size), expected, rtol=0, atol=GREY_LEVELS)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(side, side, side, side, st.sampled_from([None, 2, 5]), st.sampled_from([np.float32, np.float64]))
def test_maps_are_resized_as_scikit_image_does(height, width, new_height, new_width, channels, dtype):
    shape = (height, width) if channels is None else (height, width, channels)
    values = np.random.default_rng(height).random(shape).astype(dtype)
    resized = resize_array(values, new_height, new_width)
    expected = skimage_resize(values, new_height, new_width)
    assert resized.dtype == dtype
    assert resized.shape == expected.shape
    np.testing.assert_allclose(resized, expected, rtol=0, atol=1e-6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(side, side, side, side, st.data())
def test_rows_equal_those_of_the_whole_picture(height, width, new_height, new_width, data):
    pixels = picture(height, width)
    start = data.draw(st.integers(0, new_height))
    stop = data.draw(st.integers(start, new_height))
    left = data.draw(st.integers(0, new_width))
    right = data.draw(st.one_of(st.none(), st.integers(left, new_width)))
    rows = ResizedImage(pixels, new_height, new_width).rows(start, stop, left, right)
    right = new_width if right is None else right
    assert rows.shape == (3, stop - start, right - left)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    whole = np.moveaxis(skimage_resize(pixels, new_height, new_width), -1, 0)
    np.testing.assert_allclose(rows, whole[:, start:stop, left:right], rtol=0, atol=GREY_LEVELS)


@pytest.mark.parametrize(("height", "width"), [(640, 320), (33, 1300), (90, 500)])
def test_bands_join_without_seams(height, width):
    image = ResizedImage(picture(231, 747), height, width)
    whole = image.rows(0, height)
    bands = [image.rows(top, min(top + 17, height)) for top in range(0, height, 17)]
    np.testing.assert_allclose(np.concatenate(bands, axis=1), whole, rtol=0, atol=1e-3)


@pytest.mark.parametrize("window", [(-1, 5), (0, 41), (6, 5), (0, 5, -1), (0, 5, 0, 33), (0, 5, 9, 8)])
def test_rows_outside_the_picture_raise_index_error(window):
    with pytest.raises(IndexError, match="of 40 x 32"):
        ResizedImage(picture(9, 9), 40, 32).rows(*window)


def test_a_large_picture_needs_little_memory():
    """Resized whole, 49 megapixels of float32 would be 588 MB."""
    pixels = np.zeros((7000, 7000, 3), np.uint8)
    image = ResizedImage(pixels, 640, 640)
    tracemalloc.start()
    try:
        for top in range(0, 640, 128):
            image.rows(top, top + 128)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_threads_share_the_matrices():
    pixels = picture(61, 47)
    expected = [resize_image(pixels, side, side) for side in range(32, 64)]
    resize_matrix.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = list(pool.map(lambda side: resize_image(pixels, side, side), range(32, 64)))
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 400), st.integers(1, 400))
def test_matrix_rows_are_weights(n_in, n_out):
    matrix = resize_matrix(n_in, n_out, np.float64)
    assert matrix.shape == (n_out, n_in)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert matrix.data.min() >= 0
    assert matrix.nnz <= 5 * (n_in + n_out)  # banded: the cost of any resizing stays linear


def test_a_constant_picture_stays_constant():
    grey = np.full((50, 70, 3), 127, np.uint8)
    for height, width in ((400, 33), (33, 400), (32, 32)):
        np.testing.assert_allclose(resize_image(grey, height, width), 127, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("cells", "pixels"), [(1, 1), (1, 9), (4, 4), (3, 10), (7, 20), (320, 4001), (5, 3)])
def test_each_pixel_belongs_to_the_block_of_its_centre(cells, pixels):
    expected = ((np.arange(pixels) + 0.5) * cells / pixels).astype(int)
    edges = block_edges(cells, pixels)
    assert (edges[0], edges[-1]) == (0, pixels)
    np.testing.assert_array_equal(np.repeat(np.arange(cells), np.diff(edges)), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (20, 30)])
@pytest.mark.parametrize("larger", [(20, 30), (21, 31), (57, 95), (160, 90)])
def test_a_map_is_what_its_enlargement_was_made_from(size, larger):
    small = np.random.default_rng(0).random(size)
    large = enlarge(small, *larger)
    assert large.shape == larger
    np.testing.assert_array_equal(blocks_of(large, *size), small)
