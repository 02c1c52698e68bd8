"""Bands and strips give the result of the whole, and are used only where the memory budget requires them."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcn_core.engines.bands import Tap, _spoiled, cover, plan, run_in_bands, strips
from fcn_core.engines.base import Forecast
from fcn_core.engines.load import load_model
from fcn_core.engines.memory_model import activations, banded_demand, whole_demand
from fcn_core.errors import Cancelled, EngineError, MemoryBudgetError
from fcn_core.networks import middle
from fcn_core.networks.geometry import Geometry, Node, Window, trace
from fcn_core.networks.middle import MOST_PIXELS, middle_layers, middle_values, part_of
from fcn_core.networks.zoo import MODELS
from fcn_core.system import memory

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


# Plans and budgets


@pytest.fixture
def budget(monkeypatch):
    def give(megabytes):
        monkeypatch.setenv("FCN_MEMORY_MB", str(megabytes))

    monkeypatch.setattr(memory, "rss_mb", lambda: 300.0)
    return give


@pytest.fixture
def fresh():
    """A predictor that is not cut into parts."""
    return load_model("efficientnet-lite0", "openvino")


def test_bands_are_used_only_where_the_budget_requires_them(fresh, budget):
    budget(4000)
    ample = fresh.forecast(1600, 2560)
    assert (ample.plan, ample.fits) == (None, True)
    assert 300 < ample.memory_mb < 4000
    budget(600)
    assert fresh.forecast(200, 320).plan is None
    tight = fresh.forecast(1600, 2560)
    assert tight.plan is not None
    assert tight.fits
    assert tight.memory_mb <= 600
    assert tight.seconds > ample.seconds  # by the forecast of multiply-adds: the overlap is computed twice
    budget(450)
    tighter = fresh.forecast(1600, 2560)
    assert tighter.fits
    assert (tighter.memory_mb, -tighter.seconds) < (tight.memory_mb, -tight.seconds)


@pytest.mark.parametrize(
    ("used", "expected"), [(0, 374), (298, 374), (340, 395), (450, 450), (500, 475)]
)  # 76 of 450 are reserved; in the last case more is used than the budget
def test_the_budget_of_a_pass(used, expected, monkeypatch):
    monkeypatch.setenv("FCN_MEMORY_MB", "450")
    monkeypatch.setattr(memory, "_reserved_mb", 76.0)
    assert memory.pass_budget_mb(used) == expected
    for needed in (used + 1, used + 30, used + 90):
        missing = memory.missing_mb(needed, used)
        assert (missing <= 0) == (needed <= expected)
        freed = max(missing, 0)
        assert needed - freed <= memory.pass_budget_mb(used - freed) + 1e-9
        if missing > 1:
            assert needed - missing + 1 > memory.pass_budget_mb(used - missing + 1)


def test_a_small_scale_fits_beside_a_large_process(fresh, budget):
    budget(350)
    assert fresh.forecast(200, 320).fits
    assert not fresh.forecast(1600, 2560).fits


def test_a_scale_beyond_the_budget_is_refused_with_a_message(fresh, budget, chelsea, resized):
    budget(320)
    with pytest.raises(MemoryBudgetError) as refusal:
        fresh.logits(resized(chelsea, 1600, 2560))
    assert "budget of 320 MB. Received 1600x2560, which needs about" in str(refusal.value)
    assert "Choose a smaller scale, or raise FCN_MEMORY_MB" in str(refusal.value)
    budget(4000)
    fresh.logits(resized(chelsea, 64, 64))  # and the lock is free again


def test_huge_scales_fit_into_small_memory(budget, fresh):
    budget(690)
    large = fresh.forecast(7000, 7000)
    assert large.fits
    assert large.memory_mb > 300 + 2 * 96  # the logits alone are 183 MB


def test_a_network_that_cannot_be_cut_is_run_whole(fresh, budget, chelsea, resized, monkeypatch):
    nodes = fresh.geometry.nodes
    squeezed = Geometry((*nodes[:5], Node(**{**vars(nodes[5]), "whole": True}), *nodes[6:]))
    monkeypatch.setattr(fresh, "_geometry", squeezed)
    budget(450)
    assert fresh.forecast(1600, 2560).plan is None
    with pytest.raises(MemoryBudgetError, match="cannot be run in bands"):
        fresh.logits(resized(chelsea, 1600, 2560))


def test_the_memory_of_a_chain_counted_by_hand():
    """100 cells wide: 3 channels in, 8 from the first, 16 from the second, 4 from the third, which adds the first."""
    node = Node("a", (-1,), 8)
    assert activations((node,), 1, 100, 3) == 300 + 800
    chain = (node, Node("b", (0,), 16), Node("c", (1,), 4))
    # b takes a block of its own while a is read; the input's block is free by then and grows from 3 to 16.
    assert activations(chain, 1, 100, 3) == 1600 + 800
    with_sum = (node, Node("b", (0,), 16), Node("c", (1,), 8), Node("sum", (0, 2), 8))
    assert activations(with_sum, 1, 100, 3) == 1600 + 800  # the sum goes into a, and c never exists


def test_the_middle_is_part_of_the_forecast(fresh, budget, monkeypatch):
    """Whole: three times in single precision and once in half. In bands: once in half. Not kept of a large picture."""
    layers = fresh._middle
    numbers = {size: middle_values(layers, *size) for size in ((800, 1280), (1600, 2560))}
    assert numbers[800, 1280] == 80 * 50 * 80 + 192 * 25 * 40
    for megabytes, (size, number), expected in (
        (4000, ((800, 1280), numbers[800, 1280]), 3 * 4 * fresh._memory_factor + 2),
        (4000, ((1600, 2560), numbers[1600, 2560]), 3 * 4 * fresh._memory_factor),
        (450, ((800, 1280), numbers[800, 1280]), 2),
        (600, ((1600, 2560), numbers[1600, 2560]), 0),
    ):
        budget(megabytes)
        monkeypatch.setattr(fresh, "_middle", layers)
        monkeypatch.setattr(fresh, "_in_parts", megabytes < 4000)
        found = fresh.forecast(*size)
        monkeypatch.setattr(fresh, "_middle", ())
        without = fresh.forecast(*size)
        assert (found.plan is None) == (without.plan is None) == (megabytes == 4000)
        assert found.memory_mb - without.memory_mb == pytest.approx(number * expected / 2**20)


def test_smaller_bands_need_less_memory_and_more_computation(lite2):
    geometry = lite2.geometry
    whole = whole_demand(geometry, 1600, 2560)
    demands = [banded_demand(geometry, 1600, 2560, mb) for mb in (400, 200, 120, 90)]
    assert all(d.mb <= mb for d, mb in zip(demands, (400, 200, 120, 90), strict=True))
    assert [d.macs for d in demands] == sorted(d.macs for d in demands)
    assert whole.mb > 3 * demands[1].mb
    assert whole.macs <= demands[0].macs < 1.5 * whole.macs


def test_the_memory_of_a_pass_in_bands_is_as_expected(fresh_python):
    code = """
