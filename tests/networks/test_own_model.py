"""A model of one's own: found, labelled, and used by everything that the models of the zoo are used by."""

import argparse
import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import fcn_core as fcn
from fcn_core import settings
from fcn_core.cli import arguments
from fcn_core.errors import (
    ConversionError,
    EngineError,
    FcnError,
    LabelsInvalid,
    SettingInvalid,
    UnknownModel,
)
from fcn_core.export.reproduce import command_line
from fcn_core.images.read import image_from_array
from fcn_core.maps.findings import findings
from fcn_core.networks.convert import convert
from fcn_core.networks.spec import PREPROCESSINGS
from fcn_core.networks.zoo import model_spec

pytestmark = pytest.mark.tensorflow

SCALES = fcn.parse_scales("160x160,224x224")
RED, GREEN, BLUE = np.eye(3) * 200
STRENGTH = 40.0


def colour_network(head, channels=3, side=48, scale=255.0, shift=0.0):
    """A network that knows colours: the logit of a class says how much its channel exceeds the mean of all.

    Each cell sees eight by eight pixels. The weights of the one convolution are those of the example, not trained.
    """
    pixels = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / scale, shift)(pixels)
    cells = layers.Conv2D(channels, 8, 8, use_bias=False)
    x = cells(x)
    weights = np.tile(np.eye(3, dtype=np.float32)[:, :channels] - 1 / 3, (8, 8, 1, 1)) / 64
    cells.set_weights([weights])
    for layer in head():
        x = layer(x)
    model = keras.Model(pixels, x)
    dense = model.layers[-1]
    kernel = np.zeros(dense.kernel.shape, np.float32)
    kernel.reshape(-1, channels, channels)[:] = np.eye(channels) * STRENGTH * channels / len(kernel)
    dense.set_weights([kernel, np.full(channels, -STRENGTH / 8, np.float32)])
    return model


def pooled(channels=3, activation="softmax"):
    return lambda: [layers.GlobalAveragePooling2D(), layers.Dense(channels, activation)]


MODELS = {
    "softmax": (lambda: colour_network(pooled()), ("red", "green", "blue")),
    "logits": (lambda: colour_network(pooled(activation=None)), ("red", "green", "blue")),
    "each by itself": (lambda: colour_network(pooled(activation="sigmoid")), ("red", "green", "blue")),
    "yes or no": (lambda: colour_network(pooled(1, "sigmoid"), 1), ("red",)),
    "one of two": (lambda: colour_network(pooled(1, "sigmoid"), 1), ("other", "red")),
    "Flatten": (
        lambda: colour_network(lambda: [layers.Flatten(), layers.Dense(3, "softmax")], side=16),
        ("red", "green", "blue"),
    ),
}


def saved(folder, name, labels=None):
    make, known = MODELS[name]
    path = folder / "Mine 1.keras"
    make().save(path)
    path.with_suffix(".txt").write_text("\n".join(labels or known), encoding="utf-8")
    return path


def peak(class_map, class_ids):
    """Return the largest probability of some classes over windows of four by four cells, whose logits are averaged."""
    h, w = class_map.grid
    rows, columns = ({*range(0, n - 3, 2), n - 4} for n in (h, w))
    windows = [class_map.logits[y : y + 4, x : x + 4].mean((0, 1)) for y in rows for x in columns]
    odds = np.exp(windows - np.max(windows, axis=-1, keepdims=True))
    return float((odds[:, list(class_ids)].sum(-1) / odds.sum(-1)).max())


def loaded(path, **options):
    """Without an export, which takes seconds."""
    return fcn.load_model(path, engine="tensorflow", **options)


@pytest.fixture
def photo():
    """A blue picture with a red square, and where it is."""
    pixels = np.tile(BLUE.astype(np.uint8), (224, 224, 1))
    square = np.zeros(pixels.shape[:2], bool)
    square[64:128, 96:160] = True
    pixels[square] = RED
    return image_from_array(pixels), square


