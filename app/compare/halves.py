"""The two halves of Compare: what each shows, the job that it needs, and how far that is."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.state import caches, models, session
from app.state.caches import NOTHING_OUTLINED, Outlined
from app.state.comparison import Comparison
from app.state.pictures import Picture
from app.state.queue.jobs import Job, JobKey, ModelKey, Snapshot, job_key
from app.state.samples import DEFAULT, SAMPLES
from app.state.selection import Selection
from app.state.session import session_id
from app.state.shared_queue import queue
from app.state.view import View
from fcn_core.images.scales import plan_scales
from fcn_core.networks.zoo import model_spec

_POLL = 0.5  # seconds


@dataclass(frozen=True, eq=False)
class Half:
    """One half of the page.

    Attributes
    ----------
    title : str
        What is special about it.
    name : str
        Of its synset.
    picture : Picture
    model : ModelKey
    chosen : Selection
        How Explore would show it; its synset is "" if the model never learned it.
    """

    title: str
    name: str
    picture: Picture
    model: ModelKey
    chosen: Selection

    @property
    def key(self) -> JobKey:
        """Of the job that it needs.

        Raises
        ------
        ScaleError
            The picture is too small for a scale, or was opened at reduced size.
        """
        plans = plan_scales(self.picture.height, self.picture.width, self.chosen.scales, self.chosen.fitting)
        self.picture.check(plans)
        return job_key(self.picture, self.model, plans)


@dataclass(frozen=True, eq=False)
class Looked:
    """A half with its job as it was in this run; `view` is None while there are no class maps."""

    half: Half
    job: Job
    snapshot: Snapshot
    view: View | None

    @property
    def complete(self) -> bool:
        """Whether all scales are there."""
        return self.view is not None and self.view.complete

    @property
    def outlined(self) -> Outlined:
        """What is outlined: nothing where the synset is not in the picture, or not known yet."""
        if self.view is None or not self.half.chosen.synset:
            return NOTHING_OUTLINED
        return self.view.outlined(self.half.chosen, self.half.chosen.synset)


def half_of(comparison: Comparison, side: int) -> Half:
    """Return a half, 0 or 1; its picture is opened."""
    picture_name, model, shown = comparison.half(side)
    picture, name = _open(picture_name), comparison.ontology[comparison.asked(side)].name
    title = {"Models": model_spec(model).title, "Pictures": title_of(picture), "Synsets": name}[
        comparison.compare
    ]
    return Half(title, name, picture, models.key_of(model), shown)


def title_of(picture: Picture) -> str:
    """Return what a picture is called: a sample's title, or the name of the file."""
    return SAMPLES[picture.address].title if picture.address in SAMPLES else picture.name


def _open(name: str) -> Picture:
    if not name:
        return session.explore().uploaded or caches.sample(DEFAULT)
    return caches.sample(name) if name in SAMPLES else caches.fetch(name)


def look(halves: tuple[Half, Half]) -> tuple[Looked, Looked]:
    """Ask for the class maps of the halves; what failed is tried again only if the user asks for that."""
    queue().leave_others([half.key for half in halves], session=session_id())
    first, second = ((half, _ask(half)) for half in halves)
    return _looked(*first), _looked(*second)


def _ask(half: Half) -> Job:
    failed = session.compare().failed.get(half.key)
    return failed or queue().submit(
        half.picture, half.model, half.chosen.scales, half.chosen.fitting, session=session_id()
    )


def _looked(half: Half, job: Job) -> Looked:
    queue().keep_alive(job, session=session_id())
    snapshot = queue().look(job)
    if snapshot.error:
        session.compare().failed[job.key] = job
    return Looked(half, job, snapshot, View.of(job, half.picture))


def try_again(key: JobKey) -> None:
    """Ask for a job that failed once more."""
    session.compare().failed.pop(key, None)


def watch(looked: tuple[Looked, Looked]) -> None:
    """Draw how far the jobs are, and draw the page again when there is something new to show; call it last."""
    if any(not each.snapshot.finished for each in looked):
        st.fragment(_progress, run_every=_POLL)(looked)
    elif any(each.view is None and not each.snapshot.error for each in looked):
        st.rerun()  # class maps were evicted: ask for them again


def _progress(looked: tuple[Looked, Looked]) -> None:
    now = []
    for each in looked:
        queue().keep_alive(each.job, session=session_id())
        now.append(queue().look(each.job))
    for before, after in zip(looked, now, strict=True):
        seen = before.snapshot
        if seen.finished != after.finished or len(seen.class_maps) != len(after.class_maps):
            st.rerun()
    jobs = {each.job.key: (each.job, look) for each, look in zip(looked, now, strict=True)}.values()
    count, done = sum(len(job.plans) for job, _ in jobs), sum(len(look.class_maps) for _, look in jobs)
    share = sum(1.0 if look.finished else min(look.share, 1.0) for _, look in jobs) / len(jobs)
    with st.container(key="progress"):
        st.progress(share, f"Looking … {done} of {count} scales")
