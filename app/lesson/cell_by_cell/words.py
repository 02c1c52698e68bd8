"""What the figure says: sent to the browser in the learner's language, with names in braces for its numbers."""

from __future__ import annotations

from collections.abc import Mapping

from app.lesson.language import marked
from app.lesson.language import translated as _

_WORDS: Mapping[str, str] = {
    "picture": marked("The picture"),
    "features": marked("Feature maps"),
    "features_note": marked(
        "{shown} of {all} channels: those that say most here; beside each map the place that excites its channel most"
    ),
    "outcome": marked("Logit and probability"),
    "walk": marked("Click a cell, or walk with the arrow keys."),
    "field_help": marked("Shade what hardly moves this cell"),
    "field_one": marked("Half of what moves this cell is in one square; {own} is in its own patch."),
    "field_many": marked("Half of what moves this cell is in {half} squares; {own} is in its own patch."),
    "channel": marked("channel {channel}"),
    "strongest": marked("most excited here: {value}"),
    "range": marked("0 to {high}"),
    "more": marked("{count} more channels, {active} of them not zero"),
    "bias": marked("bias"),
    "logit_of": marked("Logits of “{name}”"),
    "probability_of": marked("Probability of “{synset}”"),
    "logit": marked("logit"),
    "softmax": marked("softmax, sum"),
    "classes": marked("The strongest classes in this cell"),
    "classes_note": marked("Choose a class to see its sum."),
    "best_inside": marked("the strongest below “{synset}”"),
    "probability": marked("probability"),
    "sum": marked("Sum below “{synset}”"),
    "sum_note": marked("{count} classes"),
    "sum_one": marked("one class"),
    "more_classes": marked("{count} more classes"),
    "formulas": marked("The formulas with the numbers of this cell"),
    "more_terms": marked("({count} more)"),
    "more_in_sum": marked("{count} more"),
    "cell": marked("row {row}, column {column}"),
    "application": marked(
        "Picture with a grid of {rows} rows and {columns} columns. Arrow keys walk over the cells."
    ),
    "spoken": marked(
        "Row {row}, column {column}. {name}: logit {logit}, probability {share}. {synset}: {total}."
    ),
    "map_of": marked("Map of channel {channel}"),
}


def words() -> dict[str, str]:
    """Return the words by name."""
    return {name: _(text) for name, text in _WORDS.items()}
