"""A learner's notebook put back together for grading: their answers among the course's own cells.

As nbgrader's autograde does it: locked cells and checks come from the course whatever the copy holds, the last
of several cells with one id counts, cells that the learner added stay where they are.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from roadmap_progress.notebooks import NotebookNode, cells_by_grade_id, grade_id

if TYPE_CHECKING:
    from collections.abc import Iterable

STUB = "stub"  # in metadata.roadmap: the learner's copy lacks this answer


def assemble(learners: NotebookNode, course: NotebookNode, released: NotebookNode) -> NotebookNode:
    """The notebook to run.

    Args:
        learners: the copy, in whatever state.
        course: where locked cells and checks come from: solutions/ with hidden checks, or exercises/.
        released: exercises/, for what an untouched answer looks like.
    """
    ours, stubs = cells_by_grade_id(course), cells_by_grade_id(released)
    last = {name: index for index, cell in enumerate(learners.cells) if (name := grade_id(cell)) in ours}
    cells = []
    for index, cell in enumerate(learners.cells):
        name = grade_id(cell)
        if name in ours and last[name] == index:
            cells.append(_course_cell(ours[name], stubs[name], cell))
        elif cell.cell_type == "code":
            extra = copy.deepcopy(cell)
            extra.metadata = NotebookNode()
            cells.append(extra)
    _put_back(cells, course, stubs)
    notebook = copy.deepcopy(released)
    notebook.cells = cells
    return notebook


def _course_cell(ours: NotebookNode, stub: NotebookNode, learners: NotebookNode | None) -> NotebookNode:
    """The course's cell, with the learner's text where it is theirs to write."""
    if not stub.metadata.nbgrader.solution:
        return copy.deepcopy(ours)
    cell = copy.deepcopy(stub)  # with nbgrader's checksum of the untouched answer
    if learners is None:
        cell.metadata.setdefault("roadmap", NotebookNode())[STUB] = True
    else:
        cell.source = learners.source
    return cell


def _put_back(cells: list[NotebookNode], course: NotebookNode, stubs: dict[str, NotebookNode]) -> None:
    """Insert what the learner deleted, each behind the cell that it follows in the course."""
    previous = -1
    for cell in course.cells:
        name = grade_id(cell)
        if name is None:
            continue
        at = _position(cells, name)
        if at is None:
            at = previous + 1
            cells.insert(at, _course_cell(cell, stubs[name], None))
        previous = at


def _position(cells: Iterable[NotebookNode], name: str) -> int | None:
    return next((index for index, cell in enumerate(cells) if grade_id(cell) == name), None)
