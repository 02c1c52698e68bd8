"""Options that several commands share, and the model they choose."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol

from fcn_core import settings
from fcn_core.cli.terminal import complain, progress_bar, without_start_up_messages
from fcn_core.errors import EngineError, FcnError

if TYPE_CHECKING:
    from fcn_core.engines.base import Predictor
    from fcn_core.networks.keras_settings import Backend

STRIDES = (32, 16, 8)


class Commands(Protocol):
    """What `argparse.ArgumentParser.add_subparsers` returns."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:
        """Add the parser of a command."""


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line and shows the usage only on request."""

    def error(self, message: str) -> NoReturn:
        """Report an error and exit with status 2."""
        complain(f"{message}. See: {self.prog} --help")
        self.exit(2)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a model and how it runs."""
    add_model_name(parser)
    add_preprocessing(parser)
    parser.add_argument("--engine", choices=settings.ENGINES, help="default: FCN_ENGINE, else auto")
    add_weights(parser)


def add_model_name(parser: argparse.ArgumentParser) -> None:
    """Add ``--model`` and ``--labels``."""
    parser.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="or the file of a Keras model of your own; default: FCN_MODEL, else efficientnet-lite2",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="classes of your own model, one a line: wnids, or words; default: the file beside it that ends in .txt",
    )


def add_preprocessing(parser: argparse.ArgumentParser) -> None:
    """Add ``--preprocessing``."""
    parser.add_argument(
        "--preprocessing",
        choices=("none", "zero-one", "tf", "caffe", "torch"),
        help="what your own model was trained with; default none: it takes RGB pixels 0..255",
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add ``--weights``."""
    parser.add_argument(
        "--weights",
        choices=("imagenet", "none"),
        default="imagenet",
        help="none: random weights from a fixed seed",
    )


def add_output_stride(parser: argparse.ArgumentParser) -> None:
    """Add ``--output-stride``."""
    parser.add_argument(
        "--output-stride",
        type=int,
        choices=STRIDES,
        default=STRIDES[0],
        help="input pixels per cell of the class map, default 32",
    )


def add_scale_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--output-stride``, ``--scales`` and ``--fit``."""
    add_output_stride(parser)
    parser.add_argument(
        "--scales", default=default, metavar="HxW,...", help=f"height x width, default {default}"
    )
    parser.add_argument(
        "--fit",
        choices=("aspect", "exact"),
        default="aspect",
        help="aspect (default) keeps the proportions of the picture, exact stretches it to each scale",
    )


def load_predictor(
    name: str | None,
    engine: str | None,
    weights: str,
    output_stride: int,
    labels: str | None = None,
    preprocessing: str | None = None,
) -> Predictor:
    """Load a model and show the progress of its download and preparation."""
    from fcn_core.engines.load import load_model

    if (engine or settings.ENGINE.value()) == "tensorflow":
        import_keras_quietly()
    with progress_bar("Preparing the model", bytes_=True) as update:
        return load_model(
            name, engine, weights, output_stride, lambda done, of: update(done, of, ""), labels, preprocessing
        )


def chosen_predictor(options: argparse.Namespace) -> Predictor:
    """Load the model that the options of `add_model_options` and `add_scale_options` choose."""
    return load_predictor(
        options.model,
        options.engine,
        options.weights,
        options.output_stride,
        options.labels,
        options.preprocessing,
    )


def chosen_threshold(text: str) -> float | Literal["auto"]:
    """Return the value of ``--threshold``."""
    if text == "auto":
        return "auto"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise FcnError(
            f"Expected a --threshold from 0 to 1, or auto. Received {text[:40]!r}. Correct it or leave it out."
        )
    return value


def import_keras_quietly(backend: Backend = "tensorflow") -> None:
    """Import Keras without TensorFlow's start-up messages; later imports report a failure."""
    from fcn_core.networks.keras_settings import import_keras

    with suppress(EngineError), without_start_up_messages():
        import_keras(backend)
