"""Grades an assignment's submissions, some at a time, each in processes of its own: `roadmap grade`.

A drop-in for `nbgrader autograde`: the same gradebook, the same `autograded/` tree; feedback and formgrader go on
as ever, and the two can be mixed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from roadmap_progress.errors import ClassroomError, RoadmapError
from roadmap_progress.execution.forks import Zygote
from roadmap_progress.execution.workers import run_each
from roadmap_progress.grading import assignment as assignments
from roadmap_progress.grading import judge, submissions
from roadmap_progress.grading.gradebook import course_directory
from roadmap_progress.grading.writer import Results, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from nbgrader.coursedir import CourseDirectory

    from roadmap_progress.execution.engine import Engine
    from roadmap_progress.execution.sandbox import Limits
    from roadmap_progress.grading.assignment import Assignment
    from roadmap_progress.grading.submissions import Submission, Tree


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one submission.

    Attributes:
        points: what its checks earned; without what a person has to grade.
        notes: what went wrong or was mended, by notebook.
        failed: why it could not be graded, or None.
    """

    student: str
    points: float = 0.0
    notes: dict[str, list[str]] = field(default_factory=dict)
    failed: str | None = None
    seconds: float = 0.0
    peak_mb: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a run.

    Attributes:
        skipped: how many submissions were graded before and are no newer.
        beside: checks that ran beside the answers because they say so, `notebook: id`.
    """

    outcomes: list[Outcome]
    skipped: int
    beside: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Finished:
    submission: Submission
    outcome: Outcome
    results: Results | None
    tree: Tree | None


def grade_assignment(
    root: Path,
    name: str,
    *,
    students: Iterable[str] = (),
    jobs: int | None = None,
    timeout_s: float | None = None,
    limits: Limits | None = None,
    force: bool = False,
    apart: bool = True,
    zygote: Zygote | None = None,
    progress: Callable[[Outcome, int], None] = lambda _outcome, _total: None,
) -> Summary:
    """Grade what was handed in for the assignment and is not graded yet.

    Args:
        root: the nbgrader course directory.
        students: only these; default all.
        jobs: how many submissions at a time; default: the number of cores.
        timeout_s: limit for each cell; default: the course's own `Execute.timeout`, else 30.
        apart: whether checks run apart from the answers.
        zygote: launched already, and left running unless grading is ended early; None starts one and ends it.
        progress: called after each submission, with its outcome and the number of all.

    Raises:
        ClassroomError: the course, its gradebook or the assignment is not as it should be.
        ExecutionError: the machine failed in the middle; what was graded is in the gradebook.
    """
    course, config = course_directory(root)
    assignment = assignments.load(root, name)
    if not assignment.sources:
        raise ClassroomError(
            f"the gradebook knows no notebooks of {name!r}; `nbgrader generate_assignment {name}`"
        )
    submissions.sweep(course)
    todo, skipped = submissions.find(course, name, students=students, force=force)
    seconds = timeout_s or float(config.Execute.get("timeout") or 30)
    if not todo:
        return Summary([], skipped)
    grade = _Grader(course, assignment, seconds).grade
    outcomes = []
    permissions = submissions.permissions(config)
    with contextlib.ExitStack() as stack:
        zygote = zygote or stack.enter_context(Zygote())
        zygote.load(assignment.modules())
        writer = stack.enter_context(Writer(course.db_url, course.course_id, assignment, config, permissions))
        graded = run_each(zygote, todo, grade, jobs=jobs, limits=limits, apart=apart, drop=_discard)
        for finished in stack.enter_context(contextlib.closing(graded)):
            if finished.results is not None and finished.tree is not None:
                writer.write(finished.submission, finished.results, finished.tree)
            outcomes.append(finished.outcome)
            progress(finished.outcome, len(todo))
    return Summary(sorted(outcomes, key=lambda outcome: outcome.student), skipped, assignment.beside())


class _Grader:
    """What one submission needs; its method `grade` runs in several threads."""

    def __init__(self, course: CourseDirectory, assignment: Assignment, timeout_s: float) -> None:
        self._course, self._assignment, self._timeout_s = course, assignment, timeout_s

    def grade(self, submission: Submission, engine: Engine) -> _Finished:
        """Grade all notebooks of a submission.

        Raises:
            ExecutionError: the machine failed, not the submission.
        """
        if submission.trouble:
            return _Finished(submission, Outcome(submission.student, failed=submission.trouble), None, None)
        try:
            tree = submissions.Tree(submission, self._course, self._assignment.name)
        except (OSError, RoadmapError) as error:
            return _Finished(submission, Outcome(submission.student, failed=str(error)), None, None)
        try:
            results: Results = {}
            for name, source in self._assignment.sources.items():
                data = tree.notebook(name)
                if data is None:
                    results[name] = None
                    continue
                results[name] = graded = judge.grade(
                    data, self._assignment, source, engine, files=str(tree.folder), timeout_s=self._timeout_s
                )
                if graded.failed is None:
                    tree.put(name, graded.notebook)
            outcome = _outcome(submission, results)
        except BaseException:
            tree.discard()
            raise
        if outcome.failed:
            tree.discard()
            return _Finished(submission, outcome, None, None)
        return _Finished(submission, outcome, results, tree)


def _outcome(submission: Submission, results: Results) -> Outcome:
    graded = {name: one for name, one in results.items() if one}
    notes = {name: one.notes for name, one in graded.items() if one.notes}
    notes |= {name: ["was not handed in; it scores 0"] for name in results if name not in graded}
    return Outcome(
        submission.student,
        sum(points or 0 for one in graded.values() for points in one.scores.values()),
        notes,
        "; ".join(f"{name}: {one.failed}" for name, one in graded.items() if one.failed) or None,
        sum(one.usage.seconds for one in graded.values()),
        max((one.usage.peak_mb for one in graded.values()), default=0),
    )


def _discard(finished: _Finished) -> None:
    if finished.tree is not None:
        finished.tree.discard()
