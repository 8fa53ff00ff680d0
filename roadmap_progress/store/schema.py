"""The store's tables, and the migrations that bring an older file up to date.

A migration and its record are one transaction, so a process killed in the middle leaves the file as it
was. A published migration is never edited: a change is a new one at the end.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

APPLICATION_ID = 0x726D6170  # "rmap", in the file's header: how our file is told from another program's

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE migration (version INTEGER PRIMARY KEY, applied TEXT NOT NULL)",
        "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        """
        CREATE TABLE event (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            uuid TEXT NOT NULL UNIQUE,
            machine TEXT NOT NULL,
            source TEXT NOT NULL,
            check_id TEXT NOT NULL,
            check_version TEXT NOT NULL,
            answer_digest TEXT NOT NULL,
            outcome TEXT NOT NULL,
            points REAL NOT NULL,
            time TEXT NOT NULL
        )
        """,
        """
        CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event
        BEGIN SELECT RAISE(ABORT, 'events are never changed'); END
        """,
        """
        CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event
        BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END
        """,
    ),
)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: all of it is stored on leaving, or nothing."""
    connection.execute("BEGIN IMMEDIATE")  # not DEFERRED: its upgrade to a write lock would not wait for others
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back by itself
            connection.rollback()
        raise
    connection.commit()


def version(connection: sqlite3.Connection) -> int:
    """How many migrations the file has had; 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_foreign(connection: sqlite3.Connection) -> bool:
    """Whether the file is a database of another program."""
    connection.execute("BEGIN")  # both looks see one state: another process may be making the tables just now
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    finally:
        connection.rollback()
    return application != APPLICATION_ID and bool(application or tables)


def migrate(connection: sqlite3.Connection, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Apply the migrations that the file has not had; true on return: it has had all of them."""
    while version(connection) < len(migrations):
        with transaction(connection):
            done = version(connection)  # again, now that nobody else can write
            if done >= len(migrations):
                return
            if done == 0:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            for statement in migrations[done]:
                connection.execute(statement)
            if done == 0:
                connection.execute("INSERT INTO about VALUES ('machine', ?)", (uuid4().hex,))
            connection.execute("INSERT INTO migration VALUES (?, ?)", (done + 1, datetime.now(UTC).isoformat()))
            connection.execute(f"PRAGMA user_version = {done + 1}")
