"""The position of cells: computed from the layers, and measured by changing the input."""

import json

import numpy as np
import pytest

from fcn_core.engines.graph_cache import prepare_graph
from fcn_core.networks.geometry import CellAxis, Geometry, Node, Window, smallest, trace
from fcn_core.networks.zoo import MODELS

SIZES = [(32, 32), (64, 96), (200, 300), (133, 97), (225, 223), (31, 33), (1, 1), (400, 640), (17, 513)]


@pytest.fixture(scope="module", params=["efficientnet-lite0", "resnet50"])
def graph(request):
    return prepare_graph(MODELS[request.param], random=request.param == "resnet50")


def test_cells_of_the_models():
    lite, resnet = (prepare_graph(MODELS[name], random=name == "resnet50").geometry for name in
                    ("efficientnet-lite0", "resnet50"))  # fmt: skip
    for geometry, first in ((lite, 31), (resnet, 0)):
        cells = geometry.cells(224, 320)
        assert geometry.stride == cells.y.stride == cells.x.stride == 32
        assert (cells.y.size, cells.x.size) == geometry.grid(224, 320) == (7, 10)
        assert [cells.y.centre(i) for i in (0, 1, 6)] == [first, first + 32, first + 192]
        assert cells.x.first == first
    assert resnet.cells(224, 224).y.extent == 483  # as in Araujo et al. 2019, table of ResNet-v1-50


def test_the_grid_is_that_of_the_network(graph):
    """OpenVINO infers the shape of the exported graph by itself."""
    import openvino

    network = openvino.Core().read_model(graph.path)
    for height, width in SIZES:
        network.reshape([1, 3, height, width])
        shape = tuple(network.output(0).get_shape())
        assert shape == (1, *graph.geometry.grid(height, width), 1000), (height, width)


def test_json_round_trip(graph):
    text = json.dumps(graph.geometry.to_json())
    assert Geometry.from_json(json.loads(text)) == graph.geometry


def test_the_parts_one_after_another_equal_the_whole(graph):
    geometry = graph.geometry
    parts = geometry.parts()
    assert len(parts) == 5  # cut where the stride grows to 4, 8, 16 and 32
    assert sum(map(len, parts)) == len(geometry.nodes)
    assert [part[-1].cut for part in parts] == [True] * 4 + [False]
    for size in (224, 225, 333, 64):
        whole = trace(geometry.nodes, "y", size)[-1]
        low = high = 0
        stride, height = 1, size
        for part in parts:
            assert all(-1 <= i < k for k, node in enumerate(part) for i in node.inputs)
            end = trace(part, "y", height)[-1]
            low, high = low + end.low * stride, high + end.high * stride
            stride, height = stride * end.stride, end.size
        assert (whole.size, whole.stride, whole.low, whole.high) == (height, stride, low, high)


def test_multiply_adds_are_those_published(graph):
    macs = graph.geometry.macs(224, 224)
    name, published, features = (
        ("resnet50", 3.8e9, 2048) if "resnet50" in graph.path.parent.name else ("lite0", 0.407e9, 1280)
    )  # He et al. 2015, table 1; TensorFlow blog on EfficientNet-Lite, 2020
    head = 48 * features * 1000  # the last layer runs on 49 cells in place of one
    assert macs == pytest.approx(published + head, rel=0.06), name
    assert graph.geometry.macs(448, 448) == pytest.approx(4 * macs, rel=0.03)


def test_the_smallest_input_gives_every_node_a_cell():
    pad, pool = Window(before=1, after=1), Window(3, 2)
    chain = (Node("conv", (-1,), 8, Window(7, 2), Window(5, 2)), Node("pad", (0,), 8, pad, pad),
             Node("pool", (1,), 8, pool, pool))  # fmt: skip
    assert smallest(chain) == 7
    assert [t.size for t in trace(chain, "y", 7)] == [1, 3, 1]
    assert min(t.size for t in trace(chain, "y", 6)) < 1


