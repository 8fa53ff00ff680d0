"""The learner's answers beside the model ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roadmap_progress.errors import NotebookError, WorkspaceError
from roadmap_progress.workspace import cells

if TYPE_CHECKING:
    from pathlib import Path

    from roadmap_progress.model import Exercise, Notebook

MARKERS = ("### BEGIN SOLUTION", "### END SOLUTION")


@dataclass(frozen=True, slots=True)
class Pair:
    """One answer cell: as the learner has it, and as the course's authors would.

    Attributes:
        mine: "" where the learner's copy has no such cell.
    """

    grade_id: str
    mine: str
    solution: str


def solution_path(root: Path, notebook: Notebook) -> Path:
    """Where the model answers are, in a tree that has them; a graded class's has not."""
    return root / "solutions" / notebook.section / f"{notebook.stem}.ipynb"


def compare(copy: Path, solution: Path, exercise: Exercise) -> tuple[Pair, ...]:
    """The exercise's answer cells, in order.

    Raises:
        WorkspaceError: one of the two notebooks is not there, or cannot be read.
    """
    mine, theirs = _answers(copy), _answers(solution)
    return tuple(
        Pair(answer.id, mine.get(answer.id, ""), _unmarked(theirs[answer.id]))
        for answer in exercise.answers
        if answer.id in theirs
    )


def _answers(path: Path) -> dict[str, str]:
    try:
        return cells.answers(cells.parse(path.read_bytes()))
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be read: {error.strerror or error}") from error
    except NotebookError as error:
        raise WorkspaceError(f"{path} cannot be read as a notebook: {error}") from error


def _unmarked(source: str) -> str:
    """Without the lines that say what is taken out for learners."""
    return "\n".join(line for line in source.splitlines() if line.strip() not in MARKERS)
