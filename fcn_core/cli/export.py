"""``fcn export``: write the fully convolutional network of a model into a file that other programs run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fcn_core.cli.arguments import Commands, add_model_name, add_output_stride, add_preprocessing, add_weights
from fcn_core.cli.terminal import progress_bar, shown, weights_note

FORMATS = ("keras", "onnx", "openvino", "litert", "saved_model")


def add_commands(commands: Commands) -> None:
    """Add the command."""
    export = commands.add_parser(
        "export", help="write the fully convolutional network of a model into a file for other programs"
    )
    add_model_name(export)
    add_preprocessing(export)
    export.add_argument("--format", required=True, choices=FORMATS, help="which programs run it")
    export.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="FILE",
        help="ends in .keras, .onnx, .xml (OpenVINO) or .tflite (LiteRT); a folder for saved_model",
    )
    add_weights(export)
    add_output_stride(export)
    export.add_argument("--json", action="store_true", help="print the description as JSON")
    export.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from fcn_core.networks.zoo import model_spec
    from fcn_core.portable.network import export_network

    with progress_bar("Exporting the network", bytes_=True) as update:
        exported = export_network(
            model_spec(options.model, options.labels, options.preprocessing),
            options.format,
            options.out,
            weights=options.weights,
            output_stride=options.output_stride,
            progress=lambda done, of: update(done, of, ""),
        )
    described, check = exported.description, exported.description["check"]
    if options.json:
        print(json.dumps(described))
        return 0
    print(f"{described['model']['title']}{weights_note(described['weights']['kind'])} -> ", end="")
    print(", ".join(shown(str(path)) for path in exported.files))
    if check:
        print(
            f"In {check['runtime']}: logits to {check['largest_error_of_logits']:.1e} of their range, probabilities to "
            f"{check['largest_error_of_probabilities']:.1e}, within {check['limit']:.0e}."
        )
    else:
        print(
            f"Not checked: {described['runtime']} is not installed. Run: pip install {described['runtime']}"
        )
    return 0
