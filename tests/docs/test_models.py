"""The page of the models says what the code says: the classifiers of Keras, their proofs, and what is refused."""

from fcn_core.networks.applications import APPLICATIONS
from fcn_core.networks.refusals import FILE_REFUSALS, REFUSALS
from fcn_core.networks.spec import INCLUDED, ModelSpec
from tests.docs.pages import PAGES, rows, section

PAGE = "docs/models.md"


def preprocessing(spec: ModelSpec) -> str:
    """Return in words what the model does to RGB 0..255."""
    if spec.preprocessing == INCLUDED:
        return "inside the network"
    bgr = "BGR, " if spec.preprocessing.order == (2, 1, 0) else ""
    divisor = spec.preprocessing.divisor
    scaled = "minus the mean" if divisor == 1 else "-1 to 1" if divisor == 127.5 else "mean 0, deviation 1"
    return bgr + scaled


def accuracy(spec: ModelSpec) -> str:
    """Return the published accuracy of the original, as a link to its source."""
    return f"[{spec.accuracy.top1} %]({spec.accuracy.source})" if spec.accuracy else ""


def row_of(spec: ModelSpec) -> list[str]:
    """Return the row of a classifier, without its error."""
    size = f"{spec.weights.size / 1e6:.0f} MB"
    return [
        f"`{spec.name}`", spec.family, f"{spec.parameters} M", accuracy(spec),
        f"[{spec.weights.name}]({spec.weights.url}), {size}", str(spec.input_size), preprocessing(spec), spec.proof,
    ]  # fmt: skip


def test_the_classifiers_of_keras_are_those_of_the_table() -> None:
    table = rows(section(PAGE, "Classifiers of Keras"))
    assert [row[:-1] for row in table] == [row_of(spec) for spec in APPLICATIONS.values()]
    assert all(0 < float(row[-1]) < 1e-4 for row in table)


def test_the_reasons_are_those_of_the_errors() -> None:
    table = rows(section(PAGE, "What cannot be converted"))
    assert table == [[why.expected, why.reason, why.cure] for why in REFUSALS.values()]


def test_the_reasons_for_files_are_those_of_the_errors() -> None:
    table = rows(section(PAGE, "What a model file may hold"))
    assert table == [[why.expected, why.reason, why.cure] for why in FILE_REFUSALS.values()]


def test_no_page_says_that_these_cannot_be_converted() -> None:
    for page, text in PAGES.items():
        assert "MobileNetV3 do not" not in text, page
