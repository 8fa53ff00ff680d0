"""Grades an assignment's submissions, some at a time, each in processes of its own: `roadmap grade`.

A drop-in for `nbgrader autograde`: the same gradebook, the same `autograded/` tree; feedback and formgrader go on
as ever, and the two can be mixed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from roadmap_progress.errors import ClassroomError, ExecutionError, RoadmapError
from roadmap_progress.execution.engine import Engine
from roadmap_progress.execution.forks import Zygote
from roadmap_progress.execution.sandbox import FIRST_UID, Limits, Sandbox
from roadmap_progress.grading import assignment as assignments
from roadmap_progress.grading import judge, submissions
from roadmap_progress.grading.gradebook import course_directory
from roadmap_progress.grading.writer import Results, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from nbgrader.coursedir import CourseDirectory

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
    """

    outcomes: list[Outcome]
    skipped: int


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
        zygote: launched already, and left running; None starts one and ends it.
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
    team = _Team(zygote or Zygote(), course, assignment, apart=apart, timeout_s=seconds, limits=limits or Limits())
    outcomes = []
    permissions = submissions.permissions(config)
    with Writer(course.db_url, course.course_id, assignment, config, permissions) as writer:
        for finished in team.run(todo, jobs or os.cpu_count() or 1):
            if finished.results is not None and finished.tree is not None:
                writer.write(finished.submission, finished.results, finished.tree)
            outcomes.append(finished.outcome)
            progress(finished.outcome, len(todo))
    return Summary(sorted(outcomes, key=lambda outcome: outcome.student), skipped)


class _Team:
    """Threads, each with a zygote of its own; they only wait for processes."""

    def __init__(
        self,
        zygote: Zygote | None,
        course: CourseDirectory,
        assignment: Assignment,
        *,
        apart: bool,
        timeout_s: float,
        limits: Limits,
    ) -> None:
        self._zygote, self._owned = zygote or Zygote(), zygote is None
        self._course, self._assignment = course, assignment
        self._apart, self._timeout_s, self._limits = apart, timeout_s, limits
        self._stopping = threading.Event()
        self._cloning = threading.Lock()

    def run(self, todo: list[Submission], jobs: int) -> Iterable[_Finished]:
        """Grade them, and yield what is finished as it comes."""
        with contextlib.ExitStack() as stack:
            if self._owned:
                stack.callback(self._zygote.close)
            # imported once; each thread works with a clone of it
            self._zygote.load(self._assignment.modules())
            yield from self._run(todo, jobs)

    def _run(self, todo: list[Submission], jobs: int) -> Iterable[_Finished]:
        waiting: queue.SimpleQueue[Submission] = queue.SimpleQueue()
        for submission in todo:
            waiting.put(submission)
        done: queue.Queue[_Finished | BaseException] = queue.Queue(maxsize=4 * jobs)
        threads = [
            threading.Thread(target=self._work, args=(number, self._zygote.clone(), waiting, done), daemon=True)
            for number in range(min(jobs, len(todo)))
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in todo:
                finished = done.get()
                if isinstance(finished, BaseException):
                    raise finished
                yield finished
        finally:
            self._stopping.set()
            while any(thread.is_alive() for thread in threads):
                try:
                    left = done.get(timeout=0.05)
                except queue.Empty:
                    continue
                if isinstance(left, _Finished) and left.tree is not None:
                    left.tree.discard()

    def _work(
        self,
        number: int,
        zygote: Zygote,
        waiting: queue.SimpleQueue[Submission],
        done: queue.Queue[_Finished | BaseException],
    ) -> None:
        try:
            with zygote:
                engine = Engine(zygote, Sandbox(uid=FIRST_UID + number, limits=self._limits), apart=self._apart)
                while not self._stopping.is_set():
                    try:
                        submission = waiting.get_nowait()
                    except queue.Empty:
                        return
                    done.put(self._grade(submission, engine))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that collects
            done.put(error)

    def _grade(self, submission: Submission, engine: Engine) -> _Finished:
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
                results[name] = self._grade_notebook(data, name, source, engine, tree)
            return self._finished(submission, results, tree)
        except BaseException:
            tree.discard()
            raise

    def _grade_notebook(
        self, data: bytes, name: str, source: assignments.Source, engine: Engine, tree: Tree
    ) -> judge.Graded:
        for attempt in (1, 2):
            try:
                graded = judge.grade(
                    data, self._assignment, source, engine, files=str(tree.folder), timeout_s=self._timeout_s
                )
                break
            except ExecutionError:
                if attempt == 2:
                    raise
                engine.zygote.close()
                with self._cloning:
                    engine.zygote = self._zygote.clone()
        if graded.failed is None:
            tree.put(name, graded.notebook)
        return graded

    def _finished(self, submission: Submission, results: Results, tree: Tree) -> _Finished:
        failed = {name: graded.failed for name, graded in results.items() if graded and graded.failed}
        notes = {name: list(graded.notes) for name, graded in results.items() if graded and graded.notes}
        for name, graded in results.items():
            if graded is None:
                notes[name] = ["was not handed in; it scores 0"]
        graded_ones = [graded for graded in results.values() if graded]
        outcome = Outcome(
            submission.student,
            sum(points or 0 for graded in graded_ones for points in graded.scores.values()),
            notes,
            "; ".join(f"{name}: {words}" for name, words in failed.items()) or None,
            sum(graded.usage.seconds for graded in graded_ones),
            max((graded.usage.peak_mb for graded in graded_ones), default=0),
        )
        if failed:
            tree.discard()
            return _Finished(submission, outcome, None, None)
        return _Finished(submission, outcome, results, tree)
