"""The page Many: up to fifty photos, one question, and a table of the answers."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import fcn_core as fcn
from app import streamlit_patches
from app.many import choices, downloads
from app.state import many
from app.state.many import MOST_PICTURES, Entry, ManyPage
from app.state.samples import SAMPLES
from app.streamlit_patches import DeletedFile
from fcn_core.batch.rows import COLUMNS, Row
from fcn_core.export import original
from tests.app.explore_page import APP, CAT, DOG, button, png, text
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.usefixtures("prepared_app")

SCALE = "200x320"
NOISE = np.random.default_rng(3).integers(0, 255, (120, 160, 3), dtype=np.uint8)


def sample(name: str) -> tuple[str, bytes, str]:
    path = SAMPLES[name].path
    assert path is not None
    return f"{name}.jpg", path.read_bytes(), "image/jpeg"


FILES = [
    sample("dog"),
    sample("coffee"),
    ("noise <i>.png", png(NOISE), "image/png"),
    ("a.txt", b"hello", "text/plain"),
]


def opened(**query: str) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=PATIENCE)
    page.switch_page("app/pages/many.py")
    for name, value in {"scales": SCALE, **query}.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception, page.exception
    return page


def record(page: AppTest) -> ManyPage:
    found: ManyPage = page.session_state["many"]
    return found


def done(page: AppTest) -> AppTest:
    """Run the page until all photos are looked at."""
    wait_until(lambda: page.run() and not record(page).waiting, lambda: text(page), pause=0.02)
    page.run()
    assert not page.exception, page.exception
    return page


def dropped(page: AppTest, files: list[Any] = FILES) -> AppTest:
    page.file_uploader(f"upload-many-{record(page).uploader}").set_value(files)
    return done(page)


def names(page: AppTest) -> list[str]:
    """The photos of the table, in order."""
    return [entry.name for entry in many.shown(record(page))]


@pytest.fixture(scope="module")
def _looked(prepared_app: None) -> AppTest:
    return dropped(opened())


@pytest.fixture
def looked(_looked: AppTest) -> Iterator[AppTest]:
    """A page on which everything has been looked at, with its choices as at first."""
    yield _looked
    record(_looked).choices.choose(order="As added", kind="All", find="")


def test_each_photo_has_a_row_with_what_is_in_it_or_why_it_was_not_opened(looked: AppTest) -> None:
    assert names(looked) == ["dog.jpg", "coffee.jpg", "noise <i>.png", "a.txt"]
    dog, coffee, noise, wrong = record(looked).entries.values()
    assert dog.found[0]["synset"] == "German shepherd" and dog.found[0]["presence"] > 0.9
    assert coffee.found and not noise.found and noise.rows[0]["wnid"] is None
    assert "Received a.txt: a file of an unknown kind" in wrong.error and not wrong.rows
    shown = text(looked)
    assert "<b>German shepherd</b> sure (" in shown and "nothing that it is sure of" in shown
    assert "noise &lt;i&gt;.png" in shown and "noise <i>" not in shown
    assert f"{dog.area:.0%} of the photo" in shown
    box = dog.found[0]["boxes"][0]
    assert f"{box['x0']}, {box['y0']}, {box['x1'] - box['x0']} × {box['y1'] - box['y0']}" in shown


def test_a_row_is_what_the_library_says(looked: AppTest, lite2: Any) -> None:
    image = fcn.read_image(sample("dog")[1], name="dog.jpg")
    analysis = fcn.analyse(image, "German shepherd", lite2, fcn.parse_scales(SCALE))
    dog, *_ = record(looked).entries.values()
    row = dog.found[0]
    assert row["synset"] == "German shepherd"
    assert row["presence"] == pytest.approx(analysis.presence, abs=1e-3)
    assert [(b["x0"], b["y0"], b["x1"], b["y1"]) for b in row["boxes"]] == [
        (b.x0, b.y0, b.x1, b.y1) for b in original.boxes(analysis)
    ]


def test_nothing_large_is_kept(looked: AppTest) -> None:
    for entry in record(looked).entries.values():
        assert entry.picture is None and entry.job is None
        assert len(entry.thumbnail) < 20_000 and len(json.dumps(entry.rows)) < 200_000


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        ({"kind": "Found"}, ["dog.jpg", "coffee.jpg"]),
        ({"kind": "Not found"}, ["noise <i>.png"]),
        ({"kind": "Not opened"}, ["a.txt"]),
        ({"find": "SHEPHERD"}, ["dog.jpg"]),
        ({"find": "noise"}, ["noise <i>.png"]),
        ({"find": "zebra"}, []),
        ({"order": "Name"}, ["a.txt", "coffee.jpg", "dog.jpg", "noise <i>.png"]),
        ({"order": "Area"}, ["dog.jpg", "coffee.jpg", "noise <i>.png", "a.txt"]),
        ({"order": "Presence", "kind": "Found"}, ["dog.jpg", "coffee.jpg"]),
    ],
)
def test_the_table_is_filtered_and_sorted(looked: AppTest, chosen: dict[str, Any], shown: list[str]) -> None:
    page = record(looked)
    page.choices.choose(**chosen)
    if chosen.get("order") in ("Area", "Presence"):
        value: Callable[[Entry], float] = (
            (lambda e: e.area) if chosen["order"] == "Area" else (lambda e: e.found[0]["presence"])
        )
        found = [entry for entry in many.shown(page) if entry.found]
        assert [value(e) for e in found] == sorted((value(e) for e in found), reverse=True)
        assert {*names(looked)} == {*shown}
        return
    assert names(looked) == shown
    looked.run()
    assert ("No photo is like that" in text(looked)) == (not shown)


def test_several_words_are_answered_for_each_photo() -> None:
    page = opened(synsets="dog,coffee,quux")
    assert [toast.value.replace("\\", "") for toast in page.toast] == ["Ignored in the address: synsets=quux"]
    dropped(page, FILES[:2])
    dog, coffee = record(page).entries.values()
    assert [row["synset"] for row in dog.rows] == ["dog", "coffee"]
    assert [row["present"] for row in dog.rows] == [True, False]
    assert [row["present"] for row in coffee.rows] == [False, True]
    assert "In which of these photos is there dog and coffee?" in text(page)
    assert "no coffee (" in text(page) and "<b>dog</b> sure (" in text(page)

    button(page, f"many-drop-{DOG}").click()  # a changed question is asked of all photos anew
    done(page)
    assert [[row["synset"] for row in entry.rows] for entry in record(page).entries.values()] == [
        ["coffee"]
    ] * 2


@pytest.mark.parametrize(
    ("query", "synsets", "ignored"),
    [
        ({"synsets": "dog"}, (DOG,), ()),
        ({"synsets": "cat,dog,cats"}, (CAT, DOG), ()),
        ({"synsets": "dog,quux"}, (DOG,), ("synsets=quux",)),
        ({"synsets": ","}, (), ("synsets=,",)),
        ({"synsets": "a,b,c,d,e,f,g,h,i"}, (), ("synsets=a,b,c,d,e,f,g,h,i",)),
        ({"find": "x\n"}, (), ("find=x\n",)),
        ({"order": "Name", "kind": "Found", "find": "a, b"}, (), ()),
    ],
)
def test_the_address_keeps_the_question(
    query: dict[str, str], synsets: tuple[str, ...], ignored: tuple[str, ...]
) -> None:
    asked, invalid = many.read(query)
    assert (asked.synsets, invalid) == (synsets, ignored)
    assert many.read(many.write(asked)) == (asked, ())


def test_one_photo_of_all_users_is_decoded_at_a_time() -> None:
    page = opened()
    with many._decoding:
        page.file_uploader("upload-many-0").set_value(FILES[:1])
        page.run().run()
        assert [(entry.picture, entry.finished) for entry in record(page).entries.values()] == [(None, False)]
    assert done(page) and names(page) == ["dog.jpg"]


def test_what_was_stopped_goes_on_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened()
    with monkeypatch.context() as held:
        held.setattr(many, "advance", lambda _page: None)
        page.file_uploader("upload-many-0").set_value(FILES[:1])
        page.run()
        button(page, "many-stop").click().run()
    page.run().run()
    assert record(page).waiting and "many-stop" not in [b.key for b in page.button]
    button(page, "many-resume").click()
    assert done(page) and record(page).entries


def test_a_photo_whose_file_is_gone_is_not_opened_and_the_table_stays() -> None:
    page = dropped(opened(), FILES[2:3])
    (entry,) = record(page).entries.values()
    entry.file.delete()
    button(page, f"many-open-{entry.id}").click().run()
    assert "it was deleted, by you or to make room" in page.error[0].value.replace("\\", "")
    assert names(page) == ["noise <i>.png"] and "<h2>noise" in text(page)


def test_a_photo_and_all_photos_can_be_removed() -> None:
    page = dropped(opened(), FILES[2:])
    first, second = record(page).entries
    button(page, f"many-remove-{first}").click().run()
    assert list(record(page).entries) == [second], "though the browser still lists its file"
    file = record(page).entries[second].file
    assert file.is_there
    button(page, "many-clear").click().run()
    assert not record(page).entries and "waiting" not in text(page)
    assert not file.is_there
    assert len(dropped(page, FILES[2:3]).file_uploader) == 1 and names(page) == ["noise <i>.png"]


def test_more_photos_than_the_page_takes_and_those_that_were_evicted_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = opened()
    few = [(f"{n}.txt", b"x", "text/plain") for n in range(MOST_PICTURES + 2)]
    dropped(page, few)
    assert len(record(page).entries) == MOST_PICTURES
    assert "Received 2 more" in " ".join(error.value.replace("\\", "") for error in page.error)
    assert all(entry.file.is_there for entry in record(page).entries.values()), "what was taken stays"
    files = next(iter(record(page).entries.values())).file
    assert len(files.store.get_files(files.session, list(record(page).gone))) == 0, "the others are deleted"

    remembered, kept = ManyPage(), {"upload-many-0": [DeletedFile("evicted")]}
    monkeypatch.setattr(choices, "st", SimpleNamespace(session_state=kept))
    for _ in range(2):  # it is counted once
        choices.take_files(remembered)
    assert remembered.lost == 1 and not remembered.entries


# Files


@pytest.fixture(scope="module")
def rows(_looked: AppTest) -> list[Row]:
    return downloads.rows_of(list(record(_looked).entries.values()))


def test_csv_opens_in_a_spreadsheet_and_runs_nothing(rows: list[Row]) -> None:
    formula = rows[0] | {"path": "=1+1.jpg", "error": "@x"}
    table = list(csv.DictReader(io.StringIO(downloads.table_csv([*rows, formula]).decode("utf-8-sig"))))
    assert table[0]["path"] == "dog.jpg" and table[0]["synset"] == "German shepherd"
    assert json.loads(table[0]["boxes"]) == rows[0]["boxes"]
    assert table[-1]["path"] == "'=1+1.jpg" and table[-1]["error"] == "'@x"
    assert [row["path"] for row in table if row["error"]] == ["a.txt", "'=1+1.jpg"]


def test_parquet_has_the_columns_of_a_batch(rows: list[Row]) -> None:
    table = pq.read_table(io.BytesIO(downloads.table_parquet(rows)))
    assert table.column_names == list(COLUMNS) and table.num_rows == len(rows)
    assert table.to_pylist()[0]["mask"] == rows[0]["mask"]


def test_coco_has_the_photos_that_were_opened(rows: list[Row]) -> None:
    data = json.loads(downloads.coco(rows, "imagenet"))
    assert [image["file_name"] for image in data["images"]] == ["dog.jpg", "coffee.jpg", "noise <i>.png"]
    boxes = [[b["x0"], b["y0"], b["x1"] - b["x0"], b["y1"] - b["y0"]] for b in rows[0]["boxes"]]
    assert [each["bbox"] for each in data["annotations"] if each["image_id"] == 1][: len(boxes)] == boxes


def test_masks_are_as_large_as_their_photos(rows: list[Row]) -> None:
    with zipfile.ZipFile(io.BytesIO(downloads.masks_zip(rows))) as archive:
        assert len(archive.namelist()) == sum(row["mask"] is not None for row in rows)
        first = archive.namelist()[0]
        assert first == "001 dog.jpg German shepherd.png" and Path(first).name == first
        mask = np.array(Image.open(archive.open(first)))
    assert mask.shape == (rows[0]["height"], rows[0]["width"])
    assert {*np.unique(mask)} == {0, 255} and (mask > 0).sum() == rows[0]["area"]


def test_photos_of_one_name_are_told_apart() -> None:
    twice = [Entry("1", "a.jpg", None, error="no"), Entry("2", "a.jpg", None, error="no")]  # type: ignore[arg-type]
    assert [row["path"] for row in downloads.rows_of(twice)] == ["a.jpg", "a.jpg (2)"]


def test_what_is_said_of_an_unknown_word_goes_with_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened()
    unknown = "zzgluk is no word that it knows"

    def typed() -> None:
        field = next(each for each in page.text_input if each.key.startswith("many-synset-pick"))
        field.set_value("zzgluk").run()
        assert unknown in text(page)

    typed()
    page.run()
    assert unknown in text(page)
    with monkeypatch.context() as patch:
        patch.setattr(streamlit_patches, "is_history_navigation", lambda: True)
        page.run()
    assert unknown not in text(page)
    typed()
    page.switch_page("app/pages/models.py").run()
    page.switch_page("app/pages/many.py").run()
    assert unknown not in text(page)
    assert not page.exception
