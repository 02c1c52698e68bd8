"""The Learn page without a browser: every step draws, its text is complete, and its checks pass."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.lesson import facts, pictures
from app.lesson.experiments import naive_softmax, polygon_mask, random_logits
from app.lesson.stage import Stage
from app.lesson.text import UNKNOWN, CheckBlock, Lesson, Question, read_lesson
from app.state import caches, proof, shared_queue
from app.state.queue.jobs import ModelKey
from fcn_core.engines.base import ModelInfo
from fcn_core.errors import FcnError
from fcn_core.maps.heatmap import place, synset_heatmap
from fcn_core.networks.zoo import find_weights, model_spec
from fcn_core.pipeline import interpret
from fcn_core.synsets.ontology import Ontology
from fcn_core.system import memory
from fcn_core.system.installed import versions
from tests.app.lesson.page import html_of, opened, settled, texts, widget
from tests.waiting import wait_until

LESSONS = read_lesson("en")

pytestmark = pytest.mark.skipif(
    find_weights(model_spec()) is None, reason="the built-in weights are not installed"
)


@pytest.fixture(scope="module")
def masks() -> AppTest:
    """The step about masks with the cat, to read only."""
    return opened(step="8", picture="cat")


def _maps(app: AppTest, purpose: str) -> Any:
    """The class maps from which a page draws: they were computed once, and the tests compute nothing twice."""
    return shared_queue.queue().look(app.session_state["lesson_state"].jobs[purpose][1]).class_maps


def _checks(app: AppTest) -> list[str]:
    return [each for each in texts(app) if "**Check" in each]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_step_draws_and_its_checks_pass(lesson: Lesson) -> None:
    app = opened(step=lesson.name)
    assert app.title[0].value == lesson.title
    for toggle in app.toggle:
        toggle.set_value(True)
    settled(app)
    wanted = [b.name for b in lesson.blocks if isinstance(b, CheckBlock) and b.name != "proof"]
    checks = [check for check in _checks(app) if "not run yet" not in check]
    assert len(checks) == len(wanted)
    assert all("Check passed" in check for check in checks), checks
    unfilled = [text for text in texts(app) if UNKNOWN in text and "not run yet" not in text]
    assert unfilled == []
    assert not any("{{" in text for text in texts(app))


def test_an_answer_is_judged_and_the_grid_follows_the_sliders() -> None:
    app = opened(step="1")
    question = next(b for b in LESSONS[0].blocks if isinstance(b, Question))
    app.radio[0].set_value(question.right)
    reveal = next(t for t in app.toggle if t.label == "Show the answer")
    reveal.set_value(True)
    settled(app)
    assert any("Correct" in text for text in texts(app))
    app.radio[0].set_value(0)
    widget(app, "Height, in pixels").set_value(33)
    widget(app, "Width, in pixels").set_value(32)
    settled(app)
    assert any("33 × 32 pixels give 2 × 1 cells" in text for text in texts(app))
    assert not any("Correct" in text for text in texts(app))
    assert any("7 × 10" in text and "arrow_forward" in text for text in texts(app))


@pytest.mark.parametrize("step", ["10", "", "²", "<script>"])
def test_an_unknown_step_shows_the_first_and_says_so(step: str) -> None:
    app = opened(step=step)
    assert app.title[0].value == LESSONS[0].title
    assert "This is the first step" in app.info[0].value


def test_the_glossary_is_a_page() -> None:
    app = opened(step="glossary")
    assert "Receptive field" in [each.value for each in app.header]


def test_the_plain_softmax_overflows_on_the_page() -> None:
    app = opened(step="3")
    assert any("fails in 0 of 120 cells, the stable one in 0" in text for text in texts(app))
    widget(app, "Multiply all logits by").set_value(1000)
    settled(app)
    broken = (~np.isfinite(naive_softmax(random_logits() * np.float32(1000))).all(axis=-1)).sum()
    assert broken > 100
    assert any(f"fails in {broken} of 120 cells, the stable one in 0" in text for text in texts(app))


def test_random_pixels_of_another_size_give_the_predicted_shape() -> None:
    app = opened(step="4")
    widget(app, "Height, in pixels").set_value(65)
    next(t for t in app.toggle if t.label.startswith("Run")).set_value(True)
    settled(app)
    assert any("shape (1, 3, 10, 1000)" in text for text in texts(app))
    assert all("Check passed" in check for check in _checks(app))


def test_the_effective_field_is_stated_as_measured(lite2: Any) -> None:
    app = opened(step="6", picture="cat")
    field = shared_queue.queue().field(ModelKey("efficientnet-lite2"), session="test").result(60)
    (said,) = [text for text in texts(app) if "Frames:" in text]
    assert f"{field.side} pixels a side around the cell" in said
    assert f"it takes {field.low} to {field.high}" in said
    assert f"which are {lite2.cells(413, 620).y.extent} pixels a side" in said
    assert any(f"up to {field.inward} pixels on average" in text.replace("\n", " ") for text in texts(app))


def test_the_synsets_below_are_listed_and_repetitions_are_counted() -> None:
    app = opened(step="5")
    down = next(p for p in app.button_group if p.label == "Below")
    corgi = next(o for o in down.options if "corgi" in str(o))
    assert "· 2" in str(getattr(corgi, "content", corgi))
    next(t for t in app.toggle if t.label == "Show the answer").set_value(True)
    (said,) = [text for text in texts(settled(app)) if "repetitions:" in text]
    assert (
        "The other 135 entries are repetitions: 131 classes listed 2 times and 2 classes listed 3 times."
        in (said.replace("\n", " "))
    )
    assert "even lists one class 5 times" in said.replace("\n", " ")


def test_the_mean_of_the_logits_is_stated_as_computed(
    masks: AppTest, lite2: Any, chelsea: Any, resized: Any
) -> None:
    logits = lite2.logits(resized(chelsea, 206, 310))
    (said,) = [text for text in texts(masks) if "nearly centred" in text]
    mean = f"{logits.mean():.2f}".replace("-", "\N{MINUS SIGN}")
    assert f"mean of {mean} on average" in said.replace("\n", " ")
    assert f"they spread by {logits.std(axis=-1).mean():.2f}" in said.replace("\n", " ")


@pytest.mark.parametrize(
    ("engine", "title"),
    [("openvino", "OpenVINO"), pytest.param("tensorflow", "TensorFlow", marks=pytest.mark.tensorflow)],
)
def test_the_handout_names_the_engine_that_ran(
    monkeypatch: pytest.MonkeyPatch, engine: str, title: str
) -> None:
    info = ModelInfo("efficientnet-lite2", "EfficientNet-Lite2", "imagenet", None, engine, 32)
    monkeypatch.setattr(shared_queue, "queue", lambda: SimpleNamespace(info=lambda _: info))
    said = facts.computed_with(Stage(ModelKey("efficientnet-lite2"), caches.sample("dog")))
    assert said.startswith(
        f"the network was run by {title} {versions()[engine]}; all other numbers were computed "
    )
    assert f"with NumPy {np.__version__}, " in said
    assert ("TensorFlow" in said) is (engine == "tensorflow")


def test_settings_persist_between_steps_and_on_the_page_of_all() -> None:
    app = opened(step="7")
    widget(app, "q").set_value(-1.0)
    settled(app)
    app.button("lesson-go-contents-8").click()
    settled(app)
    next(g for g in app.button_group if g.label == "Ground truth").set_value("box")
    settled(app)
    app.button("lesson-go-contents-7").click()
    assert widget(settled(app), "q").value == -1.0
    app.button("lesson-go-contents-all").click()
    settled(app)
    assert widget(app, "q").value == -1.0
    said = texts(app)
    assert any("the harmonic mean" in text for text in said)
    assert any("a box. It covers" in text for text in said)
    assert any("as you have set them" in text for text in said)


def test_a_box_can_be_the_ground_truth() -> None:
    app = opened(step="8", picture="cat")
    next(g for g in app.button_group if g.label == "Ground truth").set_value("box")
    settled(app)
    widget(app, "From left to right, in pixels").set_value((0, 451))
    widget(app, "From top to bottom, in pixels").set_value((0, 150))
    widget(app, "Threshold").set_value(0.0)
    settled(app)
    assert any("a box. It covers 50% of the picture" in text for text in texts(app))
    assert any("Threshold 0.00: IoU 0.50" in text for text in texts(app))


def _shown(app: AppTest) -> AppTest:
    for toggle in app.toggle:
        if toggle.label == "Show the answer":
            toggle.set_value(True)
    return settled(app)


@pytest.mark.parametrize(("picture", "synset"), [("dog", ""), ("hens", ""), ("dog", "n02106662")])
def test_the_question_of_the_sizes_is_answered_by_the_picture(lite2: Any, picture: str, synset: str) -> None:
    chosen = {"synset": synset} if synset else {}
    app = _shown(opened(step="6", picture=picture, **chosen))
    source = caches.sample(picture)
    ontology = Ontology.load()
    wnid = synset or pictures.first_synset(picture, ontology)
    maps = _maps(app, "pyramid")
    heatmaps = {key: synset_heatmap(m, ontology.class_ids(wnid)) for key, m in maps.items()}
    if synset:
        truth = interpret(source.working, maps, ontology[wnid], lite2.info, always_mark=True).mask
    else:
        size = source.working.height, source.working.width
        share = source.working.height / source.height
        scaled = [[(x * share, y * share) for x, y in each] for each in pictures.outlines()[picture]]
        truth = np.any([polygon_mask(each, *size) for each in scaled], axis=0)
    shares = {}
    for key, heatmap in heatmaps.items():
        spread = place(heatmap, *truth.shape).astype(float)
        shares[key] = spread[truth].sum() / spread.sum()
    best = max(shares, key=lambda key: shares[key]).replace("x", " × ")
    assert any(f"arrow_forward: **{best}**" in text for text in texts(app))
    (answer,) = [text.replace("\n", " ") for text in texts(app) if "the shares are" in text]
    for value in shares.values():
        assert f"{100 * value:.0f}%" in answer
    assert f"A map that knows nothing would have {100 * truth.mean():.0f}% there" in answer
    guess = "No outline was drawn for this picture"
    assert any(guess in text for text in texts(app)) is bool(synset)


def test_marking_everything_is_compared_with_the_programs_mask(masks: AppTest, lite2: Any) -> None:
    source, ontology = caches.sample("cat"), Ontology.load()
    cat = ontology.find("cat")
    mask = interpret(source.working, _maps(masks, "mean"), cat, lite2.info).mask
    (outline,) = pictures.outlines()["cat"]
    truth = polygon_mask(outline, *mask.shape)
    program = (mask & truth).sum() / (mask | truth).sum()
    (said,) = [text.replace("\n", " ") for text in texts(masks) if text.startswith("Marking everything")]
    assert f"Marking everything scores {truth.mean():.2f}. The program's own mask" in said
    assert f"scores {program:.2f}. Here that is better than every other row" in said


def test_a_word_of_ones_own_is_asked_everywhere() -> None:
    app = opened(step="9", picture="dog")
    field = next(each for each in app.text_input if each.label == "Look for")
    assert field.value == "dog"
    field.set_value("cat")
    _shown(settled(app))
    said = texts(app)
    assert any('The network looks for "cat": ' in text for text in said)
    assert any("arrow_forward: **No**" in text for text in said)
    assert any("which covers 0% of the picture" in text for text in said)
    app.button("lesson-go-contents-7").click()
    settled(app)
    assert any('Both means of "cat"' in text for text in texts(app))


def test_the_last_step_says_where_the_peak_is_highest(masks: AppTest) -> None:
    ontology, maps = Ontology.load(), _maps(masks, "mean")
    clear = {}
    for wnid in ("n02123045", "n02123159", "n02123394", "n02123597", "n02124075"):  # kinds of cats
        peaks = {key: synset_heatmap(m, ontology.class_ids(wnid)).peak for key, m in maps.items()}
        first, second = sorted(peaks, key=lambda key: -peaks[key])[:2]
        if peaks[first] > peaks[second] + 0.02:
            clear[ontology.collapse(wnid)] = first.replace("x", " × ")
    app = _shown(opened(step="9", picture="cat"))
    assert any("arrow_forward: **At more than one, equally**" in text for text in texts(app))
    wnid, size = next(iter(clear.items()))
    app.session_state["lesson_state"].choices.choose(synset=wnid)
    assert any(f"arrow_forward: **{size}**" in text for text in texts(settled(app)))


def test_the_proof_names_both_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        caches, "prove", lambda _: proof.ConversionProof(3e-6, 20.0, (1, 1), "OpenVINO", "TensorFlow")
    )
    app = opened(step="2")
    caches.proof_of.clear()
    app.button("lesson_prove").click()
    settled(app)
    caches.proof_of.clear()
    (check,) = [check for check in _checks(app) if "logarithms" in check]
    assert "Check passed" in check
    (caption,) = [text for text in texts(app) if "The converted network runs in" in text]
    assert "runs in OpenVINO at the classifier's own size" in caption
    assert "the answer of the classifier in TensorFlow" in caption.replace("\n", " ")


def test_without_memory_the_proof_is_refused_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(step="2")
    caches.proof_of.clear()  # proved already
    monkeypatch.setenv("FCN_MEMORY_MB", f"{memory.rss_mb() + 900:.0f}")
    app.button("lesson_prove").click()
    wait_until(lambda: 'class="lesson-wait"' not in html_of(app.run()), pause=0.1)
    assert not app.exception
    assert "Expected 1000 MB of free memory" in app.error[0].value


class _Child:
    """What a child process left behind."""

    def __init__(self, returncode: int, stdout: str = "", stderr: str = "") -> None:
        self.returncode, self.stdout, self.stderr = returncode, stdout, stderr


@pytest.mark.parametrize(
    ("child", "message"),
    [
        (_Child(2, stderr="note\nfcn_core: The classifier needs Keras.\n"), "^The classifier needs Keras.$"),
        (_Child(3, stderr="fcn_core: No weights.\n"), "^No weights.$"),
        (_Child(-9), "Received none: .*memory may be exhausted"),
        (_Child(70, stderr="fcn_core: a fault"), "Received none: .*memory may be exhausted"),
        (_Child(0, stdout="{}"), "Received none: .*memory may be exhausted"),
    ],
)
def test_a_proof_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, child: _Child, message: str) -> None:
    seen: list[dict[str, str]] = []
    monkeypatch.setattr(proof, "is_installed", lambda _: True)
    monkeypatch.setattr(subprocess, "run", lambda *_, env, **__: seen.append(env) or child)
    with pytest.raises(FcnError, match=message):
        proof.prove("efficientnet-lite0")
    assert seen[0]["KERAS_BACKEND"] == "tensorflow"
