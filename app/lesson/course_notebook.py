"""The course notebook as a file to take away: the whole lesson as code that needs none of this program."""

from __future__ import annotations

from app.lesson.text import LANGUAGES
from fcn_core.errors import FcnError
from fcn_core.system.assets import asset


def course_notebook(language: str) -> bytes:
    """Return the course notebook in a language, without outputs.

    It mirrors the notebook of 2020 cell by cell and runs with Keras 3 on Colab, Kaggle or any machine.
    ``scripts/make_course_notebook.py`` makes it.

    Parameters
    ----------
    language : str
        "en" or "fr". The code is the same in both.

    Returns
    -------
    bytes
        A Jupyter notebook of format 4.5, as JSON in UTF-8.

    Raises
    ------
    FcnError
        There is no notebook in this language.
    """
    if language not in LANGUAGES:
        raise FcnError(
            f"Expected a language of the course notebook, {' or '.join(LANGUAGES)}. Received {language[:20]!r}. "
            f"Choose one of them."
        )
    return asset(f"lesson/{language}/course.ipynb").read_bytes()
