"""PgBouncer as its lesson uses it: many clients on few connections, and what a pool of transactions breaks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import wait_until
from roadmap_progress.servers import _ports, _postgresql, pgbouncer, pooling, postgres, postgresql

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def roomy():
    """A temporary folder that everybody may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="pool-tests-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def pg(roomy, missing):
    """A PostgreSQL, and a PgBouncer to be had."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (postgres.URL_VARIABLE, _postgresql.VARIABLE, pooling.URL_VARIABLE, pooling.VARIABLE):
            patch.delenv(name, raising=False)
        patch.setattr(tempfile, "tempdir", str(roomy))
        try:
            pgbouncer.locate()
        except ServerUnavailable as error:
            missing(str(error))
        with postgresql() as server:
            yield server


@pytest.fixture(scope="module")
def pool(pg):
    """Three connections, each for the length of a transaction."""
    with pgbouncer(pg, pool_mode="transaction", default_pool_size=3) as pooler:
        yield pooler


@pytest.fixture
def connect(pool):
    """Connections through the pooler, closed afterwards; without prepared statements, which it would mix up."""
    opened = []

    def through(url: str = pool.url, **options) -> psycopg.Connection:
        opened.append(psycopg.connect(url, prepare_threshold=None, **options))
        return opened[-1]

    yield through
    for connection in opened:
        connection.close()


def backend(connection) -> int:
    return connection.execute("SELECT pg_backend_pid()").fetchone()[0]


def test_twenty_clients_are_served_by_three_connections(pool):
    all_there = threading.Barrier(20)

    def client(number: int) -> set[int]:
        with psycopg.connect(pool.url, prepare_threshold=None) as connection:
            connection.rollback()
            all_there.wait(60)  # twenty are connected at the same time
            seen = set()
            for _ in range(5):
                seen.add(backend(connection))
                connection.execute("SELECT pg_sleep(0.01)")
                connection.commit()
            return seen

    with ThreadPoolExecutor(20) as clients:
        backends = set().union(*clients.map(client, range(20)))
    assert 1 <= len(backends) <= 3


def test_the_admin_console_tells_who_waits(pool, connect):
    holders = [connect() for _ in range(3)]
    assert len({backend(holder) for holder in holders}) == 3  # each in a transaction, so none is shared

    def figures() -> dict:
        return next(row for row in pool.show("pools") if row["database"] == "bookshop")

    assert (figures()["cl_active"], figures()["sv_active"], figures()["pool_mode"]) == (3, 3, "transaction")
    with ThreadPoolExecutor(1) as waiter:
        late = waiter.submit(lambda: backend(connect()))
        assert wait_until(lambda: figures()["cl_waiting"] == 1, timeout_s=30)
        assert not late.done()
        holders[0].commit()
        assert late.result(30)


def test_what_a_client_sets_stays_with_the_connection_not_with_the_client(connect):
    one, two = connect(), connect()
    one.execute("SET statement_timeout = '7s'")
    before = backend(one)
    one.commit()
    assert backend(two) == before  # the connection that was given back last
    assert two.execute("SHOW statement_timeout").fetchone() == ("7s",)  # somebody else's setting
    assert backend(one) != before
    assert one.execute("SHOW statement_timeout").fetchone() == ("0",)
    one.rollback()
    two.execute("RESET statement_timeout")
    two.commit()
    one.execute("SET LOCAL statement_timeout = '7s'")  # this is how it is done: until the transaction's end
    assert one.execute("SHOW statement_timeout").fetchone() == ("7s",)
    one.commit()
    assert two.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_an_advisory_lock_of_a_session_stays_with_the_connection_not_with_the_client(connect):
    one, two = connect(), connect()
    assert one.execute("SELECT pg_try_advisory_lock(1)").fetchone() == (True,)
    locked = backend(one)
    one.commit()
    assert backend(two) == locked
    assert two.execute("SELECT pg_try_advisory_lock(1)").fetchone() == (True,)  # two clients "hold" it
    assert one.execute("SELECT pg_advisory_unlock(1)").fetchone() == (False,)  # and its owner cannot let go
    assert two.execute("SELECT pg_advisory_unlock(1), pg_advisory_unlock(1)").fetchone() == (True, True)
    two.commit()
    one.rollback()
    assert one.execute("SELECT pg_try_advisory_xact_lock(1)").fetchone() == (True,)  # this is how it is done


def test_a_session_keeps_its_connection_in_session_mode(pg):
    with pgbouncer(pg, default_pool_size=2) as pooler, pooler.connect() as one, pooler.connect() as two:
        one.execute("SET application_name = 'till-1'")
        mine = backend(one)
        one.commit()
        assert backend(two) != mine
        assert one.execute("SHOW application_name").fetchone() == ("till-1",)


def test_statement_mode_refuses_transactions(pg):
    with pgbouncer(pg, pool_mode="statement") as pooler, pooler.connect(autocommit=True) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.Error, match="transaction blocks not allowed"):
            connection.execute("BEGIN")


def test_a_statement_that_a_client_prepared_is_not_there_on_another_connection(connect):
    one, two = connect(), connect()
    one.execute("PREPARE price AS SELECT 12.50")
    before = backend(one)
    one.commit()
    assert backend(two) == before
    assert backend(one) != before
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        one.execute("EXECUTE price")
    two.execute("DEALLOCATE price")


def test_other_databases_and_other_users_come_through_with_their_own_password(pg, pool, connect):
    with pg.connect(autocommit=True) as connection:
        connection.execute("CREATE ROLE clerk LOGIN PASSWORD 'paper'")
    with pg.database() as url:
        assert connect(pool.url_for(url)).info.dbname == connect(url).info.dbname
        place = f"127.0.0.1:{pool.port}/bookshop"
        clerk = connect(f"postgresql://clerk:paper@{place}")
        assert clerk.execute("SELECT current_user").fetchone() == ("clerk",)
        with pytest.raises(psycopg.OperationalError, match=r"SASL|password"):
            connect(f"postgresql://clerk:guess@{place}")
        with pytest.raises(psycopg.OperationalError, match=r"SASL|not allowed"):
            psycopg.connect(f"postgresql://clerk:paper@127.0.0.1:{pool.port}/pgbouncer")


def test_a_crash_ends_the_clients_and_a_restart_takes_new_ones_on_the_same_port(pg):
    with pgbouncer(pg) as pooler:
        port, one = pooler.port, pooler.connect()
        pooler.kill()
        with pytest.raises(psycopg.OperationalError):
            one.execute("SELECT 1")
        one.close()
        pooler.restart()
        assert pooler.port == port
        with pooler.connect() as again:
            assert again.execute("SELECT 1").fetchone() == (1,)


def test_it_says_what_it_is_and_in_front_of_what(pg, pool):
    assert pool.found.version in pool.description
    assert f"in front of 127.0.0.1:{pg.port}, pool_mode transaction" in pool.description
    assert pg.password not in pool.description


def test_a_setting_that_it_refuses_is_an_error_with_its_own_words(pg, roomy, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(roomy))
    before = set(roomy.iterdir())
    with pytest.raises(ServerFailed, match=r"(?s)pgbouncer ended at once.*max_client_conn"):
        pgbouncer.start(pg, settings={"max_client_conn": "many"})
    assert set(roomy.iterdir()) == before
    with pytest.raises(ValueError, match="pool_mode is 'row'; there are session, transaction, statement"):
        pgbouncer.start(pg, pool_mode="row")


def test_a_port_that_somebody_took_in_between_is_another_ports_chance(pg, monkeypatch):
    with socket.create_server((_ports.HOST, 0)) as taken:
        free = _ports.free_port
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(_ports, "free_port", lambda: next(ports, 0) or free())
        with pgbouncer(pg) as pooler, pooler.connect():
            assert pooler.port != taken.getsockname()[1]


def test_a_start_that_hangs_ends_at_its_deadline(pg, roomy, monkeypatch):
    script = roomy / "hanging-pgbouncer"
    script.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "PgBouncer 1.99.0" && exit\necho thinking; sleep 600\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv(pooling.VARIABLE, str(script))
    with pytest.raises(ServerFailed, match=r"was not ready within 1 s; the last lines of its log:\nthinking"):
        pgbouncer.start(pg, timeout_s=1)


def test_one_in_the_environment_is_used_with_the_server_behind_it_and_with_no_other(pg, pool, monkeypatch):
    monkeypatch.setenv(pooling.URL_VARIABLE, pool.url)
    with pytest.raises(ServerFailed, match="not in front of"):
        pgbouncer.start(pg)
    monkeypatch.setenv(postgres.URL_VARIABLE, pg.url)
    with postgresql() as elsewhere, pgbouncer(elsewhere) as pooler:
        assert "named in the environment" in pooler.description
        with pooler.connect(prepare_threshold=None) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert pool.show("version")
    monkeypatch.setenv(pooling.URL_VARIABLE, "postgresql://ada@127.0.0.1:1/shop")
    with pytest.raises(ServerUnavailable, match="ROADMAP_PGBOUNCER_URL names a pooler that cannot be used"):
        pgbouncer.locate()


OWNER = """
import json, time
from roadmap_progress.servers import pgbouncer, postgresql
pg = postgresql.start()
pool = pgbouncer.start(pg)
connection = pool.connect()
print(json.dumps([pg.port, pool.port]), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_it_when_its_owner_is_ended(pg, roomy, number):
    before = set(roomy.iterdir())
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(roomy)},
    ) as owner:
        for name in ("postgresql: ", "pgbouncer: "):
            assert owner.stdout.readline().startswith(name)
        ports = json.loads(owner.stdout.readline())
        family = psutil.Process(owner.pid).children(recursive=True)
        assert any(process.name() == "pgbouncer" for process in family)
        owner.send_signal(number)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert wait_until(lambda: set(roomy.iterdir()) <= before, timeout_s=30)
    assert not any(map(_ports.answers, ports))
