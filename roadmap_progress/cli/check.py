"""`roadmap check`: grade one's own copy of a notebook's exercises, before handing it in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

    from roadmap_progress.grading.self_check import CheckResult, Report
    from roadmap_progress.model import Exercise, Notebook, Roadmap

_MARKS = {"passed": "✓", "failed": "✗", "crashed": "✗", "timed_out": "✗", "not_attempted": "–"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's own words."""
    parser.description = (
        "Grade your own copy of a notebook's exercises in a fresh kernel, as autograde will. Hidden checks run "
        "where solutions/ is at hand. Exit code 0: all that you attempted passed."
    )
    parser.add_argument("notebook", help="its number, such as 1.1, or its slug")
    parser.add_argument("exercise", nargs="?", help="only this one: its id, or its number in the notebook")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--timeout-s", type=float, default=60, metavar="S", help="limit for a cell (default 60)")


def run(arguments: argparse.Namespace) -> int:
    """Do it and return the exit code."""
    from roadmap_progress import catalog
    from roadmap_progress.grading import self_check

    root = catalog.find_root()
    roadmap = catalog.load(root)
    notebook = roadmap.find(arguments.notebook)
    exercise = _exercise(notebook, roadmap, arguments.exercise) if arguments.exercise else None
    copy = _copy(root, notebook, roadmap)
    report = self_check.grade(root, notebook, copy, only=exercise, timeout_s=arguments.timeout_s)
    failures = _record(root, report)
    if arguments.json:
        import json

        print(json.dumps(as_data(report), indent=2, ensure_ascii=False))
    else:
        for line in lines(report, failures):
            print(line)
    return 1 if any(result.attempted and not result.passed for result in report.exercises) else 0


def _exercise(notebook: Notebook, roadmap: Roadmap, name: str) -> Exercise:
    from roadmap_progress.errors import CatalogError

    name = roadmap.aliases.get(name, name)
    for number, exercise in enumerate(notebook.exercises, start=1):
        if name in (exercise.id, str(number)):
            return exercise
    known = ", ".join(exercise.id for exercise in notebook.exercises)
    raise CatalogError(f"{notebook.number} has no exercise {name!r}; it has {known}")


def _copy(root: Path, notebook: Notebook, roadmap: Roadmap) -> Path:
    """The learner's copy, known to be readable."""
    from roadmap_progress.errors import WorkspaceError
    from roadmap_progress.model import Status
    from roadmap_progress.workspace import Workspace

    if notebook.status is Status.PLANNED:
        raise WorkspaceError(f"{notebook.number} {notebook.title} has not been written yet")
    workspace = Workspace(root, roadmap.aliases)
    path = workspace.exercises_path(notebook)
    if not path.exists():
        raise WorkspaceError(
            f"you have no copy of {notebook.number} yet ({path}): open its exercises from the dashboard, "
            "or fetch the assignment if your class uses nbgrader"
        )
    return workspace.exercises(notebook)


def _record(root: Path, report: Report) -> dict[str, int]:
    """Store the outcomes, and return how often each exercise had been tried in vain, this time included."""
    import sys
    from datetime import UTC, datetime
    from uuid import uuid4

    from roadmap_progress.errors import StoreError
    from roadmap_progress.model import Event, EventSource, Outcome
    from roadmap_progress.store import Store, path_for

    now = datetime.now(UTC)
    tried: dict[str, int] = {}
    try:
        with Store(path_for(root)) as store:
            for notice in store.notices:
                print(notice, file=sys.stderr)
            store.append(
                *(
                    Event(
                        uuid=uuid4().hex,
                        machine=store.machine,
                        source=EventSource.CHECK,
                        check_id=result.check.id,
                        check_version=result.check.version,
                        answer_digest=exercise.answer_digest,
                        outcome=result.outcome,
                        points=result.points,
                        time=now,
                    )
                    for exercise in report.exercises
                    for result in exercise.checks
                    if result.outcome is not None
                )
            )
            whose = {result.check.id: item.exercise.id for item in report.exercises for result in item.checks}
            answers: dict[str, set[str]] = {}
            for _, event in store.events():
                if event.check_id in whose and event.outcome not in (Outcome.PASSED, Outcome.NOT_ATTEMPTED):
                    answers.setdefault(whose[event.check_id], set()).add(event.answer_digest)
            tried = {name: len(digests) for name, digests in answers.items()}
    except StoreError as error:  # the verdict is worth more than its record
        print(f"roadmap check: this result is not in your progress: {error}", file=sys.stderr)
    return tried


def lines(report: Report, failures: dict[str, int]) -> Iterable[str]:
    """What the learner reads."""
    from roadmap_progress.model import Outcome

    yield f"{report.notebook.number} {report.notebook.title}"
    for words in report.trouble:
        yield f"  ! {words}"
    for result in report.exercises:
        exercise = result.exercise
        name = f"{exercise.title} ({exercise.id})"
        if not result.attempted:
            yield f"\n– {name}: not attempted, 0 of {exercise.points:g} points"
            continue
        waits = any(check.outcome is None for check in result.checks)
        mark = "✗" if not result.passed else "✎" if waits else "✓"
        yield f"\n{mark} {name}: {result.points:g} of {exercise.points:g} points"
        for check in result.checks:
            if check.outcome is not Outcome.PASSED:
                yield f"    {_line(check)}"
        if not result.passed and result.hints:
            hint = min(max(failures.get(exercise.id, 1), 1), result.hints)
            yield f"    → Stuck? There are {result.hints} hints under the exercise's text; look at hint {hint}."
    yield ""
    graded = [result for result in report.exercises if result.attempted]
    earned = sum(result.points for result in report.exercises)
    possible = sum(result.exercise.points for result in report.exercises)
    yield (
        f"{earned:g} of {possible:g} points in this run; {len(graded)} of {len(report.exercises)} exercises "
        "attempted. The dashboard and `roadmap status` keep your best."
    )
    waiting = sum(
        check.check.points for result in report.exercises for check in result.checks if not check.outcome
    )
    if waiting:
        yield f"{waiting:g} points are for prose, which a person grades."
    if not report.hidden:
        yield ("Only the visible checks were run. Your teacher's grading adds further cases of the same rules.")


def _line(check: CheckResult) -> str:
    if check.outcome is None:
        return f"✎ {check.check.id}: written; {check.check.points:g} points, graded by hand"
    words = check.message.replace("\n", "\n      ") or "not attempted"
    return f"{_MARKS[check.outcome.value]} {check.check.id}: {words}"


def as_data(report: Report) -> dict[str, Any]:
    """The report as plain data."""
    return {
        "notebook": report.notebook.number,
        "hidden_checks_run": report.hidden,
        "trouble": list(report.trouble),
        "points": sum(result.points for result in report.exercises),
        "possible": sum(result.exercise.points for result in report.exercises),
        "exercises": [
            {
                "id": result.exercise.id,
                "attempted": result.attempted,
                "passed": result.attempted and result.passed,
                "points": result.points,
                "possible": result.exercise.points,
                "checks": [
                    {
                        "id": check.check.id,
                        "outcome": check.outcome.value if check.outcome else "by_hand",
                        "points": check.points,
                        "possible": check.check.points,
                        "message": check.message,
                    }
                    for check in result.checks
                ],
            }
            for result in report.exercises
        ],
    }
