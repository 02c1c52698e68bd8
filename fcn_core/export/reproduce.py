"""How to reproduce an analysis: a command line, a few lines of Python, a Jupyter notebook."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

from fcn_core import render
from fcn_core.engines.base import ModelInfo
from fcn_core.export import shells
from fcn_core.images.limits import Limits
from fcn_core.pipeline import Analysis

_BASE64_LINE = 100


def command_line(analysis: Analysis, image_name: str | None = None, out: str = "out") -> str:
    """Return the command that makes the same maps, valid in POSIX shells, cmd.exe and PowerShell.

    Parameters
    ----------
    analysis : Analysis
    image_name : str, optional
        Path of the picture; its name by default. See :func:`rename_note`.
    out : str
        Folder for the result.
    """
    path = analysis.image.name if image_name is None else image_name
    model = analysis.model
    words = ["python", "-m", "fcn_core", "heatmap", shells.as_argument(path)]
    words += ["--synset", analysis.synset.wnid, *_model_options(model), "--engine", model.engine]
    words += ["--scales", ",".join(analysis.class_maps), "--fit", analysis.fit, "--map", analysis.kind]
    words += ["--output-stride", str(model.stride_option), "--threshold", str(analysis.options.threshold)]
    words += ["--weights", "none"] if model.weights == "random" else []
    words += [] if analysis.snapped else ["--no-snap"]
    words += ["--always-mark"] if analysis.options.always_mark else []
    words += [] if analysis.image.reduced == 1 else ["--reduce", str(analysis.image.reduced)]
    return shells.join([*words, "--out", shells.as_argument(out)])


def _model_options(model: ModelInfo) -> list[str]:
    if model.given is None or model.given.in_folder:
        return ["--model", model.name]
    given = model.given
    words = ["--model", shells.as_argument(str(given.path))]
    words += ["--labels", shells.as_argument(str(given.labels))] if isinstance(given.labels, Path) else []
    return [*words, "--preprocessing", given.preprocessing]


def rename_note(analysis: Analysis) -> str:
    """Return a note on renaming the picture if the command cannot use its name, otherwise an empty string."""
    name = shells.harmless(analysis.image.name)
    if name == analysis.image.name:
        return ""
    return (
        f'The command names the picture "{name}", because shells interpret some characters of its name. '
        "Rename the file."
    )


def python_snippet(analysis: Analysis, image_name: str | None = None) -> str:
    """Return lines of Python that make the same analysis.

    Parameters
    ----------
    analysis : Analysis
    image_name : str, optional
        Path of the picture; its name by default.
    """
    path = analysis.image.name if image_name is None else image_name
    return (
        "import fcn_core as fcn\n\n"
        f"image = fcn.read_image({path!r}{_reduce(analysis)})\n"
        f"{_load(analysis)}"
        f"{_analyse(analysis)}\n"
        "print(result.presence, result.arithmetic.peak, result.boxes)\n"
    )


def _reduce(analysis: Analysis) -> str:
    return "" if analysis.image.reduced == 1 else f", reduce={analysis.image.reduced}"


def _load(analysis: Analysis) -> str:
    model = analysis.model
    weights = ", weights=None" if model.weights == "random" else ""
    stride = "" if model.stride_option == 32 else f", output_stride={model.stride_option}"
    name, before, given = model.name, "", model.given
    if given is not None and given.in_folder:
        before = "# FCN_MODELS_DIR must be the folder of this model\n"
    elif given is not None:
        name, labels = str(given.path), given.labels
        weights = f", labels={str(labels)!r}" if isinstance(labels, Path) else f", labels={labels!r}"
        weights += f", preprocessing={given.preprocessing!r}"
    return f"{before}model = fcn.load_model({name!r}, engine={model.engine!r}{weights}{stride})\n"


def _analyse(analysis: Analysis) -> str:
    return (
        "result = fcn.analyse(\n"
        "    image,\n"
        f"    {analysis.synset.wnid!r},  # {', '.join(analysis.synset.words)}\n"
        "    model,\n"
        f"    fcn.parse_scales({','.join(analysis.class_maps)!r}),\n"
        f"    kind={analysis.kind!r},\n"
        f"    fit={analysis.fit!r},\n"
        f"    threshold={analysis.options.threshold!r},\n"
        f"    snap={analysis.snapped!r},\n"
        f"{_always_mark(analysis)}"
        ")\n"
    )


def _always_mark(analysis: Analysis) -> str:
    return "    always_mark=True,\n" if analysis.options.always_mark else ""


def notebook(analysis: Analysis, picture: bytes | None = None) -> bytes:
    """Return a Jupyter notebook that contains the picture, makes the same analysis and shows it.

    It needs only ``fcn_core`` (start Jupyter in the project's folder).

    Parameters
    ----------
    analysis : Analysis
    picture : bytes, optional
        The picture's file. Without it, the notebook contains the pixels as PNG.

    Returns
    -------
    bytes
        A notebook of format 4.5.
    """
    cells = [
        _markdown(_introduction(analysis)),
        _code(_read(analysis, picture), folded=True),
        _code(f"import fcn_core as fcn\n\n{_load(analysis)}model.info"),
        _markdown("The network runs once per scale, coarse first; `result` keeps all maps."),
        _code(
            f"{_analyse(analysis)}{{key: heatmap.values.shape for key, heatmap in result.heatmaps.items()}}"
        ),
        _code(_SHOW_SCALES),
        _markdown(
            "The means over the scales. Each heatmap is resized to the finest grid; then $(a+b+\\dots)/n$ is the "
            "arithmetic mean and $(a \\cdot b \\cdots)^{1/n}$ the geometric one."
        ),
        _code(_SHOW_MEANS),
        _markdown("The fine map, and the mask and boxes that are made from it."),
        _code(_SHOW_REGION),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    document = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _introduction(analysis: Analysis) -> str:
    name = html.escape(analysis.image.name.replace("`", "'"))
    model, count = analysis.model, len(analysis.class_ids)
    classes = len(model.outputs.ontology.classes)
    random = "" if model.has_usual_weights else f" **The network has {model.weights} weights.**"
    note = rename_note(analysis)
    note = html.escape(note, quote=False).replace('"', "`") + "\n\n" if note else ""
    return (
        f"# Where is “{analysis.synset.name}”?\n\n"
        f"`{name}`, {analysis.image.size_in_words}. {model.title} as a fully convolutional "
        f"network; the synset {analysis.synset.wnid} has {count} of its {classes} classes.{random}\n\n"
        f"On the command line:\n\n{note}```sh\n{command_line(analysis)}\n```"
    )


def _read(analysis: Analysis, picture: bytes | None) -> str:
    image = analysis.image
    data = render.encode(image.pixels, "png") if picture is None else picture
    height, width = image.pixels.shape[:2] if picture is None else image.original
    reduce = "" if picture is None else _reduce(analysis)
    text = base64.b64encode(data).decode()
    lines = "\n".join(text[i : i + _BASE64_LINE] for i in range(0, len(text), _BASE64_LINE))
    limits = ""
    if len(data) > Limits().max_bytes or height * width > Limits().max_pixels:
        size = max(height * width, Limits().max_pixels)
        limits = f", limits=fcn.Limits(max_bytes={len(data)}, max_pixels={size})"
    return (
        "import base64\n\n"
        "import fcn_core as fcn\n\n"
        f'data = """\n{lines}\n"""\n'
        f"image = fcn.read_image(base64.b64decode(data), name={image.name!r}{reduce}{limits})"
    )


def _markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source.splitlines(keepends=True)}


def _code(source: str, folded: bool = False) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "metadata": {"jupyter": {"source_hidden": True}} if folded else {},
        "execution_count": None,
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


_SHOW_SCALES = """\
import matplotlib.pyplot as plt

top = 1.0 if result.kind == "probability" else max(h.peak for h in result.heatmaps.values()) or 1.0
figure, axes = plt.subplots(1, len(result.heatmaps) + 1, figsize=(16, 4), squeeze=False)
axes[0, 0].imshow(image.pixels)
axes[0, 0].set_title("picture")
extent = (0, image.width, image.height, 0)
for ax, (key, heatmap) in zip(axes[0, 1:], result.heatmaps.items()):
    ax.imshow(heatmap.values, vmin=0, vmax=top, extent=extent)
    ax.set_title(f"{key}: grid {heatmap.grid[0]} x {heatmap.grid[1]}, peak {heatmap.peak:.2f}")
for ax in axes.flat:
    ax.axis("off")"""

_SHOW_MEANS = """\
figure, axes = plt.subplots(1, 2, figsize=(14, 4.5))
for ax, name in zip(axes, ("arithmetic", "geometric")):
    mean = getattr(result, name)
    shown = ax.imshow(mean.values, vmin=0, vmax=top, extent=extent)
    ax.set_title(f"{name} mean, peak {mean.peak:.2f}")
    ax.axis("off")
figure.colorbar(shown, ax=axes, label=result.kind);"""

_SHOW_REGION = """\
figure, axes = plt.subplots(1, 2, figsize=(14, 4.5))
axes[0].imshow(fcn.render.overlay_map(image.pixels, result.fine))
axes[0].set_title("fine map")
axes[1].imshow(fcn.render.draw_boxes(fcn.render.draw_mask(image.pixels, result.mask), result.boxes))
axes[1].set_title(f"mask at {result.threshold:.2f}")
for ax in axes:
    ax.axis("off")"""
