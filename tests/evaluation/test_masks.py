"""Mask files are read, or refused with a message."""

import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from fcn_core.errors import DatasetError
from fcn_core.evaluation import masks
from fcn_core.evaluation.masks import exif_orientation, read_mask

H, W = 5, 7
OBJECT = np.zeros((H, W), bool)
OBJECT[1:3, 2:6] = True
VOID = np.zeros((H, W), bool)
VOID[4, :] = True


def grey(background=0, thing=255, void=None, dtype=np.uint8):
    layer = np.where(OBJECT, thing, background)
    return np.where(VOID, layer if void is None else void, layer).astype(dtype)


def palette(numbers, colours, **info):
    picture = Image.fromarray(numbers.astype(np.uint8)).convert("L")
    picture = Image.frombytes("P", picture.size, picture.tobytes())
    picture.putpalette([channel for colour in colours for channel in colour])
    picture.info.update(info)
    return picture


def rgba(seen, hidden, alpha=(255, 0)):
    """The object in one colour and opacity, the rest in another."""
    pixels = np.empty((H, W, 4), np.uint8)
    pixels[...] = (*hidden, alpha[1])
    pixels[OBJECT] = (*seen, alpha[0])
    return Image.fromarray(pixels)


def cut_out():
    pixels = np.random.default_rng(0).integers(0, 256, (H, W, 4), dtype=np.uint8)
    pixels[..., 3] = grey()
    return Image.fromarray(pixels)


BLACK, WHITE, GREY, RED = (0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0)
VOC = [BLACK, (128, 0, 0), (0, 128, 0)]  # its first colours

READABLE = {  # how the mask is stored, and whether it has void pixels
    "255 and 0": (lambda: Image.fromarray(grey()), False),
    "255, 0 and 128": (lambda: Image.fromarray(grey(void=128)), True),
    "1 and 0": (lambda: Image.fromarray(grey(thing=1)), False),
    "black and white": (lambda: Image.fromarray(OBJECT), False),
    "16 bits": (lambda: Image.fromarray(grey(thing=65535, dtype=np.uint16)), False),
    "16 bits with void": (lambda: Image.fromarray(grey(thing=65535, void=32896, dtype=np.uint16)), True),
    "255, 0 and 128 in 16 bits": (lambda: Image.fromarray(grey(void=128, dtype=np.uint16)), True),
    "1 and 0 in 16 bits": (lambda: Image.fromarray(grey(thing=1, dtype=np.uint16)), False),
    "in RGB": (lambda: Image.fromarray(grey(void=128)).convert("RGB"), True),
    "in RGBA, opaque": (lambda: Image.fromarray(grey(void=128)).convert("RGBA"), True),
    "in grey and alpha, opaque": (lambda: Image.fromarray(grey()).convert("LA"), False),
    "in alpha, all white": (lambda: rgba(WHITE, WHITE), False),
    "in alpha, all black": (lambda: rgba(BLACK, BLACK), False),
    "in alpha, all red": (lambda: rgba(RED, RED), False),
    "in alpha of grey": (lambda: rgba(WHITE, WHITE).convert("LA"), False),
    "white on transparent black": (lambda: rgba(WHITE, BLACK), False),
    "red on transparent black": (lambda: rgba(RED, BLACK), False),
    "palette of black and white": (lambda: palette(OBJECT, [BLACK, WHITE]), False),
    "palette of white and black, by colour and number": (
        lambda: palette(grey(thing=2, void=2) * OBJECT, [BLACK, RED, WHITE]), False,
    ),
    "palette with void": (lambda: palette(grey(thing=1, void=2), [BLACK, WHITE, GREY]), True),
    "palette of all greys": (lambda: palette(grey(void=128), [(k, k, k) for k in range(256)]), True),
    "palette of VOC, one class": (lambda: palette(OBJECT, VOC), False),
    "palette, transparent": (lambda: palette(OBJECT, [WHITE, WHITE], transparency=b"\x00\xff"), False),
}  # fmt: skip


