"""Entry of the browser app: ``streamlit run streamlit_app.py``."""

import streamlit as st

st.set_page_config(page_title="Where does the network see it?", page_icon=":material/grid_on:", layout="wide")

pages = [
    st.Page("app/explore.py", title="Explore", icon=":material/search:", default=True),
    st.Page("app/learn.py", title="Learn", icon=":material/school:", url_path="learn"),
]
st.navigation(pages, position="top").run()
