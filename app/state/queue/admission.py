"""How much work may wait: for one session, so that nobody takes it all, and in all, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Sequence

from app.state.queue.jobs import Job, megapixels
from fcn_core.errors import FcnError

# Of the network's input, for one session: the largest scale there may be, and four times the notebook's four beside it.
MEGAPIXELS = 86.0
JOBS = 8  # of one session
PAIR = 2  # of one session where the queue is more than half full: Compare asks for two
ALL_JOBS = 200


def admit(job: Job, own: Sequence[Job], all_jobs: int) -> None:
    """Refuse a job that would be too much.

    Parameters
    ----------
    job : Job
        That is asked for.
    own : sequence of Job
        What the session that asks has waiting already.
    all_jobs : int
        How many wait in all.

    Raises
    ------
    FcnError
        It is too much. The message says what is expected.
    """
    asked, waiting = megapixels(job.missing), sum(megapixels(other.missing) for other in own)
    if asked + waiting > MEGAPIXELS:
        scales = f"{len(job.missing)} scale{'' if len(job.missing) == 1 else 's'}"
        beside = f", beside {waiting:.0f} of yours that wait already" if waiting >= 1 else ""
        raise FcnError(
            f"This asks for {asked:.0f} megapixels in {scales}{beside}. Expected at most {MEGAPIXELS:.0f} at a time, "
            f"as other people wait too. Choose fewer or smaller scales."
        )
    most = JOBS if all_jobs < ALL_JOBS / 2 else PAIR
    if len(own) >= most:
        raise FcnError(
            f"{len(own)} analyses of yours wait already. Expected at most {most} at a time. Wait for one of them, "
            f"then try again."
        )
    if all_jobs >= ALL_JOBS:
        raise FcnError(
            f"{all_jobs} analyses wait already, as many as this server takes. Try again in some minutes."
        )
