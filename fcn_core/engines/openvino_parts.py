"""The parts of a network for OpenVINO: cut where the geometry says, but compiled as one network.

In one network the parts share the memory of their tensors. One part runs at a time; the others get an empty batch, for
which OpenVINO computes nothing and keeps the memory. OpenVINO refuses to pool an empty batch, so a part with pooling
gets the smallest picture instead.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from fcn_core.engines.bands import Array, Run
from fcn_core.networks.geometry import Geometry, smallest


class Parts:
    """The parts of `network`, whose first output is the last layer and whose other outputs are the cuts.

    Parameters
    ----------
    openvino : module
    network : openvino.Model
        As exported; it is changed.
    geometry : Geometry
        Of the network.
    compile_network : callable
        Compiles an ``openvino.Model``.
    """

    def __init__(
        self, openvino: Any, network: Any, geometry: Geometry, compile_network: Callable[[Any], Any]
    ) -> None:
        self._tensor = openvino.Tensor
        (last, *cuts), inputs = network.results, network.get_parameters()
        for cut in cuts:  # a new input replaces what comes before the cut
            entry = cut.input_value(0)
            parameter = openvino.opset13.parameter(entry.get_partial_shape(), np.float32)
            for target in entry.get_target_inputs():
                if target.get_node().get_type_name() != "Result":
                    target.replace_source_output(parameter.output(0))
            inputs.append(parameter)
        ends = [*cuts, last]
        self._idle: list[Any] = []
        for parameter, end, part in zip(inputs, ends, geometry.parts(), strict=True):
            operations = openvino.Model([end], [parameter]).get_ops()
            pools = any("Pool" in operation.get_type_name() for operation in operations)
            channels, side = parameter.get_partial_shape()[1].get_length(), smallest(part)
            self._idle.append(openvino.Tensor(np.zeros((int(pools), channels, side, side), np.float32)))
        joined = openvino.Model(ends, inputs)
        joined.reshape({p.output(0): [-1, *p.get_partial_shape()[1:]] for p in inputs})
        self._compiled = compile_network(joined)
        # Run each part on the smallest picture, so that OpenVINO converts the weights while there is memory.
        for run, idle in zip(self.runs(lambda request, _: request.infer()), self._idle, strict=True):
            run(np.zeros((1, *idle.shape[1:]), np.float32))

    def runs(self, infer: Callable[[Any, Array], None]) -> list[Run]:
        """Return the functions that run the parts, in order, for one pass; they call ``infer(request, batch)``.

        The output of a part is valid until the next part runs.
        """
        request = self._request()
        return [partial(self._run, infer, request, port) for port in range(len(self._idle))]

    def release_cached(self) -> None:
        """Release the memory of the last pass."""
        with suppress(RuntimeError):  # raised by a network that has failed already
            self._request().infer()  # the compiled network keeps the last outputs: replace them by empty ones
        self._compiled.release_memory()

    def _request(self) -> Any:
        request = self._compiled.create_infer_request()
        for port, idle in enumerate(self._idle):
            request.set_input_tensor(port, idle)
        return request

    def _run(self, infer: Callable[[Any, Array], None], request: Any, port: int, band: Array) -> Array:
        request.set_input_tensor(port, self._tensor(band, shared_memory=True))
        try:
            infer(request, band)
        finally:
            request.set_input_tensor(port, self._idle[port])
        output: Array = request.get_output_tensor(port).data
        return output