@pytest.mark.parametrize("name", READABLE)
def test_a_mask_is_read(tmp_path, name):
    make, void = READABLE[name]
    make().save(tmp_path / "mask.png")
    truth, valid = read_mask(tmp_path / "mask.png", H, W)
    assert np.array_equal(truth, OBJECT)
    assert np.array_equal(valid, ~VOID if void else np.ones((H, W), bool))


def noisy():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (H, W), dtype=np.uint8))


REFUSED = {
    "other greys": (lambda: Image.fromarray(grey(thing=254, void=7)), "Received 0, 7, 254 in its greys"),
    "many greys": (noisy, "and [0-9]+ more"),
    "numbers of classes": (lambda: Image.fromarray(grey(thing=2, void=1)), "Received 0, 1, 2 in its greys"),
    "1 with 255": (lambda: Image.fromarray(grey(thing=1, void=255)), "Received 0, 1, 255 in its greys"),
    "1 with 128": (lambda: Image.fromarray(grey(thing=1, void=128)), "Received 0, 1, 128 in its greys"),
    "16 bits": (lambda: Image.fromarray(grey(thing=300, dtype=np.uint16)), "Received 0, 300 in its greys"),
    "colours": (lambda: rgba(RED, BLACK, (255, 255)), "colours that are not grey, 0 in its colours"),
    "palette of VOC, two classes": (lambda: palette(grey(thing=1, void=2), VOC), "0, 1, 2 in its palette"),
    "palette of VOC, another class": (lambda: palette(grey(thing=2), VOC), "0, 2 in its palette"),
    "palette of VOC with its void": (
        lambda: palette(grey(thing=1, void=255), [*VOC, *[WHITE] * 252, (224, 224, 192)]),
        "0, 1, 255 in its palette",
    ),
    "palette turned round": (lambda: palette(OBJECT, [WHITE, BLACK]), "colours and palette differ"),
    "alpha turned round": (lambda: rgba(BLACK, WHITE), "colours and transparency differ"),
    "alpha with soft edges": (lambda: rgba(WHITE, WHITE, (200, 0)), "0, 200 in its transparency"),
    "white on black, half transparent": (lambda: rgba(WHITE, BLACK, (200, 0)), "0, 200 in its transparency"),
    "a picture, cut out": (cut_out, "a transparent background"),
    "transparent": (lambda: rgba(WHITE, BLACK, (0, 0)), "Received a transparent picture"),
    "no object": (lambda: Image.fromarray(grey(thing=0)), "Expected pixels of an object"),
    "no object, transparent palette": (
        lambda: palette(OBJECT * 0, [WHITE], transparency=b"\x00"), "Received a transparent picture",
    ),
    "void alone": (lambda: Image.fromarray(grey(128, 128)), "Expected pixels of an object"),
    "void and background": (lambda: Image.fromarray(grey(0, 0, void=128)), "Expected pixels of an object"),
    "larger": (lambda: Image.new("L", (W + 1, H), 255), "7x5 pixels of its picture. Received 8x5"),
    "turned": (lambda: Image.new("L", (H, W), 255), "7x5 pixels of its picture. Received 5x7"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_an_ambiguous_mask_is_an_error(tmp_path, name):
    make, message = REFUSED[name]
    make().save(tmp_path / "mask.png")
    with pytest.raises(DatasetError, match=message) as refusal:
        read_mask(tmp_path / "mask.png", H, W)
    assert "mask.png" in str(refusal.value)
    assert "\n" not in str(refusal.value)


OTHER_FILES = {
    "gif": (lambda path: Image.fromarray(grey()).save(path, format="GIF"), None),
    "bmp": (lambda path: Image.fromarray(OBJECT).save(path, format="BMP"), None),
    "tiff": (lambda path: Image.fromarray(grey(thing=1).astype(np.float32)).save(path, format="TIFF"), None),
    "webp": (lambda path: rgba(WHITE, WHITE).save(path, format="WEBP", lossless=True, exact=True), None),
    "frames": (
        lambda path: Image.fromarray(grey()).save(
            path, format="TIFF", save_all=True, append_images=[Image.fromarray(grey(void=128))]
        ),
        "Expected one picture in the mask",
    ),
    "cmyk": (lambda path: Image.new("CMYK", (W, H)).save(path, format="TIFF"), "mode CMYK"),
    "cut short": (lambda path: path.write_bytes(_png()[:-30]), "cannot be read"),
    "text": (lambda path: path.write_text("255", encoding="utf-8"), "cannot be read"),
    "nothing": (lambda path: path.write_bytes(b""), "cannot be read"),
    "folder": (lambda path: path.mkdir(), "cannot be read"),
}


def _png():
    import io

    buffer = io.BytesIO()
    noisy().save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("name", OTHER_FILES)
def test_other_files(tmp_path, name):
    make, message = OTHER_FILES[name]
    path = tmp_path / "mask"
    make(path)
    if message is None:
        truth, valid = read_mask(path, H, W)
        assert np.array_equal(truth, OBJECT)
        assert valid.all()
        return
    with pytest.raises(DatasetError, match=message):
        read_mask(path, H, W)


def test_a_mask_of_another_size_is_not_decoded(tmp_path, monkeypatch):
    Image.new("L", (4000, 4000)).save(tmp_path / "mask.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda self: pytest.fail("decoded"))
    with pytest.raises(DatasetError, match="Received 4000x4000"):
        read_mask(tmp_path / "mask.png", H, W)


def test_a_size_that_pillow_warns_about_is_an_error(tmp_path, monkeypatch):
    Image.fromarray(grey()).save(tmp_path / "mask.png")
    for limit in (H * W - 1, H):  # a warning, an error
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with warnings.catch_warnings(), pytest.raises(DatasetError, match="cannot be read"):
            warnings.simplefilter("ignore")
            read_mask(tmp_path / "mask.png", H, W)


# --- EXIF


def with_orientation(picture, orientation):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    return {"exif": exif}


def stored(orientation):
    """Return the mask as a camera stores it that is held in this orientation."""
    undone = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    picture = Image.fromarray(grey())
    picture.getexif()[0x0112] = undone
    turned = ImageOps.exif_transpose(picture)
    turned.getexif().clear()
    return turned


@pytest.mark.parametrize("picture", [1, 6])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_rotated_by_its_own_orientation(tmp_path, orientation, picture):
    mask = stored(orientation)
    mask.save(tmp_path / "mask.png", **with_orientation(mask, orientation))
    truth, valid = read_mask(tmp_path / "mask.png", H, W, picture)
    assert np.array_equal(truth, OBJECT)
    assert valid.shape == (H, W)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_without_orientation_is_rotated_like_its_picture_if_its_size_requires_it(
    tmp_path, orientation
):
    stored(orientation).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png", H, W, orientation)[0], OBJECT)
    stored(1).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png", H, W, orientation)[0], OBJECT)


@pytest.mark.parametrize(("side", "orientation"), [(W, 2), (W, 3), (W, 4), (H, 6)])
def test_a_mask_of_ambiguous_orientation_is_an_error(tmp_path, side, orientation):
    Image.new("L", (side, H), 255).save(tmp_path / "mask.png")
    with pytest.raises(DatasetError, match=f"orientation {orientation}"):
        read_mask(tmp_path / "mask.png", H, side, orientation)
    assert read_mask(tmp_path / "mask.png", H, side, 1)[0].all()


@pytest.mark.parametrize(("said", "found"), [(None, 1), (1, 1), (6, 6), (0, 1), (9, 1)])
def test_the_orientation_of_a_picture(tmp_path, said, found):
    picture = Image.fromarray(grey())
    picture.save(tmp_path / "picture.jpg", **with_orientation(picture, said))
    assert exif_orientation(tmp_path / "picture.jpg") == found


def test_a_picture_that_cannot_be_read_counts_as_upright(tmp_path):
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8nothing")
    assert masks.exif_orientation(tmp_path / "picture.jpg") == 1
    assert masks.exif_orientation(tmp_path / "none.jpg") == 1
