"""`Store`: append events, read them back, merge another store's.

Several kernels write to one file at the same time: each write is one short transaction, and waits for the
others. On a local disk the journal is a write-ahead log, elsewhere the rollback journal.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from roadmap_progress.errors import StoreError
from roadmap_progress.model import Event, EventSource, Outcome
from roadmap_progress.store import files, schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FILE = Path("work") / ".roadmap" / "progress.sqlite"
BUSY_TIMEOUT_S = 10.0
BATCH = 1000  # rows read at a time: no read transaction stays open between them

_COLUMNS = "uuid, machine, source, check_id, check_version, answer_digest, outcome, points, time"
_UNREADABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space, what is stored already is safe",
    sqlite3.SQLITE_IOERR: "the disk refused it (full, over quota, or failing); what is stored already is safe",
    sqlite3.SQLITE_READONLY: "the file or its folder is read-only; make it writable (`chmod u+w`)",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; look at the permissions of its folder",
    sqlite3.SQLITE_BUSY: f"another process held it for more than {BUSY_TIMEOUT_S:.0f} s; try again",
}


def path_for(root: Path) -> Path:
    """Where the store of the course at `root` lies."""
    return root / FILE


class Store:
    """The learner's events.

    Opening makes the file and its folder where there is none. A file that SQLite cannot read is renamed to
    `<name>.corrupt-<UTC time>` and a new one begun with what could still be read of the old; `notices` says so
    in words for the learner.

    A `Store` belongs to the thread that opened it.

    Raises:
        StoreError: the file cannot be opened, or a newer version of the course wrote it (it is left untouched).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notices: list[str] = []
        self._connection, self._identity = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._connection.close()

    @property
    def machine(self) -> str:
        """A random id, made with the file."""
        with self._explained("read"):
            row = self._connection.execute("SELECT value FROM about WHERE name = 'machine'").fetchone()
        return str(row[0])

    def append(self, *events: Event) -> None:
        """Store `events`, all or none; one that is there already (by its uuid) changes nothing.

        Raises:
            StoreError: they could not be stored; what was there before still is.
        """
        self.merge(events)

    def merge(self, events: Iterable[Event]) -> int:
        """Store those of `events` that are not there yet, all or none, and return how many those were.

        Raises:
            StoreError: they could not be stored; what was there before still is.
        """
        rows = [_row(event) for event in events]
        for _ in range(3):
            self._follow()
            with self._explained("written"):
                try:
                    added = self._insert(rows)
                except sqlite3.DatabaseError as error:
                    if not _is_unreadable(error):
                        raise
                    self._connection.close()
                    self._connection, self._identity = self._open()  # sets the file aside
                    continue
            if files.identity(self.path) == self._identity:
                return added
            # Somebody set the file aside or deleted it meanwhile: once more, into the one that is there now.
        raise StoreError(f"{self.path} was replaced again and again while it was written; what else uses it?")

    def events(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        """Every event with a row number above `after`, with that number, in the order of storing.

        Raises:
            StoreError: the file cannot be read.
        """
        self._follow()
        while True:
            with self._explained("read"):
                rows = self._connection.execute(
                    f"SELECT number, {_COLUMNS} FROM event WHERE number > ? ORDER BY number LIMIT ?",  # noqa: S608  the names above
                    (after, BATCH),
                ).fetchall()
            for number, *columns in rows:
                after = number
                yield number, self._event(columns)
            if len(rows) < BATCH:
                return

    def _insert(self, rows: list[tuple[object, ...]]) -> int:
        before = self._connection.total_changes
        with schema.transaction(self._connection):
            self._connection.executemany(
                f"INSERT INTO event ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  the names above
                " ON CONFLICT (uuid) DO NOTHING",
                rows,
            )
        return self._connection.total_changes - before

    def _event(self, columns: list[str | float]) -> Event:
        try:
            return _event(columns)
        except ValueError as error:
            raise StoreError(
                f"{self.path} holds an event that this version does not know ({error}); update the course"
            ) from error

    def _follow(self) -> None:
        """Open anew when the file is not the one opened any more: deleted, or set aside by another process."""
        if files.identity(self.path) != self._identity:
            self._connection.close()
            self._connection, self._identity = self._open()

    def _open(self) -> tuple[sqlite3.Connection, tuple[int, int] | None]:
        with self._explained("opened"):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"the progress file's folder {self.path.parent} cannot be made: {error.strerror}"
                ) from error
            connection = _connect(self.path)
            if connection is None:
                with files.only_one(self.path.parent):
                    connection = _connect(self.path)  # another process may have replaced it by now
                    if connection is None:
                        connection = self._begin_anew()
        return connection, files.identity(self.path)

    def _begin_anew(self) -> sqlite3.Connection:
        aside = files.set_aside(self.path)
        connection = _connect(self.path)
        if connection is None:
            raise StoreError(f"{self.path} is unreadable as soon as it is made: the disk under it is failing")
        saved = list(_salvage(aside))
        with schema.transaction(connection):
            connection.executemany(
                f"INSERT INTO event ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",  # noqa: S608
                [_row(event) for event in saved],
            )
        rescued = f"{len(saved)} results could still be read, and are in it" if saved else "it begins empty"
        self.notices.append(
            f"The file with your progress could not be read. It was set aside as {aside.name} "
            f"(in {aside.parent}), and a new one was begun: {rescued}. Your answers are not touched: run a "
            "notebook's checks again to have them counted."
        )
        return connection

    @contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = _code(error)
            advice = _ADVICE.get(code, f"SQLite says: {error}")
            if code in _UNREADABLE:
                advice = "it is damaged; opening it again sets it aside and begins a new one"
            raise StoreError(f"the progress file {self.path} could not be {verb}: {advice}") from error
        except OSError as error:
            raise StoreError(f"the progress file {self.path} could not be {verb}: {error.strerror}") from error