@pytest.mark.parametrize("name", MODELS)
def test_it_finds_its_class(tmp_path, photo, name):
    image, square = photo
    path = saved(tmp_path, name)
    logits = {}
    for engine in ("tensorflow", *(["openvino"] if name in ("softmax", "yes or no", "Flatten") else [])):
        model = fcn.load_model(path, engine=engine)
        assert (model.info.name, model.info.weights) == ("mine-1", "own")
        assert (model.info.output_stride, model.info.stride_option) == (8, 32)
        found = fcn.analyse(image, "red", model, SCALES)
        assert found.presence > 0.9
        assert "--output-stride 32 " in command_line(found), "8 would convert it again"
        assert (found.mask & square).sum() > 0.8 * (found.mask | square).sum()
        assert fcn.presence(found.class_maps, "red") == found.presence
        if "green" in MODELS[name][1]:
            assert not fcn.analyse(image, "green", model, SCALES).present
        named = {each.synset.name for each in findings(found.class_maps)}
        assert named == {"red", "blue"} & {*MODELS[name][1]}
        segments = fcn.label_regions(image, found.class_maps).segments
        assert "red" in {each.synset.name for each in segments}
        logits[engine] = found.class_maps["224x224"].logits
    span = np.ptp(logits["tensorflow"])
    assert all(abs(each - logits["tensorflow"]).max() < 1e-4 * span for each in logits.values())


def test_classes_that_do_not_exclude_each_other_are_not_summed(tmp_path, photo):
    model = loaded(saved(tmp_path, "each by itself", ["n02084071", "n02121620", "n02958343"]))
    found = fcn.analyse(photo[0], "carnivore", model, SCALES)
    for class_map in found.class_maps.values():
        each = 1 / (1 + np.exp(-class_map.logits[..., :2]))
        assert np.allclose(class_map.probability_of_any(np.array([0, 1])), each.max(-1), atol=1e-6)
        undecided = replace(class_map, logits=np.zeros_like(class_map.logits))
        assert np.allclose(undecided.probability_of_any(np.array([0, 1])), 0.5)
    assert found.class_ids == (0, 1)


def test_a_network_of_imagenets_classes_in_another_order_is_not_taken_for_imagenets(tmp_path, photo):
    backwards = fcn.Ontology.load().classes[::-1]
    classes = layers.Dense(1000, "softmax")
    model = colour_network(pooled())
    keras.Model(model.inputs, classes(model.layers[-2].output)).save(tmp_path / "many.keras")
    own = loaded(tmp_path / "many.keras", labels=backwards)
    found = fcn.analyse(photo[0], "dog", own, SCALES)
    assert [backwards[i] for i in found.class_ids] == [
        wnid for wnid in backwards if "n02084071" in fcn.Ontology.load().ancestors(wnid)
    ]
    assert not own.info.outputs.ontology.is_imagenet
    assert found.presence == pytest.approx(
        np.mean([peak(m, found.class_ids) for m in found.class_maps.values()])
    )
    assert loaded(tmp_path / "many.keras", labels="imagenet").info.outputs.ontology.is_imagenet


@pytest.mark.parametrize(
    ("name", "scale", "shift"), [("tf", 1.0, 0.0), ("zero-one", 1.0, 0.0), ("none", 255.0, 0.0)]
)
def test_pixels_become_what_it_was_trained_with(tmp_path, photo, name, scale, shift):
    colour_network(pooled(activation=None), scale=scale, shift=shift).save(tmp_path / "m.keras")
    card = {"labels": ["red", "green", "blue"], "preprocessing": name}
    (tmp_path / "m.json").write_text(json.dumps(card), encoding="utf-8")
    found = fcn.analyse(photo[0], "red", loaded(tmp_path / "m.keras"), SCALES)
    assert found.model.given.preprocessing == name
    picture = PREPROCESSINGS[name].batch(photo[0].pixels)
    classifier = keras.saving.load_model(tmp_path / "m.keras")
    inside = classifier(picture[:, 72:120, 104:152])
    assert found.class_maps["224x224"].logits[..., 0].max() == pytest.approx(float(inside[0, 0]), rel=1e-4)


