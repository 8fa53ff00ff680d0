"""Pure: what came of a check, by the rules of nbgrader's `determine_grade`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roadmap_progress.model import Outcome

if TYPE_CHECKING:
    from roadmap_progress.model import Check


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is recorded."""

    outcome: Outcome
    points: float = 0.0


def judge(check: Check, *, attempted: bool, error: BaseException | None, stderr: str, value: object) -> Verdict:
    """The verdict on a check that ran to its end.

    Args:
        check: what was run.
        attempted: whether any answer differs from the release.
        error: what ended it, None when nothing did.
        stderr: what it wrote there: nbgrader gives no points for a cell that writes on stderr.
        value: the value of its last expression: a number is the points, as in nbgrader.
    """
    if not attempted:
        return Verdict(Outcome.NOT_ATTEMPTED)
    if isinstance(error, AssertionError):
        return Verdict(Outcome.FAILED)
    if error is not None:
        return Verdict(Outcome.CRASHED)
    if stderr:
        return Verdict(Outcome.FAILED)
    points = _points(value, check.points)
    return Verdict(Outcome.PASSED if points == check.points else Outcome.FAILED, points)


def _points(value: object, most: float) -> float:
    # nbgrader reads the printed value as a number; only these two types print as one (True does not).
    if isinstance(value, (int, float)) and type(value) in {int, float} and 0 <= value <= most:
        return float(value)
    return most
