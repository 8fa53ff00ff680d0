"""What to do again today: failed exercises first, then what is least remembered, five a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from roadmap_progress import catalog
from roadmap_progress.model import Event, EventSource, Outcome, Roadmap
from roadmap_progress.review import A_DAY, Today, today

START = datetime(2026, 11, 2, 18, 0, tzinfo=UTC)


def course(count: int = 8) -> Roadmap:
    def exercise(number: int) -> dict[str, Any]:
        checks = [
            {"id": f"e{number}_a", "topic": "t", "points": 1, "kind": "checks", "version": "v"},
            {"id": f"e{number}_b", "topic": "t", "points": 1, "kind": "checks", "version": "v"},
            {"id": f"e{number}_essay", "topic": "t", "points": 1, "kind": "essay", "version": "v"},
        ]
        return {"id": f"e{number}", "title": f"Exercise {number}", "answers": [], "checks": checks}

    notebook = {
        "number": "1.1",
        "slug": "names",
        "title": "Names",
        "status": "ready",
        "minutes": 30,
        "topics": [{"id": "t", "title": "Names"}],
        "exercises": [exercise(number) for number in range(count)],
    }
    section = {"number": 1, "slug": "01-first", "title": "First", "notebooks": [notebook]}
    return catalog.parse({"version": "1", "aliases": {"old_a": "e0_a"}, "sections": [section]})


def run(check: str, time: datetime, outcome: Outcome = Outcome.PASSED, **changes: Any) -> Event:
    uuid = f"{check} {time} {outcome}"
    values = {"source": EventSource.KERNEL, "points": 1.0, **changes}
    return Event(uuid, "m", values["source"], check, "v", "", outcome, values["points"], time)


def days(number: float) -> timedelta:
    return timedelta(days=number)


def names(found: Today) -> list[str]:
    return [item.exercise.id for item in found.due]


def test_nothing_was_tried_and_nothing_is_due():
    assert today(course(), [], START) == Today()


def test_a_pass_comes_back_after_days_and_then_after_longer_and_longer():
    roadmap, events, now = course(), [run("e0_a", START), run("e0_b", START)], START
    gaps = []
    for _ in range(4):
        while not names(found := today(roadmap, events, now)):
            assert found.following is not None
            now += days(0.25)
        assert names(found) == ["e0"]
        gaps.append((now - events[-1].time).days)
        assert 0.85 < found.due[0].recall < 0.95
        events += [run("e0_a", now), run("e0_b", now)]
        assert today(roadmap, events, now + timedelta(minutes=1)).done == 1
        now += days(1)
    assert gaps == sorted(set(gaps))
    assert gaps[0] <= 3
    assert gaps[-1] > 30


def test_what_failed_comes_back_the_next_day_and_first():
    events = [
        run("e0_a", START - days(30)),
        run("e1_a", START, Outcome.FAILED),
        run("e2_a", START, Outcome.FAILED),
        run("e2_a", START + timedelta(minutes=5)),
    ]
    found = today(course(), events, START + days(1.1))
    assert names(found) == ["e1", "e0"]
    assert [item.failed for item in found.due] == [True, False]


def test_struggling_on_the_first_day_is_no_fault_but_later_it_shortens_the_wait():
    first = [run("e0_a", START, Outcome.FAILED), run("e0_a", START + timedelta(minutes=9))]
    at_once = [run("e1_a", START)]
    found = today(course(), first + at_once, START + days(1.2))
    assert found.due == ()
    later = START + days(4)
    hard = [run("e0_a", later, Outcome.FAILED), run("e0_a", later + timedelta(minutes=9))]
    waits = []
    for events in (first + hard, [*at_once, run("e1_a", later)]):
        following = today(course(), events, later + timedelta(hours=1)).following
        assert following is not None
        waits.append(following - later)
    assert waits[0] < waits[1]


def test_five_a_day_the_least_remembered_first_and_those_done_count():
    events = [run(f"e{number}_a", START - days(number)) for number in range(8)]
    now = START + days(20)
    found = today(course(), events, now)
    assert names(found) == ["e7", "e6", "e5", "e4", "e3"]
    assert (len(found.due), found.done, found.waiting) == (A_DAY, 0, 3)
    events += [run("e7_a", now), run("e6_a", now, Outcome.FAILED)]
    found = today(course(), events, now + timedelta(hours=1))
    assert (names(found), found.done, found.waiting) == (["e5", "e4", "e3"], 2, 3)


def test_a_day_is_one_of_the_learners_time_zone():
    auckland = timezone(timedelta(hours=13))
    late = datetime(2026, 11, 2, 23, 30, tzinfo=auckland)
    events = [run("e0_a", late, Outcome.FAILED)]
    assert names(today(course(), events, late + timedelta(minutes=10))) == []
    assert names(today(course(), events, late + days(1.1))) == ["e0"]


@pytest.mark.parametrize(
    "event",
    [
        run("e0_a", START, Outcome.NOT_ATTEMPTED),
        run("e0_a", START, source=EventSource.AUTOGRADE),
        run("e0_essay", START, source=EventSource.SELF_ASSESSED),
        run("nobody_knows", START),
        run("e0_a", START + days(900)),
    ],
)
def test_what_was_no_attempt_of_the_learners_is_no_memory(event: Event):
    assert today(course(), [event], START + days(30)) == Today()


def test_the_order_and_the_number_of_the_events_do_not_matter_and_old_names_count():
    events = [run("old_a", START), run("e0_b", START, Outcome.FAILED), run("e0_b", START + days(3))]
    now = START + days(40)
    assert names(today(course(), events, now)) == ["e0"]
    assert today(course(), [*reversed(events), *events], now) == today(course(), events, now)