def test_squeeze_and_excite_reads_the_whole_map():
    node = Node("excite", (-1,), 8, whole=True)
    assert not Geometry((node,)).bandable
    assert Geometry((Node("conv", (-1,), 8, Window(3, 2), Window(3, 2)),)).bandable


@pytest.mark.parametrize(
    ("window", "size", "expected"),
    [  # kernel, stride, dilation, before, after, same -> size, stride, first, extent
        (Window(3), 10, (8, 1, 1.0, 3)),
        (Window(3, same=True), 10, (10, 1, 0.0, 3)),
        (Window(3, 2, same=True), 10, (5, 2, 1.0, 3)),
        (Window(3, 2, same=True), 11, (6, 2, 0.0, 3)),
        (Window(5, 2, same=True), 10, (5, 2, 1.0, 5)),
        (Window(2, 2), 11, (5, 2, 0.5, 2)),
        (Window(2, 2, same=True), 11, (6, 2, 0.5, 2)),
        (Window(1, 2, same=True), 10, (5, 2, 0.0, 1)),
        (Window(3, 1, 2), 10, (6, 1, 2.0, 5)),
        (Window(3, 1, 4, same=True), 10, (10, 1, 0.0, 9)),
        (Window(before=3, after=3), 10, (16, 1, -3.0, 1)),
        (Window(before=-1), 10, (9, 1, 1.0, 1)),
        (Window(1, 4), 10, (3, 4, 0.0, 1)),
    ],
)
def test_one_window(window, size, expected):
    cells = Geometry((Node("window", (-1,), 1, window, Window()),)).cells(size, 7)
    assert cells.y == CellAxis(size, *expected)
    assert cells.x == CellAxis(7, 7, 1, 0.0, 1)


def toys():
    """Small networks, each with a layer that the others do not have."""
    import keras
    from keras import layers as k

    def chain(*stack):
        return lambda x: [x := layer(x) for layer in stack][-1]

    def joined(one, other, join):
        return lambda x: join([one(x), other(x)])

    def excite(x):
        s = k.Conv2D(4, 1)(k.GlobalAveragePooling2D(keepdims=True)(x))
        return k.Multiply()([x, s])

    networks = {
        "valid": chain(k.Conv2D(4, 3), k.Conv2D(4, 5, 2), k.MaxPooling2D(2)),
        "same": chain(k.Conv2D(4, 3, 2, "same"), k.Conv2D(4, 5, 2, "same"), k.Conv2D(4, 3, 2, "same")),
        "unequal sides": chain(k.Conv2D(4, (5, 2), (2, 1), "same"), k.MaxPooling2D((3, 2), (1, 3))),
        "dilated": chain(k.Conv2D(4, 3, 2, "same"), k.Conv2D(4, 3, padding="same", dilation_rate=3)),
        "padded": chain(k.ZeroPadding2D(((3, 1), (0, 2))), k.Conv2D(4, 7, 2), k.Cropping2D(((1, 0), (0, 2)))),
        "pooled": chain(
            k.AveragePooling2D(3, 2, "same"), k.MaxPooling2D(3, 2, "same"), k.AveragePooling2D(2)
        ),
        "depthwise": chain(k.DepthwiseConv2D(3, 2, "same"), k.SeparableConv2D(4, 5, 2, "same")),
        "residual": chain(
            k.Conv2D(4, 3, 2, "same"), joined(k.Conv2D(4, 3, padding="same"), k.ReLU(), k.Add())
        ),
        "inception": joined(
            chain(k.Conv2D(4, 1), k.Conv2D(4, 5, 2, "same")), k.MaxPooling2D(3, 2, "same"), k.Concatenate()
        ),
        "excited beside": chain(
            k.Conv2D(4, 3, 2, "same"), k.BatchNormalization(), k.ReLU(6.0), k.Conv2D(3, 3, 2)
        ),
    }
    for name, network in networks.items():
        image = keras.Input((None, None, 3))
        yield name, keras.Model(image, network(image), name="toy")
    image = keras.Input((None, None, 3))
    yield "excite", keras.Model(image, excite(k.Conv2D(4, 3, 2, "same")(image)))


