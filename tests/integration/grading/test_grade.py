"""`roadmap grade` beside `nbgrader autograde`: the same rows in the gradebook, and nothing lost when it is killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
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
        answers = {"vat": list(VAT.values())[number % len(VAT)], "state": chance.choice(list(STATE.values())),
                   "tries": chance.choice(list(TRIES.values())), "read": chance.choice(list(READ.values())),
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


def call(command: list[str], cwd: Path, *, code: int = 0) -> str:
    """Run a program of the environment."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def copy_of(course: Path, target: Path) -> Path:
    """The course elsewhere, with its paths."""
    shutil.copytree(course, target)
    (target / "nbgrader_config.py").write_text(CONFIG.format(root=str(target)), encoding="utf-8")
    return target


def rows(root: Path) -> list[tuple[object, ...]]:
    """All that autograde decides."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{root / 'gradebook.db'}", "shop") as gradebook:
        found: list[tuple[object, ...]] = []
        for one in gradebook.find_assignment("ps1").submissions:
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


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with submissions; for copying only."""
    return make_course(tmp_path_factory.mktemp("class") / "course", students=18)


def test_marks_comments_and_flags_equal_those_of_nbgrader(handed_in: Path, tmp_path: Path) -> None:
    theirs, ours = copy_of(handed_in, tmp_path / "theirs"), copy_of(handed_in, tmp_path / "ours")
    call(["nbgrader", "autograde", "ps1"], theirs)
    told = call(["roadmap", "grade", "ps1", "--course-dir", str(ours)], tmp_path)
    assert "18 graded" in told
    assert rows(ours) == rows(theirs)
    there = {path.relative_to(theirs) for path in (theirs / "autograded").rglob("*") if path.suffix != ".ipynb"}
    here = {path.relative_to(ours) for path in (ours / "autograded").rglob("*") if path.suffix != ".ipynb"}
    assert here == there
    for path in (ours / "autograded").rglob("*.ipynb"):
        nbformat.validate(nbformat.read(path, 4))
        assert path.stat().st_mode & 0o777 == 0o444
    call(["nbgrader", "generate_feedback", "ps1"], ours)
    assert len(list((ours / "feedback").rglob("first.html"))) == 18
    # the two can be mixed: nothing is left to do for either
    assert "18 graded before" in call(["roadmap", "grade", "ps1", "--course-dir", str(theirs)], tmp_path)
    call(["nbgrader", "autograde", "ps1"], ours)
    assert rows(ours) == rows(theirs)


def test_what_a_person_graded_stays_and_a_newer_submission_is_graded_again(
    handed_in: Path, tmp_path: Path
) -> None:
    from nbgrader.api import Gradebook

    course = copy_of(handed_in, tmp_path / "course")
    command = ["roadmap", "grade", "ps1", "--course-dir", str(course), "--json"]
    call([*command, "--student", "s001"], tmp_path)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "shop") as gradebook:
        grade = gradebook.find_grade("essay", "first", "ps1", "s001")
        grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 3, 1, False
        gradebook.find_comment("essay", "first", "ps1", "s001").manual_comment = "Good."
        gradebook.db.commit()
    (course / "submitted" / "s001" / "ps1" / "timestamp.txt").write_text(
        "2027-01-30 11:00:00 UTC", encoding="utf-8"
    )
    outcome = json.loads(call([*command, "--student", "s001"], tmp_path))
    assert [one["student"] for one in outcome["outcomes"]] == ["s001"]
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "shop") as gradebook:
        grade = gradebook.find_grade("essay", "first", "ps1", "s001")
        assert (grade.manual_score, grade.extra_credit, grade.needs_manual_grade) == (3, 1, True)
        assert gradebook.find_comment("essay", "first", "ps1", "s001").manual_comment == "Good."


def test_a_broken_submission_is_named_and_the_others_are_graded(handed_in: Path, tmp_path: Path) -> None:
    course = copy_of(handed_in, tmp_path / "course")
    outside = tmp_path / "secret.txt"
    outside.write_text("secret", encoding="utf-8")
    (course / "submitted" / "s000" / "ps1" / "first.ipynb").write_text('{"cells": [', encoding="utf-8")
    (course / "submitted" / "s001" / "ps1" / "link.txt").symlink_to(outside)
    (course / "submitted" / "s001" / "ps1" / "pipe").mkdir()
    os.mkfifo(course / "submitted" / "s001" / "ps1" / "pipe" / "fifo")
    (course / "submitted" / "s002" / "ps1" / "timestamp.txt").write_text("yesterday", encoding="utf-8")
    (course / "submitted" / "s003" / "ps1" / "huge").write_bytes(bytes(33 << 20))
    deep = course / "submitted" / "s004" / "ps1"
    for _ in range(25):
        deep /= "x"
    deep.mkdir(parents=True)
    for number in range(5001):
        (course / "submitted" / "s005" / "ps1" / f"file{number}").touch()
    told = call(["roadmap", "grade", "ps1", "--course-dir", str(course)], tmp_path, code=1)
    assert "s002: NOT GRADED" in told
    assert "is no point in time" in told
    assert "s003: NOT GRADED: more than 32 MB of files" in told
    assert "s004: NOT GRADED: folders more than 20 deep" in told
    assert "s005: NOT GRADED: more than 5000 files" in told
    assert "s000: NOT GRADED: first: the file is no complete notebook" in told
    assert "13 graded; 5 could not be" in told
    assert not (course / "autograded" / "s000" / "ps1").exists()
    assert not (course / "autograded" / "s001" / "ps1" / "link.txt").exists()
    assert not list((course / "autograded").glob("*/.roadmap-*"))


def test_unknown_names_are_refused_with_words(handed_in: Path, tmp_path: Path) -> None:
    course = copy_of(handed_in, tmp_path / "course")
    command = ["roadmap", "grade", "--course-dir", str(course)]

    def refused(*more: str) -> str:
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:], *more], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        return done.stderr

    assert "knows no assignment 'ps9' (it knows: ps1)" in refused("ps9")
    assert "nobody handed nothing in for ps1" in refused("ps1", "--student", "nobody")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_moment_it_loses_nothing_and_leaves_nothing(handed_in: Path, tmp_path: Path) -> None:
    """Its writer, its zygote, a worker's, a submission's process; benchmarks/kills.py does it 200 times."""
    whole = copy_of(handed_in, tmp_path / "whole")
    command = [str(BIN / "roadmap"), "grade", "ps1", "--course-dir"]
    began = time.monotonic()
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    full_s = time.monotonic() - began
    killed = copy_of(handed_in, tmp_path / "killed")
    chance = random.Random(3)
    for number in range(6):
        with subprocess.Popen(
            [*command, str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as run:
            time.sleep(chance.uniform(0.3, 1.0) * full_s)
            family = psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []
            if number % 2 and family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    chance.choice(family).kill()
                run.wait(300)  # it goes on without that process, or gives up with words
            else:
                run.kill()  # does nothing to one that is through already
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive
    subprocess.run([*command, str(killed)], check=True, capture_output=True)
    assert rows(killed) == rows(whole)
    assert not list((killed / "autograded").glob("*/.roadmap-*"))
    assert len(list((killed / "autograded").glob("*/ps1"))) == 18
