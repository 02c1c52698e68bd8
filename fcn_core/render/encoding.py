"""Pictures as files and as parts of an HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape
from PIL import Image

Format = Literal["png", "webp", "jpeg"]


def encode(pixels: npt.NDArray[Any], format: Format = "png", quality: int = 90) -> bytes:
    """Encode a picture or a mask.

    Parameters
    ----------
    pixels : uint8 ndarray of shape (H, W), (H, W, 3) or (H, W, 4), or bool ndarray of shape (H, W)
        A bool mask becomes 0 and 255.
    format : "png", "webp" or "jpeg"
    quality : int
        1 to 100, for WebP and JPEG.

    Returns
    -------
    bytes
    """
    if format not in ("png", "webp", "jpeg"):
        raise ValueError(f"Expected format 'png', 'webp' or 'jpeg'. Received: {format!r}")
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise ValueError(
            f"Expected uint8 (H, W), (H, W, 3) or (H, W, 4). Received: {pixels.dtype} {pixels.shape}"
        )
    if format == "jpeg" and pixels.ndim == 3:
        pixels = pixels[..., :3]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    stream = io.BytesIO()
    if format == "png":
        picture.save(stream, "PNG", compress_level=4)
    elif format == "webp":
        picture.save(stream, "WEBP", quality=quality, method=2)
    else:
        picture.save(stream, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2)
    return stream.getvalue()


def data_uri(data: bytes, format: Format = "png") -> str:
    """Return the bytes of an encoded picture as a ``data:`` address (RFC 2397)."""
    return f"data:image/{format};base64,{base64.b64encode(data).decode('ascii')}"


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], css_class: str = "") -> Markup:
    """Return an HTML table.

    Parameters
    ----------
    head : sequence of str
        Names of the columns. If all are empty, the table has no head.
    rows : sequence of sequence of str
        Cells. Text is escaped; a :class:`markupsafe.Markup` is inserted as it is.
    css_class : str
        Class of the table.

    Returns
    -------
    Markup
        Cells of columns that contain only numbers have the class ``n``.
    """
    numeric = [bool(rows) and all(_numeric(row[column]) for row in rows) for column in range(len(head))]

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f'<{kind} class="n">{escape(cell)}</{kind}>' if right else f"<{kind}>{escape(cell)}</{kind}>"
            for cell, right in zip(cells, numeric, strict=True)
            for kind in [tag if cell else "td"]  # a heading that says nothing is none
        )

    top = f"<thead><tr>{line(head, 'th')}</tr></thead>" if any(head) else ""
    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    opened = f'<table class="{escape(css_class)}">' if css_class else "<table>"
    return Markup(f"{opened}{top}<tbody>{body}</tbody></table>")  # noqa: S704 - every cell is escaped


def _numeric(text: str) -> bool:
    return not text or text[0].isdigit() or text[0] in "-−≈"
