"""The graph that the app serves, run by PyTorch and by ONNX Runtime, for comparison.

Both read the folded OpenVINO graph: a handful of operations, the same weights, float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Step = tuple[str, int, list[int], dict[str, Any]]


def steps(path: Path) -> Iterator[Step]:
    """Operations of the graph in order: kind, number, numbers of the inputs, attributes and constants."""
    import openvino

    network = openvino.Core().read_model(path)
    network = openvino.Model([network.results[0]], network.get_parameters())
    number: dict[str, int] = {}
    for node in network.get_ordered_ops():
        kind, name = node.get_type_name(), node.get_friendly_name()
        if kind in ("Constant", "Result"):
            continue
        number[name] = len(number)
        attributes = dict(node.get_attributes())
        inputs = []
        for position in range(node.get_input_size()):
            source = node.input_value(position).get_node()
            if source.get_type_name() == "Constant":
                attributes[f"constant{position}"] = np.array(source.data)
            else:
                inputs.append(number[source.get_friendly_name()])
        yield kind, number[name], inputs, attributes


def _weights(kind: str, attributes: dict[str, Any]) -> tuple[NDArray[np.float32], int]:
    weights = attributes["constant1"]
    groups = 1
    if kind == "GroupConvolution":
        groups = weights.shape[0]
        weights = weights.reshape(-1, *weights.shape[2:])
    return np.ascontiguousarray(weights), groups


def torch_run(path: Path, threads: int) -> Run:
    """The graph in PyTorch, channels last in memory, which is its fastest on processors."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    graph = [_torch_step(torch, *step) for step in steps(path)]

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        values: dict[int, Any] = {}
        with torch.inference_mode():
            for kind, number, inputs, a in graph:
                x = values[inputs[0]] if inputs else None
                if kind == "Parameter":
                    x = torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)
                elif kind in ("Convolution", "GroupConvolution"):
                    x = functional.conv2d(
                        functional.pad(x, _padding(x.shape, a)) if a["auto_pad"] == "same_upper" else x,
                        a["weights"],
                        a.get("bias"),
                        a["strides"],
                        0 if a["auto_pad"] == "same_upper" else a["pads_begin"],
                        a["dilations"],
                        a["groups"],
                    )
                elif kind == "Add":
                    x = x + (values[inputs[1]] if len(inputs) > 1 else a["constant"])
                elif kind == "Relu":
                    x = torch.relu_(x)
                elif kind == "Clamp":
                    x = x.clamp_(a["min"], a["max"])
                elif kind == "Pad":
                    x = functional.pad(x, a["pads"])
                elif kind == "MaxPool":
                    x = functional.max_pool2d(x, a["kernel"], a["strides"])
                elif kind == "Transpose":
                    x = x.permute(*a["order"])
                values[number] = x
                for old in inputs:  # free what is read for the last time
                    if a["last"].get(old):
                        values.pop(old, None)
        return np.ascontiguousarray(x.numpy()[0])

    last: dict[int, int] = {}
    for position, (_, _, inputs, _) in enumerate(graph):
        last.update(dict.fromkeys(inputs, position))
    for position, (_, _, inputs, a) in enumerate(graph):
        a["last"] = {i: last[i] == position for i in inputs}
    return run


def _torch_step(torch: Any, kind: str, number: int, inputs: list[int], a: dict[str, Any]) -> Step:
    if kind in ("Convolution", "GroupConvolution"):
        weights, a["groups"] = _weights(kind, a)
        a["weights"] = torch.from_numpy(weights).contiguous(memory_format=torch.channels_last)
        if a["auto_pad"] != "same_upper" and list(a["pads_begin"]) != list(a["pads_end"]):
            raise ValueError(f"uneven padding: {a}")
    elif kind == "Add" and len(inputs) == 1:
        constant = next(v for k, v in a.items() if k.startswith("constant"))
        a["constant"] = torch.from_numpy(constant)
    elif kind == "Pad":
        begin, end = a["constant1"], a["constant2"]
        a["pads"] = [int(v) for axis in (3, 2) for v in (begin[axis], end[axis])]
    elif kind == "Transpose":
        a["order"] = [int(v) for v in a["constant1"]]
    return kind, number, inputs, a


def _padding(shape: Any, a: dict[str, Any]) -> list[int]:
    pads = []
    for axis in (1, 0):  # last axis first
        size, stride = shape[2 + axis], a["strides"][axis]
        reach = (a["weights"].shape[2 + axis] - 1) * a["dilations"][axis] + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        pads += [total // 2, total - total // 2]
    return pads


def onnx_run(path: Path, threads: int, folder: Path) -> Run:
    """The graph in ONNX Runtime."""
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, values: NDArray[Any]) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    for kind, number, inputs, a in steps(path):
        names, out = [f"x{i}" for i in inputs], f"x{number}"
        if kind == "Parameter":
            first = out
        elif kind in ("Convolution", "GroupConvolution"):
            weights, groups = _weights(kind, a)
            same = {"auto_pad": "SAME_UPPER"} if a["auto_pad"] == "same_upper" else {}
            pads = {} if same else {"pads": [*map(int, a["pads_begin"]), *map(int, a["pads_end"])]}
            nodes.append(
                helper.make_node(
                    "Conv", [*names, constant(f"w{number}", weights)], [out], group=groups,
                    strides=list(map(int, a["strides"])), dilations=list(map(int, a["dilations"])), **same, **pads,
                )
            )  # fmt: skip
        elif kind == "Add":
            if len(names) == 1:
                names.append(
                    constant(f"b{number}", next(v for k, v in a.items() if k.startswith("constant")))
                )
            nodes.append(helper.make_node("Add", names, [out]))
        elif kind == "Relu":
            nodes.append(helper.make_node("Relu", names, [out]))
        elif kind == "Clamp":
            limits = [constant(f"{end}{number}", np.float32(a[end])) for end in ("min", "max")]
            nodes.append(helper.make_node("Clip", [*names, *limits], [out]))
        elif kind == "Pad":
            pads = constant(f"p{number}", np.concatenate([a["constant1"], a["constant2"]]).astype(np.int64))
            nodes.append(helper.make_node("Pad", [*names, pads], [out]))
        elif kind == "MaxPool":
            nodes.append(
                helper.make_node(
                    "MaxPool", names, [out], kernel_shape=list(map(int, a["kernel"])),
                    strides=list(map(int, a["strides"])),
                )
            )  # fmt: skip
        elif kind == "Transpose":
            nodes.append(helper.make_node("Transpose", names, [out], perm=list(map(int, a["constant1"]))))
        else:
            raise ValueError(f"no ONNX for {kind}")
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "graph",
        [helper.make_tensor_value_info(first, float32, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info(out, float32, [1, "h", "w", 1000])],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    target = folder / "graph.onnx"
    onnx.save(model, str(target))
    constants.clear()
    del model, graph
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(target), options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {first: batch})[0][0]
