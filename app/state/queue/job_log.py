"""What is logged of jobs: one record each, which says nothing about the picture or the synset."""

from __future__ import annotations

import logging

from app.state.queue.jobs import Job
from fcn_core import logs
from fcn_core.engines.base import ModelInfo
from fcn_core.errors import FcnError, ImageError
from fcn_core.system import memory

logger = logging.getLogger(__name__)

INTERNAL_ERROR = "An internal error occurred. It was logged. Your picture and choices are unchanged."
"""What users are told of an error that is not theirs."""


def record_run(info: ModelInfo, job: Job, *, cache_hit: bool) -> None:
    """Log a job whose class maps were computed, or were cached."""
    logs.log_run(
        info,
        scales=list(job.class_maps),
        seconds=0.0 if cache_hit else job.seconds,
        peak_rss_mb=memory.peak_rss_mb(),
        cache_hit=cache_hit,
        fit=job.fit,
    )


def record_failure(job: Job, error: Exception, info: ModelInfo | None) -> None:
    """Log why a job failed, with a traceback if it is an internal error.

    Parameters
    ----------
    job : Job
    error : Exception
    info : ModelInfo or None
        None if the model could not be loaded.
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


def message_for_user(error: Exception) -> str:
    """Return what to tell the user about a failure."""
    if isinstance(error, MemoryError):
        return "Expected enough memory. Received an out-of-memory error. Choose smaller scales."
    return str(error) if isinstance(error, FcnError) else INTERNAL_ERROR
