"""Figure of the appendix: old lines of code, run on this machine."""

from __future__ import annotations

from app.lesson import draw, experiments
from app.lesson.experiments import OldLine
from app.lesson.language import marked
from app.lesson.language import translated as _
from app.lesson.stage import Stage

_SOURCES = {"notebook": marked("the notebook"), "lab": marked("the older lab")}


def changes(stage: Stage) -> None:
    """Draw a table of old lines with their outcome today."""
    draw.table(
        stage,
        [
            {
                _("Old line"): t.line,
                _("From"): _(_SOURCES[t.source]),
                _("Today"): t.today,
                _("Result now"): _outcome(t),
            }
            for t in experiments.old_lines()
        ],
        _("Old lines of code, their form today, and the result of running them now."),
    )


def _outcome(line: OldLine) -> str:
    """Say what happens when a line is run now; an error is in Python's own words."""
    if line.warning:
        return _("works, with a warning: {warning}", warning=line.warning)
    return line.error or _("still works")


FIGURES = {"changes": changes}
