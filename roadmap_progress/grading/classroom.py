"""Setting up a class: gradebook, roster and due dates, so that a fresh checkout can grade at once.

Everything here can be run again: it adds and corrects, and never takes away a student, a submission or a grade.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

from nbgrader.api import MissingEntry

from roadmap_progress.errors import ClassroomError
from roadmap_progress.grading import gradebook as books
from roadmap_progress.grading.roster import find_timezone, read_due_dates, read_roster
from roadmap_progress.model import Status

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from roadmap_progress.grading.roster import Student
    from roadmap_progress.model import Roadmap

SETTINGS = """\
# What is special about this class. nbgrader_config.py reads it; docs/instructor.md explains it.

course = {course}        # the name under which nbgrader's exchange keeps this class
timezone = {timezone}    # for due dates that are written without an offset
# exchange = "/srv/nbgrader/exchange"   # a folder that instructor and students share; nbgrader's default otherwise
timeout_s = 60           # for each cell that autograde runs

[late]
points_per_hour = 0      # what a notebook loses for each hour begun after the due date
zero_after_days = 0      # after so many days it scores nothing; 0 for never
grace_minutes = 0        # do not count as late

[feedback]
show_hidden_checks = false
"""


@dataclass(frozen=True)
class Setup:
    """What `init` did, in words for the instructor."""

    done: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def ready_sections(root: Path, roadmap: Roadmap) -> list[str]:
    """The slugs of the sections with a written notebook.

    Raises:
        ClassroomError: the solutions are not all at hand.
    """
    found = []
    for section in roadmap.sections:
        stems = [notebook.stem for notebook in section.notebooks if notebook.status is Status.READY]
        for stem in stems:
            if not (root / "solutions" / section.slug / f"{stem}.ipynb").is_file():
                raise ClassroomError(
                    f"solutions/{section.slug}/{stem}.ipynb is missing, and grading needs it: `roadmap build` "
                    "makes it; a tree from `roadmap dist` has no solutions, so grade in a checkout of the course"
                )
        if stems:
            found.append(section.slug)
    return found


def init(
    root: Path,
    roadmap: Roadmap,
    *,
    roster: Path | None = None,
    due: Path | None = None,
    course: str | None = None,
    timezone: str | None = None,
) -> Setup:
    """Make or bring up to date the class's folder, gradebook, students and due dates.

    On return a submission can be collected and graded. `course` and `timezone` are for the first time; later
    they are changed in the settings.

    Raises:
        ClassroomError: a table is not as it should be, or the course's checks are no longer those that
            submissions have been made for. Nothing has been changed then.
    """
    sections = ready_sections(root, roadmap)
    settings = _settings_unless_new(root, course=course, timezone=timezone)
    zone = find_timezone((settings or {}).get("timezone") or timezone or "UTC")
    students = read_roster(roster) if roster else []
    dates = read_due_dates(due, sections, zone) if due else {}
    cells = books.current(root, sections)

    setup = Setup()
    (root / "classroom").mkdir(exist_ok=True)
    with books.opened(root) as gradebook:
        outdated = [section for section in sections if books.recorded(gradebook, section) != cells[section]]
        for section in outdated:
            _refuse_changes_under_submissions(root, gradebook, section, cells[section])
    if settings is None:
        text = SETTINGS.format(course=json.dumps(course or "backend-roadmap"), timezone=json.dumps(zone.key))
        (root / "classroom" / "settings.toml").write_text(text, encoding="utf-8")
        setup.done.append("wrote classroom/settings.toml: exchange, late policy, time limit")
    for section in sections:
        if section in outdated:
            books.generate(root, section)
            graded = sum(cell.points is not None for cell in cells[section].values())
            setup.done.append(f"{section}: recorded {graded} graded cells in the gradebook")
    _make_exchange(root, setup)
    with books.opened(root) as gradebook:
        _enter_students(gradebook, students, setup)
        _enter_dates(gradebook, dates, zone, setup)
        undated = [section for section in sections if gradebook.find_assignment(section).duedate is None]
        if undated:
            setup.notes.append(f"no due date, so nothing is ever late: {', '.join(undated)}")
    return setup


def collected(root: Path, section: str) -> list[Path]:
    """The folders of the submissions that were collected for the section."""
    return sorted((root / "classroom" / "submitted").glob(f"*/{section}"))


def in_words(moment: datetime, zone: ZoneInfo) -> str:
    """A point in time with its time zone, and in UTC, which is what nbgrader shows."""
    local = f"{moment.astimezone(zone):%Y-%m-%d %H:%M} {zone.key}"
    return local if zone.key == "UTC" else f"{local} ({moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC)"


def read_settings(root: Path) -> dict[str, Any]:
    """The class's settings.

    Raises:
        ClassroomError: there are none yet, or they cannot be read.
    """
    path = root / "classroom" / "settings.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ClassroomError(f"{path} is missing: `roadmap classroom init` sets up the class") from None
    except (OSError, ValueError) as error:
        raise ClassroomError(f"{path} cannot be read: {error}") from error


def _refuse_changes_under_submissions(root: Path, gradebook: Any, section: str, now: books.Cells) -> None:
    before = books.recorded(gradebook, section)
    graded = len(gradebook.find_assignment(section).submissions) if before else 0
    handed_in = len(collected(root, section))
    if not before or not (graded or handed_in):
        return
    changed = changes(before, now)
    shown = "".join(f"\n    {line}" for line in changed[:8])
    more = f"\n    and {len(changed) - 8} more" if len(changed) > 8 else ""
    raise ClassroomError(
        f"{section} has {max(graded, handed_in)} submissions, and the course's cells are no longer those that "
        f"they were made for:{shown}{more}\n"
        "A running class is pinned to a course version: go back to the version that you released "
        "(`git checkout` it), or finish the class first. Nothing has been changed."
    )


def changes(before: books.Cells, now: books.Cells) -> list[str]:
    """What is different in the cells of a section, a line for each cell: `<notebook>: <grade id> <how>`."""
    lines = []
    for notebook, name in sorted(before.keys() | now.keys()):
        old, new = before.get((notebook, name)), now.get((notebook, name))
        if old == new:
            continue
        if old is None or new is None:
            what = "is new" if old is None else "is gone"
        elif old.points != new.points:
            what = f"is worth {new.points:g} points, was {old.points:g}"
        else:
            what = "has another text"
        lines.append(f"{notebook}: {name} {what}")
    return lines


def _settings_unless_new(root: Path, **asked: str | None) -> dict[str, Any] | None:
    if not (root / "classroom" / "settings.toml").exists():
        return None
    settings = read_settings(root)
    for name, value in asked.items():
        if value and settings.get(name) != value:
            raise ClassroomError(
                f"classroom/settings.toml says {name} = {settings.get(name)!r}, not {value!r}: change it there"
            )
    return settings


def _make_exchange(root: Path, setup: Setup) -> None:
    """Make the folder that the settings name: the formgrader offers to release only when it is there."""
    named = read_settings(root).get("exchange")
    if not named or (root / named).is_dir():
        return
    folder = (root / named).resolve()
    try:
        folder.mkdir()
        folder.chmod(0o777)  # as nbgrader wants it: every student submits into it
    except OSError as error:
        raise ClassroomError(f"the exchange {folder} cannot be made: {error.strerror}") from error
    setup.done.append(f"made the exchange {folder}, writable for everyone on this machine")


def _enter_students(gradebook: Any, students: list[Student], setup: Setup) -> None:
    new = corrected = 0
    for student in students:
        details = asdict(student)
        del details["id"]
        try:
            known = gradebook.find_student(student.id)
        except MissingEntry:
            new += 1
        else:
            # What the roster leaves open stays as it is in the gradebook.
            details = {name: value or getattr(known, name) or "" for name, value in details.items()}
            if all((getattr(known, name) or "") == value for name, value in details.items()):
                continue
            corrected += 1
        gradebook.update_or_create_student(student.id, **details)
    if new or corrected:
        setup.done.append(f"roster: {new} students entered, {corrected} corrected")
    listed = {student.id for student in students}
    gone = sorted(student.id for student in gradebook.students if student.id not in listed)
    if students and gone:
        setup.notes.append(f"in the gradebook but not on the roster, and kept: {', '.join(gone)}")
    if not students and not gone:
        setup.notes.append(
            "no roster yet: autograde enters whoever submits; `roadmap classroom init --roster roster.csv` "
            "enters the class with names"
        )


def _enter_dates(gradebook: Any, dates: dict[str, datetime], zone: ZoneInfo, setup: Setup) -> None:
    for section, moment in dates.items():
        utc = moment.replace(tzinfo=None)  # nbgrader keeps UTC without saying so
        if gradebook.find_assignment(section).duedate != utc:
            gradebook.update_or_create_assignment(section, duedate=utc)
            setup.done.append(f"{section}: due {in_words(moment, zone)}")
