"""Which exercises to do again today: the roadmap and a learner's events → what is due, most urgent first. Pure.

Memory is FSRS's affair (the scheduler of Anki, `fsrs`): each day on which an exercise was tried is one review of
it. It was *good* when every check that ran passed at once, *hard* when one had to be mended that day, *again* when
one was still failing in the evening; on the first day, passing in the end is good enough. An exercise is due when
the chance to solve it from memory has sunk to nine in ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from roadmap_progress.model import EventSource, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from fsrs import Card, Rating, Scheduler

    from roadmap_progress.model import Event, Exercise, Notebook, Roadmap

A_DAY = 5
LONGEST = timedelta(days=365)

_TRIED = {EventSource.KERNEL, EventSource.CHECK}


@dataclass(frozen=True, slots=True)
class Due:
    """An exercise to do again.

    Attributes:
        since: when it became due.
        last_at: when it was last tried.
        failed: it did not pass then.
        recall: the chance to solve it from memory now, 0 to 1, as FSRS estimates it.
    """

    notebook: Notebook
    exercise: Exercise
    since: datetime
    last_at: datetime
    failed: bool
    recall: float


@dataclass(frozen=True, slots=True)
class Today:
    """What to review today.

    Attributes:
        due: at most so many that with `done` they are `A_DAY`; the failed ones first, then those least remembered.
        done: how many of those that were due have been tried today.
        waiting: how many more are due.
        following: when the next one is due that is not yet; None where there is none.
    """

    due: tuple[Due, ...] = ()
    done: int = 0
    waiting: int = 0
    following: datetime | None = None


def today(roadmap: Roadmap, events: Iterable[Event], now: datetime) -> Today:
    """What to review today; days are those of `now`'s time zone."""
    from fsrs import Scheduler

    scheduler = Scheduler(
        learning_steps=(), relearning_steps=(), enable_fuzzing=False, maximum_interval=LONGEST.days
    )
    tried = _by_exercise(roadmap, events)
    due, done, later = [], 0, []
    for notebook in roadmap.notebooks.values():
        for exercise in notebook.exercises:
            days = _days(tried.get(exercise.id, []), now)
            if not days:
                continue
            card = _replay(scheduler, days)
            before = [day for day in days if day[0].date() < now.date()]
            if before and len(days) > len(before):  # tried today
                done += _replay(scheduler, before).due <= now
            last_at, outcomes = days[-1]
            if card.due > now:
                later.append(card.due)
            elif last_at.date() < now.date():
                failed = _failed(outcomes)
                recall = scheduler.get_card_retrievability(card, now)
                due.append(Due(notebook, exercise, card.due, last_at, failed, recall))
    due.sort(key=lambda one: (not one.failed, one.recall, one.since))
    room = max(A_DAY - done, 0)
    return Today(tuple(due[:room]), done, len(due[room:]), min(later, default=None))


def _by_exercise(roadmap: Roadmap, events: Iterable[Event]) -> dict[str, list[Event]]:
    """Each exercise's runs by the learner, with an answer in it; essays are nobody's to run."""
    exercises = {
        check.id: exercise.id
        for notebook in roadmap.notebooks.values()
        for exercise in notebook.exercises
        for check in exercise.checks
        if check.kind == "checks"
    }
    found: dict[str, dict[str, Event]] = {}
    for event in events:
        exercise = exercises.get(roadmap.aliases.get(event.check_id, event.check_id))
        if exercise and event.source in _TRIED and event.outcome is not Outcome.NOT_ATTEMPTED:
            found.setdefault(exercise, {})[event.uuid] = event
    return {exercise: list(runs.values()) for exercise, runs in found.items()}


def _days(events: list[Event], now: datetime) -> list[tuple[datetime, dict[str, list[Outcome]]]]:
    """Each day's last moment, and what each check said that day, in order."""
    days: dict[date, tuple[datetime, dict[str, list[Outcome]]]] = {}
    for event in sorted(events, key=lambda event: (event.time, event.uuid)):
        time = event.time.astimezone(now.tzinfo)
        if time > now:  # a machine whose clock is wrong
            continue
        _, outcomes = days.get(time.date(), (time, {}))
        outcomes.setdefault(event.check_id, []).append(event.outcome)
        days[time.date()] = (time, outcomes)
    return [days[day] for day in sorted(days)]


def _replay(scheduler: Scheduler, days: list[tuple[datetime, dict[str, list[Outcome]]]]) -> Card:
    from fsrs import Card

    card = Card(card_id=1, due=days[0][0].astimezone(UTC))
    for number, (time, outcomes) in enumerate(days):
        rating = _rating(outcomes, first=number == 0)
        card, _ = scheduler.review_card(card, rating, time.astimezone(UTC))
    return card


def _rating(outcomes: dict[str, list[Outcome]], *, first: bool) -> Rating:
    from fsrs import Rating

    if _failed(outcomes):
        return Rating.Again
    if first:
        return Rating.Good
    at_once = all(outcome is Outcome.PASSED for found in outcomes.values() for outcome in found)
    return Rating.Good if at_once else Rating.Hard


def _failed(outcomes: dict[str, list[Outcome]]) -> bool:
    return any(found[-1] is not Outcome.PASSED for found in outcomes.values())
