"""What a late submission costs: nbgrader's plugin, with the policy as settings.

nbgrader calls it once for each notebook of a late submission; the penalty is a number of points, and
nbgrader keeps it between nothing and the notebook's score.
"""

from __future__ import annotations

from nbgrader.plugins import LateSubmissionPlugin
from traitlets import Float


class LatePolicy(LateSubmissionPlugin):  # type: ignore[misc]  # nbgrader has no type hints
    """Points an hour, nothing at all after some days, or (as it comes) no penalty.

    Both may be set; an hour that has begun counts in full.
    """

    points_per_hour = Float(0, min=0, help="Points a notebook loses for each hour begun").tag(config=True)
    zero_after_days = Float(0, min=0, help="Days after which a notebook scores 0; 0 for never").tag(config=True)
    grace_minutes = Float(0, min=0, help="Minutes that do not count as late").tag(config=True)

    def late_submission_penalty(
        self,
        student_id: str,  # noqa: ARG002  # nbgrader's signature
        score: float,
        total_seconds_late: float,
    ) -> float:
        """The points to take off this notebook's score."""
        return penalty(
            score,
            total_seconds_late - 60 * self.grace_minutes,
            points_per_hour=self.points_per_hour,
            zero_after_days=self.zero_after_days,
        )


def penalty(score: float, seconds_late: float, *, points_per_hour: float, zero_after_days: float) -> float:
    """The points that `seconds_late` cost, never more than `score`."""
    if seconds_late <= 0:
        return 0.0
    if zero_after_days and seconds_late > zero_after_days * 86_400:
        return score
    hours_begun = -(-seconds_late // 3600)
    return min(score, points_per_hour * hours_begun)
