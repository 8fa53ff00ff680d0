"""How soon a PostgreSQL is ready from the template, beside bare `initdb` + start; and a fresh database.

    .venv/bin/python benchmarks/postgresql.py [ROUNDS]

The bars: ready in under a third of the time of `initdb` + start; a fresh database in under 100 ms. Times are until
ready, stopping is not counted. `initdb` runs in the folder for temporary files, as in anybody's tests, and, for
comparison, in the folder that a lesson's server takes; it neither copies anything nor makes a database.

Where pytest-postgresql is installed (`pip install pytest-postgresql`; it is in no lock), and this is not root, its
executor and its janitor are measured in the same rounds.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from roadmap_progress.processes import run
from roadmap_progress.servers import _memory, _postgresql, postgresql
from roadmap_progress.servers._kind import starting
from roadmap_progress.servers._ports import free_port
from roadmap_progress.servers.postgres import TIMEOUT_S, PostgreSQL

if TYPE_CHECKING:
    from pathlib import Path

THIRD, DATABASE_S = 1 / 3, 0.1
DATABASES = 4  # a round
PASSWORD = "bench"  # noqa: S105 (of a server that lives for a second)


def from_template() -> tuple[float, list[float]]:
    """Seconds until what a lesson starts is ready; and until fresh databases are there."""
    started = time.perf_counter()
    with postgresql() as pg:
        ready = time.perf_counter() - started
        databases = []
        for _ in range(DATABASES):
            started = time.perf_counter()
            with pg.database():
                databases.append(time.perf_counter() - started)
    return ready, databases


def from_initdb(parent: Path | None) -> float:
    """Seconds until the same server is ready in a data directory that `initdb` makes in this folder."""
    started = time.perf_counter()
    found, user = _postgresql.locate(), _postgresql.unprivileged()
    with starting("benchmark", parent=parent) as watchdog:
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


def with_pytest_postgresql() -> tuple[float, list[float]]:
    """Seconds until the server of pytest-postgresql is ready; and until its fresh databases are there."""
    from pytest_postgresql.executors import PostgreSQLExecutor
    from pytest_postgresql.janitor import DatabaseJanitor

    found = _postgresql.locate()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        executor = PostgreSQLExecutor(
            executable=str(_postgresql.program(found, "pg_ctl")),
            host="127.0.0.1",
            port=free_port(),
            datadir=f"{folder}/data",
            unixsocketdir=folder,
            logfile=f"{folder}/log",
            startparams="-w",
            dbname="bench",
            password=PASSWORD,
        )
        with executor:
            executor.wait_for_postgres()
            ready = time.perf_counter() - started
            databases = []
            for number in range(DATABASES):
                started = time.perf_counter()
                with DatabaseJanitor(
                    user=executor.user,
                    host=executor.host,
                    port=executor.port,
                    dbname=f"bench_{number}",
                    password=PASSWORD,
                ):
                    databases.append(time.perf_counter() - started)
    return ready, databases


def told(times: list[float]) -> str:
    """The middle and both ends: a busy machine shows."""
    low, middle, high = (1000 * figure for figure in (min(times), statistics.median(times), max(times)))
    return f"{middle:.0f} ms ({low:.0f}-{high:.0f})"


def main() -> int:
    """Measure in turn, so that a busy moment hits all; returns 1 if a bar is missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    beside = importlib.util.find_spec("pytest_postgresql") is not None and os.geteuid() != 0
    from_template()
    memory = _memory.in_memory()
    ready: dict[str, list[float]] = {}
    databases: dict[str, list[float]] = {}

    def note(name: str, seconds: float, fresh: list[float]) -> None:
        ready.setdefault(name, []).append(seconds)
        databases.setdefault(name, []).extend(fresh)

    for _ in range(rounds):
        note("from the template", *from_template())
        note("with initdb", from_initdb(None), [])
        if memory:
            note(f"with initdb in {memory}", from_initdb(memory), [])
        if beside:
            note("with pytest-postgresql", *with_pytest_postgresql())

    print(f"{_postgresql.locate()}, in {memory or tempfile.gettempdir()}; {rounds} rounds")
    ours = statistics.median(ready["from the template"])
    for name, times in ready.items():
        print(f"ready {name}: {told(times)}; ours is {ours / statistics.median(times):.2f} of it")
        if databases[name]:
            print(f"a fresh database {name}: {told(databases[name])}")
    quick = ours < THIRD * statistics.median(ready["with initdb"])
    return 0 if quick and statistics.median(databases["from the template"]) < DATABASE_S else 1


if __name__ == "__main__":
    sys.exit(main())