def make_positive(network, scale=1.0):
    """Set all weights positive: then a cell changes exactly if a pixel of its field does."""
    for layer in network.layers:
        weights = layer.get_weights()
        if "Normalization" in type(layer).__name__:
            weights = [np.ones_like(w) if i in (0, 3) else np.zeros_like(w) for i, w in enumerate(weights)]
        else:
            fans = [
                np.prod(w.shape[:2] if "Depthwise" in type(layer).__name__ else w.shape[:-1]) for w in weights
            ]
            weights = [
                np.full_like(w, scale / fan) if w.ndim > 1 else np.zeros_like(w)
                for w, fan in zip(weights, fans, strict=True)
            ]
        layer.set_weights(weights)


@pytest.mark.tensorflow
@pytest.mark.parametrize("size", [32, 33, 35, 50])
def test_cells_of_small_networks_see_the_pixels_they_should(size):
    """Light one row or column of a black picture at a time, and see which cells change."""
    from fcn_core.networks.structure import read_geometry

    for name, network in toys():
        make_positive(network)
        geometry, _ = read_geometry(network)
        for axis in ("y", "x"):
            pictures = np.zeros((size, size, 29, 3), "float32")
            pictures[np.arange(size), np.arange(size)] = 1
            if axis == "x":
                pictures = pictures.swapaxes(1, 2)
            answers = np.asarray(network(pictures)).max(-1).max(2 if axis == "y" else 1)  # (touched, cell)
            cells = getattr(geometry.cells(*pictures.shape[1:3]), axis)
            assert answers.shape[1] == cells.size, name
            whole = any(node.whole for node in geometry.nodes)
            for cell in range(cells.size):
                lit = np.flatnonzero(answers[:, cell] > (answers[:, cell].max() * 0.2 if whole else 0))
                low = round(cells.centre(cell) - (cells.extent - 1) / 2)
                high = low + cells.extent - 1
                assert len(lit) == 0 or (lit[0] >= low and lit[-1] <= high), (name, axis, cell)
                assert low < 0 or lit[0] == low, (name, axis, cell)
                assert high >= size or lit[-1] == high, (name, axis, cell)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["efficientnet-lite0", "resnet50"])
