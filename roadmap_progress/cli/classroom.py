"""`roadmap classroom`: set up a class, see where it stands, export its grades."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from roadmap_progress.grading.standing import SectionStatus


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's own words."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    init = actions.add_parser(
        "init",
        help="make or bring up to date the gradebook, the roster and the due dates",
        description="Make or bring up to date the class's gradebook. It can be run again at any time: it never "
        "takes away a student, a submission or a grade.",
    )
    init.add_argument("--roster", type=Path, metavar="CSV", help="id,first_name,last_name,email,lms_user_id")
    init.add_argument("--due", type=Path, metavar="CSV", help="section,due (2027-03-31 23:59)")
    init.add_argument(
        "--course", metavar="NAME", help="the class's name in the exchange (default backend-roadmap)"
    )
    init.add_argument("--timezone", metavar="NAME", help="for due dates without an offset (default UTC)")
    actions.add_parser(
        "status",
        help="show what was collected, graded, came late, or waits for a grade by hand",
        description="Show, for each section, what was collected, graded, came late, or waits for a grade by hand.",
    )
    export = actions.add_parser(
        "export",
        help="write the grades as CSV, saying which are not final",
        description="Write nbgrader's columns, and whether each score is final: an essay that waits for its grade "
        "counts as 0 until then.",
    )
    export.add_argument("--to", type=Path, default=Path("grades.csv"), metavar="FILE", help="default grades.csv")
    export.add_argument("--section", action="append", metavar="SLUG", help="only this section (may be repeated)")


def run(arguments: argparse.Namespace) -> int:
    """Do the action and return the exit code."""
    actions = {"init": _init, "status": _status, "export": _export}
    return actions[arguments.action](arguments)


def _init(arguments: argparse.Namespace) -> int:
    from roadmap_progress import catalog
    from roadmap_progress.grading import classroom

    root = catalog.find_root()
    setup = classroom.init(
        root,
        catalog.load(root),
        roster=arguments.roster,
        due=arguments.due,
        course=arguments.course,
        timezone=arguments.timezone,
    )
    for line in setup.done:
        print(f"✓ {line}")
    if not setup.done:
        print("✓ nothing to do: the class is as asked for")
    for line in setup.notes:
        print(f"· {line}")
    return 0


def _status(_: argparse.Namespace) -> int:
    from roadmap_progress import catalog
    from roadmap_progress.grading import standing
    from roadmap_progress.grading.classroom import in_words
    from roadmap_progress.grading.roster import find_timezone

    root = catalog.find_root()
    status = standing.status(root, catalog.load(root))
    zone = find_timezone(status.timezone)
    print(f"{status.students} students")
    for section in status.sections:
        due = f"due {in_words(section.due, zone)}" if section.due else "no due date"
        print(f"\n{section.slug} · {section.points:g} points · {due}")
        for line in _lines(section):
            print(f"  {line}")
    return 0


def _lines(section: SectionStatus) -> list[str]:
    if not section.registered:
        return ["✗ not in the gradebook yet: `roadmap classroom init`"]
    lines = [f"  {section.collected} collected, {section.graded} autograded, {section.late} late"]
    if section.graded < section.collected:
        lines.append(f"… {section.collected - section.graded} to grade: `nbgrader autograde {section.slug}`")
    lines += [
        f"✎ {name}: {count} to grade by hand, in the formgrader; they count as 0 until then"
        for name, count in section.pending.items()
    ]
    if section.changed:
        lines.append(
            f"! the course's checks are not those in the gradebook ({', '.join(section.changed)}): "
            "`roadmap classroom init` says what that means"
        )
    return lines


def _export(arguments: argparse.Namespace) -> int:
    from roadmap_progress import catalog
    from roadmap_progress.errors import ClassroomError
    from roadmap_progress.grading import export, gradebook
    from roadmap_progress.grading.classroom import read_settings

    root = catalog.find_root()
    read_settings(root)  # says what to do where there is no class
    if arguments.section:
        known = {section.slug for section in catalog.load(root).sections}
        for name in arguments.section:
            if name not in known:
                raise ClassroomError(f"no section is called {name!r}; there are {', '.join(sorted(known))}")
    with gradebook.opened(root) as book:
        try:
            pending = export.write(
                book,
                arguments.to,
                collected=lambda student, section: (root / "classroom" / "submitted" / student / section).is_dir(),
                assignments=set(arguments.section or ()),
            )
        except OSError as error:
            raise ClassroomError(f"{arguments.to} cannot be written: {error.strerror}") from error
    print(f"✓ wrote {arguments.to}")
    if pending:
        print(f"! {pending} scores are not final (column status): what waits for its grade counts as 0 in them")
    return 0
