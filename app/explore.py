"""Explore page: a picture, a synset, its heatmaps."""

from __future__ import annotations

import time

import skimage.data
import streamlit as st

from app import cached
from app.jobs import ModelKey
from fcn_core import render
from fcn_core.errors import FcnError
from fcn_core.images import image_from_array, read_image
from fcn_core.pipeline import interpret
from fcn_core.pyramid import NOTEBOOK_SCALES

st.title("Where does the network see it?")
upload = st.sidebar.file_uploader("Picture", type=["jpg", "jpeg", "png", "webp"])
try:
    image = (
        read_image(upload.getvalue(), name=upload.name)
        if upload
        else image_from_array(skimage.data.chelsea(), "cat")
    )
    query = st.text_input("Synset", "cat")
    synset = cached.ontology().find(query)
    labels = st.sidebar.pills(
        "Scales",
        [str(s) for s in NOTEBOOK_SCALES],
        selection_mode="multi",
        default=["200x320", "400x640", "800x1280"],
    )
    job = cached.queue().submit(
        image, ModelKey("efficientnet-lite2"), tuple(s for s in NOTEBOOK_SCALES if str(s) in labels), "aspect"
    )
    bar = st.empty()
    while not (now := cached.queue().look(job)).finished:
        bar.progress(now.share, now.state)
        time.sleep(0.1)
    bar.empty()
    if now.error:
        st.error(now.error)
    else:
        result = interpret(
            image, now.class_maps, synset, cached.predictor(ModelKey("efficientnet-lite2")).info
        )
        cols = st.columns(3)
        cols[0].image(image.pixels, width="stretch", caption="photo")
        cols[1].image(
            render.colourise(result.arithmetic.values),
            width="stretch",
            caption=f"arithmetic {result.arithmetic.peak:.2f}",
        )
        cols[2].image(
            render.colourise(result.geometric.values),
            width="stretch",
            caption=f"geometric {result.geometric.peak:.2f}",
        )
        for column, (key, heatmap) in zip(st.columns(len(result.heatmaps)), result.heatmaps.items()):
            column.image(
                render.colourise(heatmap.values),
                width="stretch",
                caption=f"{key} {heatmap.grid} {heatmap.peak:.2f}",
            )
except FcnError as error:
    st.error(str(error))
