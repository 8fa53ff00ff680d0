"""`roadmap grade` beside `nbgrader autograde`: the same rows in the gradebook; killed, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from shop_course import BIN, call, copy_of, make_course, rows

STUDENTS = 12  # every answer of the course's variations occurs


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with submissions; for copying only."""
    return make_course(tmp_path_factory.mktemp("class") / "course", students=STUDENTS)


def test_marks_comments_and_flags_equal_those_of_nbgrader(handed_in: Path, tmp_path: Path) -> None:
    theirs, ours = copy_of(handed_in, tmp_path / "theirs"), copy_of(handed_in, tmp_path / "ours")
    call(["nbgrader", "autograde", "ps1"], theirs)
    told = call(["roadmap", "grade", "ps1", "--course-dir", str(ours)], tmp_path)
    assert f"{STUDENTS} graded" in told
    assert rows(ours) == rows(theirs)
    there = {path.relative_to(theirs) for path in (theirs / "autograded").rglob("*") if path.suffix != ".ipynb"}
    here = {path.relative_to(ours) for path in (ours / "autograded").rglob("*") if path.suffix != ".ipynb"}
    assert here == there
    for path in (ours / "autograded").rglob("*.ipynb"):
        nbformat.validate(nbformat.read(path, 4))
        assert path.stat().st_mode & 0o777 == 0o444
    call(["nbgrader", "generate_feedback", "ps1", "--student=s000"], ours)
    assert {path.name for path in (ours / "feedback").rglob("*.html")} == {"first.html", "second.html"}
    # the two can be mixed: nothing is left to do for either
    assert f"{STUDENTS} graded before" in call(["roadmap", "grade", "ps1", "--course-dir", str(theirs)], tmp_path)
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
    assert f"{STUDENTS - 5} graded; 5 could not be" in told
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
    assert len(list((killed / "autograded").glob("*/ps1"))) == STUDENTS
