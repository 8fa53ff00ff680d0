"""How soon a PostgreSQL is ready from the template, beside one with `initdb`; and a fresh database.

    .venv/bin/python benchmarks/postgresql.py [ROUNDS]

The bars: ready in under a third of the time of `initdb` + start; a fresh database in under 100 ms.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from typing import TYPE_CHECKING

from roadmap_progress.servers import _postgresql, postgresql
from roadmap_progress.servers.postgres import PostgreSQL

if TYPE_CHECKING:
    from collections.abc import Callable

THIRD, DATABASE_S = 1 / 3, 0.1


def from_template() -> None:
    """What a lesson does."""
    postgresql.start().stop()


def from_initdb() -> None:
    """The same, with a template made for the purpose."""
    kept = _postgresql.LAYOUT
    _postgresql.LAYOUT = time.monotonic_ns()
    before = set(_postgresql.cache().iterdir())
    try:
        postgresql.start().stop()
    finally:
        _postgresql.LAYOUT = kept
        for made in set(_postgresql.cache().iterdir()) - before:
            shutil.rmtree(made)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def fresh_database(pg: PostgreSQL) -> float:
    """Seconds until a fresh database is there."""
    started = time.perf_counter()
    with pg.database():
        return time.perf_counter() - started


def main() -> int:
    """Measure in turn, so that a busy moment hits both; returns 1 if a bar is missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    from_template()
    pairs = [(seconds(from_template), seconds(from_initdb)) for _ in range(rounds)]
    template, initdb = (statistics.median(column) for column in zip(*pairs, strict=True))
    with postgresql() as pg:
        assert isinstance(pg, PostgreSQL)
        database = statistics.median(fresh_database(pg) for _ in range(rounds * 2))
        print(f"{pg.found}")
    ratio = template / initdb
    print(f"start and stop: {template:.3f} s from the template, {initdb:.3f} s with initdb; ratio {ratio:.2f}")
    print(f"a fresh database: {database * 1000:.0f} ms")
    return 0 if ratio < THIRD and database < DATABASE_S else 1


if __name__ == "__main__":
    sys.exit(main())
