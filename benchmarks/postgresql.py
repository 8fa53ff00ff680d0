"""How soon a PostgreSQL is ready from the template, beside bare `initdb` + start; and a fresh database.

    .venv/bin/python benchmarks/postgresql.py [ROUNDS]

The bars: ready in under a third of the time of `initdb` + start; a fresh database in under 100 ms. Times are until
ready, stopping is not counted; the one with `initdb` neither copies anything nor makes a database.

Both depend on how fast the disk makes files, 1264 of them for a server. On a slow one the bars are missed; set
TMPDIR and XDG_CACHE_HOME to folders in a tmpfs to see the difference.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING

from roadmap_progress.processes import run
from roadmap_progress.servers import _postgresql, postgresql
from roadmap_progress.servers._kind import starting
from roadmap_progress.servers.postgres import TIMEOUT_S, PostgreSQL

if TYPE_CHECKING:
    from pathlib import Path

THIRD, DATABASE_S = 1 / 3, 0.1
PASSWORD = "bench"  # noqa: S105 (of a server that lives for a second)


def from_template() -> float:
    """Seconds until what a lesson starts is ready."""
    started = time.perf_counter()
    with postgresql():
        return time.perf_counter() - started


def from_initdb() -> float:
    """Seconds until the same server is ready in a data directory that `initdb` makes."""
    started = time.perf_counter()
    found, user = _postgresql.locate(), _postgresql.unprivileged()
    with starting("benchmark") as watchdog:
        folder = _postgresql.open_to(user, watchdog.directory)
        password = folder / "password"
        password.write_text(PASSWORD, encoding="ascii")
        password.chmod(0o644)
        initdb: list[str | Path] = [
            _postgresql.program(found, "initdb"),
            *("--pgdata", folder / "data", "--username", _postgresql.USER, "--pwfile", password),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
        ]
        done = run(initdb, cwd=folder, env=_postgresql.environment(), timeout_s=120, user=user)
        assert done.ok, done.stderr
        server = PostgreSQL(
            found,
            watchdog,
            user=user,
            data=folder / "data",
            password=PASSWORD,
            settings={},
            timeout_s=TIMEOUT_S,
        )
        seconds = time.perf_counter() - started
        server.stop()
    return seconds


def fresh_database(pg: PostgreSQL) -> float:
    """Seconds until a fresh database is there."""
    started = time.perf_counter()
    with pg.database():
        return time.perf_counter() - started


def told(times: list[float]) -> str:
    """The middle and both ends: a busy machine shows."""
    low, middle, high = (1000 * figure for figure in (min(times), statistics.median(times), max(times)))
    return f"{middle:.0f} ms ({low:.0f}-{high:.0f})"


def main() -> int:
    """Measure in turn, so that a busy moment hits both; returns 1 if a bar is missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    from_template()
    pairs = [(from_template(), from_initdb()) for _ in range(rounds)]
    template, initdb = (list(column) for column in zip(*pairs, strict=True))
    with postgresql() as pg:
        assert isinstance(pg, PostgreSQL)
        fresh = [fresh_database(pg) for _ in range(rounds * 4)]
        print(f"{pg.found}")
    ratio = statistics.median(template) / statistics.median(initdb)
    print(f"ready: {told(template)} from the template, {told(initdb)} with initdb; ratio {ratio:.2f}")
    print(f"a fresh database: {told(fresh)}")
    return 0 if ratio < THIRD and statistics.median(fresh) < DATABASE_S else 1


if __name__ == "__main__":
    sys.exit(main())