def _connect(path: Path) -> sqlite3.Connection | None:
    """An open, migrated file; None for one that is not ours or not sound.

    Raises:
        StoreError: a newer version wrote it.
    """
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        sound = _prepare(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error) and _is_unreadable(error):
            return None
        raise
    if not sound:
        connection.close()
        return None
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> bool:
    if schema.is_foreign(connection):
        return False
    if (found := schema.version(connection)) > len(schema.MIGRATIONS):
        raise StoreError(
            f"the progress file {path} was written by a newer version of the course (its form is {found}, this "
            f"version knows {len(schema.MIGRATIONS)}); update the course. The file was not touched"
        )
    if found and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        return False
    _choose_journal(connection, path)
    schema.migrate(connection)
    return True


def _choose_journal(connection: sqlite3.Connection, path: Path) -> None:
    wanted = "wal" if files.is_local(path.parent) else "delete"
    try:
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != wanted:
            connection.execute(f"PRAGMA journal_mode = {wanted}")
    except sqlite3.OperationalError as error:
        # Busy: another process is using it, and the mode can wait. Read-only: then it can still be read.
        if _code(error) not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY}:
            raise
    # With a write-ahead log NORMAL survives a killed process (not a power cut in the last seconds) without
    # a wait for the disk at every check; a rollback journal needs FULL for the same.
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if wanted == 'wal' else 'FULL'}")


def _salvage(path: Path) -> Iterator[Event]:
    """What can still be read of a damaged file, from its beginning up to the damage."""
    mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"  # which makes no companions
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)
    except sqlite3.Error:
        return
    try:
        connection.execute("PRAGMA writable_schema = ON")  # else SQLite refuses a truncated file as a whole
        for columns in connection.execute(f"SELECT {_COLUMNS} FROM event NOT INDEXED ORDER BY number"):  # noqa: S608
            yield _event(list(columns))
    except (sqlite3.Error, ValueError, TypeError, AttributeError):
        return
    finally:
        connection.close()


def _row(event: Event) -> tuple[object, ...]:
    if event.time.tzinfo is None:
        raise ValueError(f"the event {event.uuid} has a time without a time zone: {event.time}")
    time = event.time.astimezone(UTC).isoformat()
    return (
        event.uuid,
        event.machine,
        event.source.value,
        event.check_id,
        event.check_version,
        event.answer_digest,
        event.outcome.value,
        event.points,
        time,
    )


def _event(columns: list[str | float]) -> Event:
    uuid, machine, source, check_id, version, answer, outcome, points, time = columns
    return Event(
        str(uuid),
        str(machine),
        EventSource(str(source)),
        str(check_id),
        str(version),
        str(answer),
        Outcome(str(outcome)),
        float(points),
        datetime.fromisoformat(str(time)),
    )


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte of an extended code is the primary one


def _is_unreadable(error: sqlite3.Error) -> bool:
    return _code(error) in _UNREADABLE
