"""What learners must not have – solutions, hidden checks, mistakes – and whether some text holds it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from roadmap_progress.authoring.exercises import ExercisesSource
    from roadmap_progress.authoring.sources import SourceCell

SHORTEST = 16  # a shorter line (`return False`) says nothing about where it came from


def blocks(source: ExercisesSource) -> Iterator[tuple[SourceCell, str, list[str]]]:
    """Every secret block: its cell, what it is ("solution", "hidden checks", "mistake"), its lines."""
    for exercise in source.exercises:
        for part in [*exercise.answers, *exercise.essays]:
            yield part.cell, "solution", marked(part.cell.text, "SOLUTION")
        for part in exercise.checks:
            if hidden := marked(part.cell.text, "HIDDEN TESTS"):
                yield part.cell, "hidden checks", hidden
        for part in exercise.mistakes:
            yield part.cell, "mistake", part.cell.text.splitlines()


def marked(text: str, what: str) -> list[str]:
    """The lines between `BEGIN what` and `END what`, all such blocks together."""
    found: list[str] = []
    inside = False
    for line in text.splitlines():
        if f"BEGIN {what}" in line:
            inside = True
        elif f"END {what}" in line:
            inside = False
        elif inside:
            found.append(line)
    return found


def telling_lines(source: ExercisesSource, public: AbstractSet[str]) -> Iterator[tuple[SourceCell, str, set[str]]]:
    """For each secret block, its cell, what it is, and its lines that stand nowhere in what learners get."""
    public = public | public_lines(source)
    for cell, what, lines in blocks(source):
        yield cell, what, {text for line in lines if len(text := line.strip()) >= SHORTEST and text not in public}


def without_telling_line(source: ExercisesSource, public: AbstractSet[str]) -> Iterator[SourceCell]:
    """Cells whose hidden block has no line of its own, so that no search could find it in a release."""
    for cell, what, telling in telling_lines(source, public):
        if what == "hidden checks" and not telling:
            yield cell


def leaks(source: ExercisesSource, public: AbstractSet[str], texts: Mapping[str, str]) -> list[str]:
    """Where a secret of `source` stands in one of the texts.

    In a notebook every single telling line counts. Other files are code and prose of their own, which may share
    a line with a solution: there a block counts that has several telling lines, all of them in the file.

    Args:
        public: lines that learners get elsewhere, such as the lessons'.
        texts: name → content, notebooks as JSON.
    """
    problems = []
    secret = list(telling_lines(source, public))
    for name, text in texts.items():
        lines = _lines(text)
        if not name.endswith(".ipynb"):
            for cell, what, telling in secret:
                if len(telling) > 1 and telling <= lines:
                    problems.append(f"{name}: holds the {what} of line {cell.line} of {source.path.name}")
            continue
        for what in sorted({what for _, what, _ in secret}):
            telling = {line for _, kind, own in secret if kind == what for line in own}
            problems += [f"{name}: holds a line of a {what}: {line!r}" for line in sorted(telling & lines)]
        if re.search(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS)", text):
            problems.append(f"{name}: holds a marker of a solution or hidden check")
    return problems


def _lines(text: str) -> set[str]:
    """The stripped lines of a text; of JSON, those of all strings in it."""
    try:
        data = json.loads(text)
    except ValueError:
        return {line.strip() for line in text.splitlines()}
    found: set[str] = set()
    pending = [data]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            found.update(line.strip() for line in value.splitlines())
        elif isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return found


def public_lines(source: ExercisesSource) -> set[str]:
    """The lines that learners get: of text, setup and checks, and of answers outside the solution."""
    found: set[str] = set()
    for cell, part in source.cells:
        secret = marked(cell.text, "SOLUTION") + marked(cell.text, "HIDDEN TESTS") if part else []
        rest = list(cell.text.splitlines())
        for line in secret:
            rest.remove(line)
        found.update(line.strip() for line in rest)
    return found


def lesson_lines(path: Path) -> set[str]:
    """What a lesson shows: a line of it is no secret, wherever else it stands."""
    return {line.strip() for line in path.read_text(encoding="utf-8").splitlines()} if path.is_file() else set()
