"""A course of two notebooks that have everything nbgrader knows, and submissions of it in all variations."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
CONFIG = """
c = get_config()
c.CourseDirectory.course_id = "shop"
c.CourseDirectory.root = {root!r}
"""


def marked(cell: nbformat.NotebookNode, name: str, **about: object) -> nbformat.NotebookNode:
    """The cell with nbgrader's metadata."""
    about = {"grade": False, "solution": False, "locked": True, "task": False, "schema_version": 3, **about}
    cell.metadata["nbgrader"] = {"grade_id": name, **about}
    return cell


def first() -> nbformat.NotebookNode:
    """A notebook that has everything nbgrader knows."""
    answer = {"solution": True, "locked": False}
    return new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        cells=[
            marked(new_code_cell("import warnings\nrates = {'book': 7}\ncart = []"), "setup"),
            marked(new_code_cell("def vat(kind, cents):\n    ### BEGIN SOLUTION\n    return cents * rates[kind] // 100\n    ### END SOLUTION"), "vat", **answer),
            marked(new_code_cell("assert vat('book', 100) == 7"), "vat-1", grade=True, points=2),
            marked(new_code_cell("### BEGIN HIDDEN TESTS\nassert vat('book', 1000) == 70\n### END HIDDEN TESTS"), "vat-2", grade=True, points=3),
            marked(new_code_cell("### BEGIN SOLUTION\ncart.append('book')\nrates['toy'] = 19\n### END SOLUTION"), "state", **answer),
            marked(new_code_cell("assert cart == ['book'] and rates['toy'] == 19"), "state-1", grade=True, points=1),
            marked(new_code_cell("def tries():\n    ### BEGIN SOLUTION\n    return [1, 2, 3]\n    ### END SOLUTION"), "tries", **answer),
            marked(new_code_cell("points = 0\nfor one in (1, 2, 3):\n    if one in tries():\n        points += 1\npoints / 2"), "tries-1", grade=True, points=2),
            marked(new_code_cell("tries()\nwarnings.warn('careful')"), "noisy", grade=True, points=1),
            marked(new_code_cell("try:\n    vat('food', 1)\nexcept KeyError as error:\n    print(error)\nelse:\n    raise AssertionError('no KeyError')"), "error-1", grade=True, points=1),
            marked(new_markdown_cell("Why?\n### BEGIN SOLUTION\nBecause.\n### END SOLUTION"), "essay", grade=True, points=4, **answer),
            marked(new_code_cell("### BEGIN SOLUTION\nplot = 1\n### END SOLUTION"), "manual-code", grade=True, points=2, **answer),
            marked(new_markdown_cell("Describe your shop."), "task", task=True, points=2),
        ],
    )  # fmt: skip


def second() -> nbformat.NotebookNode:
    """A small one beside it, which reads a file that came with the assignment."""
    return new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        cells=[
            marked(new_code_cell("### BEGIN SOLUTION\nlines = open('titles.txt').read().split()\n### END SOLUTION"), "read", solution=True, locked=False),
            marked(new_code_cell("assert lines == ['Emma', 'Ulysses']"), "read-1", grade=True, points=1),
        ],
    )  # fmt: skip


VAT = {
    "right": "def vat(kind, cents):\n    return cents * rates[kind] // 100",
    "floats": "def vat(kind, cents):\n    return cents * rates[kind] / 100",
    "constant": "def vat(kind, cents):\n    return 7",
    "raises": "def vat(kind, cents):\n    raise RuntimeError('no')",
    "syntax": "def vat(kind, cents)\n    return 7",
    "blank": None,
    "missing name": "def value_added_tax(kind, cents):\n    return 7",
    "prints": "def vat(kind, cents):\n    print('hello')\n    return cents * rates[kind] // 100",
    "warns": "import sys\ndef vat(kind, cents):\n    print('hello', file=sys.stderr)\n    return cents * rates[kind] // 100",
}
STATE = {
    "right": "cart.append('book')\nrates['toy'] = 19",
    "rebound": "cart = ['book']\nrates = dict(rates, toy=19)",
    "half": "cart.append('book')",
    "blank": None,
}
TRIES = {
    "all": "def tries():\n    return [1, 2, 3]",
    "some": "def tries():\n    return [2]",
    "none": "def tries():\n    return []",
    "blank": None,
    "array": "import numpy as np\ndef tries():\n    return np.array([1, 2])",
}
READ = {
    "right": "lines = open('titles.txt').read().split()",
    "tampered": "open('titles.txt', 'w').write('Emma Ulysses')\nlines = open('titles.txt').read().split()",
    "blank": None,
}


