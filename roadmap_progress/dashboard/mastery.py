"""What was mastered, topic by topic, and on what evidence; how much was done week by week. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from roadmap_progress.model import EventSource, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime, tzinfo

    from roadmap_progress.model import Event, Roadmap, Topic
    from roadmap_progress.progress import CheckProgress, NotebookProgress

WEEKS = 12  # shown at most
PAUSE = timedelta(minutes=30)  # between two runs: whoever comes back later was away


@dataclass(frozen=True, slots=True)
class TopicMastery:
    """What the checks of one topic say.

    Attributes:
        exercises: titles of the exercises that its checks belong to, in order.
        mastered_at: when the last of its checks was first passed; None while one has not been.
        attempts: runs of its checks with an answer in them.
    """

    topic: Topic
    checks: tuple[CheckProgress, ...]
    exercises: tuple[str, ...]
    mastered_at: datetime | None
    attempts: int

    @property
    def passed(self) -> int:
        """How many checks were passed."""
        return sum(check.passed for check in self.checks)

    @property
    def points(self) -> float:
        """Earned."""
        return sum(check.points for check in self.checks)

    @property
    def possible(self) -> float:
        """What its checks are worth."""
        return sum(check.check.points for check in self.checks)

    @property
    def share(self) -> float:
        """Of the points that is earned, 0 to 1."""
        return self.points / self.possible if self.possible else 0.0


@dataclass(frozen=True, slots=True)
class Week:
    """What was run in one week; untouched answers do not count.

    Attributes:
        start: its Monday.
        days: on how many days something was run.
        points: of checks that were passed for the first time.
        minutes: between one run and the next, where no more than `PAUSE` lies between them. So much was spent at
            it at least: nothing records the reading before the first run.
    """

    start: date
    passed: int = 0
    other: int = 0
    days: int = 0
    points: float = 0.0
    minutes: float = 0.0


def topics(notebook: NotebookProgress) -> list[TopicMastery]:
    """The notebook's topics that are graded, in the roadmap's order."""
    found = []
    for topic in notebook.notebook.topics:
        pairs = [
            (exercise.exercise.title, check)
            for exercise in notebook.exercises
            for check in exercise.checks
            if check.check.topic == topic.id
        ]
        if not pairs:
            continue
        checks = tuple(check for _, check in pairs)
        times = [check.passed_at for check in checks if check.passed and check.passed_at]
        found.append(
            TopicMastery(
                topic=topic,
                checks=checks,
                exercises=tuple(dict.fromkeys(title for title, _ in pairs)),
                mastered_at=max(times) if len(times) == len(checks) else None,
                attempts=sum(check.attempts for check in checks),
            )
        )
    return found


def self_assessed(roadmap: Roadmap, events: Iterable[Event]) -> frozenset[str]:
    """The checks whose only passes are the learner's own word for it."""
    sources: dict[str, set[EventSource]] = {}
    for event in events:
        if event.outcome is Outcome.PASSED:
            sources.setdefault(roadmap.aliases.get(event.check_id, event.check_id), set()).add(event.source)
    return frozenset(check for check, seen in sources.items() if seen == {EventSource.SELF_ASSESSED})


def effort(roadmap: Roadmap, events: Iterable[Event], now: datetime) -> tuple[Week, ...]:
    """The weeks from the first run to this one, the last twelve at most, empty ones included; none without a run.

    Weeks begin on Monday, in the time zone of `now`.
    """
    ran: dict[str, tuple[date, Event]] = {}
    first: dict[str, Event] = {}
    moments: dict[str, datetime] = {}
    for event in events:
        moments[event.uuid] = event.time
        if event.outcome is Outcome.NOT_ATTEMPTED:
            continue
        ran[event.uuid] = (event.time.astimezone(now.tzinfo).date(), event)
        check = roadmap.aliases.get(event.check_id, event.check_id)
        known = first.get(check)
        if event.outcome is Outcome.PASSED and (known is None or event.time < known.time):
            first[check] = event
    days: dict[date, set[date]] = {}
    counts: dict[date, list[float]] = {}
    gained = {event.uuid: event.points for event in first.values()}
    for day, event in ran.values():
        start = _monday(day)
        count = counts.setdefault(start, [0, 0, 0.0])
        count[event.outcome is not Outcome.PASSED] += 1
        count[2] += gained.get(event.uuid, 0.0)
        days.setdefault(start, set()).add(day)
    return tuple(_weeks(counts, days, _at_it(moments.values(), now.tzinfo), _monday(now.date())))


def _at_it(moments: Iterable[datetime], zone: tzinfo | None) -> dict[date, float]:
    """Minutes of each week, its Monday given."""
    minutes: dict[date, float] = {}
    for before, after in pairwise(sorted(moments)):
        if after - before <= PAUSE:
            start = _monday(after.astimezone(zone).date())
            minutes[start] = minutes.get(start, 0.0) + (after - before).total_seconds() / 60
    return minutes


def _weeks(
    counts: Mapping[date, list[float]], days: Mapping[date, set[date]], minutes: Mapping[date, float], this: date
) -> Iterable[Week]:
    if not counts:
        return
    start = max(min(counts), this - timedelta(weeks=WEEKS - 1))
    while start <= this:
        passed, other, points = counts.get(start, (0, 0, 0.0))
        yield Week(start, int(passed), int(other), len(days.get(start, ())), points, minutes.get(start, 0.0))
        start += timedelta(weeks=1)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
