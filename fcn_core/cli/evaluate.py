"""``fcn evaluate``: measure localisation on pictures with masks or boxes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fcn_core.cli.arguments import (
    Commands,
    add_model_options,
    add_scale_options,
    chosen_predictor,
    import_keras_quietly,
)
from fcn_core.cli.terminal import progress_bar, shown, weights_note

_SCALES = "200x320,400x640,800x1280"


def add_commands(commands: Commands) -> None:
    """Add the command."""
    evaluate = commands.add_parser("evaluate", help="measure localisation on pictures with masks or boxes")
    evaluate.add_argument(
        "index",
        type=Path,
        metavar="INDEX.csv",
        help="table with the columns image, synset_wnid, mask or boxes",
    )
    add_model_options(evaluate)
    add_scale_options(evaluate, _SCALES)
    evaluate.add_argument(
        "--map", choices=("fine", "probability", "evidence"), default="fine", help="default: the fine map"
    )
    evaluate.add_argument(
        "--compare",
        action="store_true",
        help="compare with the notebook's mean, CAM, LayerCAM, Grad-CAM and a Gaussian at the centre",
    )
    evaluate.add_argument(
        "--save-maps",
        type=Path,
        metavar="DIR",
        help="also write each row's map, and lists by which wsolevaluation measures it, to a new or empty folder",
    )
    evaluate.add_argument("--json", action="store_true", help="print the measures as JSON")
    evaluate.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from fcn_core.evaluation.evaluate import WAYS, evaluate_index, read_index
    from fcn_core.evaluation.saved_maps import prepare_folder
    from fcn_core.evaluation.tables import measures, size_table, table
    from fcn_core.images.scales import parse_scales

    scales = parse_scales(options.scales)
    read_index(options.index)  # report a bad index and a bad folder before the model is loaded
    if options.save_maps is not None:
        prepare_folder(options.save_maps)
    model = chosen_predictor(options)
    if options.compare:  # Grad-CAM and LayerCAM run on TensorFlow
        import_keras_quietly()
    with progress_bar(shown(options.index.name)) as update:
        results = evaluate_index(
            options.index,
            model,
            ways=tuple(dict.fromkeys((options.map, *WAYS))) if options.compare else (options.map,),
            scales=scales,
            fit=options.fit,
            save_maps=options.save_maps,
            progress=lambda done, of: update(done, of, ""),
        )
    if options.json:
        about = {
            "model": model.info.name,
            "weights": model.info.weights,
            "engine": model.info.engine,
            "output_stride": model.info.output_stride,
            "scales": [str(s) for s in scales],
            "fit": options.fit,
        }
        found = {"results": [r.to_json() for r in results]} if options.compare else results[0].to_json()
        print(json.dumps({**about, **found}))
        return 0
    s = results[0].summary
    known = "" if s.masks == s.pictures else f" ({s.masks} with masks, {s.boxed} with boxes)"
    print(
        f"{s.pictures} picture{'' if s.pictures == 1 else 's'}{known}, {model.info.title} on {model.info.engine}, "
        f"{', '.join(map(str, scales))}, {options.fit}{weights_note(model.info.weights)}"
    )
    print(table(results) if options.compare else measures(results[0]))
    if sizes := size_table(results):
        print(f"\n{sizes}")
    return 0
