"""Deleted cells put back before autograde runs: a preprocessor for nbgrader's `autograde`.

nbgrader's own option for it (`OverwriteCells.add_missing_cells`) brings back checks only, and gives up the whole
submission when the answer before one is gone too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor

from roadmap_progress.notebooks import new_code_cell, new_markdown_cell

if TYPE_CHECKING:
    from roadmap_progress.notebooks import NotebookNode


class PutBackDeletedCells(NbGraderPreprocessor):  # type: ignore[misc]  # nbgrader has no type hints
    """Inserts what the gradebook knows and the submission lacks, each behind the cell that it follows there.

    An answer comes back as it was released, and so scores nothing; a set-up cell or a check costs nobody a point.
    """

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """The submitted notebook, complete."""
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as gradebook:
            notebook = gradebook.find_notebook(about["notebook"], about["assignment"])
            points = {cell.name: cell.max_score for cell in notebook.grade_cells}
            solutions = {cell.name for cell in notebook.solution_cells}
            previous = -1
            for source in notebook.source_cells:
                at = _position(nb, source.name)
                if at is None:
                    at = previous + 1
                    self.log.warning("Cell %s was deleted; it is put back", source.name)
                    nb.cells.insert(at, _cell(source, points.get(source.name), solution=source.name in solutions))
                previous = at
        return nb, resources


def _position(nb: NotebookNode, name: str) -> int | None:
    for index, cell in enumerate(nb.cells):
        if cell.metadata.get("nbgrader", {}).get("grade_id") == name:
            return index
    return None


def _cell(source: Any, points: float | None, *, solution: bool) -> NotebookNode:
    make: Any = new_code_cell if source.cell_type == "code" else new_markdown_cell
    nbgrader = {
        "grade": points is not None,
        "grade_id": source.name,
        "locked": source.locked,
        "schema_version": 3,
        "solution": solution,
        "task": False,
        "cell_type": source.cell_type,
        "checksum": source.checksum,
    }
    if points is not None:
        nbgrader["points"] = points
    cell: NotebookNode = make(source.source, metadata={"nbgrader": nbgrader})
    return cell
