"""The figure of cells: what it shows adds up to what the network says."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import streamlit as st

from app.lesson import language
from app.lesson.cell_by_cell import figure, still
from app.lesson.cell_by_cell.numbers import Cells, apportion, strongest, thousandths
from app.lesson.experiments import softmax
from app.lesson.stage import NotReadyError
from app.state.queue.jobs import ModelKey
from app.state.queue.measurements import LastLayerOf
from fcn_core.engines.last_layer import LastLayer
from fcn_core.images.read import read_image
from fcn_core.images.scales import NOTEBOOK_SCALES, plan_scales
from fcn_core.maps.heatmap import ClassMap, synset_heatmap
from fcn_core.networks.geometry import CellGrid
from fcn_core.synsets.ontology import Ontology
from tests.places import ROOT


@pytest.fixture(scope="module")
def network(lite2: Any, chelsea: Any, resized: Any) -> Iterator[tuple[Cells, LastLayer]]:
    (plan,) = plan_scales(*chelsea.shape[:2], NOTEBOOK_SCALES[:1])
    image = resized(chelsea, plan.height, plan.width)
    class_map = ClassMap(lite2.logits(image), lite2.cells(plan.height, plan.width), plan, 0.0)
    ontology = Ontology.load()
    cells = Cells(class_map, tuple(ontology.class_ids(ontology.find("cat").wnid)))
    yield cells, lite2.last_layer(image, cells.classes)


def _disagreement(cells: Cells, last: LastLayer) -> float:
    """The largest difference, in thousandths, of a rest that is shown from the sum of all other products."""
    worst = 0.0
    for cell in cells.all:
        for class_id in cells.listed[cell]:
            found = cells.logit(last, cell, class_id)
            assert sum(found.products) + found.rest + found.bias == found.logit
            assert found.logit == thousandths(cells.class_map.logits[cell][class_id])
            shown = {term.channel for term in found.terms}
            others = [c for c in range(last.features.shape[-1]) if c not in shown]
            products = last.features[cell] * last.kernel[:, last.column(class_id)]
            worst = max(worst, abs(1000 * float(products[others].sum(dtype=np.float64)) - found.rest))
    return worst


def test_terms_rest_and_bias_are_the_logit(network: tuple[Cells, LastLayer]) -> None:
    cells, last = network
    limit = 0.5 * 7 + 0.1  # seven numbers are rounded
    assert _disagreement(cells, last) < limit
    turned = np.ascontiguousarray(last.features.transpose(1, 0, 2)).reshape(last.features.shape)
    for wrong in (
        replace(last, features=turned),
        replace(last, features=last.features[:, ::-1]),
        replace(last, kernel=np.roll(last.kernel, 1, axis=0)),
        replace(last, kernel=last.kernel[:, ::-1]),
        replace(last, bias=last.bias + 1),
    ):
        assert _disagreement(cells, wrong) > 100


def test_the_terms_are_the_largest(network: tuple[Cells, LastLayer]) -> None:
    cells, last = network
    class_id = cells.listed[cells.peak][0]
    found = cells.logit(last, cells.peak, class_id)
    products = last.features[cells.peak] * last.kernel[:, last.column(class_id)]
    sizes = [abs(term.product) for term in found.terms]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes == pytest.approx(sorted(np.abs(products).tolist(), reverse=True)[: len(sizes)])
    for term in found.terms:
        assert term.feature * term.weight == pytest.approx(term.product, rel=1e-5)


def test_the_sum_below_the_synset_is_the_heatmap(network: tuple[Cells, LastLayer]) -> None:
    cells, _ = network
    heat = synset_heatmap(cells.class_map, cells.class_ids).values
    for cell in cells.all:
        below = cells.sum_below(cell)
        assert sum(below.parts) + below.rest == below.total == thousandths(heat[cell])
        assert min(*below.parts, below.rest) >= 0
        assert set(below.classes) <= set(cells.class_ids)
        for class_id, part in zip(below.classes, below.parts, strict=True):
            assert abs(part - 1000 * cells.probabilities[cell][class_id]) <= 1


def test_the_first_cell_is_the_strongest(network: tuple[Cells, LastLayer]) -> None:
    cells, _ = network
    assert thousandths(cells.heat[cells.peak]) == thousandths(cells.heat.max())
    assert cells.listed[cells.peak][0] in cells.class_ids


def test_the_strongest_class_below_the_synset_is_always_listed() -> None:
    logits = np.arange(20.0)
    assert strongest(logits, (18, 3)) == (19, 18, 17, 16, 15)
    assert strongest(logits, (3, 7)) == (19, 18, 17, 16, 15, 7)


@pytest.mark.parametrize(
    ("shares", "total", "found"),
    [
        ([0.5, 0.5], 1000, [500, 500]),
        ([0.0006, 0.0006, 0.9988], 1000, [0, 1, 999]),
        ([0.3336, 0.3336, 0.3328], 1000, [334, 333, 333]),
        ([0.9999, 0.0001], 1000, [1000, 0]),
        ([0.5006, 0.0], 500, [500, 0]),
    ],
)
def test_shares_are_rounded_to_their_total(shares: list[float], total: int, found: list[int]) -> None:
    assert sum(found) == total
    assert sorted(apportion(shares, total)) == sorted(found)
    assert sum(apportion(shares, total)) == total


class _Page(SimpleNamespace):
    """As much of the lesson's stage as the figure reads."""


