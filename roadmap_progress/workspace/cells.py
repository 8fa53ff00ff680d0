"""Pure: the cells of a notebook's JSON, and carrying answers from one version of it into the next."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from roadmap_progress.errors import NotebookError

if TYPE_CHECKING:
    from collections.abc import Mapping

Cell = dict[str, Any]
Content = dict[str, Any]  # a notebook's JSON


@dataclass(frozen=True, slots=True)
class Carried:
    """A new version with the learner's work in it.

    Attributes:
        content: the notebook.
        answers: grade ids of the answers that were carried over.
        left: grade ids of the learner's answers that the new version has no place for.
    """

    content: Content
    answers: tuple[str, ...]
    left: tuple[str, ...]


def parse(data: bytes) -> Content:
    """A notebook's JSON, looked at far enough that its cells can be used.

    Raises:
        NotebookError: it is not a notebook of format 4.
    """
    try:
        content = json.loads(data)
    except ValueError as error:
        raise NotebookError(f"not JSON: {error}" if data.strip() else "the file is empty") from error
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(cells, list) or not all(_is_cell(cell) for cell in cells):
        raise NotebookError("not a notebook of format 4: it has no list of cells")
    return content


def render(content: Content) -> bytes:
    """The bytes that Jupyter itself would write."""
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def source(cell: Cell) -> str:
    """A cell's text."""
    text = cell["source"]
    return text if isinstance(text, str) else "".join(text)


def grade_id(cell: Cell) -> str:
    """The id that nbgrader knows the cell by, "" for a cell that it does not know."""
    found = _nbgrader(cell).get("grade_id", "")
    return found if isinstance(found, str) else ""


def is_answer(cell: Cell) -> bool:
    """Whether the learner fills it in."""
    return bool(_nbgrader(cell).get("solution"))


def answers(content: Content) -> dict[str, str]:
    """The text of each answer by its grade id; the first one counts where the learner doubled a cell."""
    found: dict[str, str] = {}
    for cell in content["cells"]:
        if is_answer(cell) and (name := grade_id(cell)):
            found.setdefault(name, source(cell))
    return found


def attachments(content: Content) -> dict[str, dict[str, Any]]:
    """The pictures of each answer that has some, by its grade id."""
    found: dict[str, dict[str, Any]] = {}
    for cell in content["cells"]:
        pictures = cell.get("attachments")
        if is_answer(cell) and (name := grade_id(cell)) and isinstance(pictures, dict) and pictures:
            found.setdefault(name, pictures)
    return found


def given(content: Content) -> dict[str, str]:
    """The text of each cell that nbgrader knows and the learner does not fill in, by its grade id."""
    return {name: source(cell) for cell in content["cells"] if not is_answer(cell) and (name := grade_id(cell))}


def only_exercise(content: Content, exercise: str, about: str) -> Content:
    """A notebook with the setup cells and one exercise of another one.

    Args:
        about: the text that it begins with.

    Raises:
        NotebookError: there is no such exercise.
    """
    own = [index for index, cell in enumerate(content["cells"]) if _roadmap(cell).get("exercise") == exercise]
    if not own:
        raise NotebookError(f"it has no exercise {exercise!r}")
    first = own[0]
    while first > 0 and content["cells"][first - 1]["cell_type"] == "markdown":
        first -= 1
    setup = [cell for cell in content["cells"] if _roadmap(cell).get("role") == "setup"]
    last = [cell for cell in content["cells"][first : own[-1] + 1] if cell not in setup]
    made = {key: value for key, value in content.items() if key != "cells"}
    head: Cell = {
        "cell_type": "markdown",
        "id": "once-more",
        "metadata": {},
        "source": about.splitlines(keepends=True),
    }
    return copy.deepcopy({"cells": [head, *setup, *last], **made})


def texts(content: Content) -> list[tuple[str, str]]:
    """Type and text of every cell, in order: what makes two notebooks the same to a reader."""
    return [(cell["cell_type"], source(cell).strip()) for cell in content["cells"]]


def carry_over(old: Content, base: Content | None, new: Content, aliases: Mapping[str, str]) -> Carried:
    """`new` with the learner's answers and extra cells of `old` in it.

    An answer is the learner's where it differs from `base`, or, without that, from what `new` begins with.

    Args:
        old: the learner's copy.
        base: what the copy was made from, where it is at hand.
        new: the course's version now.
        aliases: former grade ids → what they are called now.
    """
    before = answers(base) if base else answers(new)
    mine = {
        aliases.get(name, name): text
        for name, text in answers(old).items()
        if text.strip() != before.get(name if base else aliases.get(name, name), "").strip()
    }
    pictures = {aliases.get(name, name): found for name, found in attachments(old).items()}
    content = copy.deepcopy(new)
    carried = []
    for cell in content["cells"]:
        name = grade_id(cell)
        if is_answer(cell) and name in mine:
            cell["source"] = mine[name].splitlines(keepends=True)
            if name in pictures and cell["cell_type"] != "code":
                cell["attachments"] = copy.deepcopy(pictures[name])
            carried.append(name)
    _carry_extra_cells(old, base, content, aliases)
    return Carried(content, tuple(carried), tuple(name for name in mine if name not in carried))


def _carry_extra_cells(old: Content, base: Content | None, content: Content, aliases: Mapping[str, str]) -> None:
    """Put the cells that the learner added behind the cell that they stood behind, else at the end.

    Those at the top stay there.
    """
    known = {cell.get("id") for cell in (base or content)["cells"]}
    taken = {cell.get("id") for cell in content["cells"]}
    seen: set[str] = set()
    previous: Cell | None = None
    top = True
    for cell in old["cells"]:
        name = grade_id(cell)
        doubled = bool(name) and name in seen
        seen.add(name)
        if not (doubled or _is_extra(cell, known, has_base=base is not None)):
            previous = _same(content, cell, aliases) or previous
            top = False
            continue
        added = copy.deepcopy(cell)
        added["metadata"] = {
            key: value for key, value in cell["metadata"].items() if key not in {"nbgrader", "roadmap"}
        }
        if added.get("id") in taken:
            added["id"] = uuid4().hex[:8]
        taken.add(added.get("id"))
        at = 0 if top else len(content["cells"])
        if previous is not None:
            at = next(i for i, other in enumerate(content["cells"]) if other is previous) + 1
        content["cells"].insert(at, added)
        previous = added


def _is_extra(cell: Cell, known: set[str | None], *, has_base: bool) -> bool:
    if grade_id(cell) or "roadmap" in cell["metadata"] or cell.get("id") in known:
        return False
    # Without the base, prose that the course has since reworded looks like the learner's: only code is taken.
    return has_base or cell["cell_type"] == "code"


def _same(content: Content, cell: Cell, aliases: Mapping[str, str]) -> Cell | None:
    name = grade_id(cell)
    others: list[Cell] = content["cells"]
    for other in others:
        if name and grade_id(other) == aliases.get(name, name):
            return other
        if not name and cell.get("id") and other.get("id") == cell.get("id"):
            return other
    return None


def _nbgrader(cell: Cell) -> dict[str, Any]:
    found = cell["metadata"].get("nbgrader")
    return found if isinstance(found, dict) else {}


def _roadmap(cell: Cell) -> dict[str, Any]:
    found = cell["metadata"].get("roadmap")
    return found if isinstance(found, dict) else {}


def _is_cell(cell: object) -> bool:
    return (
        isinstance(cell, dict)
        and isinstance(cell.get("cell_type"), str)
        and isinstance(cell.get("source"), (str, list))
        and isinstance(cell.get("metadata"), dict)
    )
