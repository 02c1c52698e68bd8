import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax
from skimage.transform import resize

from fcn_core.errors import FcnError, ScaleError
from fcn_core.images.scales import PlannedScale, Scale
from fcn_core.maps.heatmap import (
    ClassMap,
    Heatmap,
    combine,
    place,
    power_mean,
    spread,
    synset_heatmap,
)
from fcn_core.networks.geometry import CellAxis, CellGrid

NOTEBOOK_GRIDS = ((7, 10), (13, 20), (25, 40), (50, 80))


def cells(h, w, first=31.0, stride=32):
    return CellGrid(
        CellAxis(stride * h, h, stride, first, 900),
        CellAxis(stride * w, w, stride, first, 900),
    )


def class_map(logits):
    h, w, _ = logits.shape
    scale = PlannedScale(Scale(32 * h, 32 * w), 32 * h, 32 * w, enlarges=False)
    return ClassMap(np.asarray(logits, np.float32), cells(h, w), scale, 0.1)


def heatmap(values, kind="probability", first=31.0):
    values = np.asarray(values, np.float32)
    return Heatmap(values, kind, cells(*values.shape, first=first))


@pytest.fixture
def pyramid():
    rng = np.random.default_rng(5)
    return [heatmap(rng.random(grid)) for grid in NOTEBOOK_GRIDS]


# --- class maps and synsets


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e4])
def test_softmax_is_stable_and_sums_to_one(offset):
    logits = np.random.default_rng(0).normal(scale=3, size=(4, 5, 1000)) + offset
    scores = class_map(logits)
    expected = softmax(scores.logits.astype(np.float64), axis=-1)
    assert np.abs(scores.probabilities - expected).max() < 1e-6
    assert np.abs(scores.probabilities.sum(axis=-1) - 1).max() < 1e-5
    assert np.allclose(scores.log_normaliser, logsumexp(scores.logits.astype(np.float64), axis=-1), rtol=1e-6)
    assert scores.grid == (4, 5)


def test_the_normaliser_is_computed_once():
    scores = class_map(np.zeros((2, 3, 10)))
    assert scores.softmax_terms is scores.softmax_terms


def test_probability_sums_the_synsets_classes():
    logits = np.log(np.array([[[1, 2, 3, 4], [4, 3, 2, 1]]], float))
    found = synset_heatmap(class_map(logits), [1, 3])
    assert np.allclose(found.values, [[0.6, 0.4]], atol=1e-6)
    assert (found.kind, found.grid, found.peak_cell) == ("probability", (1, 2), (0, 0))
    assert found.peak == pytest.approx(0.6)
    assert found.mean == pytest.approx(0.5)
    assert found.values.dtype == np.float32


def test_a_class_given_twice_counts_twice_as_in_the_notebook():
    scores = class_map(np.zeros((1, 1, 4)))
    assert synset_heatmap(scores, [0, 1, 1, 2, 2]).peak == pytest.approx(1.25)
    assert synset_heatmap(scores, [0, 1, 2, 3]).peak == 1.0


def test_all_classes_never_exceed_one():
    logits = np.random.default_rng(1).normal(scale=4, size=(20, 20, 1000))
    assert synset_heatmap(class_map(logits), range(1000)).values.max() <= 1.0


def test_evidence_is_the_positive_part_of_the_largest_logit():
    logits = np.array([[[1.0, 5.0, -2.0], [-3.0, -1.0, 9.0]]])
    found = synset_heatmap(class_map(logits), [0, 1], "evidence")
    assert np.array_equal(found.values, np.array([[5.0, 0.0]], np.float32))
    assert found.kind == "evidence"


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        ([], "probability"),
        ([4], "probability"),
        ([-1], "evidence"),
        ([0], "loudness"),
        ([[0]], "probability"),
    ],
)
def test_wrong_classes_and_kinds_are_errors(ids, kind):
    with pytest.raises(ValueError, match="Expected"):
        synset_heatmap(class_map(np.zeros((1, 1, 4))), ids, kind)


def test_a_synset_costs_a_fraction_of_the_softmax(monkeypatch):
    """Exponentials are the cost: of all classes once, then only of the synset's classes."""
    taken, exp = [], np.exp

    def counted(values, **options):
        taken.append(values.size)
        return exp(values, **options)

    monkeypatch.setattr(np, "exp", counted)
    scores = class_map(np.random.default_rng(2).normal(size=(5, 8, 1000)))
    synset_heatmap(scores, [0])
    assert sum(taken) == 5 * 8 * (1000 + 1)
    taken.clear()
    synset_heatmap(scores, range(151, 269))
    synset_heatmap(scores, range(151, 269), "evidence")
    assert sum(taken) == 5 * 8 * 118


