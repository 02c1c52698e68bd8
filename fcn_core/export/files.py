"""An analysis as files: manifest, arrays, pictures, report, notebook, and all of them in one archive.

Nothing here runs the network. Each file states whether the weights are the published ones and whether the picture was
decoded at reduced size: the manifest and the texts in their content, pictures in a PNG text chunk (the overlay also
shows the weights at its bottom edge), ``maps.npz`` in the comment of its archive. Boxes, outlines and the mask are
always in pixels of the original.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fcn_core import render
from fcn_core.engines.base import ModelInfo
from fcn_core.export import original
from fcn_core.export.coco import coco_json
from fcn_core.export.figure import report_figure
from fcn_core.export.report import html_report
from fcn_core.export.reproduce import command_line, notebook, python_snippet, rename_note
from fcn_core.images.read import RGBImage, clean_name
from fcn_core.maps.heatmap import ClassMap, place
from fcn_core.pipeline import Analysis
from fcn_core.system.installed import versions

__all__ = [
    "FILES",
    "SCHEMA",
    "arrays",
    "coco_json",
    "command_line",
    "figure_png",
    "file_stem",
    "html_report",
    "manifest",
    "manifest_json",
    "maps_npz",
    "mask_png",
    "notebook",
    "overlay_png",
    "python_snippet",
    "rename_note",
    "write_folder",
    "zip_all",
]

SCHEMA = "fcn-heatmap/1"


def manifest(analysis: Analysis) -> dict[str, Any]:
    """Return what was computed and how, as plain data for JSON."""
    image, model, synset = analysis.image, analysis.model, analysis.synset
    return {
        "schema": SCHEMA,
        "image": image_entry(image),
        "model": model_entry(model),
        "synset": {"wnid": synset.wnid, "words": list(synset.words), "class_ids": list(analysis.class_ids)},
        "map": analysis.kind,
        "fit": analysis.fit,
        "scales": [
            scale_entry(key, class_map)
            | {"peak": analysis.heatmaps[key].peak, "mean": analysis.heatmaps[key].mean}
            for key, class_map in analysis.class_maps.items()
        ],
        "presence": analysis.presence,
        "present": analysis.present,
        "snapped": analysis.snapped,
        "threshold": analysis.threshold,
        "boxes": [[b.x0, b.y0, b.x1, b.y1] for b in original.boxes(analysis)],
        "versions": versions(),
        "seconds": analysis.seconds,
        "peak_rss_mb": analysis.peak_rss_mb,
    }


def image_entry(image: RGBImage) -> dict[str, Any]:
    """Return what a manifest says of the picture."""
    return {
        "name": image.name,
        "sha256": image.sha256,
        "width": image.original[1],
        "height": image.original[0],
        **({} if image.reduced == 1 else {"reduced": image.reduced}),
    }


def model_entry(model: ModelInfo) -> dict[str, Any]:
    """Return what a manifest says of the model."""
    return {
        "name": model.name,
        "weights": model.weights,
        "weights_sha256": model.weights_sha256,
        "engine": model.engine,
        "output_stride": model.output_stride,
        "precision": model.precision,
    }


def scale_entry(key: str, class_map: ClassMap) -> dict[str, Any]:
    """Return what a manifest says of a scale, whatever the synset."""
    return {
        "requested": key,
        "input": [class_map.scale.height, class_map.scale.width],
        "grid": list(class_map.grid),
        "seconds": class_map.seconds,
        "enlarges": class_map.scale.enlarges,
    }


def manifest_json(analysis: Analysis) -> bytes:
    """Return the manifest as an indented JSON file."""
    return json.dumps(manifest(analysis), indent=2, ensure_ascii=False).encode() + b"\n"


def arrays(analysis: Analysis) -> dict[str, NDArray[np.float32]]:
    """Return the maps by name: each scale at its grid, both means at the finest grid, and the fine map."""
    return {
        **{key: heatmap.values.astype(np.float32, copy=False) for key, heatmap in analysis.heatmaps.items()},
        "arithmetic": analysis.arithmetic.values.astype(np.float32, copy=False),
        "geometric": analysis.geometric.values.astype(np.float32, copy=False),
        "fine": analysis.fine.astype(np.float32, copy=False),
    }


def maps_npz(analysis: Analysis) -> bytes:
    """Return the maps as a compressed NumPy archive."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays(analysis))  # type: ignore[arg-type]
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = _description(analysis).encode()
    return buffer.getvalue()


def mask_png(analysis: Analysis) -> bytes:
    """Return the mask at the size of the original picture: 255 inside, 0 outside."""
    small = analysis.at_working_size
    if small.mask.shape != small.image.original:
        return _described(original.mask_png(small.image, small.mask), analysis)
    return _described(render.encode(small.mask, "png"), analysis)


