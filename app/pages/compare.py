"""Compare page: two models on one picture, one model on two pictures, or two synsets, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st

from app.state import caches, comparison, session
from app.state.comparison import Comparison
from app.state.pictures import Picture
from app.state.queue.jobs import Job, JobKey, ModelKey, Snapshot, job_key
from app.state.samples import DEFAULT, SAMPLES
from app.state.selection import Selection
from app.state.session import session_id
from app.state.shared_queue import queue
from app.state.view import View
from app.ui import display, figures, notices, spoken, synset_picker
from fcn_core.errors import FcnError
from fcn_core.evaluation.metrics import iou
from fcn_core.images.scales import plan_scales
from fcn_core.networks.zoo import MODELS
from fcn_core.pipeline import Analysis
from fcn_core.render import MAP_OPACITY

_POLL = 0.5  # seconds


@dataclass(frozen=True, eq=False)
class Side:
    """One half of the page."""

    title: str
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


def page() -> None:
    """Read the choices, draw the widgets, then the two halves."""
    choices = session.compare().choices
    ignored = choices.arrive(_carry)
    notices.ignored_parameters(ignored or ())
    chosen = choices.now
    choices.publish()
    spoken.title("Compare")
    st.segmented_control(
        "Compare", comparison.WHAT, required=True, **choices.widget("compare", initial="default")
    )
    if chosen.compare != "Synsets":
        _pick("synset", chosen.wnids[0])
    if "" in _shown(chosen) and session.explore().uploaded is None:
        notices.gone()
    _draw_widgets(chosen)
    scales = ", ".join(f"{scale.height} × {scale.width}" for scale in chosen.scales)
    notices.note(
        f"Scales {scales}; fit {chosen.fit.lower()}; {chosen.map.lower()}; colours {chosen.colours}."
    )
    sides = [_side(chosen, side) for side in (0, 1)]
    queue().leave_others([side.key for side in sides], session=session_id())
    jobs = [_job(side) for side in sides]
    looks = _look(jobs)
    _keep_failed(jobs, looks)
    waiting = any(not look.finished for look in looks)
    st.fragment(_results, run_every=_POLL if waiting else None)(sides, jobs, waiting)


def _carry(first: bool) -> None:
    """Take over what Explore shows, if it was visited."""
    choices = session.compare().choices
    if session.explore().choices.visit:
        choices.now = comparison.carried(choices.now, session.selection(), first)


def _pick(name: str, wnid: str, label: str = "Where does the network see") -> None:
    """Draw the picker of the first or the other synset."""
    key = "compare-synset" if name == "synset" else "compare-other"
    st.session_state[key] = wnid
    synset_picker.pick_synset(key, _choose(name), label)


def _choose(name: str) -> Callable[[str], None]:
    def choose(wnid: str) -> None:
        session.compare().choices.choose(**{name: wnid})

    return choose


def _shown(chosen: Comparison) -> tuple[str, ...]:
    return chosen.pictures if chosen.compare == "Pictures" else chosen.pictures[:1]


def _draw_widgets(chosen: Comparison) -> None:
    left, right = st.columns(2, gap="small")
    widget = session.compare().choices.widget
    if chosen.compare == "Models":
        names = list(MODELS)
        labels, fields, shown = ("Model", "and model"), ("model", "other_model"), chosen.models
    elif chosen.compare == "Pictures":
        mine = session.explore().picture
        names = list(dict.fromkeys([*([mine.address] if mine else []), *chosen.pictures, *SAMPLES]))
        labels, fields, shown = ("Picture", "and picture"), ("picture", "other_picture"), chosen.pictures
    else:
        with left:
            _pick("synset", chosen.wnids[0])
        with right:
            _pick("other", chosen.wnids[1], "and for")
        return
    for place, label, field, name in zip((left, right), labels, fields, shown, strict=True):
        place.selectbox(label, names, names.index(name), format_func=_name, **widget(field, name, initial=""))


def _name(picture: str) -> str:
    mine = session.explore().picture
    title = picture or "your picture"
    return f"{title}, from Explore" if mine is not None and mine.address == picture else title


def _side(chosen: Comparison, side: int) -> Side:
    name, model, shown = chosen.half(side)
    picture = _picture(name)
    titles = {
        "Models": MODELS[model].title,
        "Pictures": picture.name,
        "Synsets": caches.ontology().label(shown.synset),
    }
    return Side(titles[chosen.compare], picture, ModelKey(model), shown)


def _picture(name: str) -> Picture:
    if not name:
        return session.explore().uploaded or caches.sample(DEFAULT)
    return caches.sample(name) if name in SAMPLES else caches.fetch(name)


def _job(side: Side) -> Job:
    """Ask for the side's job; one that failed is tried again only if the user asks for that."""
    failed = session.compare().failed.get(side.key)
    return failed or queue().submit(
        side.picture, side.model, side.chosen.scales, side.chosen.fitting, session=session_id()
    )


