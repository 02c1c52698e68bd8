"""Every cell of the course notebook of 2020 has its place in the lesson."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from app.lesson.text import (
    CheckBlock,
    Code,
    Figure,
    Lesson,
    Prose,
    Question,
    Snippet,
    names_of,
    read_lesson,
)

LESSONS = {lesson.name: lesson for lesson in read_lesson("en")}


@dataclass(frozen=True)
class Place:
    """Where a cell of the notebook is in the lesson.

    Attributes
    ----------
    kind : str
        "figure", "check", "question" or "code": a block of this name; "value": a live value; "snippet" and "prose":
        text that stands in one.
    """

    step: str
    kind: str
    name: str


# The cells in the notebook's order: what they do, and where the lesson does it.
CELLS: dict[str, tuple[Place, ...]] = {
    "text: objectives": (
        Place("1", "figure", "layers"),
        Place("2", "figure", "proof"),
        Place("8", "figure", "mask"),
    ),
    "imports, np.random.seed(1)": (Place("3", "value", "random_shape"),),
    "ResNet50(include_top=False), output_shape": (
        Place("1", "figure", "resnet"),
        Place("1", "value", "resnet_output"),
        Place("1", "snippet", "ResNet50(include_top=False"),
    ),
    "base_model.summary()": (
        Place("1", "value", "resnet_layers"),
        Place("1", "value", "resnet_parameters"),
    ),
    "res5c = base_model.layers[-1]; type(res5c)": (Place("1", "value", "resnet_last"),),
    "res5c.output_shape": (
        Place("1", "value", "resnet_features"),
        Place("since-2020", "snippet", "res5c.output_shape"),
    ),
    "text: fully convolutional ResNet, the regular head": (
        Place("1", "snippet", "GlobalAveragePooling2D()"),
        Place("1", "value", "resnet_grid"),
        Place("2", "prose", "convolution with a window of 1 × 1"),
    ),
    "class SoftmaxMap": (
        Place("3", "code", "fcn_core.networks.layers.SoftmaxMap"),
        Place("since-2020", "snippet", "tf.math.reduce_max"),
    ),
    "random_data.shape": (Place("3", "value", "random_shape"),),
    "random_data[0].sum(axis=-1)": (Place("3", "figure", "sums"), Place("3", "value", "cell_sum_before")),
    "softmaxMap(random_data).shape": (Place("3", "figure", "cell"),),
    "softmax_mapped_data[0]": (Place("3", "figure", "cell"),),
    "softmax_mapped_data[0].sum(axis=-1)": (
        Place("3", "figure", "sums"),
        Place("3", "check", "sums"),
        Place("3", "value", "cell_sum_after"),
    ),
    "random_data[0].argmax(axis=-1)": (Place("3", "figure", "sums"), Place("3", "value", "same_classes")),
    "softmax_mapped_data[0].argmax(axis=-1)": (Place("3", "figure", "sums"), Place("3", "value", "kept")),
    "exercise: shape of the kernel": (
        Place("2", "value", "convolution_shape"),
        Place("2", "prose", "what is the shape of the new window"),
    ),
    "exercise: build the model": (Place("2", "snippet", "fully_conv_ResNet = Model("),),
    "solution: Convolution2D(1000, (1, 1)), SoftmaxMap, Model": (
        Place("2", "snippet", 'keras.layers.Conv2D(1000, kernel_size=(1, 1), name="conv1000")'),
        Place("2", "snippet", "keras.Model(base_model.inputs, output)"),
    ),
    "fully_conv_ResNet(np.random.randn(1, 200, 300, 3)).shape": (
        Place("4", "question", "noise"),
        Place("4", "figure", "noise"),
        Place("4", "check", "shape"),
    ),
    "prediction_maps.sum(axis=-1)": (
        Place("4", "figure", "noise_sums"),
        Place("4", "check", "cells"),
    ),
    "weights of the Dense layer": (
        Place("2", "value", "dense_shape"),
        Place("since-2020", "snippet", "complete_model.layers[-1].get_weights()"),
    ),
    "shapes of both layers' weights": (
        Place("2", "snippet", "last_layer.get_weights()[0].shape == (1, 1, 2048, 1000)"),
    ),
    "reshape and set_weights": (
        Place("2", "snippet", "last_layer.set_weights([w.reshape((1, 1, 2048, 1000)), b])"),
        Place("2", "figure", "proof"),
    ),
    "forward_pass_resize": (
        Place("4", "snippet", "resize(picture, (800, 600)"),
        Place("since-2020", "snippet", "preprocess_input"),
    ),
    'forward_pass_resize("dog.jpg", (800, 600))': (
        Place("4", "question", "forward"),
        Place("4", "figure", "forward"),
        Place("4", "check", "forward"),
    ),
    "imagenet_tool, meta_clsloc.mat": (
        Place("5", "prose", "meta_clsloc.mat"),
        Place("5", "snippet", 'first["ILSVRC2014_ID"].item()'),
    ),
    "synset_to_dfs_ids(n02084071)": (
        Place("5", "figure", "tree"),
        Place("5", "value", "dog_classes"),
        Place("5", "code", "fcn_core.synsets.ontology.Ontology.naive_class_ids"),
    ),
    "id_to_words of the first ten dogs": (Place("5", "figure", "words"),),
    "build_heatmap": (
        Place("5", "code", "fcn_core.maps.heatmap.synset_heatmap"),
        Place("5", "question", "twice"),
    ),
    "display_img_and_heatmap": (Place("6", "figure", "pyramid"),),
    "exercise: size of the heatmap, four sizes": (
        Place("6", "figure", "pyramid"),
        Place("6", "value", "notebook_grids"),
    ),
    "exercise: what do you observe?": (Place("6", "question", "scales"), Place("6", "figure", "beside")),
    "combine by resizing, arithmetic and geometric mean": (
        Place("7", "figure", "notebook_means"),
        Place("7", "check", "notebook_means"),
        Place("7", "code", "app.lesson.experiments.notebook_means"),
        Place("7", "value", "notebook_finest"),
    ),
    '"better information about the location"': (
        Place("7", "figure", "agree"),
        Place("8", "figure", "compared"),
    ),
    "bonus: train a segmentation": (
        Place("2", "prose", "then trained them on outlines"),
        Place("8", "prose", "learned from photographs with masks"),
    ),
}


def stands(place: Place, lesson: Lesson) -> bool:
    """Whether a place is still in the lesson."""
    match place.kind:
        case "figure" | "check" | "question" | "code":
            kind = {"figure": Figure, "check": CheckBlock, "question": Question, "code": Code}[place.kind]
            return any(isinstance(block, kind) and block.name == place.name for block in lesson.blocks)
        case "value":
            return any(place.name in names_of(block) for block in lesson.blocks)
        case "snippet":
            return any(isinstance(block, Snippet) and place.name in block.code for block in lesson.blocks)
        case "prose":
            texts = (block.text.replace("\n", " ") for block in lesson.blocks if isinstance(block, Prose))
            return any(place.name in text for text in texts)
    raise AssertionError(place.kind)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_of_the_notebook_has_its_place(cell: str) -> None:
    assert CELLS[cell]
    for place in CELLS[cell]:
        assert stands(place, LESSONS[place.step]), place


def test_a_place_that_is_gone_is_noticed() -> None:
    for kind in ("figure", "check", "question", "code", "value", "snippet", "prose"):
        assert not stands(Place("1", kind, "no such place"), LESSONS["1"])