@pytest.fixture
def refuse(tmp_path):
    """Load a model that is refused; the message."""
    path = saved(tmp_path, "softmax")

    def refuse(kind, **options):
        with pytest.raises(kind) as refused:
            fcn.load_model(options.pop("name", path), **options)
        return str(refused.value)

    return refuse


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (
            LabelsInvalid,
            {"labels": ["red", "green"]},
            "Expected 3 labels, one for each class of Mine 1.keras. Received 2",
        ),
        (LabelsInvalid, {"labels": "nowhere.txt"}, "nowhere.txt"),
        (LabelsInvalid, {"labels": "/dev/zero"}, "/dev/zero"),
        (UnknownModel, {"name": "x" * 5000 + ".keras"}, "which does not exist"),
        (UnknownModel, {"name": "nowhere.keras"}, "nowhere.keras, which does not exist"),
        (UnknownModel, {"preprocessing": "resnet"}, "none, zero-one, tf, caffe, torch. Received 'resnet'"),
        (EngineError, {"weights": None}, "its own weights"),
        (FcnError, {"name": "efficientnet-lite0", "labels": ["a"]}, "EfficientNet-Lite0, which has its own"),
    ],
)
def test_what_does_not_fit_is_refused(refuse, kind, options, said):
    assert said in refuse(kind, **options)


