"""Mine beside the solution, in the browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from roadmap_progress import catalog

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SECTION = "01-foundations"
REPOSITORY = Path(__file__).parents[3]
FIRST = "next-step_words"  # the first check of 1.1


@pytest.fixture
def solutions(lab: Any) -> Iterator[None]:
    """A learner's own checkout has the model answers."""
    shutil.copytree(REPOSITORY / "solutions" / SECTION, lab.root / "solutions" / SECTION)
    yield
    shutil.rmtree(lab.root / "solutions")


@pytest.mark.usefixtures("solutions")
def test_after_passing_mine_and_the_solution_stand_side_by_side(
    lab: Any, open_page: Callable[..., Page], door: Callable[[Page], Any]
) -> None:
    stem = catalog.load(lab.root).find("1.1").stem
    copy = lab.root / "work" / SECTION / f"{stem}.ipynb"
    copy.parent.mkdir(parents=True)
    shutil.copy2(lab.root / "exercises" / SECTION / f"{stem}.ipynb", copy)
    page = open_page("voila/render/dashboard.ipynb")
    inside = door(page)
    inside.locator('details[data-key="exercises-1.1"] > summary').click()
    button = inside.locator('[data-compare="next-step"]')
    expect(button).to_have_count(0)
    lab.record(FIRST)
    button.focus()
    page.keyboard.press("Enter")
    dialogue = inside.get_by_role("dialog")
    expect(dialogue).to_contain_text("What now?")
    left, right = dialogue.locator("td[data-only='mine']"), dialogue.locator("td[data-only='solution']")
    assert left.count() >= 1
    assert right.count() >= 3
    assert left.first.bounding_box()["x"] < right.first.bounding_box()["x"]
    expect(dialogue).not_to_contain_text("SOLUTION")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.keyboard.press("Escape")
    expect(dialogue).to_have_count(0)
    expect(button).to_be_focused()


@pytest.mark.usefixtures("solutions")
def test_the_solution_notebook_opens_as_a_tab_once_all_is_passed(
    lab: Any, open_page: Callable[..., Page], door: Callable[[Page], Any]
) -> None:
    notebook = catalog.load(lab.root).find("1.1")
    page = open_page("lab")
    inside = door(page)
    inside.locator('details[data-key="exercises-1.1"] > summary').click()
    button = inside.get_by_role("button", name="Open the solution notebook of 1.1")
    expect(button).to_have_count(0)
    for exercise in notebook.exercises:
        for check in exercise.checks:
            lab.record(check.id)
    button.click()
    expect(page.locator(".jp-NotebookPanel:visible")).to_contain_text("BEGIN SOLUTION")
    assert (lab.root / "work" / "solutions" / SECTION / f"{notebook.stem}.ipynb").exists()


def test_review_opens_the_exercise_alone_and_unanswered(
    lab: Any, open_page: Callable[..., Page], door: Callable[[Page], Any]
) -> None:
    lab.record(FIRST, days_ago=30)
    page = open_page("lab")
    door(page).locator('[data-review="next-step"]').click()
    panel = page.locator(".jp-NotebookPanel:visible")
    expect(panel).to_contain_text("Once more: What now?")
    stem = catalog.load(lab.root).find("1.1").stem
    assert (lab.root / "work" / "review" / SECTION / f"{stem}.next-step.ipynb").exists()
