"""The table of a batch: one row for each picture and synset, and one for each picture that could not be analysed."""

from __future__ import annotations

from typing import Any

from fcn_core.batch.inputs import Source
from fcn_core.batch.many import PictureResult
from fcn_core.engines.base import ModelInfo
from fcn_core.export import original
from fcn_core.export.rle import compressed, run_lengths
from fcn_core.pipeline import Analysis

Row = dict[str, Any]

#: The columns, each with what it holds; `fcn_core.batch.parts.schema` has their types.
COLUMNS = {
    "path": "path or address of the picture",
    "state": "size and time of the file when it was read, by which a later run knows that it changed",
    "sha256": "digest of the file",
    "width": "pixels",
    "height": "pixels",
    "wnid": "the synset; null: nothing was found in the picture, or it could not be analysed",
    "synset": "its name",
    "asked": "whether the synset was asked for; otherwise it was found",
    "presence": "probability that the synset is in the picture at all, 0 to 1",
    "present": "whether that is at least 0.15",
    "peaks": "largest value of the heatmap of each scale: a list of `scale` and `peak`",
    "threshold": "value of the fine map from which a pixel belongs to the mask; null where nothing is marked",
    "area": "pixels of the mask",
    "boxes": "box of each connected part of the mask, largest first: `x0`, `y0`, `x1`, `y1`, `area`, `score`",
    "mask": "the mask as a run-length encoding: `size`, `counts`; null where nothing is marked",
    "seconds": "time of the network and of everything after it, for the whole picture",
    "model": "name of the model",
    "weights": "`imagenet`, `unpublished`, `random` or `own`",
    "weights_sha256": "digest of the weights; null if they are random",
    "engine": "`openvino` or `tensorflow`",
    "output_stride": "input pixels from cell to cell",
    "precision": "`f32` or `bf16`",
    "mask_file": "mask as a PNG, relative to the folder; null where none was asked for, or nothing is marked",
    "overlay_file": "the arithmetic mean over the picture",
    "maps_file": "the maps as a NumPy archive",
    "thumbnail_file": "the picture with its marks, small",
    "error": "why the picture could not be analysed; null for all others",
    "error_type": "kind of the error",
}


def rows_of(source: Source, result: PictureResult, model: ModelInfo) -> list[Row]:
    """Return the rows of a picture, without the names of its files: at least one."""
    common: Row = dict.fromkeys(COLUMNS)
    common |= {
        "path": source.key,
        "state": source.state,
        "seconds": result.seconds,
        "model": model.name,
        "weights": model.weights,
        "weights_sha256": model.weights_sha256,
        "engine": model.engine,
        "output_stride": model.output_stride,
        "precision": model.precision,
        "error": result.error,
        "error_type": result.error_type,
    }
    if result.image is not None:
        height, width = result.image.original
        common |= {"sha256": result.image.sha256, "width": width, "height": height}
    asked = len(result.asked)
    made = [common | _of(each, number < asked) for number, each in enumerate(result.analyses)]
    return made or [common]


def _of(analysis: Analysis, asked: bool) -> Row:
    found: Row = {
        "wnid": analysis.synset.wnid,
        "synset": analysis.synset.name,
        "asked": asked,
        "presence": analysis.presence,
        "present": analysis.present,
        "peaks": [{"scale": key, "peak": each.peak} for key, each in analysis.heatmaps.items()],
        "area": 0,
        "boxes": [],
    }
    if not analysis.marked:
        return found
    counts = run_lengths(analysis.mask, analysis.image)
    return found | {
        "threshold": analysis.threshold,
        "area": int(counts[1::2].sum()),
        "boxes": [
            {"x0": b.x0, "y0": b.y0, "x1": b.x1, "y1": b.y1, "area": b.area, "score": b.peak}
            for b in original.boxes(analysis)
        ],
        "mask": {"size": list(analysis.image.original), "counts": compressed(counts)},
    }
