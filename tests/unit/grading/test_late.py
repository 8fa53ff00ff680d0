"""What a late submission costs."""

from __future__ import annotations

import pytest

from roadmap_progress.grading.late import LatePolicy, penalty

HOUR, DAY = 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "per_hour", "zero_after", "expected"),
    [
        (0, 1, 1, 0),
        (-5, 1, 1, 0),
        (1, 0, 0, 0),  # no policy
        (1, 0.5, 0, 0.5),  # an hour that has begun
        (HOUR, 0.5, 0, 0.5),
        (HOUR + 1, 0.5, 0, 1.0),
        (100 * HOUR, 0.5, 0, 10),  # never more than the score
        (DAY, 0, 1, 0),
        (DAY + 1, 0, 1, 10),
        (DAY + 1, 0.1, 2, 2.5),
    ],
)
def test_points_an_hour_and_nothing_after_days(
    seconds: float, per_hour: float, zero_after: float, expected: float
) -> None:
    assert penalty(10, seconds, points_per_hour=per_hour, zero_after_days=zero_after) == pytest.approx(expected)


def test_minutes_of_grace_do_not_count() -> None:
    policy = LatePolicy(points_per_hour=1, grace_minutes=15)
    assert policy.late_submission_penalty("ada", 10, 15 * 60) == 0
    assert policy.late_submission_penalty("ada", 10, 15 * 60 + 1) == 1
