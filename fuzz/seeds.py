"""Write the seeds of the corpora: small valid inputs of every kind, from which the fuzzer goes on.

``python -m fuzz.seeds`` (with ``requirements-dev.txt`` installed) writes them again; the other files of the corpora
were found by fuzzing.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
from PIL import Image

from fcn_core.networks.geometry import Geometry, Node, Window
from tests import encoded
from tests.encoded import saved as _saved

ROOT = Path(__file__).resolve().parents[1]


def images() -> dict[str, bytes]:
    """One of each kind of file that is read, and their variants that take other ways through the reader."""
    rgb, grey, alpha = (encoded.sample(mode, 9, 7) for mode in ("RGB", "L", "RGBA"))
    palette = rgb.quantize(8)
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "jpeg": _saved(rgb, "JPEG", exif=exif),
        "jpeg-progressive": _saved(rgb, "JPEG", progressive=True),
        "jpeg-grey": _saved(grey, "JPEG"),
        "jpeg-cmyk": _saved(rgb.convert("CMYK"), "JPEG"),
        "png": _saved(rgb, "PNG", exif=exif),
        "png-palette": _saved(palette, "PNG", transparency=1),
        "png-alpha": _saved(alpha, "PNG"),
        "png-16": _saved(Image.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 999), "PNG"),
        "png-1": _saved(grey.convert("1"), "PNG"),
        "gif": _saved(palette, "GIF", transparency=2, comment=b"x"),
        "gif-moving": _saved(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]),
        "bmp": _saved(rgb, "BMP"),
        "bmp-palette": _saved(palette, "BMP"),
        "webp": _saved(rgb, "WEBP", exif=exif),
        "webp-lossless": _saved(alpha, "WEBP", lossless=True),
        "heic": _saved(rgb, "HEIF", exif=exif.tobytes()),
        "heic-alpha": _saved(alpha, "HEIF"),
        "avif": _saved(rgb, "AVIF", exif=exif),
        "avif-alpha": _saved(alpha, "AVIF"),
        "tiff": _saved(rgb, "TIFF", exif=exif),
        "tiff-lzw": _saved(palette, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": _saved(rgb.convert("CMYK"), "TIFF", compression="tiff_adobe_deflate"),
        "tiff-jpeg": _saved(rgb, "TIFF", compression="jpeg"),
        "tiff-fax": _saved(grey.convert("1"), "TIFF", compression="group4"),
        "bmp-fields": encoded.variants()["bmp-fields"],
        "bmp-runs": encoded.variants()["bmp-runs-4-bit"],
        "png-profile": _saved(grey, "PNG", icc_profile=_profile()),
        "jpeg-no-end": _saved(rgb, "JPEG", progressive=True)[:-2],
    }
    # Pillow writes 1 kB of palette zeros into BMPs; cut-off files start the fuzzer at the edges.
    return files | {
        f"{kind}-cut": files[kind][: len(files[kind]) * 2 // 3]
        for kind in ("jpeg", "png", "webp", "heic", "avif")
    }


def _profile() -> bytes:
    """A small profile of grey with a curve."""
    curve = b"curv" + bytes(4) + struct.pack(">IHH", 1, 0x1CD, 0)
    head = (
        struct.pack(">I4xBBxx", 132 + 24 + 20 + 16, 2, 32) + b"mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28)
    )
    head += struct.pack(">iii", 63_190, 65_536, 54_061)
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, 16)
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63_190, 65_536, 54_061)
    return head.ljust(128, b"\0") + tags + white + curve


def weights() -> dict[str, bytes]:
    """A checkpoint of two tensors as PyTorch's legacy format has it, written without PyTorch."""
    pickled = _TorchPickle()
    state = OrderedDict(
        [
            ("_fc.weight", _Tensor("FloatStorage", "1", (2, 3), (3, 1))),
            ("steps", _Tensor("LongStorage", "2", (), ())),
        ]
    )
    parts = [
        pickle.dumps(0x1950A86A20F9469CFC6C, 2),
        pickle.dumps(1001, 2),
        pickle.dumps(
            {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4}}, 2
        ),
        pickled.dumps(state),
        pickle.dumps(["1", "2"], 2),
        struct.pack("<q6f", 6, *range(6)),
        struct.pack("<qq", 1, 7),
    ]
    whole = b"".join(parts)
    return {"two": whole, "cut": whole[:-9], "header": b"".join(parts[:3]), "code": pickle.dumps(print, 2)}


class _Tensor:
    def __init__(self, kind: str, key: str, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.kind, self.key, self.shape, self.strides = kind, key, shape, strides


class _TorchPickle:
    """Writes the opcodes that PyTorch's pickler writes for a state dict."""

    def dumps(self, state: OrderedDict[str, _Tensor]) -> bytes:
        out = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01("
        for number, (name, tensor) in enumerate(state.items()):
            out += self._text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
            out += self._text("storage") + b"ctorch\n" + tensor.kind.encode() + b"\n"
            out += self._text(tensor.key) + self._text("cpu") + b"K\x06N" + b"tQ" + b"K\x00"
            out += self._tuple(tensor.shape) + self._tuple(tensor.strides) + b"\x89"
            out += b"h\x00)Rt" + b"q" + bytes([10 + number]) + b"R"
        return out + b"u."

    def _text(self, text: str) -> bytes:
        return b"X" + struct.pack("<I", len(text)) + text.encode()

    def _tuple(self, numbers: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"K" + bytes([n]) for n in numbers) + b"t"


def graphs() -> dict[str, bytes]:
    """The manifest of an exported graph."""
    same = Window(3, 2, same=True)
    nodes = (Node("stem", (-1,), 8, same, same, cut=True, macs=216), Node("top", (0,), 4))
    meta = {
        "model": "small",
        "made": "0123456789abcdef",
        "made_by": {"format": 6, "keras": "3.12.0", "openvino": "2026.1.0"},
        "weights_sha256": None,
        "weights_published": False,
        "geometry": Geometry(nodes).to_json(),
        "exclusive": True,
    }
    return {"meta": json.dumps(meta).encode(), "empty": b"{}", "list": b"[]"}


def texts() -> dict[str, bytes]:
    """Addresses, names and scales."""
    typed = [
        "http://pictures.example/cat.png?w=1#top", "https://[::ffff:127.0.0.1]:443/", "http://a:b@127.1\\x/",
        "../../etc/passwd\u202egnp.exe", "200x320,400x640", "1e9x-1", "CON.png",
        "<img src=x onerror=alert(1)>.png", "http://①②⑦.0.0.1/", "😀.jpeg",
    ]  # fmt: skip
    return {f"{i:02d}": text.encode() for i, text in enumerate(typed)}


def main() -> None:
    """Write all seeds."""
    makers = {
        "image": images,
        "weights": weights,
        "graph": graphs,
        "text": texts,
    }
    for target, make in makers.items():
        folder = Path(__file__).with_name("corpus") / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in make().items():
            (folder / f"seed-{name}").write_bytes(data)


if __name__ == "__main__":
    main()
