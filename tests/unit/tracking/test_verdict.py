"""The verdict has nbgrader's rules: the same cell with the same outputs gives the same points there."""

from __future__ import annotations

from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_output
from nbgrader.utils import determine_grade

from roadmap_progress.model import Check, Outcome
from roadmap_progress.tracking.verdict import Verdict, judge

CHECK = Check("total_sum", "adding", 2.0)


def judged(**changes: Any) -> Verdict:
    values: dict[str, Any] = {"attempted": True, "error": None, "stderr": "", "value": None}
    return judge(CHECK, **{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Verdict(Outcome.PASSED, 2.0)),
        ({"error": AssertionError("no")}, Verdict(Outcome.FAILED)),
        ({"error": ValueError("no")}, Verdict(Outcome.CRASHED)),
        ({"error": SystemExit()}, Verdict(Outcome.CRASHED)),
        ({"stderr": "careful"}, Verdict(Outcome.FAILED)),
        ({"attempted": False}, Verdict(Outcome.NOT_ATTEMPTED)),
        ({"attempted": False, "error": NameError("no")}, Verdict(Outcome.NOT_ATTEMPTED)),
        ({"value": 0.5}, Verdict(Outcome.FAILED, 0.5)),
    ],
)
def test_outcomes(changes, expected):
    assert judged(**changes) == expected


@pytest.mark.parametrize("value", [0, 1, 0.5, 2, 2.0, True, False, -1, "1", [1], float("nan"), 1e-9])
def test_the_last_value_gives_the_points_that_nbgrader_reads_off_it(value):
    shown = new_output("execute_result", data={"text/plain": repr(value)})
    marks = {"grade": True, "solution": False, "points": 2, "grade_id": "total_sum", "schema_version": 3}
    cell = new_code_cell("value", outputs=[shown], metadata={"nbgrader": marks})
    assert judged(value=value).points == determine_grade(cell)[0]
