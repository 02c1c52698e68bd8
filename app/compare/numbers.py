"""The two halves of Compare as numbers, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.compare.halves import Looked
from app.ui import figures, notices
from fcn_core.evaluation.metrics import iou
from fcn_core.pipeline import Analysis


def draw(looked: Sequence[Looked], analyses: Sequence[Analysis]) -> None:
    """Draw the table, and by how much the masks overlap."""
    rows = [
        ("presence", *(f"{each.presence:.0%}" for each in analyses)),
        ("mask", *(f"{each.coverage:.0%}" for each in analyses)),
        ("highest value", *(figures.number(each.arithmetic.peak) for each in analyses)),
        ("mean value", *(figures.number(each.arithmetic.mean) for each in analyses)),
        ("computed", *map(_time, looked)),
    ]
    st.html(figures.table(("", *(each.half.title for each in looked)), rows))
    first, second = analyses
    if first.marked and second.marked and _one_picture(looked):
        notices.note(f"Their masks overlap by {iou(first.mask, second.mask):.0%} (intersection over union).")


def _one_picture(looked: Sequence[Looked]) -> bool:
    return len({each.half.picture.sha256 for each in looked}) == 1


def _time(looked: Looked) -> str:
    class_maps = looked.view.class_maps if looked.view is not None else {}
    seconds = figures.seconds(sum(m.seconds for m in class_maps.values()))
    return f"{len(class_maps)} scale{'' if len(class_maps) == 1 else 's'} in {seconds}"
