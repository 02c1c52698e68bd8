"""What a batch asks of each picture, and what it makes of the answer: rows, and files beside the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fcn_core.batch.inputs import Source
from fcn_core.batch.many import PictureResult, Question
from fcn_core.batch.parts import json_line, replace_with
from fcn_core.batch.picture_files import make_files
from fcn_core.batch.rows import rows_of
from fcn_core.images.scales import Scale


@dataclass(frozen=True)
class Task:
    """What is asked of every picture of a batch.

    Attributes
    ----------
    question : Question
        Synsets, options and model.
    scales : tuple of Scale
    write : tuple of str
        Files to write beside the table; see :data:`fcn_core.batch.picture_files.KINDS`.
    thumbnails : bool
    """

    question: Question
    scales: tuple[Scale, ...]
    write: tuple[str, ...] = ()
    thumbnails: bool = True

    def settings(self) -> dict[str, Any]:
        """Return all that the rows depend on, as plain data for JSON."""
        question = self.question
        model, options = question.model, question.options
        return {
            "version": _version(),
            "model": model.name,
            "weights": model.weights,
            "weights_sha256": model.weights_sha256,
            "labels": [synset.wnid for synset in _classes(question)],
            "engine": model.engine,
            "output_stride": model.output_stride,
            "precision": model.precision,
            "scales": [str(scale) for scale in self.scales],
            "fit": options.fit,
            "map": options.kind,
            "threshold": options.threshold,
            "snap": options.snap,
            "always_mark": options.always_mark,
            "synsets": [synset.wnid for synset in question.synsets],
            "everything": question.everything,
            "write": sorted(self.write),
            "thumbnails": self.thumbnails,
        }


@dataclass(frozen=True)
class Record:
    """What is kept of a picture.

    Attributes
    ----------
    path : str
    line : str
        Its rows, a list as one line of JSON.
    rows : int
        Their number.
    error : str or None
    seconds : float
        Time of the network and of everything after it.
    """

    path: str
    line: str
    rows: int
    error: str | None
    seconds: float


def made_of(task: Task, source: Source, result: PictureResult) -> tuple[Record, dict[str, bytes]]:
    """Return what is kept of a picture, and its files by their names relative to the folder of the batch."""
    rows = rows_of(source, result, task.question.model)
    files = make_files(result, rows, task.write, task.thumbnails)
    return Record(source.key, json_line(rows), len(rows), result.error, result.seconds), files


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files of a picture.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written.
    """
    for name, content in files.items():
        replace_with(folder / name, lambda path, content=content: path.write_bytes(content), sync=False)  # type: ignore[misc]


def _version() -> str | None:
    """Return the version of the program, where it is installed."""
    try:
        return version("fully-convolutional-explorer")
    except PackageNotFoundError:
        return None


def _classes(question: Question) -> Sequence[Any]:
    ontology = question.model.outputs.ontology
    return [] if ontology.is_imagenet else [ontology[wnid] for wnid in ontology.classes]
