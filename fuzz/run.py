"""Run one target under atheris: ``python -m fuzz.run TARGET [options of libFuzzer] [folders]``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "openvino")

import atheris

CORPUS = Path(__file__).with_name("corpus")
INSTRUMENTED = ["fcn_core", "PIL", "pickletools", "json", "urllib"]


def main() -> None:
    """Hand the command line to libFuzzer, with bounds on time and memory that a reader must keep."""
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        import pillow_heif  # noqa: F401 - the target imports them late

        import fcn_core.networks.checkpoint  # noqa: F401
        from fuzz.targets import TARGETS
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        raise SystemExit(f"Received {name!r}. Expected one of {', '.join(TARGETS)}.")
    target = TARGETS[name]
    arguments = ["-timeout=10", "-rss_limit_mb=1500", "-max_len=8192", *sys.argv[1:]]
    if all(argument.startswith("-") for argument in sys.argv[1:]):
        arguments.append(str(CORPUS / name))

    def run(data: bytes) -> None:
        target(data)

    atheris.Setup([sys.argv[0], *arguments], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