def not_a_number():
    model = MODELS["softmax"][0]()
    model.layers[-1].set_weights([np.full((3, 3), np.nan, np.float32), np.zeros(3, np.float32)])
    return model


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: keras.Sequential([keras.Input((28, 28, 1)), layers.GlobalAveragePooling2D(), layers.Dense(9)]),
         "three channels"),
        (lambda: keras.Sequential([keras.Input((3, 32, 32)), layers.GlobalAveragePooling2D(), layers.Dense(9)]),
         "three channels, which come last"),
        (lambda: keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(9)]), "never called on a picture"),
        (not_a_number, "infinite or not a number"),
    ],
    ids=["grey", "channels first", "no input", "not a number"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_a_network_that_cannot_be_used_is_refused(tmp_path, make, said):
    make().save(tmp_path / "m.keras")
    with pytest.raises(ConversionError, match=said):
        loaded(tmp_path / "m.keras")


def test_outputs_that_are_the_same_tensor_count_each(tmp_path, photo):
    model = colour_network(pooled(activation=None))
    twice = layers.Concatenate()([model.output, model.output])
    keras.Model(model.inputs, twice).save(tmp_path / "m.keras")
    own = loaded(tmp_path / "m.keras", labels=["red", "green", "blue", "red too", "green too", "blue too"])
    found = fcn.analyse(photo[0], "red too", own, SCALES)
    assert np.array_equal(
        found.class_maps["160x160"].logits[..., :3], found.class_maps["160x160"].logits[..., 3:]
    )


def test_an_export_does_not_replace_the_model(tmp_path, run):
    path = saved(tmp_path, "softmax")
    before = path.read_bytes()
    status, _, err = run("export", "--model", path, "--format", "keras", "--out", path)
    assert (status, "which is your model" in err) == (2, True)
    assert path.read_bytes() == before


def test_bad_files_in_the_folder_are_named_and_the_others_listed(tmp_path, monkeypatch, run):
    saved(tmp_path, "softmax")
    for name in ("vgg16", "bad"):
        MODELS["softmax"][0]().save(tmp_path / f"{name}.keras")
    (tmp_path / "bad.txt").write_text(",", encoding="utf-8")
    monkeypatch.setenv("FCN_MODELS_DIR", str(tmp_path))
    status, out, err = run("models", "--json")
    assert (status, json.loads(out)[-1]["name"]) == (0, "mine-1")
    assert [line.split()[1] for line in err.splitlines()] == ["bad.keras", "vgg16.keras"]


def test_what_says_nothing_is_not_said_to_be_there(tmp_path, photo):
    """All classes together are there by definition, and a class may be for everything else."""
    model = loaded(saved(tmp_path, "softmax", ["red", "green", "not a colour"]))
    maps = list(fcn.compute_class_maps(photo[0], model, SCALES).values())
    assert [each.synset.name for each in findings(maps)] == ["red"]
    undecided = [replace(m, logits=np.zeros_like(m.logits)) for m in maps]
    assert not {"any class", "not a colour"} & {f.synset.name for f in findings(undecided, least=0.2)}


def test_without_labels_the_classes_are_numbered(tmp_path, photo):
    path = saved(tmp_path, "softmax")
    path.with_suffix(".txt").unlink()
    assert fcn.analyse(photo[0], "class 0", loaded(path), SCALES).present
    with pytest.raises(
        FcnError,
        match=r"Received 'red'\. This model has no labels: give them \(--labels\), or write them into",
    ):
        fcn.analyse(photo[0], "red", loaded(path), SCALES)


def test_a_folder_of_models_by_name(tmp_path, monkeypatch):
    path = saved(tmp_path, "softmax")
    monkeypatch.setenv("FCN_MODELS_DIR", str(tmp_path))
    assert model_spec("MINE-1").given.path == path
    monkeypatch.setenv("FCN_MODEL", "Mine-1")
    assert model_spec().given.path == path
    assert settings.check() == ()
    monkeypatch.setenv("FCN_MODEL", "mine-2")
    with pytest.raises(
        SettingInvalid, match=r"or a model of FCN_MODELS_DIR in FCN_MODEL\. Received 'mine-2'"
    ):
        model_spec()
    assert loaded("mine-1").info.outputs.ontology.find("green").class_id == 1
    assert loaded("mine-1", labels=["a", "b", "c"]).info.outputs.ontology.find("b").class_id == 1
    monkeypatch.setenv("FCN_MODELS_DIR", str(tmp_path / "mine 1.keras"))
    with pytest.raises(UnknownModel, match="mine-1"):
        model_spec("mine-1")


def test_the_list_of_models_has_it_and_a_removal_keeps_its_file(tmp_path, monkeypatch, run):
    path = saved(tmp_path, "softmax")
    other = saved(tmp_path, "logits").rename(tmp_path / "other.keras")
    saved(tmp_path, "softmax")
    monkeypatch.setenv("FCN_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path / "cache"))

    def states():
        rows = json.loads(run("models", "--json")[1])
        return {row["name"]: row["state"] for row in rows[-2:]}

    assert states() == {"mine-1": "weights here", "other": "weights here"}
    assert run("models", "--prepare", "mine-1")[:2] == (0, "Mine 1 is ready on openvino.\n")
    assert run("models", "--prepare", other)[0] == 0
    assert states() == {"mine-1": "ready", "other": "ready"}
    assert run("models", "--remove", "mine-1")[0] == 0
    assert states() == {"mine-1": "weights here", "other": "ready"}
    assert path.is_file()


def test_a_changed_file_is_another_model(tmp_path, photo):
    path = saved(tmp_path, "softmax")
    first = fcn.analyse(photo[0], "red", fcn.load_model(path), SCALES)
    model = MODELS["softmax"][0]()
    model.layers[-1].set_weights([np.zeros((3, 3), np.float32), np.zeros(3, np.float32)])
    model.save(path)
    second = fcn.analyse(photo[0], "red", fcn.load_model(path), SCALES)
    assert first.model.weights_sha256 != second.model.weights_sha256
    assert second.arithmetic.peak == pytest.approx(1 / 3)


@pytest.fixture
def run(capsys):
    """Run a command in this process: (exit status, output, error)."""
    from fcn_core.cli import entry

    def run(*arguments):
        capsys.readouterr()
        status = entry.main([str(a) for a in arguments])
        return status, *capsys.readouterr()

    return run


def test_every_command_takes_it(tmp_path, photo, run):
    image, square = photo
    path = saved(tmp_path, "softmax")
    labels = path.with_suffix(".txt").rename(tmp_path / "names of classes")
    Image.fromarray(image.pixels).save(tmp_path / "photo.png")
    Image.fromarray(square.astype(np.uint8) * 255).save(tmp_path / "square.png")
    chosen = ("--model", path, "--labels", labels, "--scales", "160x160,224x224")
    status, out, err = run(
        "heatmap", tmp_path / "photo.png", "--synset", "red", *chosen, "--out", tmp_path / "o"
    )
    assert (status, err) == (0, "")
    assert "red (class-0, 1 class)" in out
    manifest = json.loads((tmp_path / "o/photo/manifest.json").read_text(encoding="utf-8"))
    assert manifest["model"]["name"] == "mine-1"
    assert manifest["synset"]["wnid"] == "class-0"

    status, out, _ = run("heatmap", tmp_path / "photo.png", "--all", *chosen, "--out", tmp_path / "all")
    panoptic = json.loads((tmp_path / "all/photo/panoptic.json").read_text(encoding="utf-8"))
    assert [(each["id"], each["name"]) for each in panoptic["categories"]] == [(1, "red"), (3, "blue")]

    (tmp_path / "index.csv").write_text(
        "image,synset_wnid,mask\nphoto.png,red,square.png\n", encoding="utf-8"
    )
    compared = json.loads(run("evaluate", tmp_path / "index.csv", *chosen, "--json", "--compare")[1])
    assert {each["way"]: each["pointing"] for each in compared["results"]}["cam"] == 1
    status, out, _ = run("evaluate", tmp_path / "index.csv", *chosen, "--json")
    assert json.loads(out)["mask_iou"] > 0.8

    status, out, _ = run("verify", *chosen[:4])
    assert (status, "within 1e-04" in out) == (0, True)

    status, _, err = run(
        "heatmap", tmp_path / "photo.png", "--synset", "cat", *chosen, "--out", tmp_path / "x"
    )
    assert status == 2
    assert "synsets of this model, such as class-0 or red" in err


def test_it_is_written_for_other_programs(tmp_path, run):
    path = saved(tmp_path, "softmax").rename(tmp_path / "m.keras")
    card = {"labels": ["red", "green", "blue"], "preprocessing": "caffe"}
    (tmp_path / "m.json").write_text(json.dumps(card), encoding="utf-8")
    out = ("--out", tmp_path / "out" / "m.xml", "--output-stride", 8)  # its own: it is rebuilt all the same
    status, _, err = run("export", "--model", path, "--format", "openvino", *out)
    assert (status, err) == (0, "")
    described = json.loads((tmp_path / "out" / "m.xml.json").read_text(encoding="utf-8"))
    assert described["check"]["largest_error_of_logits"] < 1e-4
    assert (described["output_stride"], described["model"]["input_size_of_classifier"]) == (8, 48)
    assert [each["label"] for each in described["classes"]] == ["red", "green", "blue"]

    import openvino

    network = openvino.Core().compile_model(
        tmp_path / "out" / "m.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.float32)
    prepared = PREPROCESSINGS["caffe"].batch(pixels)
    expected = convert(keras.saving.load_model(path), output="logits").network(prepared)
    assert np.allclose(network(pixels[None])["logits"], expected, atol=1e-4 * np.ptp(expected))


@pytest.mark.parametrize("name", ["each by itself", "yes or no", "Flatten"])
def test_it_is_verified(tmp_path, run, name):
    path = saved(tmp_path, name)
    engine = "openvino" if name == "each by itself" else "tensorflow"
    status, out, _ = run("verify", "--model", path, "--engine", engine)
    assert (status, "NOT" in out) == (0, False)
    assert ("the only cell" if name == "Flatten" else "the mean") in out


def test_the_command_offers_every_preprocessing():
    parser = argparse.ArgumentParser()
    arguments.add_preprocessing(parser)
    (offered,) = (each.choices for each in parser._actions if each.dest == "preprocessing")
    assert tuple(offered) == tuple(PREPROCESSINGS)
