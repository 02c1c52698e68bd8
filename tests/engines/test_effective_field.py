"""The effective field compared with gradients, and with networks of known fields."""

import numpy as np
import pytest

from fcn_core.engines import effective_field
from fcn_core.engines.base import ModelInfo
from fcn_core.engines.effective_field import SIDE, measure, measure_cells
from fcn_core.engines.load import load_model
from fcn_core.errors import EngineError
from fcn_core.images.resize import ResizedImage
from fcn_core.networks.geometry import CellAxis, CellGrid

CELLS = CellAxis(SIDE, SIDE // 32, 32, 31.0, 851)


class Linear:
    """A network whose logits are weighted sums of the pixels around a cell: the weights are the gradients."""

    info = ModelInfo("linear", "Linear", "random", None, "none", 32)

    def __init__(self, window: int) -> None:
        self.window = window
        self.weights = np.random.default_rng(1).standard_normal((window, window, 3, 6))

    def cells(self, height: int, width: int) -> CellGrid:
        assert (height, width) == (SIDE, SIDE)
        return CellGrid(CELLS, CELLS)

    def logits(self, image: ResizedImage, checkpoint: object = None) -> np.ndarray:
        half = self.window // 2
        padded = np.pad(image.pixels.astype(float), ((half, half), (half, half), (0, 0)))
        tops = [round(CELLS.centre(i)) for i in range(CELLS.size)]
        windows = [[padded[y : y + self.window, x : x + self.window] for x in tops] for y in tops]
        return np.einsum("ijyxc,yxck->ijk", np.array(windows), self.weights).astype(np.float64)


@pytest.mark.parametrize("window", [64, 128, 200])
def test_windows_of_known_size_are_found(window: int) -> None:
    field = measure(Linear(window))
    assert field.side == pytest.approx(0.95 * window, abs=14), "strips are 32 pixels"
    assert field.low <= field.side <= field.high
    # The last cell's centre is the last pixel: only the nearer half of its window is in the picture.
    assert field.inward == pytest.approx(window / 4, abs=8)


def test_constant_logits_are_refused() -> None:
    dead = Linear(8)
    dead.weights[:] = 0
    with pytest.raises(EngineError, match="logits are the same everywhere"):
        measure(dead)


def test_a_measurement_can_be_stopped() -> None:
    shares = []

    def checkpoint(share: float) -> None:
        shares.append(share)
        if len(shares) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        measure(Linear(8), checkpoint)
    assert shares == pytest.approx([0, 1 / 25, 2 / 25])


class Gradients:
    """Compute the squared gradients of Lite0's cells with respect to the pixels of the sample, with TensorFlow."""

    def __init__(self, model: object) -> None:
        import tensorflow as tf

        batch = tf.constant(
            model._batch(ResizedImage(effective_field.sample(), SIDE, SIDE), 0, SIDE, 0, SIDE)
        )
        rng = np.random.default_rng(0)

        @tf.function
        def gradient(row, column, weights):
            with tf.GradientTape() as tape:
                tape.watch(batch)
                score = tf.reduce_sum(model.network(batch, training=False)[0, row, column] * weights)
            return tape.gradient(score, batch)

        def squared(row: int, column: int) -> np.ndarray:
            """By random weights of the 1000 logits: the expectation is the sum over the logits; (H, W)."""
            drawn = rng.standard_normal((3, 1000)).astype(np.float32)
            found = [gradient(tf.constant(row), tf.constant(column), tf.constant(w)).numpy() for w in drawn]
            return sum((g[0].astype(float) ** 2).sum(axis=-1) for g in found)

        self.squared = squared


def share_within(energy: np.ndarray, y: float, x: float, side: float) -> float:
    places = np.arange(SIDE)
    inside = (np.abs(places - y)[:, None] <= side / 2) & (np.abs(places - x) <= side / 2)
    return float(energy[inside].sum() / energy.sum())


@pytest.mark.tensorflow
def test_the_field_is_that_of_the_gradients(lite0, tf_lite0) -> None:
    """A square of the measured side holds 0.9 of the squared gradients, within 0.05, and not all of them."""
    field = measure(lite0)
    squared, cells = Gradients(tf_lite0).squared, tf_lite0.cells(SIDE, SIDE)
    inner = [i for i in range(cells.y.size) if SIDE / 3 <= cells.y.centre(i) <= SIDE * 2 / 3]
    assert len(inner) == 4
    energies = {(i, j): squared(i, j) for i in inner for j in inner}

    def held(side: float) -> float:
        return float(
            np.mean(
                [
                    share_within(e, cells.y.centre(i), cells.x.centre(j), side)
                    for (i, j), e in energies.items()
                ]
            )
        )

    assert held(field.side) == pytest.approx(0.90, abs=0.05)
    assert held(cells.y.extent) == 1.0, "the theoretical field is another matter"
    assert held(field.low) < held(field.side) < held(field.high)
    assert field.side < cells.y.extent / 3

    # The same on the picture's borders: the last row's and column's cells.
    last = cells.y.size - 1
    places = np.arange(SIDE)
    shifts = []
    for k in range(0, last, 3):
        right, bottom = squared(k, last), squared(last, k)
        shifts.append(cells.x.centre(last) - float(right.sum(axis=0) @ places / right.sum()))
        shifts.append(cells.y.centre(last) - float(bottom.sum(axis=1) @ places / bottom.sum()))
    assert field.inward == pytest.approx(np.mean(shifts), abs=8)
    assert field.inward > 16, "half a cell and more"


@pytest.mark.tensorflow
def test_both_engines_measure_the_same(lite0, tf_lite0) -> None:
    ours, theirs = measure(lite0), measure(tf_lite0)
    for name in ("side", "low", "high", "inward"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=0.1, abs=3)


def test_a_denser_grid_has_the_same_field(lite0) -> None:
    """Dilation does not change the field of a cell."""
    dense = measure(load_model("efficientnet-lite0", "openvino", output_stride=16))
    assert dense.side == pytest.approx(measure(lite0).side, rel=0.15)


def test_any_network_of_the_zoo_is_measured(random_resnet50) -> None:
    field = measure(random_resnet50)
    assert 32 <= field.low <= field.side <= field.high < random_resnet50.cells(SIDE, SIDE).y.extent


def test_the_noise_is_small_enough_to_be_linear(lite0, monkeypatch) -> None:
    """Half and twice the noise give the same field: no rounding errors, no non-linearity."""
    sides = []
    for factor in (0.5, 1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(effective_field, "_NOISE", factor * effective_field._NOISE)
            sides.append(measure(lite0).side)
    assert max(sides) / min(sides) < 1.1


def test_constant_cells_do_not_count(monkeypatch) -> None:
    model = Linear(64)
    logits = model.logits

    def half_dead(image, checkpoint=None):
        found = logits(image)
        found[:5] = 1.0
        return found

    monkeypatch.setattr(model, "logits", half_dead)
    assert measure(model).side == pytest.approx(measure(Linear(64)).side, abs=3)


WIDE = CellGrid(CellAxis(96, 3, 32, 15.5, 96), CellAxis(160, 5, 32, 15.5, 96))


class Windows:
    """A network on 96 x 160 pixels whose cells see the pixels of their square, and half as much of the next one."""

    info = Linear.info

    def __init__(self) -> None:
        self.passes = 0

    def cells(self, height: int, width: int) -> CellGrid:
        assert (height, width) == (96, 160)
        return WIDE

    def logits(self, image: ResizedImage, checkpoint: object = None) -> np.ndarray:
        self.passes += 1
        squares = image.pixels.reshape(3, 32, 5, 32, 3).transpose(0, 2, 1, 3, 4).reshape(3, 5, -1)
        right = np.concatenate([squares[:, 1:], np.zeros_like(squares[:, :1])], axis=1)
        return np.concatenate([squares.astype(float), right / 2], axis=-1)


def test_the_field_of_each_cell_is_where_it_looks() -> None:
    model = Windows()
    pixels = np.random.default_rng(0).integers(0, 255, (96, 160, 3), np.uint8)
    field = measure_cells(model, ResizedImage(pixels, 96, 160))
    assert model.passes == 1 + 15
    assert field.shape == (3, 5, 3, 5)
    np.testing.assert_allclose(field.sum(axis=(2, 3)), 1, rtol=1e-5)
    for row in range(3):
        for column in range(5):
            expected = np.zeros((3, 5))
            expected[row, column] = 1
            if column < 4:
                expected[row, column], expected[row, column + 1] = 0.8, 0.2  # 1 and 1/2, squared
            np.testing.assert_allclose(field[row, column], expected, atol=1e-3)


def test_the_field_of_a_cell_that_nothing_moves_is_empty() -> None:
    model = Windows()
    model.logits = lambda image, checkpoint=None: np.zeros((3, 5, 4), np.float32)
    assert not measure_cells(model, ResizedImage(np.zeros((96, 160, 3), np.uint8), 96, 160)).any()


def test_the_field_of_each_cell_can_be_stopped() -> None:
    shares = []

    def checkpoint(share: float) -> None:
        shares.append(share)
        if len(shares) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        measure_cells(Windows(), ResizedImage(np.zeros((96, 160, 3), np.uint8), 96, 160), checkpoint)
    assert shares == pytest.approx([0, 1 / 16, 2 / 16])


def test_real_cells_are_moved_most_by_what_is_near(lite0, chelsea) -> None:
    """Which square is the brightest depends on the picture, but it is seldom far away: a grid that is turned fails."""
    image = ResizedImage(chelsea, 160, 224)
    field = measure_cells(lite0, image)
    rows, columns = field.shape[:2]
    y, x = np.mgrid[:rows, :columns]

    def distance(found: np.ndarray) -> float:
        middle_y, middle_x = (found * y).sum(axis=(2, 3)), (found * x).sum(axis=(2, 3))
        return float(np.median(np.hypot(middle_y - y, middle_x - x)))

    assert distance(field) < 1.2
    assert distance(field[::-1]) > 2
    assert distance(field[:, ::-1]) > 2
