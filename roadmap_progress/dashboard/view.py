"""What the dashboard shows: `Progress` and what is found under work/ → plain data, in a learner's words.

Nothing here reads or writes. The same data feeds the page, the terminal, and whatever draws a map later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from roadmap_progress.dashboard import mastery
from roadmap_progress.model import Outcome
from roadmap_progress.progress import State
from roadmap_progress.review import Today

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from roadmap_progress.progress import (
        CheckProgress,
        ExerciseProgress,
        NotebookProgress,
        Progress,
        SectionProgress,
    )

Model = dict[str, Any]

TRIES = 3  # runs with an answer in them, before the solution is shown to who has not passed
HUES = 8  # as many colours of lines as the style sheets know; neighbours have different ones

STATE_LABELS = {
    State.PLANNED: "Planned",
    State.LATER: "Later",
    State.READY: "Ready",
    State.STARTED: "Started",
    State.DONE: "Done",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the learner must know.

    Attributes:
        level: "error", "warning" or "note".
        start_over: number and kind ("lesson", "exercises") of the copy that starting over mends, where it does.
    """

    level: str
    title: str
    text: str
    start_over: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Copies:
    """Which notebooks (by number) the learner has a copy of."""

    lessons: frozenset[str] = frozenset()
    exercises: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MissingServer:
    """A server that lessons start and this machine does not have.

    Attributes:
        name: as lessons import it.
        what: is missing, in a word: "nginx".
        reason: why it cannot be started.
        command: installs it on this machine.
    """

    name: str
    what: str
    reason: str
    command: str


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a passport holds of the learner's work.

    Attributes:
        saved: when one was saved last; None for never, or not known.
        unsaved_since: the first work that it does not hold; None where all is saved.
        forgets: this machine is thrown away after use (Binder).
    """

    saved: datetime | None = None
    unsaved_since: datetime | None = None
    forgets: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true around the learner's progress.

    Attributes:
        solutions: numbers of the notebooks whose model answers this tree has.
    """

    copies: Copies = field(default_factory=Copies)
    notices: tuple[Notice, ...] = ()
    missing: tuple[MissingServer, ...] = ()
    keeping: Keeping = field(default_factory=Keeping)
    today: Today = field(default_factory=Today)
    weeks: tuple[mastery.Week, ...] = ()
    solutions: frozenset[str] = frozenset()


def model(progress: Progress, facts: Facts) -> Model:
    """Everything that the page shows, as data that JSON can hold."""
    written = [item for item in progress.notebooks.values() if item.state is not State.PLANNED]
    return {
        "title": "Backend roadmap",
        "notices": notices(facts.notices),
        "summary": {
            "points": points(progress.points),
            "possible": points(progress.possible),
            "percent": percent(progress.completion),
            "done": sum(item.state is State.DONE for item in written),
            "written": len(written),
            "planned": len(progress.notebooks) - len(written),
            "week": points(progress.points_this_week),
            "left": duration(sum(item.minutes_left for item in written)),
            "begun": progress.last_at is not None,
        },
        "next": _next(progress, facts),
        "nothing": progress.why_nothing,
        "sections": [_section(section, progress.notebooks, facts) for section in progress.sections],
        "unknown": progress.unknown,
        "passport": passport(facts.keeping),
        "review": review(facts.today),
        "effort": [_week(week) for week in facts.weeks],
        "spent": duration(round(sum(week.minutes for week in facts.weeks))),
        "mastery": [found for section in progress.sections if (found := _topics(section))["topics"]],
    }


def _week(week: mastery.Week) -> Model:
    return {
        "day": f"{week.start:%d %b}".lstrip("0"),
        "passed": week.passed,
        "other": week.other,
        "days": week.days,
        "points": points(week.points),
        "spent": duration(round(week.minutes)) if week.minutes >= 1 else "",
    }


