"""Explore as its users meet it: the real page in Chromium."""

from __future__ import annotations

import io
import json
import re
import shlex
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import expect

from app.state.samples import SAMPLES
from fcn_core.cli.entry import main
from tests.browser.conftest import settle
from tests.browser.explore import (
    COFFEE,
    WHAT,
    Visit,
    asks,
    changed,
    large,
    named,
    source_of,
    steps,
    tab,
)

pytestmark = pytest.mark.browser


GIVE = """([type, name, kind, bytes]) => {
    const transfer = new DataTransfer()
    transfer.items.add(new File([new Uint8Array(bytes)], name, { type: kind }))
    const event = type === "paste" ? new ClipboardEvent(type, { clipboardData: transfer, bubbles: true })
        : new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true })
    document.querySelector("h1").dispatchEvent(event)
}"""


def test_any_file_can_be_uploaded_dropped_or_pasted_and_its_content_decides(
    visit: Visit, tmp_path: Path
) -> None:
    picture = Image.open(COFFEE)
    for name, kind in (
        ("coffee.jfif", "JPEG"),
        ("coffee.avif", "AVIF"),
        ("coffee.tif", "TIFF"),
        ("coffee", "PNG"),
    ):
        picture.save(tmp_path / name, kind)
    pillow_heif.from_pillow(picture).save(tmp_path / "coffee.heic", quality=80)
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7\n" + bytes(2000))
    page = visit("/?scales=200x320")
    with page.expect_file_chooser() as asked:
        page.locator(".st-key-upload button").first.click()
    assert asked.value.element.get_attribute("accept").startswith("image/*"), "pictures first"
    for name in ("coffee.jfif", "coffee.avif", "coffee.tif", "coffee", "coffee.heic"):
        page.locator('input[type="file"]').first.set_input_files(tmp_path / name)
        page.get_by_text(f"{name}, 600 × 400").wait_for()
    page.locator('input[type="file"]').first.set_input_files(tmp_path / "paper.jpg")
    page.get_by_text("Received paper.jpg: a PDF document").wait_for()
    for event, path in (("drop", COFFEE), ("paste", SAMPLES["rocket"].path)):
        kind = "image/png" if path.suffix == ".png" else "image/jpeg"
        page.evaluate(GIVE, [event, path.name, kind, list(path.read_bytes())])
        expect(page.locator(".st-key-about-picture")).to_contain_text(path.name)
        settle(page)


def test_add_a_scale_stop_and_resume(visit: Visit, hold: Path) -> None:
    page = visit("/?picture=rocket&scales=200x320&how=true")
    hold.touch()
    expect(page.locator(".fcn-card")).to_have_count(1)
    page.get_by_role("button", name="Scales and model").click()
    box = page.get_by_placeholder("Add another")
    box.fill("600x900")
    box.press("Enter")
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped after 1 of 2 scales").wait_for()
    waiting = page.locator(".fcn-card").filter(has_text="waiting")
    waiting.first.wait_for()
    assert set(waiting.locator("b").all_inner_texts()) == {"600 × 900"}
    page.get_by_role("button", name="Resume").click()
    page.locator(".st-key-progress").wait_for()
    hold.unlink()
    settle(page)
    expect(page.locator(".fcn-card").filter(has_text="600 × 900").locator("img")).to_have_count(1)
    expect(page).to_have_url(re.compile("scales=200x320%2C600x900"))


def test_another_picture_in_mid_run_never_shows_the_old_maps_as_its_own(visit: Visit, hold: Path) -> None:
    page = visit("/?picture=duck&scales=200x320&how=true")
    hold.touch()
    old = page.locator(".fcn-card img").first.get_attribute("src")
    page.get_by_role("button", name="Scales and model").click()
    page.get_by_text("800 × 1280").click()
    page.locator(".st-key-progress").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("radio", name="Motorcycle").click()
    page.locator(".st-key-about-picture").filter(has_text="Motorcycle").wait_for()
    page.wait_for_function(  # as soon as the page has been drawn anew
        """old => {
            const image = document.querySelector('.fcn-card img')
            return !image || image.getAttribute('src') !== old
        }""",
        arg=old,
    )
    hold.unlink()
    page.locator(".fcn-card img").first.wait_for()
    settle(page)
    assert "motorcycle" in " ".join(named(page))
    assert page.locator(".fcn-card img").first.get_attribute("src") != old


def rows_shown(page: Any) -> list[str]:
    """Return the values of the input of the row; a replaced one may stay for a moment beside the new one."""
    values: list[str] = page.get_by_label("Row", exact=True).evaluate_all(
        "fields => fields.map(f => f.value)"
    )
    return values


def test_the_pointer_tells_value_class_and_cell_and_a_click_inspects(visit: Visit) -> None:
    page = visit("/?picture=cat&synset=cat&view=Heatmap&tab=Inspect&scales=200x320,400x640")
    large(page).locator("img.over").wait_for()
    frame = large(page).bounding_box()
    page.mouse.move(frame["x"] + frame["width"] * 0.3, frame["y"] + frame["height"] * 0.4)
    tip = large(page).locator(".tip")
    tip.wait_for(state="visible")
    said = re.fullmatch(
        r".+: (\d\.\d{3})\. Strongest class here: (.+)\. Row (\d+), column (\d+)", tip.inner_text()
    )
    assert said, tip.inner_text()
    before = rows_shown(page)
    page.mouse.click(frame["x"] + frame["width"] * 0.3, frame["y"] + frame["height"] * 0.4)
    changed(page, rows_shown, before)
    expect(page.get_by_label("Row", exact=True)).to_have_count(1)
    expect(page.get_by_label("Row", exact=True)).to_have_value(said[3])
    expect(page.get_by_label("Column", exact=True)).to_have_value(said[4])
    expect(page.locator(".fcn-table").first).to_contain_text(said[2])  # the class at the finest scale
    expect(page.locator(".fcn-table").nth(1)).to_contain_text("entity")
    settle(page)
    large(page).press("ArrowDown")
    resting = {"clientX": frame["x"] + frame["width"] * 0.3, "clientY": frame["y"] + frame["height"] * 0.4}
    large(page).dispatch_event("pointermove", resting)  # as when the page moves below a pointer that rests
    large(page).press("Enter")
    changed(page, rows_shown, [said[3]])
    expect(page.get_by_label("Row", exact=True)).to_have_count(1)
    expect(page.get_by_label("Row", exact=True)).to_have_value(str(int(said[3]) + 1))
    settle(page)
    tab(page, "Mask")
    the_threshold_draws_the_mask_and_its_boxes(page)


