"""One submitted notebook graded: bytes and the assignment's source in, scores and an executed notebook out.

Pure but for the processes that it forks: no database, no file, nothing that another submission could meet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbgrader import utils
from nbgrader.preprocessors import LimitOutput

from roadmap_progress import notebooks
from roadmap_progress.errors import NotebookError
from roadmap_progress.execution.engine import TAMPERED, Usage
from roadmap_progress.execution.forked import fill, step_of
from roadmap_progress.grading.repair import repair
from roadmap_progress.grading.safe import make_safe
from roadmap_progress.notebooks import LANGUAGE_INFO, NotebookNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from roadmap_progress.execution.engine import Done, Engine
    from roadmap_progress.grading.assignment import Assignment, Source

_NAME = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Graded:
    """What came of a notebook.

    Attributes:
        notebook: executed, as it goes to `autograded/`; "" where it could not be read.
        scores: points by grade id; None where a person has to grade.
        comments: "No response." or None, by grade id of what students write.
        notes: what went wrong or was mended, in words for the instructor.
        failed: why it could not be graded at all, or None.
    """

    notebook: str
    scores: dict[str, float | None] = field(default_factory=dict)
    comments: dict[str, str | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    failed: str | None = None


Results = dict[str, Graded | None]  # by notebook; None where it was not handed in


def grade_all(
    submitted: Mapping[str, bytes | None],
    assignment: Assignment,
    engine: Engine,
    *,
    files: str | None = None,
    timeout_s: float = 30,
) -> Results:
    """Grade all notebooks of a submission.

    Args:
        submitted: by name; None, or no entry, where it was not handed in.
        files: folder whose files lie beside the notebooks.

    Raises:
        ExecutionError: as `grade`.
    """
    return {
        name: None
        if (data := submitted.get(name)) is None
        else grade(data, assignment, source, engine, files=files, timeout_s=timeout_s)
        for name, source in assignment.sources.items()
    }


def grade(
    data: bytes,
    assignment: Assignment,
    source: Source,
    engine: Engine,
    *,
    files: str | None = None,
    timeout_s: float = 30,
) -> Graded:
    """Grade one notebook of a submission.

    Args:
        data: the submitted file.
        files: folder whose files lie beside the notebook.

    Raises:
        ExecutionError: the machine failed, not the submission: no process could be forked or shut in.
    """
    try:
        notebook, notes = repair(data, source)
    except NotebookError as error:
        return Graded("", failed=str(error))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    steps = [step_of(cell) for cell in code]
    rebound: set[str] = set()
    if not assignment.own:  # what an answer mentions, it may have changed
        mentioned = {name for cell in code if not utils.is_locked(cell) for name in _NAME.findall(cell.source)}
        rebound = mentioned & source.locked_names
    done, usage = engine.run(steps, graded=source.graded_names, rebound=rebound, files=files, timeout_s=timeout_s)
    for cell, step in zip(code, done, strict=True):
        fill(cell, step)
        notes += _went_wrong(notebooks.grade_id(cell) or "a cell of the student", step)
    notebook.metadata.setdefault("language_info", NotebookNode(LANGUAGE_INFO))
    limited, _ = LimitOutput().preprocess(notebook, {})
    scores: dict[str, float | None] = {}
    comments: dict[str, str | None] = {}
    for cell in limited.cells:
        name = notebooks.grade_id(cell)
        if name is None:
            continue
        if utils.is_grade(cell):
            points, _ = utils.determine_grade(cell)
            scores[name] = None if points is None else float(points)
        if utils.is_solution(cell) or utils.is_task(cell):
            untouched = cell.metadata.nbgrader.checksum == utils.compute_checksum(cell)
            comments[name] = "No response." if untouched and not utils.is_task(cell) else None
    make_safe(limited)
    try:
        text = notebooks.dumps(limited)
    except NotebookError as error:
        return Graded("", failed=str(error))
    return Graded(text, scores, comments, notes, usage)


def _went_wrong(name: str, step: Done) -> Iterator[str]:
    if any(output.get("ename") == TAMPERED for output in step.outputs):
        yield f"{name}: the answers changed what a check beside them stands on"
    if step.ended:
        yield f"{name} {step.ended}"
