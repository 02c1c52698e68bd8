"""Run the app, and hold its analyses in the middle of a scale for as long as a file is there.

``python -m tests.browser.held FILE [options of streamlit run]``. The test can then act while an analysis runs, however
fast the machine computes.
"""

import sys
import time
from pathlib import Path

from streamlit.web import cli

from app.state.queue import job_queue
from fcn_core.errors import Cancelled

FILE = Path(sys.argv[1])
compute = job_queue.compute_class_maps


def held(image, predictor, scales, fit, progress, cancelled):
    """Compute as the app does, but wait wherever it tells of its progress."""

    def wait(step):
        progress(step)
        while FILE.exists():
            if cancelled():
                raise Cancelled("Stopped while held.")
            time.sleep(0.01)

    return compute(image, predictor, scales, fit, wait, cancelled)


if __name__ == "__main__":
    job_queue.compute_class_maps = held
    sys.argv = ["streamlit", "run", "streamlit_app.py", *sys.argv[2:]]
    sys.exit(cli.main())
