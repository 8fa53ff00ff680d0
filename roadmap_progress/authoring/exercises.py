"""The structure of an `.exercises.md`: which cells make up which exercise, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from roadmap_progress.authoring.markdown import Directive, directives
from roadmap_progress.authoring.sources import SourceCell, read_cells
from roadmap_progress.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

ROLES = ("setup", "answer", "checks", "essay", "mistake")
HEADING = re.compile(r"^## Exercise (?P<ordinal>\d+) · (?P<title>.+)$", re.MULTILINE)
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
ONLY_ANSWER = "answer"  # the id of an exercise's only answer cell


@dataclass(frozen=True)
class RoleCell:
    """A cell of an exercise, with the part of its grade id that the author chose."""

    cell: SourceCell
    exercise: str
    name: str
    topic: str = ""
    points: float = 0.0
    caught_by: str = ""
    replaces: str = ""
    same_process: str = ""

    @property
    def grade_id(self) -> str:
        """Its id in the whole course, and nbgrader's: `<exercise>_<name>`."""
        return f"{self.exercise}_{self.name}"


@dataclass
class ExerciseSource:
    """An exercise as written; lists are in the file's order."""

    id: str
    title: str
    line: int
    prompt: str
    hints: list[Directive] = field(default_factory=list)
    answers: list[RoleCell] = field(default_factory=list)
    checks: list[RoleCell] = field(default_factory=list)
    essays: list[RoleCell] = field(default_factory=list)
    mistakes: list[RoleCell] = field(default_factory=list)

    def parts(self, role: str) -> list[RoleCell]:
        """Its cells of this role."""
        return {
            "answer": self.answers,
            "checks": self.checks,
            "essay": self.essays,
            "mistake": self.mistakes,
        }[role]

    @property
    def graded(self) -> list[RoleCell]:
        """Everything that earns points."""
        return [*self.checks, *self.essays]


@dataclass(frozen=True)
class ExercisesSource:
    """An `.exercises.md`.

    Attributes:
        cells: every cell but the mistakes, in order, each with its role (None for plain text).
    """

    path: Path
    cells: tuple[tuple[SourceCell, RoleCell | None], ...]
    setup: tuple[SourceCell, ...]
    exercises: tuple[ExerciseSource, ...]


def read(path: Path) -> ExercisesSource:
    """Read an exercises source and hold it together.

    Raises:
        SourceError: naming line and mend.
    """
    exercises: list[ExerciseSource] = []
    cells: list[tuple[SourceCell, RoleCell | None]] = []
    setup: list[SourceCell] = []
    current: ExerciseSource | None = None
    for cell in read_cells(path):
        if cell.kind == "markdown" and cell.role is None:
            current = _begin(path, cell, exercises) or current
            cells.append((cell, None))
            if current and not current.answers and not current.checks:
                current.hints += [found for found in directives(path, cell) if found.name == "hint"]
            continue
        role = _role(path, cell)
        if role == "setup":
            setup.append(cell)
            cells.append((cell, None))
            continue
        if current is None:
            problem = f"the {role} cell stands before the first exercise"
            raise SourceError(path, cell.line, problem, "begin one with a line `## Exercise 1 · Its title`")
        part = _part(path, cell, role)
        if not current.id:
            _claim(path, current, part, exercises)
        elif part.exercise != current.id:
            problem = f"the cell belongs to {part.exercise!r}, but stands in exercise {current.id!r}"
            raise SourceError(path, cell.line, problem, "move it, or give its exercise a heading of its own")
        current.parts(role).append(part)
        if role != "mistake":
            cells.append((cell, part))
    for exercise in exercises:
        _check_complete(path, exercise)
    return ExercisesSource(path, tuple(cells), tuple(setup), tuple(exercises))


def _begin(path: Path, cell: SourceCell, exercises: list[ExerciseSource]) -> ExerciseSource | None:
    """The exercise that the cell's heading opens, if it has one."""
    found = list(HEADING.finditer(cell.text))
    if not found:
        for number, text in enumerate(cell.text.splitlines()):
            if re.match(r"^##\s*Exercise\b", text, re.IGNORECASE):
                raise SourceError(
                    path,
                    cell.line + number,
                    f"this heading opens no exercise: {text!r}",
                    "`## Exercise 1 · Its title`",
                )
        return None
    match = found[-1]
    line = cell.line + cell.text[: match.start()].count("\n")
    if len(found) > 1:
        raise SourceError(path, line, "two exercises without a cell between them", "give each its cells")
    ordinal = len(exercises) + 1
    if int(match.group("ordinal")) != ordinal:
        problem = f"Exercise {match.group('ordinal')} follows Exercise {ordinal - 1}"
        raise SourceError(path, line, problem, f"call it Exercise {ordinal}")
    exercise = ExerciseSource("", match.group("title").strip(), line, cell.text[match.end() :])
    exercises.append(exercise)
    return exercise


