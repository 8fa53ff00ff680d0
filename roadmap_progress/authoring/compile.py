"""Sources → notebooks, without running anything: ids, nbgrader metadata, rendered Markdown."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING

from roadmap_progress.authoring import markdown
from roadmap_progress.authoring.sources import SourceCell, read_cells
from roadmap_progress.notebooks import (
    KERNELSPEC,
    LANGUAGE_INFO,
    NotebookNode,
    add_nbgrader_metadata,
    new_code_cell,
    new_markdown_cell,
    new_notebook,
)

if TYPE_CHECKING:
    from pathlib import Path

    from roadmap_progress.authoring.exercises import ExercisesSource, RoleCell
    from roadmap_progress.model import Notebook

SERVER_TAG = "starts-server"
IGNORE_TAG = "nbval-ignore-output"


class _Ids:
    """Cell ids that a rebuild gives again: of the notebook's id and the cell's own, else its text and ordinal."""

    def __init__(self, notebook: str) -> None:
        self._notebook = notebook
        self._seen: Counter[str] = Counter()

    def __call__(self, text: str, own: str = "") -> str:
        name = own or text
        self._seen[name] += 1
        key = f"{self._notebook}\0{own}" if own else f"{self._notebook}\0{text}\0{self._seen[name]}"
        return sha256(key.encode()).hexdigest()[:12]


def lesson(path: Path, notebook: Notebook, edit: str) -> NotebookNode:
    """The lesson, not yet executed.

    Args:
        path: its source.
        edit: the source's path as readers are told it.

    Raises:
        SourceError: naming line and mend.
    """
    ids = _Ids(f"{notebook.number} lesson")
    cells = []
    for written in read_cells(path):
        if written.kind == "markdown":
            cells.append(_markdown(path, written, ids))
            continue
        cell = new_code_cell(written.text, id=ids(written.text))
        tags = written.tags
        if SERVER_TAG in tags and IGNORE_TAG not in tags:
            tags.append(IGNORE_TAG)
        if tags:
            cell.metadata["tags"] = tags
        cell.metadata["roadmap"] = NotebookNode(line=written.line)
        cells.append(cell)
    return _notebook(cells, notebook, "lesson", edit)


def solutions(source: ExercisesSource, notebook: Notebook, edit: str) -> NotebookNode:
    """The exercises with solutions and hidden checks: nbgrader's source version."""
    ids = _Ids(f"{notebook.number} exercises")
    cells = []
    setups = 0
    for written, part in source.cells:
        if part is not None:
            cells.append(_part(path=source.path, written=written, part=part, ids=ids))
        elif written.kind == "markdown":
            cells.append(_markdown(source.path, written, ids))
        else:
            setups += 1
            name = f"{notebook.slug}_setup-{setups}"
            cell = new_code_cell(written.text, id=ids(written.text, name))
            add_nbgrader_metadata(cell, name)
            cell.metadata["roadmap"] = NotebookNode(role="setup")
            cells.append(cell)
    return _notebook(cells, notebook, "exercises", edit)


def _markdown(path: Path, written: SourceCell, ids: _Ids) -> NotebookNode:
    text, attached = markdown.attachments(path, markdown.render(path, written))
    cell: NotebookNode = new_markdown_cell(text, id=ids(written.text))
    if attached:
        cell["attachments"] = NotebookNode(attached)
    if written.tags:
        cell.metadata["tags"] = written.tags
    return cell


def _part(*, path: Path, written: SourceCell, part: RoleCell, ids: _Ids) -> NotebookNode:
    role = written.role
    cell: NotebookNode
    if role == "essay":
        cell = new_markdown_cell(markdown.render(path, written), id=ids(written.text, part.grade_id))
        add_nbgrader_metadata(cell, part.grade_id, grade=True, solution=True, points=part.points)
    else:
        cell = new_code_cell(written.text, id=ids(written.text, part.grade_id))
        graded = role == "checks"
        add_nbgrader_metadata(
            cell, part.grade_id, grade=graded, solution=not graded, points=part.points if graded else None
        )
    about = {"exercise": part.exercise, "role": role}
    if part.topic:
        about["topic"] = part.topic
    if part.same_process:
        about["same_process"] = part.same_process
    if file := written.options.get("file"):
        about["file"] = file
    cell.metadata["roadmap"] = NotebookNode(about)
    return cell


def _notebook(cells: list[NotebookNode], notebook: Notebook, kind: str, edit: str) -> NotebookNode:
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source += f"\n\n<!-- Built from {edit}: edit that file, not this notebook. -->"
            break
    built: NotebookNode = new_notebook(
        cells=cells,
        metadata={
            "kernelspec": dict(KERNELSPEC),
            "language_info": dict(LANGUAGE_INFO),
            "roadmap": {"edit": edit, "kind": kind, "notebook": notebook.number},
        },
    )
    return built
