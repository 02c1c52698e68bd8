"""Make the network and write its file, with Keras' own exporters, in a process of its own.

The network takes RGB pixels 0..255 of any size: its preprocessing is inside. It has two outputs. Logits are what the
classifier's answer is the mean of, and what finds objects best; probabilities are what most programs show, and whether
a classifier makes them by softmax or sigmoid is its own affair. The logits are there anyway, and a softmax costs
next to nothing.

OpenVINO files are made by :func:`fcn_core.engines.tracing.to_openvino`, which says why.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fcn_core.errors import ConversionError
from fcn_core.portable.formats import FORMATS, INPUT, OUTPUTS, Format, backend_of
from fcn_core.system.child import exit_status

if TYPE_CHECKING:
    import keras

    from fcn_core.networks.spec import ModelSpec, Preprocessing

_SIDE = 224  # of the pictures that are compared, where the network has a cell for them


def portable_network(probabilities: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """Return a network from RGB pixels 0..255 to maps of logits and of probabilities.

    Parameters
    ----------
    probabilities : keras.Model
        A converted classifier with ``output="probabilities"`` and channels last.
    preprocessing : Preprocessing

    Returns
    -------
    keras.Model
        With the input ``image`` of shape (N, h, w, 3) and a dictionary of two outputs. It is made of Keras' own layers
        as far as they can do it, so that its file can be loaded without this program.
    """
    import keras

    if probabilities.inputs[0].shape[-1] != 3:
        raise ConversionError(
            f"Expected a classifier of RGB pictures with channels last. Received {probabilities.name!r}, whose input "
            f"has the shape {probabilities.inputs[0].shape}. Build it with channels last."
        )
    by_sigmoid = getattr(probabilities.get_layer("probabilities"), "activation", None) is not None
    logits = _with_constants(keras.Model(probabilities.inputs[0], _logits_of(probabilities), name="network"))
    image = keras.Input((None, None, 3), name=INPUT, dtype="float32")
    values = logits(_preprocessed(image, preprocessing))
    to_probabilities = (
        keras.layers.Activation("sigmoid", name="probabilities")
        if by_sigmoid
        else keras.layers.Softmax(name="probabilities")
    )
    outputs = {
        "logits": keras.layers.Identity(name="logits")(values),
        "probabilities": to_probabilities(values),
    }
    return keras.Model(image, outputs, name=probabilities.name)


def _logits_of(probabilities: keras.Model) -> Any:
    """Return the logits of a network: its layer's own output may be that of an earlier graph, which called it too."""
    from fcn_core.networks.graph import nodes_of

    return next(node.outputs[0] for node in nodes_of(probabilities) if node.operation.name == "logits")


def _with_constants(network: keras.Model) -> keras.Model:
    """Replace the normalisation of pixels by a rescaling with the same numbers, whose constants are in its graph.

    Those of Keras' `Normalization` are tensors outside of it, of which tf2onnx makes inputs of the file.
    """
    import keras

    from fcn_core.networks.graph import layers_of, rebuild

    def rescaling(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Normalization):
            return layer
        mean = np.asarray(layer.mean, np.float64)
        deviation = np.maximum(np.sqrt(np.asarray(layer.variance, np.float64)), keras.config.epsilon())
        scale, offset = (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)
        if (
            max(mean.size, scale.size) > mean.shape[-1]
        ):  # other numbers for each place: the picture has a fixed size
            return layer
        return keras.layers.Rescaling(scale.ravel().tolist(), offset.ravel().tolist(), name=layer.name)

    if not any(isinstance(layer, keras.layers.Normalization) for layer in layers_of(network)):
        return network
    return rebuild(network, rescaling)


def _preprocessed(image: Any, preprocessing: Preprocessing) -> Any:
    import keras

    if preprocessing.order != (0, 1, 2):
        image = keras.ops.take(image, list(preprocessing.order), axis=-1)
    own = preprocessing.divisor
    divisors = own if isinstance(own, tuple) else (own,) * 3
    if any(preprocessing.mean) or set(divisors) != {1.0}:
        scales = [1 / divisor for divisor in divisors]
        offsets = [-mean / divisor for mean, divisor in zip(preprocessing.mean, divisors, strict=True)]
        image = keras.layers.Rescaling(scales, offsets, name="preprocessing")(image)
    return image


def write(network: keras.Model, format: Format, path: Path) -> None:
    """Write a network that `portable_network` made."""
    if format.name == "keras":
        network.save(path)
    elif format.name == "openvino":
        _write_openvino(network, path)
    elif format.name == "onnx":
        _write_onnx(network, path)
    else:
        _export(network, path, "tf_saved_model" if format.name == "saved_model" else format.name)


