"""Entry of the browser app: ``streamlit run streamlit_app.py``."""

from pathlib import Path

import streamlit as st

from app import cached, panels, uploads

# A file of our own: Streamlit would fetch a Material symbol from elsewhere.
_ICON = Path(__file__).parent / "assets" / "icon.png"

st.set_page_config(page_title="Where does the network see it?", page_icon=_ICON, layout="wide")
panels.style()
for fault in cached.wrong_settings():
    panels.problem(fault)
if cached.wrong_settings():
    st.stop()
uploads.keep_in_memory()

pages = [
    st.Page("app/explore.py", title="Explore", icon=":material/search:", default=True),
    st.Page("app/compare.py", title="Compare", icon=":material/compare:", url_path="compare"),
    st.Page("app/learn.py", title="Learn", icon=":material/school:", url_path="learn"),
    st.Page("app/models.py", title="Models", icon=":material/deployed_code:", url_path="models"),
]
st.navigation(pages, position="top").run()
