"""Read the segments of a JPEG file (ITU-T T.81, annex B) before a decoder does: frames, scans, and the end."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fcn_core.images.bounded import BadFileError

START = b"\xff\xd8\xff"
END = b"\xff\xd9"
_MAX_SEGMENTS = 500  # 25 MB of comments fill 400
_MAX_SCANS = 32  # a progressive JPEG has about 10
_SCAN = 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of frames, which hold the size
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # markers with a length, and the end marker


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and content of each segment, including the end; data after the end is ignored."""
    position = 0
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.search(data, position)
        if marker is None:
            return
        if marker[0] == END:
            yield 0xD9, b""
            return
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
        yield marker[0][1], data[marker.end() + 2 : position]
    raise BadFileError(f"a JPEG of more than {_MAX_SCANS} scans or {_MAX_SEGMENTS} parts")


def has_end(data: bytes) -> bool:
    """Return whether a JPEG has an end marker.

    Raises
    ------
    BadFileError
        It has too many scans or segments. Each scan covers the whole picture, so that 300 kB can need minutes.
    """
    markers = [marker for marker, _ in segments(data)]
    if markers.count(_SCAN) > _MAX_SCANS:
        raise BadFileError(f"a JPEG of more than {_MAX_SCANS} scans or {_MAX_SEGMENTS} parts")
    return 0xD9 in markers


def all_scans(data: bytes) -> bool:
    """Return whether the scans of a JPEG hold every coefficient of every component to its last bit."""
    components, brought = 0, set()
    for marker, content in segments(data):
        if marker in _FRAMES and len(content) > 5:
            components = content[5]
        elif marker == _SCAN and content and len(content) >= 4 + 2 * content[0]:
            first, last, bits = content[1 + 2 * content[0] :][:3]
            if not bits & 15:
                brought |= {
                    (c, k) for c in content[1 : 2 * content[0] : 2] for k in range(first, min(last, 63) + 1)
                }
    return components > 0 and len(brought) == 64 * components


def held_bytes(data: bytes) -> int:
    """Return the bytes that libjpeg holds for the full size, even if it decodes at reduced size.

    They are 0 for a JPEG of one scan. Else libjpeg holds every coefficient, two bytes each, in whole blocks: for a
    progressive JPEG, and for one whose first scan lacks a component.
    """
    parts = [(marker, content) for marker, content in segments(data) if marker in _FRAMES or marker == _SCAN]
    scans = [content for marker, content in parts if marker == _SCAN]
    held = 0
    for marker, content in parts:
        if marker == _SCAN or len(content) < 6:
            continue
        if marker not in _PROGRESSIVE and len(scans) == 1 and scans[0][:1] == content[5:6]:
            continue
        rows, columns = int.from_bytes(content[1:3]), int.from_bytes(content[3:5])
        factors = content[7 : 6 + 3 * content[5] : 3]
        samples = [(max(1, f >> 4), max(1, f & 15)) for f in factors]  # across and down, for each component
        if samples:
            most_across, most_down = (max(s[axis] for s in samples) for axis in (0, 1))
            units = -(-columns // (8 * most_across)) * -(-rows // (8 * most_down))
            held = max(held, 128 * units * sum(across * down for across, down in samples))
    return held