def _topics(section: SectionProgress) -> Model:
    """The graded topics of a section's written notebooks."""
    found = [(item, topic) for item in section.notebooks for topic in mastery.topics(item)]
    return {
        "key": section.section.slug,
        "number": section.section.number,
        "hue": hue(section),
        "title": section.section.title,
        "done": sum(topic.mastered_at is not None for _, topic in found),
        "topics": [
            {
                "number": item.notebook.number,
                "title": topic.topic.title,
                "percent": percent(topic.share),
                "state": "done" if topic.mastered_at else "started" if topic.passed else "ready",
            }
            for item, topic in found
        ],
    }


def hue(section: SectionProgress) -> int:
    """Which of the style sheet's colours a section has."""
    return (section.section.number - 1) % HUES


def notices(found: tuple[Notice, ...]) -> list[Model]:
    """Notices as plain data."""
    return [
        {
            "level": item.level,
            "title": item.title,
            "text": item.text,
            "start_over": list(item.start_over) if item.start_over else None,
        }
        for item in found
    ]


def review(today: Today) -> Model:
    """What to do again today."""
    return {
        "due": [
            {
                "number": item.notebook.number,
                "exercise": item.exercise.id,
                "title": item.exercise.title,
                "failed": item.failed,
                "last": moment(item.last_at),
                "recall": percent(item.recall),
            }
            for item in today.due
        ],
        "done": today.done,
        "waiting": today.waiting,
        "following": moment(today.following),
    }


def passport(keeping: Keeping) -> Model:
    """What to say about the passport: times are UTC, for the page to show in the reader's own."""
    return {
        "saved": moment(keeping.saved),
        "unsaved": moment(keeping.unsaved_since),
        "forgets": keeping.forgets,
    }


def moment(time: datetime | None) -> Model | None:
    """A time for a program, and for a reader whose browser tells no time zone."""
    if time is None:
        return None
    return {"iso": time.isoformat(timespec="seconds"), "words": f"{time:%d %B %Y, %H:%M} UTC".lstrip("0")}


def changes(before: Progress, after: Progress) -> str:
    """One sentence on what moved between the two, for a screen reader; "" when nothing did."""
    old = before.notebooks
    moved = [
        f"{item.notebook.number} {item.notebook.title}: {points(item.points)} of {points(item.possible)} points"
        + (", done" if item.state is State.DONE else "")
        for number, item in after.notebooks.items()
        if number in old and (old[number].points, old[number].state) != (item.points, item.state)
    ]
    return f"{'; '.join(moved)}." if moved else ""


def points(value: float) -> str:
    """Points without a needless `.0`."""
    return f"{value:.1f}".removesuffix(".0")


def percent(share: float) -> int:
    """Whole percent that say 0 and 100 only when it is so."""
    if share >= 1:
        return 100
    return min(99, max(1, round(share * 100))) if share > 0 else 0


def duration(minutes: int) -> str:
    """Minutes in words: "45 min", "3 h", "1 h 30 min"."""
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest} min"
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def _next(progress: Progress, facts: Facts) -> Model | None:
    if progress.next is None:
        return None
    item = progress.notebooks[progress.next.notebook]
    notebook = item.notebook
    return {
        "number": notebook.number,
        "title": notebook.title,
        "section": notebook.section,
        "stem": notebook.stem,
        "why": progress.next.why,
        "left": duration(item.minutes_left),
        "started": item.state is State.STARTED,
        "percent": percent(item.completion),
        "missing": _missing(item, facts),
    }


def _section(section: SectionProgress, everything: Mapping[str, NotebookProgress], facts: Facts) -> Model:
    written = [item for item in section.notebooks if item.state is not State.PLANNED]
    return {
        "key": section.section.slug,
        "number": section.section.number,
        "hue": hue(section),
        "title": section.section.title,
        "state": section.state.value,
        "label": STATE_LABELS[section.state],
        "points": points(section.points),
        "possible": points(section.possible),
        "percent": percent(section.completion),
        "written": len(written),
        "planned": len(section.notebooks) - len(written),
        "done": sum(item.state is State.DONE for item in written),
        "left": duration(section.minutes_left),
        "notebooks": [_notebook(item, everything, facts) for item in section.notebooks],
    }


