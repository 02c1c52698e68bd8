"""Speed and memory of the four notebook scales, ours against the notebook's way and against other engines.

    python -m benchmarks.speed [--model NAME ...] [--rounds N] [--image PICTURE] [--peers PYTHON] [--json]

Every row is a process of its own; rounds are interleaved, so that a busy machine slows all rows alike, and the median
round counts. A round goes from the encoded picture to the two mean heatmaps of "dog", but for the bare OpenVINO
session: that is given the resized pictures, and stops at the logits. ResNet50 has random weights, which are as fast.

PyTorch and ONNX Runtime are no dependencies; to have their rows:

    python -m venv peers && peers/bin/pip install -r benchmarks/requirements.txt && peers/bin/pip install --no-deps -e .
    python -m benchmarks.speed --peers peers/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODELS = ("efficientnet-lite2", "resnet50")
WAYS = {
    "notebook": "the notebook: Keras called eagerly",
    "function": "Keras in one tf.function",
    "torch": "PyTorch",
    "onnx": "ONNX Runtime",
    "bare": "OpenVINO alone, from pixels to logits",
    "ours": "ours",
}
PEERS = ("torch", "onnx")
Logits = NDArray[np.float32]


# One way, in a process of its own


def _means(image: Any, logits_of: Callable[[Any], Logits], geometry: Any) -> tuple[Any, Any]:
    """From a picture to the two means, by our own code around any engine."""
    from fcn_core.images.resize import ResizedImage
    from fcn_core.images.scales import NOTEBOOK_SCALES, plan_scales
    from fcn_core.maps.heatmap import ClassMap, combine, synset_heatmap

    heatmaps = []
    for plan in plan_scales(image.height, image.width, NOTEBOOK_SCALES, "exact"):
        logits = logits_of(ResizedImage(image.pixels, plan.height, plan.width))
        class_map = ClassMap(logits, geometry.cells(plan.height, plan.width), plan, 0.0)
        heatmaps.append(synset_heatmap(class_map, range(151, 269)))
    return combine(heatmaps, 1.0), combine(heatmaps, 0.0)


def _ready(spec: Any, resized: Any) -> Logits:
    return np.ascontiguousarray(spec.preprocessing(resized.rows(0, resized.height))[None])


def _notebook(spec: Any, weights: Path | None, data: bytes) -> Callable[[], float]:
    """As the notebook: scikit-image resizes, the model is called eagerly, the maps are resized and averaged."""
    from skimage.transform import resize

    from fcn_core.images.read import read_image
    from fcn_core.images.scales import NOTEBOOK_SCALES
    from fcn_core.networks.convert import to_fully_convolutional
    from fcn_core.networks.zoo import build_classifier

    network = to_fully_convolutional(build_classifier(spec, weights))

    def run() -> float:
        image, maps = read_image(data), []
        for scale in NOTEBOOK_SCALES:
            size = (scale.height, scale.width)
            pixels = resize(image.pixels, size, mode="reflect", preserve_range=True).astype(np.float32)
            batch = spec.preprocessing.batch(pixels)
            maps.append(np.asarray(network(batch))[0, :, :, 151:269].sum(-1))
        finest = maps[-1].shape
        maps = [resize(m, finest, mode="reflect", preserve_range=True) for m in maps]
        np.mean(maps, axis=0)
        np.prod(maps, axis=0) ** (1 / len(maps))
        return 0.0

    return run


def _function(spec: Any, weights: Path | None, data: bytes) -> Callable[[], float]:
    import tensorflow

    from fcn_core.images.read import read_image
    from fcn_core.networks.convert import to_fully_convolutional
    from fcn_core.networks.structure import read_geometry
    from fcn_core.networks.zoo import build_classifier

    network = to_fully_convolutional(build_classifier(spec, weights), output="logits")
    geometry, _ = read_geometry(network)
    signature = [tensorflow.TensorSpec([1, None, None, 3], tensorflow.float32)]
    traced = tensorflow.function(network, input_signature=signature, autograph=False)

    def logits_of(resized: Any) -> Logits:
        batch = np.ascontiguousarray(np.moveaxis(_ready(spec, resized), 1, -1))
        logits: Logits = np.asarray(traced(batch))[0]
        return logits

    return lambda: _timed(lambda: _means(read_image(data), logits_of, geometry))


def _timed(run: Callable[[], object]) -> float:
    run()
    return 0.0


def _graph(spec: Any, random: bool) -> Any:
    from fcn_core.engines.graph_cache import prepare_graph

    return prepare_graph(spec, random=random)


def _peer(way: str, spec: Any, graph_path: Path, data: bytes) -> Callable[[], float]:
    from benchmarks import peers
    from fcn_core.images.read import read_image
    from fcn_core.networks.geometry import Geometry
    from fcn_core.system.memory import cpus

    geometry = Geometry.from_json(
        json.loads((graph_path.parent / "meta.json").read_text(encoding="utf-8"))["geometry"]
    )
    if way == "torch":
        engine = peers.torch_run(graph_path, cpus())
    else:
        with tempfile.TemporaryDirectory() as folder:
            engine = peers.onnx_run(graph_path, cpus(), Path(folder))
    return lambda: _timed(
        lambda: _means(read_image(data), lambda resized: engine(_ready(spec, resized)), geometry)
    )


def _bare(spec: Any, graph_path: Path, data: bytes) -> Callable[[], float]:
    import openvino

    from fcn_core.images.read import read_image
    from fcn_core.images.resize import ResizedImage
    from fcn_core.images.scales import NOTEBOOK_SCALES

    image = read_image(data)
    batches = [_ready(spec, ResizedImage(image.pixels, s.height, s.width)) for s in NOTEBOOK_SCALES]
    core = openvino.Core()
    network = core.read_model(graph_path)
    network = openvino.Model([network.results[0]], network.get_parameters())
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(network, "CPU", settings).create_infer_request()

    def run() -> float:
        for batch in batches:
            request.infer({0: batch}, share_inputs=True, share_outputs=True)
        return 0.0

    return run


def _ours(spec: Any, random: bool, data: bytes) -> Callable[[], float]:
    """Ours; gives the seconds that the network itself took."""
    from fcn_core.engines.load import load_model
    from fcn_core.images.read import read_image

    predictor: Any = load_model(spec.name, "openvino", weights=None if random else "imagenet")
    spent = [0.0]
    infer = predictor._infer

    def timed_infer(request: Any, batch: Logits) -> Logits:
        begin = time.perf_counter()
        result: Logits = infer(request, batch)
        spent[0] += time.perf_counter() - begin
        return result

    predictor._infer = timed_infer

    def run() -> float:
        spent[0] = 0.0
        _means(read_image(data), predictor.logits, predictor.geometry)
        return spent[0]

    return run


def work(way: str, name: str, random: bool, image: Path, graph_path: Path) -> None:
    """Be one row: make ready, then do a round for every line on standard input."""
    from fcn_core.networks.zoo import MODELS as ZOO
    from fcn_core.networks.zoo import find_weights

    spec, data = ZOO[name], image.read_bytes()
    weights = None if random else find_weights(spec)
    if way == "notebook":
        run = _notebook(spec, weights, data)
    elif way == "function":
        run = _function(spec, weights, data)
    elif way in PEERS:
        run = _peer(way, spec, graph_path, data)
    elif way == "bare":
        run = _bare(spec, graph_path, data)
    else:
        run = _ours(spec, random, data)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        begin, cpu = time.perf_counter(), time.process_time()
        network = run()
        record = {
            "seconds": time.perf_counter() - begin,
            "cpu": time.process_time() - cpu,
            "network": network,
        }
        print(json.dumps({**record, "peak_mb": _peak_mb()}), flush=True)


def _peak_mb() -> float:
    from fcn_core.system.memory import peak_rss_mb

    return peak_rss_mb()


# The rows together


class Row:
    """A worker and what it has said."""

    def __init__(self, way: str, python: str, arguments: list[str]) -> None:
        self.way, self.rounds = way, list[dict[str, float]]()
        environment = {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        if way in ("notebook", "function"):
            environment["KERAS_BACKEND"] = "tensorflow"
        self.worker = subprocess.Popen(
            [python, "-m", "benchmarks.speed", "--work", way, *arguments],
            env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        self.missing = None if self._answer() else self._why()

    def _answer(self) -> dict[str, float] | None:
        assert self.worker.stdout is not None
        line = self.worker.stdout.readline()
        return json.loads(line) if line.startswith("{") else None

    def _why(self) -> str:
        assert self.worker.stderr is not None
        lines = self.worker.stderr.read().strip().splitlines()
        return lines[-1][:100] if lines else "no answer"

    def round(self) -> None:
        """Let the worker do one round."""
        if self.missing is None:
            assert self.worker.stdin is not None
            self.worker.stdin.write("\n")
            self.worker.stdin.flush()
            record = self._answer()
            if record is None:
                self.missing = self._why()
            else:
                self.rounds.append(record)

    def close(self) -> None:
        """Let the worker end."""
        assert self.worker.stdin is not None
        self.worker.stdin.close()
        self.worker.wait()

    def median(self, key: str) -> float:
        """Middle value of the rounds after the first."""
        return statistics.median(r[key] for r in self.rounds[1:] or self.rounds)


def matmul_peak() -> float:
    """Multiply-adds a second of a large float32 matrix product, the best of a few, in NumPy and in OpenVINO."""
    code = """