def test_cells_of_the_models_see_the_pixels_they_should(name):
    """The gradient of one cell is not zero exactly in its field."""
    import tensorflow as tf

    from fcn_core.networks.convert import to_fully_convolutional
    from fcn_core.networks.structure import read_geometry

    network = to_fully_convolutional(MODELS[name].build(), output="logits")
    make_positive(network, 0.5)
    for size in (1152, 1133):
        axis = read_geometry(network)[0].cells(size, 32).y
        cells = [axis.size // 2, axis.size // 2 + 1]
        seen = np.zeros((axis.size, size), bool)
        ramp = np.linspace(0.01, 0.02, size, dtype="float32")[:, None, None]
        for shades in (ramp, ramp[::-1]):  # max pooling passes the last row of its window, then the first
            image = tf.constant(np.broadcast_to(shades, (1, size, 32, 3)))
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(image)
                maps = network(image, training=False)
                answers = [tf.reduce_sum(maps[:, cell]) for cell in cells]
            for cell, answer in zip(cells, answers, strict=True):
                seen[cell] |= np.asarray(tape.gradient(answer, image))[0].any((1, 2))
        for cell in cells:
            rows = np.flatnonzero(seen[cell])
            assert (rows[0] + rows[-1]) / 2 == axis.centre(cell)
            assert rows[-1] - rows[0] + 1 == axis.extent


@pytest.mark.tensorflow
def test_trained_cells_look_where_they_are_placed(tf_lite0, chelsea):
    """With trained weights and a photograph, the mean position of the gradient is near the centre of the cell."""
    import tensorflow as tf

    side = 256
    planes = np.moveaxis(chelsea[20:276, 100:356].astype("float32"), -1, 0)
    image = tf.constant(np.moveaxis((planes - 127) / 128, 0, -1)[None])
    cells = tf_lite0.cells(side, side)
    offsets = []
    for y, x in ((3, 3), (3, 4), (4, 3), (4, 4)):
        with tf.GradientTape() as tape:
            tape.watch(image)
            answer = tf.reduce_max(tf_lite0.network(image, training=False)[0, y, x])
        energy = np.square(np.asarray(tape.gradient(answer, image))[0]).sum(-1)
        energy /= energy.sum()
        middle = (energy.sum(1) @ np.arange(side), energy.sum(0) @ np.arange(side))
        offsets.append((middle[0] - cells.y.centre(y), middle[1] - cells.x.centre(x)))
    off = np.abs(np.mean(offsets, axis=0))
    even = np.abs(np.mean(offsets, axis=0) + 15.5)  # had the cells been spread evenly
    assert (off < even).all()
    assert off.max() < 8


# Cells and pixels

AXIS = CellAxis(320, 10, 32, 35.5, 851)  # the centres lie at 36, 68, ... of 320


@pytest.mark.parametrize(
    ("position", "length", "index"),
    [(35.5, 320, 0), (67.5, 320, 1), (51.5, 320, 0.5), (0, 320, 0), (318, 320, 8.828125), (17.5, 160, 0),
     (71.5, 640, 0), (103.5, 640, 0.5), (10_000, 320, 9)],
)  # fmt: skip
def test_pixels_of_any_picture_of_the_view_have_an_index(position, length, index):
    assert AXIS.index(float(position), length) == index
    assert AXIS.index(np.array([position, position], float), length).tolist() == [index] * 2


@pytest.mark.parametrize("index", range(9))
@pytest.mark.parametrize("length", [37, 320, 1001])
def test_the_middle_of_a_frame_has_the_index_of_its_cell(index, length):
    low, high = AXIS.span(index, 8, length)
    assert AXIS.index((low + high) / 2 - 0.5, length) == pytest.approx(index)


def test_frames_are_clipped_to_the_picture():
    assert AXIS.span(0, 100, 320) == (0.0, 86.0)
    assert AXIS.span(4, 100, 320) == (114.0, 214.0)
    assert AXIS.span(9, 100, 160) == (137.0, 160.0)


@pytest.mark.parametrize("size", [1, 3, 10])
def test_even_cells_divide_the_picture_evenly(size):
    even = CellAxis.even(size)
    assert even.edges() == [i / size for i in range(size + 1)]
    assert [even.span(i, 1, 60 * size) for i in range(size)] == [(60 * i, 60 * i + 60) for i in range(size)]
    assert even.index(np.arange(60 * size) + 0.0, 60 * size).round().tolist() == sorted([*range(size)] * 60)


def test_edges_lie_half_way_between_centres_and_end_with_the_picture():
    assert AXIS.edges() == [0.0, *((36 + 16 + 32 * i) / 320 for i in range(9)), 1.0]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (CellAxis.even(1), [0, 1]),
        (CellAxis.even(4), [0, 0.25, 0.5, 0.75, 1]),
        (CellAxis(64, 2, 32, 15.5, 63), [0, 0.5, 1]),  # centred cells are an even grid
        (CellAxis(64, 2, 32, 31.0, 63), [0, 47.5 / 64, 1]),  # cells that look to the lower right
        (CellAxis(64, 3, 32, 31.0, 63), [0, 47.5 / 64, 1, 1]),  # an edge outside the picture is clipped
        (CellAxis(64, 1, 64, 31.5, 63), [0, 1]),
    ],
)
def test_edges_lie_halfway_between_centres(axis, expected):
    assert axis.edges() == pytest.approx(expected)
