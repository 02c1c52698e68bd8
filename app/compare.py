"""Compare page."""

import streamlit as st

st.title("Compare")
