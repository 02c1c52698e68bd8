"""One model of the Models page: its figures, its state, and its buttons."""

from __future__ import annotations

import html
from functools import partial

import streamlit as st

from app.state import caches, models
from app.state.predictors import needed_mb, predictor, predictors
from app.state.queue.jobs import Job, ModelKey, Snapshot
from app.state.samples import DEFAULT
from app.state.session import session_id
from app.state.shared_queue import queue
from app.ui import model_export, notices, spoken
from fcn_core import settings
from fcn_core.engines.disk import OnDisk, on_disk
from fcn_core.engines.housekeeping import cached_bytes
from fcn_core.errors import FcnError
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.zoo import find_weights, model_spec
from fcn_core.system import memory
from fcn_core.system.folders import cache_dir, megabytes

_POLL = 0.5  # seconds
_COLUMNS = ("Model", "Parameters", "Weights", "Top-1", "Fetches", "On disk", "Proof", "State")


def head() -> str:
    """Return HTML of the names of the columns; on narrow screens each figure has its own."""
    cells = "".join(f"<span>{name}</span>" for name in _COLUMNS)
    return f'<div class="fcn-model fcn-model-head" aria-hidden="true">{cells}</div>'


def draw(spec: ModelSpec, look: Snapshot | None, offer: bool) -> None:
    """Draw a model; while it is being prepared, its row alone is drawn again and again.

    Parameters
    ----------
    spec : ModelSpec
    look : Snapshot or None
        Its preparation, if this session asked for it.
    offer : bool
        Whether the pages offer it: otherwise it has no buttons.
    """
    if look is not None and not look.finished:
        st.fragment(_prepared, run_every=_POLL)(spec, offer)
    else:
        _row(spec, look, offer)


def _prepared(spec: ModelSpec, offer: bool) -> None:
    """Draw a model that is being prepared; the page is drawn again when that ends."""
    job: Job = st.session_state["model-jobs"][spec.name]
    queue().keep_alive(job, session=session_id())
    look = queue().look(job)
    if look.finished:
        st.rerun()
    _row(spec, look, offer)


def _row(spec: ModelSpec, look: Snapshot | None, offer: bool) -> None:
    loaded = predictor(models.key_of(spec.name)) is not None
    disk = on_disk(spec)
    with st.container(key=f"model-{spec.name}", gap="xsmall"):
        st.html(_figures(spec, disk, loaded))
        model_export.draw(spec)
        if look is not None and not look.finished:
            _progress(spec, look)
            return
        if look is not None and loaded:
            spoken.announce(f"{spec.title} is loaded.")
        if not offer:
            return
        refused = look.error if look is not None and not loaded else None
        if refused:
            notices.failed(spec.title, refused, partial(_prepare, spec.name), key=f"prepare-{spec.name}")
        removable = disk.total and settings.ALLOW_REMOVE.value() and spec.name != models.default_name()
        preparable = not loaded and not refused and _fits(spec)
        exportable = model_export.offered(spec)
        if not (preparable or removable or exportable):
            return
        with st.container(horizontal=True, gap="small"):
            if preparable:
                st.button(
                    "Prepare",
                    key=f"prepare-{spec.name}",
                    on_click=_prepare,
                    args=(spec.name,),
                    icon=":material/bolt:",
                )
            if exportable:
                model_export.control(spec)
            if removable:
                _removal(spec, disk)


def _fits(spec: ModelSpec) -> bool:
    return needed_mb(spec) <= memory.budget_mb()


def _figures(spec: ModelSpec, disk: OnDisk, loaded: bool) -> str:
    accuracy = spec.accuracy
    source = (
        f'<a href="{html.escape(accuracy.source)}" target="_blank" '
        f'aria-label="{accuracy.top1:.1f} %: source for {html.escape(spec.title)}">{accuracy.top1:.1f} %</a>'
        if accuracy
        else "–"
    )
    name = f"<h3>{html.escape(spec.title)}</h3>"
    about = spec.family if spec.family.lower() != spec.title.lower() else ""
    if spec.name == models.default_name():
        about = "the default"
    values = (
        f"{spec.parameters:.1f} M" if spec.parameters else "–",
        f"{megabytes(spec.weights.size)} MB",
        source,
        _fetches(spec),
        f"{megabytes(disk.total)} MB" if disk.total else "nothing",
        spec.proof if spec.given is None else "–",
        _state(spec, disk, loaded),
    )
    pairs = "".join(
        f"<div><dt>{column}</dt><dd>{value}</dd></div>"
        for column, value in zip(_COLUMNS[1:], values, strict=True)
    )
    return (
        f'<div class="fcn-model"><div class="name">{name}<span class="fcn-muted">{html.escape(about)}</span></div>'
        f"<dl>{pairs}</dl></div>"
    )


def _fetches(spec: ModelSpec) -> str:
    if find_weights(spec) is not None:
        return "nothing"
    return f"{megabytes(spec.weights.size)} MB" if spec.weights.digest else "bring the file"


def _state(spec: ModelSpec, disk: OnDisk, loaded: bool) -> str:
    if loaded:
        return "loaded"
    if not _fits(spec):
        return f"needs {needed_mb(spec):.0f} MB of memory"
    if disk.prepared:
        return "prepared"
    return "weights found" if find_weights(spec) is not None else "not downloaded"


def _progress(spec: ModelSpec, look: Snapshot) -> None:
    fetched = predictors().fetched.get(models.key_of(spec.name))
    if fetched is not None:
        share = fetched[0] / max(fetched[1], 1)
        st.progress(share, f"{fetched[0] / 1e6:.0f} of {fetched[1] / 1e6:.0f} MB")
        return
    waiting = look.state == "queued"
    st.progress(0.0, "Waiting for other work" if waiting else "Preparing, some seconds the first time")


def _prepare(name: str) -> None:
    jobs: dict[str, Job] = st.session_state.setdefault("model-jobs", {})
    jobs[name] = queue().prepare(caches.sample(DEFAULT), ModelKey(name), session=session_id())


def _removal(spec: ModelSpec, disk: OnDisk) -> None:
    """Draw the button that asks, and the one that removes."""
    parts = {"downloaded weights": disk.weights, "prepared graphs": disk.graphs}
    what = " and ".join(f"{megabytes(size)} MB of {part}" for part, size in parts.items() if size)
    again = "fetches and prepares" if disk.weights else "prepares"
    with st.popover("Remove", icon=":material/delete:"):
        st.markdown(
            f"Remove {what} of {notices.escape_markdown(spec.title)} from the disk of the server? The next use {again} "
            "it again."
        )
        st.button(
            f"Remove {spec.title}",
            key=f"remove-{spec.name}",
            on_click=_remove,
            args=(spec.name,),
            icon=":material/delete:",
        )


def _remove(name: str) -> None:
    """Remove a model from the disk, unless somebody waits for it."""
    spec = model_spec(name)
    try:
        if not settings.ALLOW_REMOVE.value() or queue().works_with(name) or predictors().fetches(name):
            raise FcnError(
                f"Expected a model that nobody uses. Received {spec.title}, which is in use. Try again when it is idle."
            )
        freed = predictors().remove(spec)
    except FcnError as error:
        st.session_state["model-removed"] = (False, str(error))
        return
    st.session_state["model-jobs"].pop(name, None)
    st.session_state["model-removed"] = (
        True,
        f"{spec.title} is removed: {megabytes(freed)} MB are free again.",
    )


def cache_size() -> str:
    """Return the size of all downloaded weights and prepared graphs."""
    return f"{megabytes(cached_bytes(cache_dir()))} MB"
