"""Notebooks run on the engine: as `run_notebooks` does with kernels, but quicker, checks apart from answers."""

from __future__ import annotations

import contextlib
import copy
import re
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from roadmap_progress.execution.engine import Step
from roadmap_progress.execution.forks import Zygote
from roadmap_progress.execution.kernels import Run
from roadmap_progress.execution.workers import run_each
from roadmap_progress.notebooks import NotebookNode

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from roadmap_progress.execution.engine import Done, Engine

_MARK = re.compile(r"^#\s*grading:\s*(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """A notebook to run.

    Attributes:
        notebook: is not changed. nbgrader's metadata say which cells are locked and which are checks.
        graded: names that the released answers bind; see `engine.Engine.run`.
        fresh: nothing is imported beforehand, so that what a library prints when it is imported is seen.
    """

    notebook: NotebookNode
    graded: frozenset[str] = frozenset()
    fresh: bool = False


def run_forked(
    jobs: Sequence[Job],
    *,
    modules: Iterable[str] = (),
    timeout_s: float = 60,
    workers: int | None = None,
) -> Generator[tuple[int, Run], None, None]:
    """Run several notebooks, `workers` (default: the number of cores) at a time, each in processes of its own.

    Args:
        modules: worth importing beforehand.
        timeout_s: limit for each cell.

    Returns:
        A job's place and a copy of its notebook with outputs, as each gets ready. Unlike a kernel's run, one in
        which a cell timed out or crashed goes on behind it.

    Raises:
        ExecutionError: processes cannot be forked or shut in here.
    """
    turn = threading.Lock()

    def work(place: int, engine: Engine) -> tuple[int, Run]:
        job = jobs[place]
        if not job.fresh:
            return place, _run(job, engine, timeout_s)
        with turn:
            own = bare.clone()
        with contextlib.closing(own):
            return place, _run(job, replace(engine, zygote=own), timeout_s)

    with contextlib.ExitStack() as stack:
        zygote, bare = (stack.enter_context(contextlib.closing(Zygote())) for _ in range(2))
        zygote.launch()
        if any(job.fresh for job in jobs):
            bare.start()
        zygote.load(modules)
        runs = run_each(zygote, range(len(jobs)), work, jobs=workers, further=[bare])
        yield from stack.enter_context(contextlib.closing(runs))


def _run(job: Job, engine: Engine, timeout_s: float) -> Run:
    notebook = copy.deepcopy(job.notebook)
    places = [place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    steps = [step_of(notebook.cells[place]) for place in places]
    done, usage = engine.run(steps, graded=job.graded, timeout_s=timeout_s)
    ended: dict[str, int | None] = {"timed out": None, "crashed": None}
    for place, step in zip(places, done, strict=True):
        fill(notebook.cells[place], step)
        if step.ended in ended and ended[step.ended] is None:
            ended[step.ended] = place
    return Run(notebook, ended["timed out"], ended["crashed"], usage.seconds)


def marks(source: str) -> set[str]:
    """What a check's own text asks of the grader: a line `# grading: operators, same-process`."""
    return {word.strip() for found in _MARK.findall(source) for word in found.split(",")}


def step_of(cell: NotebookNode) -> Step:
    """The code cell as the engine runs it, by its nbgrader metadata."""
    about = cell.metadata.get("nbgrader", {})
    if about.get("grade") and not about.get("solution"):
        asked = marks(cell.source)
        return Step(cell.source, "check", operators="operators" in asked, same_process="same-process" in asked)
    return Step(cell.source, "locked" if about.get("locked") else "answer")


def fill(cell: NotebookNode, done: Done) -> None:
    """Put the outputs into the cell."""
    cell.outputs = [
        NotebookNode(
            {name: NotebookNode(part) if isinstance(part, dict) else part for name, part in output.items()}
        )
        for output in done.outputs
    ]
    cell.execution_count = done.count
