"""The learner's events: nothing stored is lost, whatever happens to the file."""

from __future__ import annotations

import inspect
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

import roadmap_progress.store
from roadmap_progress.errors import StoreError
from roadmap_progress.model import Event, EventSource, Outcome
from roadmap_progress.store import Store, files, path_for, schema

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


def event(number: int, **changes: object) -> Event:
    values = {
        "uuid": f"uuid-{number}",
        "machine": "machine",
        "source": EventSource.KERNEL,
        "check_id": "total_sum",
        "check_version": "v1",
        "answer_digest": "digest",
        "outcome": Outcome.PASSED,
        "points": 1.5,
        "time": NOW + timedelta(seconds=number),
    }
    return Event(**{**values, **changes})


# For processes of their own, which need not import pytest.
PRELUDE = f"""
import os, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from roadmap_progress.errors import StoreError
from roadmap_progress.model import Event, EventSource, Outcome
from roadmap_progress.store import Store, files
NOW = datetime.fromisoformat({NOW.isoformat()!r})
{inspect.getsource(event)}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return path_for(tmp_path)


def stored(path: Path) -> list[Event]:
    with Store(path) as store:
        return [found for _, found in store.events()]


def test_exports_exactly_what_others_use():
    assert roadmap_progress.store.__all__ == ["Store", "path_for"]


def test_events_come_back_as_they_were_in_the_order_of_storing(path):
    given = [event(2), event(1, outcome=Outcome.CRASHED, points=0.0, source=EventSource.SELF_ASSESSED)]
    with Store(path) as store:
        store.append(*given)
    assert stored(path) == given


def test_reading_goes_on_after_a_row_number(path):
    with Store(path) as store:
        store.append(*map(event, range(2500)))  # more than one batch
        rows = list(store.events())
        assert [number for number, _ in rows] == list(range(1, 2501))
        assert list(store.events(after=2498)) == rows[2498:]
        assert list(store.events(after=2500)) == []


def test_a_time_in_another_zone_is_the_same_moment(path):
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with Store(path) as store:
        store.append(event(1, time=elsewhere))
    assert [found.time for found in stored(path)] == [NOW]


def test_a_time_without_a_zone_is_refused_and_nothing_of_the_batch_stored(path):
    with Store(path) as store, pytest.raises(ValueError, match="without a time zone"):
        store.append(event(1), event(2, time=NOW.replace(tzinfo=None)))
    assert stored(path) == []


def test_merging_is_a_union_of_sets_by_uuid(path, tmp_path):
    other = tmp_path / "other.sqlite"
    with Store(path) as mine, Store(other) as theirs:
        mine.append(event(1), event(2))
        theirs.append(event(2), event(3))
        assert mine.merge(found for _, found in theirs.events()) == 1
        assert mine.merge(found for _, found in theirs.events()) == 0
        assert {found.uuid for _, found in mine.events()} == {"uuid-1", "uuid-2", "uuid-3"}


def test_the_machine_id_is_made_with_the_file_and_stays(path, tmp_path):
    with Store(path) as store:
        machine = store.machine
    with Store(path) as store, Store(tmp_path / "other.sqlite") as other:
        assert store.machine == machine != other.machine
        assert len(machine) == 32


def test_events_are_never_changed_or_deleted(path):
    with Store(path) as store:
        store.append(event(1))
    connection = sqlite3.connect(path)
    for statement in ("UPDATE event SET points = 100", "DELETE FROM event"):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            connection.execute(statement)
    connection.close()


def test_the_journal_is_a_write_ahead_log_on_a_local_disk_only(path, tmp_path, monkeypatch):
    def journal(file: Path) -> str:
        connection = sqlite3.connect(file)
        try:
            return connection.execute("PRAGMA journal_mode").fetchone()[0]
        finally:
            connection.close()

    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(files.is_local, "__defaults__", (mounts,))
    for kind, expected in (("ext4", "wal"), ("nfs4", "delete"), ("fuse.sshfs", "delete"), ("overlay", "wal")):
        mounts.write_text(f"1 0 8:1 / / rw shared:1 - {kind} /dev/disk rw\n")
        with Store(path) as store:
            store.append(event(1))
        assert (kind, journal(path)) == (kind, expected)


def test_the_innermost_mount_says_what_disk_a_folder_is_on(tmp_path):
    mounts = tmp_path / "mountinfo"
    home = tmp_path / "my home"
    home.mkdir()
    name = str(home).replace(" ", "\\040")
    mounts.write_text(
        "1 0 8:1 / / rw shared:1 - ext4 /dev/disk rw\n"
        f"2 1 0:5 / {name} rw,relatime shared:2 master:1 - nfs4 server:/home rw\n"
        "half a line\n"
    )
    assert not files.is_local(home, mounts)
    assert not files.is_local(home / "deeper", mounts)
    assert files.is_local(tmp_path, mounts)
    assert not files.is_local(tmp_path, tmp_path / "no such file")


@pytest.mark.parametrize("damage", ["text", "truncated", "middle", "other database"])
def test_a_file_that_cannot_be_read_is_set_aside_and_a_new_one_begun(path, damage):
    with Store(path) as store:
        store.append(*map(event, range(3000)))
    data = path.read_bytes()
    if damage == "text":
        path.write_text("not a database at all\n" * 100)
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "middle":
        path.write_bytes(data[:50_000] + b"\xff" * 100_000 + data[150_000:])
    else:
        path.unlink()
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
        connection.close()
    before = path.read_bytes()
    with Store(path) as store:
        (notice,) = store.notices
        rescued = [found for _, found in store.events()]
        store.append(event(9999))
    (aside,) = path.parent.glob("progress.sqlite.corrupt-*")
    assert aside.name in notice
    assert aside.read_bytes() == before
    assert rescued == [event(number) for number in range(len(rescued))]
    assert bool(rescued) == (damage in {"truncated", "middle"})
    if rescued:
        assert f"{len(rescued)} results could still be read" in notice
    with Store(path) as store:
        assert store.notices == []
    assert stored(path)[-1] == event(9999)


def test_a_file_is_set_aside_with_its_log(tmp_path):
    for name in ("x.sqlite", "x.sqlite-wal", "x.sqlite-shm", "other"):
        (tmp_path / name).write_text(name)
    aside = files.set_aside(tmp_path / "x.sqlite")
    assert aside.with_name(aside.name + "-wal").read_text() == "x.sqlite-wal"
    assert not list(tmp_path.glob("x.sqlite-*"))
    (tmp_path / "x.sqlite").write_text("again, in the same second")
    assert files.set_aside(tmp_path / "x.sqlite") != aside
    assert aside.read_text() == "x.sqlite"


def test_a_killed_writers_log_is_read_though_the_file_itself_is_damaged(path):
    with Store(path) as store:
        store.append(event(1))
        shutil.copy(path.with_name("progress.sqlite-wal"), path.parent / "saved")
    path.write_text("damaged" * 1000)
    (path.parent / "saved").rename(path.with_name("progress.sqlite-wal"))
    assert stored(path) == [event(1)]


def test_an_open_store_follows_when_its_file_is_deleted_or_set_aside(path):
    with Store(path) as running:
        running.append(event(1))
        path.unlink()
        running.append(event(2))
        assert stored(path) == [event(2)]
        files.set_aside(path)
        running.append(event(3))
        assert [found for _, found in running.events()] == [event(3)]
    assert stored(path) == [event(3)]


def test_a_newer_form_is_refused_and_not_touched(path):
    with Store(path) as store:
        store.append(event(1))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer version of the course.*update the course"):
        Store(path)
    assert path.read_bytes() == before
    assert list(path.parent.glob("*.corrupt-*")) == []


def test_a_migration_and_its_record_are_one_transaction(tmp_path):
    connection = sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)
    second = ("CREATE TABLE more (x)", "SELECT no_such_function()")
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, (*schema.MIGRATIONS, second))
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    assert "event" in tables
    assert "more" not in tables
    assert schema.version(connection) == 1
    assert connection.execute("SELECT version FROM migration").fetchall() == [(1,)]
    schema.migrate(connection, (*schema.MIGRATIONS, second[:1]))
    assert schema.version(connection) == 2
    connection.close()


def test_an_older_file_is_brought_up_to_date_with_its_events(path, monkeypatch):
    with Store(path) as store:
        store.append(event(1))
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE more (x)",)))
    monkeypatch.setattr(schema.migrate, "__defaults__", (schema.MIGRATIONS,))
    assert stored(path) == [event(1)]
    connection = sqlite3.connect(path)
    assert schema.version(connection) == 2
    connection.close()


def test_a_full_database_is_told_and_loses_nothing(path):
    with Store(path) as store:
        store.append(event(1))
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="the disk is full; free some space, what is stored already is safe"):
            store.append(*map(event, range(2, 5000)))
        assert [found for _, found in store.events()] == [event(1)]
        store._connection.execute("PRAGMA max_page_count = 1000000")
        store.append(event(2))
    assert stored(path) == [event(1), event(2)]


def test_a_disk_that_takes_no_more_is_told_and_loses_nothing(path):
    """The limit on a file's size is one that anybody can set for a process of their own."""
    with Store(path) as store:
        store.append(*map(event, range(100)))
    script = f"""
        import resource, signal
        with Store(Path({str(path)!r})) as store:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
            try:
                store.append(*map(event, range(100, 5000)))
            except StoreError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "what is stored already is safe" in done.stdout
    assert stored(path) == list(map(event, range(100)))


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "work").write_text("a file where the folder belongs")
    with pytest.raises(StoreError, match=r"folder .* cannot be made"):
        Store(path_for(tmp_path))


def test_a_file_that_may_only_be_read_is_read_and_refuses_events(path, tmp_path):
    with Store(path) as store:
        store.append(event(1))
    script = f"""
        if os.getuid() == 0:
            os.setgid(65534); os.setuid(65534)  # root may write anything
        with Store(Path({str(path)!r})) as store:
            print(len(list(store.events())))
            try:
                store.append(event(2))
            except StoreError as error:
                print(error)
    """
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = delete")
    connection.close()
    path.chmod(0o444)
    path.parent.chmod(0o555)
    folders = [folder for folder in path.parents if folder.is_relative_to(tmp_path.parents[2])]
    modes = [(folder, folder.stat().st_mode) for folder in folders]
    try:
        for folder, mode in modes:
            if folder != path.parent:
                folder.chmod(mode | 0o055)
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        for folder, mode in reversed(modes):
            folder.chmod(mode)
        path.parent.chmod(0o755)
    assert done.stdout.startswith("1\n"), done.stderr
    assert "is read-only; make it writable" in done.stdout


WRITER = """
path, name, many = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
files.is_local = lambda folder: {local}
print("ready", flush=True)
sys.stdin.readline()
with Store(path) as store:
    for number in range(many):
        store.append(event(name * 10_000 + number))
        print(number, flush=True)