import time, numpy as np, openvino as ov
n = 3072
a, b = np.random.default_rng(0).random((2, n, n), dtype=np.float32)
p, q = (ov.opset13.parameter([n, n], np.float32) for _ in range(2))
run = ov.Core().compile_model(ov.Model([ov.opset13.matmul(p, q, False, False)], [p, q]), "CPU",
                              {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
best = 0.0
for product in (lambda: a @ b, lambda: run.infer([a, b], share_inputs=True, share_outputs=True)):
    for _ in range(6):
        begin = time.perf_counter(); product(); best = max(best, n**3 / (time.perf_counter() - begin))
print(best)
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    child = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return float(child.stdout)


def measure(name: str, rounds: int, image: Path, peers: str | None, ways: list[str]) -> list[dict[str, Any]]:
    from fcn_core.networks.zoo import MODELS as ZOO

    random = name == "resnet50"
    graph = _graph(ZOO[name], random)
    arguments = ["--model", name, "--image", str(image), "--graph", str(graph.path)]
    rows = []
    if "notebook" in ways:  # alone, for it takes a dozen gigabytes
        row = Row("notebook", sys.executable, arguments)
        for _ in range(2):
            row.round()
        row.close()
        rows.append(row)
    together = [
        Row(way, peers if way in PEERS and peers else sys.executable, arguments)
        for way in ways
        if way != "notebook"
    ]
    for _ in range(rounds + 1):
        for row in together:
            row.round()
    for row in together:
        row.close()
    rows += together
    macs = sum(graph.geometry.macs(h, w) for h, w in ((200, 320), (400, 640), (800, 1280), (1600, 2560)))
    found = []
    for row in rows:
        record: dict[str, Any] = {"model": name, "way": WAYS[row.way]}
        if row.missing is not None:
            record["missing"] = row.missing
        else:
            record |= {
                "seconds": row.median("seconds"), "first": row.rounds[0]["seconds"], "cpu": row.median("cpu"),
                "spread": max(r["seconds"] for r in row.rounds[1:]) / min(r["seconds"] for r in row.rounds[1:]),
                "peak_mb": row.rounds[-1]["peak_mb"], "macs_a_second": macs / row.median("seconds"),
            }  # fmt: skip
            if row.way == "ours":
                record["around"] = 1 - row.median("network") / row.median("seconds")
        found.append(record)
    return found


def _table(found: list[dict[str, Any]], peak: float) -> None:
    print(f"A large matrix product here: {peak / 1e9:.0f} billion multiply-adds a second.\n")
    print("| model | way | s | first | CPU s | of ours | peak MB | of the product's rate | slowest/fastest |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for record in found:
        if "missing" in record:
            print(f"| {record['model']} | {record['way']} | not measured: {record['missing']} |||||||")
            continue
        ours = [r for r in found if r["way"] == "ours" and r["model"] == record["model"] and "seconds" in r]
        times = f"{record['seconds'] / ours[0]['seconds']:.2f}" if ours else ""
        print(
            f"| {record['model']} | {record['way']} | {record['seconds']:.2f} | {record['first']:.2f} "
            f"| {record['cpu']:.2f} | {times} | {record['peak_mb']:.0f} | {record['macs_a_second'] / peak:.0%} "
            f"| {record['spread']:.2f} |"
        )
    for record in found:
        if "around" in record:
            print(
                f"\n{record['model']}: {record['around']:.1%} of ours is not the network: decoding, resizing, means."
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", choices=MODELS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--peers", help="a Python that has benchmarks/requirements.txt")
    parser.add_argument("--ways", default=",".join(WAYS), help="comma-separated: " + ", ".join(WAYS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--graph", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.model[0], options.model[0] == "resnet50", options.image, options.graph)
        return
    peak = matmul_peak()
    with tempfile.TemporaryDirectory() as folder:
        image = options.image
        if image is None:
            import skimage.data
            from PIL import Image

            image = Path(folder) / "coffee.jpg"
            Image.fromarray(skimage.data.coffee()).save(image, quality=92)
        found = [
            record
            for name in options.model or MODELS
            for record in measure(
                name, options.rounds, image.resolve(), options.peers, options.ways.split(",")
            )
        ]
    if options.json:
        print(json.dumps({"matmul_macs_a_second": peak, "rows": found}))
    else:
        _table(found, peak)


if __name__ == "__main__":
    main()
