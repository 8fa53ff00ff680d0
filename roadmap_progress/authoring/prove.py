"""Shows by running that exercises grade what they say: `roadmap prove`.

Every run has processes of its own, checks apart from answers as when a class is graded (a kernel of its own, where
the machine cannot shut processes in), and is judged by nbgrader's `determine_grade`. For each notebook:

- the solution earns full points, and prints nothing on stderr; also with exercises and checks from the last to the
  first, where none sees what another exercise's answers defined (a checks cell needs only the setup and its own
  exercise's answers); where this falls short, each exercise alone;
- the released stub runs cleanly and earns nothing;
- each mistake loses points for its own reason: `caught-by` is in a failing check's message, and in no message
  that the stub or another mistake gets; at least one mistake an exercise passes every visible check;
  mistakes of different exercises share a run, in which no exercise sees what another one's answers defined, and a
  mistake that does anything there but what it should is judged by a run of its own;
- with a topic's answers taken out, and all others there, the topic's checks earn nothing;
- nothing that learners must not have is in the release.

A section's notebooks are proved together, as grading runs them: one process has imported what they import, and is
forked for each run. What these imports print is looked at where nothing is imported yet, once a section.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from roadmap_progress import notebooks
from roadmap_progress.authoring import exercises, outline, secrets
from roadmap_progress.authoring.build import Built, stale
from roadmap_progress.authoring.plans import CELL_TIMEOUT_S, Plans, code_cells
from roadmap_progress.errors import CatalogError, SourceError
from roadmap_progress.execution import run_notebooks
from roadmap_progress.execution.forked import Job, run_forked
from roadmap_progress.execution.names import imported_modules, names_of_answers
from roadmap_progress.execution.sandbox import Unavailable, check_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from pathlib import Path

    from roadmap_progress.authoring.plans import Plan
    from roadmap_progress.execution import Run
    from roadmap_progress.model import Notebook

RUNS_A_CORE = 2  # a run waits for servers and clocks as long as it computes


@dataclass(frozen=True)
class Proof:
    """What came of proving a notebook.

    Attributes:
        problems: `file:line: words`, empty where everything holds.
        runs: how many times a notebook was run.
        solution_s: seconds that the whole solved notebook took, servers included; None where it did not run.
    """

    notebook: Notebook
    problems: list[str]
    runs: int
    solution_s: float | None


@dataclass(frozen=True)
class Solved:
    """What came of one run of a solved notebook.

    Attributes:
        problems: words, empty where every check earned all its points.
        seconds: wall-clock time, servers included.
    """

    problems: list[str]
    seconds: float


def prove(
    root: Path, chosen: Iterable[Notebook], *, exercise: str | None = None, say: Callable[[str], None] = print
) -> Generator[Proof, None, None]:
    """Prove notebooks, as each gets ready.

    Args:
        exercise: the id of an exercise: prove this one alone, which leaves out the whole solved notebook.
        say: gets a line a notebook on how many runs are ahead.

    Raises:
        SourceError: a notebook's built files are stale, or its source is wrong.
        CatalogError: it has no such exercise.
        ExecutionError: no process could be forked, or no kernel be started.
    """
    for _, group in groupby(chosen, key=lambda notebook: notebook.section):
        subjects = [_Subject(root, notebook, exercise) for notebook in group]
        imported: set[str] = set()
        for subject in subjects if exercise is None else ():
            subject.look_at_imports(imported)
        for subject in subjects:
            say(f"{subject.notebook.number}: {len(subject.plans)} runs")
        # The longest first, whichever notebook's: at the end, what is short keeps all workers at work.
        todo = sorted(((one, plan) for one in subjects for plan in one.plans), key=lambda pair: -pair[1].checks)
        while todo:
            doubtful: list[tuple[_Subject, Plan]] = []
            with contextlib.closing(_run(todo)) as ready:
                for subject in ready:
                    doubts = subject.runs.doubts()
                    subject.plans += doubts
                    doubtful += [(subject, plan) for plan in doubts]
                    if not doubts:
                        yield subject.proof()
            todo = doubtful


def solve(root: Path, notebook: Notebook, *, times: int = 1) -> list[Solved]:
    """Run the whole solved notebook so many times, one after the other, as a class is graded: libraries are there.

    Raises:
        SourceError: the notebook's built files are stale, or its source is wrong.
        ExecutionError: no process could be forked.
    """
    subject = _Subject(root, notebook)
    subject.plans = [subject.runs.whole() for _ in range(times)]
    for _ in _run([(subject, plan) for plan in subject.plans], workers=1):
        pass
    return [Solved(plan.problems or [], plan.seconds) for plan in subject.plans]


class _Subject:
    """A notebook, and what has to run for it."""

    def __init__(self, root: Path, notebook: Notebook, exercise: str | None = None) -> None:
        lesson, path = outline.sources(root, notebook)
        if old := stale(root, notebook):
            raise SourceError(path, None, old[0], f"`roadmap build {notebook.number}` before proving")
        source = exercises.read(path)
        known = [one.id for one in source.exercises if one.checks]
        if exercise is not None and exercise not in known:
            raise CatalogError(f"{notebook.number} has no exercise {exercise!r} with checks: {', '.join(known)}")
        built = Built.of(root, notebook)
        solved, released = notebooks.read(built.solutions), notebooks.read(built.exercises)
        self.notebook = notebook
        self.runs = Plans(source, solved, released, exercise)
        self.plans = self.runs.plans
        answers = [cell.source for cell in code_cells(released) if cell.metadata.nbgrader.solution]
        self.graded = names_of_answers(answers, (cell.source for cell in self.runs.setup))
        self.modules = [name for cell in code_cells(solved) for name in imported_modules(cell.source)]
        self._source, self._exercise, self._built, self._lesson = source, exercise, built, lesson

    def look_at_imports(self, known: set[str]) -> None:
        """Have the modules imported that are not known by now; they are, then."""
        new = [name for name in dict.fromkeys(self.modules) if name not in known]
        known.update(new)
        if new:
            self.plans.append(self.runs.imports(new))

    def proof(self) -> Proof:
        """What came of it, when all plans have run."""
        problems = [words for plan in self.plans for words in plan.problems or ()]
        problems += self.runs.reasons()
        problems += secrets.leaks(
            self._source,
            secrets.lesson_lines(self._lesson),
            {self._built.exercises.name: self._built.exercises.read_text(encoding="utf-8")},
        )
        return Proof(self.notebook, problems, len(self.plans), None if self._exercise else self.plans[0].seconds)


def _run(todo: Sequence[tuple[_Subject, Plan]], *, workers: int | None = None) -> Generator[_Subject, None, None]:
    """Run plans; each subject is given back when the last of its plans has run."""
    with contextlib.closing(_runs(todo, workers)) as runs:
        for place, run in runs:
            subject, plan = todo[place]
            plan.take(run)
            if all(one.problems is not None for one in subject.plans):
                yield subject


def _runs(todo: Sequence[tuple[_Subject, Plan]], workers: int | None) -> Generator[tuple[int, Run], None, None]:
    """As a class is graded, `workers` at a time (default: `RUNS_A_CORE` a core), as each gets ready."""
    workers = workers or RUNS_A_CORE * (os.cpu_count() or 1)
    try:
        check_machine()
    except Unavailable:
        made = [plan.notebook() for _, plan in todo]
        yield from enumerate(run_notebooks(made, timeout_s=CELL_TIMEOUT_S, jobs=workers))
        return
    jobs = [Job(plan.notebook(), subject.graded, plan.fresh) for subject, plan in todo]
    modules = dict.fromkeys(name for subject, _ in todo for name in subject.modules)
    yield from run_forked(jobs, modules=modules, timeout_s=CELL_TIMEOUT_S, workers=workers)
