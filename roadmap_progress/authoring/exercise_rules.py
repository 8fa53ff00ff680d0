"""The rules for exercises that reading alone can judge; the others are `prove`'s."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from IPython.core.inputtransformer2 import TransformerManager

from roadmap_progress.authoring import secrets
from roadmap_progress.authoring.rules import Finding, imports, pictures_and_links
from roadmap_progress.execution.names import bound_names, global_reads
from roadmap_progress.hidden import without_hidden

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from roadmap_progress.authoring.exercises import ExerciseSource, ExercisesSource, RoleCell
    from roadmap_progress.model import Notebook

FEWEST_HINTS = 3
FEWEST_MISTAKES = 2
EXERCISES = range(4, 9)


def lint_exercises(source: ExercisesSource, notebook: Notebook, lesson: Path) -> Iterator[Finding]:
    """The exercises' findings; a line of the lesson is no secret."""
    path = source.path
    if len(source.exercises) not in EXERCISES:
        words = f"has {len(source.exercises)} exercises; {EXERCISES.start} to {EXERCISES.stop - 1} are wanted"
        yield Finding(path, None, words)
    yield from _topics(source, notebook)
    for exercise in source.exercises:
        yield from _hints(path, exercise)
        yield from _mistakes(path, exercise)
        for part in exercise.answers:
            yield from _file_answer(path, part)
        for part in exercise.checks:
            yield from _check_cell(path, part)
        if exercise.checks and not any(secrets.marked(part.cell.text, "HIDDEN TESTS") for part in exercise.checks):
            yield Finding(path, exercise.line, f"exercise {exercise.id!r} has no hidden check")
        if not exercise.prompt.strip():
            yield Finding(path, exercise.line, f"exercise {exercise.id!r} has no prompt")
        yield from _hidden_names(source, exercise)
        yield from _names_of_setup(source, exercise)
    for cell in secrets.without_telling_line(source, secrets.lesson_lines(lesson)):
        yield Finding(
            path, cell.line, "no line of its hidden block is its own: no search would find it in a release"
        )
    for cell, _ in source.cells:
        yield from (pictures_and_links if cell.kind == "markdown" else imports)(path, cell)


def _hidden_names(source: ExercisesSource, exercise: ExerciseSource) -> Iterator[Finding]:
    """What learners see of a check reads no name that only a hidden part of the exercise binds."""
    visible = {part.cell.line: without_hidden(part.cell.text) for part in exercise.checks}
    others = [cell.text for cell in source.setup] + [part.cell.text for part in exercise.answers]
    bound = {name for text in [*others, *visible.values()] for name in bound_names(text)}
    hidden = {name for part in exercise.checks for name in bound_names(part.cell.text)} - bound
    for line, text in visible.items():
        for name in sorted(hidden & global_reads(text)):
            words = f"reads {name!r} where learners see it, but binds it in a hidden part"
            yield Finding(source.path, line, words)


def _names_of_setup(source: ExercisesSource, exercise: ExerciseSource) -> Iterator[Finding]:
    """No check takes a name from the setup that is read again: a learner goes back and forth in one kernel."""
    others = [part.cell.text for one in source.exercises if one is not exercise for part in one.checks]
    read = {name for text in others for name in global_reads(text) - bound_names(text)}
    read |= {name for cell in source.setup for name in global_reads(cell.text, later=True)}
    needed = {name for cell in source.setup for name in bound_names(cell.text)} & read
    for part in exercise.checks:
        for name in sorted(needed & bound_names(part.cell.text)):
            words = f"binds {name!r} anew, which a setup cell binds and other cells read: call it something else"
            yield Finding(source.path, part.cell.line, words)


def _topics(source: ExercisesSource, notebook: Notebook) -> Iterator[Finding]:
    """Every topic of the notebook is graded by a check that runs, and no other topic is graded."""
    topics = {topic.id for topic in notebook.topics}
    by_running = {part.topic for exercise in source.exercises for part in exercise.checks}
    for topic in sorted(topics - by_running):
        yield Finding(source.path, None, f"no check that runs grades the topic {topic!r}")
    for exercise in source.exercises:
        for part in exercise.graded:
            if part.topic not in topics:
                words = f"the topic {part.topic!r} is not {notebook.number}'s: {', '.join(sorted(topics))}"
                yield Finding(source.path, part.cell.line, words)


def _hints(path: Path, exercise: ExerciseSource) -> Iterator[Finding]:
    numbers = [hint.argument for hint in exercise.hints]
    if exercise.checks and len(numbers) < FEWEST_HINTS:
        yield Finding(path, exercise.line, f"exercise {exercise.id!r} has {len(numbers)} hints of {FEWEST_HINTS}")
    if numbers != [str(number) for number in range(1, len(numbers) + 1)]:
        yield Finding(path, exercise.line, f"exercise {exercise.id!r} numbers its hints {', '.join(numbers)}")


def _mistakes(path: Path, exercise: ExerciseSource) -> Iterator[Finding]:
    if exercise.checks and len(exercise.mistakes) < FEWEST_MISTAKES:
        words = f"exercise {exercise.id!r} has {len(exercise.mistakes)} mistakes of {FEWEST_MISTAKES}"
        yield Finding(path, exercise.line, words)
    texts = [mistake.caught_by for mistake in exercise.mistakes]
    for mistake in exercise.mistakes:
        if texts.count(mistake.caught_by) > 1:
            yield Finding(path, mistake.cell.line, f"another mistake is caught by {mistake.caught_by!r}, too")


def _file_answer(path: Path, part: RoleCell) -> Iterator[Finding]:
    first = part.cell.text.splitlines()[0] if part.cell.text else ""
    file = part.cell.options.get("file")
    if file and first.strip() != f"%%writefile {file}":
        yield Finding(path, part.cell.line, f"is the file {file}: its first line has to be `%%writefile {file}`")
    if not file and first.startswith("%%writefile"):
        yield Finding(path, part.cell.line, f"writes a file: say so with `:file: {first.split()[-1]}`")


def _check_cell(path: Path, part: RoleCell) -> Iterator[Finding]:
    """A cell that ends in a value would be graded by that value: nbgrader takes it for partial credit."""
    try:
        body = ast.parse(TransformerManager().transform_cell(part.cell.text)).body
    except SyntaxError as error:
        yield Finding(path, part.cell.line + (error.lineno or 1), f"this check is no Python: {error.msg}")
        return
    last = body[-1] if body else None
    if isinstance(last, ast.Expr) and not isinstance(last.value, ast.Call):
        yield Finding(path, part.cell.line, "ends in a value, which nbgrader takes for partial credit")
    if not any(isinstance(node, ast.Assert | ast.Raise | ast.Call) for tree in body for node in ast.walk(tree)):
        yield Finding(path, part.cell.line, "asserts nothing")
