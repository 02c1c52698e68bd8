"""Run the app, and hold its analyses in the middle of a scale for as long as a file is there.

``python -m tests.browser.held FILE [options of streamlit run]``. The test can then act while an analysis runs, however
fast the machine computes.
"""

import sys
import time
from pathlib import Path

from streamlit.web import cli

from app.state.queue import job_queue

FILE = Path(sys.argv[1])
compute = job_queue.compute_class_map


def held(image, predictor, plan, checkpoint):
    """Compute as the app does, but wait at each checkpoint."""

    def wait(share):
        checkpoint(share)
        while FILE.exists():
            checkpoint(share)  # raises Cancelled if the job was stopped
            time.sleep(0.01)

    return compute(image, predictor, plan, wait)


if __name__ == "__main__":
    job_queue.compute_class_map = held
    sys.argv = ["streamlit", "run", "streamlit_app.py", *sys.argv[2:]]
    sys.exit(cli.main())
