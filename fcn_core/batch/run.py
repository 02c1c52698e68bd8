"""Run a batch on this machine: what is not done yet passes the stages, and is kept picture by picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fcn_core.batch.contact_sheet import COLUMNS, write_contact_sheet
from fcn_core.batch.derived import write_derived
from fcn_core.batch.inputs import Source, read_picture
from fcn_core.batch.layout import Layout, parts_of_all, require_own, table_format
from fcn_core.batch.many import failed_result
from fcn_core.batch.parts import require_pyarrow
from fcn_core.batch.stages import Stages, overlapped
from fcn_core.batch.store import Store, rows_of_parts
from fcn_core.batch.work import Record, Task, made_of, write_files
from fcn_core.engines.base import Predictor
from fcn_core.images.limits import Limits
from fcn_core.images.read import RGBImage
from fcn_core.logs import log_run
from fcn_core.maps.heatmap import ClassMap
from fcn_core.system import memory


@dataclass(frozen=True)
class Output:
    """Where a batch goes.

    Attributes
    ----------
    folder : Path
    formats : tuple of str
        See :data:`fcn_core.batch.derived.FORMATS`.
    shard : (int, int)
        The i-th of n, from 1.
    """

    folder: Path
    formats: tuple[str, ...] = ("parquet",)
    shard: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes
    ----------
    pictures : int
        Those of the input, or of its shard.
    done, before : int
        Pictures that this run did, and that were done before it.
    failed : int
        Of all of them, those that could not be analysed.
    rows : int
        Of the pictures that this run did.
    seconds : float
        Of the run, without loading the model.
    changed : tuple of str
        Settings that differ from those of an earlier run, whose rows were removed.
    """

    pictures: int
    done: int
    before: int
    failed: int
    rows: int
    seconds: float
    changed: tuple[str, ...]


#: Yields what is kept of each source, after its files are written into the folder.
Runner = Callable[[list[Source], Path], Iterator[Record]]


def local_runner(task: Task, model: Predictor) -> Runner:
    """Return what does pictures in this process."""

    def read(source: Source, limits: Limits) -> RGBImage:
        return read_picture(source.path, limits)

    def failed(source: Source, error: Exception) -> Record:
        return made_of(task, source, failed_result(source.key, error))[0]

    def run(sources: list[Source], folder: Path) -> Iterator[Record]:
        def finish(source: Source, image: RGBImage, class_maps: Mapping[str, ClassMap]) -> Record:
            record, files = made_of(task, source, task.question.answer(source.key, image, class_maps))
            write_files(folder, files)
            return record

        stages = Stages(read, finish, failed)
        return overlapped(sources, model, task.scales, task.question.options.fit, stages)

    return run


def run_batch(
    sources: list[Source],
    task: Task,
    output: Output,
    runner: Runner,
    seen: Callable[[Record, int, int], None] = lambda *_: None,
) -> Summary:
    """Do the pictures that are not done yet, and write what is made of all of them.

    Parameters
    ----------
    sources : list of Source
        From :func:`fcn_core.batch.inputs.sources`.
    task : Task
    output : Output
    runner : callable
        From `local_runner`.
    seen : callable
        Called with each picture, how many this run has done, and how many it will do.

    Returns
    -------
    Summary

    Raises
    ------
    OutputError
        The folder cannot be written.
    DatasetError
        The folder holds something that cannot be continued, or a package is missing.
    """
    start = time.perf_counter()
    require_own(output.folder, output.formats)
    table = table_format(output.folder, output.formats)
    if "parquet" in (table.name, *output.formats):
        require_pyarrow()
    with Store(Layout(output.folder, output.shard, table), task.settings()) as store:
        changed = store.changed_settings()
        todo, before = store.begin(sources)
        failed = sum(each.error_type is not None for each in before.values())
        rows = 0
        for number, record in enumerate(_kept(runner(todo, output.folder), store), start=1):
            failed, rows = failed + (record.error is not None), rows + record.rows
            _log(record, task)
            seen(record, number, len(todo))
        store.flush()
        if output.shard[1] == 1:
            _finish(output, task)
    seconds = time.perf_counter() - start
    return Summary(len(sources), len(todo), len(before), failed, rows, seconds, tuple(changed))


def _kept(records: Iterable[Record], store: Store) -> Iterator[Record]:
    for record in records:
        store.add(record.line)
        yield record


def _log(record: Record, task: Task) -> None:
    """Log a picture that was analysed; the memory is that of this process, also where a cluster did the work."""
    if record.error is not None:
        return
    options = task.question.options
    log_run(
        task.question.model,
        scales=[str(scale) for scale in task.scales],
        seconds=record.seconds,
        peak_rss_mb=memory.peak_rss_mb(),
        cache_hit=False,
        fit=options.fit,
        map=options.kind,
    )


def _finish(output: Output, task: Task) -> None:
    """Write what is made of the whole table: a shard leaves that to a last run without shards."""
    table = table_format(output.folder, output.formats)
    model = task.question.model
    write_derived(output.folder, table, output.formats, model.vocabulary)
    if task.thumbnails:
        paths = parts_of_all(output.folder, table)
        note = f"{model.title} on {model.engine}, {model.precision}, {model.weights} weights, scales "
        write_contact_sheet(
            output.folder,
            lambda: rows_of_parts(paths, table, COLUMNS),
            note + ", ".join(map(str, task.scales)),
        )
