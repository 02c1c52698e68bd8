"""What is made of the table at the end of a run: its other formats, and data sets of COCO and YOLO.

All of it is made anew from the rows, one picture after another, and appears when it is complete.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from fcn_core.batch.layout import COCO_BEGINS, YOLO_BEGINS, parts_of_all
from fcn_core.batch.parts import PART_FORMATS, PartFormat, json_line, remove, replace_with, unwritable
from fcn_core.batch.picture_files import file_stem
from fcn_core.batch.rows import Row
from fcn_core.batch.store import pictures, rows_of_parts
from fcn_core.errors import DatasetError
from fcn_core.export.labelled import category_id
from fcn_core.export.rle import Part, compressed, parts, run_lengths_of

#: The formats that ``--format`` may name.
FORMATS = ("parquet", "jsonl", "coco", "yolo")

Rows = Callable[[], Iterator[Row]]

_BREAKS = re.compile("[\\t\\n\\v\\f\\r\\x1c-\\x1e\\x85\\u2028\\u2029]")  # where a reader of lines may end one


def write_derived(folder: Path, table: PartFormat, wanted: tuple[str, ...], vocabulary: str) -> None:
    """Write the wanted formats other than that of the table.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written.
    """
    paths = parts_of_all(folder, table)

    def rows() -> Iterator[Row]:
        return rows_of_parts(paths, table)

    for name in wanted:
        if name in PART_FORMATS and name != table.name:
            _convert(paths, table, PART_FORMATS[name])
        elif name == "coco":
            write_coco(folder / "coco.json", rows, vocabulary)
        elif name == "yolo":
            write_yolo(folder / "yolo", rows)


def _convert(paths: list[Path], table: PartFormat, other: PartFormat) -> None:
    """Write each part in another format, if it was not written since."""
    if not paths:
        return
    folder = paths[0].parent.parent / other.name
    targets = {path: folder / f"{path.stem}{other.suffix}" for path in paths}
    for path, target in targets.items():
        if not target.exists() or target.stat().st_mtime_ns < path.stat().st_mtime_ns:
            replace_with(target, lambda part, path=path: other.write(part, table.read(path, None)))  # type: ignore[misc]
    for stray in set(folder.glob(f"part-*{other.suffix}")) - set(targets.values()):
        remove(stray)


def write_coco(path: Path, rows: Rows, vocabulary: str) -> None:
    """Write a data set in COCO's format: an annotation for each box, with the run lengths of its own region.

    A category's id is the number in its wnid, so that data sets agree. ``score`` is the peak of the fine map in the
    region, ``presence`` the probability that the synset is in the picture at all.
    """

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            write_coco_to(file, rows, vocabulary)

    replace_with(path, write)


def write_coco_to(file: TextIO, rows: Rows, vocabulary: str) -> None:
    """Write the data set of `write_coco` into an open file."""
    categories = _synsets(rows())
    ids = {wnid: category_id(wnid) for wnid in categories}
    about = [
        {"id": ids[wnid], "name": name, "supercategory": vocabulary, "wnid": wnid}
        for wnid, name in categories.items()
    ]
    file.write(COCO_BEGINS + '"categories": ')
    file.write(json.dumps(about))
    for title, entries in (("images", _images(rows())), ("annotations", _annotations(rows(), ids))):
        file.write(f',\n"{title}": [')
        for number, entry in enumerate(entries):
            file.write(("," if number else "") + "\n" + json_line(entry).rstrip())
        file.write("]")
    file.write("}\n")


def _images(rows: Iterator[Row]) -> Iterator[dict[str, Any]]:
    for number, (row, *_) in enumerate(_analysed(rows), start=1):
        yield {
            "id": number,
            "file_name": row["path"],
            "width": row["width"],
            "height": row["height"],
            "sha256": row["sha256"],
        }


def _annotations(rows: Iterator[Row], ids: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    count = 0
    for image, same in enumerate(_analysed(rows), start=1):
        for row in same:
            if row["mask"] is None:
                continue
            height, width = row["mask"]["size"]
            regions = _regions(row, height, width)
            for box in row["boxes"]:
                count += 1
                x0, y0, x1, y1 = (box[side] for side in ("x0", "y0", "x1", "y1"))
                if not regions.get((x0, y0, x1, y1)):
                    raise _no_mask(row, "a box is not that of a region")
                region = regions[x0, y0, x1, y1].pop(0)  # both are in the order of their areas
                yield {
                    "id": count,
                    "image_id": image,
                    "category_id": ids[row["wnid"]],
                    "iscrowd": 0,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": region.area,
                    "segmentation": {"size": [height, width], "counts": compressed(region.counts)},
                    "score": box["score"],
                    "presence": row["presence"],
                }


def _regions(row: Row, height: int, width: int) -> dict[tuple[int, ...], list[Part]]:
    """Return the regions of a row's mask by their boxes."""
    found: dict[tuple[int, ...], list[Part]] = {}
    try:
        counts = run_lengths_of(row["mask"]["counts"])
    except (ValueError, IndexError) as error:
        raise _no_mask(row, "it is no run-length encoding") from error
    if (counts < 0).any() or counts.sum() != height * width:
        raise _no_mask(row, "its runs are not those of the picture")
    for part in parts(counts, height, width):
        found.setdefault(part.box, []).append(part)
    return found


