"""Resizing a picture for the network: time, memory and distance against scikit-image.

    python -m benchmarks.resize [IMAGE] [--repeat N] [--json]

Without a picture, noise of 300 x 451 pixels, the size of the notebook's. Pillow's filters are listed for comparison:
they are fast, but different ones.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.transform import resize

from fcn_core.images.read import read_image
from fcn_core.images.resize import ResizedImage, resize_image
from fcn_core.images.scales import NOTEBOOK_SCALES

BAND = 128


def best(function: Callable[[], object], repeat: int) -> float:
    """Seconds of the fastest run."""
    seconds = []
    for _ in range(repeat):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def peak_mb(function: Callable[[], object]) -> float:
    """Megabytes allocated at most at once."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return peak


def in_bands(pixels: NDArray[np.uint8], height: int, width: int) -> None:
    image = ResizedImage(pixels, height, width)
    for top in range(0, height, BAND):
        image.rows(top, min(top + BAND, height))


def measure(pixels: NDArray[np.uint8], height: int, width: int, repeat: int) -> dict[str, Any]:
    ours = resize_image(pixels, height, width)
    begin = time.perf_counter()
    theirs = resize(pixels, (height, width), mode="reflect", preserve_range=True)
    theirs_seconds = time.perf_counter() - begin
    error = float(np.abs(ours - theirs).max())
    picture = Image.fromarray(pixels)
    pillow = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float64)
    pillow_error = float(np.abs(pillow - theirs).max())
    del ours, theirs, pillow
    theirs_seconds = min(
        theirs_seconds,
        best(lambda: resize(pixels, (height, width), mode="reflect", preserve_range=True), repeat - 1),
    )
    ours_seconds = best(lambda: resize_image(pixels, height, width), repeat)
    return {
        "from": f"{pixels.shape[0]}x{pixels.shape[1]}",
        "to": f"{height}x{width}",
        "ms": 1e3 * ours_seconds,
        "bands_ms": 1e3 * best(lambda: in_bands(pixels, height, width), repeat),
        "skimage_ms": 1e3 * theirs_seconds,
        "times": theirs_seconds / ours_seconds,
        "error": error,
        "pillow_error": pillow_error,
        "mb": peak_mb(lambda: resize_image(pixels, height, width)),
        "bands_mb": peak_mb(lambda: in_bands(pixels, height, width)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="?")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.image:
        pixels = read_image(options.image).pixels
    else:
        pixels = np.random.default_rng(0).integers(0, 256, (300, 451, 3), dtype=np.uint8)
    records = [
        measure(pixels, scale.height, scale.width, max(options.repeat, 2)) for scale in NOTEBOOK_SCALES
    ]
    if options.json:
        print(json.dumps(records))
        return
    print("from       to          ms  bands  skimage  times  error  Pillow's error     MB  bands")
    for record in records:
        print(
            "{from:10} {to:9} {ms:5.1f} {bands_ms:6.1f} {skimage_ms:8.1f} {times:6.1f} {error:6.4f} "
            "{pillow_error:15.1f} {mb:6.0f} {bands_mb:6.0f}".format(**record)
        )


if __name__ == "__main__":
    main()
