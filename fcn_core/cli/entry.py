"""The command line: ``fcn``, or ``python -m fcn_core``.

Exit status: 0 done, 1 a proof or check failed, 2 bad arguments or input, or the output cannot be written,
3 weights not available, 70 internal error, 130 stopped by the user, 141 the reader of the output has gone.
An error is one line on standard error. With ``FCN_LOG=text`` or ``json``, the place of an internal error is logged.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from fcn_core import settings
from fcn_core.cli import batch, check, evaluate, export, heatmap, models, synsets, verify
from fcn_core.cli.arguments import Parser
from fcn_core.cli.streams import standard_streams
from fcn_core.cli.terminal import complain, report
from fcn_core.errors import FcnError, MemoryBudgetError

_INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: the arguments of the process.

    Returns
    -------
    int
        Exit status.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # without TensorFlow's messages about its start
    with standard_streams():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        try:
            options = _parser().parse_args(arguments)
        finally:
            sys.stdout.flush()  # --help exits here, and its output can fail, too
        problems = settings.check()
        for problem in problems:
            complain(problem)
        if problems:
            return 2
        from fcn_core import logs

        logs.configure("off")
        status: int = options.run(options)
        sys.stdout.flush()
    except FcnError as error:
        return report(error)
    except MemoryError:
        return report(
            MemoryBudgetError(
                "Expected enough memory for this command. Received an out-of-memory error. Set FCN_MEMORY_MB to the "
                "megabytes that are available, so that large scales run in bands, or choose smaller scales."
            )
        )
    except KeyboardInterrupt as stop:  # a command may say how far it came
        complain(": ".join(["stopped", *map(str, stop.args)]))
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:  # every internal error ends here: a line for the user, the place for the log
        return _report_internal(error)
    return status


def _report_internal(error: Exception) -> int:
    logger = logging.getLogger(__name__)
    if logger.isEnabledFor(logging.INFO):
        logger.exception("fault")
    complain(f"internal error ({type(error).__name__}: {error}). Set FCN_LOG=text to see where it happened.")
    return _INTERNAL_ERROR


def _parser() -> Parser:
    parser = Parser(prog=_program_name(), description="Show where an ImageNet network sees a synset.")
    check.add_option(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in (heatmap, batch, synsets, models, verify, evaluate, export):
        command.add_commands(commands)
    return parser


def _program_name() -> str:
    """Return how the program was called: the installed ``fcn`` (on Windows ``fcn.exe``), or the module."""
    called = os.path.basename(sys.argv[0]) if sys.argv else ""  # noqa: PTH119 - any text, such as "-c"
    return "fcn" if called in ("fcn", "fcn.exe") else "python -m fcn_core"
