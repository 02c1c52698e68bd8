"""What decides how the network runs: the scales, how the picture is fitted to them, the model."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.state import address, caches, selection, session
from app.state.pictures import Picture
from app.state.predictors import predictor
from app.state.queue.forecasts import Cost
from app.state.queue.jobs import ModelKey
from app.state.selection import Selection
from app.ui import notices
from fcn_core.errors import ScaleError
from fcn_core.images.scales import MAX_SCALES, Scale, plan_scales
from fcn_core.networks.spec import ModelSpec
from fcn_core.networks.zoo import model_spec, offered
from fcn_core.system import memory


def draw(chosen: Selection, picture: Picture) -> None:
    """Draw the widgets."""
    _scales(chosen, picture)
    _model(chosen)


def _scales(chosen: Selection, picture: Picture) -> None:
    page, model = session.explore(), chosen.model_key
    widget = page.choices.widget
    st.markdown(
        "**Scales**",
        help="A small scale shows the whole picture, a large one its details. The time and the total memory of the "
        "program are what this machine is expected to need.",
    )
    notices.note("Height × width in pixels, rows × columns of the map, time, memory:")
    sizes = {}
    for scale in page.scales:
        (plan,) = plan_scales(picture.height, picture.width, [scale], chosen.fitting)
        sizes[scale] = plan.height, plan.width
    costs = caches.forecasts().of(model, sizes.values())
    for scale in page.scales:
        cost = _cost(model, sizes[scale], costs.get(sizes[scale]))
        st.checkbox(
            f"{scale.height} × {scale.width} · {cost}",
            **widget("scale", scale in chosen.scales, str(scale), partial(_choose_scale, scale)),
        )
    st.text_input(
        "Add a scale",
        key="new-scale",
        placeholder="Add another, such as 600x960",
        label_visibility="collapsed",
        on_change=_add_scale,
    )
    if page.scale_problem:
        notices.problem(page.scale_problem)
        page.scale_problem = ""
    st.segmented_control(
        "Fit",
        selection.FITS,
        required=True,
        help="Aspect keeps the picture's proportions at the same number of pixels. Exact stretches the picture to the "
        "scale, as the notebook does.",
        **widget("fit", initial="default"),
    )


def _cost(model: ModelKey, size: tuple[int, int], cost: Cost | None) -> str:
    loaded = predictor(model)
    if loaded is None:
        stride = model.output_stride
        return f"{-(-size[0] // stride)} × {-(-size[1] // stride)}"
    cells = loaded.cells(*size)
    text = f"{cells.y.size} × {cells.x.size}"
    if cost is None:
        return text
    text += f" · {cost.seconds:.1f} s · {cost.memory_mb / 1024:.1f} GB"
    if not cost.fits:
        return f"{text} · does not fit into {memory.budget_mb() / 1024:.1f} GB"
    return f"{text} · in bands" if cost.banded else text


def _add_scale() -> None:
    page, state = session.explore(), st.session_state
    text = str(state["new-scale"] or "")
    state["new-scale"] = ""
    if not text.strip():
        return
    try:
        scale = Scale.parse(text)
        if scale not in page.scales and len(page.scales) >= MAX_SCALES:
            raise ScaleError(
                f"Expected at most {MAX_SCALES} scales. Received one more. Use one of those in the list."
            )
    except ScaleError as error:
        page.scale_problem = str(error)
        return
    _choose_scale(scale, True)


def _size(spec: ModelSpec) -> str:
    """Return how large a model is; nothing but its file tells how many parameters one's own has."""
    return (
        f"{spec.parameters:g} million parameters" if spec.parameters else f"{spec.weights.size / 1e6:.1f} MB"
    )


def _choose_scale(scale: Scale, on: bool) -> None:
    choices = session.explore().choices
    before = choices.now
    scales = address.coarse_first({*before.scales, scale} if on else {*before.scales} - {scale})
    weights = {str(each): before.weight(str(each)) for each in before.scales}
    choices.choose(scales=scales)
    choices.choose(weights=selection.weighted(choices.now, weights))


def _model(chosen: Selection) -> None:
    widget = session.explore().choices.widget
    with st.expander("Model", icon=":material/deployed_code:"):
        names = [spec.name for spec in offered()]
        st.selectbox(
            "Model",
            names,
            names.index(chosen.model),
            format_func=lambda name: model_spec(name).title,
            label_visibility="collapsed",
            **widget("model", choose=session.choose_model, initial=""),
        )
        st.segmented_control(
            "Output stride",
            selection.STRIDES,
            required=True,
            help="Input pixels from one cell to the next. 16 and 8 dilate the last stages: finer maps with 4 and 16 "
            "times as many cells, which take longer.",
            **widget("stride", initial="default"),
        )
        spec = model_spec(chosen.model)
        notices.note(
            f"{spec.title}, {_size(spec)}, {spec.licence}. "
            + ("Loaded." if predictor(chosen.model_key) is not None else "Loads when first used.")
        )
