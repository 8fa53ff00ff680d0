"""Progress: what events amount to."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadmap_progress.catalog import parse
from roadmap_progress.model import Event, EventSource, Outcome, Roadmap
from roadmap_progress.progress import State, summarize

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def exercise(name: str, *points: float) -> dict[str, Any]:
    checks = [
        {"id": f"{name}_{i}", "topic": "t-1", "points": value, "version": f"{name}-v2"}
        for i, value in enumerate(points)
    ]
    return {"id": name, "title": f"The {name}", "answers": [{"id": f"{name}_answer"}], "checks": checks}


def notebook(number: str, *exercises: dict[str, Any], requires: tuple[str, ...] = ()) -> dict[str, Any]:
    for item in exercises:
        for check in item["checks"]:
            check["topic"] = f"topic-{number}"
    return {
        "number": number,
        "slug": f"slug-{number}",
        "title": f"Title {number}",
        "status": "ready" if exercises else "planned",
        "minutes": 60,
        "requires": list(requires),
        "topics": [{"id": f"topic-{number}", "title": "A topic"}],
        "exercises": list(exercises),
    }


def course(**more: Any) -> Roadmap:
    """1.1 (two exercises) ← 1.2 (one), 2.1 (one, builds on 1.2 and the planned 2.0), 2.0 planned."""
    return parse(
        {
            "version": "1",
            "sections": [
                {
                    "number": 1,
                    "slug": "01-one",
                    "title": "One",
                    "notebooks": [
                        notebook("1.1", exercise("add", 2, 1), exercise("less", 3)),
                        notebook("1.2", exercise("times", 4), requires=("1.1",)),
                    ],
                },
                {
                    "number": 2,
                    "slug": "02-two",
                    "title": "Two",
                    "notebooks": [
                        notebook("2.0"),
                        notebook("2.1", exercise("over", 5), requires=("1.2", "2.0")),
                    ],
                },
            ],
            **more,
        }
    )


ROADMAP = course()
CHECKS = sorted(ROADMAP.checks)


def event(
    check_id: str,
    outcome: Outcome = Outcome.PASSED,
    *,
    points: float | None = None,
    ago: timedelta = timedelta(hours=1),
    version: str | None = None,
    uuid: str | None = None,
) -> Event:
    check = ROADMAP.checks.get(check_id)
    worth = check.points if check else 1.0
    earned = worth if outcome is Outcome.PASSED else 0.0
    return Event(
        uuid=uuid or f"{random.getrandbits(64):x}",
        machine="m",
        source=EventSource.KERNEL,
        check_id=check_id,
        check_version=version or (check.version if check else "v"),
        answer_digest="",
        outcome=outcome,
        points=earned if points is None else points,
        time=NOW - ago,
    )


def passed(*names: str) -> list[Event]:
    """Every check of these exercises, passed."""
    found = [check for check in CHECKS if check.rpartition("_")[0] in names]
    assert found, names
    return [event(check) for check in found]


def states(events: list[Event]) -> dict[str, State]:
    return {number: item.state for number, item in summarize(ROADMAP, events, NOW).notebooks.items()}


def test_nothing_done_yet_begins_with_the_first_notebook() -> None:
    progress = summarize(ROADMAP, [], NOW)
    assert (progress.points, progress.possible, progress.completion) == (0, 15, 0)
    assert progress.next is not None
    assert (progress.next.notebook, progress.next.exercise) == ("1.1", None)
    assert progress.next.why == "The roadmap begins here: read the lesson, then do its 2 exercises."
    assert states([]) == {"1.1": State.READY, "1.2": State.LATER, "2.0": State.PLANNED, "2.1": State.LATER}
    assert [section.state for section in progress.sections] == [State.READY, State.LATER]


def test_a_passed_check_earns_its_points_in_exercise_notebook_section_and_course() -> None:
    progress = summarize(ROADMAP, [event("add_0")], NOW)
    item = progress.notebooks["1.1"]
    assert [exercise.points for exercise in item.exercises] == [2, 0]
    assert (item.points, item.possible, item.completion) == (2, 6, pytest.approx(1 / 3))
    assert (item.state, item.exercises_done, item.minutes_left) == (State.STARTED, 0, 40)
    assert (progress.sections[0].points, progress.points) == (2, 2)
    assert progress.points_this_week == 2


def test_a_later_failure_takes_nothing_away_but_is_what_comes_next() -> None:
    events = [event("less_0"), event("add_0", Outcome.PASSED), event("add_1", Outcome.FAILED, ago=timedelta(0))]
    progress = summarize(ROADMAP, events, NOW)
    assert progress.points == 5
    assert progress.next is not None
    assert (progress.next.notebook, progress.next.exercise) == ("1.1", "add")
    assert "does not pass yet" in progress.next.why
    again = summarize(ROADMAP, [*events, event("add_0", Outcome.CRASHED, ago=timedelta(0))], NOW)
    check = again.notebooks["1.1"].exercises[0].checks[0]
    assert (check.best, check.last, check.points) == (Outcome.PASSED, Outcome.CRASHED, 2)


def test_an_untouched_answer_is_no_attempt() -> None:
    progress = summarize(ROADMAP, [event("add_0", Outcome.NOT_ATTEMPTED)], NOW)
    assert progress.notebooks["1.1"].state is State.READY
    assert progress.notebooks["1.1"].exercises[0].checks[0].attempts == 0


def test_a_notebook_is_done_when_every_check_has_passed_and_frees_what_builds_on_it() -> None:
    events = passed("add", "less")
    assert states(events) == {"1.1": State.DONE, "1.2": State.READY, "2.0": State.PLANNED, "2.1": State.LATER}
    progress = summarize(ROADMAP, events, NOW)
    assert progress.next is not None
    assert (progress.next.notebook, progress.next.why) == ("1.2", "You have done what it builds on (1.1).")
    assert progress.notebooks["1.2"].missing == ()
    assert progress.notebooks["2.1"].missing == ("1.2",)


def test_a_planned_prerequisite_blocks_nothing() -> None:
    item = summarize(ROADMAP, passed("add", "less", "times"), NOW).notebooks["2.1"]
    assert (item.state, item.missing, item.unwritten) == (State.READY, (), ("2.0",))


def test_everything_written_done_says_so() -> None:
    progress = summarize(ROADMAP, passed("add", "less", "times", "over"), NOW)
    assert progress.next is None
    assert progress.why_nothing == "You have done everything that is written; 1 notebook more is planned."
    assert progress.completion == 1
    # A section of which a part is still to be written has not been done.
    assert [section.state for section in progress.sections] == [State.DONE, State.STARTED]


def test_a_pass_of_an_older_version_is_remembered_but_earns_nothing() -> None:
    progress = summarize(ROADMAP, [event("less_0", version="old")], NOW)
    item = progress.notebooks["1.1"].exercises[1]
    assert (item.points, item.done, item.changed, item.checks[0].best) == (0, False, True, None)
    assert progress.next is not None
    assert progress.next.why == "“The less” has changed since you passed it: run it again (0 of 2 exercises done)."
    both = [event("less_0", version="old"), event("less_0")]
    assert not summarize(ROADMAP, both, NOW).notebooks["1.1"].exercises[1].changed


def test_the_notebook_worked_on_last_goes_first() -> None:
    events = [event("add_0", ago=timedelta(days=2)), event("over_0", Outcome.FAILED, ago=timedelta(days=1))]
    progress = summarize(ROADMAP, events, NOW)
    assert progress.next is not None
    assert progress.next.notebook == "2.1"


def test_aliases_are_followed_and_unknown_ids_counted() -> None:
    roadmap = course(aliases={"plus_0": "add_0"})
    progress = summarize(roadmap, [event("plus_0", version="add-v2", points=2), event("gone_0")], NOW)
    assert progress.notebooks["1.1"].points == 2
    assert progress.unknown == 1


def test_points_never_exceed_what_a_check_is_worth_and_part_of_them_counts() -> None:
    assert summarize(ROADMAP, [event("over_0", points=99)], NOW).points == 5
    assert summarize(ROADMAP, [event("over_0", Outcome.FAILED, points=1.5)], NOW).points == 1.5


def test_only_passes_of_the_last_seven_days_count_for_the_week() -> None:
    events = [event("add_0", ago=timedelta(days=8)), event("add_0"), event("less_0", ago=timedelta(days=6))]
    assert summarize(ROADMAP, events, NOW).points_this_week == 3


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events on known and unknown checks, of this version and older ones."""
    count = draw(st.integers(0, 30))
    return [
        event(
            draw(st.sampled_from([*CHECKS, "gone_0"])),
            draw(st.sampled_from(Outcome)),
            ago=timedelta(minutes=draw(st.integers(0, 50_000))),
            version=draw(st.sampled_from([None, "old"])),
            uuid=f"u{i}",
        )
        for i in range(count)
    ]


