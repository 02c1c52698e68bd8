"""Learn page."""

import streamlit as st

st.title("Learn")
