"""``fcn models``: list the models, prepare one for use, and remove one from the disk."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from fcn_core.cli.arguments import Commands, load_predictor
from fcn_core.cli.terminal import complain, shown
from fcn_core.errors import FcnError, UnknownModel

if TYPE_CHECKING:
    from fcn_core.networks.spec import ModelSpec


def add_commands(commands: Commands) -> None:
    """Add the command."""
    models = commands.add_parser(
        "models", help="list the models: which are ready, and what the others download on first use"
    )
    models.add_argument("--json", action="store_true", help="print the list as JSON")
    change = models.add_mutually_exclusive_group()
    change.add_argument("--prepare", metavar="NAME", help="download and prepare a model for use")
    change.add_argument(
        "--remove", metavar="NAME", help="free the disk of a model's downloaded weights and prepared graphs"
    )
    models.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from fcn_core.engines.disk import remove
    from fcn_core.engines.housekeeping import cached_bytes
    from fcn_core.networks.applications import APPLICATIONS
    from fcn_core.networks.own_model import own_model
    from fcn_core.networks.zoo import ALL_MODELS, MODELS, model_spec
    from fcn_core.settings import models_in_folder
    from fcn_core.system.folders import cache_dir, megabytes

    for option, name in (("--prepare", options.prepare), ("--remove", options.remove)):
        if name is not None and not name:
            raise UnknownModel(
                f"Expected {option} with one of {', '.join(MODELS)}. Received an empty name. Name one of them."
            )
    said = ""
    if options.prepare:
        model = load_predictor(options.prepare, None, "imagenet", 32)
        said = f"{model.info.title} is ready on {model.info.engine}."
    if options.remove:
        spec = model_spec(options.remove)
        said = f"{spec.title} is removed: {megabytes(remove(spec))} MB are free again."
    if said:
        print(said, file=sys.stderr if options.json else None)
    own = []
    for name, path in models_in_folder().items():
        try:
            if name in ALL_MODELS:
                raise UnknownModel(
                    f"Expected a name of its own. Received {name}, which is that of another model. Rename the file."
                )
            own.append(own_model(path))
        except FcnError as error:
            complain(f"{path.name} in FCN_MODELS_DIR: {error}")
    rows = [_row(spec) for spec in (*ALL_MODELS.values(), *own)]
    if options.json:
        print(json.dumps(rows, indent=2))
    if options.json or said:
        return 0
    for row in rows:
        if row["name"] == next(iter(APPLICATIONS)):
            print("Classifiers of keras.applications:")
        if own and row["name"] == own[0].name:
            print("Your own, in FCN_MODELS_DIR:")
        size = f"{row['parameters']:5.1f} M parameters" if row["parameters"] else " " * 18
        top1 = "" if row["top1"] is None else f"{row['top1']:.1f} %"
        print(f"{row['name']:<20} {size}  {top1:>6}  {row['state']:<16}  {row['licence']}")
    print(f"The cache {shown(str(cache_dir()))} uses {megabytes(cached_bytes(cache_dir()))} MB.")
    return 0


def _row(spec: ModelSpec) -> dict[str, Any]:
    from importlib.util import find_spec

    from fcn_core.engines.disk import on_disk
    from fcn_core.engines.graph_cache import graph_folder, load_graph
    from fcn_core.networks.weights import digest
    from fcn_core.networks.zoo import find_weights

    weights = find_weights(spec)
    served = find_spec("openvino") is not None
    graph = load_graph(graph_folder(spec, digest(weights), 32)) if weights and served else None
    fetch = 0.0 if weights or not spec.weights.digest else spec.weights.size / 1e6
    missing = f"fetches {fetch:.0f} MB" if spec.weights.digest else "weights to bring"
    return {
        "name": spec.name,
        "title": spec.title,
        "family": spec.family or None,
        "state": "ready" if graph else "weights here" if weights else missing,
        "ready": graph is not None,
        "weights": str(weights) if weights else None,
        "fetch_mb": round(fetch, 1),
        "disk_mb": round(on_disk(spec).total / 1e6, 1),
        "parameters": spec.parameters or None,  # of a model of one's own, whose file was not read
        "input_size": spec.input_size or None,
        "top1": spec.accuracy and spec.accuracy.top1,
        "top1_source": spec.accuracy and spec.accuracy.source,
        "proof": spec.proof,
        "source": spec.source,
        "licence": spec.licence,
    }