def make_course(root: Path, *, students: int) -> Path:
    """A course with an assignment of two notebooks, and submissions in all variations."""
    (root / "source" / "ps1").mkdir(parents=True)
    (root / "nbgrader_config.py").write_text(CONFIG.format(root=str(root)), encoding="utf-8")
    nbformat.write(first(), root / "source" / "ps1" / "first.ipynb")
    nbformat.write(second(), root / "source" / "ps1" / "second.ipynb")
    (root / "source" / "ps1" / "titles.txt").write_text("Emma\nUlysses\n", encoding="utf-8")
    call(["nbgrader", "generate_assignment", "ps1"], root)
    call(["nbgrader", "db", "assignment", "add", "ps1", "--duedate=2027-01-30 15:00:00 UTC"], root)
    chance = random.Random(11)
    for number in range(students):
        folder = root / "submitted" / f"s{number:03}" / "ps1"
        folder.mkdir(parents=True)
        shutil.copy(root / "release" / "ps1" / "titles.txt", folder)
        # twelve submissions have every answer at least once
        answers = {"vat": list(VAT.values())[number % len(VAT)], "state": list(STATE.values())[number % len(STATE)],
                   "tries": list(TRIES.values())[number % len(TRIES)], "read": list(READ.values())[number % len(READ)],
                   "essay": chance.choice([None, "Since."]), "manual-code": chance.choice([None, "plot = 2"])}  # fmt: skip
        for name in ("first", "second"):
            if name == "second" and number % 7 == 3:
                continue
            notebook = nbformat.read(root / "release" / "ps1" / f"{name}.ipynb", 4)
            for cell in notebook.cells:
                if (text := answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"))) is not None:
                    cell.source = text
            notebook.cells.insert(2, new_code_cell("scratch = 1 + 1\nscratch"))
            nbformat.write(notebook, folder / f"{name}.ipynb")
        if number % 3:
            late = "2027-01-31 18:00:00 UTC" if number % 3 == 2 else "2027-01-30 10:00:00 UTC"
            (folder / "timestamp.txt").write_text(late, encoding="utf-8")
    return root


def call(command: list[str], cwd: Path, *, code: int | None = 0) -> str:
    """Run a program of the environment."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert code in (None, done.returncode), done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def copy_of(course: Path, target: Path) -> Path:
    """The course elsewhere, with its paths."""
    shutil.copytree(course, target)
    (target / "nbgrader_config.py").write_text(CONFIG.format(root=str(target)), encoding="utf-8")
    return target


def rows(folder: Path, assignment: str = "ps1", course: str = "shop") -> list[tuple[object, ...]]:
    """All that autograde decides, from the gradebook in a folder."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}", course) as gradebook:
        found: list[tuple[object, ...]] = []
        for one in gradebook.find_assignment(assignment).submissions:
            found.append(
                (one.student.id, "", "", one.timestamp, one.total_seconds_late, one.score, one.needs_manual_grade)
            )
            for notebook in one.notebooks:
                place = (one.student.id, notebook.name)
                found.append((*place, "", notebook.late_submission_penalty, notebook.score))
                found += [(*place, grade.name, grade.auto_score, grade.manual_score, grade.needs_manual_grade)
                          for grade in notebook.grades]  # fmt: skip
                found += [(*place, "comment", comment.name, comment.auto_comment) for comment in notebook.comments]
    return sorted(found, key=repr)