def _no_mask(row: Row, why: str) -> DatasetError:
    return DatasetError(
        f"Expected masks that an earlier run wrote. Received that of {row['path']}, which cannot be read ({why}). "
        "Delete the part of the table with its row, and its pictures are analysed again."
    )


def write_yolo(folder: Path, rows: Rows) -> None:
    """Write labels as YOLO reads them: a text file for each picture, a line for each box, and ``data.yaml``.

    A line is the number of the synset, and the box's centre, width and height as shares of the picture's. The files
    are named by the pictures' thumbnails and masks; ``images.txt`` says which picture each belongs to.
    """
    new = folder.with_name(f".{folder.name}.part")
    if new.is_symlink() or new.is_file():
        remove(new)
    shutil.rmtree(new, ignore_errors=True)
    synsets = _synsets(rows())
    numbers = {wnid: number for number, wnid in enumerate(synsets)}

    def write_index(path: Path) -> None:
        with path.open("w", encoding="utf-8") as index:
            for same in _analysed(rows()):
                label = Path("labels") / f"{file_stem(same[0]['path'])}.txt"
                index.write(f"{_in_a_line(same[0]['path'])}\t{label.as_posix()}\n")
                (new / label).parent.mkdir(parents=True, exist_ok=True)
                (new / label).write_text("".join(_yolo_lines(same, numbers)), encoding="utf-8")

    replace_with(new / "images.txt", write_index)
    names = "".join(
        f"  {number}: {json.dumps(name)}  # {wnid}\n" for number, (wnid, name) in enumerate(synsets.items())
    )
    text = YOLO_BEGINS + (f"path: .\nnames:\n{names}" if names else "path: .\nnames: {}\n")
    replace_with(new / "data.yaml", lambda path: path.write_text(text, encoding="utf-8", newline="\n"))
    try:
        shutil.rmtree(folder, ignore_errors=True)
        new.replace(folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def _in_a_line(path: str) -> str:
    r"""Return a path as one field of one line: a line break in it is ``\n``."""
    return _BREAKS.sub(lambda found: found[0].encode("unicode_escape").decode(), path)


def _yolo_lines(rows: list[Row], numbers: Mapping[str, int]) -> Iterator[str]:
    for row in rows:
        for box in row["boxes"] or ():
            sides = np.array([row["width"], row["height"]])
            low, high = (np.array([box[f"x{i}"], box[f"y{i}"]]) / sides for i in (0, 1))
            shares = (*((low + high) / 2), *(high - low))
            yield f"{numbers[row['wnid']]} " + " ".join(f"{share:.6f}" for share in shares) + "\n"


def _analysed(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows of each picture that could be analysed."""
    return (same for same in pictures(rows) if same[0]["error"] is None)


def _synsets(rows: Iterator[Row]) -> dict[str, str]:
    """Return the synsets of the table with their names, in order of their wnids."""
    found = {row["wnid"]: row["synset"] for row in rows if row["wnid"] is not None}
    return dict(sorted(found.items()))
