"""Why a classifier cannot become a fully convolutional network: each reason in one sentence.

Errors and the table in ``docs/models.md`` say the same, as both read it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fcn_core.errors import ConversionError


@dataclass(frozen=True)
class Refusal:
    """What the conversion needs, why, and what to change in a classifier that does not have it."""

    expected: str
    reason: str
    cure: str


REFUSALS: Mapping[str, Refusal] = {
    "graph": Refusal(
        "a functional or built sequential Keras model",
        "The graph of a subclassed or unbuilt model is not known.",
        "Call it on a picture once, or rebuild it with keras.Input.",
    ),
    "outputs": Refusal(
        "a classifier with one input and one output",
        "A class map belongs to one picture and one set of classes.",
        "Choose one: build a keras.Model with one of each from it.",
    ),
    "no head": Refusal(
        "a classifier that ends in global pooling or Flatten, and layers after it",
        "Without them nothing says which layers read a map of cells, and which a vector.",
        "Add GlobalAveragePooling2D and Dense.",
    ),
    "several maps": Refusal(
        "a head that pools one feature map",
        "Maps of several layers have different cells, which cannot be joined cell by cell.",
        "Pool the last feature map only.",
    ),
    "grid": Refusal(
        "feature maps of rows, columns and channels up to the head",
        "Tokens (transformers), sequences and reordered positions have no grid of cells.",
        "Choose a convolutional classifier.",
    ),
    "after the pooling": Refusal(
        "layers after the pooling that treat every cell alike",
        "Only a layer that computes with the channels of one cell can become a 1x1 convolution.",
        "Leave this layer out, or put it before the pooling.",
    ),
    "after Flatten": Refusal(
        "Dense as the first layer after Flatten that mixes its values",
        "Only Dense can become a convolution over a window of cells.",
        "Put this layer after the first Dense, or use GlobalAveragePooling2D.",
    ),
    "size": Refusal(
        "layers that accept an input of any size",
        "A class map of a larger picture needs them.",
        "Replace the layer with the fixed size.",
    ),
    "windows": Refusal(
        "layers whose windows are known (convolution, pooling, padding, pointwise)",
        "Otherwise the cells cannot be placed on the picture.",
        "Choose another network, or move this layer out of it.",
    ),
}


def refusal(key: str, received: str) -> ConversionError:
    """Return the error for a classifier that is refused for the reason `key`; `received` says what it has instead."""
    why = REFUSALS[key]
    return ConversionError(f"Expected {why.expected}. Received {received}. {why.reason} {why.cure}")


FILE_REFUSALS: Mapping[str, Refusal] = {
    "kind": Refusal(
        "a model file of Keras: name.keras, or a whole model in name.h5",
        "Other formats hold a program, or not what the layers are.",
        'Load it where it was made, and save it with Keras 3: model.save("name.keras").',
    ),
    "weights only": Refusal(
        "a whole model",
        "Weights alone do not say which layers they belong to.",
        'Load them into the model with load_weights, and save the model: model.save("name.keras").',
    ),
    "damaged": Refusal(
        "a complete model file that Keras 3 can load",
        "It was cut off, changed, or made by a version with other layers.",
        'Save the model again with Keras 3: model.save("name.keras").',
    ),
    "code": Refusal(
        "layers without Python code or programs of other libraries",
        "Code in a file could do anything on this machine; none of it was run.",
        "Save the model again without this layer: use keras.layers.Rescaling, or another layer of keras.layers.",
    ),
    "custom": Refusal(
        "layers and functions of Keras, or registered ones",
        "A file holds only the name of another class, not what it computes.",
        "Rebuild the model with keras.layers and save it again, or in Python first import the code that registers it "
        "(keras.saving.register_keras_serializable).",
    ),
    "not pictures": Refusal(
        "layers of Keras that compute with pictures",
        "Others, such as those for text, can read files or work without end.",
        "Save the model again without this layer.",
    ),
    "Keras 2": Refusal(
        "operations of Keras 3",
        "Keras 3 does not have the operations of TensorFlow that Keras 2 put into models.",
        "Rebuild the model with keras.layers or keras.ops in Keras 3, and save it again.",
    ),
    "elsewhere": Refusal(
        "a model file that holds everything itself",
        "A link or path would read other files of this machine; none was read.",
        'Save the model again with Keras: model.save("name.keras").',
    ),
    "bomb": Refusal(
        "weights for every layer in the file, not packed to a small part of their size",
        "A small file that becomes a large model fills the memory.",
        'Save the model again with Keras: model.save("name.keras").',
    ),
    "limits": Refusal(
        "a model of usual size",
        "Reading an endless configuration would take all memory or time.",
        "Use fewer layers, and models inside models less deep.",
    ),
}


def file_refusal(key: str, received: str) -> ConversionError:
    """Return the error for a model file that is refused for the reason `key`; `received` says what it has."""
    why = FILE_REFUSALS[key]
    return ConversionError(f"Expected {why.expected}. Received {received}. {why.reason} {why.cure}")
