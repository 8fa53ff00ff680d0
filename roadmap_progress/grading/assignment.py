"""What the gradebook knows of an assignment, read once: all that grading a submission needs, and nothing live.

Works on any nbgrader course directory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbgrader.api import MissingEntry

from roadmap_progress.errors import ClassroomError
from roadmap_progress.execution.forked import marks
from roadmap_progress.execution.names import bound_names, imported_modules, names_of_answers
from roadmap_progress.grading.gradebook import opened

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SourceCell:
    """A cell that nbgrader knows, as the gradebook has it: a check's text includes the hidden part.

    Attributes:
        points: None where the cell is not graded.
        task: a description that a person grades.
    """

    name: str
    cell_type: str
    source: str
    checksum: str
    locked: bool
    grade: bool
    solution: bool
    task: bool
    points: float | None

    @property
    def metadata(self) -> dict[str, Any]:
        """nbgrader's metadata of the cell, schema 3."""
        found: dict[str, Any] = {
            "grade": self.grade,
            "grade_id": self.name,
            "locked": self.locked,
            "schema_version": 3,
            "solution": self.solution,
            "task": self.task,
            "cell_type": self.cell_type,
            "checksum": self.checksum,
        }
        if self.points is not None:
            found["points"] = int(self.points) if self.points == int(self.points) else self.points
        return found


@dataclass(frozen=True, slots=True)
class Source:
    """A notebook of the assignment.

    Attributes:
        graded_names: what a check takes from the answers; see `names_of_answers`.
        locked_names: what locked cells bind.
    """

    name: str
    cells: tuple[SourceCell, ...]
    kernelspec: dict[str, Any] | None
    graded_names: frozenset[str]
    locked_names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Assignment:
    """An assignment of a course.

    Attributes:
        own: whether this is the roadmap course, whose checks are written for two processes.
    """

    name: str
    sources: dict[str, Source]
    own: bool

    def beside(self) -> list[str]:
        """The checks that say `# grading: same-process`, as `notebook: id`."""
        return [
            f"{source.name}: {cell.name}"
            for source in self.sources.values()
            for cell in source.cells
            if cell.grade and not cell.solution and "same-process" in marks(cell.source)
        ]

    def modules(self) -> list[str]:
        """What its notebooks import: worth having in a zygote."""
        found: dict[str, None] = {}
        for source in self.sources.values():
            for cell in source.cells:
                if cell.cell_type == "code":
                    found.update(dict.fromkeys(imported_modules(cell.source)))
        return list(found)


def load(root: Path, name: str) -> Assignment:
    """Read the assignment from the course's gradebook.

    Raises:
        ClassroomError: the gradebook does not know it, or cannot be read.
    """
    with opened(root) as gradebook:
        try:
            assignment = gradebook.find_assignment(name)
        except MissingEntry:
            known = ", ".join(sorted(one.name for one in gradebook.assignments)) or "none"
            raise ClassroomError(
                f"the gradebook knows no assignment {name!r} (it knows: {known}); "
                f"`nbgrader generate_assignment {name}` records it"
            ) from None
        sources = {notebook.name: _source(notebook) for notebook in assignment.notebooks}
    return Assignment(name, sources, (root / "course" / "roadmap.json").is_file())


def _source(notebook: Any) -> Source:
    points = {cell.name: cell.max_score for cell in (*notebook.grade_cells, *notebook.task_cells)}
    graded = {cell.name for cell in notebook.grade_cells}
    solutions = {cell.name for cell in notebook.solution_cells}
    tasks = {cell.name for cell in notebook.task_cells}
    cells = tuple(
        SourceCell(
            name=cell.name,
            cell_type=cell.cell_type,
            source=cell.source,
            checksum=cell.checksum,
            locked=bool(cell.locked),
            grade=cell.name in graded,
            solution=cell.name in solutions,
            task=cell.name in tasks,
            points=points.get(cell.name),
        )
        for cell in notebook.source_cells
    )
    kernelspec = json.loads(notebook.kernelspec) if notebook.kernelspec else None
    return source_of(notebook.name, cells, kernelspec)


def source_of(name: str, cells: tuple[SourceCell, ...], kernelspec: dict[str, Any] | None = None) -> Source:
    """A notebook with these cells."""
    code = [cell for cell in cells if cell.cell_type == "code"]
    answers = [cell.source for cell in code if cell.solution]
    locked = [cell.source for cell in code if cell.locked and not cell.grade]
    bound = frozenset(found for source in locked for found in bound_names(source))
    return Source(name, cells, kernelspec, names_of_answers(answers, locked), bound)
