"""The course's vocabulary: frozen data without behaviour that reads or writes anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

from roadmap_progress.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


class Status(StrEnum):
    """Whether a notebook has been written yet."""

    PLANNED = "planned"
    READY = "ready"


class Outcome(StrEnum):
    """What came of running a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"  # the answer equals the release
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"  # the answer raised something that is no failed assertion, or killed the kernel


class EventSource(StrEnum):
    """Who saw a check run."""

    KERNEL = "kernel"  # the learner ran the cell
    CHECK = "check"  # `roadmap check`
    AUTOGRADE = "autograde"  # an instructor's grading
    SELF_ASSESSED = "self-assessed"  # an essay that the learner ticked


@dataclass(frozen=True, slots=True)
class Link:
    """A pointer to further reading."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Topic:
    """A bullet of the roadmap; `id` is permanent and course-wide."""

    id: str
    title: str
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A graded cell.

    Attributes:
        id: permanent, course-wide; the same text as nbgrader's grade_id (`<exercise>_<name>`).
        topic: the id of the topic that it grades.
        points: what it is worth.
        kind: "checks" (graded by running it) or "essay" (graded by hand).
        version: digest of the cell with its hidden part; changes whenever what is asked does.
        released: digest of the cell as learners get it (`notebooks.source_digest`).
    """

    id: str
    topic: str
    points: float
    kind: str = "checks"
    version: str = ""
    released: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A cell that the learner fills in: its grade_id, and the digest of its untouched text."""

    id: str
    released: str = ""


@dataclass(frozen=True, slots=True)
class Exercise:
    """One objective: a prompt, answer cells, and the checks that grade them."""

    id: str
    title: str
    answers: tuple[Answer, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def points(self) -> float:
        """What all checks together are worth."""
        return sum(check.points for check in self.checks)


@dataclass(frozen=True, slots=True)
class Notebook:
    """A numbered heading of the roadmap: a lesson and its exercises.

    Attributes:
        number: as in the roadmap, "1.1"; permanent.
        slug: permanent; `<number>-<slug>` is the stem of its files.
        section: the slug of its section, "01-foundations".
        minutes: honest minutes for lesson and exercises together.
        requires: numbers of the notebooks to do before this one.
        servers: names in `roadmap_progress.servers` that the lesson or exercises start.
    """

    number: str
    slug: str
    title: str
    section: str
    status: Status
    minutes: int = 0
    requires: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    topics: tuple[Topic, ...] = ()
    exercises: tuple[Exercise, ...] = ()

    @property
    def stem(self) -> str:
        """The name of its files without suffix, "1.1-internet-fundamentals"."""
        return f"{self.number}-{self.slug}"

    @property
    def checks(self) -> tuple[Check, ...]:
        """All checks of all exercises, in order."""
        return tuple(check for exercise in self.exercises for check in exercise.checks)

    @property
    def points(self) -> float:
        """What all checks together are worth."""
        return sum(check.points for check in self.checks)


@dataclass(frozen=True, slots=True)
class Section:
    """One of the sixteen parts of the roadmap; nbgrader's assignment."""

    number: int
    slug: str
    title: str
    notebooks: tuple[Notebook, ...]


@dataclass(frozen=True)
class Roadmap:
    """The whole course.

    Attributes:
        version: the course's version.
        sections: in the roadmap's order.
        aliases: former ids of checks, topics or notebooks → what they are called now.
        retired: ids that were used once and never will be again.
        repository: the web address of the course's repository, without a trailing slash.
    """

    version: str
    sections: tuple[Section, ...]
    aliases: dict[str, str] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()
    repository: str = ""

    @cached_property
    def notebooks(self) -> dict[str, Notebook]:
        """Every notebook by its number, in the roadmap's order."""
        return {notebook.number: notebook for section in self.sections for notebook in section.notebooks}

    @cached_property
    def checks(self) -> dict[str, Check]:
        """Every check by its id."""
        return {check.id: check for notebook in self.notebooks.values() for check in notebook.checks}

    def ready(self) -> Iterator[Notebook]:
        """The notebooks that have been written, in order."""
        return (notebook for notebook in self.notebooks.values() if notebook.status is Status.READY)

    def find(self, name: str) -> Notebook:
        """The notebook called `name`: its number, slug or stem.

        Raises:
            CatalogError: there is none.
        """
        name = self.aliases.get(name, name)
        for notebook in self.notebooks.values():
            if name in (notebook.number, notebook.slug, notebook.stem):
                return notebook
        raise CatalogError(f"no notebook is called {name!r}: give its number, such as 1.1, or its slug")

    def section(self, slug: str) -> Section:
        """The section with this slug.

        Raises:
            CatalogError: there is none.
        """
        for section in self.sections:
            if section.slug == slug:
                return section
        known = ", ".join(section.slug for section in self.sections)
        raise CatalogError(f"no section is called {slug!r}; there are {known}")


@dataclass(frozen=True, slots=True)
class Event:
    """One run of one check, as recorded; never changed afterwards.

    Attributes:
        uuid: makes two stores mergeable as sets.
        machine: an opaque id of the store that recorded it first.
        check_id: `Check.id`.
        check_version: `Check.version` when it ran.
        answer_digest: digest of the exercise's answers as last executed, "" where unknown.
        points: earned.
        time: aware, UTC.
    """

    uuid: str
    machine: str
    source: EventSource
    check_id: str
    check_version: str
    answer_digest: str
    outcome: Outcome
    points: float
    time: datetime


def digest(source: str) -> str:
    """A short name of a cell's text that white space at its ends does not change: 16 hex digits of SHA-256."""
    return sha256(source.strip().encode()).hexdigest()[:16]
