"""Notebooks as files: the only room that knows nbformat and nbgrader's cell metadata.

What starts quickly and only looks (the tracker, the workspace's status) reads the JSON itself:
importing nbformat takes about a second.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, output_from_msg

from roadmap_progress.errors import NotebookError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "KERNELSPEC",
    "LANGUAGE_INFO",
    "NotebookNode",
    "add_nbgrader_metadata",
    "awarded_points",
    "cells_by_grade_id",
    "dumps",
    "error_of",
    "grade_id",
    "new_code_cell",
    "new_markdown_cell",
    "new_notebook",
    "output_from_msg",
    "read",
    "write",
    "write_text_atomically",
]

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# Complete, so that JupyterLab does not mark a notebook as changed when it is merely opened. The version
# is the one that outputs were made with, whatever the reader's is.
LANGUAGE_INFO = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
    "version": "3.11.2",
}


def read(path: Path) -> NotebookNode:
    """The notebook in the file, in nbformat 4.

    Raises:
        NotebookError: the file is missing, cut off, no JSON or no notebook of format 4.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotebookError(f"{path}: there is no such notebook") from None
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookError(f"{path}: cannot be read: {error}") from error
    try:
        data = json.loads(text)
    except ValueError as error:
        raise NotebookError(
            f"{path}: is no complete notebook ({error}); it was cut off or edited by hand as text"
        ) from error
    if not isinstance(data, dict) or data.get("nbformat") != 4 or not isinstance(data.get("cells"), list):
        raise NotebookError(f"{path}: is JSON, but no notebook of format 4")
    try:
        notebook: NotebookNode = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise NotebookError(f"{path}: is not a valid notebook: {error.message}") from error
    return notebook


def dumps(notebook: NotebookNode) -> str:
    """The notebook in the byte form that nbformat and nbgrader write.

    Raises:
        NotebookError: it is not valid.
    """
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise NotebookError(f"the notebook is not valid: {error.message}") from error
    return str(nbformat.writes(notebook)) + "\n"


def write(notebook: NotebookNode, path: Path) -> None:
    """Write the notebook; afterwards the file is either whole and new, or as it was.

    Raises:
        NotebookError: it is not valid, or cannot be written (a full disk, no permission).
    """
    write_text_atomically(path, dumps(notebook))


def write_text_atomically(path: Path, text: str) -> None:
    """Replace the file's content in one step, keeping the old content if that fails.

    Raises:
        NotebookError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise NotebookError(f"{path}: cannot be written ({error.strerror}); the old file is as it was") from error


def add_nbgrader_metadata(
    cell: NotebookNode,
    grade_id: str,
    *,
    grade: bool = False,
    solution: bool = False,
    points: float | None = None,
) -> None:
    """Mark the cell for nbgrader (metadata schema 3); one that is no solution is locked."""
    metadata: dict[str, Any] = {
        "grade": grade,
        "grade_id": grade_id,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    if grade:
        metadata["points"] = points
    cell.metadata["nbgrader"] = NotebookNode(metadata)


def grade_id(cell: NotebookNode) -> str | None:
    """The cell's nbgrader id, or None where it has none."""
    found = cell.metadata.get("nbgrader", {}).get("grade_id")
    return found if isinstance(found, str) else None


def cells_by_grade_id(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """The cells that nbgrader knows, by id; where an id occurs twice, the first."""
    found: dict[str, NotebookNode] = {}
    for cell in notebook.cells:
        if name := grade_id(cell):
            found.setdefault(name, cell)
    return found


def awarded_points(cell: NotebookNode) -> float | None:
    """What nbgrader's own `determine_grade` gives for an executed check; None where a person has to grade."""
    from nbgrader.utils import determine_grade

    awarded, _ = determine_grade(cell)
    return None if awarded is None else float(awarded)


def error_of(cell: NotebookNode) -> tuple[str, str] | None:
    """Name and message of the exception that ended the cell, or None."""
    for output in _outputs(cell):
        if output.output_type == "error":
            return output.ename, output.evalue
    return None


def _outputs(cell: NotebookNode) -> Iterator[NotebookNode]:
    yield from cell.get("outputs", [])
