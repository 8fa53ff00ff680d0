"""Shows by running that exercises grade what they say: `roadmap prove`.

Every run has processes of its own, checks apart from answers as when a class is graded (a kernel of its own, where
the machine cannot shut processes in), and is judged by nbgrader's `determine_grade`. For each notebook:

- the solution earns full points, and prints nothing on stderr; also each exercise alone, its checks backwards
  (a checks cell needs only the setup and its own exercise's answers);
- the released stub runs cleanly and earns nothing;
- each mistake loses points for its own reason: `caught-by` is in a failing check's message, and in no message
  that the stub or another mistake gets; at least one mistake an exercise passes every visible check;
- with a topic's answers taken out, the topic's points are gone;
- nothing that learners must not have is in the release.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from roadmap_progress import notebooks
from roadmap_progress.authoring import exercises, outline, secrets
from roadmap_progress.authoring.build import Built, stale
from roadmap_progress.errors import SourceError
from roadmap_progress.execution import Run, run_notebooks
from roadmap_progress.execution.forked import run_forked
from roadmap_progress.execution.names import names_of_answers
from roadmap_progress.execution.sandbox import Unavailable, check_machine
from roadmap_progress.notebooks import NotebookNode, cells_by_grade_id, new_code_cell, new_notebook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from roadmap_progress.authoring.exercises import ExerciseSource, ExercisesSource, RoleCell
    from roadmap_progress.model import Notebook

CELL_TIMEOUT_S = 60


@dataclass(frozen=True)
class Proof:
    """What came of proving a notebook.

    Attributes:
        problems: `file:line: words`, empty where everything holds.
        runs: how many times a notebook was run.
        solution_s: seconds that the whole solved notebook took, servers included.
    """

    notebook: Notebook
    problems: list[str]
    runs: int
    solution_s: float


@dataclass(frozen=True)
class Solved:
    """What came of one run of a solved notebook.

    Attributes:
        problems: words, empty where every check earned all its points.
        seconds: wall-clock time, servers included.
    """

    problems: list[str]
    seconds: float


@dataclass
class _Plan:
    """A notebook to run, and what to make of the result."""

    cells: list[NotebookNode]
    judge: Callable[[Run], Iterable[str]]
    run: Run | None = None


@dataclass
class _Messages:
    """What failing checks said, by exercise: of the stub, and of each mistake."""

    stub: dict[str, list[str]] = field(default_factory=dict)
    mistakes: dict[str, list[tuple[RoleCell, list[str], bool]]] = field(default_factory=dict)


def prove(root: Path, notebook: Notebook, *, say: Callable[[str], None] = print) -> Proof:
    """Prove one notebook.

    Args:
        say: gets a line on how many runs are ahead.

    Raises:
        SourceError: the notebook's built files are stale, or its source is wrong.
        ExecutionError: no kernel could be started.
    """
    lesson, _ = outline.sources(root, notebook)
    source = _source(root, notebook)
    built = Built.of(root, notebook)
    prover = _Prover(source, notebooks.read(built.solutions), notebooks.read(built.exercises))
    plans = prover.plans()
    say(f"{notebook.number}: {len(plans)} runs")
    runs = prover.run(plans)
    problems = [problem for plan, run in zip(plans, runs, strict=True) for problem in plan.judge(run)]
    problems += prover.reasons()
    problems += secrets.leaks(
        source,
        secrets.lesson_lines(lesson),
        {built.exercises.name: built.exercises.read_text(encoding="utf-8")},
    )
    return Proof(notebook, problems, len(plans), runs[0].seconds)


def solve(root: Path, notebook: Notebook, *, times: int = 1) -> list[Solved]:
    """Run the whole solved notebook so many times, one after the other.

    Raises:
        SourceError: the notebook's built files are stale, or its source is wrong.
        ExecutionError: no process could be forked.
    """
    built = Built.of(root, notebook)
    source = _source(root, notebook)
    prover = _Prover(source, notebooks.read(built.solutions), notebooks.read(built.exercises))
    plan = prover.plans()[0]
    runs = prover.run([plan] * times, jobs=1)
    return [Solved(list(plan.judge(run)), run.seconds) for run in runs]


def _source(root: Path, notebook: Notebook) -> ExercisesSource:
    _, path = outline.sources(root, notebook)
    if old := stale(root, notebook):
        raise SourceError(path, None, old[0], f"`roadmap build {notebook.number}` before proving")
    return exercises.read(path)


class _Prover:
    def __init__(self, source: ExercisesSource, solved: NotebookNode, released: NotebookNode) -> None:
        self._source = source
        self._solved, self._released = solved, released
        self._full, self._stubs = cells_by_grade_id(solved), cells_by_grade_id(released)
        self._setup = [cell for cell in solved.cells if cell.metadata.get("roadmap", {}).get("role") == "setup"]
        self._messages = _Messages()

    def plans(self) -> list[_Plan]:
        """All runs; the first is the whole solved notebook."""
        plans = [_Plan(_code(self._solved), self._judge_solution), _Plan(_code(self._released), self._judge_stub)]
        for exercise in self._source.exercises:
            if not exercise.checks:
                continue
            alone = [self._full[part.grade_id] for part in [*exercise.answers, *reversed(exercise.checks)]]
            plans.append(_Plan([*self._setup, *alone], self._judge_solution))
            plans += [self._mistake(exercise, mistake) for mistake in exercise.mistakes]
        plans += [self._without(topic) for topic in dict.fromkeys(self._topics())]
        return plans

    def run(self, plans: list[_Plan], *, jobs: int | None = None) -> list[Run]:
        """All of them, as a class is graded, `jobs` (default: the number of cores) at a time."""
        made = [_notebook(plan.cells) for plan in plans]
        try:
            check_machine()
        except Unavailable:
            return run_notebooks(made, timeout_s=CELL_TIMEOUT_S, jobs=jobs)
        answers = [
            cell for cell in self._stubs.values() if cell.cell_type == "code" and cell.metadata.nbgrader.solution
        ]
        graded = names_of_answers((cell.source for cell in answers), (cell.source for cell in self._setup))
        return run_forked(made, graded=graded, timeout_s=CELL_TIMEOUT_S, jobs=jobs)

    def reasons(self) -> list[str]:
        """What only all runs together tell: whether each mistake has a reason of its own."""
        problems = []
        for exercise in self._source.exercises:
            tried = self._messages.mistakes.get(exercise.id, [])
            for mistake, _, _ in tried:
                others = [(other, said) for other, said, _ in tried if other is not mistake]
                if any(mistake.caught_by in text for text in self._messages.stub.get(exercise.id, [])):
                    problems.append(self._at(mistake, f"the untouched stub fails with {mistake.caught_by!r}, too"))
                for other, said in others:
                    if any(mistake.caught_by in text for text in said):
                        line = other.cell.line
                        words = f"the mistake in line {line} fails with {mistake.caught_by!r}, too"
                        problems.append(self._at(mistake, words))
            if tried and not any(hidden_only for _, _, hidden_only in tried):
                problems.append(
                    f"{self._source.path}:{exercise.line}: every mistake fails a visible check; "
                    "add one that only a hidden check catches"
                )
        return problems

    def _topics(self) -> Iterable[str]:
        return (part.topic for exercise in self._source.exercises for part in exercise.checks)

    def _at(self, part: RoleCell, words: str) -> str:
        return f"{self._source.path}:{part.cell.line}: {words}"

    def _judge_solution(self, run: Run) -> Iterable[str]:
        for cell in run.notebook.cells:
            name = notebooks.grade_id(cell) or "a cell"
            if printed := _stderr(cell):
                yield f"{self._source.path}: the solved {name} prints on stderr: {printed!r}"
            if (error := notebooks.error_of(cell)) is not None:
                yield f"{self._source.path}: the solved {name} raises {error[0]}: {error[1]}"
            elif _is_check(cell) and (points := notebooks.awarded_points(cell)) != cell.metadata.nbgrader.points:
                yield f"{self._source.path}: the solved {name} earns {points} of {cell.metadata.nbgrader.points:g}"
        yield from self._ended(run, "the solution")

    def _judge_stub(self, run: Run) -> Iterable[str]:
        for cell in run.notebook.cells:
            name = notebooks.grade_id(cell) or "a cell"
            error = notebooks.error_of(cell)
            if not _is_check(cell):
                if error:
                    yield f"{self._source.path}: the untouched {name} raises {error[0]}: {error[1]}"
                if printed := _stderr(cell):
                    yield f"{self._source.path}: the untouched {name} prints on stderr: {printed!r}"
                continue
            exercise = cell.metadata.roadmap.exercise
            self._messages.stub.setdefault(exercise, []).append(error[1] if error else "")
            if notebooks.awarded_points(cell):
                yield f"{self._source.path}: the untouched stub earns points for {name}"
        yield from self._ended(run, "the untouched release")

    def _mistake(self, exercise: ExerciseSource, mistake: RoleCell) -> _Plan:
        answers = [
            new_code_cell(mistake.cell.text) if part.name == mistake.replaces else self._full[part.grade_id]
            for part in exercise.answers
        ]
        visible = [self._stubs[part.grade_id] for part in exercise.checks]
        full = [self._full[part.grade_id] for part in exercise.checks]

        def judge(run: Run) -> Iterable[str]:
            cells = run.notebook.cells
            seen, graded = cells[-2 * len(full) : -len(full)], cells[-len(full) :]
            said = [error[1] for cell in graded if (error := notebooks.error_of(cell))]
            passes_visible = not any(notebooks.error_of(cell) or _stderr(cell) for cell in seen)
            ended_early = run.ended_at is not None
            self._messages.mistakes.setdefault(exercise.id, []).append(
                (mistake, said, passes_visible and not ended_early)
            )
            if ended_early:
                yield from self._ended(run, f"the mistake in line {mistake.cell.line}")
            elif sum(notebooks.awarded_points(cell) or 0 for cell in graded) >= sum(
                part.points for part in exercise.checks
            ):
                yield self._at(mistake, "this mistake loses no points")
            elif not any(mistake.caught_by in text for text in said):
                yield self._at(mistake, f"is not caught by {mistake.caught_by!r}; the checks said {said!r}")

        return _Plan([*self._setup, *answers, *visible, *full], judge)

    def _without(self, topic: str) -> _Plan:
        touched = {
            part.grade_id
            for exercise in self._source.exercises
            if any(check.topic == topic for check in exercise.checks)
            for part in exercise.answers
        }
        cells = [
            self._stubs[name] if (name := notebooks.grade_id(cell) or "") in touched else cell
            for cell in _code(self._solved)
        ]

        def judge(run: Run) -> Iterable[str]:
            for cell in run.notebook.cells:
                if _is_check(cell) and cell.metadata.roadmap.topic == topic and notebooks.awarded_points(cell):
                    name = notebooks.grade_id(cell)
                    yield f"{self._source.path}: {name} earns points without the answers of its topic {topic!r}"

        return _Plan(cells, judge)

    def _ended(self, run: Run, what: str) -> Iterable[str]:
        if run.ended_at is not None:
            name = notebooks.grade_id(run.notebook.cells[run.ended_at]) or f"cell {run.ended_at + 1}"
            how = f"took longer than {CELL_TIMEOUT_S} s" if run.timed_out is not None else "killed its kernel"
            yield f"{self._source.path}: {what}: {name} {how}"


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _notebook(cells: list[NotebookNode]) -> NotebookNode:
    copies = [copy.deepcopy(cell) for cell in cells]
    for number, cell in enumerate(copies):
        cell.id = f"cell-{number}"  # a check may run twice in one run
    made: NotebookNode = new_notebook(cells=copies)
    return made


def _is_check(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def _stderr(cell: NotebookNode) -> str:
    return "".join(
        output.text
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    )
