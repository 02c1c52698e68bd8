"""Outlines of taught synsets in photographs that came without masks: what their read-outs are learned from.

``outlines.json`` says how they were made: by another network, and looked at; nobody drew them. Each is COCO's
compressed run lengths at a small size; where the outline was in doubt, pixels are void.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcn_core.export.rle import mask_of, run_lengths_of
from fcn_core.images.read import RGBImage, image_from_array, read_image
from fcn_core.images.resize import resize_image

FILE = Path(__file__).with_name("outlines.json")
_SIDE = 500  # longest side of a photograph that gets its proportions back


@dataclass(frozen=True, eq=False)
class Outline:
    """One thing in one photograph.

    Attributes
    ----------
    image : Path
    synset : str
        Wnid.
    inside, valid : (h, w) bool ndarray
        The thing's pixels; all pixels but the void ones. Their proportions are those of the scene, while the file of
        the photograph may be squeezed into a square.
    """

    image: Path
    synset: str
    inside: NDArray[np.bool_]
    valid: NDArray[np.bool_]

    def picture(self) -> RGBImage:
        """Return the photograph in the outline's proportions."""
        image = read_image(self.image)
        height, width = self.inside.shape
        if abs(image.width * height / (image.height * width) - 1) < 0.02:
            return image
        factor = _SIDE / max(height, width)
        pixels = resize_image(image.pixels, round(height * factor), round(width * factor))
        return image_from_array(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), image.name)


def read_outlines(folder: Path) -> Iterator[Outline]:
    """Return the outlines of photographs below a folder.

    Raises
    ------
    FileNotFoundError
        A photograph is not there.
    """
    for row in json.loads(FILE.read_text(encoding="utf-8"))["rows"]:
        image = folder / row["image"]
        if not image.is_file():
            raise FileNotFoundError(f"Expected the photograph {row['image']} beside the index.")
        inside, void = (mask_of(run_lengths_of(row[key]), *row["size"]) for key in ("object", "void"))
        yield Outline(image, row["synset"], inside, ~void)
