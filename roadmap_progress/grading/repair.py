"""A submitted notebook made gradable: locked cells and checks from the gradebook, answers from the student.

nbgrader gives up a whole batch for one duplicated check, and grades what a forged flag calls a check. Here
deletions, duplicates, renames, changed texts, types and flags are one case: every cell that the gradebook knows is
there once, with the gradebook's text and metadata; an answer keeps the student's text; every other cell is the
student's own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from roadmap_progress.errors import NotebookError
from roadmap_progress.notebooks import NotebookNode, new_code_cell, new_markdown_cell, new_notebook

if TYPE_CHECKING:
    from roadmap_progress.grading.assignment import Source

SIZE_LIMIT_BYTES = 20 << 20
CELLS_LIMIT = 5_000


def repair(data: bytes, source: Source) -> tuple[NotebookNode, list[str]]:
    """The notebook to run, and what had to be mended, in words.

    Raises:
        NotebookError: it is too large, or no notebook of format 4.
    """
    cells, mended = _cells(data), []
    known = {cell.name: cell for cell in source.cells}
    last: dict[str, int] = {}
    for place, cell in enumerate(cells):
        name = _grade_id(cell)
        if name in known and cell["cell_type"] == known[name].cell_type:
            if name in last:
                mended.append(f"cell {name!r} was there more than once; the last one counts")
            last[name] = place  # as nbgrader has it
    made: list[NotebookNode] = []
    at: dict[str, int] = {}
    for place, cell in enumerate(cells):
        name = _grade_id(cell)
        if last.get(name, -1) == place:
            wanted = known[name]
            text = cell["source"] if wanted.solution and not wanted.locked else wanted.source
            if wanted.locked and cell["source"] != wanted.source and wanted.grade is False:
                mended.append(f"the locked cell {name!r} was changed; the released text was run")
            at[name] = len(made)
            made.append(_cell(wanted.cell_type, text, cell, wanted.metadata))
        else:
            made.append(_cell(cell["cell_type"], cell["source"], cell))
    for place, wanted in enumerate(source.cells):
        if wanted.name not in at:
            mended.append(f"cell {wanted.name!r} was deleted; it was put back")
            before = [at[cell.name] for cell in source.cells[:place] if cell.name in at]
            index = max(before, default=-1) + 1
            made.insert(index, _cell(wanted.cell_type, wanted.source, None, wanted.metadata))
            at = {name: where + (where >= index) for name, where in at.items()}
            at[wanted.name] = index
    notebook: NotebookNode = new_notebook(cells=_with_ids(made))
    if source.kernelspec:
        notebook.metadata["kernelspec"] = NotebookNode(source.kernelspec)
    return notebook, mended


def _cells(data: bytes) -> list[dict[str, Any]]:
    if len(data) > SIZE_LIMIT_BYTES:
        raise NotebookError(f"the notebook has {len(data) >> 20} MB; {SIZE_LIMIT_BYTES >> 20} MB are allowed")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotebookError(f"the file is no complete notebook: {error}") from None
    if not isinstance(found, dict) or found.get("nbformat") != 4 or not isinstance(found.get("cells"), list):
        raise NotebookError("the file is JSON, but no notebook of format 4")
    cells = found["cells"]
    if len(cells) > CELLS_LIMIT:
        raise NotebookError(f"the notebook has {len(cells)} cells; {CELLS_LIMIT} are allowed")
    return [_plain(cell) for cell in cells if isinstance(cell, dict)]


def _plain(cell: dict[str, Any]) -> dict[str, Any]:
    text = cell.get("source", "")
    if isinstance(text, list):
        text = "".join(part for part in text if isinstance(part, str))
    kind = cell.get("cell_type")
    metadata = cell.get("metadata")
    attachments = cell.get("attachments")
    return {
        "cell_type": kind if kind in ("code", "markdown", "raw") else "raw",
        "source": text if isinstance(text, str) else "",
        "metadata": metadata if isinstance(metadata, dict) else {},
        "id": cell.get("id"),
        "attachments": attachments if isinstance(attachments, dict) and kind == "markdown" else None,
    }


def _grade_id(cell: dict[str, Any]) -> str:
    nbgrader = cell["metadata"].get("nbgrader")
    name = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return name if isinstance(name, str) else ""


def _cell(
    kind: str, text: str, cell: dict[str, Any] | None, nbgrader: dict[str, Any] | None = None
) -> NotebookNode:
    """A cell without the student's metadata, which nothing here needs."""
    make: Any = new_code_cell if kind == "code" else new_markdown_cell
    made: NotebookNode = make(text, metadata={"nbgrader": nbgrader} if nbgrader else {})
    if kind == "raw":
        made.cell_type = "raw"
    if cell is not None:
        if isinstance(cell["id"], str):
            made["id"] = cell["id"]
        if cell["attachments"]:
            made["attachments"] = cell["attachments"]
    return made


def _with_ids(cells: list[NotebookNode]) -> list[NotebookNode]:
    seen: set[str] = set()
    for number, cell in enumerate(cells):
        name = cell.get("id", "")
        if not (
            isinstance(name, str) and 0 < len(name) <= 64 and name.replace("-", "").replace("_", "").isalnum()
        ):
            name = ""
        if not name or not name.isascii() or name in seen:
            name = f"cell-{number}"
            while name in seen:
                name += "x"
        cell["id"] = name
        seen.add(name)
    return cells
