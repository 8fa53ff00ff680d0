"""An instructor and four students go through nbgrader's documentation, from release to feedback."""

from __future__ import annotations

import csv
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def late_policy(a_class: Any) -> Any:
    settings = a_class.root / "classroom" / "settings.toml"
    text = settings.read_text()
    text = text.replace("points_per_hour = 0 ", "points_per_hour = 1 ")
    text = re.sub("(?m)^# exchange = .*", f'exchange = "{a_class.exchange}"', text)
    settings.write_text(text)
    return a_class


def columns(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["student_id"]: row for row in csv.DictReader(file)}


@pytest.mark.timeout(600)
def test_a_class_goes_from_release_to_feedback(late_policy: Any, tmp_path: Path, hidden_texts: list[str]) -> None:
    """Correct, partly wrong, blank and late submissions get what they earned, and nobody sees a hidden check."""
    instructor = late_policy
    roster = tmp_path / "roster.csv"
    roster.write_text(
        "id,first_name,last_name,email\n"
        "ada,Ada,Lovelace,ada@example.org\n"
        "bob,Bob,Partly,\n"
        "cy,Cy,Blank,\n"
        "dan,Dan,Late,\n"
        "eve,Eve,Absent,\n"
    )
    due = tmp_path / "due.csv"
    due.write_text(f"section,due\n{instructor.section},2999-01-01 12:00\n")
    instructor.run("roadmap", "classroom", "init", "--roster", str(roster), "--due", str(due))
    instructor.run("nbgrader", "release_assignment", instructor.section)
    listed = instructor.run("nbgrader", "list")
    assert f"backend-roadmap {instructor.section}" in listed.stderr

    answers = {"ada": instructor.correct, "bob": instructor.hard_coded, "cy": {}, "dan": instructor.correct}
    students = {name: instructor.student(name) for name in answers}
    for name, student in students.items():
        student.run("nbgrader", "fetch_assignment", instructor.section)
        work = student.root / "work" / instructor.section
        assert (work / f"{instructor.stem}.ipynb").read_bytes() == (
            instructor.root / "exercises" / instructor.section / f"{instructor.stem}.ipynb"
        ).read_bytes()
        student.answer(work, answers[name])
        if name == "ada":  # fetching again leaves the answers alone
            before = (work / f"{instructor.stem}.ipynb").read_bytes()
            student.run("nbgrader", "fetch_assignment", instructor.section)
            assert (work / f"{instructor.stem}.ipynb").read_bytes() == before
        student.run("nbgrader", "submit", instructor.section, f"--student={name}")

    instructor.run("nbgrader", "collect", instructor.section)
    submitted = instructor.root / "classroom" / "submitted"
    assert sorted(folder.name for folder in submitted.iterdir()) == sorted(answers)
    # Dan is late by two hours and a bit.
    stamp = submitted / "dan" / instructor.section / "timestamp.txt"
    stamp.chmod(0o644)
    stamp.write_text("2999-01-01 14:10:00 UTC")

    waiting = instructor.run("roadmap", "classroom", "status").stdout
    assert "4 collected, 0 autograded" in waiting
    assert "4 to grade" in waiting
    instructor.run("nbgrader", "autograde", instructor.section)
    status = instructor.run("roadmap", "classroom", "status").stdout
    assert "4 collected, 4 autograded, 1 late" in status
    assert "why_essay: 2 to grade by hand" in status

    out = instructor.run("roadmap", "classroom", "export", "--to", "grades.csv").stdout
    assert "2 scores are not final" in out
    grades = columns(instructor.root / "grades.csv")
    assert {name: float(row["raw_score"]) for name, row in grades.items()} == {
        "ada": 5, "bob": 1, "cy": 0, "dan": 5, "eve": 0
    }  # fmt: skip
    assert {name: row["status"] for name, row in grades.items()} == {
        "ada": "pending", "bob": "final", "cy": "final", "dan": "pending", "eve": "not submitted"
    }  # fmt: skip
    assert (grades["ada"]["pending_points"], grades["ada"]["pending_cells"]) == ("3.0", "why_essay")
    assert float(grades["dan"]["late_submission_penalty"]) == 3
    assert float(grades["dan"]["score"]) == 2
    instructor.run("nbgrader", "export", "--to", "stock.csv")
    assert columns(instructor.root / "stock.csv") == grades

    instructor.run("nbgrader", "generate_feedback", instructor.section)
    shown = {name: instructor.feedback(name) for name in answers}
    for name, page in shown.items():
        for text in hidden_texts:
            assert text not in page, f"{name}'s feedback shows {text!r}"
    assert "A further check, which is not shown, did not pass: 0 of 2 points." in shown["bob"]
    assert "did not pass" not in shown["ada"]
    assert shown["cy"].count("Not attempted: 0 of 2 points.") == 2
    assert "No response." in shown["cy"]
    assert "Late submission penalty (Score: -3.0)" in shown["dan"]

    instructor.run("nbgrader", "release_feedback", instructor.section)
    students["bob"].run("nbgrader", "fetch_feedback", instructor.section)
    fetched = list((students["bob"].root / "work" / instructor.section / "feedback").rglob("*.html"))
    assert [path.read_text() for path in fetched] == [shown["bob"]]
    # Fetched feedback does not travel with the next submission.
    students["bob"].run("nbgrader", "submit", instructor.section, "--student=bob")
    inbound = instructor.exchange / "backend-roadmap" / "inbound"
    assert not list(inbound.rglob("*.html"))


def test_zip_collect_takes_submissions_from_an_archive(a_class: Any, tmp_path: Path) -> None:
    """A class without a shared folder hands in through its learning platform."""
    a_class.answer(tmp_path / "one", a_class.correct)
    downloads = a_class.root / "classroom" / "downloaded" / a_class.section / "archive"
    downloads.mkdir(parents=True)
    shutil.copy(
        tmp_path / "one" / f"{a_class.stem}.ipynb",
        downloads / f"{a_class.section}_ada_attempt_2027-01-30-15-00-00_{a_class.stem}.ipynb",
    )
    a_class.run("nbgrader", "zip_collect", a_class.section, "--force")
    assert (a_class.root / "classroom" / "submitted" / "ada" / a_class.section / f"{a_class.stem}.ipynb").is_file()
