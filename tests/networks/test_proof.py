"""Logits are compared with a classifier's answer, whether that is logits or probabilities."""

import numpy as np
import pytest

from fcn_core.errors import ConversionError
from fcn_core.networks.proof import compare_answers

LOGITS_OF_FIVE = np.array([[4.0, -3.0, 0.5, 1.0, -2.5]])
SOFTMAX_OF_FIVE = np.exp(LOGITS_OF_FIVE) / np.exp(LOGITS_OF_FIVE).sum()
FAR = np.array([[0.0, -1.0, -200.0]])  # the last is no float32 after softmax
COMPARED = {
    "logits": (LOGITS_OF_FIVE, LOGITS_OF_FIVE, (0, 7, 5)),
    "logits and a constant": (LOGITS_OF_FIVE, LOGITS_OF_FIVE + 3, (3, 7, 5)),
    "probabilities": (SOFTMAX_OF_FIVE, LOGITS_OF_FIVE, (0, 7, 5)),
    "probabilities and a constant": (SOFTMAX_OF_FIVE, LOGITS_OF_FIVE + 3, (0, 7, 5)),
    "probabilities, one logit off": (SOFTMAX_OF_FIVE, LOGITS_OF_FIVE + 5 * np.eye(5)[4], (4, 7, 5)),
    "two rows": (np.repeat(SOFTMAX_OF_FIVE, 2, 0), [LOGITS_OF_FIVE[0], LOGITS_OF_FIVE[0] * 3], (8, 7, 5)),
    "a probability of nothing": (np.exp(FAR) / np.exp(FAR[:, :2]).sum() * [1, 1, 0], FAR, (0, 1, 2)),
    "certainty": ([[1.0, 0.0, 0.0]], FAR, (0, 0, 1)),
    "a map that is not finite": (SOFTMAX_OF_FIVE, LOGITS_OF_FIVE * np.nan, (np.inf, 7, 5)),
    "a map with an infinity": (LOGITS_OF_FIVE, LOGITS_OF_FIVE * np.inf, (np.inf, 7, 5)),
}


@pytest.mark.parametrize("name", COMPARED)
def test_answers_are_compared_as_logits(name):
    answer, logits, expected = COMPARED[name]
    found = compare_answers(np.asarray(answer), np.asarray(logits))
    assert (found.error, found.span, found.compared) == pytest.approx(expected)
    assert found.classes == np.shape(answer)[1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_not_finite_is_refused(value):
    with pytest.raises(ConversionError, match="Expected a finite answer"):
        compare_answers(np.array([[0.5, value]]), np.zeros((1, 2)))
