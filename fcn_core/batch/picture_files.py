"""The files beside the table: masks, overlays, maps and thumbnails of each picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_core import render
from fcn_core.batch.many import PictureResult
from fcn_core.batch.rows import Row
from fcn_core.export import files
from fcn_core.pipeline import Analysis

#: What ``--write`` may name: the column of the table, the ending of the file, and what makes it.
KINDS: Mapping[str, tuple[str, str, Callable[[Analysis], bytes]]] = {
    "masks": ("mask_file", ".png", files.mask_png),
    "overlays": ("overlay_file", ".png", files.overlay_png),
    "maps": ("maps_file", ".npz", files.maps_npz),
}
#: All columns that name files, each with the folder in which those are.
FOLDERS: Mapping[str, str] = {
    **{column: kind for kind, (column, _, _) in KINDS.items()},
    "thumbnail_file": "thumbnails",
}

_THUMBNAIL = 160  # pixels of the longest side
_STEM_BYTES = 80  # of the picture's own name, in the names of its files
_TINT = 0.45  # of the colour over what is marked


def make_files(
    result: PictureResult, rows: list[Row], write: Collection[str], thumbnails: bool
) -> dict[str, bytes]:
    """Return the files of a picture by their names, relative to the folder, and put the names into its rows."""
    made: dict[str, bytes] = {}
    if result.image is None:
        return made
    stem = file_stem(rows[0]["path"])
    for row, analysis in zip(rows, result.analyses, strict=False):
        for kind in write:
            column, suffix, make = KINDS[kind]
            if kind == "masks" and not analysis.marked:
                continue
            row[column] = f"{kind}/{stem}-{analysis.synset.wnid}{suffix}"
            made[row[column]] = make(analysis)
    if thumbnails:
        name = f"{FOLDERS['thumbnail_file']}/{stem}.webp"
        made[name] = render.encode(thumbnail(result), "webp", 80)
        for row in rows:
            row["thumbnail_file"] = name
    return made


def file_stem(path: str) -> str:
    """Return the beginning of the names of a picture's files: folder, the picture's own name, digest of its path.

    The digest tells apart pictures of the same name in different folders; its first digits are 256 folders, because a
    million files in one are slow to list.
    """
    digest = hashlib.sha256(path.encode()).hexdigest()
    name = (
        files.file_stem(path.partition("::")[0]).encode()[:_STEM_BYTES].decode(errors="ignore").rstrip(" .")
    )
    return f"{digest[:2]}/{name}-{digest[:12]}"


def thumbnail(result: PictureResult) -> NDArray[np.uint8]:
    """Return a picture, small, with what is marked in it tinted."""
    assert result.image is not None  # noqa: S101 - for type checkers
    picture = Image.fromarray(result.image.pixels)
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BILINEAR, reducing_gap=2.0)
    pixels: NDArray[Any] = np.array(picture)
    marked = [analysis for analysis in result.analyses if analysis.marked]
    for colour, analysis in zip(render.segment_colours(len(marked)), marked, strict=True):
        mask = np.asarray(Image.fromarray(analysis.mask).resize(picture.size, Image.Resampling.NEAREST))
        pixels[mask] = (pixels[mask] * (1 - _TINT) + np.array(colour) * _TINT).astype(np.uint8)
    return pixels
