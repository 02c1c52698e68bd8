"""An analysis as files: manifest, arrays, pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcn_core import render
from fcn_core.heatmap import place
from fcn_core.pipeline import Analysis, versions

SCHEMA = "fcn-heatmap/1"


def manifest(analysis: Analysis) -> dict[str, Any]:
    """What was done and found, as plain data for JSON."""
    image, model, synset = analysis.image, analysis.model, analysis.synset
    return {
        "schema": SCHEMA,
        "image": {"name": image.name, "sha256": image.sha256, "width": image.width, "height": image.height},
        "model": {
            "name": model.name,
            "weights": model.weights,
            "weights_sha256": model.weights_sha256,
            "engine": model.engine,
            "output_stride": model.output_stride,
        },
        "synset": {"wnid": synset.wnid, "words": list(synset.words), "class_ids": list(analysis.class_ids)},
        "map": analysis.kind,
        "fit": analysis.fit,
        "scales": [
            {
                "requested": key,
                "input": [class_map.scale.height, class_map.scale.width],
                "grid": list(class_map.grid),
                "peak": analysis.heatmaps[key].peak,
                "mean": analysis.heatmaps[key].mean,
                "seconds": class_map.seconds,
                "enlarges": class_map.scale.enlarges,
            }
            for key, class_map in analysis.class_maps.items()
        ],
        "snapped": analysis.snapped,
        "threshold": analysis.threshold,
        "boxes": [[b.x0, b.y0, b.x1, b.y1] for b in analysis.boxes],
        "versions": versions(),
        "seconds": analysis.seconds,
        "peak_rss_mb": analysis.peak_rss_mb,
    }


def manifest_json(analysis: Analysis) -> bytes:
    """The manifest as an indented JSON file."""
    return json.dumps(manifest(analysis), indent=2, ensure_ascii=False).encode() + b"\n"


def arrays(analysis: Analysis) -> dict[str, NDArray[np.float32]]:
    """The maps by name: one a scale at its grid, both means at the finest, and the fine map."""
    return {
        **{key: heatmap.values.astype(np.float32) for key, heatmap in analysis.heatmaps.items()},
        "arithmetic": analysis.arithmetic.values.astype(np.float32),
        "geometric": analysis.geometric.values.astype(np.float32),
        "fine": analysis.fine.astype(np.float32),
    }


def maps_npz(analysis: Analysis) -> bytes:
    """The maps as a compressed NumPy archive."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays(analysis))  # type: ignore[arg-type]
    return buffer.getvalue()


def mask_png(analysis: Analysis) -> bytes:
    """The mask at the picture's size: 255 inside, 0 outside."""
    return render.encode(analysis.mask.astype(np.uint8) * 255, "png")


def overlay_png(analysis: Analysis, cmap: str = "viridis", opacity: float = 0.6) -> bytes:
    """The arithmetic mean over the picture, every cell where it looks, with the boxes.

    Probabilities are coloured from 0 to 1, evidence from 0 to its own peak.
    """
    image = analysis.image
    values = place(analysis.arithmetic, image.height, image.width)
    top = 1.0 if analysis.kind == "probability" else max(analysis.arithmetic.peak, 1e-6)
    picture = render.overlay(image.pixels, render.colourise(values, 0.0, top, cmap), opacity)
    return render.encode(render.draw_boxes(picture, analysis.boxes), "png")


def figure_png(analysis: Analysis, cmap: str = "viridis") -> bytes:
    """Picture, every scale, both means and the fine map side by side."""
    buffer = io.BytesIO()
    figure = render.report_figure(analysis, cmap)
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return buffer.getvalue()


#: The files of one analysis, each with what makes it.
FILES: Mapping[str, Callable[[Analysis], bytes]] = {
    "manifest.json": manifest_json,
    "maps.npz": maps_npz,
    "mask.png": mask_png,
    "overlay.png": overlay_png,
    "figure.png": figure_png,
}


def write_folder(analysis: Analysis, folder: Path) -> tuple[Path, ...]:
    """Write all files of an analysis into `folder`, made where missing.

    Returns
    -------
    tuple of Path
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, make in FILES.items():
        path = folder / name
        path.write_bytes(make(analysis))
        paths.append(path)
    return tuple(paths)