def _page() -> Any:
    ontology = Ontology.load()
    picture = read_image(ROOT / "assets" / "samples" / "dog.webp")  # of the samples one with much detail
    return _Page(
        picture=picture,
        source=SimpleNamespace(sha256="0" * 64),
        ontology=ontology,
        synset=ontology.find("cat").wnid,
        model=SimpleNamespace(name="efficientnet-lite2"),
    )


def _decoded(text: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


def test_the_browser_gets_every_number_once(
    network: tuple[Cells, LastLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figure, "current", lambda: "en")
    monkeypatch.setattr(figure, "words", dict)
    cells, last = network
    count = cells.heat.size
    field = softmax(np.random.default_rng(0).standard_normal((count, count)))
    sent = figure.payload(_page(), cells, last, field.reshape(*cells.grid, *cells.grid))
    assert len(json.dumps(sent)) < 200_000
    for number, cell in enumerate(cells.all):
        row, column = cell
        shown = sent["cells"][number]
        assert sent["heat"][number] == shown["total"] == thousandths(cells.heat[cell])
        assert sum(part for _, part in shown["parts"]) + shown["rest"] == shown["total"]
        assert [sent["names"][n] for n in shown["classes"]] == [
            cells.class_map.outputs.ontology.label(cells.class_map.outputs.ontology.classes[each])
            for each in cells.listed[cell]
        ]
        for n, terms, rest, logit in zip(
            shown["classes"], shown["terms"], shown["rests"], shown["logits"], strict=True
        ):
            assert sum(product for *_, product in terms) + rest + sent["biases"][n] == logit
            grey = _decoded(sent["maps"][n], *cells.grid)[row, column] / 255
            low, high = sent["spans"][n]
            assert low + grey * (high - low) == pytest.approx(logit, abs=(high - low) / 400)
            for channel, feature, weight, product in terms:
                assert feature * weight / 1e4 == pytest.approx(product, abs=2)
                seen = _decoded(sent["channels"][channel], *cells.grid)[row, column] / 255
                assert seen * sent["peaks"][channel] == pytest.approx(
                    feature, abs=sent["peaks"][channel] / 400
                )
        bright = _decoded(sent["field"]["bright"], count, count)[number] / 255
        np.testing.assert_allclose(bright**2, field[number] / field[number].max(), atol=0.01)
        assert sent["field"]["own"][number] == thousandths(field[number, number])
        largest = sorted(field[number].tolist(), reverse=True)
        half = sent["field"]["half"][number]
        assert sum(largest[:half]) >= 0.5 > sum(largest[: half - 1])


def test_the_field_may_come_later(network: tuple[Cells, LastLayer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure, "current", lambda: "fr")
    monkeypatch.setattr(figure, "words", dict)
    sent = figure.payload(_page(), *network, None)
    assert sent["field"] is None and sent["comma"]


@pytest.fixture
def drawn(network: tuple[Cells, LastLayer], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Draws the figure of a picture, and returns what the browser gets of it."""
    st.cache_resource.clear()
    sent: list[Any] = []
    monkeypatch.setattr(figure, "_component", lambda *, data, **_: sent.append(data[0]))
    monkeypatch.setattr(figure, "payload", lambda *arguments: {"of": arguments})
    monkeypatch.setattr(figure, "still", lambda *_: "")
    monkeypatch.setattr(figure, "_", str)
    monkeypatch.setattr(figure.frame, "wait_for", lambda _: None)

    def draw(
        sha256: str = "0",
        name: str = "efficientnet-lite2",
        word: str = "cat",
        spoken: str = "en",
        address: str = "dog",
        has_field: bool = True,
        large: bool = False,
    ) -> Any:
        def measured(_purpose: str, _source: Any, _plan: Any, what: Any) -> Any:
            if isinstance(what, LastLayerOf):
                return network[1]
            if not has_field:
                raise NotReadyError(0.5, "measuring")
            return np.zeros(1, np.float32)

        page = _page()
        page.source, page.model = SimpleNamespace(sha256=sha256, address=address), ModelKey(name, "openvino")
        page.synset, page.paper, page.say = page.ontology.find(word).wnid, [], lambda **_: None
        page.class_maps, page.measured = lambda *_: {"one": network[0].class_map}, measured
        monkeypatch.setattr(figure, "current", lambda: spoken)
        figure.draw(page, large=large)
        return sent[-1]

    yield draw
    st.cache_resource.clear()


@pytest.mark.parametrize(
    "other",
    [{"sha256": "1"}, {"name": "resnet50"}, {"word": "dog"}, {"spoken": "fr"}, {"large": True}, {"has_field": False}],
    ids=str,
)  # fmt: skip
def test_it_is_made_once_for_all_that_it_depends_on(drawn: Any, other: dict[str, Any]) -> None:
    """Also where another picture's numbers are in the same place in memory."""
    first = drawn()
    assert drawn() is first, "another session makes it again"
    assert drawn(**other) is not first
    assert drawn() is first


def test_that_of_ones_own_picture_is_not_kept_for_others(drawn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(figure.caches, "cells_of_own_picture", lambda key, make: kept.append(key) or make())
    drawn()
    assert not kept
    assert drawn(address="") is not drawn(address="")
    assert [key[0] for key in kept] == ["0", "0"]


def test_cells_and_classes_are_in_the_order_of_the_map(
    network: tuple[Cells, LastLayer],
) -> None:
    cells, _ = network
    rows, columns = cells.grid
    assert rows != columns, "else a grid that is turned would not be noticed"
    assert cells.all[columns] == (1, 0)
    turned = replace(
        cells.class_map,
        logits=cells.class_map.logits.transpose(1, 0, 2),
        cells=CellGrid(cells.class_map.cells.x, cells.class_map.cells.y),
    )
    other = Cells(turned, cells.class_ids)
    assert other.peak == cells.peak[::-1]


def test_on_paper_is_the_strongest_cell(
    network: tuple[Cells, LastLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (still, language):
        monkeypatch.setattr(
            module, "_" if module is still else "current", str.format if module is still else lambda: "fr"
        )
    cells, last = network
    found = cells.logit(last, cells.peak, cells.listed[cells.peak][0])
    html = still.still(_page(), cells, last, None)
    for product in (*found.products, found.rest, found.bias, found.logit):
        assert f"{product / 1000:.3f}".replace(".", ",").replace("-", "\N{MINUS SIGN}") in html
    assert f"row {cells.peak[0] + 1}, column {cells.peak[1] + 1}" in html
    assert "<rect x" in html and 'fill-opacity="0' not in html
    shares = np.full((*cells.grid, *cells.grid), 1 / cells.heat.size, np.float32)
    shaded = still.still(_page(), cells, last, shares)
    assert shaded.count("<rect") == html.count("<rect") + cells.heat.size
