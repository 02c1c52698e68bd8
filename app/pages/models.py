"""Models page: all models, what each needs, and buttons to prepare one in advance and to free its disk space."""

from __future__ import annotations

import os
from collections.abc import Mapping

import streamlit as st

from app.state.queue.jobs import Job, Snapshot
from app.state.session import session_id
from app.state.shared_queue import queue
from app.ui import figures, model_row, model_upload, notices
from fcn_core import settings
from fcn_core.errors import FcnError
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.zoo import ALL_MODELS, MODELS, offered, own_models
from fcn_core.system import memory
from fcn_core.system.installed import missing_engines, versions


def page() -> None:
    """Draw the page."""
    st.title("Models")
    notices.note(
        "Classifiers, converted to fully convolutional networks: the same weights, at any size of the "
        "picture. The first use of a model on a machine prepares it, which takes some seconds; after that it loads in "
        "under a second."
    )
    notices.note(
        "Top-1 is the published accuracy of the original classifier on ImageNet, with its source. The proof: the mean "
        "of the map equals the classifier's logits, or a map of one cell does. fcn verify --model NAME runs it; for "
        "the built-in models the page Learn does, too."
    )
    removed, said = st.session_state.pop("model-removed", (True, ""))
    if not removed:
        notices.problem(said)
    elif said:
        st.success(notices.escape_markdown(said), icon=":material/check:")
    with st.container(key="models", gap="small"):
        _list({spec.name: spec for spec in offered()})
    _machine()


def _list(offers: Mapping[str, ModelSpec]) -> None:
    """Draw the models: the built-in ones first, then those that a search finds among the others."""
    looks = _look()
    st.header("Built-in")
    st.html(model_row.head())
    for spec in MODELS.values():
        model_row.draw(spec, looks.get(spec.name), spec.name in offers)
    _own(looks)
    st.header("Other classifiers")
    listed = {**offers, **ALL_MODELS}
    others = [spec for name, spec in listed.items() if name not in MODELS and spec.given is None]
    asked = st.text_input(
        "Find a model", key="find-model", placeholder="Name or family, such as ConvNeXt", width=420
    )
    found = [spec for spec in others if _matches(spec, asked)]
    if any(spec.name not in offers for spec in found):
        notices.note(
            "The pages offer a model below once the setting FCN_MODELS names it, or is all. The command line runs each "
            "of them: fcn models --prepare NAME."
        )
    if not found:
        st.info(
            "No model has this name or family. Take a part of one, such as net, or empty the field.",
            icon=":material/search_off:",
        )
        return
    st.html(model_row.head())
    for spec in found:
        model_row.draw(spec, looks.get(spec.name), spec.name in offers)


def _own(looks: Mapping[str, Snapshot]) -> None:
    """Draw the models in the folder of the setting FCN_MODELS_DIR, and why some cannot be offered."""
    models = own_models()
    if not models and not model_upload.allowed():
        return
    st.header("Your own")
    if model_upload.allowed():
        model_upload.draw()
    if any(isinstance(each, ModelSpec) for each in models.values()):
        st.html(model_row.head())
    for each in models.values():
        if isinstance(each, ModelSpec):
            model_row.draw(each, looks.get(each.name), offer=True)
        else:
            notices.problem(
                str(each).replace(f"{settings.MODELS_DIR.value()}{os.sep}", "")
            )  # of no concern to visitors


def _matches(spec: ModelSpec, asked: str) -> bool:
    """Return whether all words of the search are parts of a model's name or family; case and hyphens are ignored."""
    text = f"{spec.name} {spec.title} {spec.family}".lower().replace("-", "")
    return all(word in text for word in asked.lower().replace("-", "").split())


def _machine() -> None:
    st.header("This machine")
    rows = [
        ("Memory the program may use", f"{memory.budget_mb() / 1024:.1f} GB"),
        ("Memory it uses now", f"{memory.rss_mb() / 1024:.1f} GB"),
        ("Class maps cached for all users", f"{queue().cache.nbytes / 2**20:.0f} MB"),
        ("Disk that all models use", model_row.cache_size()),
        *versions().items(),
        *missing_engines().items(),
    ]
    with st.container(width=520):
        st.html(figures.table(("", ""), rows))
    notices.note(
        "To allow less memory, set FCN_MEMORY_MB: large scales then run in bands, with the same results."
    )


def _look() -> dict[str, Snapshot]:
    jobs: dict[str, Job] = st.session_state.setdefault("model-jobs", {})
    for job in jobs.values():
        queue().keep_alive(job, session=session_id())
    return {name: queue().look(job) for name, job in jobs.items()}


try:
    page()
except FcnError as error:
    notices.problem(str(error))
