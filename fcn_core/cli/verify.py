"""``fcn verify``: prove that the converted network gives the answers of the classifier."""

from __future__ import annotations

import argparse
import gc
import json
import math
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from typing import TYPE_CHECKING

from fcn_core.cli.arguments import Commands, add_model_options, import_keras_quietly

if TYPE_CHECKING:
    from fcn_core.evaluation.verify import Verification

_PROOF_LIMIT = 1e-4  # of the range of the logits


def add_commands(commands: Commands) -> None:
    """Add the command."""
    verify = commands.add_parser("verify", help="prove the conversion: print the largest error")
    add_model_options(verify)
    verify.add_argument(
        "--application",
        metavar="NAME",
        help="verify the conversion of this classifier of keras.applications in Keras, or of all of them",
    )
    verify.add_argument("--json", action="store_true", help="print the result as JSON")
    verify.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from fcn_core.evaluation.verify import reference_backend, verify_application
    from fcn_core.networks.zoo import model_spec

    model_spec(
        options.model, options.labels, options.preprocessing
    )  # report an unknown name before TensorFlow is loaded
    import_keras_quietly(reference_backend(options.engine))
    if options.application == "all":
        from fcn_core.networks.applications import APPLICATIONS

        statuses = []
        for spec in APPLICATIONS.values():
            statuses.append(_report(options, partial(verify_application, spec.title, options.weights)))
            gc.collect()  # the layers of a model refer to each other
        return max(statuses)
    if options.application is not None:
        return _report(options, partial(verify_application, options.application, options.weights))
    return _report(options, partial(_verified, options))


def _verified(options: argparse.Namespace) -> Verification:
    from fcn_core.evaluation.verify import verify_model

    return verify_model(options.model, options.engine, options.weights, options.labels, options.preprocessing)


def _report(options: argparse.Namespace, verify: Callable[[], Verification]) -> int:
    """Verify, and print the result; return the status of the command."""
    with redirect_stdout(sys.stderr):  # Keras reports downloads on standard output
        proof = verify()
    good = proof.provable and proof.relative < _PROOF_LIMIT
    if options.json:
        found = {**vars(proof), "relative": proof.relative, "ok": good}
        print(
            json.dumps({name: None if value == math.inf else value for name, value in found.items()}),
            flush=True,
        )
        return 0 if good else 1
    compared = ""
    if proof.compared < proof.classes:
        compared = (
            f" ({proof.compared} of {proof.classes} classes: the others are too improbable for float32)"
        )
    whole = ""
    if proof.whole:
        whole = "A layer reads the whole picture (squeeze-and-excite), so each cell depends on all of it a little.\n"
    verdict = f"{proof.relative:.1e} of it, {'within' if good else 'NOT within'} {_PROOF_LIMIT:.0e}"
    if not proof.provable:
        verdict = (
            "nothing can be proved, because the classifier's logits hardly differ, as before any training. Verify it "
            "once it is trained"
        )
    print(
        f"{proof.name} ({proof.weights} weights): at {proof.size}x{proof.size} "
        f"{'the mean' if proof.proof == 'mean' else 'the only cell'} of the "
        f"{proof.grid[0]}x{proof.grid[1]} map of logits ({proof.engine}) against the classifier's own answer "
        f"(Keras on {proof.backend}).\n{whole}"
        f"largest error {proof.error:.2e} in a range of {proof.span:.2e}{compared}: {verdict}",
        flush=True,
    )
    return 0 if good else 1
