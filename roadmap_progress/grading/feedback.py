"""Feedback that helps without giving the hidden checks away: preprocessors for nbgrader's `generate_feedback`.

nbgrader's own feedback prints a graded cell as it ran: hidden checks included, and the lines around the one
that failed. Here a failure in the visible part keeps the assertion's own words, one in the hidden part becomes
a sentence, and what the learner's code printed while hidden checks called it is left out.

This protects hidden checks from curiosity, not from code that was written to steal them: stock autograde runs
a submission in one process with its checks, so such code can read them and send them out in a disguise.
"""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import compute_checksum, is_grade, is_locked, is_solution
from traitlets import List

from roadmap_progress.hidden import (
    ELLIPSIS,
    arrow_line,
    frames,
    giveaways,
    hidden_lines,
    plain,
    without_hidden,
)

SETUP = "# … the set-up, as released"
LEAKED = "This output is left out: it holds a part of a check that is not shown."


def not_passed(cell: NotebookNode) -> str:
    """The sentence for a failure in a hidden part."""
    points = _points(cell)
    return f"A further check, which is not shown, did not pass: {points}. It tries another case of the same rules."


def wrote_to_stderr(cell: NotebookNode) -> str:
    """The sentence for checks that ran through while something was written to stderr."""
    points = _points(cell)
    return f"Something, a warning perhaps, was written to stderr by these checks; that counts as failed: {points}."


def timed_out(cell: NotebookNode) -> str:
    """The sentence for checks that were stopped."""
    return f"These checks ran out of time: {_points(cell)}. Is there a loop that does not end?"


def not_attempted(cell: NotebookNode) -> str:
    """The sentence for checks whose exercise was left as it came."""
    return f"Not attempted: {_points(cell)}."


class _FeedbackStep(NbGraderPreprocessor):  # type: ignore[misc]  # nbgrader has no type hints
    # The HTML exporter sets this for every step, and traitlets warns where it is not configurable.
    display_data_priority: Any = List(help="Types of output, the preferred first").tag(config=True)


class HideHiddenChecks(_FeedbackStep):
    """Takes every hidden check out of the feedback: source, traceback, message and output.

    `c.HideHiddenChecks.enabled = False` gives nbgrader's own feedback.
    """

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """The notebook of one submission, as autograde left it → as its author may see it."""
        public = "\n".join(without_hidden(cell.source) if is_grade(cell) else cell.source for cell in nb.cells)
        lines, values = frozenset[str](), frozenset[str]()
        for cell in nb.cells:
            if _is_check(cell):
                more_lines, more_values = giveaways(cell.source, public)
                lines, values = lines | more_lines, values | more_values
        own = {
            cell.execution_count
            for cell in nb.cells
            if cell.cell_type == "code" and (is_solution(cell) or not cell.metadata.get("nbgrader"))
        }
        tell = lines
        for cell in nb.cells:
            if cell.cell_type != "code":
                continue
            if _is_check(cell):
                if _hidden_part_ran(cell):
                    tell = lines | values  # from here on the learner's code has met them
                cell.outputs = _outputs_of_checks(cell, own)
                cell.source = without_hidden(cell.source, ELLIPSIS)
            cell.outputs = [_unless_leaked(output, tell) for output in cell.outputs]
        return nb, resources


class SayNotAttempted(_FeedbackStep):
    """Puts one sentence in place of the errors of an exercise that was left as it came.

    An exercise's cells share the part of their ids before the underscore.
    """

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """The notebook of one submission."""
        answers: dict[str, list[bool]] = {}
        for cell in nb.cells:
            if is_solution(cell):
                blank = cell.metadata.nbgrader.get("checksum") == compute_checksum(cell)
                answers.setdefault(_exercise(cell), []).append(blank)
        for cell in nb.cells:
            if _is_check(cell) and _failed(cell):
                blanks = answers.get(_exercise(cell), [])
                if blanks and all(blanks):
                    cell.outputs = [_sentence(not_attempted(cell))]
        return nb, resources


class FoldSetup(_FeedbackStep):
    """Leaves out the text of set-up cells: screens of helpers that every learner has already."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """The notebook of one submission."""
        for cell in nb.cells:
            if cell.cell_type == "code" and is_locked(cell) and not is_grade(cell):
                cell.source = SETUP
        return nb, resources


def _is_check(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and is_grade(cell) and not is_solution(cell)


def _errors(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.outputs if output.output_type == "error"]


def _hidden_part_ran(cell: NotebookNode) -> bool:
    """Whether any of the hidden part may have run: unless every error was raised before it."""
    hidden, errors = hidden_lines(cell.source), _errors(cell)
    return bool(hidden) and not (errors and all(_before(error, cell.execution_count, hidden) for error in errors))


def _outputs_of_checks(cell: NotebookNode, own: set[int | None]) -> list[NotebookNode]:
    errors = _errors(cell)
    if any(error.ename == "CellTimeoutError" for error in errors):
        return [_sentence(timed_out(cell))]
    if not _hidden_part_ran(cell):
        rest = [output for output in cell.outputs if output.output_type != "error"]
        return [*(_failure(error, cell.execution_count, own) for error in errors), *rest]
    if errors:
        return [_sentence(not_passed(cell))]
    if _failed(cell):
        return [_sentence(wrote_to_stderr(cell))]
    return []


def _before(error: NotebookNode, count: int | None, hidden: frozenset[int]) -> bool:
    """Whether the error happened before the first hidden line; when in doubt, not."""
    lines = [line for cell, line, _ in frames(error.traceback) if cell == count]
    return bool(lines) and max(lines) < min(hidden, default=max(lines) + 1)


def _failure(error: NotebookNode, count: int | None, own: set[int | None]) -> NotebookNode:
    """The error with its words first, then the check's line, then the learner's own lines."""
    parts = [f"{error.ename}: {error.evalue}" if error.evalue else str(error.ename)]
    for cell, _, text in frames(error.traceback):
        if cell == count and (line := arrow_line(text)):
            parts.append(f"\nin the check:\n    {line}")
        elif cell in own:
            parts.append(f"\nin your code:\n{text.strip()}")
    return NotebookNode(output_type="error", ename=error.ename, evalue=error.evalue, traceback=parts)


def _unless_leaked(output: NotebookNode, tell: frozenset[str]) -> NotebookNode:
    return _sentence(LEAKED) if any(part in text for text in _texts(output) for part in tell) else output


def _texts(output: NotebookNode) -> list[str]:
    if output.output_type == "stream":
        return [plain("".join(output.text))]
    if output.output_type == "error":
        return [plain(f"{output.ename}: {output.evalue}"), plain("\n".join(output.traceback))]
    return ["".join(value) if isinstance(value, list) else str(value) for value in output.get("data", {}).values()]


def _sentence(text: str) -> NotebookNode:
    return NotebookNode(output_type="error", ename="", evalue="", traceback=[text])


def _failed(cell: NotebookNode) -> bool:
    return any(
        output.output_type == "error" or (output.output_type == "stream" and output.name == "stderr")
        for output in cell.outputs
    )


def _exercise(cell: NotebookNode) -> str:
    return str(cell.metadata.nbgrader.get("grade_id", "")).partition("_")[0]


def _points(cell: NotebookNode) -> str:
    settings = cell.metadata.nbgrader
    possible = f"{settings.get('points', 0):g} point{'' if settings.get('points') == 1 else 's'}"
    score = settings.get("score")
    return f"of {possible} at stake" if score is None else f"{score:g} of {possible}"
