"""HTML of tables, pictures and colour bars."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from app.ui import figures, notices


def test_a_table_is_escaped_and_aligns_columns_of_numbers() -> None:
    html = figures.table(("name", "value"), [("<b>", "1.5"), ("x & y", "−2")])
    assert '<td>&lt;b&gt;</td><td class="n">1.5</td>' in html
    assert '<td>x &amp; y</td><td class="n">−2</td>' in html
    assert '<th>name</th><th class="n">value</th>' in html
    assert "<thead>" not in figures.table(("", ""), [("a", "b")])
    assert "<td" not in figures.table(("a",), [])


@pytest.mark.parametrize(
    ("value", "text"), [(0.126, "0.13"), (99.994, "99.99"), (100.4, "100"), (-250.6, "-251")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert figures.number(value) == text


@pytest.mark.parametrize(("lossless", "kind"), [(True, "png"), (False, "jpeg")])
def test_a_picture_becomes_a_data_uri(lossless: bool, kind: str) -> None:
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    head, _, data = figures.uri(pixels, lossless).partition(",")
    assert head == f"data:image/{kind};base64"
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.size == (5, 4)
    if lossless:
        assert (np.asarray(picture) == pixels).all()


def test_a_figure_states_its_size_and_escapes_its_texts() -> None:
    html = figures.figure(np.zeros((3, 7, 3), np.uint8), 'a "cat"', "<i>")
    assert 'width="7" height="3" alt="a &quot;cat&quot;"' in html
    assert "<figcaption>&lt;i&gt;</figcaption>" in html


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("a_b", r"a\_b"), ("[x](y)", r"\[x\]\(y\)"), (":red[$1$]", r"\:red\[\$1\$\]"), ("plain", "plain")],
)
def test_markdown_is_escaped(text: str, escaped: str) -> None:
    assert notices.escape_markdown(text) == escaped
