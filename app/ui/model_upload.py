"""The part of the Models page that takes a visitor's own model, where the deployer allows it."""

from __future__ import annotations

import streamlit as st

from app.streamlit_patches import DeletedFile
from app.ui import notices
from fcn_core import settings
from fcn_core.errors import FcnError
from fcn_core.networks.added_model import add_model

_KEY, _LABELS = "model-file", "model-labels"


def allowed() -> bool:
    """Return whether visitors may add models: only where the deployer says so, and has a folder for them."""
    return settings.ALLOW_MODELS.value() and settings.MODELS_DIR.value() is not None


def draw() -> None:
    """Draw the form, and say what became of the last model."""
    added, said = st.session_state.pop("model-added", (True, ""))
    if not added:
        notices.problem(said)
    elif said:
        st.success(notices.escape_markdown(said), icon=":material/check:")
    with st.expander("Add a Keras model", icon=":material/add:"):
        notices.note(
            "Everybody who uses this server can then choose it. Nothing in the file is executed; a file with code in "
            "it is refused when it is prepared."
        )
        st.file_uploader("Model (.keras or .h5)", key=_KEY)
        st.text_area(
            "Classes, one a line, in the order of the outputs",
            key=_LABELS,
            placeholder="disc\nsquare",
            height=110,
        )
        st.button("Add", key="add-model", on_click=_add, icon=":material/add:")


def _add() -> None:
    file = st.session_state.get(_KEY)
    try:
        if file is None or isinstance(file, DeletedFile):
            raise FcnError("Expected the file of a model. Received none. Choose one, or choose it again.")
        name = add_model(file.name, file.getbuffer(), st.session_state.get(_LABELS) or "")
        st.session_state["model-added"] = (
            True,
            f"{name} is among the models. Prepare it, or choose it on Explore.",
        )
    except FcnError as error:
        st.session_state["model-added"] = False, str(error)
