"""Figure of the appendix: old lines of code, run on this machine."""

from __future__ import annotations

from app.lesson import draw, experiments
from app.lesson.language import translated as _
from app.lesson.stage import Stage


def changes(stage: Stage) -> None:
    """Draw a table of old lines with their outcome today."""
    draw.table(
        stage,
        [
            {_("Old line"): t.line, _("From"): _(t.source), _("Today"): t.today, _("Result now"): t.outcome}
            for t in experiments.old_lines()
        ],
        _("Old lines of code, their form today, and the result of running them now."),
    )


FIGURES = {"changes": changes}
