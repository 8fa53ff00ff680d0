"""content/ → course/, solutions/, exercises/ and course/roadmap.json.

A lesson is executed only when its source changed; solutions are cheap and always made anew; nbgrader's own
release step runs for the sections whose solutions changed. What was built from what is recorded as digests in
`course/roadmap.json`, so that `check` needs to execute nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadmap_progress import catalog, notebooks
from roadmap_progress.authoring import compile as compiler
from roadmap_progress.authoring import exercises, glossary, markdown, outline
from roadmap_progress.errors import ExecutionError, NotebookError, SourceError
from roadmap_progress.execution.lessons import CellFailed, execute_lesson
from roadmap_progress.model import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from roadmap_progress.model import Notebook

# Part of every source's digest: raise it when the builder makes other notebooks of the same sources.
BUILDER = "1"
BESIDE = {".ipynb_checkpoints", ".hypothesis"}  # what Lab and hypothesis write beside a notebook that runs


@dataclass(frozen=True)
class Built:
    """Where a notebook's three built files are."""

    lesson: Path
    solutions: Path
    exercises: Path

    @classmethod
    def of(cls, root: Path, notebook: Notebook) -> Built:
        """The paths under `root`."""
        file = Path(notebook.section) / f"{notebook.stem}.ipynb"
        return cls(root / "course" / file, root / "solutions" / file, root / "exercises" / file)


def build(root: Path, names: list[str], *, force: bool = False, say: Callable[[str], None] = print) -> list[str]:
    """Build what is stale of the named notebooks (all that are written, without names).

    Args:
        force: also execute lessons whose source has not changed.
        say: gets a line for each step.

    Returns:
        What was made, as paths relative to `root`.

    Raises:
        SourceError: a source is wrong, or a cell of a lesson failed.
        ExecutionError: nbgrader's release step failed.
    """
    data = outline.read(root)
    roadmap = catalog.parse(data)
    chosen = outline.choose(roadmap, names)
    recorded = _recorded(root)
    made: list[str] = []
    stale_sections: list[str] = []
    glossary.render(root, list(roadmap.ready()))  # a word defined twice is told before any lesson runs
    for notebook in chosen:
        if _write_solutions(root, notebook) or not _as_released(root, notebook, recorded):
            say(f"{notebook.number}: solutions")
            made.append(f"solutions/{notebook.section}/{notebook.stem}.ipynb")
            if notebook.section not in stale_sections:
                stale_sections.append(notebook.section)
    for section in stale_sections:
        say(f"{section}: exercises, with nbgrader's release step")
        release(root, section)
        made.append(f"exercises/{section}")
    for notebook in chosen:
        source = outline.sources(root, notebook)[0]
        old = recorded.get(notebook.number, {})
        path = Built.of(root, notebook).lesson
        if force or old.get("lesson_source") != _source_digest(source) or old.get("lesson") != _file_digest(path):
            say(f"{notebook.number}: lesson, executed")
            _write_lesson(root, notebook, source, path)
            made.append(f"course/{notebook.section}/{notebook.stem}.ipynb")
    for path, text in _catalogue(root, data, {notebook.number for notebook in chosen}).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            notebooks.write_text_atomically(path, text)
            made.append(str(path.relative_to(root)))
    return made


def check(root: Path) -> list[str]:
    """What is stale, and which source to edit or command to run; executes nothing.

    Raises:
        SourceError: a source is wrong.
    """
    data = outline.read(root)
    roadmap = catalog.parse(data)
    problems: list[str] = []
    expected: set[Path] = set()
    for notebook in roadmap.ready():
        built = Built.of(root, notebook)
        expected |= {built.lesson, built.solutions, built.exercises}
        problems += stale(root, notebook)
    expected |= {root / catalog.FILE, root / "course" / "glossary.md"}
    for folder in ("course", "solutions", "exercises"):
        problems += [
            f"{path.relative_to(root)} is built from nothing in content/: delete it"
            for path in _strays(root / folder, expected)
        ]
    if not problems:
        for path, text in _catalogue(root, data, set()).items():
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                source = outline.FILE if path.name == "roadmap.json" else "the lessons' glossary blocks"
                problems.append(f"{path.relative_to(root)} is stale: edit {source}, then `roadmap build`")
    return problems


