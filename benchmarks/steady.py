"""Whether solved notebooks earn all points however busy the machine is, and how long their checks take.

    python benchmarks/steady.py [--times 20] [NOTEBOOK …]

Each notebook's solution runs `--times` times as a class is graded, one after the other, first beside nothing, then
while one endless loop a core keeps the machine busy. A run counts only if every check earned all its points and
nothing was printed on stderr. Exit code 1 when one did not.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from roadmap_progress.authoring import outline
from roadmap_progress.authoring.prove import solve
from roadmap_progress.catalog import find_root

if TYPE_CHECKING:
    from collections.abc import Iterator

IDLE_TIMES = 3


@contextmanager
def busy_cores() -> Iterator[None]:
    """One endless loop a core, ended afterwards; each also ends when this process is gone."""
    loop = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(10_000))"
    loops = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in loops:
            process.kill()
            process.wait()


def main() -> int:
    """Run, print a line a notebook, and return the exit code."""
    parser = argparse.ArgumentParser(description="Run solved notebooks many times on a busy machine.")
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="number or slug; default: all")
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    root = find_root()
    short = 0
    for notebook in outline.choose(outline.load(root), options.notebooks):
        beside_nothing = solve(root, notebook, times=IDLE_TIMES)
        with busy_cores():
            busy = solve(root, notebook, times=options.times)
        good = sum(not outcome.problems for outcome in busy)
        times = [outcome.seconds for outcome in busy]
        print(
            f"{notebook.number}: {good} of {len(busy)} on busy cores; "
            f"median {statistics.median(times):.1f} s, longest {max(times):.1f} s; "
            f"without the loops {statistics.median(outcome.seconds for outcome in beside_nothing):.1f} s",
            flush=True,
        )
        for outcome in [*beside_nothing, *busy]:
            for problem in outcome.problems:
                print(f"  {problem}", flush=True)
        short += good < len(busy)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