# --- means over scales


def notebook_stack(heatmaps):
    return [resize(m.values.astype(float), (50, 80), mode="reflect", preserve_range=True) for m in heatmaps]


def test_arithmetic_mean_is_the_notebooks(pyramid):
    a, b, c, d = notebook_stack(pyramid)
    mean = combine(pyramid)
    assert np.abs(mean.values - (a + b + c + d) / 4).max() < 1e-6
    assert mean.cells is pyramid[-1].cells


def test_geometric_mean_is_the_notebooks(pyramid):
    a, b, c, d = notebook_stack(pyramid)
    assert np.abs(combine(pyramid, power=0).values - (a * b * c * d) ** 0.25).max() < 1e-6


def test_the_finest_grid_is_found_in_any_order(pyramid):
    assert np.allclose(combine(pyramid[::-1]).values, combine(pyramid).values, atol=1e-7)


def test_weights_are_shares_and_zero_leaves_a_scale_out(pyramid):
    assert np.array_equal(combine(pyramid, weights=[1, 1, 1, 0]).values, combine(pyramid[:3]).values)
    assert np.array_equal(combine(pyramid, 0, [0, 3, 0, 3]).values, combine(pyramid[1::2], 0).values)
    a, b, c, d = notebook_stack(pyramid)
    assert np.allclose(
        combine(pyramid, weights=[1, 2, 3, 4]).values, (a + 2 * b + 3 * c + 4 * d) / 10, atol=1e-6
    )


def test_one_scale_is_its_own_mean(pyramid):
    for power in (-2, 0, 0.5, 1, 3):
        assert np.allclose(combine(pyramid[1:2], power).values, pyramid[1].values, rtol=1e-6)


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (1, 0.5),
        (0, 0.4),
        (-1, 0.32),
        (2, np.sqrt(0.34)),
        (np.inf, 0.8),
        (-np.inf, 0.2),
        (1e-9, 0.4),
        (-1e-9, 0.4),
    ],
)
def test_power_means_of_a_fifth_and_four_fifths(power, expected):
    assert power_mean([[[0.2]], [[0.8]]], power).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("power", [-5, -1, -1e-4, -1e-12, 0])
def test_means_with_powers_up_to_0_are_0_where_any_scale_is_0(power):
    assert power_mean([[[0.0]], [[1.0]]], power).item() == 0


@pytest.mark.parametrize("power", [-5, -0.5, -1e-4, 0, 1e-4, 0.5, 1, 5])
def test_the_mean_of_zeros_is_zero(power):
    assert power_mean([[[0.0]], [[0.0]]], power).item() == 0


def test_weights_that_round_to_more_than_1_are_harmless():
    assert power_mean(np.zeros((9, 1, 1)), 1e-4).item() == 0  # nine ninths add up to 1.0000000000000002


def test_zero_under_a_positive_power():
    assert power_mean([[[0.0]], [[1.0]]], 2).item() == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize("power", [-5.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 5.0])
def test_tiny_values_neither_overflow_nor_vanish(power):
    mean = power_mean(np.full((4, 1, 1), 1e-35), power).item()
    assert mean == pytest.approx(1e-35, rel=1e-5)


@pytest.mark.parametrize("power", [5e-324, -5e-324, 1e-300, 1e-13, 1e-11])
def test_a_power_next_to_zero_is_the_geometric_mean(power):
    maps = np.array([0.25, 1.0])[:, None, None]
    assert power_mean(maps, power).item() == pytest.approx(0.5)


values = st.floats(1e-30, 1.0, allow_subnormal=False)


@settings(deadline=None)
@given(
    st.lists(values, min_size=2, max_size=5),
    st.floats(-5, 5),
    st.floats(-5, 5),
)
def test_power_means_grow_with_the_power_and_stay_between_the_extremes(numbers, p, q):
    maps = np.array(numbers)[:, None, None]
    low, high = (power_mean(maps, power).item() for power in sorted((p, q)))
    assert low <= high * (1 + 1e-5)
    assert min(numbers) * (1 - 1e-5) <= low
    assert high <= max(numbers) * (1 + 1e-5)


def test_averaging_no_scale_is_an_error(pyramid):
    with pytest.raises(ScaleError, match="at least one scale to average"):
        combine([])
    with pytest.raises(FcnError, match="a weight above 0"):
        combine(pyramid, weights=[0, 0, 0, 0])
    with pytest.raises(ScaleError, match="at least one scale to average"):
        spread([])


