import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcn_core.errors import ScaleError
from fcn_core.images.scales import (
    MAX_SCALE_PIXELS,
    MIN_SIDE,
    NOTEBOOK_SCALES,
    PlannedScale,
    Scale,
    parse_scales,
    plan_scales,
)


def test_notebook_scales():
    assert parse_scales("200x320,400x640,800x1280,1600x2560") == NOTEBOOK_SCALES
    assert ",".join(map(str, NOTEBOOK_SCALES)) == "200x320,400x640,800x1280,1600x2560"


@pytest.mark.parametrize("text", ["200x320", " 200 X 320 ", "200×320", "0200x320"])
def test_valid_scales(text):
    assert Scale.parse(text) == Scale(height=200, width=320)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "200", "200x", "x320", "200x320x3", "-200x320", "2e2x320", "200.5x320", "200,320", "a" * 5000,
        "٢٠٠x٣٢٠", "9" * 5000 + "x320", "0x0", "31x400", "400x31", "8001x8001", "999999999x999999999", "200x320\0",
    ],
)  # fmt: skip
def test_invalid_scales(text):
    with pytest.raises(ScaleError, match=r"(?s)Expected.*Received") as caught:
        Scale.parse(text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["", " , ", "200x320;400x640", ",".join(["200x320"] * 17)])
def test_invalid_lists_of_scales(text):
    with pytest.raises(ScaleError):
        parse_scales(text)


@pytest.mark.parametrize(
    ("fit", "size", "expected"),
    [
        ("exact", (300, 451), [(200, 320, False), (400, 640, True)]),
        ("aspect", (300, 451), [(206, 310, False), (413, 620, True)]),
        ("aspect", (451, 300), [(310, 206, False), (620, 413, True)]),
        ("aspect", (200, 320), [(200, 320, False), (400, 640, True)]),
        ("aspect", (400, 640), [(200, 320, False), (400, 640, False)]),
        ("aspect", (1000, 1000), [(253, 253, False), (506, 506, False)]),
        ("aspect", (2, 9000), [(32, 2000, True), (32, 8000, True)]),
        ("aspect", (9000, 2), [(2000, 32, True), (8000, 32, True)]),
    ],
)
def test_plans(fit, size, expected):
    plans = plan_scales(*size, NOTEBOOK_SCALES[:2], fit)
    assert [(p.height, p.width, p.enlarges) for p in plans] == expected
    assert [p.requested for p in plans] == list(NOTEBOOK_SCALES[:2])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.integers(1, 70_000),
    st.integers(1, 70_000),
    st.builds(Scale, st.integers(MIN_SIDE, 8000), st.integers(MIN_SIDE, 8000)),
)
def test_aspect_keeps_area_and_proportions(height, width, scale):
    (plan,) = plan_scales(height, width, [scale])
    area = scale.height * scale.width
    assert min(plan.height, plan.width) >= MIN_SIDE
    assert plan.height * plan.width <= MAX_SCALE_PIXELS * 1.05
    assert plan.enlarges == (plan.height * plan.width > height * width)
    factor = (area / (height * width)) ** 0.5
    if min(height, width) * factor >= MIN_SIDE:
        assert abs(plan.height - height * factor) <= 0.5 + 1e-6
        assert abs(plan.width - width * factor) <= 0.5 + 1e-6


def test_plans_are_sorted_and_without_duplicates():
    scales = parse_scales("800x1280,200x320,400x640,200x320,320x200")
    plans = plan_scales(500, 800, scales)
    assert [str(p.requested) for p in plans] == ["200x320", "400x640", "800x1280"]
    exact = plan_scales(500, 800, scales, "exact")
    assert [str(p.requested) for p in exact] == ["200x320", "320x200", "400x640", "800x1280"]
    assert exact[0] == PlannedScale(Scale(200, 320), 200, 320, enlarges=False)


def test_invalid_plans():
    with pytest.raises(ScaleError, match="no scale"):
        plan_scales(300, 451, [])
    with pytest.raises(ScaleError, match="'stretch'"):
        plan_scales(300, 451, NOTEBOOK_SCALES, "stretch")
