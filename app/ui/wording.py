"""How pages say in words what a number means."""

from __future__ import annotations

#: Presence from which a finding is called sure, and from which it is called likely.
_SURE, _LIKELY = 0.9, 0.7


def certainty(presence: float) -> str:
    """Say in a word how probable it is that something is there."""
    return "sure" if presence >= _SURE else "likely" if presence >= _LIKELY else "perhaps"
