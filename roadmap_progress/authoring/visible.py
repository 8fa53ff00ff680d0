"""Whether a check failed in the part that learners see, told from a run in which hidden parts ran as well.

So a mistake has to run once, not once more with the released checks. Where the run cannot tell, this says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadmap_progress import notebooks
from roadmap_progress.hidden import frames, hidden_lines, without_hidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from roadmap_progress.notebooks import NotebookNode


def passes_visible(checks: Iterable[NotebookNode], released: Mapping[str, NotebookNode]) -> bool | None:
    """Whether checks that ran, hidden parts included, would all have passed without these.

    A failure belongs to the hidden part if its traceback goes through one of its lines.

    Args:
        checks: an exercise's, in the order in which they ran.
        released: the cells as learners have them, by grade id.

    Returns:
        None where it cannot be told: something is on stderr, or no line is named; a visible part failed behind a
        hidden one, which may be the reason; or one behind a hidden part did not run, for that had failed.
    """
    certain, hidden_ran = True, False
    for cell in checks:
        hidden = hidden_lines(cell.source)
        if released[notebooks.grade_id(cell) or ""].source.strip() != without_hidden(cell.source).strip():
            certain = False  # never so, where nbgrader made the release
        if stderr_of(cell):
            certain = False
        failed_at = _lines(cell)
        if failed_at is None:
            hidden_ran = hidden_ran or bool(hidden)
        elif failed_at & hidden:
            hidden_ran = True
            certain = certain and not _goes_on_behind(cell.source, hidden)
        elif failed_at and not hidden_ran and (not hidden or max(failed_at) < min(hidden)):
            return False
        else:
            certain = False
    return True if certain else None


def _lines(cell: NotebookNode) -> set[int] | None:
    """The cell's own lines that its error's traceback goes through; None without an error."""
    error = next((output for output in cell.get("outputs", []) if output.output_type == "error"), None)
    if error is None:
        return None
    return {line for count, line, _ in frames(error.traceback) if count == cell.execution_count}


def _goes_on_behind(source: str, hidden: frozenset[int]) -> bool:
    """Whether anything visible stands behind the first hidden line."""
    lines = enumerate(source.split("\n"), start=1)
    return any(number > min(hidden) and number not in hidden and line.strip() for number, line in lines)


def stderr_of(cell: NotebookNode) -> str:
    """What the cell put out there."""
    return "".join(
        output.text
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    )