def _look(jobs: list[Job]) -> list[Snapshot]:
    for job in jobs:
        queue().keep_alive(job, session=session_id())
    return [queue().look(job) for job in jobs]


def _keep_failed(jobs: list[Job], looks: list[Snapshot]) -> None:
    """Keep what failed, so that it is not asked for again unless the user says so."""
    for job, look in zip(jobs, looks, strict=True):
        if look.error:
            session.compare().failed[job.key] = job


def _results(sides: list[Side], jobs: list[Job], waiting: bool) -> None:
    chosen = session.compare().choices.now
    session.compare().choices.publish()
    looks = _look(jobs)
    if waiting:  # before the rerun, which would ask for it again
        _keep_failed(jobs, looks)
    evicted = any(look.state == "cancelled" for look in looks)
    forgotten = any(
        look.error and job.key not in session.compare().failed for job, look in zip(jobs, looks, strict=True)
    )
    if all(look.finished for look in looks) and (waiting or evicted or forgotten):
        st.rerun()
    analyses: list[Analysis | None] = []
    columns = st.columns(2, gap="small")
    for index, (column, side, job, look) in enumerate(zip(columns, sides, jobs, looks, strict=True)):
        with column:
            if look.error:
                title = MODELS[side.model.name].title
                notices.failed(title, look.error, partial(_forget, job.key), key=f"side-again-{index}")
            analyses.append(_half(side, job, coming=not look.finished))
    label = f"arithmetic mean of {display.MAP_LABELS[sides[0].chosen.kind]}, fixed range"
    st.html(figures.legend(display.fixed_span(sides[0].chosen.kind), chosen.colours, label, MAP_OPACITY))
    first, second = analyses
    if first is not None and second is not None:
        _numbers(sides, first, second)


def _forget(key: JobKey) -> None:
    """Ask for a job that failed once more."""
    session.compare().failed.pop(key, None)


def _half(side: Side, job: Job, *, coming: bool) -> Analysis | None:
    """Draw one half, without a result its photo if none is coming; return its analysis if there is one."""
    size = figures.shown_size(side.picture, 560, 480)
    view = View.of(job, side.picture)
    if view is None:
        if coming:
            st.skeleton(height=max(120, size[0]))
        else:
            st.html(figures.figure(display.photo(side.picture, size), f"The picture: {side.picture.name}"))
        return None
    chosen = replace(
        side.chosen, trace=session.compare().choices.now.trace
    )  # its switch redraws the halves alone
    analysis = view.analysis(chosen)
    span = display.fixed_span(analysis.kind)
    photo, look = display.photo(side.picture, size), display.look_of(chosen)
    pixels = figures.paint(photo, analysis.arithmetic, size, span, look)
    name = caches.ontology().label(chosen.synset)
    count, seconds = len(view.class_maps), sum(m.seconds for m in view.class_maps.values())
    what = name if side.title == name else f"{side.title}: {name}"
    caption = (
        f"{what}, peak {figures.number(analysis.arithmetic.peak)}, "
        f"{count} scale{'' if count == 1 else 's'} in {figures.seconds(seconds)}"
    )
    st.html(figures.figure(pixels, f"Mean of {name} in {side.picture.name}, {side.title}", caption))
    return analysis


def _found(side: Side, analysis: Analysis) -> str:
    name = caches.ontology().label(side.chosen.synset)
    return f"{side.title}: {name} found" if analysis.present else f"{side.title}: no {name} found"


def _numbers(sides: list[Side], first: Analysis, second: Analysis) -> None:
    """Draw the two halves' numbers side by side."""
    rows = [
        ("peak", figures.number(first.arithmetic.peak), figures.number(second.arithmetic.peak)),
        ("mean", figures.number(first.arithmetic.mean), figures.number(second.arithmetic.mean)),
        ("presence", f"{first.presence:.0%}", f"{second.presence:.0%}"),
        ("mask", f"{first.coverage:.0%}", f"{second.coverage:.0%}"),
    ]
    st.html(figures.table(("", sides[0].title, sides[1].title), rows))
    spoken.announce(". ".join(map(_found, sides, (first, second))))
    for side, analysis in zip(sides, (first, second), strict=True):
        if not analysis.present:
            name = caches.ontology().label(side.chosen.synset)
            instead = ", the strongest trace is marked" if analysis.marked else ""
            notices.note(f"{side.title}: no {name} found here{instead}.")
    if not (first.present and second.present):
        st.toggle(
            "Show the strongest trace",
            help="Marks where a synset would be if it were in the picture.",
            **session.compare().choices.widget("trace"),
        )
    if first.marked and second.marked and sides[0].picture.sha256 == sides[1].picture.sha256:
        notices.note(f"Their masks overlap by {iou(first.mask, second.mask):.0%} (intersection over union).")


try:
    page()
except FcnError as error:
    notices.problem(str(error))
