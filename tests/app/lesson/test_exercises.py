"""The exercises: right answers, typical mistakes, points, the score file, and the page in both languages."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.lesson import choices, language
from app.lesson.exercises import answers, materials, of_maps, of_network, score
from app.lesson.exercises.exercise import Facts
from app.lesson.exercises.reading import read_numbers, read_order, read_shape, read_value
from app.lesson.exercises.score import Attempt, Heading
from app.lesson.exercises.tasks import BY_NAME, EXERCISES
from app.lesson.exercises.verdicts import Verdict
from app.lesson.text import LANGUAGES, UNKNOWN, Prose, Task, names_of, parse, read_exercises
from fcn_core.errors import FcnError
from fcn_core.networks.zoo import find_weights, model_spec
from fcn_core.synsets.ontology import Ontology
from tests.app.lesson.page import html_of, opened, settled, texts
from tests.maps.pictures import class_map

MAP = ((0.1, 0.2, 0.3), (0.1, 0.9, 0.2))
FACTS = Facts(
    1280, 224, 32, (450, 600), maps={"n1": MAP},
    candidates={"A": "mirrored", "B": "sum", "C": "rest", "D": "any"},
)  # fmt: skip

# Exercise, part, what is typed, words of the verdict ("Right." if it is right)
CASES = [
    ("kernel", "course", "(1, 1, 2048, 1000)", "Right."),
    ("kernel", "course", "1x1x2048x1000", "Right."),
    ("kernel", "course", " [1,1,2048, 1000 ] ", "Right."),
    ("kernel", "course", "1 × 1 × 2048 × 1000", "Right."),
    ("kernel", "course", "(2048, 1000)", "Dense kernel"),
    ("kernel", "course", "(1, 1, 1000, 2048)", "swapped"),
    ("kernel", "course", "(1000, 2048, 1, 1)", "PyTorch"),
    ("kernel", "course", "(1, 1, 1280, 1000)", "other network"),
    ("kernel", "course", "(1, 1, 2048)", "axis of the classes is missing"),
    ("kernel", "course", "(7, 7, 2048, 1000)", "whole map"),
    ("kernel", "course", "(1000,)", "bias"),
    ("kernel", "course", "(1, 2048, 1000)", "one axis is missing"),
    ("kernel", "course", "(1, 1, 2048, 1000, 1)", "Expected 4 numbers"),
    ("kernel", "course", "(1, 3, 2048, 999)", "width of the window, classes out"),
    ("kernel", "course", "2048 channels", "Write a shape"),
    ("kernel", "course", "", "Not answered yet."),
    ("kernel", "here", "(1, 1, 1280, 1000)", "Right."),
    ("kernel", "here", "(1, 1, 2048, 1000)", "other network"),
    ("kernel", "here", "(1, 7, 7, 1280)", "not of the weights"),
    ("gaps", "top", "False", "Right."),
    ("gaps", "top", "True", "places are gone"),
    ("gaps", "size", "(None, None, 3)", "Right."),
    ("gaps", "size", "[None,None,3]", "Right."),
    ("gaps", "size", "input_shape=(None, None, 3)", "Right."),
    ("gaps", "size", "(224, 224, 3)", "this one size only"),
    ("gaps", "size", "(None, None, None, 3)", "axis of the batch"),
    ("gaps", "size", "(3, None, None)", "last axis"),
    ("gaps", "size", "(None, None)", "colours is missing"),
    ("gaps", "size", "__import__('os').system('true')", "Write a whole number"),
    ("gaps", "filters", "1000", "Right."),
    ("gaps", "filters", "2048", "channels that come in"),
    ("gaps", "filters", "1000.0", "Write a whole number"),
    ("gaps", "window", "1", "Right."),
    ("gaps", "window", "(1, 1)", "Right."),
    ("gaps", "window", "kernel_size=1", "Right."),
    ("gaps", "window", "True", "Not yet."),
    ("gaps", "window", "3", "neighbouring cells"),
    ("gaps", "window", "7", "gives one cell"),
    ("gaps", "axis", "-1", "Right."),
    ("gaps", "axis", "3", "Right."),
    ("gaps", "axis", "1", "rows"),
    ("gaps", "axis", "4", "no such axis"),
    ("lines", "order", "F, C, E, A, D", "Right."),
    ("lines", "order", "eafcd", "Right."),
    ("lines", "order", "F > E > C > A > D", "Right."),
    ("lines", "order", "F, C, B, E, A, D", "Line B takes the average"),
    ("lines", "order", "C, F, E, A, D", "Line C uses `kernel`, but line F"),
    ("lines", "order", "F, C, A, E, D", "Line A uses `x`, but line E"),
    ("lines", "order", "F, E, A, D, C", "not have the shape"),
    ("lines", "order", "F, C, D, E, A", "no model yet"),
    ("lines", "order", "F, C, E, A", "random weights"),
    ("lines", "order", "E, A", "random weights"),
    ("lines", "order", "F, F, C", "twice"),
    ("lines", "order", "first F", "Write the letters"),
    ("shape", "asked", "(1, 19, 29, 1000)", "Right."),
    ("shape", "asked", "(1, 29, 19, 1000)", "height comes first"),
    ("shape", "asked", "(1, 18, 28, 1000)", "Rounded down"),
    ("shape", "asked", "(1, 19, 28, 1000)", "Rounded to the nearest"),
    ("shape", "asked", "(1, 28, 18, 1000)", "swapped, and rounded down"),
    ("shape", "asked", "(1, 19, 29)", "axis of the classes is missing"),
    ("shape", "asked", "(19, 29)", "of the pictures and of the classes"),
    ("shape", "asked", "(19, 29, 1000)", "axis of the pictures"),
    ("shape", "asked", "(1, 19, 29, 3)", "colours are gone"),
    ("shape", "asked", "(1, 19, 29, 1280)", "before the last layer"),
    ("shape", "asked", "(1, 1000, 19, 29)", "classes last"),
    ("shape", "asked", "(1, 1000)", "classifier's answer"),
    ("shape", "asked", "(1, 7, 7, 1000)", "own size"),
    ("shape", "asked", "(1, 600, 900, 1000)", "divide by the stride"),
    ("shape", "asked", "(1, 600, 900, 3)", "shape of the input"),
    ("shape", "asked", "(1, 20, 29, 1000)", "Look again at: rows"),
    ("shape", "own", "(1, 15, 19, 1000)", "Right."),
    ("shape", "own", "(1, 14, 18, 1000)", "Rounded down"),
    ("smaller", "side", "32", "Right."),
    ("smaller", "side", "1/32", "Right."),
    ("smaller", "side", "0,031", "Right."),
    ("smaller", "side", "5", "Each halving doubles"),
    ("smaller", "side", "10", "multiply"),
    ("smaller", "side", "1024", "one side"),
    ("smaller", "side", "224", "side of the classifier's input"),
    ("smaller", "side", "1/0", "not a number"),
    ("smaller", "area", "1024", "Right."),
    ("smaller", "area", "1 024", "Right."),
    ("smaller", "area", "1,024", "Right."),
    ("smaller", "area", "64", "not added"),
    ("smaller", "area", "32", "one side"),
    ("heat", "peak", "0,9", "Right."),
    ("heat", "peak", "90 %", "Right."),
    ("heat", "peak", "90", "from 0 to 1"),
    ("heat", "peak", "0.3", "a larger one"),
    ("heat", "peak", "0.300001", "Not yet."),
    ("heat", "row", "2", "Right."),
    ("heat", "row", "1", "Count from 1"),
    ("heat", "column", "2", "Right."),
    ("heat", "column", "1", "Count from 1"),
    ("which", "map", "B", "Right."),
    ("which", "map", "A", "mirrored"),
    ("which", "map", "C", "all other classes"),
    ("which", "map", "D", "any class"),
    ("means", "arithmetic", "0.46", "Right."),
    ("means", "arithmetic", "0,4625", "Right."),
    ("means", "arithmetic", "0.47", "Not yet."),
    ("means", "arithmetic", "1.85", "sum"),
    ("means", "arithmetic", "0.5", "median"),
    ("means", "arithmetic", "0.29", "geometric mean"),
    ("means", "geometric", "0,29", "Right."),
    ("means", "geometric", ".294", "Right."),
    ("means", "geometric", "0.4625", "arithmetic mean"),
    ("means", "geometric", "0.0864", "square root"),
    ("means", "geometric", "0.0075", "Take the root"),
    ("means", "geometric", "0", "only if one of the values"),
    ("means", "geometric", "zero", "not a number"),
    ("resized", "sizes", "200x320+400x640+800x1280", "Right."),
    ("resized", "sizes", "200x320+400x640+800x1280+1600x2560", "already"),
    ("resized", "sizes", "1600x2560", "other way round"),
    ("resized", "sizes", "200x320", "More of them"),
    ("resized", "factor", "7,14", "Right."),
    ("resized", "factor", "50/7", "Right."),
    ("resized", "factor", "0.14", "becomes larger"),
    ("resized", "factor", "8", "factor of the pictures"),
    ("resized", "factor", "43", "Divide instead"),
]  # fmt: skip


def said(verdict: Verdict) -> str:
    values = {name: ", ".join(v) if isinstance(v, tuple) else v for name, v in verdict.values.items()}
    return verdict.said.format(**values) if values else verdict.said


@pytest.mark.parametrize(("name", "part", "typed", "words"), CASES, ids=lambda each: str(each)[:30])
def test_answers_are_judged(name: str, part: str, typed: str, words: str) -> None:
    given = {part: typed} | ({"synset": "n1"} if name == "heat" else {})
    verdict = BY_NAME[name].verdicts(given, FACTS)[part]
    assert words in said(verdict)
    assert verdict.right is (words == "Right.")


def test_every_part_has_cases() -> None:
    parts = {(e.name, p.name) for e in EXERCISES for p in e.parts} - {("heat", "synset")}
    assert {(name, part) for name, part, _, words in CASES if words == "Right."} == parts
    assert {(name, part) for name, part, _, words in CASES if words not in ("Right.", "Not yet.")} == parts


def test_a_heatmap_must_be_chosen_first() -> None:
    found = BY_NAME["heat"].verdicts({"peak": "0.9", "row": "2", "column": "2"}, FACTS)
    assert {said(verdict) for verdict in found.values()} == {"Choose first what to look for."}


def test_row_and_column_are_of_the_same_peak() -> None:
    facts = Facts(1280, 224, 32, (64, 64), maps={"n1": ((0.5, 0.1), (0.1, 0.5))})
    found = BY_NAME["heat"].verdicts({"synset": "n1", "peak": "0.5", "row": "1", "column": "2"}, facts)
    assert "at once" in said(found["column"])
    swapped = Facts(1280, 224, 32, (64, 96), maps={"n1": (*MAP[:1], (0.1, 0.2, 0.95))})
    found = BY_NAME["heat"].verdicts({"synset": "n1", "peak": "0.95", "row": "3", "column": "2"}, swapped)
    assert "This is the column" in said(found["row"])
    assert "This is the row" in said(found["column"])


HOSTILE = [
    *(
        "9" * 10**5,
        "(" * 10**5,
        "9**9**9",
        "[" * 50,
        "{}",
        "lambda: 0",
        "nan",
        "inf",
        "1e999",
        "²",
        "٣",
        "0x10",
        "\0",
    ),
    *("1" * 59, "-" * 60, "None" * 15, "(1,)*9", "x=" * 30, "1/" * 30, ",", "()", "1,,2", "%"),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.name)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_nothing_that_is_typed_does_harm(exercise: Any, text: str) -> None:
    given = {part.name: text for part in exercise.parts}
    assert not any(v.right for v in exercise.verdicts(given, FACTS).values())
    for read in (read_numbers, read_shape, read_value, lambda typed: read_order(typed, "AB")):
        try:
            read(text)  # type: ignore[operator]
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,5", (1.5,)), ("1.5", (1.5,)), ("1 024,5", (1024.5,)), ("1\u202f024", (1024.0,)), ("\u22120.5", (-0.5,)),
        ("12%", (0.12,)), ("12,5 %", (0.125,)), ("1,024", (1.024, 1024.0)), ("1.024.000", (1024000.0, 1024000.0)),
        ("3 / 4", (0.75,)),
    ],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(text: str, numbers: tuple[float, ...]) -> None:
    assert read_numbers(text) == pytest.approx(numbers)


def test_the_lines_of_the_right_order_are_in_their_text() -> None:
    assert set(of_network.LINES) - {of_network.TOO_MUCH} == set("FCEAD")
    assert math.prod(of_maps.CELLS) ** 0.25 == pytest.approx(math.sqrt(0.9 * 0.8 * 0.6 * 0.2))


@pytest.mark.tensorflow
def test_the_code_of_the_exercises_builds_the_network() -> None:
    import keras

    from fcn_core.networks.layers import SoftmaxMap

    names: dict[str, Any] = {"keras": keras, "SoftmaxMap": SoftmaxMap}
    # ResNet50 with its published weights is not on every machine
    code = of_network.GAPS.replace("include_top=", "weights=None, include_top=")
    gaps = {"top": "False", "size": "(None, None, 3)", "filters": "1000", "window": "1", "axis": "-1"}
    exec(code.format(**gaps), names)  # noqa: S102
    assert names["model"].output_shape == (None, None, None, 1000)
    assert names["model"].get_layer("conv1000").kernel.shape == (1, 1, 2048, 1000)
    assert "Right." in said(BY_NAME["shape"].verdicts({"asked": "(1, 19, 29, 1000)"}, FACTS)["asked"])
    assert names["model"].compute_output_shape((1, *of_network.ASKED, 3)) == (1, 19, 29, 1000)
    names["features"] = keras.Model(names["base"].input, names["base"].output)
    names["classifier"] = keras.Sequential([keras.Input((2048,)), keras.layers.Dense(1000)])
    exec("\n".join(of_network.LINES[letter] for letter in "FCEAD"), names)  # noqa: S102
    kernel, _ = names["model"].get_layer("conv1000").get_weights()
    assert np.array_equal(kernel[0, 0], names["classifier"].get_weights()[0])


# Points and the score


def test_hints_cost_and_the_shown_answer_takes_the_points() -> None:
    attempt = Attempt()
    for hints, shown, points in ((0, False, 4), (1, False, 3), (2, False, 2), (0, True, 0), (2, True, 0)):
        helped = attempt.helped(hints, shown)
        assert helped.points == 0
        assert helped.tried({}, True, "dog", "m").points == points
    once = attempt.helped(1, False).helped(0, False)
    assert once.hints == 1, "to hide a hint does not bring the point back"
    solved = once.tried({"a": "wrong"}, False, "dog", "m").tried({"a": "right"}, True, "dog", "m")
    assert (solved.tries, solved.points) == (2, 3)
    after = solved.helped(2, True).tried({"a": "worse"}, False, "cat", "m")
    assert after == solved, "once solved, it stays so"


HEADING = Heading("Zoë =1+1", "fr", "dog", "efficientnet-lite2", "1.0.0", "2020-01-01T00:00:00+00:00")


def handed_in(**changes: Any) -> bytes:
    attempts = {e.name: Attempt() for e in EXERCISES}
    attempts["kernel"] = (
        Attempt().helped(1, False).tried({"course": "(1, 1, 2048, 1000)"}, True, "dog", "efficientnet-lite2")
    )
    content = json.loads(score.write(HEADING, attempts)) | changes
    return json.dumps(content, indent=changes.get("indent", 2)).encode()


def test_a_score_is_read_as_it_was_written() -> None:
    found = score.read(handed_in(), "zoe.json")
    assert found.unchanged
    row = found.row
    assert (row["name"], row["points"], row["of"], row["unchanged"]) == ("Zoë =1+1", 3, 36, "yes")
    assert (row["kernel"], row["gaps"]) == (3, 0)
    first = found.content["exercises"][0]
    assert (first["tries"], first["hints"], first["answer_shown"]) == (1, 1, False)
    assert first["answers"] == {"course": "(1, 1, 2048, 1000)"}
    assert found.content["program"] == "1.0.0"
    assert "no proof against cheating" in found.content["note"]


def test_a_change_is_told_and_mere_spaces_are_none() -> None:
    assert score.read(json.dumps(json.loads(handed_in())).encode(), "x").unchanged
    assert not score.read(handed_in(points=36), "x").unchanged
    assert score.read(handed_in(points=36), "x").row["unchanged"] == "NO"
    content = json.loads(handed_in())
    content["exercises"][1]["points"] = 4
    assert not score.read(json.dumps(content).encode(), "x").unchanged


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{}", b"[]", b"null", b"\xff", b"[" * 10**5, b"x" * 10**6),
        handed_in(kind="other"), handed_in(format=2), handed_in(exercises=[1]), handed_in(exercises=[{}]),
        handed_in(name=1), handed_in(written=None), handed_in(picture=["x"]), handed_in(model={}),
        *(handed_in(exercises=[{"exercise": "kernel", "points": wrong}]) for wrong in ("=1", 5, -1, True, 1.0, 10**9)),
        *(handed_in(exercises=[{"exercise": name, "points": 1}]) for name in ("=1", "unchanged", "name", "points", 1)),
        handed_in(exercises=[{"exercise": "kernel", "points": 1}] * 2),
        handed_in(exercises=[{"exercise": [], "points": 1}]),
    ],
    ids=lambda data: repr(data[:12]) + str(len(data)),
)  # fmt: skip
def test_what_is_no_score_is_refused(data: bytes) -> None:
    with pytest.raises(FcnError, match=r"Received 'bad\.json', which is none\. Leave it out\."):
        score.read(data, "bad.json")


def test_the_names_of_the_score_are_those_of_the_exercises() -> None:
    assert tuple(BY_NAME) == score.NAMES


def test_half_a_character_does_not_stop_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = json.loads('"Zo\\ud800"')
    path = tmp_path / "half.json"
    path.write_bytes(handed_in(name=half))
    assert score.main([str(path)]) == 0
    assert "Zo?,3,36," in capsys.readouterr().out
    assert "Zo?" in score.write(replace(HEADING, name=half), {}).encode().decode()


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got = []
    monkeypatch.setattr(score, "read", lambda data, path: got.append(len(data)))
    monkeypatch.setattr(score, "table", lambda *_: None)
    (tmp_path / "large.json").write_bytes(b" " * (score.MOST_BYTES * 3))
    score.main([str(tmp_path / "large.json")])
    assert got == [score.MOST_BYTES + 1]


def test_to_begin_again_keeps_the_price_of_help() -> None:
    first = Attempt().helped(1, False).tried({"a": "right"}, True, "dog", "m").again()
    assert (first.points, first.tries, first.solved, dict(first.answers)) == (0, 0, False, {})
    assert first.tried({}, True, "dog", "m").points == 3
    assert Attempt().helped(0, True).again().tried({}, True, "dog", "m").points == 0


def test_scores_become_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_bytes(handed_in())
    (tmp_path / "b.json").write_bytes(handed_in(name='=HYPERLINK("x")\n', points=36))
    (tmp_path / "c.json").write_bytes(b"no")
    files = [str(tmp_path / name) for name in ("a.json", "b.json", "c.json", "missing.json")]
    assert score.main(files) == 2
    out, err = capsys.readouterr()
    first, second, third = out.splitlines()
    assert first.startswith("name,points,of,written,picture,model,unchanged,kernel,gaps")
    assert second.startswith("Zoë =1+1,3,36,2020-01-01T00:00:00+00:00,dog,efficientnet-lite2,yes,3,0")
    assert third.startswith('"\'=HYPERLINK(""x"")",3,36,') and ",NO," in third
    assert len(err.splitlines()) == 2
    assert score.main(files[:1]) == 0


def test_the_table_is_made_without_the_app(fresh_python: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(handed_in())
    code = f"import sys; from app.lesson.exercises.score import main; main([{str(path)!r}]); "
    out = fresh_python(code + "print({'streamlit', 'numpy'} & set(sys.modules))").stdout
    assert "Zoë" in out
    assert out.endswith("set()\n")


# The choices and the text


def test_answers_and_hints_are_in_the_address() -> None:
    learner = answers.with_answer(choices.plain(), "kernel.course", " (1, 1; 2048,\n1000) ")
    learner = answers.with_answer(learner, "gaps.axis", "a:b")
    learner = answers.with_help(learner, "kernel", 2, True)
    query = choices.write(learner)
    assert query["typed"] == "kernel.course:(1, 1, 2048,1000);gaps.axis:a:b"
    assert query["helped"] == "kernel.2,kernel.answer"
    assert choices.read(query) == (learner, ())
    assert answers.hints_of(learner, "kernel") == 2
    assert answers.is_answer_shown(learner, "kernel")
    assert answers.answers_of(learner, BY_NAME["kernel"]) == {"course": "(1, 1, 2048,1000)", "here": ""}
    learner = answers.with_answer(answers.with_help(learner, "kernel", 0, False), "kernel.course", "")
    assert choices.write(learner) == {"typed": "gaps.axis:a:b"}
    long = answers.with_answer(choices.plain(), "lines.order", "A" * 500)
    assert choices.read(choices.write(long)) == (long, ())


@pytest.mark.parametrize(
    "number", ["9" * 5000, "0", "-1", "²", "٣", "", "1e3", "1_0"], ids=lambda text: text[:9]
)
def test_a_number_in_the_address_that_no_page_writes_counts_as_none(number: str) -> None:
    learner = replace(choices.plain(), answers=(f"order.{number}",), helped=(f"kernel.{number}",))
    assert choices.answer_of(learner, "order") is None
    assert answers.hints_of(learner, "kernel") == 0


@pytest.mark.parametrize("name", ["answers", "shown", "helped"])
def test_words_of_the_address_are_short(name: str) -> None:
    assert choices.read({name: "x" * 40})[1] == ()
    learner, ignored = choices.read({name: "a," + "x" * 41})
    assert (learner, len(ignored)) == (choices.plain(), 1)


@pytest.mark.parametrize(
    "typed", ["x" * 41 + ":a", "", "a", "a:", ":b", "a:b;", "a:b;a:c", "a:" + "x" * 61, "a:b\x00"]
)
def test_a_damaged_address_is_ignored(typed: str) -> None:
    learner, ignored = choices.read({"typed": typed})
    assert learner == choices.plain()
    assert len(ignored) == 1


def tasks(lang: str) -> list[Task]:
    return [block for block in read_exercises(lang).blocks if isinstance(block, Task)]


def test_every_exercise_has_its_text() -> None:
    assert [task.name for task in tasks("en")] == [each.name for each in EXERCISES]
    for task in tasks("en"):
        assert len(task.hints) == 2
        assert task.title and task.text and task.answer


@pytest.mark.parametrize("lang", [each for each in LANGUAGES if each != "en"])
def test_languages_have_the_same_exercises(lang: str) -> None:
    for english, other in zip(read_exercises("en").blocks, read_exercises(lang).blocks, strict=True):
        assert names_of(english) == names_of(other)
        if isinstance(english, Task) and isinstance(other, Task):
            assert (english.name, len(english.hints)) == (other.name, len(other.hints))
            assert english.title != other.title
        else:
            assert isinstance(other, Prose)
    labels = {said for name, part, typed, _ in CASES for said in (verdict_of(name, part, typed).said,)}
    assert labels - language.labels(lang).keys() == set()


def verdict_of(name: str, part: str, typed: str) -> Verdict:
    return BY_NAME[name].verdicts({part: typed, "synset": "n1"} | {part: typed}, FACTS)[part]


@pytest.mark.parametrize(
    "source",
    [
        "[[exercise x]]\n## T\ntext\n[[end]]",
        "[[exercise x]]\ntext\n[[answer]]\na\n[[end]]",
        "[[exercise]]\n## T\ntext\n[[answer]]\na\n[[end]]",
        "[[exercise x]]\n## T\ntext\n[[answer]]\na\n[[hint]]\nh\n[[end]]",
    ],
)
def test_an_exercise_that_is_not_complete_is_named(source: str) -> None:
    with pytest.raises(ValueError, match="Expected a name, a title"):
        parse(f"---\ntitle: t\nshort: s\ngoal: g\n---\n{source}\n")


def test_wrong_maps_look_different(lite2: Any, chelsea: Any, resized: Any) -> None:
    seen, ontology = class_map(lite2.logits(resized(chelsea, 400, 640))), Ontology.load()
    for word in ("cat", "vehicle"):
        maps = materials.candidate_maps(seen, ontology.class_ids(ontology.find(word).wnid))
        assert "sum" in maps
        assert len(maps) >= 2
        values = [each.values for each in maps.values()]
        for n, one in enumerate(values):
            assert all(np.abs(one - other).mean() > 0.05 for other in values[:n])


# The page

needs_weights = pytest.mark.skipif(
    find_weights(model_spec()) is None, reason="the built-in weights are not installed"
)


def _type(app: AppTest, label: str, text: str) -> None:
    next(each for each in app.text_input if each.label == label).set_value(text)


@needs_weights
@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_draws_all_exercises_with_their_answers(lang: str) -> None:
    shown = ",".join(f"{each.name}.2,{each.name}.answer" for each in EXERCISES)
    app = opened(step="exercises", lang=lang, helped=shown)
    titles = [each.value.partition("\u2002")[2] for each in app.header]
    assert titles[: len(EXERCISES)] == [task.title for task in tasks(lang)]
    assert [text for text in texts(app) if UNKNOWN in text or "{" in text] == []
    assert sum(":material/lightbulb:" in text for text in texts(app)) == 2 * len(EXERCISES)


@needs_weights
def test_points_are_given_and_survive_another_step() -> None:
    app = opened(step="exercises")
    _type(app, "Kernel for ResNet50", "(2048, 1000)")
    _type(app, "Kernel for EfficientNet-Lite2", "(1, 1, 1280, 1000)")
    app.button("lesson-check-kernel").click()
    settled(app)
    assert any("This is the Dense kernel" in text for text in texts(app))
    assert "kernel.course:(2048, 1000)" in str(app.query_params["typed"])
    app.button("lesson-hint-kernel").click()
    settled(app)
    _type(app, "Kernel for ResNet50", "(1, 1, 2048, 1000)")
    app.button("lesson-check-kernel").click()
    settled(app)
    assert any("Solved: 3 of 4 points" in text for text in texts(app))
    assert any("3 of 36 points" in text for text in texts(app))
    app.button("lesson-go-contents-1").click()
    settled(app)
    app.button("lesson-go-contents-exercises").click()
    settled(app)
    assert any("3 of 36 points" in text for text in texts(app))
    attempt = app.session_state["lesson_state"].attempts["kernel"]
    assert (attempt.tries, attempt.hints, attempt.picture) == (2, 1, "dog")
    app.button("lesson-begin-again").click()
    settled(app)
    assert any("0 of 36 points" in text for text in texts(app))
    assert "typed" not in app.query_params
    assert any("Worth 3 points" in text for text in texts(app)), "the hint was seen"


@needs_weights
def test_a_heatmap_of_the_learners_picture_is_judged() -> None:
    app = opened(step="exercises", picture="cat")
    (look,) = [each for each in app.selectbox if each.label == "What to look for"]
    assert "cat" not in look.options
    look.select_index(0)
    settled(app)
    state = app.session_state["lesson_state"]
    (wnid,) = [text for name, text in state.choices.now.typed if name == "heat.synset"]
    html = html_of(app)
    (table,) = re.findall(r"<table[^>]*>(?:(?!</table>).)*>row<.*?</table>", html, re.DOTALL)
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", line)[1:] for line in table.split("<tr>")[2:]]
    cells = np.array(rows, float)
    row, column = divmod(int(cells.argmax()), cells.shape[1])
    _type(app, "Peak", f"{cells.max():g}")
    _type(app, "Row of the peak", str(row + 1))
    _type(app, "Column of the peak", str(column + 1))
    app.button("lesson-check-heat").click()
    settled(app)
    label = Ontology.load().label(wnid)
    assert any("All right." in text for text in texts(app))
    assert any(f"For “{label}”, the peak is" in text for text in texts(app))
