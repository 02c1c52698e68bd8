import numpy as np

from fcn_core.maps.heatmap import Heatmap, place
from fcn_core.maps.superpixels import segment, squared_distances
from tests.maps.pictures import grid, two_coloured


def test_regions_cover_the_picture():
    pixels, disc = two_coloured(480, 640)
    regions = segment(pixels)
    count = regions.sizes.size
    assert regions.labels.shape == (240, 320)
    assert 300 < count < 700
    np.testing.assert_array_equal(np.unique(regions.labels), np.arange(count))
    assert regions.sizes.sum() == 240 * 320
    rows, columns = np.indices((240, 320))
    np.testing.assert_allclose(regions.centres, np.stack([regions.mean(rows), regions.mean(columns)], 1))
    share = regions.mean(disc[::2, ::2])
    assert ((share < 0.1) | (share > 0.9)).mean() > 0.95  # few regions cross the edge of the disc
    assert abs(np.diff(regions.colours[[share.argmin(), share.argmax()], 2]).item()) > 50  # yellow to blue


def test_pooling_is_the_mean_of_the_placed_map():
    pixels, _ = two_coloured(64, 96)
    regions = segment(pixels)
    values = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    cells = grid(4, 6, 16)
    found = regions.pooling(cells) @ values.ravel()
    np.testing.assert_allclose(
        found, regions.mean(place(Heatmap(values, "evidence", cells), 64, 96)), atol=1e-5
    )


def test_neighbours_share_a_border():
    pixels, _ = two_coloured()
    regions = segment(pixels)
    shares = regions.neighbours().toarray()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares.diagonal().max() == 0
    above, below = regions.labels[:-1], regions.labels[1:]
    beside, right = regions.labels[:, :-1], regions.labels[:, 1:]
    touching = {
        *zip(above.ravel(), below.ravel(), strict=True),
        *zip(beside.ravel(), right.ravel(), strict=True),
    }
    assert {(int(a), int(b)) for a, b in zip(*shares.nonzero(), strict=True)} == {
        (int(x), int(y)) for pair in touching for x, y in (pair, pair[::-1]) if x != y
    }


def test_squared_distances():
    points = np.array([[0.0, 0], [3, 4], [0, 1]])
    np.testing.assert_allclose(squared_distances(points), [[0, 25, 1], [25, 0, 18], [1, 18, 0]], atol=1e-9)
