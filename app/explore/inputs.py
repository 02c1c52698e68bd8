"""The sidebar of Explore: what goes in. Picture, scales, model."""

from __future__ import annotations

import base64
import logging
from typing import Literal, cast

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.state import cached, picture_files, selection
from app.state.picture_files import GAVE_WAY, StoredFile
from app.state.pictures import Picture
from app.state.queue.forecasts import Cost
from app.state.queue.jobs import ModelKey, Source
from app.state.samples import DEFAULT, SAMPLES
from app.streamlit_patches import DeletedFile, UploadedFile
from app.ui import notices, page_scripts
from fcn_core.errors import FcnError, ScaleError
from fcn_core.images.decoding import FORMATS
from fcn_core.images.limits import Limits
from fcn_core.images.scales import MAX_SCALES, NOTEBOOK_SCALES, Fit, PlannedScale, Scale, plan_scales
from fcn_core.networks.zoo import MODELS
from fcn_core.system import memory

logger = logging.getLogger(__name__)

_SOURCES = ("Samples", "Upload", "Camera", "Link")


def start() -> tuple[str, ...]:
    """Take the address over into the widgets, once a session.

    Returns
    -------
    tuple of str
        Parameters that meant nothing.
    """
    state = st.session_state
    if "explore-started" in state:
        return ()
    chosen, ignored = selection.read(st.query_params.to_dict())
    state["explore-started"] = True
    is_sample = chosen.picture in SAMPLES
    state["source"] = "Samples" if is_sample else "Link" if chosen.picture else "Upload"
    state["picture"] = chosen.picture if is_sample else DEFAULT
    state["link"] = "" if is_sample else chosen.picture
    state["picture-gone"] = not chosen.picture  # it was in the memory of another session
    state["synset"] = chosen.synset or cached.ontology().find("cat").wnid
    state["synset-chosen"] = bool(chosen.synset)
    state["offered"] = tuple(sorted({*NOTEBOOK_SCALES, *chosen.scales}, key=_pixels))
    for scale in state["offered"]:
        state[f"scale-{scale}"] = scale in chosen.scales
    state["threshold"] = chosen.threshold
    for scale, weight in zip(sorted(chosen.scales, key=_pixels), chosen.weights, strict=False):
        state[f"weight-{scale}"] = weight
    return ignored


def _pixels(scale: Scale) -> tuple[int, Scale]:
    return scale.height * scale.width, scale


def choose_picture() -> Picture:
    """Draw the choice of a picture; after a bad one the last good one stays, with a message."""
    source = st.segmented_control(
        "Picture",
        _SOURCES,
        key="source",
        required=True,
        width="stretch",
        persist_state="session",
        help=f"{FORMATS}. An uploaded picture stays in this session's memory and goes with it.",
    )
    state = st.session_state
    try:
        picture = {"Samples": _sample, "Upload": _upload, "Camera": _camera, "Link": _link}[str(source)]()
        if picture is not None:
            state["explore-picture"] = picture
            state["picture-gone"] = False
    except FcnError as error:
        state["explore-problem"] = str(error)
    except Exception:
        logger.exception("A picture could not be read")
        state["explore-problem"] = notices.FAULT
    if "explore-picture" not in state:
        state["explore-picture"] = cached.sample(DEFAULT)
    return cast(Picture, state["explore-picture"])


def is_gone() -> bool:
    """Whether the address tells of an uploaded picture that this session does not have."""
    return bool(st.session_state.get("picture-gone"))


def _sample() -> Picture:
    def label(name: str) -> str:
        small = cached.thumbnail(name)
        title = SAMPLES[name].title
        if small is None:
            return f":material/cloud_download: {title}"
        return f"![](data:image/jpeg;base64,{base64.b64encode(small).decode()}) {title}"

    name = st.pills(
        "Samples",
        list(SAMPLES),
        key="picture",
        required=True,
        format_func=label,
        label_visibility="collapsed",
        persist_state="session",
    )
    chosen = SAMPLES[str(name)]
    notices.note(chosen.credit)
    return cached.sample(str(name))


def _upload_key() -> str:
    serial = st.session_state.get("upload-serial", 0)
    return f"upload-{serial}" if serial else "upload"


def _uploader(place: DeltaGenerator) -> UploadedFile | None:
    return place.file_uploader("Picture file", key=_upload_key(), label_visibility="collapsed")


def _upload() -> Picture | None:
    state = st.session_state
    place = st.empty()
    file = _uploader(place)
    if isinstance(state.get(_upload_key()), DeletedFile):  # the browser still lists it
        if isinstance(getattr(state.get("explore-picture"), "file", None), StoredFile):
            state["explore-problem"] = GAVE_WAY
        else:
            state["picture-gone"] = True
        state["upload-serial"] = state.get("upload-serial", 0) + 1
        file = _uploader(place)
    first = page_scripts.element(page_scripts.PICTURES_FIRST)
    st.html(first + notices.undelivered(Limits.from_env()), unsafe_allow_javascript=True)
    if file is None:
        return None
    return cached.read_upload(file.file_id, file.name, picture_files.uploaded(file))


