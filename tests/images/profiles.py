"""Colour profiles made of numbers."""

from __future__ import annotations

import struct

import numpy as np


def xyz_profile(matrix, gamma=563 / 256, space=b"RGB ", version=2, kind=b"mntr") -> bytes:
    """A profile of three primaries (columns of XYZ for D50) or of grey, with one power as its curve."""
    fixed = lambda value: struct.pack(">i", round(value * 65_536))  # noqa: E731
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    point = lambda values: b"XYZ " + bytes(4) + b"".join(map(fixed, values))  # noqa: E731
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 1) + bytes(80), b"cprt": b"text" + bytes(8),
            b"wtpt": point((0.9642, 1.0, 0.8249))}  # fmt: skip
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for number, name in enumerate(b"rgb"):
            tags[bytes([name]) + b"XYZ"] = point(np.asarray(matrix)[:, number])
            tags[bytes([name]) + b"TRC"] = curve
    table, body = b"", b""
    start = 132 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = bytes([0] * 4) + bytes([version, 0x20, 0, 0]) + kind + space + b"XYZ " + bytes(12) + b"acsp"
    head = bytes(4) + head[:4] + head[4:]
    head = struct.pack(">I", start + len(body)) + bytes(4) + bytes([version, 32, 0, 0]) + kind + space
    head += b"XYZ " + bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63_190, 65_536, 54_061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