def _claim(path: Path, current: ExerciseSource, part: RoleCell, exercises: list[ExerciseSource]) -> None:
    """Name the exercise after its first cell's `:exercise:`."""
    for other in exercises:
        if other.id == part.exercise:
            problem = f"the exercise id {part.exercise!r} is used twice, first in line {other.line}"
            raise SourceError(path, part.cell.line, problem, "give one of them another id")
    current.id = part.exercise


def _role(path: Path, cell: SourceCell) -> str:
    if cell.role is None:
        raise SourceError(path, cell.line, "the cell has no role", f"add `:role:` and one of {', '.join(ROLES)}")
    if cell.role not in ROLES:
        raise SourceError(path, cell.line, f"the role {cell.role!r} is not known", f"there are {', '.join(ROLES)}")
    if (cell.kind == "markdown") != (cell.role == "essay"):
        problem = f"an {cell.kind} cell cannot have the role {cell.role!r}"
        raise SourceError(
            path, cell.line, problem, "an essay is a Markdown cell behind `+++ {…}`; the rest is code"
        )
    return cell.role


def _part(path: Path, cell: SourceCell, role: str) -> RoleCell:
    def need(option: str, kind: type | tuple[type, ...]) -> Any:
        value = cell.options.get(option)
        if not isinstance(value, kind) or isinstance(value, bool) or value == "":
            problem = f"the {role} cell has no {option!r}" if value is None else f"{option!r} cannot be {value!r}"
            raise SourceError(path, cell.line, problem, f"add `:{option}: …`")
        return value

    exercise = need("exercise", str)
    name = cell.options.get("id", ONLY_ANSWER if role == "answer" else None)
    if role == "mistake":
        name = name or "mistake"
    elif role in ("checks", "essay"):
        name = need("id", (str, int))
    for value in (exercise, str(name)):
        if not NAME.fullmatch(value):
            problem = f"the id {value!r} is not made of lower-case words with hyphens"
            raise SourceError(path, cell.line, problem, "such as `jwt-verify`")
    graded = role in ("checks", "essay")
    points = float(need("points", (int, float))) if graded else 0.0
    if graded and points <= 0:
        raise SourceError(path, cell.line, f"the points are {points:g}", "a check is worth more than nothing")
    return RoleCell(
        cell,
        exercise,
        str(name),
        topic=need("topic", str) if graded else "",
        points=points,
        caught_by=need("caught-by", str) if role == "mistake" else "",
        replaces=str(cell.options.get("answer", ONLY_ANSWER)) if role == "mistake" else "",
        same_process=str(cell.options.get("same-process", "")),
    )


def _check_complete(path: Path, exercise: ExerciseSource) -> None:
    if not exercise.graded:
        problem = f"exercise {exercise.title!r} has no graded cell"
        raise SourceError(path, exercise.line, problem, "add a `checks` cell, or an `essay`")
    if exercise.checks and not exercise.answers:
        raise SourceError(path, exercise.line, f"exercise {exercise.id!r} has no answer cell", "add one")
    seen: dict[str, int] = {}
    for part in [*exercise.answers, *exercise.graded]:
        if part.name in seen:
            problem = f"the id {part.grade_id!r} is used twice, first in line {seen[part.name]}"
            raise SourceError(path, part.cell.line, problem, "give the cell another `:id:`")
        seen[part.name] = part.cell.line
    names = {part.name for part in exercise.answers}
    for mistake in exercise.mistakes:
        if mistake.replaces not in names:
            problem = f"the mistake replaces the answer {mistake.replaces!r}, which {exercise.id!r} has not"
            raise SourceError(path, mistake.cell.line, problem, f"`:answer:` one of {', '.join(sorted(names))}")
    for answer in exercise.answers:
        _check_markers(path, answer.cell, "SOLUTION", required=True)
    for part in [*exercise.checks, *exercise.essays]:
        _check_markers(path, part.cell, "HIDDEN TESTS", required=False)
    for essay in exercise.essays:
        _check_markers(path, essay.cell, "SOLUTION", required=True)


def _check_markers(path: Path, cell: SourceCell, what: str, *, required: bool) -> None:
    """`### BEGIN what` and `### END what` come in pairs."""
    inside = False
    count = 0
    for number, text in enumerate(cell.text.splitlines()):
        if f"BEGIN {what}" in text or f"END {what}" in text:
            begins = f"BEGIN {what}" in text
            if begins == inside:
                problem = f"{text.strip()!r} {'inside' if inside else 'without'} another block"
                raise SourceError(path, cell.line + number, problem, f"pair ### BEGIN {what} with ### END {what}")
            inside = begins
            count += 1
    if inside:
        raise SourceError(path, cell.line, f"### BEGIN {what} is never ended", f"add ### END {what}")
    if required and not count:
        problem = f"the cell has no ### BEGIN {what} … ### END {what}"
        raise SourceError(path, cell.line, problem, "mark what learners do not get")