def release(root: Path, section: str) -> None:
    """Make exercises/<section> of solutions/<section> as `nbgrader generate_assignment --no-db` does.

    Building needs no class, and touches none.

    Raises:
        ClassroomError: `nbgrader_config.py`, or what it reads, is wrong.
        ExecutionError: something else lies in solutions/<section>, which nbgrader would release, too; or nbgrader
            failed, with what it printed.
    """
    notebooks_there = set((root / "solutions" / section).glob("*.ipynb"))
    if strays := _strays(root / "solutions" / section, notebooks_there):
        listed = ", ".join(str(path.relative_to(root)) for path in strays)
        raise ExecutionError(
            f"nbgrader would release these with the exercises, answers included: {listed}; delete them"
        )
    # nbgrader costs seconds to import, and a build that releases nothing does without it
    from roadmap_progress.authoring import releasing

    try:
        releasing.generate(releasing.configuration(root), section)
    except ExecutionError as error:
        raise ExecutionError(f"nbgrader's release step failed for {section}:\n{error}") from error


def _strays(folder: Path, expected: set[Path]) -> list[Path]:
    """Files below the folder that the build does not make."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path not in expected and not BESIDE.intersection(path.parts)
    )


def _write_solutions(root: Path, notebook: Notebook) -> bool:
    """Write the notebook's solutions if they changed; True then."""
    text = _solutions_text(root, notebook)
    path = Built.of(root, notebook).solutions
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    notebooks.write_text_atomically(path, text)
    return True


def _solutions_text(root: Path, notebook: Notebook) -> str:
    source = outline.sources(root, notebook)[1]
    compiled = compiler.solutions(exercises.read(source), notebook, source.relative_to(root).as_posix())
    return notebooks.dumps(compiled)


def _write_lesson(root: Path, notebook: Notebook, source: Path, path: Path) -> None:
    edit = source.relative_to(root).as_posix()
    planned = compiler.lesson(source, notebook, edit)
    lines = [cell.metadata.pop("roadmap", {}).get("line") for cell in planned.cells]
    try:
        executed = execute_lesson(planned)
    except CellFailed as error:
        problem = f"this cell raised {error.name}: {error.value}"
        raise SourceError(source, lines[error.index], problem, "run the lesson and mend it") from error
    for cell in executed.cells:
        if compiler.SERVER_TAG in cell.metadata.get("tags", []):
            cell.outputs = []
    notebooks.write(executed, path)


def _as_released(root: Path, notebook: Notebook, recorded: dict[str, dict[str, str]]) -> bool:
    """Whether the exercises are what the last build that went through released of these solutions."""
    built, old = Built.of(root, notebook), recorded.get(notebook.number, {})
    return all(
        path.is_file() and old.get(kind) == _file_digest(path)
        for kind, path in (("solutions", built.solutions), ("exercises", built.exercises))
    )


def stale(root: Path, notebook: Notebook) -> list[str]:
    """What `check` finds for one notebook."""
    built = Built.of(root, notebook)
    recorded = _recorded(root).get(notebook.number, {})
    lesson, exercise = outline.sources(root, notebook)
    again = f"`roadmap build {notebook.number}`"
    problems = []
    if not built.lesson.is_file():
        problems.append(f"{built.lesson.relative_to(root)} is missing: {again}")
    elif recorded.get("lesson_source") != _source_digest(lesson):
        problems.append(f"{built.lesson.relative_to(root)} is older than {lesson.relative_to(root)}: {again}")
    elif recorded.get("lesson") != _file_digest(built.lesson):
        problems.append(
            f"{built.lesson.relative_to(root)} was edited after it was built: "
            f"edit {lesson.relative_to(root)} instead, then {again}"
        )
    if not built.solutions.is_file() or built.solutions.read_text(encoding="utf-8") != _solutions_text(
        root, notebook
    ):
        problems.append(
            f"{built.solutions.relative_to(root)} is not what {exercise.relative_to(root)} says: "
            f"edit that source, then {again}"
        )
    elif not _as_released(root, notebook, _recorded(root)):
        problems.append(
            f"{built.exercises.relative_to(root)} is not what nbgrader released: "
            f"edit {exercise.relative_to(root)}, then {again}"
        )
    return problems


