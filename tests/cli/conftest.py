"""A command in this process, and pictures for it."""

import io
import os

import numpy as np
import pytest
import skimage.data
from PIL import Image

from fcn_core.cli import entry
from fcn_core.export import files


@pytest.fixture
def run(capsys):
    """Run a command in this process: (exit status, output, error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = entry.main([str(a) for a in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return status, out, err

    yield run
    os.environ.pop("FCN_LOG", None)
    from fcn_core import logs

    logs.configure("off")


@pytest.fixture(scope="module")
def photographs():
    """A cat as PNG and a cup as JPEG, of half the usual sides."""
    files = []
    for pixels, kind in ((skimage.data.chelsea(), "PNG"), (skimage.data.coffee(), "JPEG")):
        files.append(io.BytesIO())
        Image.fromarray(pixels[::2, ::2]).save(files[-1], kind)
    return [file.getvalue() for file in files]


@pytest.fixture
def pictures(tmp_path, monkeypatch, photographs):
    """A folder with good and bad pictures; the figure, which takes longest, is not drawn."""
    kept = {name: make for name, make in files.FILES.items() if name != "figure.png"}
    monkeypatch.setattr(files, "FILES", kept)
    folder = tmp_path / "pictures"
    (folder / "other").mkdir(parents=True)
    cat, coffee = photographs
    for name in ("cat.png", "other/cat.png", "[red] Kätzchen 犬.png", "....png"):
        (folder / name).write_bytes(cat)
    (folder / "coffee.jpg").write_bytes(coffee)
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("not a picture", encoding="utf-8")
    (folder / "cut.jpg").write_bytes(coffee[:2000])
    return folder


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    for name in ("chelsea", "coffee"):
        pixels = getattr(skimage.data, name)()
        mask = np.zeros(pixels.shape[:2], np.uint8)
        mask[40:260, 60:400] = 255
        Image.fromarray(pixels).save(folder / f"{name}.png")
        Image.fromarray(mask).save(folder / f"{name}-mask.png")
    path = folder / "index.csv"
    path.write_text(
        "image,synset_wnid,mask\nchelsea.png,n02121620,chelsea-mask.png\ncoffee.png,n07930864,coffee-mask.png\n",
        encoding="utf-8",
    )
    return path
