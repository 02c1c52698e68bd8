"""How the pages ask where something is."""

from __future__ import annotations

# What the names of the hierarchy end with that are plural; other names that end with an s are singular, as bus.
_PLURAL = (
    "bars",
    "bedclothes",
    "binoculars",
    "cattle",
    "durables",
    "goods",
    "jeans",
    "pajamas",
    "spectacles",
    "starches",
    "sunglasses",
    "tights",
    "trunks",
)


def where(name: str) -> str:
    """Return the beginning of a question: "Where is the dog", "Where are the cattle"."""
    return f"Where {'are' if name.endswith(_PLURAL) else 'is'} the {name}"
