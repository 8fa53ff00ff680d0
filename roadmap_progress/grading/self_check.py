"""Grading one's own copy: what autograde would say of it, before it is handed in.

The copy runs as a whole, from the top, in a fresh kernel. A cell that runs out of time or kills the kernel is
taken out and the rest runs again, so that one endless loop costs one exercise and not the notebook.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap_progress import execution, notebooks
from roadmap_progress.errors import NotebookError
from roadmap_progress.grading.assemble import STUB, assemble
from roadmap_progress.hidden import frames, hidden_lines
from roadmap_progress.model import Outcome, digest
from roadmap_progress.notebooks import cells_by_grade_id, grade_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roadmap_progress.model import Check, Exercise, Notebook
    from roadmap_progress.notebooks import NotebookNode

_HINT = re.compile(r"<summary>\s*Hint (\d+)\s*</summary>")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of one check.

    Attributes:
        outcome: None for an essay that was written, and waits for a person.
        message: the assertion's words, or why it did not come to them; "" when it passed.
    """

    check: Check
    outcome: Outcome | None
    points: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class ExerciseResult:
    """What came of one exercise.

    Attributes:
        answer_digest: of the answers that were graded.
        hints: how many hints its text has.
    """

    exercise: Exercise
    checks: tuple[CheckResult, ...]
    answer_digest: str
    hints: int

    @property
    def attempted(self) -> bool:
        """Whether any answer differs from the release."""
        return any(result.outcome is not Outcome.NOT_ATTEMPTED for result in self.checks)

    @property
    def passed(self) -> bool:
        """Whether nothing in it fell short; an essay that waits for its grade does not."""
        return all(result.outcome in (Outcome.PASSED, None) for result in self.checks)

    @property
    def points(self) -> float:
        """What its checks earned."""
        return sum(result.points for result in self.checks)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a notebook.

    Attributes:
        hidden: whether hidden checks were run; they are where solutions/ is.
        trouble: what went wrong outside the exercises, in words.
    """

    notebook: Notebook
    exercises: tuple[ExerciseResult, ...]
    hidden: bool
    trouble: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Ran:
    """The assembled notebook after it ran.

    Attributes:
        outcomes: of the cells that had to be taken out, by index.
        stopped: what those did, in words.
        texts: the cells' sources before any was taken out, by id.
    """

    notebook: NotebookNode
    outcomes: dict[int, Outcome]
    stopped: dict[int, str]
    texts: dict[str, str]

    def index(self, name: str) -> int:
        return next(index for index, cell in enumerate(self.notebook.cells) if grade_id(cell) == name)

    def cell(self, name: str) -> NotebookNode:
        found: NotebookNode = self.notebook.cells[self.index(name)]
        return found

    def answer_digest(self, name: str) -> str:
        """Digest of the learner's answer; "" where their copy has no such cell."""
        return "" if self.cell(name).metadata.get("roadmap", {}).get(STUB) else digest(self.texts[name])


def grade(
    root: Path, notebook: Notebook, learners: Path, *, only: Exercise | None = None, timeout_s: float = 60
) -> Report:
    """Grade the copy at `learners`, or one exercise of it.

    Args:
        timeout_s: limit for each cell.

    Raises:
        NotebookError: the copy, or the course's own notebook, cannot be read.
        ExecutionError: no kernel could be started.
    """
    place = Path(notebook.section) / f"{notebook.stem}.ipynb"
    released = notebooks.read(root / "exercises" / place)
    hidden = (root / "solutions" / place).is_file()
    course = notebooks.read(root / "solutions" / place) if hidden else released
    assembled = assemble(notebooks.read(learners), course, released)
    exercises = [only] if only else list(notebook.exercises)
    for exercise in exercises:
        for name in _cell_names(exercise):
            if name not in cells_by_grade_id(assembled):
                raise NotebookError(
                    f"{root / 'exercises' / place}: has no cell {name!r}, which the roadmap knows; "
                    "`git checkout` course/ and exercises/ of one version, or `roadmap build`"
                )
    if only:
        _end_behind(assembled, only)
    ran = _run(assembled, root / "exercises" / notebook.section, timeout_s)
    return Report(
        notebook,
        tuple(_judge(exercise, ran, _hints(released, exercise)) for exercise in exercises),
        hidden,
        tuple(_trouble(ran)),
    )


def _cell_names(exercise: Exercise) -> set[str]:
    return {answer.id for answer in exercise.answers} | {check.id for check in exercise.checks}


def _end_behind(notebook: NotebookNode, exercise: Exercise) -> None:
    wanted = _cell_names(exercise)
    last = max(index for index, cell in enumerate(notebook.cells) if grade_id(cell) in wanted)
    del notebook.cells[last + 1 :]


