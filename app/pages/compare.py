"""Compare page: two models on one picture, one model on two pictures, or two synsets, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.state import cached, selection
from app.state.pictures import Picture
from app.state.queue.jobs import Job, JobKey, ModelKey, job_key
from app.state.samples import DEFAULT, SAMPLES
from app.ui import figures, notices, synset_picker
from app.ui.figures import Look
from fcn_core.errors import FcnError
from fcn_core.evaluation.metrics import iou
from fcn_core.images.scales import plan_scales
from fcn_core.networks.zoo import MODELS, model_spec
from fcn_core.pipeline import Analysis

_POLL = 0.5  # seconds
_WHAT = ("Models", "Pictures", "Synsets")
_MINE = "from Explore"


@dataclass(frozen=True, eq=False)
class Side:
    """One half of the page."""

    title: str
    picture: Picture
    model: ModelKey
    wnid: str


def page() -> None:
    """Draw the page once."""
    state = st.session_state
    synsets = cached.ontology()
    state.setdefault("compare-synset", state.get("synset") or synsets.find("cat").wnid)
    others = (synsets.collapse(synsets.find(word).wnid) for word in ("dog", "cat"))
    state.setdefault("compare-other", next(other for other in others if other != state["compare-synset"]))
    what = str(
        st.segmented_control(
            "Compare", _WHAT, default="Models", key="compare", required=True, bind="query-params"
        )
    )
    if what != "Synsets":
        synset_picker.pick_synset("compare-synset", lambda wnid: state.update({"compare-synset": wnid}))
    _remember()
    left, right = st.columns(2, gap="small")
    if what == "Synsets":
        with left:
            synset_picker.pick_synset("compare-synset", lambda wnid: state.update({"compare-synset": wnid}))
        with right:
            synset_picker.pick_synset(
                "compare-other", lambda wnid: state.update({"compare-other": wnid}), "and where"
            )
    sides = _sides(what, left, right)
    jobs = [_job(side) for side in sides]
    waiting = any(not cached.queue().look(job).finished for job in jobs)
    st.fragment(_results, run_every=_POLL if waiting else None)(sides, jobs, waiting)


def _remember() -> None:
    """Have the address tell of a picture that was uploaded, and say so where it tells of one that is not here."""
    mine: Picture | None = st.session_state.get("explore-picture")
    if mine is None and st.query_params.get("picture") == selection.UPLOAD:
        notices.gone()
    elif mine is not None and not mine.address:
        st.query_params["picture"] = selection.UPLOAD
    else:
        st.query_params.pop("picture", None)


def _job(side: Side) -> Job:
    """The side's job; one that failed is not tried again in this session."""
    failed: dict[JobKey, Job] = st.session_state.setdefault("compare-failed", {})
    picture = side.picture
    plans = plan_scales(picture.height, picture.width, cached.FIRST_SCALES)
    picture.check(plans)
    key = job_key(picture, side.model, plans)
    if key in failed:
        return failed[key]
    return cached.queue().submit(picture, side.model, cached.FIRST_SCALES, "aspect", session=cached.session())


def _sides(
    what: str, left: st.delta_generator.DeltaGenerator, right: st.delta_generator.DeltaGenerator
) -> list[Side]:
    state = st.session_state
    first = state["compare-synset"]
    model = ModelKey(str(state.get("model", model_spec().name)))
    if what == "Models":
        names = list(MODELS)
        with left:
            a = str(st.selectbox("Model", names, key="compare-model-a"))
        with right:
            b = str(st.selectbox("and model", names, index=1, key="compare-model-b"))
        mine = _mine()
        return [Side(MODELS[n].title, mine, ModelKey(n), first) for n in (a, b)]
    if what == "Pictures":
        names = ([_MINE] if "explore-picture" in state else []) + list(SAMPLES)
        with left:
            a = str(st.selectbox("Picture", names, key="compare-picture-a"))
        with right:
            b = str(st.selectbox("and picture", names, index=min(2, len(names) - 1), key="compare-picture-b"))
        return [Side(p.name, p, model, first) for p in (_picture(a), _picture(b))]
    label = cached.ontology().label
    other = state["compare-other"]
    return [Side(label(w), _mine(), model, w) for w in (first, other)]


def _mine() -> Picture:
    return _picture(_MINE if "explore-picture" in st.session_state else DEFAULT)


def _picture(name: str) -> Picture:
    if name == _MINE:
        mine: Picture = st.session_state["explore-picture"]
        return mine
    return cached.sample(name)


def _results(sides: list[Side], jobs: list[Job], waiting: bool) -> None:
    queue = cached.queue()
    looks = [queue.look(job) for job in jobs]
    for job, look in zip(jobs, looks, strict=True):
        if look.error:  # before the rerun, which would ask for it again
            st.session_state["compare-failed"][job.key] = job
    displaced = any(look.state == "cancelled" for look in looks)  # by others' class maps: ask anew
    if all(look.finished for look in looks) and (waiting or displaced):
        st.rerun()
    analyses: list[Analysis | None] = []
    for column, side, job, look in zip(st.columns(2, gap="small"), sides, jobs, looks, strict=True):
        with column:
            picture = side.picture
            size = figures.shown_size(picture, 560, 480)
            if look.error:
                notices.problem(look.error)
            if not look.class_maps or look.info is None:
                st.skeleton(height=max(120, size[0]))
                analyses.append(None)
                continue
            analysis = cached.analysis(job.key, look.class_maps, side.wnid, picture.working, look.info)
            analyses.append(analysis)
            photo = cached.photo(picture.sha256, *size, picture.working)
            pixels = figures.paint(photo, analysis.arithmetic, size, (0.0, 1.0), Look())
            name = cached.ontology().label(side.wnid)
            seconds = sum(m.seconds for m in look.class_maps.values())
            what = name if side.title == name else f"{side.title}: {name}"
            caption = (
                f"{what}, peak {figures.number(analysis.arithmetic.peak)}, "
                f"{len(look.class_maps)} scales in {figures.seconds(seconds)}"
            )
            st.html(figures.figure(pixels, f"Mean of {name} in {picture.name}, {side.title}", caption))
    st.html(figures.legend((0.0, 1.0), "viridis", "arithmetic mean of probability, fixed range"))
    a, b = analyses
    if a is None or b is None:
        return
    rows = [
        ("peak", figures.number(a.arithmetic.peak), figures.number(b.arithmetic.peak)),
        ("mean", figures.number(a.arithmetic.mean), figures.number(b.arithmetic.mean)),
        ("mask", f"{a.mask.mean():.0%}", f"{b.mask.mean():.0%}"),
    ]
    st.html(figures.table(("", sides[0].title, sides[1].title), rows))
    for side, analysis in ((sides[0], a), (sides[1], b)):
        if analysis.arithmetic.peak < figures.LOW_PEAK:
            notices.note(f"{side.title}: the network hardly sees this here, so the mask means little.")
    if sides[0].picture.sha256 == sides[1].picture.sha256:
        notices.note(f"Their masks overlap by {iou(a.mask, b.mask):.0%} (intersection over union).")


try:
    page()
except FcnError as error:
    notices.problem(str(error))
