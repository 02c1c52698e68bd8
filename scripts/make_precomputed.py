"""Compute the default sample's class maps with the real model, for the page to show before any model is loaded.

Run: python scripts/make_precomputed.py
"""

import sys

from app.state.samples import DEFAULT, PRECOMPUTED, SAMPLES, save_precomputed
from fcn_core.engines.load import load_model
from fcn_core.images.read import read_image
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.pipeline import compute_class_maps

if __name__ == "__main__":
    path = SAMPLES[DEFAULT].path
    if path is None:
        sys.exit(f"The sample {DEFAULT} has no file.")
    image, model = read_image(path), load_model("efficientnet-lite2", "openvino")
    save_precomputed(
        PRECOMPUTED, image.sha256, model.info, compute_class_maps(image, model, NOTEBOOK_SCALES[:3])
    )
    print(f"{PRECOMPUTED}: {PRECOMPUTED.stat().st_size / 1e6:.1f} MB")