def _export(network: keras.Model, path: Path, kind: str) -> None:
    import keras

    signature = keras.InputSpec(shape=network.inputs[0].shape, dtype="float32", name=INPUT)
    network.export(str(path), format=kind, verbose=False, input_signature=[signature])


def _write_openvino(network: keras.Model, path: Path) -> None:
    import keras
    import openvino

    from fcn_core.engines.tracing import to_openvino

    in_order = keras.Model(network.inputs[0], [network.output[name] for name in OUTPUTS], name=network.name)
    model = to_openvino(in_order)
    for port, name in zip([*model.inputs, *model.outputs], [INPUT, *OUTPUTS], strict=True):
        port.get_tensor().set_names({name})
    openvino.save_model(model, path, compress_to_fp16=False)


def _write_onnx(network: keras.Model, path: Path) -> None:
    """Write ONNX with Keras' exporter, of which tf2onnx keeps the weights outside of the graph that it converts.

    Otherwise each of its 30 steps copies them: 45 times the weights in memory for ResNet50. tf2onnx then writes an
    archive of the graph and the weights, as it does for models of more than 2 GB.
    """
    onnx, converter = importlib.import_module("onnx"), importlib.import_module("tf2onnx").convert
    convert, parts = converter.from_function, path.with_suffix(".parts")
    converter.from_function = partial(convert, large_model=True)
    try:
        _export(network, path, "onnx")
    finally:
        converter.from_function = convert
    with zipfile.ZipFile(path) as archive:
        archive.extractall(parts)
    path.unlink()
    model = onnx.load(parts / "__MODEL_PROTO.onnx")  # with the weights beside it
    shutil.rmtree(parts)
    for ports, names in ((model.graph.input, ("batch", "height", "width")),
                         (model.graph.output, ("batch", "rows", "columns"))):  # fmt: skip
        for port in ports:
            for axis, name in zip(port.type.tensor_type.shape.dim, names, strict=False):
                axis.dim_param = name  # tf2onnx numbers them
    onnx.save(model, path)


def reference(probabilities: keras.Model, preprocessing: Preprocessing, side: int, path: Path) -> None:
    """Write pictures of two sizes and what the converted classifier says of them, preprocessed outside of it."""
    import keras

    outputs = [_logits_of(probabilities), probabilities.outputs[0]]
    both = keras.Model(probabilities.inputs[0], outputs)
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for number, size in enumerate(((side, side + 40), (side + 61, side))):
        picture = random.integers(0, 256, (*size, 3)).astype(np.float32)
        arrays[f"image{number}"] = picture[None]
        for name, value in zip(OUTPUTS, both(preprocessing.batch(picture)), strict=True):
            arrays[f"{name}{number}"] = np.asarray(value)
    np.savez(path, **arrays)


def make(spec: ModelSpec, weights: Path | None, output_stride: int, format: Format, folder: Path) -> None:
    """Write ``network`` + suffix, ``reference.npz`` and ``facts.json`` into a folder."""
    from fcn_core.networks.convert import convert
    from fcn_core.networks.graph import layers_of
    from fcn_core.networks.keras_settings import import_keras, keras_settings
    from fcn_core.networks.structure import read_geometry
    from fcn_core.networks.zoo import build_classifier
    from fcn_core.system import memory

    import_keras(backend_of(format), "choose format keras or openvino")
    with keras_settings():
        classifier = build_classifier(spec, weights)
        stride = None if output_stride == 32 else output_stride
        conversion = convert(classifier, output="probabilities", output_stride=stride)
        probabilities = conversion.network
        network = portable_network(probabilities, spec.preprocessing)
        geometry, _ = read_geometry(probabilities)
        own = spec.input_size or classifier.input_shape[1] or _SIDE  # a model of one's own may take any size
        side = max(min(own, _SIDE), geometry.smallest)  # Keras keeps all maps of a picture in memory
        reference(probabilities, spec.preprocessing, side, folder / "reference.npz")
        write(network, format, folder / f"network{format.suffix}")
        own = {type(layer).__module__ for layer in layers_of(network)}
        height, width = classifier.input_shape[1:3]
    facts = {
        "input_size": height if height == width else [height, width],
        "output_stride": geometry.stride,
        "classes": network.output["logits"].shape[-1],
        "exclusive": conversion.exclusive,
        "layers": sorted(module for module in own if module.startswith("fcn_core")),
        "peak_mb": memory.peak_rss_mb(),
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def _main(
    name: str, weights: str, output_stride: str, format_name: str, folder: str, preprocessing: str = ""
) -> None:
    from fcn_core.networks.zoo import model_spec

    path = Path(weights) if weights else None
    spec = model_spec(name, preprocessing=preprocessing or None)
    make(spec, path, int(output_stride), FORMATS[format_name], Path(folder))


if __name__ == "__main__":
    sys.exit(exit_status(partial(_main, *sys.argv[1:])))
