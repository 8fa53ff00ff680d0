"""Where the class stands: what was collected, graded, came late, or waits for a grade by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from roadmap_progress.grading import gradebook as books
from roadmap_progress.grading.classroom import changes, collected, read_settings, ready_sections

if TYPE_CHECKING:
    from pathlib import Path

    from roadmap_progress.model import Roadmap


@dataclass(frozen=True, slots=True)
class SectionStatus:
    """Where the class stands in one section.

    Attributes:
        collected: students whose submission lies in classroom/submitted/.
        graded: students whose latest collected submission has been autograded.
        late: students who submitted after the due date.
        pending: for each cell that waits for a grade by hand, how many students' answers do.
        changed: notebooks whose cells differ between course and gradebook.
    """

    slug: str
    registered: bool
    due: datetime | None = None
    points: float = 0.0
    collected: int = 0
    graded: int = 0
    late: int = 0
    pending: dict[str, int] = field(default_factory=dict)
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassStatus:
    """Where the class stands."""

    students: int
    timezone: str
    sections: tuple[SectionStatus, ...]


def status(root: Path, roadmap: Roadmap) -> ClassStatus:
    """Where the class stands, section by section.

    Raises:
        ClassroomError: there is no class here yet.
    """
    settings = read_settings(root)
    sections = ready_sections(root, roadmap)
    cells = books.current(root, sections)
    with books.opened(root) as gradebook:
        return ClassStatus(
            students=len(gradebook.students),
            timezone=settings.get("timezone", "UTC"),
            sections=tuple(_status_of(root, gradebook, section, cells[section]) for section in sections),
        )


def _status_of(root: Path, gradebook: Any, section: str, now: books.Cells) -> SectionStatus:
    recorded = books.recorded(gradebook, section)
    submitted = collected(root, section)
    if not recorded:
        return SectionStatus(section, registered=False, collected=len(submitted))
    assignment = gradebook.find_assignment(section)
    submissions = assignment.submissions
    pending: dict[str, int] = {}
    for submission in submissions:
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                if grade.needs_manual_grade:
                    pending[grade.name] = pending.get(grade.name, 0) + 1
    autograded = root / "classroom" / "autograded"
    return SectionStatus(
        section,
        registered=True,
        due=assignment.duedate.replace(tzinfo=UTC) if assignment.duedate else None,
        points=float(assignment.max_score),
        collected=len(submitted),
        graded=sum(
            _stamp(folder) == _stamp(autograded / folder.parent.name / section) is not None for folder in submitted
        ),
        late=sum(submission.total_seconds_late > 0 for submission in submissions),
        pending=dict(sorted(pending.items())),
        changed=tuple(sorted({line.partition(":")[0] for line in changes(recorded, now)})),
    )


def _stamp(folder: Path) -> str | None:
    """When the submission in the folder was made; "" where it does not say; None where there is no submission."""
    if not folder.is_dir():
        return None
    stamp = folder / "timestamp.txt"
    return stamp.read_text(encoding="utf-8").strip() if stamp.is_file() else ""
