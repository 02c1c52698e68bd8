"""Make the README's picture with the program itself, from a sample of scikit-image (NASA, public domain).

Run: python scripts/make_readme_pictures.py [FOLDER]
"""

import io
import sys
from pathlib import Path

import skimage.data
from PIL import Image

import fcn_core as fcn

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "readme"
WIDTH = 1400


def make(folder: Path, scales: str = "200x320,400x640,800x1280") -> Path:
    """Write ``space-shuttle.webp`` into `folder`."""
    image = fcn.image_from_array(skimage.data.astronaut(), "astronaut.png")
    model = fcn.load_model("efficientnet-lite2")
    result = fcn.analyse(image, "space shuttle", model, fcn.parse_scales(scales))
    figure = Image.open(io.BytesIO(fcn.export.figure_png(result))).convert("RGB")
    figure = figure.resize((WIDTH, round(figure.height * WIDTH / figure.width)), Image.Resampling.LANCZOS)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "space-shuttle.webp"
    figure.save(path, "WEBP", quality=88, method=6)
    return path


if __name__ == "__main__":
    written = make(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    print(f"{written}: {written.stat().st_size / 1e3:.0f} kB")