def _notebook(item: NotebookProgress, everything: Mapping[str, NotebookProgress], facts: Facts) -> Model:
    notebook = item.notebook
    return {
        "number": notebook.number,
        "title": notebook.title,
        "section": notebook.section,
        "stem": notebook.stem,
        "state": item.state.value,
        "label": STATE_LABELS[item.state],
        "points": points(item.points),
        "possible": points(item.possible),
        "percent": percent(item.completion),
        "minutes": duration(notebook.minutes),
        "left": duration(item.minutes_left),
        "topics": [topic.title for topic in notebook.topics],
        "requires": [_requirement(everything[number]) for number in notebook.requires],
        "exercises": [
            _exercise(exercise)
            | {"number": notebook.number, "compare": notebook.number in _comparable(facts) and may_look(exercise)}
            for exercise in item.exercises
        ],
        "exercises_done": item.exercises_done,
        "solution": notebook.number in facts.solutions and may_look_at_all(item),
        "has_lesson": notebook.number in facts.copies.lessons,
        "has_exercises": notebook.number in facts.copies.exercises,
        "missing": _missing(item, facts),
    }


def _missing(item: NotebookProgress, facts: Facts) -> list[Model]:
    """The servers that a notebook starts and this machine lacks; two that one command installs are told once."""
    found = {server.what: server for server in facts.missing if server.name in item.notebook.servers}
    return [{"what": server.what, "reason": server.reason, "command": server.command} for server in found.values()]


def _requirement(item: NotebookProgress) -> Model:
    words = {State.DONE: "done", State.PLANNED: "planned, blocks nothing"}
    return {
        "number": item.notebook.number,
        "title": item.notebook.title,
        "state": item.state.value,
        "met": item.state in {State.DONE, State.PLANNED},
        "word": words.get(item.state, "not done yet"),
    }


def _exercise(item: ExerciseProgress) -> Model:
    state, label = _exercise_state(item)
    return {
        "id": item.exercise.id,
        "title": item.exercise.title,
        "state": state,
        "label": label,
        "points": points(item.points),
        "possible": points(item.possible),
        "essays": [
            {"id": check.check.id, "points": points(check.check.points)}
            for check in item.checks
            if check.check.kind == "essay" and not check.passed
        ],
    }


def _comparable(facts: Facts) -> frozenset[str]:
    """The notebooks of which both a copy and the model answers are there."""
    return facts.solutions & facts.copies.exercises


def may_look(item: ExerciseProgress) -> bool:
    """The solution is shown to who has passed, or has tried three times."""
    return item.done or any(check.attempts >= TRIES for check in item.checks)


def may_look_at_all(item: NotebookProgress) -> bool:
    """The whole solution notebook is opened for who may look at the solution of each of its exercises."""
    return bool(item.exercises) and all(may_look(exercise) for exercise in item.exercises)


def _exercise_state(item: ExerciseProgress) -> tuple[str, str]:
    """A word for the icon, and one for the reader."""
    if item.done:
        return "done", "passed"
    if item.changed:
        return "changed", "passed before it changed"
    latest = _latest(item.checks)
    if latest is None:
        return "ready", "not begun"
    words = {
        Outcome.FAILED: ("failed", "does not pass yet"),
        Outcome.CRASHED: ("failed", "stopped with an error"),
        Outcome.TIMED_OUT: ("failed", "took too long"),
        Outcome.PASSED: ("started", "partly passed"),
        Outcome.NOT_ATTEMPTED: ("ready", "not begun"),
    }
    return words[latest]


def _latest(checks: tuple[CheckProgress, ...]) -> Outcome | None:
    """What a learner would call the exercise's result: a failing check goes before a passing one."""
    last = [check.last for check in checks if check.last is not None]
    for outcome in (Outcome.FAILED, Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.PASSED):
        if outcome in last:
            return outcome
    return last[0] if last else None
