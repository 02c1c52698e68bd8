"""Run the app, write down what it does to files and network, and tell what it holds.

``python -m tests.browser.audited LOG PORT [options of streamlit run]``: every file opened for writing, moved or
removed, every connection, look-up and child process goes to LOG as one line of JSON; on PORT + 1 a GET answers what is
in memory.
"""

import gc
import http.server
import json
import os
import sys
import threading

LOG, PORT = sys.argv[1], int(sys.argv[2])
log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
WATCHED = ("os.rename", "os.mkdir", "os.link", "os.symlink", "shutil.copyfile", "shutil.move", "tempfile.mkstemp",
           "tempfile.mkdtemp", "sqlite3.connect", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn",
           "socket.connect", "socket.sendto", "socket.getaddrinfo", "urllib.Request", "mmap.__new__")  # fmt: skip


def write_down(event: str, arguments: tuple) -> None:
    """Audit hook."""
    if event == "open":
        path, mode, flags = arguments
        if not (isinstance(mode, str) and set(mode) & set("wax+")) and not (flags or 0) & WRITING:
            return
        if path in ("/dev/null", os.devnull) or isinstance(path, int):
            return
    elif event not in WATCHED:
        return
    os.write(log, json.dumps([event, *(repr(a)[:500] for a in arguments)]).encode() + b"\n")


class Held(http.server.BaseHTTPRequestHandler):
    """What the process holds of its users."""

    def do_GET(self) -> None:
        """Answer with counts, and at ``/`` with names as well, which are looked for while nothing else runs.

        Python gives out tuples that another thread has not finished yet.
        """
        from streamlit.runtime import get_instance

        runtime = get_instance()
        held = {
            "files": sum(len(files) for files in list(runtime.uploaded_file_mgr.file_storage.values())),
            "sessions": runtime._session_mgr.num_active_sessions(),
        }
        if self.path == "/":
            held |= self.named()
        body = json.dumps(held).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def named(self) -> dict:
        """Pictures and analyses."""
        from app.state.queue.job_queue import Queue
        from fcn_core.images.read import RGBImage

        gc.collect()
        gc.unfreeze()  # what the app left out of collections counts as well
        objects = gc.get_objects()
        pictures = sorted({o.name for o in objects if isinstance(o, RGBImage)})
        jobs = sum(len(o._jobs) for o in objects if isinstance(o, Queue))
        del objects
        gc.freeze()
        return {"pictures": pictures, "jobs": jobs}

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    answers = http.server.HTTPServer(("127.0.0.1", PORT + 1), Held)
    threading.Thread(target=answers.serve_forever, daemon=True).start()
    sys.addaudithook(write_down)
    from app import streamlit_patches

    streamlit_patches._SWEEP_SECONDS = 1.0  # closed sessions are looked for sooner
    from streamlit.web import cli

    sys.argv = ["streamlit", "run", "streamlit_app.py", "--server.port", str(PORT), *sys.argv[3:]]
    sys.argv += ["--server.address", "127.0.0.1", "--server.headless", "true"]
    sys.exit(cli.main())
