"""What a learner's events amount to: (Roadmap, events, now) → `Progress`. Nothing here reads or writes.

The result does not depend on the order of the events, nor on how often one of them is given: two stores can
be merged as sets. A pass counts for the version of the check that it was given for; when a check changes
later, the old pass is remembered as such (`passed_before`), and earns no points until it is run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from roadmap_progress.model import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from roadmap_progress.model import Check, Event, Exercise, Notebook, Roadmap, Section

WEEK = timedelta(days=7)

# Best last: how near an outcome is to a pass.
_RANK = {
    Outcome.NOT_ATTEMPTED: 0,
    Outcome.CRASHED: 1,
    Outcome.TIMED_OUT: 2,
    Outcome.FAILED: 3,
    Outcome.PASSED: 4,
}


class State(StrEnum):
    """How far a notebook, or a section, is."""

    PLANNED = "planned"  # not written yet
    LATER = "later"  # not begun, and a notebook that it builds on is not done
    READY = "ready"  # not begun, and nothing stands before it
    STARTED = "started"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class CheckProgress:
    """What came of one check.

    Attributes:
        best: the best outcome of the check as it is now, or None when it was never run.
        last: the latest outcome of the check as it is now.
        points: earned, at most `check.points`.
        passed_before: an earlier version of the check was passed, and the one of now was not.
        attempts: runs of any version with an answer in it.
        passed_at: when the check as it is now was first passed.
        last_at: when it was last run, in any version.
    """

    check: Check
    best: Outcome | None = None
    last: Outcome | None = None
    points: float = 0.0
    passed_before: bool = False
    attempts: int = 0
    passed_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def passed(self) -> bool:
        """Whether the check as it is now was passed once."""
        return self.best is Outcome.PASSED

    @property
    def touched(self) -> bool:
        """Whether the learner has worked on it."""
        return self.attempts > 0


@dataclass(frozen=True, slots=True)
class ExerciseProgress:
    """How far one exercise is; it is done when all its checks have passed."""

    exercise: Exercise
    checks: tuple[CheckProgress, ...]
    points: float
    possible: float
    done: bool
    touched: bool
    last_at: datetime | None

    @property
    def changed(self) -> bool:
        """Whether a check of it was passed before the course changed it."""
        return any(check.passed_before for check in self.checks)


@dataclass(frozen=True, slots=True)
class NotebookProgress:
    """How far one notebook is.

    Attributes:
        missing: numbers of the notebooks that it builds on, are written, and are not done.
        unwritten: numbers of the notebooks that it builds on and nobody has written yet: they block nothing.
        minutes_left: the notebook's minutes, less the share of its points that is earned.
    """

    notebook: Notebook
    state: State
    exercises: tuple[ExerciseProgress, ...]
    points: float
    possible: float
    missing: tuple[str, ...]
    unwritten: tuple[str, ...]
    minutes_left: int
    last_at: datetime | None

    @property
    def completion(self) -> float:
        """Share of the points that is earned, 0 to 1."""
        return _share(self.points, self.possible)

    @property
    def exercises_done(self) -> int:
        """How many exercises are done."""
        return sum(exercise.done for exercise in self.exercises)


@dataclass(frozen=True, slots=True)
class SectionProgress:
    """How far one section is: its written notebooks together."""

    section: Section
    state: State
    notebooks: tuple[NotebookProgress, ...]
    points: float
    possible: float
    minutes_left: int

    @property
    def completion(self) -> float:
        """Share of the points that is earned, 0 to 1."""
        return _share(self.points, self.possible)


@dataclass(frozen=True, slots=True)
class Next:
    """What to do next: a notebook, an exercise in it (None: begin with the lesson), and why, in one sentence."""

    notebook: str
    exercise: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The whole course, as one learner stands in it.

    Attributes:
        next: what to do next; None when everything that is written is done.
        why_nothing: the sentence to show when `next` is None.
        points_this_week: earned by checks that were first passed in the last seven days.
        unknown: events for ids that the roadmap does not know: left out, not lost.
        last_at: when the last check was run.
    """

    sections: tuple[SectionProgress, ...]
    points: float
    possible: float
    next: Next | None
    why_nothing: str
    points_this_week: float
    unknown: int
    last_at: datetime | None

    @property
    def completion(self) -> float:
        """Share of the points of what is written that is earned, 0 to 1."""
        return _share(self.points, self.possible)

    @property
    def notebooks(self) -> Mapping[str, NotebookProgress]:
        """Every notebook's progress by its number, in the roadmap's order."""
        return {item.notebook.number: item for section in self.sections for item in section.notebooks}