def _camera() -> Picture | None:
    shot = st.camera_input("Take a picture", key="camera", label_visibility="collapsed")
    if shot is None:
        return None
    return cached.read_upload(shot.file_id, "camera", picture_files.uploaded(shot))


def _link() -> Picture | None:
    url = st.text_input(
        "Address of a picture",
        key="link",
        placeholder="https://",
        persist_state="session",
        help="Fetched by the server, from public addresses only, and treated like an upload.",
    )
    if not url or not url.strip():
        return None
    url = url.strip()
    picture = cached.fetch(url)
    if not picture.file.is_there:
        cached.fetch.clear(url)
        picture = cached.fetch(url)
    return picture


def choose_model() -> ModelKey:
    """Draw the choice of a model and its output stride."""
    with st.expander("Model", icon=":material/deployed_code:"):
        name = st.selectbox(
            "Model",
            list(MODELS),
            index=list(MODELS).index(selection.default().model),
            key="model",
            bind="query-params",
            label_visibility="collapsed",
        )
        stride = st.segmented_control(
            "Output stride",
            selection.STRIDES,
            default="32",
            key="stride",
            required=True,
            bind="query-params",
            help="Input pixels from one cell to the next. 16 and 8 dilate the last stages: finer maps, "
            "4 and 16 times the cells, more time.",
        )
        spec = MODELS[str(name)]
        key = ModelKey(spec.name, output_stride=int(str(stride)))
        ready = cached.predictor(key) is not None
        notices.note(
            f"{spec.title}, {spec.parameters:g} million parameters, {spec.licence}. "
            + ("Loaded." if ready else "Loads when first used.")
        )
    return key


def choose_scales(image: Source, model: ModelKey) -> tuple[tuple[Scale, ...], Fit]:
    """Draw the choice of scales, each with what it will cost, and how the picture is fitted to them."""
    state = st.session_state
    st.markdown(
        "**Scales**",
        help="Height × width of the network's input. A small one sees the whole, a large one the details. "
        "Beside each: rows × columns of cells, and the time and the memory of the whole program that this machine is "
        "expected to need.",
    )
    fit = cast(Fit, str(state.get("fit", "Aspect")).lower())
    chosen = []
    planned = {scale: plan_scales(image.height, image.width, [scale], fit)[0] for scale in state["offered"]}
    sizes = {scale: (plan.height, plan.width) for scale, plan in planned.items()}
    costs = cached.forecasts().of(model, sizes.values())
    for scale in state["offered"]:
        cost = _cost(model, sizes[scale], costs.get(sizes[scale]))
        if st.checkbox(
            f"**{scale.height} × {scale.width}** :small[:gray[{cost}]]",
            key=f"scale-{scale}",
            persist_state="session",
        ):
            chosen.append(scale)
    st.text_input(
        "Add a scale",
        key="new-scale",
        placeholder="Add another, such as 600x960",
        label_visibility="collapsed",
        on_change=_add_scale,
    )
    if "scale-problem" in state:
        notices.problem(state.pop("scale-problem"))
    fit_word = st.segmented_control(
        "Fit",
        selection.FITS,
        default="Aspect",
        key="fit",
        required=True,
        bind="query-params",
        help="Aspect keeps the picture's proportions at the same number of pixels. Exact stretches the picture to the "
        "scale, as the notebook does.",
    )
    return tuple(chosen), cast(Fit, str(fit_word).lower())


def _cost(model: ModelKey, size: tuple[int, int], cost: Cost | None) -> str:
    predictor = cached.predictor(model)
    if predictor is None:
        stride = model.output_stride
        return f"{-(-size[0] // stride)} × {-(-size[1] // stride)}"
    cells = predictor.cells(*size)
    text = f"{cells.y.size} × {cells.x.size}"
    if cost is None:
        return text
    text += f" · {cost.seconds:.1f} s · {cost.memory_mb / 1024:.1f} GB"
    if not cost.fits:
        return f"{text}]] :small[:red[does not fit into {memory.budget_mb() / 1024:.1f} GB"
    return f"{text} · in bands" if cost.banded else text


def _add_scale() -> None:
    state = st.session_state
    text = str(state["new-scale"] or "")
    state["new-scale"] = ""
    if not text.strip():
        return
    try:
        scale = Scale.parse(text)
        if scale not in state["offered"] and len(state["offered"]) >= MAX_SCALES:
            raise ScaleError(f"There are {MAX_SCALES} scales already. Expected no more.")
    except ScaleError as error:
        state["scale-problem"] = str(error)
        return
    state["offered"] = tuple(sorted({*state["offered"], scale}, key=_pixels))
    state[f"scale-{scale}"] = True


def plans_of(
    image: Source, scales: tuple[Scale, ...], fit: Literal["aspect", "exact"]
) -> tuple[PlannedScale, ...]:
    """What the chosen scales become for this picture; none where none is chosen."""
    return plan_scales(image.height, image.width, scales, fit) if scales else ()
