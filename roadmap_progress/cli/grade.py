"""`roadmap grade`."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from roadmap_progress.grading.batch import Outcome, Summary


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "assignment", metavar="ASSIGNMENT", nargs="?", help="as nbgrader knows it, for example 01-foundations"
    )
    parser.add_argument(
        "--student", action="append", default=[], metavar="ID", help="only this one; may be repeated"
    )
    parser.add_argument("--course-dir", type=Path, metavar="DIR", help="an nbgrader course; default: this one")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="submissions at a time (default: the number of cores)"
    )
    parser.add_argument(
        "--timeout-s", type=float, metavar="S", help="limit for a cell (default: the course's own)"
    )
    parser.add_argument(
        "--memory-mb", type=int, default=1024, metavar="M", help="limit for a process (default 1024)"
    )
    parser.add_argument("--force", action="store_true", help="grade again what is graded")
    parser.add_argument(
        "--same-process", action="store_true", help="run checks beside the answers, as nbgrader does"
    )
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="grade on the workers of this dask scheduler, e.g. tcp://10.0.0.5:8786"
    )
    parser.add_argument(
        "--daemon", type=Path, metavar="SOCKET", help="stay, and grade what is asked for on this Unix socket"
    )
    parser.add_argument("--via", type=Path, metavar="SOCKET", help="have the daemon there grade the --student")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.set_defaults(refuse=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Grade, showing how far it is; 1 where a submission could not be graded."""
    if arguments.daemon:
        return _stay(arguments)
    if arguments.assignment is None:
        arguments.refuse("the following arguments are required: ASSIGNMENT")
    if arguments.via:
        return _ask(arguments)
    from roadmap_progress.catalog import find_root
    from roadmap_progress.execution.forks import Zygote
    from roadmap_progress.execution.sandbox import Limits, check_machine

    _spare_a_second()
    if not arguments.dask:
        check_machine()
    root = arguments.course_dir.resolve() if arguments.course_dir else find_root()
    zygote = Zygote()
    if not arguments.dask:
        zygote.launch()  # gets ready while nbgrader is being imported
    bar = _Bar(quiet=arguments.json)
    try:
        from roadmap_progress.grading.batch import grade_assignment

        summary = grade_assignment(
            root,
            arguments.assignment,
            students=arguments.student,
            jobs=arguments.jobs,
            timeout_s=arguments.timeout_s,
            limits=Limits(memory_mb=arguments.memory_mb),
            force=arguments.force,
            apart=not arguments.same_process,
            zygote=zygote,
            dask=arguments.dask,
            progress=bar.step,
        )
    finally:
        bar.close()
        zygote.close()
    if arguments.json:
        print(json.dumps(dataclasses.asdict(summary), indent=2))
    else:
        _tell(summary, apart=not arguments.same_process)
    return 1 if any(outcome.failed for outcome in summary.outcomes) else 0


def _spare_a_second() -> None:
    """Keep jsonschema from a grammar of internet addresses, which no notebook's schema asks for."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def _stay(arguments: argparse.Namespace) -> int:
    from roadmap_progress.catalog import find_root
    from roadmap_progress.execution.lines import serve
    from roadmap_progress.execution.sandbox import Limits, check_machine

    if arguments.assignment or arguments.student or arguments.via or arguments.dask:
        arguments.refuse("--daemon is told on its socket what to grade: {assignment, student}")
    _spare_a_second()
    check_machine()
    root = arguments.course_dir.resolve() if arguments.course_dir else find_root()
    from roadmap_progress.grading.service import Service

    with Service(
        root,
        limits=Limits(memory_mb=arguments.memory_mb),
        jobs=arguments.jobs,
        timeout_s=arguments.timeout_s,
        apart=not arguments.same_process,
    ) as service:
        serve(
            arguments.daemon,
            service.answer,
            ready=lambda: print(f"grading {root} on {arguments.daemon}; Ctrl-C ends it", flush=True),
        )
    return 0


def _ask(arguments: argparse.Namespace) -> int:
    from roadmap_progress.execution.lines import ask

    if not arguments.student:
        arguments.refuse("--via needs --student ID: the daemon grades single submissions")
    requests = [
        {"assignment": arguments.assignment, "student": student, "force": arguments.force}
        for student in arguments.student
    ]
    failed = False
    for student, outcome in zip(arguments.student, ask(arguments.via, requests), strict=True):
        failed |= bool(outcome.get("error") or outcome.get("failed"))
        if arguments.json:
            print(json.dumps(outcome), flush=True)
        elif outcome.get("error") or outcome.get("failed"):
            print(f"{student}: NOT GRADED: {outcome.get('error') or outcome.get('failed')}")
        elif outcome["skipped"]:
            print(f"{student}: graded before and no newer (--force grades it again)")
        else:
            for notebook, notes in outcome["notes"].items():
                for note in notes:
                    print(f"{student}: {notebook}: {note}")
            print(f"{student}: {outcome['points']:g} points")
    return 1 if failed else 0


class _Bar:
    def __init__(self, *, quiet: bool) -> None:
        from tqdm import tqdm

        self._bar = tqdm(unit=" submission", disable=quiet or None, file=sys.stderr, leave=False, smoothing=0.1)

    def step(self, outcome: Outcome, total: int) -> None:
        self._bar.total = total
        self._bar.set_postfix_str(outcome.student, refresh=False)
        self._bar.update()

    def close(self) -> None:
        self._bar.close()


def _tell(summary: Summary, *, apart: bool) -> None:
    for outcome in summary.outcomes:
        if outcome.failed:
            print(f"{outcome.student}: NOT GRADED: {outcome.failed}")
        for notebook, notes in outcome.notes.items():
            for note in notes:
                print(f"{outcome.student}: {notebook}: {note}")
    failed = sum(outcome.failed is not None for outcome in summary.outcomes)
    words = [f"{len(summary.outcomes) - failed} graded"]
    if failed:
        words.append(f"{failed} could not be")
    if summary.skipped:
        words.append(f"{summary.skipped} graded before and no newer (--force grades them again)")
    print("; ".join(words))
    if not summary.outcomes:
        return
    print(
        "sandbox: processes, files, network and user of their own, system calls filtered, memory limited; "
        + ("checks apart from answers" if apart else "CHECKS BESIDE THE ANSWERS, which can turn them")
    )
    if apart and summary.beside:
        print(f"beside the answers, as they say themselves: {', '.join(summary.beside)}")
