"""How a sample looks on its button."""

from __future__ import annotations

import base64

from app.state import caches
from app.state.samples import SAMPLES


def of(name: str) -> str:
    """Return a sample's small picture as Markdown, or its title if it must be downloaded."""
    small, title = caches.thumbnail(name), SAMPLES[name].title
    if small is None:
        return f":material/cloud_download: {title}"
    return f"![{title}](data:image/jpeg;base64,{base64.b64encode(small).decode()})"
