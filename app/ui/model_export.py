"""The control of the Models page that exports a network: choose a format, watch it being made, download the archive."""

from __future__ import annotations

import streamlit as st

from app.state.exports import STEPS, Export, allowed, exports
from app.state.session import session_id
from app.state.shared_queue import memory_for_a_file
from app.ui import notices, spoken
from fcn_core.errors import FcnError
from fcn_core.networks.spec import ModelSpec
from fcn_core.portable.formats import FORMATS, Format
from fcn_core.portable.network import install, missing_packages, needed_mb
from fcn_core.system import memory
from fcn_core.system.folders import megabytes

_POLL, _POLL_DONE = 0.5, 15.0  # seconds between two looks; those at a finished export keep its archive
_PROGRAMS = {
    "keras": "Keras 3, to train it on",
    "onnx": "ONNX Runtime, most programs",
    "openvino": "OpenVINO, Intel processors",
    "litert": "LiteRT, phones",
    "saved_model": "TensorFlow and its servers",
}


def asked(spec: ModelSpec) -> Export | None:
    """Return the export of a model that this session has asked for, unless it was cancelled."""
    export: Export | None = st.session_state.get("model-export")
    return (
        export if export is not None and export.model == spec.name and export.state != "cancelled" else None
    )


def possible(spec: ModelSpec) -> list[Format]:
    """Return the formats in which a model can be exported here; none if the deployer does not allow it."""
    if not allowed(spec):
        return []
    most = memory.budget_mb() - memory.reserved_mb()
    return [kind for kind in FORMATS.values() if not missing_packages(kind) and needed_mb(spec, kind) <= most]


def offered(spec: ModelSpec) -> bool:
    """Return whether a model can be exported here, and is not being exported for this session."""
    export = asked(spec)
    return bool(possible(spec)) and (export is None or not export.under_way)


def control(spec: ModelSpec) -> None:
    """Draw the button that opens the choice of a format."""
    formats = possible(spec)
    with st.popover("Export", icon=":material/output:"):
        titles = {kind.title: kind for kind in formats}
        chosen = st.radio(
            f"{spec.title} for other programs, as",
            titles,
            captions=[f"for {_PROGRAMS[kind.name]}" for kind in formats],
            key=f"format-{spec.name}",
        )
        for kind in FORMATS.values():
            if kind not in formats:
                notices.note(_why_not(spec, kind))
        st.button(
            f"Export {spec.title}",
            key=f"make-{spec.name}",
            on_click=_ask,
            args=(spec.name, titles[str(chosen)].name),
            icon=":material/output:",
        )


def draw(spec: ModelSpec) -> None:
    """Draw the export that this session has asked for, if it is of this model; say once why one was refused."""
    refused = st.session_state.get("export-refused")
    if refused is not None and refused[0] == spec.name:
        del st.session_state["export-refused"]
        notices.problem(refused[1])
    export = asked(spec)
    if export is not None:
        st.fragment(_watched, run_every=_POLL if export.under_way else _POLL_DONE)(export, export.under_way)


def _why_not(spec: ModelSpec, kind: Format) -> str:
    missing = missing_packages(kind)
    if missing:
        return f"{kind.title}: {' and '.join(missing)} is not installed. {install(missing)}."
    return f"{kind.title}: needs {needed_mb(spec, kind):.0f} MB of memory."


def _watched(export: Export, under_way: bool) -> None:
    """Draw an export; the page is drawn again when it ends, and when its archive was removed."""
    exports().keep_alive(export, session=session_id())
    if export.under_way != under_way or export.state == "cancelled":
        st.rerun()
    title, kind = export.spec.title, export.kind
    if export.under_way:
        with st.container(horizontal=True, vertical_alignment="center", key=f"exporting-{export.model}"):
            st.progress(STEPS.index(export.step) / len(STEPS), _progress(export))
            st.button(
                "Cancel",
                key=f"stop-export-{export.model}",
                on_click=_leave,
                args=(export,),
                icon=":material/stop:",
            )
    elif export.state == "failed":
        notices.problem(f"{title} was not exported as {kind.title}. {export.error}")
    else:
        spoken.announce(f"{title} is exported as {kind.title}.")
        st.download_button(
            f"Download {title} as {kind.title}, {megabytes(export.size)} MB",
            memory_for_a_file()(export.read),
            f"{export.model}-{export.format}.zip",
            "application/zip",
            key=f"export-{export.model}",
            on_click="ignore",
            icon=":material/download:",
        )


def _progress(export: Export) -> str:
    kind, place = export.kind, exports().place(export)
    if place or export.state == "queued":
        before = place - 1
        return (
            f"Waiting for {before} other export{'s' * (before != 1)}"
            if before
            else "Waiting for another export"
        )
    if export.fetched is not None:
        return f"Fetching the weights: {export.fetched[0] / 1e6:.0f} of {export.fetched[1] / 1e6:.0f} MB"
    return {
        "wait": "Waiting for memory",
        "write": f"Writing the network as {kind.title}, some seconds",
        "check": f"Checking the file in {kind.runtime[1]}",
        "pack": "Packing the archive",
    }[export.step]


def _ask(name: str, kind: str) -> None:
    try:
        st.session_state["model-export"] = exports().ask(name, kind, session=session_id())
    except FcnError as error:
        st.session_state["export-refused"] = name, str(error)


def _leave(export: Export) -> None:
    exports().leave(export, session=session_id())
    st.session_state.pop("model-export", None)