import os
if hasattr(os, "sched_setaffinity"):  # memory grows with the threads: the same number on every machine
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import numpy as np
from fcn_core.system import memory
from fcn_core.engines.load import load_model
from fcn_core.images.resize import ResizedImage
image = ResizedImage(np.zeros((400, 640, 3), np.uint8), 1600, 2560)
predictor = load_model("efficientnet-lite0", "openvino")
for _ in range(2):  # the second knows what the first has left
    foreseen = predictor.forecast(1600, 2560)
    predictor.logits(image)
print(foreseen.plan.runs, foreseen.memory_mb, memory.peak_rss_mb())
"""
    windows, foreseen, peak = map(float, fresh_python(code, FCN_MEMORY_MB="350").stdout.split())
    assert windows > 6
    assert peak < 400  # the whole takes 900
    assert foreseen == pytest.approx(peak, rel=0.25)


def test_one_pass_at_a_time(fresh, chelsea, resized, monkeypatch):
    """Two passes at once would need twice the expected memory."""
    running, most, lock = [0], [0], threading.Lock()
    infer = type(fresh)._infer

    def watched(request, batch):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        try:
            return infer(request, batch)
        finally:
            running[0] -= 1

    monkeypatch.setattr(fresh, "_infer", watched)
    threads = [threading.Thread(target=fresh.logits, args=(resized(chelsea, 160, 160),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [("max 100000", None, 8), ("150000 100000", None, 2), ("50000 100000", None, 1), ("-1", "100000", 8),
     ("300000", "100000", 3), ("", None, 8), ("ten tens", None, 8)],
)  # fmt: skip
def test_cores_of_a_container(quota, period, expected, tmp_path, monkeypatch):
    (tmp_path / "quota").write_text(quota, encoding="utf-8")
    (tmp_path / "period").write_text(period or "", encoding="utf-8")
    files = (str(tmp_path / "quota"), str(tmp_path / "period") if period else None)
    monkeypatch.setattr(memory, "_CGROUP_QUOTAS", (files, (str(tmp_path / "missing"), None)))
    monkeypatch.setattr(memory.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert memory.cpus() == expected


def test_the_peak_of_memory_is_that_of_the_program(fresh_python):
    """The system's peak includes the time when the process was still a copy of the one that started it."""
    code = """
import subprocess, sys
import numpy as np
large = np.ones(50_000_000)
own = "from fcn_core.system import memory; print(memory.peak_rss_mb())"
print(subprocess.run([sys.executable, "-c", own], capture_output=True, text=True, check=True).stdout)
"""
    assert 5 < float(fresh_python(code).stdout) < 300
