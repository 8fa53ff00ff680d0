"""What the course says about a cell: which check or answer it is, by nbgrader's metadata or by its text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap_progress import catalog
from roadmap_progress.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roadmap_progress.model import Answer, Check, Exercise, Notebook, Roadmap


@dataclass(frozen=True, slots=True)
class Place:
    """Where a kernel runs.

    Attributes:
        root: the course's folder.
        notebook: the learner's notebook, where the kernel was told.
    """

    root: Path
    notebook: Path | None


@dataclass(frozen=True, slots=True)
class CheckCell:
    """A check, and where it belongs."""

    check: Check
    exercise: Exercise
    notebook: Notebook


def find_place(session: str, cwd: Path) -> Place | None:
    """Where this kernel runs; None when that is not under a course's `work/`, or is where solutions are looked at.

    Args:
        session: `JPY_SESSION_NAME`, "" where there is none (nbclient, papermill).
        cwd: the kernel's working folder.
    """
    named = Path(session)
    notebook = named if named.suffix == ".ipynb" and named.is_absolute() else None
    folder = (notebook.parent if notebook else cwd).resolve()
    try:
        root = catalog.find_root(folder)
    except CatalogError:
        return None
    if not folder.is_relative_to(root / "work") or folder.is_relative_to(root / "work" / "solutions"):
        return None
    return Place(root, notebook)


class Course:
    """The roadmap, indexed for looking up cells; read anew when its file changes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = root / catalog.FILE
        self._stamp: tuple[int, int] | None = None
        self._index: Index | None = None

    def current(self) -> Index:
        """The index of the roadmap as it is on disk now, or as it was while a build is writing it.

        Raises:
            CatalogError: it cannot be read, and never could.
        """
        try:
            found = self._file.stat()
            stamp = (found.st_mtime_ns, found.st_size)
        except OSError:
            stamp = None
        if self._index is None or (stamp is not None and stamp != self._stamp):
            try:
                self._index = Index(catalog.load(self._root))
            except CatalogError:
                if self._index is None:
                    raise
            self._stamp = stamp
        return self._index


class Index:
    """Checks and answers of a roadmap, by id and by the digest of their text."""

    def __init__(self, roadmap: Roadmap) -> None:
        self._roadmap = roadmap

    @cached_property
    def _checks(self) -> dict[str, CheckCell]:
        return {
            check.id: CheckCell(check, exercise, notebook)
            for notebook in self._roadmap.notebooks.values()
            for exercise in notebook.exercises
            for check in exercise.checks
            if check.kind == "checks"
        }

    @cached_property
    def _checks_by_digest(self) -> dict[str, CheckCell | None]:
        found: dict[str, CheckCell | None] = {}
        for cell in self._checks.values():  # two checks with the same text cannot be told by it
            found[cell.check.released] = None if cell.check.released in found else cell
        return found

    @cached_property
    def _answers(self) -> dict[str, Answer]:
        return {answer.id: answer for answer in self._all_answers()}

    @cached_property
    def _answers_by_digest(self) -> dict[str, Answer | None]:
        found: dict[str, Answer | None] = {}
        for answer in self._all_answers():
            found[answer.released] = None if answer.released in found else answer
        return found

    def check(self, metadata: Mapping[str, object], cell_digest: str) -> CheckCell | None:
        """The check that a cell is, if it is one."""
        if name := self._name(metadata):
            return self._checks.get(name)
        return self._checks_by_digest.get(cell_digest) if not metadata.get("nbgrader") else None

    def answer(self, metadata: Mapping[str, object], cell_digest: str) -> Answer | None:
        """The answer that a cell is; without metadata, only an untouched one is known by its text."""
        if name := self._name(metadata):
            return self._answers.get(name)
        return self._answers_by_digest.get(cell_digest)

    def _name(self, metadata: Mapping[str, object]) -> str:
        nbgrader = metadata.get("nbgrader")
        name = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
        return self._roadmap.aliases.get(name, name) if isinstance(name, str) else ""

    def _all_answers(self) -> list[Answer]:
        return [
            answer
            for notebook in self._roadmap.notebooks.values()
            for exercise in notebook.exercises
            for answer in exercise.answers
        ]
