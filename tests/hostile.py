"""A fixed set of hostile image files: what strangers, broken downloads and attackers upload.

``hostile_files()`` yields (label, name, bytes). The label says what the file is and what must become of it: labels
that begin with "valid" are pictures and must be read, all others must be read or refused in words. The same files
come out every time on one version of Pillow.
"""

from __future__ import annotations

import io
import random
import struct
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator

from PIL import Image, ImageCms

from tests.encoded import (
    HEIGHT,
    PNG_SIGNATURE,
    WIDTH,
    png,
    png_chunk,
    sample,
    saved,
    segment,
    simple_webp,
    variants,
)

READABLE = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "GIF", "BMP", "TIFF")


def hostile_files() -> Iterator[tuple[str, str, bytes]]:
    """Yield (label, name, bytes) of every hostile file; some are megabytes large, so take them one by one."""
    for label, data in _files():
        yield label, label.replace("/", "-"), data
    picture = saved(sample(), "PNG")
    for number, name in enumerate(NAMES):
        yield f"valid/name-{number}", name, picture


def _files() -> Iterator[tuple[str, bytes]]:
    yield from _every_format()
    yield from _cut_off()
    yield from _flipped()
    yield from _lying_headers()
    yield from _bombs()
    yield from _metadata()
    yield from _sides()
    yield from _depths()
    yield from _animations()
    yield from _dressed_up()


# What goes wrong


def _every_format() -> Iterator[tuple[str, bytes]]:
    """Whatever Pillow writes, in the modes it writes it in; only some of it is read."""
    Image.init()
    for format in sorted(Image.SAVE):
        dates = {"creationDate": time.gmtime(0), "modDate": time.gmtime(0)} if format == "PDF" else {}
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow is going to drop some
                try:
                    data = saved(sample(mode), format, **dates)
                except (OSError, ValueError, KeyError, TypeError, AttributeError):
                    continue
            kind = "valid" if format in READABLE and mode not in ("I", "F") else "written"
            yield f"{kind}/{format}-{mode.replace(';', '-')}", data