def summarize(roadmap: Roadmap, events: Iterable[Event], now: datetime) -> Progress:
    """Sum up `events`, in one pass over them; ids that were renamed are followed, unknown ones counted."""
    runs: dict[str, list[Event]] = {}
    seen: set[str] = set()
    unknown = 0
    for event in events:
        if event.uuid in seen:
            continue
        seen.add(event.uuid)
        check_id = roadmap.aliases.get(event.check_id, event.check_id)
        if check_id in roadmap.checks:
            runs.setdefault(check_id, []).append(event)
        else:
            unknown += 1
    exercises = {
        notebook.number: tuple(_exercise(exercise, runs) for exercise in notebook.exercises)
        for notebook in roadmap.notebooks.values()
    }
    done = {number for number, items in exercises.items() if items and all(item.done for item in items)}
    sections = tuple(
        _section(section, tuple(_notebook(item, exercises, done, roadmap) for item in section.notebooks))
        for section in roadmap.sections
    )
    notebooks = [notebook for section in sections for notebook in section.notebooks]
    checks = [check for items in exercises.values() for item in items for check in item.checks]
    following = what_next(notebooks)
    return Progress(
        sections=sections,
        points=sum(notebook.points for notebook in notebooks),
        possible=sum(notebook.possible for notebook in notebooks),
        next=following,
        why_nothing="" if following else _why_nothing(notebooks),
        points_this_week=sum(c.points for c in checks if c.passed_at and now - WEEK < c.passed_at <= now),
        unknown=unknown,
        last_at=_latest(check.last_at for check in checks),
    )


def what_next(notebooks: list[NotebookProgress]) -> Next | None:
    """The one thing to do next: what was begun goes before what is new, the latest begun first."""
    started = [item for item in notebooks if item.state is State.STARTED]
    if started:
        # One that was only passed before it changed has a time too, so there always is one.
        return _go_on(max(started, key=lambda item: item.last_at or datetime.min.replace(tzinfo=UTC)))
    ready = next((item for item in notebooks if item.state is State.READY), None)
    if ready is None:
        return None
    notebook = ready.notebook
    if not any(item.state is State.DONE for item in notebooks):
        why = f"The roadmap begins here: read the lesson, then do its {_count(ready.exercises, 'exercise')}."
    elif built := tuple(number for number in notebook.requires if number not in ready.unwritten):
        why = f"You have done what it builds on ({_listed(built)})."
    else:
        why = "It is the next on the roadmap, and builds on nothing that you have not done."
    return Next(notebook.number, None, why)


def _go_on(started: NotebookProgress) -> Next:
    waiting = [item for item in started.exercises if not item.done]
    exercise = next((item for item in waiting if item.touched), waiting[0])
    done = f"{started.exercises_done} of {_count(started.exercises, 'exercise')} done"
    title = f"“{exercise.exercise.title}”"
    if exercise.changed:
        why = f"{title} has changed since you passed it: run it again ({done})."
    elif any(check.last in {Outcome.FAILED, Outcome.CRASHED, Outcome.TIMED_OUT} for check in exercise.checks):
        why = f"{title} does not pass yet: its message says what is missing ({done})."
    elif exercise.touched:
        why = f"{title} is half done: run its other checks too ({done})."
    else:
        why = f"You are in the middle of it: {done}, and {title} follows."
    return Next(started.notebook.number, exercise.exercise.id, why)


def _why_nothing(notebooks: list[NotebookProgress]) -> str:
    planned = [item for item in notebooks if item.state is State.PLANNED]
    if len(planned) == len(notebooks):
        return "No notebook of the roadmap has been written yet."
    if planned:
        verb = "is" if len(planned) == 1 else "are"
        return f"You have done everything that is written; {_count(planned, 'notebook')} more {verb} planned."
    return "You have done the whole roadmap. Well done!"


