"""axe-core finds nothing to object to: https://github.com/dequelabs/axe-core."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Frame, Page, expect

from roadmap_progress import catalog
from roadmap_progress.dashboard import page as html
from roadmap_progress.dashboard.session import Session
from roadmap_progress.model import Outcome

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

VOILA = "voila/render/dashboard.ipynb"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
Open = Callable[..., Page]
Door = Callable[[Page], Any]


def objections(frame: Frame | Page, within: str | None = None) -> list[str]:
    """What axe finds, a line each; in the whole document, or within an element of it."""
    frame.evaluate(Axe().axe_script)
    found = frame.evaluate(
        "([within, tags]) => axe.run(within ?? document, {runOnly: tags, resultTypes: ['violations']})",
        [within, TAGS],
    )
    assert found["testEngine"]["name"] == "axe-core"
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def frame_of(page: Page) -> Frame:
    """The document that the dashboard is in: the page's own, or that of a frame in JupyterLab."""
    return next((frame for frame in page.frames if "/voila/render/" in frame.url), page.main_frame)


def a_history(lab: Any) -> None:
    """Every state of an exercise and of a notebook that results can make."""
    roadmap = catalog.load(lab.root)
    for check in roadmap.find("1.2").checks:
        lab.record(check.id)
    first, second, third, *_ = roadmap.find("1.1").exercises
    lab.record(first.checks[0].id)
    lab.record(second.checks[0].id, Outcome.FAILED)
    lab.record(third.checks[0].id, Outcome.TIMED_OUT)


def all_states(frame: Frame, inside: Any) -> list[str]:
    """Walk through what the page can show, and let axe look at each."""
    found = objections(frame)
    for section in ("01-foundations", "08-testing"):
        inside.locator(f'.rdm-drawing:visible .rdm-sign[data-zoom="{section}"]').click()
        expect(inside.locator(".rdm-closeup:visible")).to_have_attribute("data-closeup", section)
        found += objections(frame, ".rdm-closeup")
        inside.get_by_role("button", name="Whole map").click()
    inside.locator(".rdm").evaluate("root => root.querySelectorAll('details').forEach(el => { el.open = true; })")
    return found + objections(frame)


# Each place in both themes, each width in one: a page is 40 s of a core.
@pytest.mark.parametrize(
    ("path", "width", "theme"),
    [("lab", 1280, "light"), ("lab", 700, "dark"), (VOILA, 1280, "dark"), (VOILA, 390, "light")],
)
def test_axe_objects_to_nothing(lab: Any, open_page: Open, door: Door, path: str, theme: str, width: int) -> None:
    a_history(lab)
    if path == "lab":
        lab.choose_theme(THEMES[theme])
    # Without motion: what is still flying in is half transparent, and axe takes colours as it sees them.
    options = {"color_scheme": theme, "reduced_motion": "reduce"}
    page = open_page(path, viewport={"width": width, "height": 900}, **options)
    inside = door(page)
    expect(inside.locator(".rdm")).to_have_attribute("data-theme", theme)
    assert all_states(frame_of(page), inside) == []


def test_nor_to_the_page_without_javascript(lab: Any, browser: Any) -> None:
    a_history(lab)
    session = Session(lab.root)
    session.refresh()
    page = browser.new_page()
    page.set_content(f'<html lang="en"><title>Course</title><main>{html.whole(session.parts())}</main>')
    session.close()
    assert objections(page) == []
    page.close()


def test_axe_would_object(browser: Any) -> None:
    page = browser.new_page()
    page.set_content(
        '<html lang="en"><title>x</title><main><h1>x</h1><p style="color:#aaa">pale</p><img src="x"></main>'
    )
    found = json.dumps(objections(page))
    assert "color-contrast" in found
    assert "image-alt" in found
    page.close()
