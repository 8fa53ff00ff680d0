"""Pure: a learner's part of a notebook, taken out of a copy for a passport, and put into another copy."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from roadmap_progress.workspace import cells
from roadmap_progress.workspace.passport import CELL_TYPES, Answer, Extra, Work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roadmap_progress.workspace.cells import Cell, Content
    from roadmap_progress.workspace.passport import Attachments


_CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # nbformat 4.5


@dataclass(frozen=True, slots=True)
class Joined:
    """A copy with the work of a passport in it.

    Attributes:
        content: the notebook.
        answers: grade ids of the answers that came from the passport.
        extras: how many added cells came from it.
        differing: grade ids of answers that both sides have, and not the same: those of the copy were kept.
        left: grade ids of answers that the course has no place for any more.
    """

    content: Content
    answers: tuple[str, ...]
    extras: int
    differing: tuple[str, ...]
    left: tuple[str, ...]


def work_of(number: str, mine: Content, base: Content) -> Work | None:
    """What a learner made of `base` in the copy `mine`; None for nothing.

    Cells of the course that the learner changed are not part of it, but for answers.
    """
    before = cells.answers(base)
    pictures = cells.attachments(mine)
    answers = tuple(
        Answer(name, text, _pictures(pictures.get(name)))
        for name, text in cells.answers(mine).items()
        if name not in before or text.strip() != before[name].strip()
    )
    known = {cell.get("id") for cell in base["cells"]}
    extras = []
    after = ("", "")
    seen: set[str] = set()
    for cell in mine["cells"]:
        name = cells.grade_id(cell)
        doubled = bool(name) and name in seen
        seen.add(name)
        if doubled or not (name or cell.get("id") in known or "roadmap" in cell["metadata"]):
            if cells.source(cell).strip() and cell["cell_type"] in CELL_TYPES:
                cell_id = str(cell.get("id") or "")
                kind, text = cell["cell_type"], cells.source(cell)
                extras.append(Extra(cell_id, kind, text, after, _pictures(cell.get("attachments"))))
        else:
            after = (name, str(cell.get("id") or ""))
    return Work(number, answers, tuple(extras)) if answers or extras else None


def join(work: Work, mine: Content, base: Content, aliases: Mapping[str, str]) -> Joined:
    """The copy `mine`, made from `base`, with the work of a passport in it; nothing of `mine` is lost."""
    own = work_of(work.notebook, mine, base)
    here = {answer.grade_id: answer.text.strip() for answer in own.answers} if own else {}
    cells_here = {(extra.cell_type, extra.text.strip()) for extra in own.extras} if own else set()
    renamed = [(aliases.get(answer.grade_id, answer.grade_id), answer) for answer in work.answers]
    differing = tuple(name for name, answer in renamed if name in here and here[name] != answer.text.strip())
    wanted = Work(
        work.notebook,
        tuple(answer for name, answer in renamed if name not in here),
        tuple(extra for extra in work.extras if (extra.cell_type, extra.text.strip()) not in cells_here),
    )
    carried = cells.carry_over(*_as_notebooks(wanted), mine, aliases)
    return Joined(carried.content, carried.answers, len(wanted.extras), differing, carried.left)


def alone(work: Work, released: Content, aliases: Mapping[str, str]) -> Joined:
    """The course's notebook with nothing but the work of a passport in it."""
    return join(work, copy.deepcopy(released), released, aliases)


def _as_notebooks(work: Work) -> tuple[Content, Content]:
    """A copy that holds just this work, and what it was made from."""
    answers = {answer.grade_id: answer for answer in work.answers}
    made: list[Cell] = []
    known: list[Cell] = []
    placed: set[tuple[str, str]] = {("", "")}

    def place(grade_id: str, cell_id: str) -> None:
        answer = answers.pop(grade_id, None)
        if answer is None:
            made.append(_cell("markdown", cell_id, "", grade_id, solution=False))
            known.append(made[-1])
        else:
            made.append(_cell("markdown", "", answer.text, grade_id, answer.attachments, solution=True))
            known.append(_cell("markdown", "", "\0", grade_id, solution=True))  # which no answer equals

    for extra in work.extras:
        if extra.after not in placed:
            place(*extra.after)
            placed.add(extra.after)
        made.append(_cell(extra.cell_type, extra.cell_id, extra.text, "", extra.attachments))
    for grade_id in list(answers):
        place(grade_id, "")
    return {"cells": made}, {"cells": known}


def _cell(
    kind: str,
    cell_id: str,
    text: str,
    grade_id: str,
    attachments: Attachments | None = None,
    *,
    solution: bool = False,
) -> Cell:
    metadata: dict[str, Any] = {"nbgrader": {"grade_id": grade_id, "solution": solution}} if grade_id else {}
    cell: Cell = {"cell_type": kind, "metadata": metadata, "source": text.splitlines(keepends=True)}
    cell["id"] = cell_id if _CELL_ID.fullmatch(cell_id) else uuid4().hex[:8]
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    elif attachments:
        cell["attachments"] = attachments
    return cell


def _pictures(found: Any) -> Attachments | None:
    if not isinstance(found, dict):
        return None
    return {
        str(name): {str(kind): content for kind, content in kinds.items() if isinstance(content, str)}
        for name, kinds in found.items()
        if isinstance(kinds, dict)
    } or None