@given(histories(), st.randoms(use_true_random=False))
def test_order_and_repetition_of_events_change_nothing(events: list[Event], chance: random.Random) -> None:
    shuffled = [*events, *chance.choices(events, k=len(events) // 2)] if events else []
    chance.shuffle(shuffled)
    assert summarize(ROADMAP, shuffled, NOW) == summarize(ROADMAP, events, NOW)


@given(histories(), histories())
def test_more_events_never_take_points_away(events: list[Event], more: list[Event]) -> None:
    more = [replace(item, uuid=f"more-{item.uuid}") for item in more]
    before, after = (summarize(ROADMAP, items, NOW) for items in (events, events + more))
    assert after.points >= before.points
    for number, item in before.notebooks.items():
        assert after.notebooks[number].points >= item.points
        assert item.state is not State.DONE or after.notebooks[number].state is State.DONE


@given(histories())
def test_sums_agree_on_every_floor_and_there_is_always_a_word_on_what_next(events: list[Event]) -> None:
    progress = summarize(ROADMAP, events, NOW)
    assert progress.points == sum(section.points for section in progress.sections)
    assert progress.points == sum(item.points for item in progress.notebooks.values())
    assert 0 <= progress.points <= progress.possible
    assert (progress.next is None) == bool(progress.why_nothing)
    if progress.next:
        item = progress.notebooks[progress.next.notebook]
        assert item.state in {State.READY, State.STARTED}
        assert progress.next.why.count(".") >= 1