def _exercise(exercise: Exercise, runs: Mapping[str, list[Event]]) -> ExerciseProgress:
    checks = tuple(_check(check, runs.get(check.id, [])) for check in exercise.checks)
    return ExerciseProgress(
        exercise=exercise,
        checks=checks,
        points=sum(check.points for check in checks),
        possible=exercise.points,
        done=bool(checks) and all(check.passed for check in checks),
        touched=any(check.touched for check in checks),
        last_at=_latest(check.last_at for check in checks),
    )


def _check(check: Check, events: list[Event]) -> CheckProgress:
    if not events:
        return CheckProgress(check)
    current = [event for event in events if event.check_version == check.version]
    best = max((event.outcome for event in current), key=_RANK.__getitem__, default=None)
    passes = [event for event in current if event.outcome is Outcome.PASSED]
    passed_old = any(event.outcome is Outcome.PASSED for event in events if event.check_version != check.version)
    latest = max(current, key=lambda event: (event.time, event.uuid), default=None)
    return CheckProgress(
        check=check,
        best=best,
        last=latest.outcome if latest else None,
        points=min(max((event.points for event in current), default=0.0), check.points),
        passed_before=passed_old and best is not Outcome.PASSED,
        attempts=sum(event.outcome is not Outcome.NOT_ATTEMPTED for event in events),
        passed_at=min((event.time for event in passes), default=None),
        last_at=_latest(event.time for event in events),
    )


def _notebook(
    notebook: Notebook,
    exercises: Mapping[str, tuple[ExerciseProgress, ...]],
    done: set[str],
    roadmap: Roadmap,
) -> NotebookProgress:
    own = exercises[notebook.number]
    unwritten = tuple(n for n in notebook.requires if roadmap.notebooks[n].status is Status.PLANNED)
    missing = tuple(n for n in notebook.requires if n not in done and n not in unwritten)
    points = sum(item.points for item in own)
    return NotebookProgress(
        notebook=notebook,
        state=_state(notebook, own, missing),
        exercises=own,
        points=points,
        possible=notebook.points,
        missing=missing,
        unwritten=unwritten,
        minutes_left=round(notebook.minutes * (1 - _share(points, notebook.points))),
        last_at=_latest(item.last_at for item in own),
    )


def _state(notebook: Notebook, exercises: tuple[ExerciseProgress, ...], missing: tuple[str, ...]) -> State:
    if notebook.status is Status.PLANNED:
        return State.PLANNED
    if exercises and all(item.done for item in exercises):
        return State.DONE
    if any(item.touched for item in exercises):
        return State.STARTED
    return State.LATER if missing else State.READY


def _section(section: Section, notebooks: tuple[NotebookProgress, ...]) -> SectionProgress:
    written = [item for item in notebooks if item.state is not State.PLANNED]
    states = {item.state for item in written}
    if not written:
        state = State.PLANNED
    elif states == {State.DONE}:
        # Only when the rest of the section is written too has it been done.
        state = State.DONE if len(written) == len(notebooks) else State.STARTED
    elif states & {State.STARTED, State.DONE}:
        state = State.STARTED
    else:
        state = State.READY if State.READY in states else State.LATER
    return SectionProgress(
        section=section,
        state=state,
        notebooks=notebooks,
        points=sum(item.points for item in written),
        possible=sum(item.possible for item in written),
        minutes_left=sum(item.minutes_left for item in written),
    )


def _share(points: float, possible: float) -> float:
    return points / possible if possible else 0.0


def _latest(times: Iterable[datetime | None]) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _count(items: tuple[object, ...] | list[NotebookProgress], noun: str) -> str:
    return f"{len(items)} {noun}" + ("" if len(items) == 1 else "s")


def _listed(numbers: tuple[str, ...]) -> str:
    return numbers[0] if len(numbers) == 1 else f"{', '.join(numbers[:-1])} and {numbers[-1]}"
