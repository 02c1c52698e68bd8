"""Files of an analysis: manifest, arrays, pictures, report, notebook, command, COCO file."""

from fcn_core.export.files import (
    arrays,
    figure_png,
    file_stem,
    manifest,
    manifest_json,
    maps_npz,
    mask_png,
    overlay_png,
    write_folder,
    zip_all,
)

__all__ = [
    "arrays",
    "figure_png",
    "file_stem",
    "manifest",
    "manifest_json",
    "maps_npz",
    "mask_png",
    "overlay_png",
    "write_folder",
    "zip_all",
]
