"""What an operator reads of jobs: one record each, which says nothing of the picture nor of what was looked for."""

from __future__ import annotations

import logging

from app.state.queue.jobs import Job
from fcn_core import logs
from fcn_core.engines.base import ModelInfo
from fcn_core.errors import FcnError, ImageError
from fcn_core.system import memory

logger = logging.getLogger(__name__)

_MISTAKE = "The program made a mistake. It was logged; your picture and choices are still here."


def record_run(info: ModelInfo, job: Job, *, cache_hit: bool) -> None:
    """Record class maps that were computed, or were there already."""
    logs.log_run(
        info,
        scales=list(job.class_maps),
        seconds=0.0 if cache_hit else job.took,
        peak_rss_mb=memory.peak_rss_mb(),
        cache_hit=cache_hit,
        fit=job.fit,
    )


def record_failure(job: Job, error: Exception, info: ModelInfo | None) -> None:
    """Record why a job failed, with the place in the program where that is at fault.

    Parameters
    ----------
    job : Job
    error : Exception
    info : ModelInfo, optional
        Its model's, where that was loaded.
    """
    model = job.key.model
    about = {
        "job": job.key.kind,
        "model": model.name,
        "engine": info.engine if info else model.engine,
        "output_stride": model.output_stride,
        "error": type(error).__name__,
    }
    if isinstance(error, FcnError) and not isinstance(error, ImageError):  # those may quote a picture's name
        about["message"] = str(error)
    logger.error("job failed", extra={"fields": about}, exc_info=error if job.fault else None)


def told(error: Exception) -> str:
    """What to tell the user of a failure."""
    if isinstance(error, MemoryError):
        return "The memory of this machine did not suffice. Choose smaller scales."
    return str(error) if isinstance(error, FcnError) else _MISTAKE
