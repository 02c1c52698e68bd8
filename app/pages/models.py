"""Models page: the available models, what they need, and a button to prepare them in advance."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.state import caches
from app.state.predictors import predictor, predictors
from app.state.queue.jobs import Job, ModelKey, Snapshot
from app.state.samples import DEFAULT
from app.state.session import session_id
from app.state.shared_queue import queue
from app.ui import figures, notices, spoken
from fcn_core.errors import FcnError
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.zoo import MODELS, find_weights, model_spec
from fcn_core.system import memory
from fcn_core.system.installed import missing_engines, versions

_POLL = 0.5  # seconds


def page() -> None:
    """Draw the page."""
    st.title("Models")
    notices.note(
        "ImageNet classifiers, converted to fully convolutional networks: the same weights, at any size of the "
        "picture. The first use of a model on a machine prepares it, which takes some seconds; after that it loads in "
        "under a second."
    )
    running = any(not look.finished for look in _look().values())
    st.fragment(_cards, run_every=_POLL if running else None)(running)
    st.header("This machine")
    rows = [
        ("Memory the program may use", f"{memory.budget_mb() / 1024:.1f} GB"),
        ("Memory it uses now", f"{memory.rss_mb() / 1024:.1f} GB"),
        ("Class maps cached for all users", f"{queue().cache.nbytes / 2**20:.0f} MB"),
        *versions().items(),
        *missing_engines().items(),
    ]
    with st.container(width=520):
        st.html(figures.table(("", ""), rows))
    notices.note(
        "To allow less memory, set FCN_MEMORY_MB: large scales then run in bands, with the same results."
    )


def _jobs() -> dict[str, Job]:
    jobs: dict[str, Job] = st.session_state.setdefault("model-jobs", {})
    return jobs


def _look() -> dict[str, Snapshot]:
    for job in _jobs().values():
        queue().keep_alive(job, session=session_id())
    return {name: queue().look(job) for name, job in _jobs().items()}


def _cards(running: bool) -> None:
    looks = _look()
    if running is all(look.finished for look in looks.values()):  # also where a click has begun something
        st.rerun()
    for column, spec in zip(st.columns(len(MODELS)), MODELS.values(), strict=True):
        with column, st.container(border=True, height=300, key=f"model-{spec.name}"):
            _card(spec, looks.get(spec.name))


def _card(spec: ModelSpec, look: Snapshot | None) -> None:
    key = ModelKey(spec.name)
    loaded = predictor(key) is not None
    weights = find_weights(spec)
    state = (
        "loaded"
        if loaded
        else "weights found"
        if weights
        else f"not downloaded, {spec.weights.size / 1e6:.0f} MB"
    )
    st.markdown(f"## {spec.title}" + (" :small[:gray[the default]]" if spec is model_spec() else ""))
    rows = [
        ("Parameters", f"{spec.parameters:g} million"),
        ("Trained at", f"{spec.input_size} × {spec.input_size}"),
        ("Weights", f"{spec.weights.size / 1e6:.0f} MB, {spec.licence}"),
        ("State", state),
    ]
    st.html(figures.table(("", ""), rows))
    if look is not None and not look.finished:
        fetched = predictors().fetched.get(key)
        if fetched is not None:
            st.progress(
                fetched[0] / max(fetched[1], 1), f"{fetched[0] / 1e6:.0f} of {fetched[1] / 1e6:.0f} MB"
            )
        else:
            waiting = look.state == "queued"
            st.progress(
                0.0, "Waiting for other work" if waiting else "Preparing, some seconds the first time"
            )
        return
    if look is not None and loaded:
        spoken.announce(f"{spec.title} is loaded.")
    if look is not None and look.error and not loaded:
        notices.failed(spec.title, look.error, partial(_prepare, spec.name), key=f"prepare-{spec.name}")
    elif not loaded:
        st.button(
            "Prepare",
            key=f"prepare-{spec.name}",
            on_click=_prepare,
            args=(spec.name,),
            icon=":material/bolt:",
        )


def _prepare(name: str) -> None:
    _jobs()[name] = queue().prepare(caches.sample(DEFAULT), ModelKey(name), session=session_id())


try:
    page()
except FcnError as error:
    notices.problem(str(error))
