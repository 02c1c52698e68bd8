"""Score maps as files that the evaluation of Choe et al. reads (github.com/clovaai/wsolevaluation).

Its ``evaluation.py`` stacks score maps into batches and compares them with masks and boxes that it reduces to 224 x 224
pixels. So each map is saved at that size, scaled to 0 to 1, as float32. The folder is laid out like this::

    <image id>.npy                              --scoremap_root is the folder itself
    metadata/ILSVRC/test/*.txt                  rows with boxes, for MaxBoxAcc and MaxBoxAccV2
    metadata/OpenImages/test/*.txt              rows with masks, for PxAP
    masks/OpenImages/object/<image id>.png      --mask_root is masks
    masks/OpenImages/ignore/<image id>.png

The id of a row is the path of its picture as the index gives it. Rows that would have the same id get their synset
added, and a number if that is the same too: no map replaces another. The lists are written last: if they are there, all
maps are.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fcn_core.errors import OutputError
from fcn_core.images.resize import resize_array
from fcn_core.maps.region import normalise

Bools = NDArray[np.bool_]

SIDE = 224
"""Height and width of a saved map: the size at which the reference compares."""

_SPLIT = "test"


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of the object in one picture.

    Attributes
    ----------
    boxes : tuple of (x0, y0, x1, y1)
    pixels, valid : (H, W) bool ndarray or None
        The object's pixels, and all pixels except the void ones; None if only boxes are known.
    """

    boxes: tuple[tuple[float, ...], ...]
    pixels: Bools | None = None
    valid: Bools | None = None


def prepare_folder(folder: Path) -> None:
    """Make the folder for the maps, or check that it is empty: no file that was there before is replaced.

    Raises
    ------
    OutputError
        It cannot be made or written, or has files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        filled = next(folder.iterdir(), None)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        raise OutputError(
            f"Expected a folder for --save-maps that can be made and written. Received {folder} ({error}). Choose "
            f"another folder."
        ) from error
    if filled is not None:
        raise OutputError(
            f"Expected a new or empty folder for --save-maps. Received {folder}, which has {filled.name}. Choose "
            f"another folder, or empty this one."
        )


def image_ids(names: Sequence[str], wnids: Sequence[str]) -> tuple[str, ...]:
    """Return one image id for each row: the path of its file below the folder, without the ending of the file.

    Parameters
    ----------
    names : sequence of str
        Paths of the pictures as the index gives them.
    wnids : sequence of str
        The synsets.
    """
    plain = [_inside(name) for name in names]
    count = Counter(name.casefold() for name in plain)  # some file systems ignore case
    ids: list[str] = []
    taken: set[str] = set()
    for name, wnid in zip(plain, wnids, strict=True):
        base = name if count[name.casefold()] == 1 else f"{name}__{wnid}"
        found, number = base, 1
        while found.casefold() in taken:
            number += 1
            found = f"{base}__{number}"
        taken.add(found.casefold())
        ids.append(found)
    return tuple(ids)


class SavedMaps:
    """Writes the maps of an evaluation, and with `finish` the lists that belong to them.

    Parameters
    ----------
    folder : Path
        See `prepare_folder`.
    ids : sequence of str
        From `image_ids`, in the order in which rows are added.
    """

    def __init__(self, folder: Path, ids: Sequence[str]) -> None:
        self._folder = folder
        self._ids = iter(ids)
        self._boxes: dict[str, list[str]] = {"class_labels": [], "image_sizes": [], "localization": []}
        self._masks: dict[str, list[str]] = {"class_labels": [], "image_sizes": [], "localization": []}

    def add(self, values: NDArray[np.float32], truth: Truth, class_id: int) -> None:
        """Write the map of the next row.

        Parameters
        ----------
        values : (H, W) float32 ndarray
            The map at the size of the picture.
        truth : Truth
        class_id : int
            For ``class_labels.txt``, which the evaluation does not read.

        Raises
        ------
        OutputError
            A file cannot be written.
        """
        image_id = next(self._ids)
        small = normalise(resize_array(values, SIDE, SIDE))
        buffer = io.BytesIO()
        np.save(buffer, small.astype(np.float32), allow_pickle=False)
        _write(self._folder / f"{image_id}.npy", buffer.getvalue())
        height, width = values.shape
        labels = {"class_labels": f"{image_id},{class_id}", "image_sizes": f"{image_id},{width},{height}"}
        # The reference reads whole numbers.
        corners = [[round(number) for number in box] for box in truth.boxes]
        _extend(self._boxes, labels, [f"{image_id},{','.join(map(str, box))}" for box in corners])
        if truth.pixels is not None and truth.valid is not None:
            files = [f"object/{image_id}.png", f"ignore/{image_id}.png"]
            for file, layer in zip(files, (truth.pixels & truth.valid, ~truth.valid), strict=True):
                _write(self._folder / "masks" / "OpenImages" / file, _png(layer))
            _extend(self._masks, labels, [",".join([image_id, *files])])

    def finish(self) -> None:
        """Write the lists of rows with boxes and of rows with masks.

        Raises
        ------
        OutputError
            A file cannot be written.
        """
        for name, lists in (("ILSVRC", self._boxes), ("OpenImages", self._masks)):
            if not lists["class_labels"]:
                continue
            ids = [line.rpartition(",")[0] for line in lists["class_labels"]]
            for file, lines in {"image_ids": ids, **lists}.items():
                text = "".join(f"{line}\n" for line in lines)
                _write(self._folder / "metadata" / name / _SPLIT / f"{file}.txt", text.encode())


def _inside(name: str) -> str:
    """Return a path that stays below the folder, with the separator and without the commas of the reference's lists."""
    path = PurePath(name)
    parts = [part for part in path.parts if part not in (path.anchor, "..")]
    clean = ["".join("_" if c == "," or not c.isprintable() else c for c in part) for part in parts]
    return "/".join(clean)


def _extend(lists: dict[str, list[str]], labels: dict[str, str], localization: Iterable[str]) -> None:
    for name, line in labels.items():
        lists[name].append(line)
    lists["localization"].extend(localization)


def _png(layer: Bools) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(layer.astype(np.uint8) * np.uint8(255)).save(buffer, "PNG")
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file at once: there is the whole of it, or nothing."""
    part = path.with_name(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OutputError(
            f"Expected a folder for --save-maps with room for every map. Received {path}, which cannot be written "
            f"({reason}). Free some space or choose another folder; the maps so far are without their lists."
        ) from error
