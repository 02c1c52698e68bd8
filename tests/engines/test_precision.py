"""Half precision: asked for by name, never silent, refused where the processor has none."""

from __future__ import annotations

import pytest

from fcn_core.engines.base import Engine
from fcn_core.engines.load import load_model
from fcn_core.errors import EngineError


class Core:
    """OpenVINO on a processor that computes in some precisions."""

    def __init__(self, core, able):
        self.core, self.able, self.asked = core, able, []

    def read_model(self, *arguments):
        return self.core.read_model(*arguments)

    def compile_model(self, network, device, options):
        self.asked.append(options["INFERENCE_PRECISION_HINT"])
        used = self.asked[-1] if self.asked[-1] in self.able else "f32"
        return self.core.compile_model(network, device, options | {"INFERENCE_PRECISION_HINT": used})


@pytest.fixture
def engine():
    return load_model("efficientnet-lite0", "openvino")


def test_what_the_processor_cannot_do_is_refused_and_nothing_changes(engine):
    engine._core = core = Core(engine._core, {"f32"})
    with pytest.raises(EngineError, match="computes in f32"):
        engine.compute_in("bf16")
    assert engine.info.precision == "f32"
    assert core.asked == ["bf16", "f32"]


def test_what_it_can_do_is_named(engine):
    class Compiled:
        def get_property(self, name):
            return self

        def to_string(self):
            return "bf16"

    asked = []
    engine._core = Core(engine._core, ())
    engine._core.compile_model = lambda _network, _device, options: asked.append(options) or Compiled()
    engine.compute_in("bf16")
    assert [options["INFERENCE_PRECISION_HINT"] for options in asked] == ["bf16"]
    assert engine.info.precision == "bf16"


def test_another_engine_computes_in_float32_only(lite0):
    Engine.compute_in(lite0, "f32")
    with pytest.raises(EngineError, match="engine openvino"):
        Engine.compute_in(lite0, "bf16")
