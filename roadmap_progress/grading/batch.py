"""Grades an assignment's submissions, some at a time, each in processes of its own: `roadmap grade`.

A drop-in for `nbgrader autograde`: the same gradebook, the same `autograded/` tree; feedback and formgrader go on
as ever, and the two can be mixed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from roadmap_progress.errors import ClassroomError, ExecutionError, RoadmapError
from roadmap_progress.execution.forks import Zygote
from roadmap_progress.execution.sandbox import Limits
from roadmap_progress.execution.workers import run_each
from roadmap_progress.grading import assignment as assignments
from roadmap_progress.grading import judge, submissions
from roadmap_progress.grading.gradebook import course_directory
from roadmap_progress.grading.submissions import Tree
from roadmap_progress.grading.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path
    from types import ModuleType

    from nbgrader.coursedir import CourseDirectory

    from roadmap_progress.execution.engine import Engine
    from roadmap_progress.grading.assignment import Assignment
    from roadmap_progress.grading.cluster import HandedIn, Station
    from roadmap_progress.grading.judge import Results
    from roadmap_progress.grading.submissions import Submission


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
class Finished:
    """A submission on its way to the gradebook; without results where it could not be graded."""

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
    dask: str | None = None,
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
        dask: address of a dask scheduler; its workers grade, `jobs` and `zygote` are not used.
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
    grader, limits = Grader(course, assignment, seconds), limits or Limits()
    outcomes = []
    permissions = submissions.permissions(config)
    with contextlib.ExitStack() as stack:
        if dask is None:
            zygote = zygote or stack.enter_context(Zygote())
            zygote.load(assignment.modules())
            graded = run_each(zygote, todo, grader.grade, jobs=jobs, limits=limits, apart=apart, drop=_discard)
        else:
            station = _cluster().Station(assignment, timeout_s=seconds, limits=limits, apart=apart)
            graded = grader.grade_elsewhere(todo, dask, station)
        writer = stack.enter_context(Writer(course.db_url, course.course_id, assignment, config, permissions))
        for finished in stack.enter_context(contextlib.closing(graded)):
            if finished.results is not None and finished.tree is not None:
                writer.write(finished.submission, finished.results, finished.tree)
            outcomes.append(finished.outcome)
            progress(finished.outcome, len(todo))
    return Summary(sorted(outcomes, key=lambda outcome: outcome.student), skipped, assignment.beside())


class Grader:
    """What one submission needs; its method `grade` runs in several threads."""

    def __init__(self, course: CourseDirectory, assignment: Assignment, timeout_s: float) -> None:
        self._course, self._assignment, self._timeout_s = course, assignment, timeout_s

    def grade(self, submission: Submission, engine: Engine) -> Finished:
        """Grade all notebooks of a submission.

        Raises:
            ExecutionError: the machine failed, not the submission.
        """
        tree = self._tree(submission)
        if isinstance(tree, Finished):
            return tree
        try:
            results = judge.grade_all(
                self._notebooks(tree),
                self._assignment,
                engine,
                files=str(tree.folder),
                timeout_s=self._timeout_s,
            )
            return self._finish(submission, tree, results)
        except BaseException:
            tree.discard()
            raise

    def grade_elsewhere(
        self, todo: Iterable[Submission], address: str, station: Station
    ) -> Generator[Finished, None, None]:
        """Grade all submissions on a cluster; as they get ready.

        Raises:
            ExecutionError: the cluster failed, not a submission.
        """
        cluster = _cluster()
        trees: dict[str, Tree] = {}

        def pack(item: tuple[Submission, Tree | Finished]) -> HandedIn | None:
            submission, tree = item
            if isinstance(tree, Finished):
                return None
            trees[submission.student] = tree
            packed: HandedIn = cluster.HandedIn(self._notebooks(tree), tree.others())
            return packed

        prepared = ((submission, self._tree(submission)) for submission in todo)
        try:
            with contextlib.closing(cluster.grade_each(address, station, prepared, pack)) as graded:
                for (submission, tree), results in graded:
                    if isinstance(tree, Finished):
                        yield tree
                    elif isinstance(results, str):
                        trees.pop(submission.student).discard()
                        yield _failed(submission, results)
                    else:
                        finished = self._finish(submission, tree, results or {})
                        del trees[submission.student]
                        yield finished
        finally:
            for tree in trees.values():
                tree.discard()

    def _tree(self, submission: Submission) -> Tree | Finished:
        if submission.trouble:
            return _failed(submission, submission.trouble)
        try:
            return Tree(submission, self._course, self._assignment.name)
        except (OSError, RoadmapError) as error:
            return _failed(submission, str(error))

    def _notebooks(self, tree: Tree) -> dict[str, bytes | None]:
        return {name: tree.notebook(name) for name in self._assignment.sources}

    def _finish(self, submission: Submission, tree: Tree, results: Results) -> Finished:
        outcome = _outcome(submission, results)
        if outcome.failed:
            tree.discard()
            return Finished(submission, outcome, None, None)
        for name, graded in results.items():
            if graded is not None:
                tree.put(name, graded.notebook)
        return Finished(submission, outcome, results, tree)


def _cluster() -> ModuleType:
    try:
        from roadmap_progress.grading import cluster
    except ModuleNotFoundError as error:
        raise ExecutionError(
            f"grading on a cluster needs dask.distributed, and {error.name} is not installed here; "
            "`pip install distributed`"
        ) from None
    return cluster


def _failed(submission: Submission, why: str) -> Finished:
    return Finished(submission, Outcome(submission.student, failed=why), None, None)


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


def _discard(finished: Finished) -> None:
    if finished.tree is not None:
        finished.tree.discard()
