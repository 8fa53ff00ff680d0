"""Grades as CSV that do not pass off what is not graded yet as nothing.

nbgrader's own export counts an essay that waits for its grade, a submission that was not graded and a student
who handed in nothing all as 0. The columns here are nbgrader's, and behind them: `status`, the points that
wait for a grade by hand, and which cells those are. `nbgrader export` uses it as well.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbgrader.api import MissingEntry
from nbgrader.plugins import ExportPlugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NBGRADERS = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
)
OURS = ("status", "pending_points", "pending_cells")
FINAL, PENDING, UNGRADED, MISSING = "final", "pending", "not graded", "not submitted"


class ExportWithPending(ExportPlugin):  # type: ignore[misc]  # nbgrader has no type hints
    """CSV with nbgrader's columns, and whether each score is final."""

    def export(self, gradebook: Any) -> None:
        """Write the grades to the file that `--to` names, else `grades.csv`."""
        path = Path(self.to or "grades.csv")
        self.log.info("Exporting grades to %s", path)
        count = write(
            gradebook,
            path,
            students={str(name) for name in self.student},
            assignments={str(name) for name in self.assignment},
            collected=self._collected,
        )
        if count:
            self.log.warning("%d scores are not final: see the column status", count)

    def _collected(self, student: str, assignment: str) -> bool:
        course = self.parent.coursedir
        return Path(course.format_path(course.submitted_directory, student, assignment)).is_dir()


def write(
    gradebook: Any,
    path: Path,
    *,
    collected: Callable[[str, str], bool],
    students: set[str] | None = None,
    assignments: set[str] | None = None,
) -> int:
    """Write a line for each assignment and student (of those named, where any are).

    Args:
        collected: tells whether a student's submission of an assignment was collected.

    Returns:
        How many of the scores are not final.
    """
    pending = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, NBGRADERS + OURS)
        writer.writeheader()
        for row in _rows(gradebook, collected, students or set(), assignments or set()):
            writer.writerow({name: "" if value is None else value for name, value in row.items()})
            pending += row["status"] in (PENDING, UNGRADED)
    return pending


def _rows(
    gradebook: Any, collected: Callable[[str, str], bool], students: set[str], assignments: set[str]
) -> Iterator[dict[str, Any]]:
    for assignment in gradebook.assignments:
        for student in gradebook.students:
            if (assignments and assignment.name not in assignments) or (students and student.id not in students):
                continue
            row: dict[str, Any] = {
                "assignment": assignment.name,
                "duedate": assignment.duedate,
                "student_id": student.id,
                "last_name": student.last_name,
                "first_name": student.first_name,
                "email": student.email,
                "max_score": assignment.max_score,
            }
            try:
                submission = gradebook.find_submission(assignment.name, student.id)
            except MissingEntry:
                status = UNGRADED if collected(student.id, assignment.name) else MISSING
                yield row | _scores(None) | {"status": status, "pending_points": 0.0, "pending_cells": ""}
                continue
            waiting = [
                grade for notebook in submission.notebooks for grade in notebook.grades if grade.needs_manual_grade
            ]
            yield (
                row
                | _scores(submission)
                | {
                    "status": PENDING if waiting else FINAL,
                    "pending_points": float(sum(grade.max_score for grade in waiting)),
                    "pending_cells": " ".join(sorted(grade.name for grade in waiting)),
                }
            )


def _scores(submission: Any) -> dict[str, Any]:
    if submission is None:
        return {"timestamp": None, "raw_score": 0.0, "late_submission_penalty": 0.0, "score": 0.0}
    penalty = float(submission.late_submission_penalty or 0)
    return {
        "timestamp": submission.timestamp,
        "raw_score": submission.score,
        "late_submission_penalty": penalty,
        "score": max(0.0, submission.score - penalty),
    }