def _catalogue(root: Path, data: dict[str, Any], rebuilt: set[str]) -> dict[Path, str]:
    """The generated files that speak of all notebooks, with their text."""
    recorded = _recorded(root)
    roadmap = catalog.parse(data)
    known: dict[str, Any] = {}
    for section in data["sections"]:
        for entry in section["notebooks"]:
            notebook = roadmap.notebooks[entry["number"]]
            built = Built.of(root, notebook)
            if entry["status"] == "ready" and built.exercises.is_file() and built.solutions.is_file():
                entry["exercises"] = exercise_data(root, notebook)
                if notebook.number in rebuilt:
                    known[notebook.number] = _digests(root, notebook)
                elif notebook.number in recorded:
                    known[notebook.number] = recorded[notebook.number]
    data["built"] = known
    catalog.parse(data)
    return {
        root / catalog.FILE: json.dumps(data, indent=1, ensure_ascii=False) + "\n",
        root / "course" / "glossary.md": glossary.render(root, list(roadmap.ready())),
    }


def exercise_data(root: Path, notebook: Notebook) -> list[dict[str, Any]]:
    """What the catalogue says of a notebook's exercises: ids, points, digests of what was released."""
    source = exercises.read(outline.sources(root, notebook)[1])
    built = Built.of(root, notebook)
    try:
        full = notebooks.cells_by_grade_id(notebooks.read(built.solutions))
        released = notebooks.cells_by_grade_id(notebooks.read(built.exercises))
        return [
            {
                "id": exercise.id,
                "title": exercise.title,
                "answers": [
                    {"id": part.grade_id, "released": digest(released[part.grade_id].source)}
                    for part in [*exercise.answers, *exercise.essays]
                ],
                "checks": [
                    {
                        "id": part.grade_id,
                        "topic": part.topic,
                        "points": part.points,
                        "kind": part.cell.role,
                        "version": digest(full[part.grade_id].source),
                        "released": digest(released[part.grade_id].source),
                    }
                    for part in exercise.graded
                ],
            }
            for exercise in source.exercises
        ]
    except KeyError as error:
        raise NotebookError(
            f"{built.exercises} has no cell {error}: `roadmap build {notebook.number}` makes it anew"
        ) from None


def _digests(root: Path, notebook: Notebook) -> dict[str, str]:
    built = Built.of(root, notebook)
    lesson, exercise = outline.sources(root, notebook)
    return {
        "lesson_source": _source_digest(lesson),
        "lesson": _file_digest(built.lesson),
        "exercises_source": _source_digest(exercise),
        "solutions": _file_digest(built.solutions),
        "exercises": _file_digest(built.exercises),
    }


def _source_digest(path: Path) -> str:
    """Digest of the source, the pictures in it, and the builder."""
    if not path.is_file():
        raise SourceError(path, None, "there is no such source", "`roadmap new NUMBER` lays it out")
    content = path.read_bytes()
    parts = [BUILDER.encode(), content]
    targets = sorted(
        {match.group("target") for match in markdown.IMAGE.finditer(content.decode(errors="replace"))}
    )
    parts += [(path.parent / target).read_bytes() for target in targets if (path.parent / target).is_file()]
    return _digest(parts)


def _file_digest(path: Path) -> str:
    return _digest([path.read_bytes()]) if path.is_file() else ""


def _digest(parts: Iterable[bytes]) -> str:
    total = sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()[:16]


def _recorded(root: Path) -> dict[str, dict[str, str]]:
    """The digests of the last build; empty where there was none, or its record is damaged."""
    try:
        recorded = json.loads((root / catalog.FILE).read_text(encoding="utf-8"))["built"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return recorded if isinstance(recorded, dict) else {}