"""


def writer(path: Path, name: int, many: int, *, local: bool = True) -> subprocess.Popen[str]:
    code = PRELUDE + WRITER.format(local=local)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(name), str(many)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("local", [True, False], ids=["write-ahead log", "rollback journal"])
@pytest.mark.parametrize("damaged", [False, True], ids=["no file yet", "a damaged file"])
def test_processes_that_begin_and_write_at_once_lose_nothing(path, local, damaged):
    if damaged:
        path.parent.mkdir(parents=True)
        path.write_text("damaged" * 10_000)
    processes = [writer(path, name, 50, local=local) for name in range(4)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    expected = {event(name * 10_000 + number).uuid for name in range(4) for number in range(50)}
    assert {found.uuid for found in stored(path)} == expected
    assert len([aside for aside in path.parent.glob("*.corrupt-*") if "-wal" not in aside.name]) == damaged


def test_a_file_is_set_aside_after_its_companions(path, monkeypatch):
    """Between the two, another process could begin a new file, and lose its companions."""
    path.parent.mkdir(parents=True)
    for suffix in files.COMPANIONS:
        path.with_name(path.name + suffix).write_text("damaged")
    renamed = []
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda self, to: (renamed.append(self.name), rename(self, to))[1])
    files.set_aside(path)
    assert sorted(renamed) == sorted(path.name + suffix for suffix in files.COMPANIONS)
    assert renamed[-1] == path.name


def test_a_killed_process_loses_none_of_what_it_was_told_is_stored(path):
    process = writer(path, 0, 9_000)
    process.stdin.write("go\n")
    process.stdin.flush()
    confirmed = [process.stdout.readline() for _ in range(100)]
    process.kill()
    process.communicate(timeout=60)
    assert len(confirmed) == 100
    found = stored(path)
    assert found[:100] == [event(number) for number in range(100)]


def test_importing_the_store_imports_nothing_heavy():
    code = "import sys, roadmap_progress.store; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"nbformat", "pandas", "IPython", "sqlalchemy", "asyncio"} & set(done.stdout.split())
