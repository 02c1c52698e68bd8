"""Models of one's own on the pages: each is asked in its own words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.state import comparison, many, models, selection, session
from app.state.predictors import Predictors
from app.state.session import ExplorePage
from fcn_core.errors import FcnError
from tests.app.explore_page import APP, DOG, group, opened, png, settled, text
from tests.networks.test_own_model import BLUE, RED, saved
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("prepared_app")]

LITE2 = "efficientnet-lite2"
OWN = {
    "colours": ("softmax", ["red, scarlet", "green", "blue"]),
    "marks": ("each by itself", ["dog", "red", "blue"]),  # where a place may be several things
    "animals": ("softmax", ["n02099601", "n02123045", "n01440764"]),  # golden retriever, tabby, tench
    "nameless": ("softmax", None),
    LITE2: ("softmax", None),  # whose name is taken
}


@pytest.fixture(scope="module")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, made = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("made")
    for name, (kind, labels) in OWN.items():
        path = saved(made, kind, labels)
        shutil.copy(path, folder / f"{name}.keras")
        if labels is not None:
            shutil.copy(path.with_suffix(".txt"), folder / f"{name}.txt")
    return folder


@pytest.fixture(autouse=True)
def folder(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FCN_MODELS_DIR", str(models_folder))
    monkeypatch.setenv("FCN_ENGINE", "tensorflow")  # without an export, which takes seconds
    return models_folder


@pytest.fixture
def photo() -> bytes:
    """A blue picture with a red square."""
    pixels = np.tile(BLUE.astype(np.uint8), (224, 224, 1))
    pixels[64:128, 96:160] = RED
    return png(pixels)


@pytest.mark.parametrize("page", [selection, comparison])
@pytest.mark.parametrize(
    ("query", "model", "synset", "ignored"),
    [
        ({"model": "colours", "synset": "red"}, "colours", "class-0", ()),
        ({"synset": "scarlet", "model": "colours"}, "colours", "class-0", ()),
        ({"model": "marks", "synset": "red"}, "marks", "class-1", ()),
        ({"model": "marks", "synset": "dog"}, "marks", "class-0", ()),
        ({"model": "animals", "synset": "tabby"}, "animals", "n02123045", ()),
        ({"model": "colours", "synset": "dog"}, "colours", "", ("synset=dog",)),
        ({"synset": "dog"}, LITE2, DOG, ()),
        ({"synset": "scarlet"}, LITE2, "", ("synset=scarlet",)),
        ({"model": "nameless", "synset": "dog"}, LITE2, DOG, ("model=nameless",)),
    ],
)
def test_an_address_is_read_in_the_words_of_its_model(
    page: Any, query: dict[str, str], model: str, synset: str, ignored: tuple[str, ...]
) -> None:
    chosen, invalid = page.read(query)
    assert (chosen.model, chosen.synset, invalid) == (model, synset, ignored)
    assert page.read(page.write(chosen)) == (chosen, ())


CHANGES = [
    (LITE2, DOG, "marks", "class-0"),
    ("marks", "class-0", LITE2, DOG),
    ("colours", "class-0", "marks", "class-1"),  # class-0 is the dog there
    ("marks", "class-1", "colours", "class-0"),
    (LITE2, DOG, "colours", ""),
    ("colours", "class-1", LITE2, ""),
    (LITE2, DOG, "animals", "n02099601"),  # the only dog that it knows
    ("animals", "n02123045", LITE2, "n02123045"),
    (LITE2, DOG, "efficientnet-lite0", DOG),
    (LITE2, "", "colours", ""),
]


@pytest.mark.parametrize(("before", "asked", "after", "then"), CHANGES)
def test_another_model_is_asked_for_the_same_thing_or_says_that_it_never_learned_it(
    before: str, asked: str, after: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ExplorePage()
    monkeypatch.setattr(session, "explore", lambda: page)
    page.choices.choose(model=before, synset=asked)
    session.choose_model(after)
    assert (page.choices.now.model, page.choices.now.synset) == (after, then)
    assert ("never learned" in page.problem) == bool(asked and not then)
    assert session.selection().synset in session.selection().ontology

    compared = comparison.with_model(comparison.Comparison(model=before, synset=asked, other=asked), after)
    assert (compared.model, compared.synset, compared.other) == (after, then, then)


@pytest.mark.parametrize(("default", "shown"), [("colours", "colours"), ("nameless", LITE2), ("", LITE2)])
def test_pages_begin_with_the_default_model_if_they_can_offer_it(
    default: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FCN_MODEL", default)
    for read in (selection.read, comparison.read):
        assert read({})[0].model == shown  # type: ignore[operator]


def test_explore_speaks_of_its_classes_only(photo: bytes, folder: Path) -> None:
    page = opened(model="colours", scales="160x160,224x224", tab="Inspect", view="Heatmap")
    page.file_uploader("upload").set_value(("square.png", photo, "image/png"))
    settled(page)
    assert "which of its 3 classes is there?" in text(page)
    names = [label.split("svg+xml;base64,")[1].split(") ")[1] for label in group(page, "seen").options]
    assert {name.partition(" ")[0] for name in names} == {"red", "blue"}
    assert all(name.endswith("%]]") for name in names), "what sure means was measured for ImageNet's classes"
    group(page, "seen").set_value("class-0")
    settled(page)
    assert "Where is the red in this photo?" in text(page)
    assert "any class" in text(page) and "the sum over its classes" in " ".join(
        m.help or "" for m in page.markdown
    )
    page.query_params["tab"] = "Export"
    page = opened(model="colours", scales="160x160", tab="Export", synset="red")
    assert "--model colours" in " ".join(code.value for code in page.code)
    assert str(folder) not in text(page) + " ".join(code.value for code in page.code)


def test_where_a_place_may_be_several_things_each_is_a_probability_of_its_own(photo: bytes) -> None:
    page = opened(model="marks", scales="160x160", tab="Inspect")
    page.file_uploader("upload").set_value(("square.png", photo, "image/png"))
    settled(page)
    assert "the largest of its classes" in " ".join(m.help or "" for m in page.markdown)


def test_compare_says_which_half_never_learned_it() -> None:
    page = AppTest.from_file(str(APP), default_timeout=PATIENCE).run()
    for name, value in {
        "model": "colours",
        "synset": "green",
        "other_model": "marks",
        "scales": "160x160",
    }.items():
        page.query_params[name] = value
    page = settled(page.switch_page("app/pages/compare.py"))
    assert "marks never learned green." in text(page) and "colours never learned" not in text(page)
    page.selectbox("compare-other_model").set_value("colours")
    assert "never learned" not in text(settled(page))


def test_the_list_says_which_models_cannot_be_offered_and_why(folder: Path) -> None:
    page = AppTest.from_file(str(APP), default_timeout=PATIENCE).run()
    page.switch_page("app/pages/models.py").run()
    said = text(page) + " ".join(error.value for error in page.error)
    assert all(f"<h3>{name}</h3>" in said for name in ("colours", "marks", "animals"))
    assert "Expected labels beside nameless.keras" in said.replace("\\", "")
    assert f"Received {LITE2}.keras. Rename the file." in said.replace("\\", "")
    assert str(folder) not in said


def test_a_file_that_changes_while_the_app_runs_is_another_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in folder.glob("colours.*"):
        shutil.copy(each, tmp_path)
    monkeypatch.setenv("FCN_MODELS_DIR", str(tmp_path))
    before = models.key_of("colours")
    assert models.key_of("colours") == before
    shutil.copy(folder / "marks.keras", tmp_path / "colours.keras")
    assert models.key_of("colours") != before
    with pytest.raises(FcnError, match="Load the page again"):
        Predictors(1).load(before)
    before = models.key_of("colours")
    (tmp_path / "colours.txt").write_text("a\nred\nc\n", encoding="utf-8")
    assert models.key_of("colours") != before, "labels belong to a model"
    with pytest.raises(FcnError, match="Load the page again"):
        Predictors(1).load(before)
    assert models.ontology_of("colours").find("a").class_id == 0


CHOSEN = [
    ("a\nred\nc", "colours", "class-0", "colours", "class-1"),  # red, which is another class now
    ("a\nb\nc", "colours", "class-0", "colours", ""),
    (None, "colours", "class-0", LITE2, ""),
    ("remove", "colours", "class-0", LITE2, ""),
    ("remove", "colours", "", LITE2, ""),
]


@pytest.mark.parametrize(("labels", "model", "asked", "then", "synset"), CHOSEN)
def test_pages_follow_what_happens_to_the_folder(
    labels: str | None, model: str, asked: str, then: str, synset: str, folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for each in folder.glob("colours.*"):
        shutil.copy(each, tmp_path)
    monkeypatch.setenv("FCN_MODELS_DIR", str(tmp_path))
    page = ExplorePage()
    monkeypatch.setattr(session, "explore", lambda: page)
    page.choices.choose(model=model, synset=asked)
    session.start()
    compared = comparison.Comparison(model=model, synset=asked, other_model=model)
    many_asked = many.Asked(model=model, synsets=(asked,) if asked else ())
    if labels == "remove":
        (tmp_path / "colours.keras").unlink()
    elif labels is None:
        (tmp_path / "colours.txt").unlink()
    else:
        (tmp_path / "colours.txt").write_text(labels, encoding="utf-8")
    session.start()
    assert (page.choices.now.model, page.choices.now.synset) == (then, synset)
    assert ("is no longer there" in page.problem) == (then != model)
    assert session.selection().synset in session.selection().ontology
    kept = comparison.kept(compared)
    assert (kept.model, kept.other_model) == (then, model if then == model else "")
    assert all(wnid in kept.ontology for wnid in kept.wnids)
    there = many.kept(many_asked)
    assert there.model == then and all(wnid in there.ontology for wnid in there.synsets)


@pytest.mark.parametrize("allowed", ["0", "1"])
def test_a_visitor_adds_a_model_only_where_the_deployer_allows_it(
    allowed: str, models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FCN_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("FCN_ALLOW_MODELS", allowed)
    page = AppTest.from_file(str(APP), default_timeout=PATIENCE).run()
    page.switch_page("app/pages/models.py").run()
    assert [button.key for button in page.button if button.key == "add-model"] == ["add-model"] * int(allowed)
    if allowed == "0":
        return
    page.button("add-model").click().run()
    assert "Received none. Choose one" in page.error[0].value.replace("\\", "")
    data = (models_folder / "colours.keras").read_bytes()
    page.file_uploader("model-file").set_value(("Shades.keras", data, "application/octet-stream"))
    page.text_area("model-labels").set_value("red\ngreen\nblue")
    page.button("add-model").click().run()
    assert "<h3>shades</h3>" in text(page) and "shades is among the models" in page.success[0].value
    assert selection.read({"model": "shades", "synset": "blue"})[0].synset == "class-2"
