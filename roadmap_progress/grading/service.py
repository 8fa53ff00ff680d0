"""Grades single submissions at once, everything being warm: `roadmap grade --daemon SOCKET`.

What a Hub calls when a learner submits. A request is `{"assignment": …, "student": …, "force": false}`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from roadmap_progress.errors import ClassroomError, ExecutionError
from roadmap_progress.execution.forks import Zygote
from roadmap_progress.execution.workers import Crew
from roadmap_progress.grading import assignment as assignments
from roadmap_progress.grading import submissions
from roadmap_progress.grading.batch import Grader
from roadmap_progress.grading.gradebook import course_directory, opened
from roadmap_progress.grading.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from roadmap_progress.execution.sandbox import Limits
    from roadmap_progress.grading.batch import Finished
    from roadmap_progress.grading.submissions import Submission


class Service:
    """A course's grader; a context manager. `answer` may be called from several threads."""

    def __init__(
        self, root: Path, *, limits: Limits, jobs: int | None = None, timeout_s: float | None = None, apart: bool
    ) -> None:
        self._root, self._limits, self._apart = root, limits, apart
        self._jobs = jobs or os.cpu_count() or 1
        self._course, self._config = course_directory(root)
        self._timeout_s = timeout_s or float(self._config.Execute.get("timeout") or 30)
        self._modules: list[str] = []
        self._zygote = Zygote()
        self._crew: Crew | None = None
        self._lock = threading.Lock()
        self._books = ThreadPoolExecutor(1, "roadmap-gradebook")  # a session of nbgrader's is for one thread
        self._desks: dict[str, _Desk] = {}

    def __enter__(self) -> Self:
        try:
            self._books.submit(self._open).result()
            self._hire()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._books.submit(self._close).result()
        self._books.shutdown()
        with self._lock:
            self._dismiss()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Grade what the request names; in the gradebook and in `autograded/` on return.

        Returns:
            An `Outcome` as a dictionary, with `skipped`: whether it was graded before and is no newer.

        Raises:
            ClassroomError: there is no such assignment or submission.
            ExecutionError: the machine failed.
        """
        name, student, force = (request.get(key) for key in ("assignment", "student", "force"))
        if not isinstance(name, str) or not isinstance(student, str) or not isinstance(force, bool | None):
            raise ClassroomError('a request is {"assignment": "…", "student": "…", "force": false}')
        found = self._books.submit(self._find, name, student, force=bool(force)).result()
        if found is None:
            return {"student": student, "skipped": True}
        desk, submission = found
        finished = self._grade(desk, submission)
        self._books.submit(self._write, name, finished).result()
        return {**dataclasses.asdict(finished.outcome), "skipped": False}

    def _grade(self, desk: _Desk, submission: Submission) -> Finished:
        crew = self._hire()
        try:
            return crew.do(desk.grader.grade, submission)
        except ExecutionError:
            with self._lock:
                if self._crew is crew:
                    self._dismiss()
            return self._hire().do(desk.grader.grade, submission)

    def _hire(self) -> Crew:
        """The crew; a new one where the zygote died."""
        with self._lock:
            if self._crew is None:
                self._zygote.load(self._modules)
                self._crew = Crew(self._zygote, self._jobs, self._limits, apart=self._apart)
            return self._crew

    def _dismiss(self) -> None:
        if self._crew is not None:
            self._crew.close()
            self._crew = None
        self._zygote.close()

    def _open(self) -> None:
        submissions.sweep(self._course)
        with opened(self._root) as gradebook:
            names = [one.name for one in gradebook.assignments]
        for name in names:
            self._modules += assignments.load(self._root, name).modules()

    def _find(self, name: str, student: str, *, force: bool) -> tuple[_Desk, Submission] | None:
        desk = self._desks.get(name)
        if desk is None or desk.is_stale():
            self._clear(name)
            desk = self._desks[name] = _Desk(self, name)
        todo, _ = submissions.find(self._course, name, students=[student], force=force)
        return (desk, todo[0]) if todo else None

    def _write(self, name: str, finished: Finished) -> None:
        if finished.results is None or finished.tree is None:
            return
        desk = self._desks.get(name) or self._desks.setdefault(name, _Desk(self, name))
        try:
            desk.writer.write(finished.submission, finished.results, finished.tree)
            desk.writer.commit()
        except BaseException as error:
            finished.tree.discard()
            self._desks.pop(name).close(error)
            raise

    def _clear(self, name: str) -> None:
        if name in self._desks:
            self._desks.pop(name).close()

    def _close(self) -> None:
        for name in list(self._desks):
            self._clear(name)


class _Desk:
    """What is kept of an assignment; for the thread of the gradebook, but for `grader`."""

    def __init__(self, service: Service, name: str) -> None:
        course, config = service._course, service._config
        assignment = assignments.load(service._root, name)
        self.grader = Grader(course, assignment, service._timeout_s)
        self.writer = Writer(course.db_url, course.course_id, assignment, config, submissions.permissions(config))
        self._version = self._changes()

    def is_stale(self) -> bool:
        """Whether somebody else wrote to the gradebook: a new release of the assignment, perhaps."""
        return self._version is None or self._changes() != self._version

    def close(self, error: BaseException | None = None) -> None:
        """Commit, or roll back where there was an error."""
        with contextlib.suppress(Exception):  # the error is what matters
            self.writer.__exit__(type(error) if error else None, error, None)

    def _changes(self) -> int | None:
        """SQLite's count of commits that other connections made; None for other databases."""
        session = self.writer.session
        if session.bind.dialect.name != "sqlite":
            return None
        return int(session.execute(text("PRAGMA data_version")).scalar_one())
