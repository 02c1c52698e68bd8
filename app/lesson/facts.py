"""Live values that need no network: facts about the model, the hierarchy and the installed libraries."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from app.lesson import experiments, pictures
from app.lesson.language import marked, number
from app.lesson.language import translated as _
from app.lesson.stage import NotReadyError, Stage
from app.state import shared_queue
from fcn_core.errors import FcnError
from fcn_core.images.scales import NOTEBOOK_SCALES
from fcn_core.synsets.ontology import Ontology
from fcn_core.system.installed import versions as library_versions

_OBJECTS = {
    "dog": (marked("the dog"), marked("of the dog"), marked("a dog")),
    "hen": (marked("the hens"), marked("of the hens"), marked("a hen")),
    "horse": (marked("the horses"), marked("of the horses"), marked("a horse")),
    "cattle": (marked("the cow"), marked("of the cow"), marked("a cow")),
    "duck": (marked("the duck"), marked("of the duck"), marked("a duck")),
    "pig": (marked("the pig"), marked("of the pig"), marked("a pig")),
    "sheep": (marked("the sheep"), marked("of the sheep"), marked("a sheep")),
    "cat": (marked("the cat"), marked("of the cat"), marked("a cat")),
}
_OTHER = (marked("the object"), marked("of the object"), marked("an object"))
ASKED = (200, 300)  # the notebook's noise: height and width
FORWARD = (800, 600)  # its first picture, stretched
CLASSES = 1000
COLOURS = 3
SIZES = (32, 1024)


def shape(*sizes: int | None) -> str:
    """Format a tensor's shape as Python does."""
    return str(sizes)


def grid(rows: int, columns: int) -> str:
    """Format a size as rows × columns."""
    return f"{rows} × {columns}"


def cells_along(size: int, stride: int) -> int:
    """Apply the rule of the first step: divide by the stride and round up."""
    return math.ceil(size / stride)


def gather(stage: Stage) -> None:
    """Add all of these values to the stage; those of a synset that is not known yet follow in a later run."""
    spec, stride = stage.spec, stage.model.output_stride
    native = cells_along(spec.input_size, stride)
    height, width = ASKED
    stage.say(
        model=spec.title.split(",")[0],
        input=spec.input_size,
        colours=COLOURS,
        features=spec.features,
        classes=CLASSES,
        stride=stride,
        halvings=int(math.log2(stride)),
        native_grid=grid(native, native),
        native_places=native**2,
        ask_height=height,
        ask_width=width,
        ask_grid=grid(cells_along(height, stride), cells_along(width, stride)),
        ask_down=grid(height // stride, width // stride),
        ask_rows_exact=number(height / stride, "g"),
        ask_columns_exact=number(width / stride, "g"),
        sizes_from=SIZES[0],
        sizes_to=SIZES[1],
        dense_shape=shape(spec.features, CLASSES),
        convolution_shape=shape(1, 1, spec.features, CLASSES),
        picture_size=grid(stage.source.height, stage.source.width),
        scale_first=grid(NOTEBOOK_SCALES[0].height, NOTEBOOK_SCALES[0].width),
        scale_second=grid(NOTEBOOK_SCALES[1].height, NOTEBOOK_SCALES[1].width),
        scale_third=grid(NOTEBOOK_SCALES[2].height, NOTEBOOK_SCALES[2].width),
        scale_last=grid(NOTEBOOK_SCALES[-1].height, NOTEBOOK_SCALES[-1].width),
        float_max=number(float(np.finfo(np.float32).max), ".1e"),
        exp_limit=number(float(np.log(np.finfo(np.float32).max)), ".1f"),
        versions=versions(),
    )
    random = experiments.random_logits().shape
    stage.say(
        random_shape=shape(*random),
        random_samples=random[0],
        random_rows=random[1],
        random_columns=random[2],
        random_classes=random[3],
        places=math.prod(random[:3]),
    )
    stage.values.update(_counts(stage.ontology))
    stage.values["animal_repeats"] = _repeats_in_words(
        repeats(stage.ontology, stage.ontology.find("animal").wnid)
    )
    with suppress(NotReadyError, FcnError):  # the figures say why
        _name_object(stage)


def _name_object(stage: Stage) -> None:
    """Say what is looked for: "the dog", "of the dog", "a dog"; French needs all of them."""
    name, word = stage.chosen.picture, stage.ontology.label(stage.synset)
    if stage.synset == pictures.first_synset(name, stage.ontology):
        the, of, one = _OBJECTS[pictures.SHOWN[name]]
    else:
        the, of, one = _OTHER
    stage.say(synset=word, object=_(the), of_object=_(of), an_object=_(one), Object=_capital(_(the)))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@cache
def _counts(ontology: Ontology) -> dict[str, str]:
    animal, dog = ontology.find("animal").wnid, ontology.find("dog").wnid
    entries, classes = len(ontology.naive_class_ids(animal)), ontology.count(animal)
    often, wnid = max((max(repeats(ontology, w)), w) for w in experiments.counted_again(ontology))
    return {
        "dog_classes": str(ontology.count(dog)),
        "synsets": str(len(ontology)),
        "animal_entries": str(entries),
        "animal_classes": str(classes),
        "animal_extra": str(entries - classes),
        "twice_synsets": str(len(experiments.counted_again(ontology))),
        "most_often": str(often),
        "most_synset": ontology.label(wnid),
    }


def repeats(ontology: Ontology, wnid: str) -> dict[int, int]:
    """Count the classes that the notebook's search lists more than once, by how many times it lists them."""
    times = Counter(Counter(ontology.naive_class_ids(wnid)).values())
    return {n: times[n] for n in sorted(times) if n > 1}


def _repeats_in_words(found: dict[int, int]) -> str:
    return _(" and ").join(
        _("one class listed {times} times", times=times)
        if classes == 1
        else _("{classes} classes listed {times} times", classes=classes, times=times)
        for times, classes in found.items()
    )


_library_versions = cache(library_versions)
_ENGINES = {"openvino": "OpenVINO", "tensorflow": "TensorFlow"}


def computed_with(stage: Stage) -> str:
    """Name the engine that ran the network and the other libraries, with versions."""
    found, info = _library_versions(), shared_queue.queue().info(stage.model)
    libraries = _(
        "NumPy {numpy}, SciPy {scipy} and scikit-image {image}",
        numpy=found["numpy"], scipy=found["scipy"], image=found["scikit-image"],
    )  # fmt: skip
    if info is None:
        return _(
            "the network had not run yet; all numbers were computed with {libraries}", libraries=libraries
        )
    return _(
        "the network was run by {engine}; all other numbers were computed with {libraries}",
        engine=f"{_ENGINES[info.engine]} {found[info.engine]}", libraries=libraries,
    )  # fmt: skip


def versions() -> str:
    """Return the versions of the libraries named in the last step."""
    found = _titles_and_versions()
    return ", ".join(found[:-1]) + _(" and ") + found[-1]


@cache
def _titles_and_versions() -> tuple[str, ...]:
    found = []
    for title, package in (
        ("Keras", "keras"),
        ("TensorFlow", "tensorflow"),
        ("TensorFlow", "tensorflow-cpu"),
        ("NumPy", "numpy"),
        ("SciPy", "scipy"),
        ("scikit-image", "scikit-image"),
    ):
        try:
            found.append(f"{title} {version(package)}")
        except PackageNotFoundError:
            continue
    return tuple(found)
