"""`Workspace`: where each notebook's copy lies, and what is done to it.

work/<section>/                  what nbgrader released for the section, all of it (its submit collects the folder)
work/lessons/                    lessons
work/review/<section>/           one exercise each, unanswered, to be done again
work/solutions/<section>/        solutions, to be run and looked at
work/kept/<section>/             copies that were started over or brought up to date, the UTC time in their names
work/.roadmap/base/<section>/    what a copy was made from: it tells what the learner changed

Nothing here overwrites an answer: what a new file takes the place of is kept. (`kept` is no hidden folder
because Jupyter opens no file in one.)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from roadmap_progress.errors import NotebookError, WorkspaceError
from roadmap_progress.model import Status
from roadmap_progress.workspace import carrying, cells, disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from roadmap_progress.model import Exercise, Notebook
    from roadmap_progress.workspace.passport import Work

LESSONS = "lessons"
REVIEW = "review"
SOLUTIONS = "solutions"


class CopyState(StrEnum):
    """What has become of the learner's copy of a notebook's exercises."""

    NONE = "none"  # not made yet
    UNTOUCHED = "untouched"
    EDITED = "edited"
    UNREADABLE = "unreadable"  # truncated, or no notebook


@dataclass(frozen=True, slots=True)
class Update:
    """A copy was brought to the course's version.

    Attributes:
        path: the copy.
        kept: where the copy as it was before is kept.
        answers: grade ids of the answers that were carried over.
        left: grade ids of answers that the new version has no place for; they are in `kept`.
    """

    path: Path
    kept: Path
    answers: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """What of a passport's work came into a copy.

    Attributes:
        answers: grade ids of the answers that were put in.
        extras: how many cells of the learner's own were put in.
        differing: grade ids of answers that the copy had, too, and not the same; it kept its own.
        left: grade ids of answers that the course has no place for any more.
        aside: where the passport's version is, if some of it is not in the copy.
    """

    answers: tuple[str, ...]
    extras: int
    differing: tuple[str, ...]
    left: tuple[str, ...]
    aside: Path | None


class Workspace:
    """The learner's side of the course at `root`: its folder `work/`.

    Args:
        root: the course's folder.
        aliases: former grade ids → what they are called now (`Roadmap.aliases`); an update follows them.
    """

    def __init__(self, root: Path, aliases: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.folder = root / "work"
        self._aliases = dict(aliases or {})
        self._scratch = self.folder / ".roadmap" / "tmp"

    def lesson_path(self, notebook: Notebook) -> Path:
        """Where the copy of the lesson is, or will be."""
        return self.folder / LESSONS / f"{notebook.stem}.ipynb"

    def exercises_path(self, notebook: Notebook) -> Path:
        """Where the copy of the exercises is, or will be."""
        return self.folder / notebook.section / f"{notebook.stem}.ipynb"

    def lesson(self, notebook: Notebook) -> Path:
        """The learner's copy of the lesson, made on first use.

        A copy whose text the learner has not changed follows the course by itself.

        Raises:
            WorkspaceError: it cannot be made, or cannot be read any more.
        """
        target, base = self.lesson_path(notebook), self._base(LESSONS, notebook)
        data = self._course_file(notebook, self.root / "course" / notebook.section / f"{notebook.stem}.ipynb")
        with disk.explained(f"making your copy of the lesson {notebook.number}"):
            if disk.place(data, target, self._scratch):
                disk.replace(data, base, self._scratch)
                return target
            text = cells.texts(self._readable(target))
            old = _read(base)
            if old and text == cells.texts(old) and text != cells.texts(cells.parse(data)):
                disk.replace(data, target, self._scratch)
                disk.replace(data, base, self._scratch)
        return target

    def exercises(self, notebook: Notebook) -> Path:
        """The learner's copy of the exercises, made on first use with every file of its section.

        Files that are there already stay as they are.

        Raises:
            WorkspaceError: it cannot be made, or cannot be read any more.
        """
        target = self.exercises_path(notebook)
        self._course_file(notebook, self._released(notebook))
        with disk.explained(f"making your copy of the exercises {notebook.number}"):
            for file, copy, base in self._section_files(notebook):
                data = file.read_bytes()
                if disk.place(data, copy, self._scratch) or (not base.exists() and _fits(copy, data)):
                    disk.replace(data, base, self._scratch)
            self._readable(target)
        return target

    def review_path(self, notebook: Notebook, exercise: Exercise) -> Path:
        """Where the copy for another attempt at one exercise is, or will be."""
        return self.folder / REVIEW / notebook.section / f"{notebook.stem}.{exercise.id}.ipynb"

    def review(self, notebook: Notebook, exercise: Exercise, *, fresh: bool) -> Path:
        """A copy with nothing but one exercise, unanswered, to do it again; the section's data files beside it.

        Args:
            fresh: put a new one in place of one that is there, which is kept.

        Raises:
            WorkspaceError: it cannot be made, or the course has no such exercise.
        """
        target = self.review_path(notebook, exercise)
        released = cells.parse(self._course_file(notebook, self._released(notebook)))
        data = cells.render(cells.only_exercise(released, exercise.id, self._about(notebook, exercise)))
        with disk.explained(f"making a fresh copy of “{exercise.title}”"):
            self._data_files(notebook, target.parent)
            if fresh and target.exists():
                if target.read_bytes() != data:
                    disk.keep(target, self._kept(REVIEW))
                disk.replace(data, target, self._scratch)
            else:
                disk.place(data, target, self._scratch)
        return target

    def solution(self, notebook: Notebook, source: Path) -> Path:
        """A copy of the solution notebook, the section's data files beside it; an older one that differs is kept.

        Args:
            source: the solution in the course's tree.

        Raises:
            WorkspaceError: it cannot be made, or the tree has no solutions.
        """
        target = self.folder / SOLUTIONS / notebook.section / f"{notebook.stem}.ipynb"
        data = self._course_file(notebook, source)
        with disk.explained(f"making your copy of the solutions of {notebook.number}"):
            self._data_files(notebook, target.parent)
            if not disk.place(data, target, self._scratch) and target.read_bytes() != data:
                if (old := _read(target)) is None or cells.texts(old) != cells.texts(cells.parse(data)):
                    disk.keep(target, self._kept(SOLUTIONS))
                disk.replace(data, target, self._scratch)
        return target

    def _data_files(self, notebook: Notebook, folder: Path) -> None:
        """The files that the section's notebooks read, put there too."""
        for file, copy, _ in self._section_files(notebook):
            if file.suffix != ".ipynb":
                name = copy.relative_to(self.folder / notebook.section)
                disk.place(file.read_bytes(), folder / name, self._scratch)

    def _about(self, notebook: Notebook, exercise: Exercise) -> str:
        return (
            f"# Once more: {exercise.title}\n\nFrom {notebook.number} {notebook.title}, without your answer. "
            f"What you wrote before is still in `work/{notebook.section}/{notebook.stem}.ipynb`; look there only "
            "afterwards.\n\nRun the cells from the top, then write."
        )

    def status(self, notebook: Notebook) -> CopyState:
        """What has become of the copy of the exercises; a copy with nothing but outputs added is untouched."""
        target = self.exercises_path(notebook)
        if not target.exists():
            return CopyState.NONE
        copy = _read(target)
        if copy is None:
            return CopyState.UNREADABLE
        origin = _read(self._base(notebook.section, notebook)) or _read(self._released(notebook))
        same = origin is not None and cells.texts(copy) == cells.texts(origin)
        return CopyState.UNTOUCHED if same else CopyState.EDITED

    def outdated(self, notebook: Notebook) -> bool:
        """Whether the course's version has moved on since the copy of the exercises was made."""
        copy, released = _read(self.exercises_path(notebook)), _read(self._released(notebook))
        if copy is None or released is None:
            return False
        if base := _read(self._base(notebook.section, notebook)):
            return cells.texts(base) != cells.texts(released)
        return cells.given(copy) != cells.given(released)

    def update(self, notebook: Notebook) -> Update | None:
        """Bring an outdated copy of the exercises to the course's version, answers carried over by id.

        The copy as it was is kept. None when there was nothing to do.

        Raises:
            WorkspaceError: the copy cannot be read, or the new one not be written.
        """
        if self.status(notebook) is CopyState.UNREADABLE:
            self._readable(self.exercises_path(notebook))
        if not self.outdated(notebook):
            return None
        target, released = self.exercises_path(notebook), self._released(notebook)
        with disk.explained(f"bringing your copy of the exercises {notebook.number} up to date"):
            data = released.read_bytes()
            base = _read(self._base(notebook.section, notebook))
            carried = cells.carry_over(self._readable(target), base, cells.parse(data), self._aliases)
            kept = disk.keep(target, self._kept(notebook.section))
            changed = carried.content != cells.parse(data)
            disk.replace(cells.render(carried.content) if changed else data, target, self._scratch)
            self._update_other_files(notebook)
            disk.replace(data, self._base(notebook.section, notebook), self._scratch)
        return Update(target, kept, carried.answers, carried.left)

    def start_over(self, notebook: Notebook) -> Path:
        """A fresh copy of the exercises in place of the learner's, which is kept: see `kept`.

        Raises:
            WorkspaceError: the old copy cannot be kept, or the new one not be made; then all is as it was.
        """
        data = self._course_file(notebook, self._released(notebook))
        target = self.exercises_path(notebook)
        self._renew(f"exercises {notebook.number}", data, target, self._base(notebook.section, notebook))
        return self.exercises(notebook)

    def start_over_lesson(self, notebook: Notebook) -> Path:
        """A fresh copy of the lesson in place of the learner's, which is kept.

        Raises:
            WorkspaceError: the old copy cannot be kept, or the new one not be made; then all is as it was.
        """
        data = self._course_file(notebook, self.root / "course" / notebook.section / f"{notebook.stem}.ipynb")
        target = self.lesson_path(notebook)
        self._renew(f"lesson {notebook.number}", data, target, self._base(LESSONS, notebook))
        return target

    def work(self, notebook: Notebook) -> Work | None:
        """What the learner made of the exercises, for a passport; None where that is nothing.

        Raises:
            WorkspaceError: the copy cannot be read.
        """
        target = self.exercises_path(notebook)
        if not target.exists():
            return None
        mine = self._readable(target)
        base = _read(self._base(notebook.section, notebook)) or _read(self._released(notebook))
        return carrying.work_of(notebook.number, mine, base) if base else None

    def take(self, notebook: Notebook, work: Work) -> Taken:
        """Put the work of a passport into the copy of the exercises, which is made where there is none.

        What the learner has here stays: where both have an answer to the same question, the passport's is kept in
        a file of its own beside the earlier copies.

        Raises:
            WorkspaceError: the copy cannot be read or written; then it is as it was.
        """
        target = self.exercises(notebook)
        mine = self._readable(target)
        released = cells.parse(self._course_file(notebook, self._released(notebook)))
        base = _read(self._base(notebook.section, notebook)) or released
        joined = carrying.join(work, mine, base, self._aliases)
        with disk.explained(f"putting your answers into the exercises {notebook.number}"):
            aside = None
            if joined.differing or joined.left:
                aside = self._set_beside(
                    notebook, cells.render(carrying.alone(work, released, self._aliases).content)
                )
            if joined.content != mine:
                if self.status(notebook) is CopyState.EDITED:
                    disk.keep(target, self._kept(notebook.section))
                disk.replace(cells.render(joined.content), target, self._scratch)
        return Taken(joined.answers, joined.extras, joined.differing, joined.left, aside)

    def _set_beside(self, notebook: Notebook, data: bytes) -> Path:
        """A file of its own beside the earlier copies; the same content is not kept twice."""
        for old in self._kept(notebook.section).glob(f"{notebook.stem}.*-passport.ipynb"):
            if old.read_bytes() == data:
                return old
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        number = 1
        while not disk.place(
            data,
            path := self._kept(notebook.section)
            / f"{notebook.stem}.{stamp}{'' if number == 1 else f'-{number:02}'}-passport.ipynb",
            self._scratch,
        ):
            number += 1
        return path

    def kept(self, notebook: Notebook) -> tuple[Path, ...]:
        """Earlier copies of the exercises, the newest first."""
        found = self._kept(notebook.section).glob(f"{notebook.stem}.*.ipynb")
        return tuple(sorted(found, key=lambda path: path.stem, reverse=True))

    def _renew(self, what: str, data: bytes, target: Path, base: Path) -> None:
        with disk.explained(f"starting over with the {what}"):
            if target.exists():
                disk.keep(target, self._kept(target.parent.name))
            disk.replace(data, target, self._scratch)
            disk.replace(data, base, self._scratch)

    def _update_other_files(self, notebook: Notebook) -> None:
        """Data files that the learner has not changed follow the course; other notebooks have their own update."""
        for file, copy, base in self._section_files(notebook):
            if file.suffix == ".ipynb" or not copy.exists():
                continue
            data = file.read_bytes()
            if base.exists() and copy.read_bytes() == base.read_bytes() != data:
                disk.replace(data, copy, self._scratch)
                disk.replace(data, base, self._scratch)

    def _section_files(self, notebook: Notebook) -> Iterator[tuple[Path, Path, Path]]:
        """Every file that was released for the section, where its copy belongs, and where that one's base."""
        released = self.root / "exercises" / notebook.section
        for file in sorted(released.rglob("*")):
            name = file.relative_to(released)
            if file.is_file() and not {".ipynb_checkpoints", "__pycache__"}.intersection(name.parts):
                yield (
                    file,
                    self.folder / notebook.section / name,
                    self.folder / ".roadmap" / "base" / notebook.section / name,
                )

    def _course_file(self, notebook: Notebook, path: Path) -> bytes:
        if notebook.status is Status.PLANNED:
            raise WorkspaceError(f"{notebook.number} ({notebook.title}) is planned, not written yet")
        try:
            data = path.read_bytes()
            cells.parse(data)
        except FileNotFoundError:
            raise WorkspaceError(
                f"{path} is missing: `git checkout` brings it back, or `roadmap build {notebook.number}` makes it"
            ) from None
        except (OSError, NotebookError) as error:
            raise WorkspaceError(
                f"the course's own {path} cannot be read ({error}): `git checkout {path}` brings it back"
            ) from error
        return data

    def _readable(self, path: Path) -> cells.Content:
        try:
            return cells.parse(path.read_bytes())
        except (OSError, NotebookError) as error:
            raise WorkspaceError(
                f"your copy {path} cannot be read as a notebook ({error}). Start over makes a fresh one and keeps "
                f"this file, as it is, in {self._kept(path.parent.name)}"
            ) from error

    def _released(self, notebook: Notebook) -> Path:
        return self.root / "exercises" / notebook.section / f"{notebook.stem}.ipynb"

    def _base(self, folder: str, notebook: Notebook) -> Path:
        return self.folder / ".roadmap" / "base" / folder / f"{notebook.stem}.ipynb"

    def _kept(self, folder: str) -> Path:
        return self.folder / "kept" / folder


def _read(path: Path) -> cells.Content | None:
    try:
        return cells.parse(path.read_bytes())
    except (OSError, NotebookError):
        return None


def _fits(copy: Path, data: bytes) -> bool:
    """Whether a copy that came without a base (through nbgrader's fetch) was made from this version."""
    if copy.suffix != ".ipynb":
        return False
    found = _read(copy)
    return found is not None and cells.given(found) == cells.given(cells.parse(data))
