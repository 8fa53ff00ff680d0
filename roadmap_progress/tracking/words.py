"""Pure: what a learner reads under a check cell. The assertion's words come first."""

from __future__ import annotations

import linecache
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roadmap_progress.model import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

RED, GREEN, BOLD, DIM, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
CONTEXT_LINES = 3  # around the line that raised
LONGEST_MESSAGE = 4000  # characters; a check that compares megabytes must not fill the page

NO_ANSWER_YET = (
    "○ Not attempted yet: no answer of yours has been run. Write it in the answer cell, run that, "
    "then run this check again. (If you did: save the notebook, then run both again.)"
)
ANSWER_NOT_RUN = "The answer cell has not been run since the kernel started: run it, then this check again."
ANSWER_STOPPED = "The answer cell stopped with {error}: put that right and run it, then this check again."
SETUP_NOT_RUN = (
    "A setup cell has not been run since the kernel started: choose Run ▸ Run All Above Selected Cell, "
    "then run this check again."
)
STALE = (
    "Note: your answer was changed after you last ran it, so this is the verdict on the earlier text. "
    "Run the answer cell, then this check again."
)
CHANGED_CHECK = (
    "Note: the text of this check is not the course's (it was edited, or the course has a newer one), so the "
    "result does not count. The dashboard brings your copy up to date, or starts it over."
)
ON_STDERR = (
    "The assertions hold, but something was written to the error stream while they ran, and nbgrader gives no "
    "points for that (a warning is enough): {text}"
)


@dataclass(frozen=True, slots=True)
class Line:
    """Where in a cell something was raised.

    Attributes:
        whose: "your answer", "your cell" or "this check".
        number: the line, from 1.
        function: the function's name, "" at the top of the cell.
        lines: the cell's text.
    """

    whose: str
    number: int
    function: str
    lines: tuple[str, ...]


def passed(points: float) -> str:
    """One line for a check that holds."""
    return f"{GREEN}✓ Passed{PLAIN} · {_points(points)}"


def partly(points: float, most: float) -> str:
    """One line for a check that gave some of its points."""
    return f"{RED}✗ Not all yet{PLAIN} · {points:g} of {_points(most)}"


def problem(error: BaseException, *, most: float, where: Line | None, advice: str) -> list[str]:
    """The lines that take the traceback's place: the words, where it happened, what to do.

    Args:
        error: what ended the check.
        most: the points that it would have given.
        where: the line to show; None where the words say it all.
        advice: one more sentence, "" for none.
    """
    head, *rest = (_message(error) or "An assertion of this check does not hold").splitlines()
    lines = [f"{RED}{BOLD}✗ {head}{PLAIN}", *rest]
    if where:
        lines += ["", *_excerpt(where)]
    if advice:
        lines += ["", advice]
    more = " · %tb in a cell of its own shows the whole traceback" if error.__traceback__ else ""
    lines += ["", f"{DIM}0 of {_points(most)}{more}{PLAIN}"]
    return lines


def place_of(
    error: BaseException, tb: TracebackType | None, whose: Callable[[str], str], check_digest: str
) -> Line | None:
    """The innermost line of the learner's own code that raised `error`, else the check's own line.

    Args:
        error: what was raised.
        tb: its traceback.
        whose: for the digest of a cell's text, in whose cell it is: "your answer", "your cell", or "" for one
            of the course.
        check_digest: the digest of the check's own text.
    """
    own: Line | None = None
    check: Line | None = None
    for frame, number in traceback.walk_tb(tb):
        code = frame.f_code
        if not _is_cell(code.co_filename):
            continue
        lines = tuple(line.rstrip("\n") for line in linecache.getlines(code.co_filename))
        function = "" if code.co_name == "<module>" else code.co_name
        found = digest("\n".join(lines))
        if found == check_digest:
            check = Line("this check", number, function, lines)
        elif name := whose(found):
            own = Line(name, number, function, lines)
    if isinstance(error, AssertionError) and own is None and _message(error):
        return None
    return own or check


def _is_cell(filename: str) -> bool:
    # ipykernel compiles a cell under <tmp>/ipykernel_<pid>/<hash>.py, a file that does not exist
    return "ipykernel_" in filename or filename.startswith("<ipython-input")


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  a learner's exception may do anything
        text = ""
    if len(text) > LONGEST_MESSAGE:
        text = f"{text[:LONGEST_MESSAGE]} … ({len(text) - LONGEST_MESSAGE} more characters)"
    if isinstance(error, AssertionError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _excerpt(where: Line) -> list[str]:
    inside = f", in {where.function}" if where.function else ""
    first = max(1, where.number - CONTEXT_LINES)
    last = min(len(where.lines), where.number + CONTEXT_LINES - 1)
    shown = [f"In {where.whose}, line {where.number}{inside}:"]
    for number in range(first, last + 1):
        arrow = f"{RED}---->{PLAIN}" if number == where.number else "     "
        shown.append(f"{arrow} {number:>3} {where.lines[number - 1]}")
    return shown


def _points(points: float) -> str:
    return f"{points:g} point" if points == 1 else f"{points:g} points"


def listing(parts: Sequence[str]) -> str:
    """Sentences under one another."""
    return "\n".join(part for part in parts if part)
