"""What counts as mastered and as a week's effort."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from roadmap_progress import catalog
from roadmap_progress.dashboard import mastery
from roadmap_progress.model import Event, EventSource, Outcome, Roadmap
from roadmap_progress.progress import summarize

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday
COUNT = itertools.count()


def event(
    check: str,
    time: datetime,
    outcome: Outcome = Outcome.PASSED,
    *,
    points: float = 1.0,
    source: EventSource = EventSource.KERNEL,
    version: str = "v",
) -> Event:
    return Event(f"e{next(COUNT)}", "m", source, check, version, "", outcome, points, time)


def day(number: int, hour: int = 9) -> datetime:
    return datetime(2026, 11, number, hour, tzinfo=UTC)


def of_11(roadmap: Roadmap, events: list[Event]) -> list[mastery.TopicMastery]:
    return mastery.topics(summarize(roadmap, events, NOW).notebooks["1.1"])


def test_a_topic_is_mastered_when_its_last_check_has_passed(tree: Path) -> None:
    roadmap = catalog.load(tree)
    events = [event("look_up", day(3), points=3), event("say_name", day(5)), event("say_name", day(9))]
    (topic,) = of_11(roadmap, events)
    assert (topic.passed, topic.points, topic.possible, topic.mastered_at) == (2, 4, 6, None)
    events.append(event("say_why", day(7), points=2, source=EventSource.SELF_ASSESSED))
    (topic,) = of_11(roadmap, events)
    assert (topic.passed, topic.share, topic.mastered_at, topic.attempts) == (3, 1.0, day(7), 4)
    assert topic.exercises == ("Look it up", "Say why")


def test_a_check_that_changed_since_is_not_mastered(tree: Path) -> None:
    (topic,) = of_11(catalog.load(tree), [event("look_up", day(3), points=3, version="older")])
    assert (topic.passed, topic.mastered_at, topic.attempts) == (0, None, 1)


def test_only_what_nobody_but_the_learner_said_is_self_assessed(tree: Path) -> None:
    roadmap = catalog.load(tree)
    own = event("say_why", day(3), source=EventSource.SELF_ASSESSED)
    assert mastery.self_assessed(roadmap, [own, event("look_up", day(3))]) == {"say_why"}
    graded = event("say_why", day(4), source=EventSource.AUTOGRADE)
    assert mastery.self_assessed(roadmap, [own, graded]) == set()


def test_weeks_begin_on_monday_and_empty_ones_are_there(tree: Path) -> None:
    events = [
        event("look_up", day(8, 23), Outcome.FAILED),  # a Sunday
        event("look_up", day(9, 0), points=3),  # the Monday after it
        event("look_up", day(11), points=3),  # passed before: no new points
        event("say_name", day(11), Outcome.NOT_ATTEMPTED),
        event("say_name", day(26)),
    ]
    weeks = mastery.effort(catalog.load(tree), [*events, events[0]], NOW)
    assert [week.start for week in weeks] == [
        date(2026, 11, 2),
        date(2026, 11, 9),
        date(2026, 11, 16),
        date(2026, 11, 23),
    ]
    assert [(week.passed, week.other, week.days, week.points) for week in weeks] == [
        (0, 1, 1, 0),
        (2, 0, 2, 3),
        (0, 0, 0, 0),
        (1, 0, 1, 1),
    ]


def test_minutes_lie_between_one_run_and_the_next_without_the_pauses(tree: Path) -> None:
    moments = [
        day(8, 23),  # a Sunday
        day(8, 23) + timedelta(minutes=20),
        day(9, 0) + timedelta(minutes=10),  # a Monday, 50 minutes later
        day(9, 0) + timedelta(minutes=25),
        day(9, 0) + timedelta(minutes=55),
        day(26),
    ]
    events = [event("look_up", moment, Outcome.FAILED) for moment in moments]
    events[3] = event("look_up", moments[3], Outcome.NOT_ATTEMPTED)  # somebody was there, all the same
    weeks = mastery.effort(catalog.load(tree), [*reversed(events), events[0]], NOW)
    assert [week.minutes for week in weeks] == [20, 45, 0, 0]


def test_a_week_is_that_of_the_readers_own_clock(tree: Path) -> None:
    east = timezone(timedelta(hours=5))
    late = event("look_up", day(8, 23))
    (first, *_) = mastery.effort(catalog.load(tree), [late], NOW.astimezone(east))
    assert first.start == date(2026, 11, 9)


def test_no_run_no_week(tree: Path) -> None:
    assert mastery.effort(catalog.load(tree), [event("look_up", day(3), Outcome.NOT_ATTEMPTED)], NOW) == ()


@given(st.lists(st.tuples(st.integers(0, 800), st.sampled_from(list(Outcome))), max_size=30), st.randoms())
def test_the_order_of_events_does_not_matter_and_twelve_weeks_are_enough(
    runs: list[tuple[int, Outcome]], chance: object
) -> None:
    roadmap = Roadmap("1", ())
    events = [event("x", NOW - timedelta(days=ago), outcome) for ago, outcome in runs]
    weeks = mastery.effort(roadmap, events, NOW)
    assert weeks == mastery.effort(roadmap, list(reversed(events)), NOW)
    assert len(weeks) <= mastery.WEEKS
    assert all(b.start - a.start == timedelta(weeks=1) for a, b in itertools.pairwise(weeks))
    recent = [outcome for ago, outcome in runs if ago <= 70 and outcome is not Outcome.NOT_ATTEMPTED]
    assert sum(week.passed + week.other for week in weeks) >= len(recent)
