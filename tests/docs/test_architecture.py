"""The page on the architecture shows the house as it is."""

import ast
from itertools import groupby

import pytest

from tests.docs.pages import rows, section
from tests.places import ROOT
from tests.test_imports import APP_FLOORS, CORE_FLOORS, FILES, imports, room

PAGE = "docs/architecture.md"


def rooms_that(hold) -> set[str]:
    """Rooms, such as ``fcn_core.maps``, with a module for which `hold` is true; front doors left out."""
    found = {name for name in FILES if hold(name)}
    return {f"{name.partition('.')[0]}.{room(name)}" for name in found if room(name)}


def names_in(name: str) -> set[str]:
    """Names that a module mentions."""
    nodes = list(ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))))
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.attr for node in nodes if isinstance(node, ast.Attribute)
    }


def rooms_of(table: list[list[str]]) -> list[str]:
    return [row[0].strip("`") for row in table]


@pytest.mark.parametrize(
    ("title", "floors"),
    [("The rooms of `fcn_core`", CORE_FLOORS), ("The rooms of `app`", APP_FLOORS)],
    ids=["fcn_core", "app"],
)
def test_the_rooms_are_on_the_floors_that_the_imports_have(title, floors):
    table = rows(section(PAGE, title))
    shown = [
        sorted(row[1].strip("`").replace("__init__", "") for row in floor)
        for _, floor in groupby(table, key=lambda row: row[0])
    ]
    assert shown == [sorted(floor) for floor in reversed(floors)]
    assert [int(row[0]) for row in table] == sorted((int(row[0]) for row in table), reverse=True)
    assert {int(row[0]) for row in table} == set(range(1, len(floors) + 1))


def test_the_rooms_that_sum_over_a_synset_are_those_that_may():
    text = section(PAGE, "Where the synset's sum is computed")
    callers, knowing = text.split("These rooms know the synsets")
    assert set(rooms_of(rows(callers))) == rooms_that(lambda name: "synset_heatmap" in names_in(name))
    assert set(rooms_of(rows(knowing))) == rooms_that(
        lambda name: (
            any(m.startswith("fcn_core.synsets") for m in imports(FILES[name], types=True))
            or name.startswith("fcn_core.synsets")
        )
    )


def test_the_modules_that_bound_memory_are_there():
    modules = [path for row in rows(section(PAGE, "Memory")) for path in row[1].replace("`", "").split(", ")]
    assert modules
    for path in modules:
        assert (ROOT / path).is_file(), path


def test_the_glossary_is_in_order_and_explains_each_term_once():
    terms = [row[0] for row in rows(section(PAGE, "Glossary"))]
    assert terms == sorted(set(terms))
    for term in ("cell", "grid", "scale", "synset", "evidence", "fine map", "class map", "logit", "heatmap"):
        assert term in terms
