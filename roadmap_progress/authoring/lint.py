"""The bar for lessons and exercises, as far as a program can judge it: `roadmap lint`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from roadmap_progress import processes
from roadmap_progress.authoring import exercises, outline
from roadmap_progress.authoring.build import Built
from roadmap_progress.authoring.exercise_rules import lint_exercises
from roadmap_progress.authoring.lesson_rules import lint_lesson
from roadmap_progress.authoring.rules import Finding
from roadmap_progress.errors import SourceError
from roadmap_progress.execution.forked import marks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from roadmap_progress.authoring.exercises import ExercisesSource
    from roadmap_progress.model import Notebook, Roadmap

LARGEST_SAME_PROCESS_SHARE = 0.1


def lint(root: Path, roadmap: Roadmap, notebooks: list[Notebook]) -> list[Finding]:
    """What falls short in the sources of these notebooks; [] where all holds."""
    found: list[Finding] = []
    sources: list[ExercisesSource] = []
    for notebook in notebooks:
        lesson, exercise = outline.sources(root, notebook)
        try:
            found += lint_lesson(lesson, notebook, Built.of(root, notebook).lesson)
            source = exercises.read(exercise)
            sources.append(source)
            found += lint_exercises(source, notebook, lesson)
        except SourceError as error:
            found.append(Finding(error.path, error.line, f"{error.problem}; {error.mend}".removesuffix("; ")))
    found += _ids_across(root, roadmap)
    found += _same_process_share(sources)
    found += _spelling([path for notebook in notebooks for path in outline.sources(root, notebook)])
    return found


def _ids_across(root: Path, roadmap: Roadmap) -> Iterator[Finding]:
    """Exercise ids are unique in the whole course, also across notebooks."""
    first: dict[str, Path] = {}
    for notebook in roadmap.ready():
        path = outline.sources(root, notebook)[1]
        try:
            source = exercises.read(path)
        except SourceError:
            continue  # said where the notebook itself is linted
        for exercise in source.exercises:
            if exercise.id in first:
                yield Finding(
                    path, exercise.line, f"the exercise id {exercise.id!r} is used in {first[exercise.id]}"
                )
            if exercise.id in roadmap.retired:
                yield Finding(path, exercise.line, f"the exercise id {exercise.id!r} was retired: use a new one")
            first.setdefault(exercise.id, path)


def _same_process_share(sources: list[ExercisesSource]) -> Iterator[Finding]:
    checks = [(source.path, part) for source in sources for ex in source.exercises for part in ex.checks]
    marked = [(path, part) for path, part in checks if part.same_process]
    for path, part in checks:
        if bool(part.same_process) != ("same-process" in marks(part.cell.text)):
            words = "`:same-process: reason` and the line `# grading: same-process` go together"
            yield Finding(path, part.cell.line, words)
    if len(marked) > LARGEST_SAME_PROCESS_SHARE * len(checks):
        path, part = marked[-1]
        words = f"{len(marked)} of {len(checks)} checks are same-process; one in ten is the most"
        yield Finding(path, part.cell.line, words)


def _spelling(paths: list[Path]) -> Iterator[Finding]:
    there = [path for path in paths if path.is_file()]
    if not there:
        return
    done = processes.run([sys.executable, "-m", "codespell_lib", *there], timeout_s=60)
    for row in done.stdout.splitlines():
        name, line, words = [*row.split(":", 2), "", ""][:3]
        path = next((path for path in there if str(path) == name), there[0])
        yield Finding(path, int(line) if line.isdigit() else None, f"spelling: {words.strip()}")
