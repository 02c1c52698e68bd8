"""What may stand in the configuration of a user's model: layers of Keras that compute, and nothing that runs code.

Keras' own safe mode refuses Python code in a file. It still imports modules and calls classes that a file names. So
every name in a configuration is held to the list here before Keras sees it, and the copy that Keras reads has neither
training settings nor references to files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fcn_core.networks.refusals import file_refusal

MOST_BYTES = 2**24  # of a configuration; NASNetLarge's has 1.5 million
_MOST_OBJECTS, _DEEPEST = 50_000, 100
_MOST_LATE = 200  # layers before those that they use: Keras goes through all again for each of them

_LAYERS = """
    Activation ActivityRegularization AdaptiveAveragePooling2D AdaptiveMaxPooling2D Add AdditiveAttention AlphaDropout
    Attention AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool2D BatchNormalization
    CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Convolution2D
    Convolution2DTranspose Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU
    EinsumDense Embedding Equalization Flatten GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool2D GlobalMaxPool2D GlobalMaxPooling1D
    GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity InputLayer
    LayerNormalization LeakyReLU Masking MaxPool2D MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum
    MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RandomBrightness
    RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip
    RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation
    RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape
    Resizing SeparableConv1D SeparableConv2D SeparableConvolution2D Softmax Solarization SpatialDropout1D
    SpatialDropout2D SpatialDropout3D Subtract UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
    ZeroPadding2D ZeroPadding3D
"""
CODE = (
    "Lambda",
    "TFSMLayer",
    "TorchModuleWrapper",
    "JaxLayer",
    "FlaxLayer",
    "__lambda__",
    "__typespec__",
    "TypeSpec",
)
_KERAS_2_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "TensorFlowOpLayer")
_INITIALIZERS = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal
    RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
"""
# by the module that a file names: what may be taken from it
ALLOWED: Mapping[str, frozenset[str]] = {
    "layers": frozenset(_LAYERS.split()),
    "models": frozenset(("Functional", "Sequential", "Model")),
    "applications": frozenset(("LayerScale", "StochasticDepth", "CustomScaleLayer")),
    "initializers": frozenset(_INITIALIZERS.split()),
    "regularizers": frozenset(("L1", "L2", "L1L2", "OrthogonalRegularizer")),
    "constraints": frozenset(("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")),
    "dtype_policies": frozenset(("DTypePolicy", "FloatDTypePolicy", "DTypePolicyMap", "Policy")),
    "backend": frozenset(("SeedGenerator",)),
    "random": frozenset(("SeedGenerator",)),
}  # fmt: skip
_ANY_MODULE = frozenset[str]().union(*ALLOWED.values())  # Keras 2 names no module in .h5 files
_OPERATIONS = re.compile(r"keras\.src\.ops\.(numpy|nn|math|image)")  # arithmetic on tensors
_ACTIVATIONS = """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
    log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid
    sparsemax squareplus swish tanh tanh_shrink threshold
"""
_ARRAYS = ("__tensor__", "__numpy__")
_VALUES = (*_ARRAYS, "__keras_tensor__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__", "TensorShape")
_NUMBERS = re.compile(r"(b?float|u?int)(4|8|16|32|64)|bool|float8_e[45]m[23](fn)?")
_QUANTISED = re.compile(r"Quantized\w*|Int[48]DTypePolicy|\w+Quantizer|\w*QuantizationConfig|(AWQ|GPTQ)\w+")
_REDUCED = (
    "mixed_float16",
    "mixed_bfloat16",
    "float16",
    "bfloat16",
)  # read as float32, in which the engines run
_FILES = ("vocabulary", "file_path", "filepath", "fname", "url")


def checked_config(text: bytes | str, where: str) -> dict[str, Any]:
    """Return the configuration of a model, without training settings, if it may be given to Keras.

    Parameters
    ----------
    text : bytes or str
        JSON, as Keras stores it.
    where : str
        Name of the file, for messages.

    Raises
    ------
    ConversionError
        It names something that is not on the list, or is too large.
    """
    if len(text) > MOST_BYTES:
        raise file_refusal("limits", f"{where}, whose configuration has {len(text)} bytes")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise file_refusal("damaged", f"{where}, whose configuration is not JSON ({error!s:.120})") from error
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise file_refusal("damaged", f"{where}, whose configuration names no model")
    reader = _Reader(where)
    checked: dict[str, Any] = reader.read(config, 0)
    inside = checked.get("config")
    if isinstance(inside, dict):
        match inside.get("input_layers"):
            case [
                [str(), *_] as only
            ]:  # a list of one input, as Keras 2 saves all: the model is called on a picture
                inside["input_layers"] = only
    return checked


def _late(layers: list[Any]) -> int:
    """Return how many layers name one that is listed later."""
    names = [each.get("name") if isinstance(each, dict) else None for each in layers]
    known, seen, late = {name for name in names if isinstance(name, str)}, set[str](), 0
    for name, each in zip(names, layers, strict=True):
        if not isinstance(name, str):
            continue
        seen.add(name)
        late += bool(known.intersection(_texts(each.get("inbound_nodes"), 0)) - seen)
    return late


