"""Bands and strips give the result of the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcn_core.engines.bands import Tap, _spoiled, cover, plan, run_in_bands, strips
from fcn_core.engines.base import Forecast
from fcn_core.engines.load import load_model
from fcn_core.errors import Cancelled, EngineError
from fcn_core.networks import middle
from fcn_core.networks.geometry import Geometry, Node, Window, trace
from fcn_core.networks.middle import MOST_PIXELS, middle_layers, part_of
from fcn_core.networks.zoo import MODELS

# Along one axis, against a network of whole numbers


@st.composite
def chains(draw):
    """Draw a chain of operations, some with a branch around them."""
    nodes = []
    for number in range(draw(st.integers(1, 6))):
        source = number - 1 if nodes else -1
        kernel = draw(st.sampled_from([1, 2, 3, 5, 7]))
        window = Window(
            kernel,
            draw(st.sampled_from([1, 1, 2, 3])),
            draw(st.sampled_from([1, 1, 2])),
            draw(st.integers(-2, 3)),
            draw(st.integers(-2, 3)),
            draw(st.booleans()),
        )
        nodes.append(Node(str(number), (len(nodes) - 1 if nodes else source,), 1, window, window))
        if draw(st.booleans()):  # a branch of the same stride that meets it again, where the sizes may differ
            same = Window(draw(st.sampled_from([1, 3, 5])), same=True)
            last = len(nodes) - 1
            nodes += [
                Node("branch", (last,), 1, same, same),
                Node("sum", (last, last + 1), 1),
            ]
    return tuple(nodes)


def compute(nodes, values):
    """Run a chain on a line of whole numbers: no rounding hides an error."""
    results = []
    for number, node in enumerate(nodes):
        sources = [values if i < 0 else results[i] for i in node.inputs]
        size = min(len(s) for s in sources)
        source = sum(s[:size] for s in sources)
        window = node.y
        out = trace(nodes[: number + 1], "y", len(values))[-1].size
        before = window.padding(size)
        line = np.zeros(max(out - 1, 0) * window.stride + window.reach, np.int64)
        cells = np.arange(len(line)) - before
        line[(cells >= 0) & (cells < size)] = source[cells[(cells >= 0) & (cells < size)]]
        taps = sum(
            (k + 2) * line[k * window.dilation :][: max(out - 1, 0) * window.stride + 1 : window.stride]
            for k in range(window.kernel)
        )
        results.append((taps[:out] + 1) % 65537)  # the bias makes a border differ from what lies beyond it
    return results[-1]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(chains(), st.integers(1, 160), st.integers(1, 60))
def test_bands_give_the_cells_of_the_whole(nodes, size, step):
    if any(t.size < 1 for t in trace(nodes, "y", size)):
        return
    values = np.random.default_rng(size).integers(1, 65537, size)
    expected = compute(nodes, values)
    bands = cover(nodes, "y", size, step)
    found = []
    for band in bands.bands:
        assert band.start % bands.stride == 0 or len(bands.bands) == 1
        assert 0 <= band.start <= size - bands.length
        assert band.first == len(found) < band.last
        result = compute(nodes, values[band.start : band.start + bands.length])
        assert len(result) == bands.cells
        drop = band.first - band.start // bands.stride
        assert drop >= 0
        found.extend(result[drop : drop + band.last - band.first])
    assert np.array_equal(found, expected)


def test_bands_advance_evenly():
    """200 rows by at most 128 are two times 100, not 128 and 72 rows computed as another 128."""
    node = Node("conv", (-1,), 1, Window(3, same=True), Window(3, same=True))
    bands = cover((node,), "y", 200, 128)
    assert [band.last - band.first for band in bands.bands] == [100, 100]
    assert bands.length == 101


# Keras networks, cut into parts


def _network(seed):
    keras = pytest.importorskip("keras")
    layers = keras.layers
    rng = np.random.default_rng(seed)
    image = keras.Input((None, None, 3))
    x, stride = image, 1
    for _ in range(rng.integers(5, 9)):
        kernel, step = int(rng.choice([1, 2, 3, 5])), int(rng.choice([1, 1, 2]))
        padding, dilation = str(rng.choice(["same", "valid"])), 1 if step > 1 else int(rng.choice([1, 2]))
        stride *= step
        kind = rng.integers(5)
        if kind == 0:
            x = layers.ZeroPadding2D(((1, 2), (0, 3)))(x)
        if kind == 1 and padding == "same":
            x = layers.MaxPooling2D(kernel, step, padding)(x)
        elif kind == 2:
            x = layers.DepthwiseConv2D(kernel, step, padding, bias_initializer="normal")(x)
        else:
            x = layers.Conv2D(4, kernel, step, padding, dilation_rate=dilation, bias_initializer="normal")(x)
        if kind == 3:
            y = layers.Conv2D(x.shape[-1], 3, padding="same", activation="relu", bias_initializer="normal")(x)
            x = layers.Add()([x, y])
    return keras.Model(image, x)


@pytest.mark.tensorflow
@pytest.mark.parametrize("seed", range(6))
def test_keras_networks_in_bands_and_strips(seed):
    from fcn_core.networks.structure import read_geometry, split

    network = _network(seed)
    geometry, cuts = read_geometry(network)
    parts = split(network, cuts)
    layers = middle_layers(geometry, [node.name for node in geometry.nodes if node.cut])
    beginnings = [type(network)(network.inputs[0], cut) for cut in cuts]
    assert len(parts) == len(geometry.parts())
    rng = np.random.default_rng(seed)
    for height, width in ((97, 130), (128, 61)):
        image = rng.normal(0, 1, (1, height, width, 3)).astype(np.float32)
        expected = np.asarray(network(image))[0]
        inner = [np.asarray(begin(image))[0] for begin in beginnings]
        for band, strip in ((1, None), (24, 40)):
            taps = [
                Tap(part_of(layer), layer.stride, np.full_like(values, np.nan))
                for layer, values in zip(layers, inner, strict=True)
            ]
            found = run_in_bands(
                plan(geometry, height, width, [band] * len(parts), strip),
                [lambda x, part=part: np.asarray(part(x)) for part in parts],
                lambda top, end, left, right, image=image: image[:, top:end, left:right],
                height,
                axis=1,
                taps=taps,
            )
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() <= 1e-5 * np.ptp(expected)
            for tap, values in zip(taps, inner, strict=True):
                assert np.abs(tap.values - values).max() <= 1e-5 * np.ptp(values)


# The models, on OpenVINO


@pytest.fixture(scope="module", params=["efficientnet-lite0", "efficientnet-lite2", "resnet50"])
def predictor(request):
    """A predictor of its own: these tests cut it into parts, which cannot be undone."""
    return load_model(request.param, "openvino", weights=None if request.param == "resnet50" else "imagenet")


def _planned(predictor, band, strip=None):
    steps = [band] * len(predictor.geometry.parts())
    return lambda height, width: Forecast(
        1.0, 1e6, True, band and plan(predictor.geometry, height, width, steps, strip)
    )


def test_models_in_bands_and_strips(predictor, chelsea, resized, monkeypatch):
    sizes = [(331, 420), (512, 200), (97, 2511)]
    images = [resized(chelsea, *size) for size in sizes]
    with monkeypatch.context() as patch:
        patch.setattr(predictor, "forecast", _planned(predictor, None))
        expected = [predictor.run(image) for image in images]
    layers = MODELS[predictor.info.name].middle
    divided = set()
    for band, strip in ((16, None), (32, 128), (1000, None), (48, 500)):
        monkeypatch.setattr(predictor, "forecast", _planned(predictor, band, strip))
        divided |= {len(strips(predictor.geometry, width, strip).bands) for _, width in sizes}
        for image, whole in zip(images, expected, strict=True):
            found = predictor.run(image)
            assert found.logits.shape == whole.logits.shape
            assert found.logits.flags.c_contiguous
            assert np.abs(found.logits - whole.logits).max() <= 1e-5 * np.ptp(whole.logits)
            assert tuple(each.name for each in found.middle) == layers
            for each, other in zip(found.middle, whole.middle, strict=True):
                assert (each.name, each.cells) == (other.name, other.cells)
                assert each.values.shape == other.values.shape
                # The last digit of half precision may round the other way.
                assert np.allclose(each.values, other.values, rtol=2e-3, atol=1e-4 * np.ptp(other.values))
    assert max(divided) > 2


@pytest.mark.tensorflow
def test_tensorflow_in_bands_and_strips(tf_lite0, chelsea, resized, monkeypatch):
    image = resized(chelsea, 97, 2511)
    whole = tf_lite0.run(image)
    monkeypatch.setattr(tf_lite0, "forecast", _planned(tf_lite0, 32, 500))
    found = tf_lite0.run(image)
    assert np.abs(found.logits - whole.logits).max() <= 1e-5 * np.ptp(whole.logits)
    assert len(found.middle) == 2
    for each, other in zip(found.middle, whole.middle, strict=True):
        assert np.allclose(each.values, other.values, rtol=2e-3, atol=1e-4 * np.ptp(other.values))


@pytest.mark.parametrize("name", ["lite0", "lite2"])
def test_the_middle_of_a_strip_does_not_see_beyond_it(name, request):
    """What a strip gives of the middle is computed from the strip alone, at every width."""
    geometry, spec = request.getfixturevalue(name).geometry, MODELS[request.getfixturevalue(name).info.name]
    cut = 0
    for width in range(1500, 6000, 199):
        for count in (2, 3, 5, 8):
            across = strips(geometry, width, -(-width // count))
            for layer in middle_layers(geometry, spec.middle):
                before, after = _spoiled(
                    layer.nodes, "x", across.length, trace(layer.nodes, "x", across.length)
                )
                size, ratio = layer.grid(64, across.length)[1], across.stride // layer.stride
                for strip in across.bands[1:]:
                    assert strip.first * ratio >= strip.start // layer.stride + before
                for strip in across.bands[:-1]:
                    assert strip.last * ratio <= strip.start // layer.stride + size - after
                cut += len(across.bands) > 1
    assert cut > 50


def test_a_large_picture_has_no_middle_maps(lite0, chelsea, resized, monkeypatch):
    for width, kept in ((128, True), (129, False)):
        monkeypatch.setattr(middle, "MOST_PIXELS", 64 * 128)
        assert bool(lite0.run(resized(chelsea, 64, width)).middle) is kept
    assert 800 * 1280 < MOST_PIXELS < 1600 * 2560


def test_rows_that_no_band_reads_are_skipped():
    """One row of three is read: there are gaps between the bands."""
    node = Node("conv", (-1,), 1, Window(1, 3), Window(1, 3))
    geometry = Geometry((node,))
    picture = np.arange(1 * 1 * 100 * 6, dtype=np.float32).reshape(1, 1, 100, 6)
    heights = []

    def run(band):
        heights.append(band.shape[2])
        return np.moveaxis(band[:, :, ::3, ::3], 1, -1).copy()

    found = run_in_bands(
        plan(geometry, 100, 6, [1]),
        [run],
        lambda top, end, left, right: picture[:, :, top:end, left:right],
        100,
    )
    assert heights == [1] * 34
    assert np.array_equal(found[:, :, 0], picture[0, 0, ::3, ::3])


def test_rows_are_made_once_and_in_order(lite0):
    """No row is made twice or before it is needed, and the bands drop the rows that they have used."""
    geometry, height, width = lite0.geometry, 2560, 64
    planned = plan(geometry, height, width, [32] * len(geometry.parts()))
    asked, runs = [], []

    def rows(top, end, left, right):
        asked.append((top, end, len(runs)))
        return np.zeros((1, 3, end - top, right - left), np.float32)

    def run(part, number, window):
        runs.append(number)
        size = [trace(part, axis, n)[-1].size for axis, n in zip("yx", window.shape[2:], strict=True)]
        last = number == len(geometry.parts()) - 1
        return np.zeros((1, *size, 1000) if last else (1, part[-1].channels, *size), np.float32)

    parts = geometry.parts()
    found = run_in_bands(
        planned,
        [lambda x, p=p, n=n: run(p, n, x) for n, p in enumerate(parts)],
        rows,
        height,
    )
    assert found.shape == (*geometry.grid(height, width), 1000)
    assert [top for top, _, _ in asked] == [0, *[end for _, end, _ in asked[:-1]]]
    assert asked[-1][1] == height
    assert [runs.count(n) for n in range(len(parts))] == [len(part.bands) for part in planned.parts]
    assert runs.index(len(parts) - 1) < len(runs) - runs[::-1].index(
        0
    )  # the last begins before the first ends


def test_a_pass_can_be_stopped_between_bands(predictor, chelsea, resized, monkeypatch):
    monkeypatch.setattr(predictor, "forecast", _planned(predictor, 32))
    image, shares = resized(chelsea, 256, 128), []
    whole = predictor.logits(image, shares.append)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(shares) > 8

    def stop(share):
        if share > 0.5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        predictor.logits(image, stop)
    assert np.array_equal(predictor.logits(image), whole)


def test_a_band_that_fails_raises_and_the_next_pass_runs(predictor, chelsea, resized, monkeypatch):
    monkeypatch.setattr(predictor, "forecast", _planned(predictor, 32))
    image = resized(chelsea, 256, 128)
    whole = predictor.logits(image)
    infer, left = type(predictor)._infer, [3]

    class Failing:
        def infer(self):
            raise RuntimeError("std::bad_alloc")

    def fails_once(request, batch):
        left[0] -= 1
        infer(Failing() if left[0] == 0 else request, batch)

    with monkeypatch.context() as patch:
        patch.setattr(predictor, "_infer", fails_once)
        with pytest.raises(EngineError, match="OpenVINO to run on an input of shape"):
            predictor.logits(image)
    assert left == [0]
    assert np.array_equal(predictor.logits(image), whole)
