"""Keep OpenVINO from reporting to a third party that it was imported.

``import openvino`` sends an event to Google Analytics through the package ``openvino_telemetry``. It offers no setting
for one process: only a file in the user's home folder, which is not ours to write, or pretending to be a CI job. Where
the package cannot be imported, OpenVINO uses its own silent stand-in (``openvino/tools/ovc/telemetry_stub.py``), so it
is made impossible to import. Checked against OpenVINO 2026.4.1 with openvino-telemetry 2025.2.0;
tests/test_privacy.py checks the installed ones.
"""

from __future__ import annotations

import sys

REPORTER = "openvino_telemetry"


def turn_off() -> None:
    """Make ``import openvino_telemetry`` fail in this process, unless it was imported before.

    It must run before OpenVINO is imported, by whichever way: also Keras imports it. So ``import fcn_core`` calls it.
    """
    sys.modules.setdefault(REPORTER, None)  # type: ignore[arg-type] # as documented: import raises for None
