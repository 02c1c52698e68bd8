"""The points of the exercises, the score file, and the teacher's table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.lesson.exercises import score
from app.lesson.exercises.score import Attempt, Heading
from app.lesson.exercises.tasks import BY_NAME, EXERCISES
from fcn_core.errors import FcnError


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
