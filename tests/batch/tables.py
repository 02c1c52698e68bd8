"""Rows made by hand, and runners that analyse nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fcn_core.batch.inputs import Source
from fcn_core.batch.layout import Layout
from fcn_core.batch.parts import PART_FORMATS, json_line
from fcn_core.batch.rows import COLUMNS, Row
from fcn_core.batch.store import Store, rows_of_parts

DOG, CAT = "n02084071", "n02121620"


def row(path: str, wnid: str | None = DOG, **values: object) -> Row:
    """A row of a picture in which nothing is marked."""
    made: Row = dict.fromkeys(COLUMNS)
    made |= {"path": path, "state": "", "wnid": wnid, "synset": {DOG: "dog", CAT: "cat"}.get(wnid or "")}
    made |= {
        "width": 8,
        "height": 6,
        "asked": True,
        "presence": 0.1,
        "present": False,
        "area": 0,
        "boxes": [],
    }
    made |= {
        "peaks": [{"scale": "64x96", "peak": 0.5}],
        "seconds": 0.5,
        "output_stride": 32,
        "precision": "f32",
    }
    return made | values


def rows_of(source: Source) -> list[Row]:
    """Two rows for a picture, with a file; one for a bad picture."""
    if "bad" in source.path:
        return [
            row(source.key, None, state=source.state, error="Expected a picture.", error_type="ImageError")
        ]
    name = f"masks/{Path(source.path).stem}.png"
    return [
        row(source.key, DOG, state=source.state, mask_file=name),
        row(source.key, CAT, state=source.state),
    ]


def run(
    folder: Path,
    sources: list[Source],
    settings: dict[str, object],
    shard: tuple[int, int] = (1, 1),
    table: str = "jsonl",
    most: int | None = None,
) -> list[str]:
    """Do the pictures that are not done, `most` of them and then stop without a part; return which were done."""
    done = []
    with Store(Layout(folder, shard, PART_FORMATS[table]), settings) as store:
        todo, _ = store.begin(sources)
        for source in todo[:most]:
            made = rows_of(source)
            for each in made:
                if each["mask_file"]:
                    (folder / "masks").mkdir(exist_ok=True)
                    (folder / each["mask_file"]).write_text(source.state, encoding="utf-8")
            store.add(json_line(made))
            done.append(source.path)
        if most is None:
            store.flush()
    return done


def table_of(folder: Path, table: str = "jsonl") -> list[Row]:
    """All rows, in order of pictures."""
    paths = sorted(path for path in (folder / table).glob("part-*"))
    rows: Iterator[Row] = rows_of_parts(paths, PART_FORMATS[table])
    return sorted(rows, key=lambda each: (each["path"], each["wnid"] or ""))


def names_in(folder: Path) -> list[str]:
    """Names of all files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())
