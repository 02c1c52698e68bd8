"""Files are found in the installed package first, then beside a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from fcn_core.system import assets


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (("fcn_core/assets/words.json",), "fcn_core/assets/words.json"),
        (("assets/words.json",), "assets/words.json"),
        (("fcn_core/assets/words.json", "assets/words.json"), "fcn_core/assets/words.json"),
        (("fcn_core/assets/other.json", "assets/words.json"), "assets/words.json"),
    ],
)
def test_where_a_file_is_found(
    there: tuple[str, ...], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(assets, "package_folder", lambda: tmp_path / "fcn_core")
    assert assets.asset("words.json") == tmp_path / found


def test_a_missing_file_is_named_with_the_places_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "package_folder", lambda: tmp_path / "fcn_core")
    with pytest.raises(FileNotFoundError) as error:
        assets.asset("lesson/words.md")
    for place in (tmp_path / "fcn_core" / "assets", tmp_path / "assets"):
        assert str(place / "lesson" / "words.md") in str(error.value)
