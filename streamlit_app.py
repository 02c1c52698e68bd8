"""Entry of the browser app: ``streamlit run streamlit_app.py``.

The file is read twice. The server finds `app` in it and starts that; for every visitor it then runs it as the script.
"""

import sys
from pathlib import Path

import streamlit as st
from streamlit import runtime

from fcn_core import settings

if not runtime.exists() and (faults := settings.check()):
    print(*faults, sep="\n", file=sys.stderr)
    raise SystemExit(2)

from app import server, streamlit_patches  # not with settings that mean nothing
from app.state import caches
from app.ui import panels

streamlit_patches.apply()

if not runtime.exists():
    app = st.App(__file__, lifespan=server.lifespan, routes=server.routes(), middleware=server.middleware())
else:
    # A file of our own: Streamlit would fetch a Material symbol from elsewhere.
    _ICON = Path(__file__).parent / "assets" / "icon.png"

    st.set_page_config(page_title="Where does the network see it?", page_icon=_ICON, layout="wide")
    panels.style()
    for fault in caches.wrong_settings():
        panels.problem(fault)
    if caches.wrong_settings():
        st.stop()

    pages = [
        st.Page("app/pages/explore.py", title="Explore", icon=":material/search:", default=True),
        st.Page("app/pages/compare.py", title="Compare", icon=":material/compare:", url_path="compare"),
        st.Page("app/pages/learn.py", title="Learn", icon=":material/school:", url_path="learn"),
        st.Page("app/pages/models.py", title="Models", icon=":material/deployed_code:", url_path="models"),
    ]
    st.navigation(pages, position="top").run()