@pytest.mark.parametrize("weights", [[1, 1], [1, 1, 1, -1], [1, 1, 1, np.nan]])
def test_weights_must_fit(pyramid, weights):
    with pytest.raises(ValueError, match="weights"):
        combine(pyramid, weights=weights)


def test_kinds_are_not_mixed_and_values_not_negative():
    with pytest.raises(ValueError, match="one kind"):
        combine([heatmap([[1.0]]), heatmap([[1.0]], "evidence")])
    with pytest.raises(ValueError, match="negative"):
        combine([heatmap([[-1.0]])], power=0.5)
    with pytest.raises(ValueError, match="power"):
        combine([heatmap([[1.0]])], power=float("nan"))


def test_spread_is_the_standard_deviation_over_scales(pyramid):
    found = spread(pyramid)
    assert np.allclose(found.values, np.std(notebook_stack(pyramid), axis=0), atol=1e-6)
    assert spread([pyramid[0], pyramid[0]]).peak == 0


# --- placing


def test_each_cell_is_at_the_centre_of_its_receptive_field():
    spike = np.zeros((5, 7), np.float32)
    spike[2, 3] = 1
    placed = place(heatmap(spike), 160, 224)  # the network's own input size: pixels are input pixels
    assert np.unravel_index(placed.argmax(), placed.shape) == (31 + 2 * 32, 31 + 3 * 32)
    assert placed.max() == 1


def test_placing_scales_with_the_picture():
    spike = np.zeros((5, 7), np.float32)
    spike[2, 3] = 1
    placed = place(heatmap(spike, first=15.5), 320, 448)
    rows, columns = np.nonzero(placed == placed.max())
    # cell (2, 3) is centred at input pixels 79.5 and 111.5, the edges 80 and 112, hence 160 and 224 at twice the size
    assert (set(rows), set(columns)) == ({159, 160}, {223, 224})


def test_cells_in_the_middle_of_their_share_are_spread_evenly():
    values = np.random.default_rng(3).random((6, 9))
    by_centre = place(heatmap(values, first=15.5), 120, 250)
    assert np.allclose(by_centre, place(heatmap(values), 120, 250, "even"), atol=1e-5)


def test_even_spreading_is_the_notebooks_resize():
    values = np.random.default_rng(4).random((7, 10)).astype(np.float32)
    expected = resize(values, (70, 90), order=1, mode="edge", preserve_range=True)
    assert np.allclose(place(Heatmap(values, "probability"), 70, 90, "even"), expected, atol=1e-5)


def test_bilinear_between_centres_and_constant_beyond():
    placed = place(heatmap([[0.0], [1.0]], first=16.0), 64, 1)[:, 0]  # centres at rows 16 and 48
    assert np.all(placed[:17] == 0)
    assert np.all(placed[48:] == 1)
    assert placed[32] == pytest.approx(0.5)
    assert placed[20] == pytest.approx(4 / 32)


def test_nearest_centre_shows_whole_cells():
    values = np.array([[0.1, 0.9]], np.float32)
    placed = place(heatmap(values, first=16.0), 32, 64, smooth=False)
    assert set(np.unique(placed)) == {np.float32(0.1), np.float32(0.9)}
    assert np.all(placed[:, :31] == values[0, 0])  # the border between the centres 16 and 48 is 32
    assert np.all(placed[:, 34:] == values[0, 1])


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from([0.0, 15.5, 31.0]),
    st.booleans(),
    st.sampled_from(["centres", "even"]),
)
def test_placed_values_stay_within_the_range_of_the_cells(grid, size, first, smooth, placement):
    values = np.random.default_rng(grid[0]).random(grid)
    placed = place(heatmap(values, first=first), *size, placement, smooth)
    assert placed.shape == size
    assert placed.dtype == np.float32
    assert values.min() - 1e-6 <= placed.min()
    assert placed.max() <= values.max() + 1e-6


def test_placing_errors():
    free = Heatmap(np.zeros((2, 2), np.float32), "probability")
    with pytest.raises(ValueError, match="even"):
        place(free, 4, 4)
    with pytest.raises(ValueError, match="placement"):
        place(free, 4, 4, "somewhere")
    with pytest.raises(ValueError, match="at least 1"):
        place(free, 0, 4, "even")
    with pytest.raises(ValueError, match="3 cells"):
        place(Heatmap(np.zeros((2, 3), np.float32), "probability", cells(3, 3)), 4, 4)
