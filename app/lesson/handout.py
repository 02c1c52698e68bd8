"""The lesson as one page for paper."""

from __future__ import annotations

from app.jobs import ModelKey


def handout(model: ModelKey) -> str:
    """Self-contained HTML of the whole lesson."""
    return f"<!doctype html><title>{model.name}</title>"
