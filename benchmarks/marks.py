"""Grades a class with `nbgrader autograde` and with `roadmap grade`, and compares every row of the two gradebooks.

    python benchmarks/marks.py [--students 200]

Two notebooks that have everything nbgrader knows, in the variations of the tests (tests/integration/grading); both
graders in turn, each in its own copy of the course. Exit code 1 when a row differs; those rows are printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "integration" / "grading"))

from shop_course import call, copy_of, make_course, rows  # type: ignore[import-not-found]


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=200)
    students = parser.parse_args().students
    with tempfile.TemporaryDirectory() as folder:
        ours = make_course(Path(folder) / "course", students=students)
        theirs = copy_of(ours, Path(folder) / "theirs")
        began = time.perf_counter()
        call(["roadmap", "grade", "ps1", "--course-dir", str(ours)], ours)
        between = time.perf_counter()
        call(["nbgrader", "autograde", "ps1"], theirs)
        ended = time.perf_counter()
        mine, stock = rows(ours), rows(theirs)
    for name, here, there in (("nbgrader", stock, mine), ("roadmap", mine, stock)):
        known = set(map(repr, there))
        for row in here:
            if repr(row) not in known:
                print(f"only {name} has: {row}")
    print(f"{students} students, {len(stock)} rows: {'the same' if mine == stock else 'NOT the same'}; ", end="")
    print(f"roadmap grade {between - began:.0f} s, nbgrader autograde {ended - between:.0f} s")
    return mine != stock


if __name__ == "__main__":
    sys.exit(main())
