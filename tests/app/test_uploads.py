"""Uploads are judged by their content, and limited by the setting."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from PIL import Image
from streamlit import config
from streamlit.testing.v1 import AppTest

from app import streamlit_patches
from tests.waiting import PATIENCE


@pytest.fixture
def streamlits_limit() -> Iterator[None]:
    before = config.get_option("server.maxUploadSize")
    yield
    config.set_option("server.maxUploadSize", before)


@pytest.mark.parametrize(
    ("setting", "megabytes"),
    [(None, 25), ("", 25), ("40", 40), (" 3 ", 3), ("2.5", 25), ("many", 25), ("-1", 25)],
)
def test_streamlit_has_the_limit_of_the_setting(
    monkeypatch: pytest.MonkeyPatch, streamlits_limit: None, setting: str | None, megabytes: int
) -> None:
    config.set_option("server.maxUploadSize", 25)
    monkeypatch.delenv("FCN_MAX_UPLOAD_MB", raising=False)
    if setting is not None:
        monkeypatch.setenv("FCN_MAX_UPLOAD_MB", setting)
    streamlit_patches._set_upload_limit()
    assert config.get_option("server.maxUploadSize") == megabytes


def test_the_limit_is_set_when_the_app_starts() -> None:
    code = "from app import streamlit_patches; from streamlit import config; streamlit_patches.apply();"
    code += "print(config.get_option('server.maxUploadSize'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "FCN_MAX_UPLOAD_MB": "40"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split()[-1:] == ["40"], done.stderr


def page() -> None:
    """A page with nothing but the choice of a picture."""
    import streamlit as st

    from app.explore import picture_source
    from app.state import session

    picture = picture_source.open_chosen()
    picture_source.draw()
    st.write(f"{picture.name}, {picture.width} x {picture.height}")
    refused = session.explore().refused
    st.error(refused.reason if refused is not None else "")


def file_of(kind: str, size: tuple[int, int] = (30, 20), **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "#336699").save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "shown"),
    [
        ("picture.jfif", file_of("JPEG"), "picture.jfif, 30 x 20"),
        ("both.mpo", file_of("JPEG"), "both.mpo, 30 x 20"),
        ("old.jpe", file_of("JPEG"), "old.jpe, 30 x 20"),
        ("phone.avif", file_of("AVIF"), "phone.avif, 30 x 20"),
        ("scan.tif", file_of("TIFF"), "scan.tif, 30 x 20"),
        ("no suffix", file_of("PNG"), "no suffix, 30 x 20"),
        ("named wrongly.pdf", file_of("PNG"), "named wrongly.pdf, 30 x 20"),
        ("paper.jpg", b"%PDF-1.7 and so on", "a PDF document"),
        ("letter.heic", b"PK\3\4", "a ZIP archive or an office document"),
        ("film.png", b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "a film"),
        (
            "scan.tif",
            file_of("TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9))]),
            "several pages",
        ),
    ],
)
def test_content_decides(name: str, data: bytes, shown: str) -> None:
    app = AppTest.from_function(page, default_timeout=PATIENCE)
    app.session_state["source"] = "Upload"
    app.run()
    app.file_uploader("upload").set_value((name, data, "application/octet-stream")).run()
    said = [element.value for element in (*app.markdown, *app.error)]
    assert any(shown in text for text in said), said
    assert not app.exception
