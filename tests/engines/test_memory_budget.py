"""Bands are used only where the memory budget requires them, and forecasts are right."""

import re
import threading

import pytest

from fcn_core.engines.load import load_model
from fcn_core.engines.memory_model import activations, banded_demand, whole_demand
from fcn_core.errors import MemoryBudgetError
from fcn_core.networks.geometry import Geometry, Node
from fcn_core.networks.middle import middle_values
from fcn_core.system import memory


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
    named = re.search(r"Choose (\d+)x(\d+) or a smaller scale, or raise FCN_MEMORY_MB", str(refusal.value))
    assert named is not None
    height, width = map(int, named.groups())
    assert abs(height / width - 1600 / 2560) < 0.01
    assert fresh.forecast(height, width).fits
    assert not fresh.forecast(height + 32, width + 51).fits  # and it is the largest one
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