def _cut_off() -> Iterator[tuple[str, bytes]]:
    for label, data in variants().items():
        ends = {1, 2, 4, 8, 12, 16, 25, 33, 60, *(len(data) * part // 8 for part in range(1, 8))}
        for end in sorted(end for end in ends if end < len(data) - 1):
            yield f"cut/{label}-{end}", data[:end]


def _flipped() -> Iterator[tuple[str, bytes]]:
    for label, data in variants().items():
        rng = random.Random(label)
        for number in range(12):
            broken = bytearray(data)
            # The first half of them in the header, where they hurt most.
            span = min(len(data), 64) if number % 2 else len(data)
            for _ in range(1 + number // 3):
                broken[rng.randrange(span)] ^= 1 << rng.randrange(8)
            yield f"flipped/{label}-{number}", bytes(broken)


def _lying_headers() -> Iterator[tuple[str, bytes]]:
    """Headers that say other sizes than the file has."""
    sizes = [
        (20_000, 20_000), (65_535, 65_535), (7_000, 7_000), (65_535, 700), (65_536, 2), (0, 5), (5, 0), (0, 0),
        (2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (1, 2**32 - 1),
    ]  # fmt: skip
    files = variants()
    for width, height in sizes:
        size = f"{width}x{height}"
        yield f"lying/png-{size}", png(width, height, b"\0" * 100)
        yield f"lying/bmp-{size}", _patched(files["bmp"], 18, "<II", width, height)
        if max(width, height) > 0xFFFF:
            continue
        for label in ("jpeg", "jpeg-progressive", "jpeg-cmyk"):
            frame = max(files[label].find(marker) for marker in (b"\xff\xc0\0", b"\xff\xc2\0"))
            yield f"lying/{label}-{size}", _patched(files[label], frame + 5, ">HH", height, width)
        yield f"lying/gif-screen-{size}", _patched(files["gif"], 6, "<HH", width, height)
        descriptor = _gif_descriptor(files["gif"])
        yield f"lying/gif-frame-{size}", _patched(files["gif"], descriptor + 5, "<HH", width, height)
        yield f"lying/gif-offset-{size}", _patched(files["gif"], descriptor + 1, "<HH", width, height)
        yield f"lying/webp-{size}", _patched(simple_webp(), 26, "<HH", width & 0x3FFF, height & 0x3FFF)
        canvas = (width - 1 & 0xFFFFFF).to_bytes(3, "little") + (height - 1 & 0xFFFFFF).to_bytes(3, "little")
        animated = files["webp-animated"]
        yield f"lying/webp-canvas-{size}", animated[:24] + canvas + animated[30:]
    two_headers = png(WIDTH, HEIGHT, b"\0" * (1 + 3 * WIDTH) * HEIGHT)
    second = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    yield "lying/png-two-headers", two_headers[:33] + second + two_headers[33:]
    jpeg = files["jpeg"]
    frame = jpeg.index(b"\xff\xc0\0")
    yield "lying/jpeg-two-frames", jpeg[:frame] + jpeg[frame : frame + 19] * 2 + jpeg[frame + 19 :]
    for length in (0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF):
        yield f"lying/png-part-of-{length}", two_headers[:33] + struct.pack(">I4s", length, b"IDAT")
        riff = files["webp-animated"]
        yield f"lying/webp-part-of-{length}", riff[:12] + riff[12:16] + struct.pack("<I", length) + riff[20:]


def _bombs() -> Iterator[tuple[str, bytes]]:
    """Little in the file, much in memory or time."""
    yield "valid/bomb-png-49-megapixels", png(7_000, 7_000, b"\0" * 7_001 * 7_000, colour=0)
    yield "bomb/png-400-megapixels", png(20_000, 20_000, zlib.compress(b"\0" * 10**6) * 400, packed=True)
    yield "bomb/png-more-data-than-pixels", png(9, 9, b"\0" * 30_000_000)
    turned = Image.new("RGB", (7_000, 7_000))
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "valid/bomb-jpeg-49-megapixels-turned", saved(turned, "JPEG", progressive=True, exif=exif)
    yield "valid/bomb-png-49-megapixels-clear", saved(turned.convert("RGBA"), "PNG", compress_level=1)
    flat = png(9, 9, b"\0" * 28 * 9)
    million = zlib.compress(b"\0" * 10**8)
    for kind, body in (
        (b"zTXt", b"a\0\0" + million),
        (b"iTXt", b"a\0\1\0\0\0" + million),
        (b"iCCP", b"a\0\0" + million),
    ):
        yield f"bomb/png-{kind.decode()}", flat[:33] + png_chunk(kind, body) + flat[33:]
        unpacked = png_chunk(kind, body[: body.index(million)] + zlib.compress(b"\0" * 10**6, 9))
        yield f"bomb/png-10000-{kind.decode()}", flat[:33] + unpacked * 10_000 + flat[33:]
        yield f"bomb/png-10000-{kind.decode()}-behind", flat[:-12] + unpacked * 10_000 + flat[-12:]
    empty = png_chunk(b"IDAT", b"")
    yield "bomb/png-many-parts", flat[:33] + empty * 150_000 + flat[33:]
    yield "valid/bomb-png-comments", flat[:33] + png_chunk(b"tEXt", b"a\0" + b"x" * 200) * 60_000 + flat[33:]
    files = variants()
    jpeg = files["jpeg-progressive"]
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    yield "bomb/jpeg-1000-scans", jpeg[:-2] + last * 1_000 + b"\xff\xd9"
    large = saved(turned, "JPEG", progressive=True)
    short = last[:10]
    yield "bomb/jpeg-30000-scans-of-49-megapixels", large[:-2] + short * 30_000 + b"\xff\xd9"
    exif_part = segment(0xE1, b"Exif\0\0" + b"x" * 2_000)
    yield "bomb/jpeg-exif-in-12000-parts", jpeg[:2] + exif_part * 12_000 + jpeg[2:]
    yield "bomb/jpeg-exif-behind-a-false-end", jpeg[:2] + b"\xff\xd9" + exif_part * 12_000 + jpeg[2:]
    yield "bomb/jpeg-fill", jpeg[:2] + b"\xff" * 5_000_000 + jpeg[2:]
    yield "bomb/jpeg-empty-markers", jpeg[:2] + b"\xff\xd0" * 1_000_000 + jpeg[2:]
    yield "bomb/jpeg-segments", jpeg[:2] + b"\xff\xe1\0\2" * 1_000_000 + jpeg[2:]
    gif = files["gif"]
    start = 13 + (3 << (gif[10] & 7) + 1)
    comment = b"\x21\xfe" + (b"\xff" + b"x" * 255) * 60_000 + b"\0"
    yield "valid/bomb-gif-comment", gif[:start] + comment + gif[start:]
    yield "bomb/gif-comments", gif[:start] + b"\x21\xfe\1x\0" * 300_000 + gif[start:]
    yield "bomb/gif-endless-comment", gif[:start] + b"\x21\xfe" + b"\1x" * 1_000_000
    yield "bomb/gif-comment-of-12-million-parts", gif[:start] + b"\x21\xfe" + b"\1x" * 12_000_000
    yield "bomb/gif-no-end", gif[:start] + b"\x21\xf9\4\0\0\0\0\0" * 10_000
    frame = gif[_gif_descriptor(gif) : -1]
    yield "valid/bomb-gif-frames", gif[:-1] + frame * 5_000 + b";"
    yield "bomb/webp-parts", simple_webp() + b"ABCD\0\0\0\0" * 200_000
    yield "bomb/bmp-run-lengths", _patched(files["bmp-palette"], 30, "<I", 1)
    flat = Image.new("L", (7_000, 7_000), 90)
    avif = saved(flat, "AVIF", speed=10)
    yield "valid/bomb-avif-49-megapixels", avif
    place = avif.index(b"ispe") + 8
    yield "bomb/avif-larger-than-its-header", avif[:place] + struct.pack(">II", 64, 64) + avif[place + 8 :]
    strip = {278: 7_000}
    packed = saved(flat, "TIFF", compression="tiff_adobe_deflate", tiffinfo=strip)
    yield "valid/bomb-tiff-49-megapixels-in-a-strip", packed
    yield "bomb/tiff-of-60000-tags", packed[:4] + struct.pack("<IH", 8, 60_000) + packed[4:] * 20
    yield "bomb/jpeg-49-megapixels-without-end", large[:-2]
    wide = _patched(files["bmp-palette"], 18, "<II", 7_000, 7_000)
    yield "bomb/bmp-10-million-runs", _patched(wide, 30, "<I", 1)[:1078] + b"\1\0" * 10**7
    yield "bomb/too-many-bytes", files["png"] + b"\0" * (25 * 2**20)


def _metadata() -> Iterator[tuple[str, bytes]]:
    """EXIF, ICC, XMP and comments that are huge, broken or lead in circles; the picture itself is whole."""
    rng = random.Random("metadata")
    exifs = {
        "empty": b"",
        "garbage": rng.randbytes(900),
        "no-directory": b"II*\0\xff\xff\xff\xff",
        "circle": b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x8769, 4, 1, 8) + b"\x08\0\0\0",
        "many-entries": b"MM\0*\0\0\0\x08\xff\xff" + struct.pack(">HHII", 0x0112, 3, 1, 9 << 16) * 4_000,
        "orientation-0": _exif(0),
        "orientation-9": _exif(9),
        "orientation-text": b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x0112, 2, 99, 6),
        "huge-count": b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x0112, 3, 0xFFFFFFFF, 6),
        "cut": _exif(6)[:14],
        "script": b"II*\0<script>alert(1)</script>",
    }
    files = variants()
    jpeg, webp = files["jpeg"], files["webp"]
    flat = png(9, 9, b"\0" * 28 * 9)
    for label, exif in exifs.items():
        yield f"valid/exif-{label}-jpeg", jpeg[:2] + segment(0xE1, b"Exif\0\0" + exif[:65_000]) + jpeg[2:]
        yield f"valid/exif-{label}-png", flat[:33] + png_chunk(b"eXIf", exif) + flat[33:]
        yield f"valid/exif-{label}-webp", _with_webp_exif(webp, exif)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile[:24] + bytes(12) + profile[36:]  # its date is today's
    profiles = {
        "srgb": profile,
        "cut": profile[:200],
        "garbage": rng.randbytes(3_000),
        "flipped": bytes(byte ^ 255 for byte in profile),
        "huge-table": profile[:128] + b"\xff\xff\xff\xff" + profile[132:],
    }
    for label, icc in profiles.items():
        for format in ("JPEG", "PNG", "WEBP"):
            yield f"valid/icc-{label}-{format}", saved(sample(), format, icc_profile=icc)
    seam = b"ICC_PROFILE\0"
    yield "valid/icc-99-of-1", jpeg[:2] + segment(0xE2, seam + b"\x63\x01" + profile) + jpeg[2:]
    yield "valid/icc-0-of-0", jpeg[:2] + segment(0xE2, seam + b"\0\0") + jpeg[2:]
    yield "valid/multi-picture-garbage", jpeg[:2] + segment(0xE2, b"MPF\0" + rng.randbytes(99)) + jpeg[2:]
    yield "valid/photoshop-garbage", jpeg[:2] + segment(0xED, b"Photoshop 3.0\0" + b"8BIM" * 99) + jpeg[2:]
    yield "metadata/adobe-cut", jpeg[:2] + segment(0xEE, b"Adobe") + jpeg[2:]
    yield "metadata/jfif-cut", jpeg[:2] + segment(0xE0, b"JFIF\0") + jpeg[2:]
    yield "valid/jpeg-many-comments", jpeg[:2] + segment(0xFE, b"x" * 65_000) * 300 + jpeg[2:]
    yield "valid/jpeg-film-behind", jpeg + rng.randbytes(2_000_000)
    yield "valid/png-film-behind", flat + rng.randbytes(2_000_000)
    yield "valid/png-part-unknown", flat[:33] + png_chunk(b"ABCD", rng.randbytes(99)) + flat[33:]
    yield "metadata/png-wrong-checksum-of-comment", flat[:33] + b"\0\0\0\4tEXta\0bcXXXX" + flat[33:]


def _sides() -> Iterator[tuple[str, bytes]]:
    """Points and strips, but of HEIC, whose coder refuses to make them."""
    formats = [format for format in READABLE if format != "HEIF"]
    for width, height in ((1, 1), (1, 2), (2, 1), (1, 900), (900, 1)):
        for format in formats:
            yield f"side/{format}-{width}x{height}", saved(sample("RGB", width, height), format)
    for width, height in ((2, 2), (2, 9_000), (9_000, 2), (3, 16_000), (16_000, 3)):
        for format in formats:
            yield f"valid/side-{format}-{width}x{height}", saved(sample("RGB", width, height), format)
    for width, height in ((65_535, 2), (2, 65_535)):
        yield f"valid/side-PNG-{width}x{height}", png(width, height, b"\0" * (1 + width * 3) * height)
    for width, height in ((65_536, 2), (2, 65_536), (1_000_000, 1), (1, 1_000_000)):
        yield f"side/PNG-{width}x{height}", png(width, height, b"\0" * (1 + width * 3) * height)


def _depths() -> Iterator[tuple[str, bytes]]:
    """Every depth and colour space a container can hold, right or wrong."""
    for colour, channels in ((0, 1), (2, 3), (3, 1), (4, 2), (6, 4), (1, 1), (5, 2), (7, 4)):
        for depth in (1, 2, 4, 8, 16, 32):
            rows = (b"\0" + b"\x5a" * ((WIDTH * channels * depth + 7) // 8)) * HEIGHT
            yield f"depth/png-colour-{colour}-{depth}-bit", png(WIDTH, HEIGHT, rows, colour, depth)
    for filter_kind in range(7):
        rows = (bytes([filter_kind]) + b"\x11" * 3 * WIDTH) * HEIGHT
        yield f"depth/png-filter-{filter_kind}", png(WIDTH, HEIGHT, rows)
    bmp = variants()["bmp"]
    for bits in (0, 1, 2, 4, 8, 16, 24, 32, 64, 65_535):
        yield f"depth/bmp-{bits}-bit", _patched(bmp, 28, "<H", bits)
    for compression in range(8):
        yield f"depth/bmp-compression-{compression}", _patched(bmp, 30, "<I", compression)
    for header in (0, 12, 16, 40, 52, 56, 64, 108, 124, 0xFFFF_FFFF):
        yield f"depth/bmp-header-{header}", _patched(bmp, 14, "<I", header)
    yield "depth/bmp-upside-down", _patched(bmp, 22, "<i", -HEIGHT)
    yield "depth/bmp-offset", _patched(bmp, 10, "<I", 0xFFFF_FFF0)
    for mode in ("LAB", "HSV", "YCbCr", "CMYK", "I", "F", "I;16B"):
        try:
            yield f"depth/tiff-{mode.replace(';', '-')}", saved(sample(mode), "TIFF")
        except (OSError, KeyError):
            continue
    jpeg = variants()["jpeg"]
    frame = jpeg.index(b"\xff\xc0\0")
    for components in (0, 1, 2, 3, 4, 5, 255):
        changed = bytearray(jpeg)
        changed[frame + 9] = components
        yield f"depth/jpeg-{components}-components", bytes(changed)
    for precision in (0, 1, 12, 16):
        changed = bytearray(jpeg)
        changed[frame + 4] = precision
        yield f"depth/jpeg-{precision}-bit", bytes(changed)
    for process in range(0xC0, 0xD0):
        changed = bytearray(jpeg)
        changed[frame + 1] = process
        yield f"depth/jpeg-process-{process:x}", bytes(changed)
    for transform in range(4):
        adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
        yield f"valid/depth-jpeg-adobe-{transform}", jpeg[:2] + adobe + jpeg[2:]
    short = png(WIDTH, HEIGHT, (b"\0" + b"\xff" * WIDTH) * HEIGHT, colour=3)
    yield "depth/png-without-palette", short
    yield "depth/png-short-palette", short[:33] + png_chunk(b"PLTE", b"\1\2\3") + short[33:]
    yield "depth/png-odd-palette", short[:33] + png_chunk(b"PLTE", b"\1\2\3\4") + short[33:]
    yield "depth/png-long-palette", short[:33] + png_chunk(b"PLTE", b"\1\2\3" * 400) + short[33:]
    clear = png(WIDTH, HEIGHT, b"\0" * (1 + 3 * WIDTH) * HEIGHT)
    for length in (0, 1, 2, 5, 6, 300):
        transparency = png_chunk(b"tRNS", b"\0" * length)
        yield f"depth/png-transparency-of-{length}", clear[:33] + transparency + clear[33:]


def _animations() -> Iterator[tuple[str, bytes]]:
    files = variants()
    gif, webp, apng = files["gif-animated"], files["webp-animated"], files["apng"]
    second = gif.index(b"\x2c", _gif_descriptor(gif) + 20)
    yield "animation/gif-second-frame-cut", gif[: second + 4]
    yield "animation/gif-second-frame-garbage", gif[:second] + random.Random(3).randbytes(500)
    descriptor = _gif_descriptor(gif)
    for code_size in (0, 1, 8, 12, 255):
        changed = bytearray(gif)
        position = descriptor + 10 + (3 << (gif[descriptor + 9] & 7) + 1 if gif[descriptor + 9] & 128 else 0)
        changed[position] = code_size
        yield f"animation/gif-code-size-{code_size}", bytes(changed)
    yield "animation/gif-without-end", gif[:-1]
    yield "animation/gif-without-frame", gif[:descriptor] + b";"
    yield "animation/webp-second-frame-garbage", webp[: len(webp) // 2] + random.Random(4).randbytes(500)
    yield "animation/webp-without-frame", webp[: webp.index(b"ANMF")]
    control = apng.index(b"acTL")
    for frames in (0, 1, 2**31):
        yield f"animation/apng-{frames}-frames", _patched(apng, control + 4, ">I", frames)
    yield (
        "animation/apng-two-controls",
        apng[: control - 4] + apng[control - 4 : control + 16] * 2 + apng[control + 16 :],
    )


def _dressed_up() -> Iterator[tuple[str, bytes]]:
    """Other things under a picture's name, some behind a picture's first bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("bomb.txt"), b"\0" * 5_000_000)
    things = {
        "empty": b"",
        "zero": b"\0",
        "zeros": bytes(100_000),
        "text": b"This is not a picture.",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><rect width="9" height="9"/></svg>',
        "svg-entities": b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "&#x41;">]><svg>&a;</svg>',
        "html": b"<!DOCTYPE html><script>alert(1)</script>",
        "pdf": saved(sample(), "PDF", creationDate=time.gmtime(0), modDate=time.gmtime(0)),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        "zip": archive.getvalue(),
        "gzip": b"\x1f\x8b\x08" + zlib.compress(bytes(1_000)),
        "pickle": b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",
        "program": b"MZ" + bytes(200),
        "elf": b"\x7fELF" + bytes(200),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99),
        "avif": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(99),
        "mvg": b"push graphic-context\nfill 'url(https://localhost/x)'\npop graphic-context",
        "unicode": "\ufeff\ufdfa\N{RIGHT-TO-LEFT OVERRIDE}gnp".encode(),
        "noise": random.Random(5).randbytes(50_000),
    }
    for label, data in things.items():
        yield f"dressed/{label}", data
    heads = {
        "png": PNG_SIGNATURE,
        "jpeg": b"\xff\xd8\xff",
        "jfif": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        "gif": b"GIF89a",
        "bmp": b"BM",
        "webp": b"RIFF\xff\xff\xff\xffWEBP",
        "webp-vp8": b"RIFF\x20\0\0\0WEBPVP8 ",
        "webp-vp8l": b"RIFF\x20\0\0\0WEBPVP8L",
        "webp-vp8x": b"RIFF\x20\0\0\0WEBPVP8X",
    }
    for head, start in heads.items():
        for label in ("empty", "html", "zip", "noise", "zeros"):
            yield f"dressed/{head}-{label}", start + things[label]
    for format in READABLE:
        yield f"valid/dressed-{format}-with-zip-behind", saved(sample(), format) + things["zip"]
        yield f"valid/dressed-{format}-with-html-behind", saved(sample(), format) + things["html"]


NAMES = (
    "", ".", "..", "/", "\\", "../../etc/passwd", "..\\..\\windows\\system32\\cmd.exe", "/etc/shadow",
    "C:\\x.png", "a\0b.png", "a\nb\r\n.png", "\x1b[31mred.png", "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "e\u0301.png", "狗.png", "🐕.png", "\ud800.png", "x" * 5_000, "x" * 300 + ".png", "." * 300, " .png", "CON",
    "<img src=x onerror=alert(1)>.png", "**bold** [link](javascript:x) $x^2$.png", "a?b*c|d.png", "name.png/",
    "~/.ssh/id_rsa", "%2e%2e%2f.png", "e" + "\u0301" * 500 + ".png", "\ufeff\u200b\u2028.png", "-rf",
    "'; drop table pictures; --.png",
    # Devices and forbidden names on Windows
    "CON.png", "con", "nul.tar.gz.png", "AUX .png", "prn.", "Com1.png", "LPT9", "COM¹.png", "lpt².x.png", "CONIN$.png",
    "conout$", "CON" + " " * 300 + "x.png", "CON." + "x" * 300, "COM\N{ZERO WIDTH JOINER}2.png", "a .png", "a. . .png",
    "a .abcdefghijklmno", "a..abcdefghijklmno", "dog.png ", "dog.png...", "a*b?.png", 'a"b".png', "a<b>|c.png",
    "a:b.png", "dog.png:stream", "a\x01\x1f\x7f\x85.png", "e\N{ZERO WIDTH JOINER}\u0301.png", "狗" * 200,
    # What shells read
    "a&calc&.png", "a^b|c.png", "%PATH%.png", "!PATH!.png", "$(id).png", "`id`.png", "$env:x;id.png", "--out=x.png",
    "\N{EN DASH}x.png", "“;calc;”.png", "„calc„.png", "it's.png", "‘calc’.png", "@x.png", "#x.png", "{a,b}.png",
    "(calc).png", "a;b.png", "~root.png",
)  # fmt: skip


# Pieces


def _patched(data: bytes, position: int, layout: str, *values: int) -> bytes:
    patched = bytearray(data)
    struct.pack_into(layout, patched, position, *values)
    return bytes(patched)


def _gif_descriptor(gif: bytes) -> int:
    position = 13 + (3 << (gif[10] & 7) + 1 if gif[10] & 128 else 0)
    while gif[position] == 0x21:
        position += 2
        while gif[position]:
            position += 1 + gif[position]
        position += 1
    return position


def _exif(orientation: int) -> bytes:
    return b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + bytes(4)


def _with_webp_exif(webp: bytes, exif: bytes) -> bytes:
    start = webp.index(b"EXIF")
    body = webp[12:start] + b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
