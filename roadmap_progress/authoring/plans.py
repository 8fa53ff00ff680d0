"""The runs that prove a notebook, and what each has to show. Runs nothing itself: `prove` does."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from roadmap_progress import notebooks
from roadmap_progress.authoring import apart
from roadmap_progress.authoring.visible import passes_visible, stderr_of
from roadmap_progress.notebooks import NotebookNode, cells_by_grade_id, new_code_cell, new_notebook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from roadmap_progress.authoring.exercises import ExerciseSource, ExercisesSource, RoleCell
    from roadmap_progress.execution import Run

CELL_TIMEOUT_S = 60


@dataclass
class Plan:
    """Cells to run, and what to make of the result.

    Attributes:
        judge: words for what does not hold.
        fresh: run it where nothing is imported beforehand.
        problems: what `judge` said; None before the run.
    """

    cells: list[NotebookNode]
    judge: Callable[[Run], Iterable[str]]
    fresh: bool = False
    problems: list[str] | None = None
    seconds: float = 0.0

    @property
    def checks(self) -> int:
        """How many of its cells are checks: the more, the longer it is likely to take."""
        return sum(map(_is_check, self.cells))

    def notebook(self) -> NotebookNode:
        """The cells as a notebook."""
        copies = [copy.deepcopy(cell) for cell in self.cells]
        for number, cell in enumerate(copies):
            cell.id = f"cell-{number}"
        made: NotebookNode = new_notebook(cells=copies)
        return made

    def take(self, run: Run) -> None:
        """Judge what came of it."""
        self.problems, self.seconds = list(self.judge(run)), run.seconds


@dataclass
class _Tried:
    """A mistake that has run.

    Attributes:
        said: the messages of the checks that failed.
        passes_visible: whether it gets past every visible check; None where only they, run alone, can tell.
        sure: whether a run of its own would tell nothing more, for there was one.
    """

    mistake: RoleCell
    said: list[str]
    passes_visible: bool | None
    sure: bool


@dataclass
class _Messages:
    """What failing checks said, by exercise: of the stub, and of each mistake."""

    stub: dict[str, list[str]] = field(default_factory=dict)
    mistakes: dict[int, _Tried] = field(default_factory=dict)  # by the mistake's line

    def tried(self, exercise: ExerciseSource) -> list[_Tried]:
        """An exercise's mistakes that have run, in the file's order."""
        lines = (mistake.cell.line for mistake in exercise.mistakes)
        return [self.mistakes[line] for line in lines if line in self.mistakes]


class Plans:
    """All that has to run for a notebook.

    Args:
        solved: the notebook in solutions/.
        released: the notebook in exercises/.
        only: the id of the one exercise to prove, or None.

    Attributes:
        setup: the locked cells without points.
        plans: they can run in any order, and at once.
    """

    def __init__(
        self, source: ExercisesSource, solved: NotebookNode, released: NotebookNode, only: str | None = None
    ) -> None:
        self._source, self._solved = source, solved
        self._full, self._stubs = cells_by_grade_id(solved), cells_by_grade_id(released)
        self.setup = [cell for cell in solved.cells if cell.metadata.get("roadmap", {}).get("role") == "setup"]
        self._exercises = [one for one in source.exercises if one.checks and only in (None, one.id)]
        self._messages = _Messages()
        self._again: list[tuple[ExerciseSource, RoleCell]] = []  # mistakes that have to run alone
        self._unsure: list[ExerciseSource] = []  # exercises whose solution has to run alone
        self.plans = [] if only else [self.whole(), *self._rounds()]
        self.plans += [self._alone(exercise) for exercise in self._exercises] if only else [self._backwards()]
        if only:
            self.plans += [self._mistake(one, mistake) for one in self._exercises for mistake in one.mistakes]
        topics = (part.topic for exercise in self._exercises for part in exercise.checks)
        self.plans += [self._without(topic) for topic in dict.fromkeys(topics)]
        stubs = [self._stub(exercise) for exercise in self._exercises]
        self.plans += stubs if only else [Plan(code_cells(released), self._judge_stub)]

    def whole(self) -> Plan:
        """The whole solved notebook as it is."""
        return Plan(code_cells(self._solved), self._judge_solution)

    def imports(self, modules: Iterable[str]) -> Plan:
        """What these modules print when they are imported, where nothing is yet."""
        return Plan([new_code_cell(f"import {name}") for name in modules], self._judge_imports, fresh=True)

    def doubts(self) -> list[Plan]:
        """When all plans have run: more, where they leave open what an answer does; ask until there are none.

        What would be said against a solution or mistake that ran among others is said only of what it does alone.
        Where no mistake is known to pass every visible check, but one may, these run by themselves.
        """
        unsure, self._unsure = self._unsure, []
        if unsure:
            return [self._alone(exercise) for exercise in unsure]
        again, self._again = self._again, []
        for exercise in self._exercises:
            tried = self._messages.tried(exercise)
            unseen = all(one.passes_visible is False for one in tried)
            reasons = [one.mistake.caught_by for one in tried]
            for one in tried:
                taken = sum(any(reason in text for text in one.said) for reason in reasons) > 1
                if not one.sure and (taken or unseen):
                    again.append((exercise, one.mistake))
        if again:
            return [self._mistake(exercise, mistake) for exercise, mistake in again]
        return [
            self._visible(exercise, tried)
            for exercise in self._exercises
            if not any(tried.passes_visible for tried in self._messages.tried(exercise))
            for tried in self._messages.tried(exercise)
            if tried.passes_visible is None
        ]

    def reasons(self) -> Iterator[str]:
        """What only all runs together tell: whether each mistake has a reason of its own."""
        for exercise in self._exercises:
            tried = self._messages.tried(exercise)
            for one in tried:
                caught_by = one.mistake.caught_by
                if any(caught_by in text for text in self._messages.stub.get(exercise.id, [])):
                    yield self._at(one.mistake, f"the untouched stub fails with {caught_by!r}, too")
                for other in tried:
                    if other is not one and any(caught_by in text for text in other.said):
                        line = other.mistake.cell.line
                        yield self._at(one.mistake, f"the mistake in line {line} fails with {caught_by!r}, too")
            if tried and not any(one.passes_visible for one in tried):
                yield (
                    f"{self._source.path}:{exercise.line}: every mistake fails a visible check; "
                    "add one that only a hidden check catches"
                )

    def _at(self, part: RoleCell, words: str) -> str:
        return f"{self._source.path}:{part.cell.line}: {words}"

    def _alone(self, exercise: ExerciseSource) -> Plan:
        """The setup, the exercise's answers, its checks from the last to the first."""
        return Plan([*self.setup, *self._turned(exercise)], self._judge_solution)

    def _backwards(self) -> Plan:
        """The same for all exercises, from the last to the first, none of which sees what another one defined."""
        cells = [*self.setup, apart.remember()]
        places: list[slice] = []
        for exercise in reversed(self._exercises):
            turned = self._turned(exercise)
            places.append(slice(len(cells), len(cells) + len(turned)))
            cells += [*turned, apart.forget()]

        def judge(run: Run) -> Iterator[str]:
            kept = run.ended_at is None and apart.holds(run.notebook)
            for exercise, place in zip(reversed(self._exercises), places, strict=True):
                if not kept or any(self._faults(run.notebook.cells[place])):
                    self._unsure.append(exercise)
            yield from ()

        return Plan(cells, judge)

    def _turned(self, exercise: ExerciseSource) -> list[NotebookNode]:
        return [self._full[part.grade_id] for part in (*exercise.answers, *reversed(exercise.checks))]

    def _stub(self, exercise: ExerciseSource) -> Plan:
        parts = [*exercise.answers, *exercise.checks]
        return Plan([*self.setup, *(self._stubs[part.grade_id] for part in parts)], self._judge_stub)

    def _judge_solution(self, run: Run) -> Iterator[str]:
        yield from self._faults(run.notebook.cells)
        yield from self._ended(run, "the solution")

    def _faults(self, cells: Iterable[NotebookNode]) -> Iterator[str]:
        for cell in cells:
            name = notebooks.grade_id(cell) or "a cell"
            if printed := stderr_of(cell):
                yield f"{self._source.path}: the solved {name} prints on stderr: {printed!r}"
            if (error := notebooks.error_of(cell)) is not None:
                yield f"{self._source.path}: the solved {name} raises {error[0]}: {error[1]}"
            elif _is_check(cell) and (points := notebooks.awarded_points(cell)) != cell.metadata.nbgrader.points:
                yield f"{self._source.path}: the solved {name} earns {points} of {cell.metadata.nbgrader.points:g}"

    def _judge_imports(self, run: Run) -> Iterator[str]:
        # what cannot be imported may be a file that the notebook writes; where it matters, the solution fails
        for cell in run.notebook.cells:
            if printed := stderr_of(cell):
                yield f"{self._source.path}: {cell.source} prints on stderr: {printed!r}"

    def _judge_stub(self, run: Run) -> Iterator[str]:
        for cell in run.notebook.cells:
            name = notebooks.grade_id(cell) or "a cell"
            error = notebooks.error_of(cell)
            if not _is_check(cell):
                if error:
                    yield f"{self._source.path}: the untouched {name} raises {error[0]}: {error[1]}"
                if printed := stderr_of(cell):
                    yield f"{self._source.path}: the untouched {name} prints on stderr: {printed!r}"
                continue
            exercise = cell.metadata.roadmap.exercise
            self._messages.stub.setdefault(exercise, []).append(error[1] if error else "")
            if notebooks.awarded_points(cell):
                yield f"{self._source.path}: the untouched stub earns points for {name}"
        yield from self._ended(run, "the untouched release")

    def _wrong(self, exercise: ExerciseSource, mistake: RoleCell) -> list[NotebookNode]:
        """The exercise's answers with the mistake among them."""
        return [
            new_code_cell(mistake.cell.text) if part.name == mistake.replaces else self._full[part.grade_id]
            for part in exercise.answers
        ]

    def _mistake(self, exercise: ExerciseSource, mistake: RoleCell) -> Plan:
        """The mistake alone."""
        checks = [self._full[part.grade_id] for part in exercise.checks]

        def judge(run: Run) -> Iterator[str]:
            graded = run.notebook.cells[-len(checks) :]
            tried = self._tried(mistake, graded, sure=True)
            self._messages.mistakes[mistake.cell.line] = tried
            if run.ended_at is not None:
                tried.passes_visible = False
                yield from self._ended(run, f"the mistake in line {mistake.cell.line}")
            elif not _loses(graded):
                yield self._at(mistake, "this mistake loses no points")
            elif not any(mistake.caught_by in text for text in tried.said):
                yield self._at(mistake, f"is not caught by {mistake.caught_by!r}; the checks said {tried.said!r}")

        return Plan([*self.setup, *self._wrong(exercise, mistake), *checks], judge)

    def _rounds(self) -> Iterator[Plan]:
        """All mistakes in few runs: each has one of every exercise, as long as that has any."""
        for number in range(max((len(exercise.mistakes) for exercise in self._exercises), default=0)):
            with_more = [one for one in self._exercises if len(one.mistakes) > number]
            yield self._round([(exercise, exercise.mistakes[number]) for exercise in with_more])

    def _round(self, chosen: list[tuple[ExerciseSource, RoleCell]]) -> Plan:
        """Mistakes of different exercises, one after the other, each with its checks; what is odd runs alone."""
        cells = [*self.setup, apart.remember()]
        places: list[slice] = []
        for exercise, mistake in chosen:
            cells += self._wrong(exercise, mistake)
            places.append(slice(len(cells), len(cells) + len(exercise.checks)))
            cells += [*(self._full[part.grade_id] for part in exercise.checks), apart.forget()]

        def judge(run: Run) -> Iterator[str]:
            kept = run.ended_at is None and apart.holds(run.notebook)
            for (exercise, mistake), place in zip(chosen, places, strict=True):
                graded = run.notebook.cells[place]
                tried = self._tried(mistake, graded, sure=False)
                if kept and _loses(graded) and any(mistake.caught_by in text for text in tried.said):
                    self._messages.mistakes[mistake.cell.line] = tried
                else:
                    self._again.append((exercise, mistake))
            yield from ()

        return Plan(cells, judge)

    def _tried(self, mistake: RoleCell, graded: list[NotebookNode], *, sure: bool) -> _Tried:
        said = [error[1] for cell in graded if (error := notebooks.error_of(cell))]
        return _Tried(mistake, said, passes_visible(graded, self._stubs), sure)

    def _visible(self, exercise: ExerciseSource, tried: _Tried) -> Plan:
        """The mistake with the checks that learners have, for certainty."""
        checks = [self._stubs[part.grade_id] for part in exercise.checks]

        def judge(run: Run) -> Iterator[str]:
            seen = run.notebook.cells[-len(checks) :]
            tried.sure = True
            tried.passes_visible = run.ended_at is None and not any(
                notebooks.error_of(cell) or stderr_of(cell) for cell in seen
            )
            yield from self._ended(run, f"the mistake in line {tried.mistake.cell.line}")

        return Plan([*self.setup, *self._wrong(exercise, tried.mistake), *checks], judge)

    def _without(self, topic: str) -> Plan:
        """All answers but the topic's, and the topic's checks."""
        touched = {
            part.grade_id
            for exercise in self._exercises
            if any(check.topic == topic for check in exercise.checks)
            for part in exercise.answers
        }
        parts = [check for exercise in self._exercises for check in exercise.checks]
        checks = {check.grade_id for check in parts if check.topic == topic}
        cells = [
            self._stubs[name] if (name := notebooks.grade_id(cell) or "") in touched else cell
            for cell in code_cells(self._solved)
            if not _is_check(cell) or notebooks.grade_id(cell) in checks
        ]

        def judge(run: Run) -> Iterator[str]:
            for cell in run.notebook.cells:
                if _is_check(cell) and notebooks.awarded_points(cell):
                    name = notebooks.grade_id(cell)
                    yield f"{self._source.path}: {name} earns points without the answers of its topic {topic!r}"

        return Plan(cells, judge)

    def _ended(self, run: Run, what: str) -> Iterator[str]:
        if run.ended_at is not None:
            name = notebooks.grade_id(run.notebook.cells[run.ended_at]) or f"cell {run.ended_at + 1}"
            how = f"took longer than {CELL_TIMEOUT_S} s" if run.timed_out is not None else "killed its kernel"
            yield f"{self._source.path}: {what}: {name} {how}"


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Its cells that can run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _is_check(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def _loses(checks: list[NotebookNode]) -> bool:
    """Whether these cells earned less than all their points."""
    most = sum(cell.metadata.nbgrader.points for cell in checks)
    return bool(sum(notebooks.awarded_points(cell) or 0 for cell in checks) < most)
