"""The one that writes grades: nbgrader's gradebook, a batch of submissions in one transaction.

What autograde writes, and nothing a person wrote: `manual_score`, `extra_credit`, `manual_comment` and `flagged`
stay. A batch's grades are committed before its trees are moved to `autograded/`. So whatever ends the process, a
submission without its tree is graded again, and one with its tree has its grades.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

from nbgrader.api import Gradebook
from nbgrader.preprocessors import AssignLatePenalties
from sqlalchemy.exc import SAWarning

if TYPE_CHECKING:
    from typing import Self

    from roadmap_progress.grading.assignment import Assignment
    from roadmap_progress.grading.judge import Graded, Results
    from roadmap_progress.grading.submissions import Submission, Tree

BATCH = 20
BATCH_S = 5.0


class Writer:
    """Writes to one gradebook; a context manager, for one thread."""

    def __init__(self, url: str, course_id: str, assignment: Assignment, config: Any, permissions: int) -> None:
        self._gradebook = Gradebook(url, course_id)
        self._assignment, self._config, self._permissions = assignment, config, permissions
        self._moves: list[Tree] = []
        self._since = time.monotonic()
        self._commit = self._gradebook.db.commit
        self._gradebook.db.commit = self._gradebook.db.flush  # nbgrader's API commits in every call

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or issubclass(kind, KeyboardInterrupt):
                self.commit()
        finally:
            for tree in self._moves:
                tree.discard()
            self._gradebook.db.commit = self._commit
            self._gradebook.close()

    @property
    def session(self) -> Any:
        """The gradebook's database session."""
        return self._gradebook.db

    def write(self, submission: Submission, results: Results, tree: Tree) -> None:
        """Take the grades of one submission; they are in the gradebook after the next `commit`."""
        gradebook = self._gradebook
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader links a new submission before it adds it
            recorded = self._recorded(submission)
        by_name = {notebook.name: notebook for notebook in recorded.notebooks}
        for notebook, graded in results.items():
            self._write_notebook(by_name[notebook], graded)
        gradebook.db.flush()
        for notebook in results:
            self._penalize(submission.student, recorded, by_name[notebook])
        gradebook.db.flush()
        self._moves.append(tree)
        if len(self._moves) >= BATCH or time.monotonic() - self._since > BATCH_S:
            self.commit()

    def _recorded(self, submission: Submission) -> Any:
        self._gradebook.update_or_create_student(submission.student)
        when = {"timestamp": submission.when} if submission.when else {}
        return self._gradebook.update_or_create_submission(self._assignment.name, submission.student, **when)

    def commit(self) -> None:
        """Make what was taken permanent, then move its trees."""
        self._commit()
        while self._moves:
            tree = self._moves[0]
            tree.move(self._permissions)
            self._moves.pop(0)
        self._since = time.monotonic()

    def _write_notebook(self, recorded: Any, graded: Graded | None) -> None:
        for grade in recorded.grades:
            if graded is None:
                grade.auto_score, grade.needs_manual_grade = 0, False
            elif grade.name in graded.scores:
                grade.auto_score = graded.scores[grade.name]
                grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None
        if graded is None:
            return
        for comment in recorded.comments:
            if comment.name in graded.comments:
                comment.auto_comment = graded.comments[comment.name]

    def _penalize(self, student: str, submission: Any, notebook: Any) -> None:
        notebook.late_submission_penalty = None
        if submission.total_seconds_late <= 0:
            return
        self._gradebook.db.expire(notebook)
        late = AssignLatePenalties(config=self._config)
        late.init_plugin()
        penalty = late.plugin_inst.late_submission_penalty(student, notebook.score, submission.total_seconds_late)
        if penalty is not None:
            notebook.late_submission_penalty = late._check_late_penalty(notebook, penalty)
