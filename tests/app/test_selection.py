"""The address of the Explore page: written, read back, and read with invalid parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.state.address import UPLOAD
from app.state.queue.jobs import ModelKey
from app.state.samples import SAMPLES
from app.state.selection import Selection, default, read, write
from fcn_core.images.scales import Scale
from fcn_core.synsets.ontology import Ontology

CASES = [
    Selection(),
    Selection(picture="coffee", synset="n07920052", view="Heatmap", heatmap="Mean", threshold=0.25),
    Selection(
        scales=(Scale(200, 320), Scale(600, 960)), weights=(0.5, 2.0), power=0.35, snap=False, trace=True
    ),
    Selection(picture="https://example.org/a b.jpg?x=1&y=2", range="Per map", colours="magma", opacity=0.15),
    Selection(model="resnet50", stride="16", fit="Exact", map="Evidence", cells="Blocks", place="Even"),
    Selection(picture=""),
    Selection(cards="Plain", tab="Export", row=0, column=19),
    Selection(scales=()),
    Selection(how=True, tab="Mask"),
    Selection(how=True),
]


@pytest.mark.parametrize("selection", CASES)
def test_a_written_selection_is_read_back(selection: Selection) -> None:
    assert read(write(selection)) == (selection, ())


def test_the_old_name_of_the_export_tab_is_read() -> None:
    assert read({"tab": "Take it away"}) == (replace(default(), tab="Export", how=True), ())


@pytest.mark.parametrize(
    ("query", "how"),
    [
        ({"tab": "Mask"}, True),
        ({"tab": "Mask", "how": "false"}, False),
        ({"tab": "Mask", "how": "true"}, True),
        ({}, False),
    ],
)
def test_an_address_from_when_the_tabs_were_always_open_opens_them(query: dict[str, str], how: bool) -> None:
    assert read(query)[0].how is how


def test_an_uploaded_picture_is_marked() -> None:
    assert write(Selection(picture="")) == {"picture": UPLOAD}
    assert read({"picture": UPLOAD}) == (replace(default(), picture=""), ())
    assert UPLOAD not in SAMPLES


def test_the_default_is_an_empty_address() -> None:
    assert write(default()) == {}
    assert read({}) == (default(), ())


@pytest.mark.parametrize("wnid", [s.wnid for s in list(Ontology.load())[::97]])
def test_every_synset_survives_the_address(wnid: str) -> None:
    wnid = Ontology.load().collapse(wnid)
    assert read(write(Selection(synset=wnid)))[0].synset == wnid


@pytest.mark.parametrize(
    "query",
    [
        {"synset": "nosuchthing"},
        {"synset": "crane"},  # a bird, a machine: the address must say which
        {"scales": "1x1"},
        {"scales": "many"},
        {"opacity": "7"},
        {"opacity": "nan"},
        {"threshold": "-0.1"},
        {"weights": "1,x"},
        {"row": "-1"},
        {"view": "fine"},
        {"model": "alexnet"},
        {"picture": "../../etc/passwd"},
        {"snap": "maybe"},
        {"trace": "maybe"},
        {"bogus": "1"},
        {"<script>": "alert(1)"},
    ],
)
def test_invalid_parameters_are_reported(query: dict[str, str]) -> None:
    selection, ignored = read(query)
    assert selection == default()
    ((name, value),) = query.items()
    assert ignored == (f"{name}={value}",)


@pytest.mark.parametrize(("name", "other"), [("row", "column"), ("column", "row")])
def test_half_a_cell_is_reported(name: str, other: str) -> None:
    assert read({name: "3", "view": "Photo"}) == (
        replace(default(), view="Photo"),
        (f"{name}=3 without {other}",),
    )


def test_valid_parameters_beside_invalid_ones_are_kept() -> None:
    selection, ignored = read({"view": "Photo", "opacity": "x" * 100})
    assert selection == replace(default(), view="Photo")
    assert ignored == ("opacity=" + "x" * 40,)


def test_the_model_of_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FCN_MODEL", "efficientnet-lite0")
    assert default().model_key == ModelKey("efficientnet-lite0")
    assert write(default()) == {}
    assert write(Selection(model="efficientnet-lite2")) == {"model": "efficientnet-lite2"}
