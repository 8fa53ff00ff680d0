"""Section 1 as learners hand it in: right, half done and late, with known mistakes, and blank.

It is graded by `nbgrader autograde`, and by `roadmap grade`, with the same rows.
"""

from __future__ import annotations

import csv
import html
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from shop_course import rows as graded_rows

from roadmap_progress import catalog, notebooks
from roadmap_progress.authoring.exercises import read as read_source
from roadmap_progress.hidden import hidden_lines
from roadmap_progress.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(1200)]

REPOSITORY = Path(__file__).parents[3]
SECTION = "01-foundations"
MISTAKES = 1  # submissions, each with another known mistake in every exercise


@pytest.fixture
def checkout(course: Any) -> Any:
    """A fresh checkout of the course itself."""
    shutil.rmtree(course.root)
    course.root.mkdir()
    for name in ("course", "solutions", "exercises"):
        shutil.copytree(REPOSITORY / name, course.root / name)
    shutil.copy(REPOSITORY / "nbgrader_config.py", course.root)
    return course


def submissions(root: Path) -> Iterator[tuple[str, str, Any]]:
    """Student, notebook's stem, and the notebook as handed in."""
    roadmap = catalog.load(root)
    for about in roadmap.section(SECTION).notebooks:
        if about.status is not Status.READY:
            continue
        place = Path(SECTION) / f"{about.stem}.ipynb"
        solved = notebooks.cells_by_grade_id(notebooks.read(root / "solutions" / place))
        source = read_source(REPOSITORY / "content" / SECTION / f"{about.stem}.exercises.md")
        for student in ("right", "blank", "half", *(f"mistake-{number}" for number in range(1, MISTAKES + 1))):
            notebook = notebooks.read(root / "exercises" / place)
            cells = notebooks.cells_by_grade_id(notebook)
            if student != "blank":
                answers = [name for name, cell in cells.items() if cell.metadata.nbgrader.solution]
                for name, cell in cells.items():
                    if name in (answers[: len(answers) // 2] if student == "half" else answers):
                        lines = [line for line in solved[name].source.split("\n") if " SOLUTION" not in line]
                        cell.source = "\n".join(lines).rstrip()
            if student.startswith("mistake"):
                for exercise in source.exercises:
                    if exercise.mistakes:
                        mistake = exercise.mistakes[-int(student[-1])]  # the last ones get past visible checks
                        answers = {answer.name: answer for answer in exercise.answers}
                        answer = answers.get(mistake.replaces, exercise.answers[0])
                        cells[answer.grade_id].source = mistake.cell.text.strip()
            yield student, about.stem, notebook


def secrets(root: Path) -> set[str]:
    """Every line of a hidden part that learners do not have elsewhere."""
    found = set()
    public = "\n".join(
        cell.source
        for path in (root / "exercises" / SECTION).glob("*.ipynb")
        for cell in notebooks.read(path).cells
    )
    for path in (root / "solutions" / SECTION).glob("*.ipynb"):
        for cell in notebooks.read(path).cells:
            lines = cell.source.split("\n")
            found |= {lines[number - 1].strip() for number in hidden_lines(cell.source)}
    return {line for line in found if len(line) > 5 and line not in public}


def test_section_1_is_graded_and_no_feedback_shows_a_hidden_check(checkout: Any) -> None:
    root = checkout.root
    checkout.run("roadmap", "classroom", "init")
    for student, stem, notebook in submissions(root):
        folder = root / "classroom" / "submitted" / student / SECTION
        notebooks.write(notebook, folder / f"{stem}.ipynb")
        (folder / "timestamp.txt").write_text(f"2027-01-10 {'18' if student == 'half' else '12'}:00:00 UTC")
    checkout.run("nbgrader", "db", "assignment", "add", SECTION, "--duedate=2027-01-10 14:00:00 UTC")
    ours = shutil.copytree(root, root.parent / "ours")
    checkout.run("nbgrader", "autograde", SECTION)
    checkout.run("roadmap", "grade", SECTION, "--course-dir", str(ours))
    both = [graded_rows(place / "classroom", SECTION, "backend-roadmap") for place in (root, ours)]
    assert both[0] == both[1]
    assert ("half", 4 * 3600) in {(row[0], row[4]) for row in both[0] if row[1] == ""}
    checkout.run("roadmap", "classroom", "export", "--to", "grades.csv")
    with (root / "grades.csv").open(newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file) if row["assignment"] == SECTION}
    most = float(rows["right"]["max_score"])
    assert float(rows["right"]["raw_score"]) == most - float(rows["right"]["pending_points"])
    assert float(rows["blank"]["raw_score"]) == 0
    assert rows["blank"]["status"] == "final"
    assert 0 < float(rows["half"]["raw_score"]) < float(rows["right"]["raw_score"])
    for number in range(1, MISTAKES + 1):
        assert 0 <= float(rows[f"mistake-{number}"]["raw_score"]) < float(rows["right"]["raw_score"])

    checkout.run("nbgrader", "generate_feedback", SECTION)
    hidden = secrets(root)
    assert len(hidden) > 50
    pages = list((root / "classroom" / "feedback").rglob("*.html"))
    assert len(pages) == (3 + MISTAKES) * len(list((root / "solutions" / SECTION).glob("*.ipynb")))
    for page in pages:
        raw = page.read_text()
        text = html.unescape(re.sub(r"<[^>]+>", "", raw))
        assert not [line for line in hidden if line in text or line in raw], page
        name = page.parts[-3]
        assert ("Not attempted: 0 of" in text) == (name in ("blank", "half"))
        if name == "right":
            assert "did not pass" not in text
