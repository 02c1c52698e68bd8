"""Models page: what there is, what is ready, what it costs, and preparing it beforehand."""

from __future__ import annotations

import streamlit as st

from app.state import cached
from app.state.queue.jobs import Job, ModelKey, Snapshot
from app.state.samples import DEFAULT
from app.ui import figures, notices
from fcn_core.errors import FcnError
from fcn_core.networks.zoo import MODELS, ModelSpec, find_weights, model_spec
from fcn_core.pipeline import versions
from fcn_core.system import memory
from fcn_core.system.installed import missing_engines

_POLL = 0.5  # seconds


def page() -> None:
    """Draw the page once."""
    st.title("Models")
    notices.note(
        "ImageNet classifiers turned into fully convolutional networks: the same weights, at any size of the picture. "
        "A model is prepared once on a machine, which takes some seconds, and loads in under a second from then on."
    )
    jobs: dict[str, Job] = st.session_state.setdefault("model-jobs", {})
    running = any(not cached.queue().look(job).finished for job in jobs.values())
    st.fragment(_cards, run_every=_POLL if running else None)(running)
    st.subheader("This machine")
    rows = [
        ("Memory the program may use", f"{memory.budget_mb() / 1024:.1f} GB"),
        ("Memory it uses now", f"{memory.rss_mb() / 1024:.1f} GB"),
        ("Class maps kept for all users", f"{cached.queue().cache.nbytes / 2**20:.0f} MB"),
        *versions().items(),
        *missing_engines().items(),
    ]
    with st.container(width=520):
        st.html(figures.table(("", ""), rows))
    notices.note(
        "Set FCN_MEMORY_MB to allow less memory: large scales then run in bands, which gives the same numbers."
    )


def _cards(running: bool) -> None:
    jobs: dict[str, Job] = st.session_state["model-jobs"]
    looks = {name: cached.queue().look(job) for name, job in jobs.items()}
    if running and all(look.finished for look in looks.values()):
        st.rerun()
    for column, spec in zip(st.columns(len(MODELS)), MODELS.values(), strict=True):
        with column, st.container(border=True, height=300, key=f"model-{spec.name}"):
            _card(spec, looks.get(spec.name))


def _card(spec: ModelSpec, look: Snapshot | None) -> None:
    key = ModelKey(spec.name)
    loaded = cached.predictor(key) is not None
    weights = find_weights(spec)
    state = (
        "loaded" if loaded else "weights are here" if weights else f"fetches {spec.weights.size / 1e6:.0f} MB"
    )
    st.markdown(f"**{spec.title}**" + (" :small[:gray[the default]]" if spec is model_spec() else ""))
    rows = [
        ("Parameters", f"{spec.parameters:g} million"),
        ("Trained at", f"{spec.input_size} × {spec.input_size}"),
        ("Weights", f"{spec.weights.size / 1e6:.0f} MB, {spec.licence}"),
        ("State", state),
    ]
    st.html(figures.table(("", ""), rows))
    if look is not None and not look.finished:
        fetched = cached.models().fetched.get(key)
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
    if look is not None and look.error:
        notices.problem(look.error)
    if not loaded:
        st.button(
            "Prepare",
            key=f"prepare-{spec.name}",
            on_click=_prepare,
            args=(spec.name,),
            icon=":material/bolt:",
        )


def _prepare(name: str) -> None:
    st.session_state["model-jobs"][name] = cached.queue().warm(
        cached.sample(DEFAULT), ModelKey(name), session=cached.session()
    )


try:
    page()
except FcnError as error:
    notices.problem(str(error))
