"""Figure of step nine: old lines of code, run on this machine."""

from __future__ import annotations

from app.lesson import draw, experiments
from app.lesson.stage import Stage


def changes(stage: Stage) -> None:
    """Draw a table of old lines with their outcome today."""
    draw.table(
        stage,
        [
            {"Old line": t.line, "From": t.source, "Today": t.today, "Result now": t.outcome}
            for t in experiments.old_lines()
        ],
        "Old lines of code, their form today, and the result of running them now.",
    )


FIGURES = {"changes": changes}
