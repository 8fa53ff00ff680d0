"""Which check or answer a cell is, and whether a kernel runs under `work/`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from roadmap_progress.errors import CatalogError
from roadmap_progress.model import digest
from roadmap_progress.tracking.course import Course, Place, find_place

if TYPE_CHECKING:
    from pathlib import Path


def data(version: str = "v1") -> dict[str, Any]:
    def exercise(name: str, check: str, answer: str, kind: str = "checks") -> dict[str, Any]:
        found = {"topic": "adding", "points": 1, "version": version, "released": digest(check), "kind": kind}
        return {
            "id": name,
            "title": name,
            "answers": [{"id": f"{name}_answer", "released": digest(answer)}],
            "checks": [{"id": f"{name}_check", **found}],
        }

    notebook = {
        "number": "1.1",
        "slug": "sums",
        "title": "Sums",
        "status": "ready",
        "topics": [{"id": "adding", "title": "Adding"}],
        "exercises": [
            exercise("a", "assert a", "a = ..."),
            exercise("b", "assert same", "b = ..."),
            exercise("c", "assert same", "same = ..."),
            exercise("d", "why", "same = ...", "essay"),
        ],
    }
    section = {"number": 1, "slug": "01-foundations", "title": "Foundations", "notebooks": [notebook]}
    return {"version": "1", "sections": [section], "aliases": {"old_check": "a_check"}}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ROADMAP_ROOT", raising=False)
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "roadmap.json").write_text(json.dumps(data()))
    (tmp_path / "work" / "01-foundations").mkdir(parents=True)
    return tmp_path


def named(name: str) -> dict[str, Any]:
    return {"nbgrader": {"grade_id": name}}


def test_a_cell_is_known_by_its_grade_id_whatever_its_text(root):
    index = Course(root).current()
    assert index.check(named("a_check"), "any").check.id == "a_check"
    assert index.check(named("old_check"), "any").check.id == "a_check"  # renamed since the copy was made
    assert index.check(named("a_answer"), digest("assert a")) is None
    assert index.answer(named("a_answer"), "any").id == "a_answer"
    assert index.check(named("another-course"), digest("assert a")) is None


def test_without_metadata_a_cell_is_known_by_a_text_that_no_other_has(root):
    index = Course(root).current()
    assert index.check({}, digest("assert a")).check.id == "a_check"
    assert index.check({}, digest("assert same")) is None
    assert index.check({"tags": ["x"]}, digest("assert a")).check.id == "a_check"
    assert index.answer({}, digest("b = ...")).id == "b_answer"
    assert index.answer({}, digest("same = ...")) is None
    assert index.check({}, digest("anything")) is None


def test_an_essay_is_no_check(root):
    assert Course(root).current().check(named("d_check"), "any") is None


def test_new_data_is_read_and_half_written_data_is_not(root):
    course, path = Course(root), root / "course" / "roadmap.json"
    index = course.current()
    assert course.current() is index
    path.write_text(json.dumps(data("version 2")))
    assert course.current().check(named("a_check"), "").check.version == "version 2"
    path.write_text("{")
    assert course.current().check(named("a_check"), "").check.version == "version 2"
    path.unlink()
    assert course.current().check(named("a_check"), "").check.version == "version 2"


def test_data_that_never_could_be_read_is_an_error(root):
    (root / "course" / "roadmap.json").write_text("{")
    with pytest.raises(CatalogError):
        Course(root).current()


def test_a_place_is_what_lies_under_work(root, tmp_path):
    work = root / "work" / "01-foundations"
    copy = work / "1.1-sums.ipynb"
    assert find_place("", work) == Place(root, None)
    assert find_place("", root / "work") == Place(root, None)
    assert find_place(str(copy), root / "course") == Place(root, copy)
    assert find_place(str(root / "dashboard.ipynb"), work) is None  # the notebook's own path decides
    assert find_place("a name, not a path", work) == Place(root, None)
    assert find_place("", root / "course") is None
    assert find_place(str(root / "work/solutions/01-first/1.1-naming.ipynb"), work) is None  # all of it passes
    assert find_place("", root.parent) is None


def test_a_link_into_work_counts_and_one_out_of_it_does_not(root, tmp_path):
    (root / "course" / "link").symlink_to(root / "work")
    (root / "work" / "out").symlink_to(root / "course")
    assert find_place("", root / "course" / "link") == Place(root, None)
    assert find_place("", root / "work" / "out") is None


def test_elsewhere_the_extension_imports_nothing_but_itself(tmp_path):
    code = """
import sys
before = set(sys.modules)
import roadmap_progress.tracking
roadmap_progress.tracking.load_ipython_extension(None)
print(*sorted(name for name in set(sys.modules) - before if name.startswith(("roadmap", "sqlite3", "json"))))
"""
    environment = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=tmp_path,
        env=environment,
    )
    own = ["roadmap_progress", "roadmap_progress.marks", "roadmap_progress.tracking"]  # marks: a page of functions
    assert done.stdout.split() == own