def _run(notebook: NotebookNode, files: Path, timeout_s: float) -> _Ran:
    """Run the notebook to its end, taking out what does not come to one."""
    texts = {name: cell.source for name, cell in cells_by_grade_id(notebook).items()}
    stopped: dict[int, str] = {}
    outcomes: dict[int, Outcome] = {}
    while True:
        with tempfile.TemporaryDirectory(prefix="roadmap-check-") as folder:
            # A folder of its own: what answers write must not land among the learner's files.
            shutil.copytree(files, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.ipynb"))
            run = execution.run_notebook(notebook, cwd=Path(folder), timeout_s=timeout_s)
        at = run.ended_at
        if at is None:
            break
        timed_out = run.timed_out is not None
        outcomes[at] = Outcome.TIMED_OUT if timed_out else Outcome.CRASHED
        stopped[at] = f"did not end within {timeout_s:g} s" if timed_out else "ended the kernel"
        notebook.cells[at].source = ""
    return _Ran(run.notebook, outcomes, stopped, texts)


def _judge(exercise: Exercise, ran: _Ran, hints: int) -> ExerciseResult:
    essays = {check.id for check in exercise.checks if check.kind == "essay"}
    found = {answer.id: ran.answer_digest(answer.id) for answer in exercise.answers}
    changed = {answer.id for answer in exercise.answers if found[answer.id] not in ("", answer.released)}
    results = []
    for check in exercise.checks:
        if check.id in essays:
            results.append(CheckResult(check, None if check.id in changed else Outcome.NOT_ATTEMPTED))
        elif not changed - essays:
            results.append(CheckResult(check, Outcome.NOT_ATTEMPTED))
        else:
            results.append(_verdict(check, ran, [name for name in found if name not in essays]))
    digests = list(found.values())
    whole = digests[0] if len(digests) == 1 else digest(" ".join(digests))
    return ExerciseResult(exercise, tuple(results), whole if any(digests) else "", hints)


def _verdict(check: Check, ran: _Ran, answers: list[str]) -> CheckResult:
    for whose, name in (*(("your answer", name) for name in answers), ("this check", check.id)):
        index = ran.index(name)
        if index in ran.outcomes:
            return CheckResult(check, ran.outcomes[index], message=f"{whose} {ran.stopped[index]}")
    cell = ran.cell(check.id)
    points = notebooks.awarded_points(cell) or 0.0
    if points == check.points:
        return CheckResult(check, Outcome.PASSED, points)
    error = notebooks.error_of(cell)
    if error is None:
        return CheckResult(check, Outcome.FAILED, points, _without_error(cell, points, check.points))
    name, words = error
    if name == "AssertionError":
        return CheckResult(
            check, Outcome.FAILED, points, _in_hidden_part(cell) + (words or "an assertion without words")
        )
    for answer in answers:
        if own := notebooks.error_of(ran.cell(answer)):
            return CheckResult(check, Outcome.CRASHED, points, f"your answer stopped with {own[0]}: {own[1]}")
    return CheckResult(check, Outcome.CRASHED, points, f"{_in_hidden_part(cell)}{name}: {words}")


def _without_error(cell: NotebookNode, points: float, possible: float) -> str:
    written = "".join(
        output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stderr"
    )
    if written:
        last = written.strip().splitlines()[-1:] or [""]
        return f"written to stderr, for which nbgrader gives no points (a warning is enough): {last[0]}"
    return f"{points:g} of {possible:g} points"


def _in_hidden_part(cell: NotebookNode) -> str:
    """Words for a failure that the learner will not find in the notebook."""
    hidden = hidden_lines(cell.source)
    error = next(output for output in cell.outputs if output.output_type == "error")
    at = [line for count, line, _ in frames(error.traceback) if count == cell.execution_count]
    return "(a further check, not in the notebook) " if hidden.intersection(at) else ""


def _trouble(ran: _Ran) -> Iterator[str]:
    for index, cell in enumerate(ran.notebook.cells):
        name = grade_id(cell)
        locked = name is not None and not cell.metadata.nbgrader.solution and not cell.metadata.nbgrader.grade
        if index in ran.stopped and (name is None or locked):
            yield f"{'the set-up cell ' + name if name else 'a cell that you added'} {ran.stopped[index]}"
        elif locked and (error := notebooks.error_of(cell)):
            yield f"the set-up cell {name} stopped with {error[0]}: {error[1]}"


def _hints(released: NotebookNode, exercise: Exercise) -> int:
    """How many hints stand before the exercise's first cell, behind the exercise before it."""
    own = _cell_names(exercise)
    count = 0
    for cell in released.cells:
        if grade_id(cell) in own:
            break
        if grade_id(cell) is not None:
            count = 0
        elif cell.cell_type == "markdown":
            count += len(_HINT.findall(cell.source))
    return count
