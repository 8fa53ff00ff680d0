"""From the dashboard to graded feedback: what a learner and an instructor do on one day, with section 1 itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from roadmap_progress import catalog, notebooks
from roadmap_progress.dashboard import view
from roadmap_progress.processes import wait_until

REPOSITORY = Path(__file__).parents[3]
SECTION, STEM = "01-foundations", "1.1-internet-fundamentals"
EXERCISE = "next-step"
WRONG = 'def next_step(method: str, status: int) -> str:\n    return "done"'
LEFT_OUT = (".git", ".venv", "work", "classroom", ".*_cache", "__pycache__", "tests", ".cache", ".hypothesis")


def solution(grade_id: str) -> str:
    """The model answer, without the markers around it."""
    source = notebooks.read(REPOSITORY / "solutions" / SECTION / f"{STEM}.ipynb")
    lines = notebooks.cells_by_grade_id(source)[grade_id].source.splitlines()
    return "\n".join(line for line in lines if "### BEGIN" not in line and "### END" not in line)


def cell(page: Page, text: str) -> Locator:
    """The code cell of the notebook in front that holds this text.

    By its place: the editor takes lines that are scrolled out of view from the page, and with them the text.
    """
    found = page.locator(".jp-NotebookPanel:visible .jp-CodeCell", has_text=text).first
    found.scroll_into_view_if_needed()
    place = found.get_attribute("data-windowed-list-index")
    return page.locator(f'.jp-NotebookPanel:visible .jp-CodeCell[data-windowed-list-index="{place}"]')


def run_cell(page: Page, found: Locator, source: str | None = None) -> None:
    """Run a cell, with other text in it where some is given, and wait until the kernel is done with it."""
    found.locator(".cm-content").first.click()
    if source is not None:
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(source)
    page.keyboard.press("Control+Enter")
    expect(found.locator(".jp-InputPrompt").first).to_have_text(re.compile(r"\[\d+\]:"))


@pytest.mark.browser
@pytest.mark.timeout(900)
def test_a_wrong_answer_a_message_the_right_one_and_the_dashboard_moves(
    lab: Any, open_page: Callable[..., Page], door: Callable[[Page], Any]
) -> None:
    notebook = catalog.load(lab.root).find("1.1")
    exercise = next(item for item in notebook.exercises if item.id == EXERCISE)
    page = open_page("lab")
    dashboard = door(page)
    card = dashboard.locator('[data-key="1.1"]')
    state = card.locator("> header .rdm-chip")
    expect(state).to_have_text("Ready")

    dashboard.locator('[data-key="next-exercises-1.1"]').click()
    expect(page.locator(".jp-NotebookPanel:visible .jp-CodeCell").first).to_be_visible()
    expect(page.locator("#jp-main-statusbar")).to_contain_text("Python 3 (ipykernel) | Idle")
    for number in range(1, 9):  # the setup cells, in order
        name = f"{notebook.slug}_setup-{number}"
        if name not in setup_cells():
            break
        run_cell(page, cell(page, setup_cells()[name]))

    checks = cell(page, "def decides(method")
    run_cell(page, checks)
    expect(checks.locator(".jp-OutputArea")).to_contain_text("Not attempted yet")

    answer = cell(page, "def next_step(method")
    run_cell(page, answer, WRONG)
    run_cell(page, checks)
    output = checks.locator(".jp-OutputArea")
    expect(output).to_contain_text("next_step(")
    first = output.inner_text().strip().splitlines()[0]
    assert "Traceback" not in first, "the message comes first, not the traceback"
    page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel").first.click()
    expect(state).to_have_text("Started")
    expect(card).to_contain_text(f"0 of {view.points(notebook.points)} points")
    expect(dashboard.locator(".rdm-why")).to_contain_text("does not pass yet: its message says what is missing")

    page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel").nth(1).click()
    run_cell(page, answer, solution(exercise.answers[0].id))
    run_cell(page, checks)
    page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel").first.click()
    expect(card).to_contain_text(f"{view.points(exercise.points)} of {view.points(notebook.points)} points")
    expect(dashboard.locator(".rdm-why")).to_contain_text("You are in the middle of it: 1 of")

    # What was typed is on the disk, where `nbgrader submit` takes it from.
    page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel").nth(1).click()
    page.keyboard.press("Control+S")
    copy = lab.root / "work" / SECTION / f"{STEM}.ipynb"
    assert wait_until(lambda: "give up" in copy.read_text(encoding="utf-8"), timeout_s=30)


def setup_cells() -> dict[str, str]:
    """The first line of code in each setup cell of the release that no other cell has, by grade id."""
    release = notebooks.read(REPOSITORY / "exercises" / SECTION / f"{STEM}.ipynb")
    sources = [item.source for item in release.cells]
    found = {}
    for name, item in notebooks.cells_by_grade_id(release).items():
        if "_setup-" in name:
            lines = [line for line in item.source.splitlines() if len(line) > 12]
            found[name] = next(line for line in lines if sum(line in source for source in sources) == 1)
    return found


@dataclass
class Person:
    """Somebody with a checkout of their own, and a terminal in it."""

    root: Path
    environment: dict[str, str]

    def run(self, *command: str) -> str:
        """Run a command in the checkout; returns what it printed."""
        program = Path(sys.executable).parent / command[0]
        done = subprocess.run(
            [str(program), *command[1:]],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def people(tmp_path: Path) -> tuple[Person, Person]:
    """An instructor with the whole course, and Ada with what a class gets."""
    instructor, student = tmp_path / "instructor" / "course", tmp_path / "ada" / "course"
    shutil.copytree(REPOSITORY, instructor, ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copytree(instructor, student, ignore=shutil.ignore_patterns("solutions", "content"))

    def environment(root: Path) -> dict[str, str]:
        return os.environ | {
            "HOME": str(root.parent),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "ROADMAP_EXCHANGE": str(tmp_path / "exchange"),
            "JUPYTER_DATA_DIR": str(root.parent / "data"),
        }

    (tmp_path / "exchange").mkdir(mode=0o777)
    (tmp_path / "exchange").chmod(0o777)
    return Person(instructor, environment(instructor)), Person(student, environment(student))


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_was_handed_in_is_graded_and_the_feedback_says_what_was_wrong(
    people: tuple[Person, Person], tmp_path: Path, browser: Any
) -> None:
    instructor, student = people
    (tmp_path / "roster.csv").write_text("id,first_name,last_name,email\nada,Ada,Lovelace,\n")
    instructor.run("roadmap", "classroom", "init", "--roster", str(tmp_path / "roster.csv"))
    instructor.run("nbgrader", "release_assignment", SECTION)

    student.run("nbgrader", "fetch_assignment", SECTION)
    copy = student.root / "work" / SECTION / f"{STEM}.ipynb"
    notebook = notebooks.read(copy)
    cells = notebooks.cells_by_grade_id(notebook)
    cells["next-step_answer"].source = solution("next-step_answer")
    cells["stale-answers_answer"].source = (
        "def possible_answers(history: list[tuple[int, int, str]], now: int) -> list[str]:\n"
        "    return [history[-1][2]]"
    )
    notebooks.write(notebook, copy)
    student.run("nbgrader", "submit", SECTION, "--student=ada")

    instructor.run("nbgrader", "collect", SECTION)
    instructor.run("nbgrader", "autograde", SECTION)
    instructor.run("nbgrader", "generate_feedback", SECTION)
    instructor.run("nbgrader", "release_feedback", SECTION)
    student.run("nbgrader", "fetch_feedback", SECTION)

    (feedback,) = (student.root / "work" / SECTION / "feedback").rglob(f"{STEM}.html")
    context = browser.new_context(viewport={"width": 1100, "height": 1400})
    context.route(lambda url: not url.startswith("file:"), lambda route: route.abort())
    page = context.new_page()
    page.goto(feedback.as_uri())
    worth = catalog.load(REPOSITORY).checks
    total = view.points(worth["next-step_words"].points)
    expect(page.locator("body")).to_contain_text(f"(Score: {float(total)} / {float(total)})")
    expect(page.locator("body")).to_contain_text("possible_answers(")
    expect(page.locator("body")).to_contain_text("No response.")
    assert "BEGIN HIDDEN TESTS" not in page.content()
    context.close()
