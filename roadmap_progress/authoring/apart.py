"""Cells that keep exercises apart when a notebook's run has several: none sees what another one's answers defined.

`remember` stands behind the setup, `forget` behind each exercise's checks. They run beside the answers, and beside
the checks as well. What an answer did to something that the setup made, to a server or to a file stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadmap_progress import notebooks

if TYPE_CHECKING:
    from roadmap_progress.notebooks import NotebookNode

ROLE = "apart"
# names that IPython keeps for itself stay: _, __, _i, _ii, _7, _i7, _oh, _dh, _ih, _exit_code
_REMEMBER = r"""
def _apart():
    import re
    mine = re.compile("_apart|_+|_i+|_i?[0-9]+|_[a-z]h|_exit_code|__[a-z]+__")
    before = {name: value for name, value in globals().items() if not mine.fullmatch(name)}
    def forget():
        for name in [name for name in globals() if name not in before and not mine.fullmatch(name)]:
            del globals()[name]
        globals().update(before)
    return forget
_apart = _apart()
"""
_FORGET = "_apart()"


def remember() -> NotebookNode:
    """A cell that remembers which names there are, and their values."""
    return _locked("apart-remember", _REMEMBER.strip())


def forget() -> NotebookNode:
    """A cell that drops names which came since, and gives the others their values back."""
    return _locked("apart-forget", _FORGET)


def holds(notebook: NotebookNode) -> bool:
    """Whether every such cell of a run did its work."""
    ours = (cell for cell in notebook.cells if cell.metadata.get("roadmap", {}).get("role") == ROLE)
    return all(notebooks.error_of(cell) is None for cell in ours)


def _locked(name: str, source: str) -> NotebookNode:
    cell = notebooks.new_code_cell(source)
    notebooks.add_nbgrader_metadata(cell, name, grade=False, solution=False, points=None)
    cell.metadata["roadmap"] = {"role": ROLE}
    made: NotebookNode = cell
    return made
