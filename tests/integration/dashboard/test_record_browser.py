"""The record to show, from the button to the printed page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

FIRST = "next-step_words"  # the first check of 1.1


@pytest.mark.parametrize("path", ["lab", "voila/render/dashboard.ipynb"])
def test_the_button_saves_a_page_that_reads_and_prints_by_itself(
    lab: Any, browser: Any, open_page: Callable[..., Page], door: Callable[[Page], Any], tmp_path: Path, path: str
) -> None:
    lab.record(FIRST)
    page = open_page(path)
    inside = door(page)
    inside.get_by_label("Your name, if it is to stand there").fill("Ada Lovelace")
    lab.record("stale-answers_addresses")
    expect(inside.locator('[data-key="1.1"]')).to_contain_text("2 of 8 exercises")
    expect(inside.get_by_label("Your name, if it is to stand there")).to_have_value("Ada Lovelace")
    with page.expect_download() as download:
        inside.get_by_label("Your name, if it is to stand there").press("Enter")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    expect(inside.locator(".rdm-trouble")).to_contain_text(f"your browser saves it as {file.name}")

    context = browser.new_context(java_script_enabled=True, viewport={"width": 900, "height": 1200})
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    shown = context.new_page()
    shown.goto(file.as_uri())
    expect(shown.get_by_text("Ada Lovelace")).to_be_visible()
    expect(shown.get_by_text("Recorded by the learner’s own machine; not signed.")).to_be_visible()
    row = shown.get_by_role("row").filter(has_text="HTTP/HTTPS protocols")
    expect(row).to_contain_text("1 of 3 checks passed in 1 run")
    assert asked == [file.as_uri()]
    found = Axe().run(shown)
    assert found.violations_count == 0, found.generate_report()
    for width in (390, 900):
        shown.set_viewport_size({"width": width, "height": 900})
        assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert shown.pdf(format="A4").startswith(b"%PDF")
    shown.emulate_media(media="print")
    assert shown.locator("main").evaluate("el => getComputedStyle(el).boxShadow") == "none"
    context.close()
