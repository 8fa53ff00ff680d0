"""Submissions as files: which there are, which are to be graded, and the tree that `autograded/` gets."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbgrader.utils import find_all_files, parse_utc

from roadmap_progress.errors import ClassroomError
from roadmap_progress.execution.files import Allowance, copy_regular_files
from roadmap_progress.grading.repair import SIZE_LIMIT_BYTES

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from nbgrader.coursedir import CourseDirectory

UNFINISHED = ".roadmap-"  # prefix of a folder that is being made beside its place; the maker's pid follows


@dataclass(frozen=True, slots=True)
class Submission:
    """What a student handed in.

    Attributes:
        folder: `submitted/<student>/<assignment>`.
        target: `autograded/<student>/<assignment>`.
        when: its `timestamp.txt`, in UTC without a zone as nbgrader has it; None where there is none.
        trouble: why it cannot be graded, or None.
    """

    student: str
    folder: Path
    target: Path
    when: dt.datetime | None
    trouble: str | None = None


def find(
    course: CourseDirectory, assignment: str, *, students: Iterable[str] = (), force: bool = False
) -> tuple[list[Submission], int]:
    """The submissions that are to be graded, by student, and how many are graded already.

    As with nbgrader, a submission is graded again when it is newer than what was graded.

    Raises:
        ClassroomError: a student that was asked for handed nothing in.
    """
    pattern = course.format_path(course.submitted_directory, "*", assignment)
    found, graded, wanted = [], 0, set(students)
    base = Path(pattern.partition("*")[0])
    there = {place.name for place in base.iterdir()} if base.is_dir() else set()
    for student in sorted(there & wanted if wanted else there):
        folder = Path(course.format_path(course.submitted_directory, student, assignment))
        if not folder.is_dir() or student.startswith("."):
            continue
        target = Path(course.format_path(course.autograded_directory, student, assignment))
        try:
            when = _timestamp(folder)
            before = _timestamp(target)
        except ClassroomError as error:
            found.append(Submission(student, folder, target, None, str(error)))
            continue
        if not force and target.is_dir() and (when is None or before is None or when <= before):
            graded += 1
        else:
            found.append(Submission(student, folder, target, when))
    if missing := wanted - there:
        raise ClassroomError(f"{', '.join(sorted(missing))} handed nothing in for {assignment} (below {base})")
    return found, graded


def _timestamp(folder: Path) -> dt.datetime | None:
    path = folder / "timestamp.txt"
    try:
        if path.is_symlink() or not path.is_file():
            return None
        text = path.read_text(encoding="utf-8").strip()[:200]
        return parse_utc(text) if text else None
    except (ValueError, UnicodeDecodeError) as error:
        raise ClassroomError(
            f"{path}: is no point in time ({error}); write it as 2027-01-30 15:00:00 UTC"
        ) from None


class Tree:
    """The folder that becomes `autograded/<student>/<assignment>`: made beside it, moved there when all is graded.

    Holds the student's other files and, over them, those that came with the assignment. Links are left out.
    """

    def __init__(self, submission: Submission, course: CourseDirectory, assignment: str) -> None:
        self._submission = submission
        parent = submission.target.parent
        parent.mkdir(parents=True, exist_ok=True)
        self.folder = _unfinished(parent)
        try:
            handed_in = os.open(submission.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                copy_regular_files(handed_in, str(self.folder), Allowance())
            finally:
                os.close(handed_in)
            source = Path(course.format_path(course.source_directory, ".", assignment))
            for name in find_all_files(str(source), [*course.ignore, "*.ipynb"]) if source.is_dir() else []:
                target = self.folder / Path(name).relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copyfile(name, target)
        except BaseException:
            self.discard()
            raise

    def notebook(self, name: str) -> bytes | None:
        """The submitted notebook's bytes; None where it was not handed in."""
        path = self._submission.folder / f"{name}.ipynb"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return file.read(SIZE_LIMIT_BYTES + 1)

    def others(self) -> dict[str, bytes]:
        """What lies beside the notebooks, by relative path."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }

    def put(self, name: str, text: str) -> None:
        """Add an executed notebook."""
        (self.folder / f"{name}.ipynb").write_text(text, encoding="utf-8")

    def move(self, permissions: int) -> None:
        """Put the tree in its place, over what is there."""
        for place, _, names in os.walk(self.folder):
            for name in names:
                os.chmod(os.path.join(place, name), permissions)  # noqa: PTH101 - no link can be among them
        self.folder.chmod(0o755)
        target = self._submission.target
        if target.exists():
            aside = _unfinished(target.parent)
            target.rename(aside / "old")
            self.folder.rename(target)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            self.folder.rename(target)

    def discard(self) -> None:
        """Remove it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def sweep(course: CourseDirectory) -> None:
    """Remove what an earlier run that was killed left half made; not what another process is making just now."""
    base = Path(course.format_path(course.autograded_directory, "*", "x").partition("*")[0])
    for place in base.glob(f"*/{UNFINISHED}*") if base.is_dir() else []:
        maker = place.name.removeprefix(UNFINISHED).partition("-")[0]
        if maker == str(os.getpid()) or not (maker.isdecimal() and Path("/proc", maker).exists()):
            shutil.rmtree(place, ignore_errors=True)


def _unfinished(parent: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{UNFINISHED}{os.getpid()}-", dir=parent))


def permissions(config: Any) -> int:
    """What nbgrader's autograde gives its files."""
    set_to = config.Autograde.get("permissions") or config.BaseConverter.get("permissions")
    return int(str(set_to or (664 if config.CourseDirectory.get("groupshared") else 444)), 8)
