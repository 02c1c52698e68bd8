"""Entry of the browser app: ``streamlit run streamlit_app.py``.

Streamlit runs this file twice: first to find `app`, which it serves, then as the script of every page.
"""

import os
import sys
from pathlib import Path

# Before NumPy is loaded. Its matrices here take 3 ms in one thread. Two threads that share the cores with a network or
# with other users' pages wait for each other, often for 200 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import streamlit as st

from app import streamlit_patches
from fcn_core import settings

if not streamlit_patches.is_serving() and (problems := settings.check()):
    print(*problems, sep="\n", file=sys.stderr)
    raise SystemExit(2)

from app import server  # these modules read the settings
from app.state import caches, choices
from app.ui import notices, style

streamlit_patches.apply()

if not streamlit_patches.is_serving():
    app = st.App(__file__, lifespan=server.lifespan, routes=server.routes(), middleware=server.middleware())
else:
    # A local file, because Streamlit would fetch a Material symbol from another host.
    _ICON = Path(__file__).parent / "assets" / "icon.png"

    st.set_page_config(page_title="Where does the network see it?", page_icon=_ICON, layout="wide")
    style.style()
    for problem in caches.wrong_settings():
        notices.problem(problem)
    if caches.wrong_settings():
        st.stop()

    pages = [
        st.Page("app/pages/explore.py", title="Explore", icon=":material/search:", default=True),
        st.Page("app/pages/compare.py", title="Compare", icon=":material/compare:", url_path="compare"),
        st.Page("app/pages/many.py", title="Many", icon=":material/photo_library:", url_path="many"),
        st.Page("app/pages/learn.py", title="Learn", icon=":material/school:", url_path="learn"),
        st.Page("app/pages/models.py", title="Models", icon=":material/deployed_code:", url_path="models"),
    ]
    page = st.navigation(pages, position="top")
    choices.enter(page.url_path)
    page.run()