def _texts(value: Any, depth: int) -> Iterator[str]:
    """Yield the texts in a part of a configuration."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict) and depth < _DEEPEST:
        for part in value if isinstance(value, list) else value.values():
            yield from _texts(part, depth + 1)


class _Reader:
    """Copies a configuration, and counts its objects."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.objects = 0

    def read(self, value: Any, depth: int) -> Any:
        """Return a checked copy of a value in JSON."""
        if depth > _DEEPEST:
            raise file_refusal("limits", f"{self.where}, nested more than {_DEEPEST} deep")
        if isinstance(value, list):
            return [self.read(part, depth + 1) for part in value]
        if isinstance(value, dict):
            if "class_name" in value:
                self._check_object(value)
            for key in _FILES:
                if value.get(key) is not None:
                    raise file_refusal("elsewhere", f"{self.where} with {key} {str(value[key])[:60]!r}")
            if isinstance(value.get("layers"), list) and _late(value["layers"]) > _MOST_LATE:
                raise file_refusal("limits", f"{self.where}, whose layers stand before those that they use")
            return {key: self._initial(key, self.read(part, depth + 1)) for key, part in _kept(value).items()}
        return value

    @staticmethod
    def _initial(key: str, value: Any) -> Any:
        """Return zeros in place of initial weights, which may take long to compute: the file's come in their place."""
        if not key.endswith("_initializer") or value is None:
            return value
        name = (value.get("registered_name") or value.get("class_name")) if isinstance(value, dict) else value
        return value if _is_registered(name) else "zeros"

    def _check_object(self, value: dict[str, Any]) -> None:
        """Refuse an object whose class or function is not on the list."""
        self.objects += 1
        if self.objects > _MOST_OBJECTS:
            raise file_refusal("limits", f"{self.where} with more than {_MOST_OBJECTS} objects")
        name, module = value["class_name"], value.get("module")
        config = value.get("config")
        told = self._told(value)
        if not isinstance(name, str) or not isinstance(module, str | None):
            raise file_refusal("custom", told)
        if name in _VALUES:
            dtype = config.get("dtype") if isinstance(config, dict) else None
            if name in _ARRAYS and not (isinstance(dtype, str) and _NUMBERS.fullmatch(dtype)):
                raise file_refusal("custom", told)
            return
        if name in CODE:
            raise file_refusal("code", told)
        if isinstance(config, dict) and config.get("data_format") == "channels_first":
            raise file_refusal("channels first", told)
        if (_QUANTISED.fullmatch(name) and _of_keras(module)) or "_from_" in _precision(name, config):
            raise file_refusal("quantised", told)
        if name in _KERAS_2_OPERATIONS:
            raise file_refusal("Keras 2", told)
        if name == "function":
            if config not in _ACTIVATIONS.split() and not _is_registered(config):
                raise file_refusal("custom", told)
            return
        if _is_registered(value.get("registered_name") or name) or _is_allowed(_module(module, name), name):
            return
        raise file_refusal("not pictures" if _of_keras(module) else "custom", told)

    def _told(self, value: dict[str, Any]) -> str:
        config = value.get("config")
        name = config.get("name") if isinstance(config, dict) else config
        kind = str(value["class_name"])[:60]
        module = value.get("module")
        place = f" of {str(module)[:60]}" if module and not _of_keras(module) else ""
        return f"{self.where} with {kind}{f' {name[:60]!r}' if isinstance(name, str) else ''}{place}"


def _kept(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object without training settings, which a nested model has too, and under its name in Keras 3."""
    if "class_name" not in value:
        return value
    kept = {key: part for key, part in value.items() if key != "compile_config"}
    if "module" in kept:
        kept["module"] = _module(kept["module"], kept["class_name"])
    if isinstance(kept.get("config"), dict):
        kept["config"] = _options(kept["class_name"], kept["config"])
    return kept


def _options(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a layer as Keras 3 names them, in float32."""
    kept = {key: part for key, part in options.items() if key != "batch_input_shape"}
    if kind == "InputLayer" and "batch_input_shape" in options:
        kept["batch_shape"] = options["batch_input_shape"]
    if _precision(kind, options) in _REDUCED:
        kept[_precision_key(kind)] = "float32"
    axis = options.get("axis")
    if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        kept["axis"] = axis[0]
    return kept


def _precision_key(kind: str) -> str:
    return "name" if kind in ALLOWED["dtype_policies"] else "dtype"


def _precision(kind: str, options: Any) -> str:
    """Return the name of a layer's precision, or of a policy; of a quantised one, such as int8_from_float32."""
    named = options.get(_precision_key(kind)) if isinstance(options, dict) and kind not in _VALUES else None
    return named if isinstance(named, str) else ""


def _of_keras(module: Any) -> bool:
    return module is None or (isinstance(module, str) and module.split(".")[0] == "keras")


def _module(module: str | None, name: str) -> str | None:
    """Return where Keras 3 has what a file of Keras 2, or of its successor ``tf_keras``, names."""
    if module is None:
        return None
    module = re.sub(r"^tf_keras\b", "keras", module)
    if re.fullmatch(r"keras(\.src)?\.engine\.(functional|sequential|training)", module):
        return "keras.src.models.functional" if name == "Functional" else "keras"
    return module


def _is_allowed(module: str | None, name: str) -> bool:
    if module is None:
        return name in _ANY_MODULE
    if _OPERATIONS.fullmatch(module):
        return re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) is not None
    if module == "keras":
        return name in ALLOWED["models"] | ALLOWED["dtype_policies"]
    found = re.fullmatch(r"keras\.(?:src\.)?(\w+)(?:\.[a-z0-9_]+)*", module)
    return found is not None and name in ALLOWED.get(found[1], ())


def _is_registered(name: Any) -> bool:
    """Return whether code in this process, such as a user's own, has registered a class or function of this name."""
    if name in ("fcn_core>SoftmaxMap", "fcn_core>CropToSmallest"):
        import fcn_core.networks.layers  # noqa: F401 - it registers them
    import keras

    return isinstance(name, str) and name in keras.saving.get_custom_objects()
