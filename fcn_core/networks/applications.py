"""The classifiers of ``keras.applications``: one table for loading, the command line, documentation and tests.

``resnet50`` is among the built-in models (:mod:`fcn_core.networks.zoo`). Keras builds the others too, and reads the
files of weights that it publishes. Each family says how pixels become its input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fcn_core.networks.spec import (
    CAFFE,
    INCLUDED,
    KERAS_TABLE,
    Accuracy,
    ModelSpec,
    Preprocessing,
    ProofKind,
    read_keras_h5,
)
from fcn_core.networks.weights import WeightsFile

if TYPE_CHECKING:
    from pathlib import Path

    import keras

_TF = "_weights_tf_dim_ordering_tf_kernels"
_FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/"

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, from 0 to 1
_SYMMETRIC = Preprocessing((0, 1, 2), (127.5, 127.5, 127.5), 127.5)
_TORCH = Preprocessing(
    (0, 1, 2), (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)
)


@dataclass(frozen=True)
class Family:
    """What the classifiers of one architecture share.

    Attributes
    ----------
    preprocessing : Preprocessing
        Of RGB pixels 0..255; `INCLUDED` where the classifier does it itself.
    proof : {"mean", "one cell"}
        How its conversion is proved (:mod:`fcn_core.networks.proof`).
    licence : str
        Of the weights that Keras publishes, where their author states it.
    page : str
        Of the Keras documentation.
    channels_first : bool
        Whether Keras can build it with channels first.
    whole : bool
        Whether it has squeeze-and-excite, which reads the whole picture: it cannot run in bands.
    folder : str
        Address of the folder with its weights.
    measured : str
        Address of the page with the accuracies.
    """

    preprocessing: Preprocessing
    proof: ProofKind
    licence: str
    page: str
    channels_first: bool = True
    whole: bool = False
    folder: str = _FOLDER
    measured: str = KERAS_TABLE


FAMILIES: Mapping[str, Family] = {
    "VGG": Family(CAFFE, "one cell", "CC BY 4.0 (Oxford, ported by Keras)", "vgg"),
    "ResNet": Family(CAFFE, "mean", "MIT (He et al. 2015, ported by Keras)", "resnet"),
    "ResNetV2": Family(_SYMMETRIC, "mean", "see its page", "resnet"),
    "Xception": Family(_SYMMETRIC, "mean", "see its page", "xception"),
    "Inception": Family(_SYMMETRIC, "mean", "MIT", "inceptionv3"),
    "InceptionResNet": Family(_SYMMETRIC, "mean", "see its page", "inceptionresnetv2"),
    "MobileNet": Family(_SYMMETRIC, "mean", "see its page", "mobilenet"),
    "MobileNetV2": Family(_SYMMETRIC, "mean", "see its page", "mobilenet"),
    "MobileNetV3": Family(
        INCLUDED, "one cell", "see its page", "mobilenet",
        whole=True, measured="https://arxiv.org/abs/1905.02244",
    ),
    "DenseNet": Family(_TORCH, "mean", "see its page", "densenet", channels_first=False),
    "NASNet": Family(_SYMMETRIC, "mean", "see its page", "nasnet", channels_first=False),
    "EfficientNet": Family(
        INCLUDED, "mean", "see its page", "efficientnet",
        whole=True, folder="https://storage.googleapis.com/keras-applications/",
    ),
    "EfficientNetV2": Family(INCLUDED, "mean", "see its page", "efficientnet_v2", whole=True),
    "ConvNeXt": Family(INCLUDED, "one cell", "see its page", "convnext", channels_first=False),
}  # fmt: skip

# name in Keras, family, side of the input, millions of parameters, published top-1 accuracy in percent, bytes of the
# parameters, file of weights, its MD5 or SHA-256
_Row = tuple[str, str, int, float, float, int, str, str | None]
_ROWS: tuple[_Row, ...] = (
    ("VGG16", "VGG", 224, 138.4, 71.3, 553430176,
        f"vgg16/vgg16{_TF}.h5", "64373286793e3c8b2b4e3219cbf3544b"),
    ("VGG19", "VGG", 224, 143.7, 71.3, 574668960,
        f"vgg19/vgg19{_TF}.h5", "cbe5617147190e668d6c5d5026f83318"),
    ("ResNet101", "ResNet", 224, 44.7, 76.4, 178828704,
        f"resnet/resnet101{_TF}.h5", "f1aeb4b969a6efcfb50fad2f0c20cfc5"),
    ("ResNet152", "ResNet", 224, 60.4, 76.6, 241679776,
        f"resnet/resnet152{_TF}.h5", "100835be76be38e30d865e96f2aaae62"),
    ("ResNet50V2", "ResNetV2", 224, 25.6, 76.0, 102455200,
        f"resnet/resnet50v2{_TF}.h5", "3ef43a0b657b3be2300d5770ece849e0"),
    ("ResNet101V2", "ResNetV2", 224, 44.7, 77.2, 178702240,
        f"resnet/resnet101v2{_TF}.h5", "6343647c601c52e1368623803854d971"),
    ("ResNet152V2", "ResNetV2", 224, 60.4, 78.0, 241522592,
        f"resnet/resnet152v2{_TF}.h5", "a49b44d1979771252814e80f8ec446f9"),
    ("Xception", "Xception", 299, 22.9, 79.0, 91641920,
        f"xception/xception{_TF}.h5", "0a58e3b7378bc2990ea3b43d5981f1f6"),
    ("InceptionV3", "Inception", 299, 23.9, 77.9, 95407136,
        f"inception_v3/inception_v3{_TF}.h5", "9a0d58056eeedaa3f26cb7ebd46da564"),
    ("InceptionResNetV2", "InceptionResNet", 299, 55.9, 80.3, 223494944,
        f"inception_resnet_v2/inception_resnet_v2{_TF}.h5", "e693bd0210a403b3192acc6073ad2e96"),
    ("MobileNet", "MobileNet", 224, 4.3, 70.4, 17015456,
        "mobilenet/mobilenet_1_0_224_tf.h5", None),
    ("MobileNetV2", "MobileNetV2", 224, 3.5, 71.3, 14155936,
        f"mobilenet_v2/mobilenet_v2{_TF}_1.0_224.h5", None),
    ("MobileNetV3Small", "MobileNetV3", 224, 2.6, 68.1, 10219872,
        "mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float.h5", "8768d4c2e7dee89b9d02b2d03d65d862"),
    ("MobileNetV3Large", "MobileNetV3", 224, 5.5, 75.6, 22029728,
        "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float.h5", "59e551e166be033d707958cf9e29a6a7"),
    ("DenseNet121", "DenseNet", 224, 8.1, 75.0, 32250016,
        f"densenet/densenet121{_TF}.h5", "9d60b8095a5708f2dcce2bca79d332c7"),
    ("DenseNet169", "DenseNet", 224, 14.3, 76.2, 57231520,
        f"densenet/densenet169{_TF}.h5", "d699b8f76981ab1b30698df4c175e90b"),
    ("DenseNet201", "DenseNet", 224, 20.2, 77.3, 80971936,
        f"densenet/densenet201{_TF}.h5", "1ceb130c1ea1b78c3bf6114dbdfd8807"),
    ("NASNetMobile", "NASNet", 224, 5.3, 74.4, 21306864,
        "nasnet/NASNet-mobile.h5", "020fb642bf7360b370c678b08e0adf61"),
    ("NASNetLarge", "NASNet", 331, 88.9, 82.5, 355799272,
        "nasnet/NASNet-large.h5", "11577c9a518f0070763c2b964a382f17"),
    ("EfficientNetB0", "EfficientNet", 224, 5.3, 77.1, 21322284,
        "efficientnetb0.h5", "902e53a9f72be733fc0bcb005b3ebbac"),
    ("EfficientNetB1", "EfficientNet", 240, 7.9, 79.1, 31424956,
        "efficientnetb1.h5", "1d254153d4ab51201f1646940f018540"),
    ("EfficientNetB2", "EfficientNet", 260, 9.2, 80.1, 36710276,
        "efficientnetb2.h5", "b15cce36ff4dcbd00b6dd88e7857a6ad"),
    ("EfficientNetB3", "EfficientNet", 300, 12.3, 81.6, 49282140,
        "efficientnetb3.h5", "ffd1fdc53d0ce67064dc6a9c7960ede0"),
    ("EfficientNetB4", "EfficientNet", 380, 19.5, 82.9, 77867292,
        "efficientnetb4.h5", "18c95ad55216b8f92d7e70b3a046e2fc"),
    ("EfficientNetB5", "EfficientNet", 456, 30.6, 83.6, 122250108,
        "efficientnetb5.h5", "ace28f2a6363774853a83a0b21b9421a"),
    ("EfficientNetB6", "EfficientNet", 528, 43.3, 84.0, 173060572,
        "efficientnetb6.h5", "165f6e37dce68623721b423839de8be5"),
    ("EfficientNetB7", "EfficientNet", 600, 66.7, 84.3, 266634748,
        "efficientnetb7.h5", "8c03f828fec3ef71311cd463b6759d99"),
    ("EfficientNetV2B0", "EfficientNetV2", 224, 7.2, 78.7, 28801248,
        "efficientnet_v2/efficientnetv2-b0.h5", "21ecbf6da12460d5c40bb2f29ceb2188"),
    ("EfficientNetV2B1", "EfficientNetV2", 240, 8.2, 79.8, 32848496,
        "efficientnet_v2/efficientnetv2-b1.h5", "069f0534ff22adf035c89e2d9547a9dc"),
    ("EfficientNetV2B2", "EfficientNetV2", 260, 10.2, 80.5, 40713496,
        "efficientnet_v2/efficientnetv2-b2.h5", "424e49f28180edbde1e94797771950a7"),
    ("EfficientNetV2B3", "EfficientNetV2", 300, 14.5, 82.0, 57870488,
        "efficientnet_v2/efficientnetv2-b3.h5", "1f1fc43bd98a6e4fd8fdfd551e02c7a0"),
    ("EfficientNetV2S", "EfficientNetV2", 384, 21.6, 83.9, 86449440,
        "efficientnet_v2/efficientnetv2-s.h5", "e1d88a8495beba45748fedd0cecbe016"),
    ("EfficientNetV2M", "EfficientNetV2", 480, 54.4, 85.3, 217725552,
        "efficientnet_v2/efficientnetv2-m.h5", "a3bf6aa3276309f4fc6a34aa114c95cd"),
    ("EfficientNetV2L", "EfficientNetV2", 480, 119.0, 85.7, 476111392,
        "efficientnet_v2/efficientnetv2-l.h5", "27e6d408b53c7ebc868fefa357689935"),
    ("ConvNeXtTiny", "ConvNeXt", 224, 28.6, 81.3, 114356512,
        "convnext/convnext_tiny.h5", "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff"),
    ("ConvNeXtSmall", "ConvNeXt", 224, 50.2, 82.3, 200894752,
        "convnext/convnext_small.h5", "ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c"),
    ("ConvNeXtBase", "ConvNeXt", 224, 88.6, 85.3, 354365856,
        "convnext/convnext_base.h5", "52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6"),
    ("ConvNeXtLarge", "ConvNeXt", 224, 197.8, 86.3, 791069344,
        "convnext/convnext_large.h5", "070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6"),
    ("ConvNeXtXLarge", "ConvNeXt", 224, 350.2, 86.7, 1400787872,
        "convnext/convnext_xlarge.h5", "c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee"),
)  # fmt: skip


def _build(name: str, size: int) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        import keras

        channels_first = keras.config.image_data_format() == "channels_first"
        shape = (3, size, size) if channels_first else (size, size, 3)
        return getattr(keras.applications, name)(weights=None, input_shape=shape)

    return build


def _read_efficientnet(model: keras.Model, path: Path) -> None:
    """Read published weights; Keras divides by the root of the deviation in a layer that these files need."""
    read_keras_h5(model, path)
    layer = next(layer for layer in model.layers if type(layer).__name__ == "Normalization")
    mean, variance, *count = layer.get_weights()
    layer.set_weights([mean, variance * np.reshape(_DEVIATION, variance.shape[-1:]), *count])
    layer.finalize_state()


def _spec(row: _Row) -> ModelSpec:
    name, family_name, size, parameters, accuracy, nbytes, file, digest = row
    family = FAMILIES[family_name]
    address = family.folder + file
    algorithm = "sha256" if digest and len(digest) == 64 else "md5"
    return ModelSpec(
        name=name.lower(),
        title=name,
        build=_build(name, size),
        read=_read_efficientnet if family_name == "EfficientNet" else read_keras_h5,
        input_size=size,
        features=0,
        parameters=parameters,
        preprocessing=family.preprocessing,
        weights=WeightsFile(
            address.rpartition("/")[2], nbytes, digest or "", algorithm, url=address, exact=False
        ),
        source=f"https://keras.io/api/applications/{family.page}/",
        licence=family.licence,
        family=family_name,
        proof=family.proof,
        channels_first=family.channels_first,
        accuracy=Accuracy(accuracy, family.measured),
    )


APPLICATIONS: Mapping[str, ModelSpec] = {spec.name: spec for spec in map(_spec, _ROWS)}
