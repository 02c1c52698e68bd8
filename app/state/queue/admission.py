"""Limits on waiting work: for one session, so that no session takes everything, and in total, to bound memory."""

from __future__ import annotations

from collections.abc import Sequence

from app.state.queue.jobs import Job, megapixels
from fcn_core.errors import FcnError

# Of the network's input, for one session: the largest possible scale, and four times the notebook's four scales.
MEGAPIXELS = 86.0
JOBS = 8  # of one session
JOBS_WHEN_BUSY = 2  # of one session, when the queue is more than half full: Compare asks for two
ALL_JOBS = 200


def admit(job: Job, own: Sequence[Job], all_jobs: int) -> None:
    """Refuse a job that would exceed a limit.

    Parameters
    ----------
    job : Job
        The new job.
    own : sequence of Job
        The jobs of the same session that wait already.
    all_jobs : int
        How many jobs wait in total.

    Raises
    ------
    FcnError
        A limit would be exceeded.
    """
    asked, waiting = megapixels(job.missing), sum(megapixels(other.missing) for other in own)
    if asked + waiting > MEGAPIXELS:
        scales = f"{len(job.missing)} scale{'' if len(job.missing) == 1 else 's'}"
        beside = f", in addition to {waiting:.0f} that you are waiting for" if waiting >= 1 else ""
        raise FcnError(
            f"Expected at most {MEGAPIXELS:.0f} megapixels at a time, as other people wait too. Received "
            f"{asked:.0f} megapixels in {scales}{beside}. Choose fewer or smaller scales."
        )
    most = JOBS if all_jobs < ALL_JOBS / 2 else JOBS_WHEN_BUSY
    if len(own) >= most:
        raise FcnError(
            f"Expected at most {most} waiting analyses of one user. Received one more than your {len(own)}. Wait until "
            f"one of them is finished, then try again."
        )
    if all_jobs >= ALL_JOBS:
        raise FcnError(
            f"Expected at most {ALL_JOBS} waiting analyses of all users. Received one more. Try again in some minutes."
        )