def the_threshold_draws_the_mask_and_its_boxes(page: Any) -> None:
    """On the tab Mask: moved by keys, and given back to the program."""
    mask = page.locator('.fcn-figure img[alt^="Mask of"]')
    before = mask.get_attribute("alt")
    assert re.search(r"at threshold 0\.\d\d with [1-9]", before)
    handle = page.locator('[class*="st-key-threshold"] input[type="range"]')
    handle.focus()
    for _ in range(12):
        handle.press("ArrowRight")
    changed(page, lambda p: mask.get_attribute("alt"), before)
    expect(page).to_have_url(re.compile(r"threshold=0\."))
    page.get_by_role("button", name="Use the suggested threshold").click()
    changed(page, lambda p: "threshold" in p.url, True)
    expect(mask).to_have_attribute("alt", before)


def download(page: Any, label: str) -> tuple[str, bytes]:
    settle(page)  # a new run replaces the file
    with page.expect_download() as waiting:
        page.get_by_role("button", name=label, exact=True).click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def test_everything_can_be_taken_away_and_made_again(
    visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = visit("/?tab=Export&picture=coffee&scales=200x320,400x640")
    before = source_of(page)
    got = {
        label: download(page, label)
        for label in ("All files", "PNG", "The picture", "Maps, NPZ", "Manifest, JSON", "Boxes, COCO")
    }
    got |= {label: download(page, label) for label in ("Report, HTML", "Notebook")}
    names = [name for name, _ in got.values()]
    assert len(set(names)) == len(names)
    assert Image.open(io.BytesIO(got["PNG"][1])).size == (600, 400)
    assert got["The picture"][1] == COFFEE.read_bytes()
    manifest = json.loads(got["Manifest, JSON"][1])
    assert manifest["synset"]["wnid"] == "n07920052"
    coco = json.loads(got["Boxes, COCO"][1])
    assert len(coco["annotations"]) == len(manifest["boxes"])
    maps = np.load(io.BytesIO(got["Maps, NPZ"][1]))
    assert {"200x320", "400x640", "arithmetic", "geometric", "fine"} <= set(maps.files)
    with zipfile.ZipFile(io.BytesIO(got["All files"][1])) as archive:
        assert archive.testzip() is None
        assert {Path(n).name for n in archive.namelist()} >= {"manifest.json", "mask.png", "report.html"}

    report = tmp_path / "report.html"
    report.write_bytes(got["Report, HTML"][1])
    opened = page.context.new_page()
    opened.goto(report.as_uri())
    assert "espresso" in opened.locator("body").inner_text()
    assert opened.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")

    (tmp_path / "coffee.png").write_bytes(got["The picture"][1])
    command = page.locator("[data-testid=stCode]").first.inner_text()
    monkeypatch.chdir(tmp_path)
    assert command.split()[:3] == ["python", "-m", "fcn_core"]
    assert main(shlex.split(command)[3:]) == 0
    again = json.loads((tmp_path / "out" / "coffee" / "manifest.json").read_text(encoding="utf-8"))
    for key in ("boxes", "synset", "model", "map", "fit"):
        assert again[key] == manifest[key], key
    made = np.load(tmp_path / "out" / "coffee" / "maps.npz")
    for name in maps.files:
        np.testing.assert_allclose(made[name], maps[name], atol=1e-4, err_msg=name)

    import nbformat

    book = nbformat.reads(got["Notebook"][1].decode(), as_version=4)
    scope: dict[str, Any] = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            exec(cell.source, scope)  # noqa: S102
    np.testing.assert_allclose(scope["result"].fine, maps["fine"], atol=1e-4)
    scope["plt"].close("all")

    assert source_of(page) == before, "nothing of it changed the page"


def test_a_shared_address_restores_the_view(visit: Visit) -> None:
    page = visit("/?picture=coffee&scales=200x320,400x640&how=true")
    page.locator("[class*=st-key-view]").get_by_role("radio", name="Heatmap").click()
    large(page).locator("img.over").wait_for()
    settle(page)
    before = source_of(page)
    steps(page).first.click()
    changed(page, source_of, before)
    tab(page, "Mask")
    page.wait_for_url(re.compile("synset=.*tab=Mask"))
    shown, word = source_of(page), page.locator("h1").inner_text()
    page.get_by_role("button", name="Share").click()
    address = page.locator("[data-testid=stPopoverBody] code").first.inner_text()
    assert address == page.url
    other = visit(address)
    asks(other, word)
    assert source_of(other) == shown
    expect(other.get_by_role("tab", name="Mask")).to_have_attribute("aria-selected", "true")


def test_nonsense_in_the_address_is_ignored_with_a_word(visit: Visit) -> None:
    page = visit("/?view=Nonsense&opacity=9&synset=%3Cb%3Ex", wait=False)
    expect(page.locator('[data-testid="stToast"]')).to_contain_text("Ignored in the address")
    settle(page)
    asks(page, WHAT)
