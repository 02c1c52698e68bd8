"""Both engines, bands, and the forecast of memory: for one classifier of each family of ``keras.applications``.

    python -m benchmarks.engines [--model NAME ...] [--json]

Each engine runs in a process of its own, with random weights. The difference of the engines and that of bands from the
whole are shares of the range of the logits; the peak of a pass of 512 x 640 pixels on OpenVINO is stated beside its
forecast. Prints a table for ``docs/models.md``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SMALLEST = (
    "vgg16", "resnet50", "resnet50v2", "xception", "inceptionv3", "inceptionresnetv2", "mobilenet", "mobilenetv2",
    "mobilenetv3small", "densenet121", "nasnetmobile", "efficientnetb0", "efficientnetv2b0", "convnexttiny",
)  # fmt: skip
SMALL, LARGE, BAND = (256, 320), (512, 640), 128


def noise(height: int, width: int) -> Any:
    """Return smooth noise, the same in every process."""
    from fcn_core.images.resize import ResizedImage, resize_array

    colours = np.random.default_rng(0).integers(0, 256, (12, 15, 3)).astype(np.float32)
    return ResizedImage(resize_array(colours, height, width).round().astype(np.uint8), height, width)


def work(name: str, engine: str, folder: str) -> None:
    """Run the passes on one engine, and print what was measured; store the logits of the small one."""
    from fcn_core.engines.bands import plan
    from fcn_core.engines.base import Forecast
    from fcn_core.engines.load import load_model
    from fcn_core.system.memory import peak_rss_mb

    model = load_model(name, engine, None)
    found: dict[str, Any] = {}
    if engine == "openvino":
        before, expected = peak_rss_mb(), model.forecast(*LARGE)
        whole = model.logits(noise(*LARGE))
        found = {"before": before, "forecast": expected.memory_mb, "peak": peak_rss_mb()}
    np.save(Path(folder) / f"{engine}.npy", model.logits(noise(*SMALL)))
    if engine == "openvino" and model.geometry.bandable:
        bands = plan(model.geometry, *LARGE, [BAND] * len(model.geometry.parts()))
        model.forecast = lambda *_: Forecast(1.0, 1e6, True, bands)  # type: ignore[method-assign]
        found["bands"] = float(np.abs(model.logits(noise(*LARGE)) - whole).max() / np.ptp(whole))
        found["runs"] = bands.runs
    print(json.dumps(found))


def measure(name: str) -> dict[str, Any]:
    """Run a model on both engines."""
    with tempfile.TemporaryDirectory() as folder:
        for engine in ("tensorflow", "openvino"):
            command = [sys.executable, "-m", "benchmarks.engines", "--work", name, engine, folder]
            done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
            if done.returncode:
                return {"name": name, "error": done.stderr.strip().splitlines()[-1]}
        theirs, ours = (np.load(Path(folder) / f"{engine}.npy") for engine in ("tensorflow", "openvino"))
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    return {"name": name, "engines": float(np.abs(ours - theirs).max() / np.ptp(theirs)), **measured}


def row(found: dict[str, Any]) -> str:
    """Return a row of the table."""
    if "error" in found:
        return f"| `{found['name']}` | {found['error']} | | | |"
    bands = f"{found['bands']:.1e}" if "bands" in found else "none: a layer reads the whole picture"
    return (
        f"| `{found['name']}` | {found['engines']:.1e} | {bands} | {found['forecast']:.0f} MB "
        f"| {found['peak']:.0f} MB |"
    )


def main() -> int:
    """Measure, and return 1 if engines or bands differ by more than 1e-4."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", nargs="+", default=SMALLEST)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work)
        return 0
    good = True
    for name in options.model:
        found = measure(name)
        good &= "error" not in found and max(found["engines"], found.get("bands", 0.0)) < 1e-4
        print(json.dumps(found) if options.json else row(found), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
