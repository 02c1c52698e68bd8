"""A classifier trained on small pictures finds its shape in a large one: trained, saved, loaded, converted."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy import ndimage

import fcn_core as fcn
from fcn_core.images.read import image_from_array
from fcn_core.networks.convert import convert
from fcn_core.networks.proof import prove
from fcn_core.networks.structure import read_geometry

pytestmark = pytest.mark.tensorflow

SIDE, RADIUS = 32, 12
DISC, CROSS, NOTHING = range(3)


def shape_mask(kind, size, radius, centre):
    """Return where a shape is in a picture of size x size pixels."""
    y, x = np.mgrid[:size, :size] - np.reshape(centre, (2, 1, 1))
    if kind == DISC:
        return y**2 + x**2 <= radius**2
    return (np.minimum(abs(y), abs(x)) <= radius / 4) & (np.maximum(abs(y), abs(x)) <= radius)


def drawn(masks, size, rng):
    """Return a noisy picture, RGB 0..255, with each mask in a colour of its own, which says nothing about its kind."""
    picture = rng.normal(rng.uniform(40, 90), 12, (size, size, 3))
    for mask in masks:
        picture[mask] = rng.uniform(130, 255, 3) + rng.normal(0, 8, (mask.sum(), 3))
    return picture.clip(0, 255).astype("float32")


def training_set(count, rng):
    """Return pictures of a shape in the middle, or of nothing there: empty ones, and some with a shape at the edge."""
    kinds = np.arange(count) % 3
    pictures = []
    for i, kind in enumerate(kinds):
        middle = kind != NOTHING
        direction = rng.uniform(0, 2 * np.pi)
        away = rng.uniform(0, 7) if middle else rng.uniform(15, 20)
        centre = SIDE / 2 + away * np.array([np.sin(direction), np.cos(direction)])
        shape = shape_mask(kind if middle else i % 2, SIDE, rng.uniform(9, 13), centre)
        pictures.append(drawn([shape] if middle or i % 4 < 2 else [], SIDE, rng))
    return np.stack(pictures), kinds


def classifier(pools, head):
    x = image = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(x)
    for channels, pooled in zip((12, 24, 32), pools, strict=True):
        x = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(pooled)(x)
    for layer in head:
        x = layer(x)
    return keras.Model(image, x)


HEADS = {
    "pooling": lambda: classifier(
        (2, 2, 2), [layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")]
    ),
    "Flatten": lambda: classifier(
        (2, 2, 1),
        [layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dense(3, activation="softmax")],
    ),
}


@pytest.mark.parametrize("head", HEADS)
def test_it_finds_its_shape_in_a_large_picture(head, tmp_path):
    keras.utils.set_random_seed(5)
    rng = np.random.default_rng(5)
    pictures, kinds = training_set(900, rng)
    trained = HEADS[head]()
    trained.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    trained.fit(pictures, kinds, batch_size=32, epochs=12, verbose=0)
    trained.save(tmp_path / "shapes.keras")
    loaded = keras.models.load_model(tmp_path / "shapes.keras", safe_mode=True)
    assert loaded.evaluate(*training_set(150, rng), verbose=0)[1] > 0.95

    conversion = convert(loaded, output="logits")
    error, span = prove(loaded, conversion, lambda *shape: rng.uniform(0, 255, shape).astype("float32"))
    assert error < 1e-4 * span

    size = 160
    places = {DISC: (44, 48), CROSS: (108, 100)}
    masks = {kind: shape_mask(kind, size, RADIUS, place) for kind, place in places.items()}
    picture = drawn(masks.values(), size, rng)
    logits = np.asarray(conversion.network(picture[None]))[0]
    cells = read_geometry(conversion.network)[0].cells(size, size)
    for kind in masks:  # each is strongest inside its shape
        evidence = logits[..., kind] - np.delete(logits, kind, axis=-1).max(-1)
        y, x = np.unravel_index(evidence.argmax(), evidence.shape)
        assert np.hypot(cells.y.centre(y) - places[kind][0], cells.x.centre(x) - places[kind][1]) < RADIUS
    evidence = logits[..., :NOTHING].max(-1) - logits[..., NOTHING]
    y, x = (
        round(axis.index(float(p), size)) for axis, p in zip((cells.y, cells.x), places[DISC], strict=True)
    )
    regions, _ = ndimage.label(
        evidence > 0.15 * evidence[y - 1 : y + 2, x - 1 : x + 2].max(), np.ones((3, 3))
    )
    region = regions == regions[y, x]
    assert logits[region].mean(0).argmax() == DISC
    assert overlap(region, masks[DISC], cells) > 0.5

    own = fcn.load_model(tmp_path / "shapes.keras", engine="tensorflow", labels=["disc", "cross", "nothing"])
    image, scales = image_from_array(picture.astype("uint8")), fcn.parse_scales("160x160,240x240")
    for kind, name in ((DISC, "disc"), (CROSS, "cross")):
        found = fcn.analyse(image, name, own, scales, always_mark=True).mask
        assert (found & masks[kind]).sum() > 0.5 * (found | masks[kind]).sum()


def overlap(region, mask, cells):
    """Return the intersection over union of the boxes around a region of cells and around a mask of pixels."""
    shared = one = other = 1.0
    for found, true, axis in zip(np.nonzero(region), np.nonzero(mask), (cells.y, cells.x), strict=True):
        low, high = (axis.centre(i) for i in (found.min(), found.max()))
        low, high = low - axis.stride / 2, high + axis.stride / 2
        start, end = true.min() - 0.5, true.max() + 0.5
        shared *= max(min(high, end) - max(low, start), 0)
        one, other = one * (high - low), other * (end - start)
    return shared / (one + other - shared)