def overlay_png(analysis: Analysis, cmap: str = "viridis", opacity: float = render.MAP_OPACITY) -> bytes:
    """Return the arithmetic mean over the picture, each cell at the centre of its receptive field, with the boxes.

    Probabilities are coloured from 0 to 1, evidence from 0 to its peak.
    """
    image = analysis.image
    top = 1.0 if analysis.kind == "probability" else max(analysis.arithmetic.peak, 1e-6)
    picture = np.empty_like(image.pixels)
    for rows in render.row_blocks(picture.shape[:2]):
        values = place(analysis.arithmetic, image.height, image.width, block=rows)
        picture[rows] = render.overlay_map(image.pixels[rows], values, (0.0, top), cmap, opacity)
    picture = render.draw_boxes(picture, analysis.boxes)
    if not analysis.model.has_usual_weights:
        picture = stamped(picture, f"{analysis.model.weights} weights")
    return _described(render.encode(picture, "png"), analysis)


def figure_png(analysis: Analysis, cmap: str = "viridis") -> bytes:
    """Return the report figure: picture, fine map, each scale and both means."""
    buffer = io.BytesIO()
    figure = report_figure(analysis, cmap)
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return _described(buffer.getvalue(), analysis)


def _description(analysis: Analysis) -> str:
    model, part = analysis.model, analysis.image.reduced
    return (
        f"fcn_core: {analysis.synset.wnid} {analysis.synset.name}, {analysis.kind} map, {model.title}, "
        f"{model.weights} weights"
        + ("" if model.precision == "f32" else f", computed in {model.precision}")
        + (f", picture decoded at 1/{part} of its sides" if part > 1 else "")
    )


def _described(png: bytes, analysis: Analysis) -> bytes:
    return original.described_png(png, _description(analysis))


def stamped(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Write text at the bottom edge of a picture."""
    canvas = Image.fromarray(picture)
    font = ImageFont.load_default(max(8, canvas.height // 24))
    anchor = (canvas.width // 2, canvas.height - canvas.height // 60)
    ImageDraw.Draw(canvas).text(
        anchor, text, fill="white", font=font, anchor="md", stroke_width=2, stroke_fill="black"
    )
    return np.asarray(canvas)


def file_stem(name: str) -> str:
    """Return the name for a picture's files and folders: its own without suffix, safe on every system."""
    return Path(clean_name(name)).stem.rstrip(" .")


#: The files of one analysis, each with the function that makes it.
FILES: Mapping[str, Callable[[Analysis], bytes]] = {
    "manifest.json": manifest_json,
    "maps.npz": maps_npz,
    "mask.png": mask_png,
    "overlay.png": overlay_png,
    "figure.png": figure_png,
}


def write_folder(analysis: Analysis, folder: Path) -> tuple[Path, ...]:
    """Write all files of an analysis into `folder`, which is created if missing.

    The manifest is written last: if there is one, the other files are complete and belong to it.

    Returns
    -------
    tuple of Path
        The files written.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    return write_files({name: partial(make, analysis) for name, make in FILES.items()}, folder)


def write_files(makers: Mapping[str, Callable[[], bytes]], folder: Path) -> tuple[Path, ...]:
    """Write files into a folder, which is created if missing, the manifest last; see `write_folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").unlink(missing_ok=True)
    _remove_strays(makers, folder)
    paths = []
    for name in sorted(makers, key="manifest.json".__eq__):
        path, part = folder / name, folder / f".{name}.{os.getpid()}"
        try:
            part.write_bytes(makers[name]())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        paths.append(path)
    return tuple(paths)


def _remove_strays(names: Iterable[str], folder: Path) -> None:
    """Remove incomplete files of processes that no longer run."""
    for name in names:
        for part in folder.glob(f".{name}.*"):
            owner = part.name.rpartition(".")[2]
            if owner.isdecimal() and not psutil.pid_exists(int(owner)):
                part.unlink(missing_ok=True)


def zip_all(analysis: Analysis, picture: bytes | None = None) -> bytes:
    """Return all files of an analysis in one ZIP archive with one folder.

    Parameters
    ----------
    analysis : Analysis
    picture : bytes, optional
        The picture's file, which the notebook contains.
    """
    stem = file_stem(analysis.image.name)
    notes = filter(None, (_description(analysis), rename_note(analysis)))
    command = "".join(f"# {note}\n" for note in notes) + f"{command_line(analysis)}\n"
    files: dict[str, Callable[[Analysis], bytes]] = {
        **FILES,
        "report.html": html_report,
        "coco.json": coco_json,
        "notebook.ipynb": lambda a: notebook(a, picture),
        "command.sh": lambda _: command.encode(),
        "snippet.py": lambda a: python_snippet(a).encode(),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, make in files.items():  # one in memory at a time
            packed = name.endswith((".png", ".npz"))
            how = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            archive.writestr(f"{stem}/{name}", make(analysis), how)
    return buffer.getvalue()
