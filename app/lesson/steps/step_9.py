"""Figure of step nine: old lines tried on this machine."""

from __future__ import annotations

from app.lesson import draw, experiments
from app.lesson.stage import Stage


def changes(stage: Stage) -> None:
    """Try what needs no Keras, and say what happened."""
    draw.table(
        stage,
        [
            {"The old line": t.line, "From": t.source, "Written now": t.today, "Tried now": t.outcome}
            for t in experiments.old_lines()
        ],
        "Old lines of code, what happened when they were tried now, and how they are written today.",
    )


FIGURES = {"changes": changes}
