"""PostgreSQL of one's own, with databases, replicas and restarts.

::

    pg = postgresql.start()                # a fresh server: user and database "bookshop", nothing in it
    psycopg.connect(pg.url)
    with pg.database() as url: …           # a fresh database, dropped at the end
    replica = pg.replica()                 # a streaming replica
    replica.wait_until_caught_up()
    replica.promote()
    with postgis() as pg: …                # one that has PostGIS, created in its first database

It listens on 127.0.0.1 alone and asks for a password, which is part of the URL. `fsync` is off: what is committed
survives the end of the server (`pg.kill()` and `pg.restart()` show it), not the end of the machine.

In a kernel of one's own the user `bookshop` is a superuser. When graded it owns its databases, may make databases,
roles and replicas, and is no superuser, unless `start(superuser=True)` says that the exercises need one.
`admin_url` is a superuser's always, and then for checks alone. `ROADMAP_POSTGRESQL_ROLE=owner` makes it so in a
kernel.

`ROADMAP_POSTGRESQL_URL` names a server that somebody else runs; then that one is used, and stays as it is.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import StopLimits, run, wait_until
from roadmap_progress.servers import _memory, _postgresql
from roadmap_progress.servers._kind import ServerKind, starting
from roadmap_progress.servers._ports import HOST, PortServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import psycopg

    from roadmap_progress.processes import User, Watchdog
    from roadmap_progress.servers._found import Found

NAME = "postgresql"
URL_VARIABLE = "ROADMAP_POSTGRESQL_URL"
ROLE_VARIABLE = "ROADMAP_POSTGRESQL_ROLE"  # "owner": as when graded, see `start`
TIMEOUT_S = 30.0
LIMITS = StopLimits(ask_s=5.0, terminate_s=1.0, kill_s=2.0)  # ask: SIGINT, PostgreSQL's fast shutdown
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",  # in the data directory: nothing is left in /dev/shm
    "shared_buffers": "32MB",
    "fsync": "off",
    "full_page_writes": "off",
    "log_line_prefix": "%m [%p] ",
}
REQUIRES_AUTH = 160_000  # the libpq that knows require_auth
ADMIN = "postgres"
POWERS = ("pg_checkpoint", "pg_create_subscription")  # of an owner of databases, where the version has them
SPARING = {"min_wal_size": "32MB", "max_wal_size": "128MB"}  # in memory: not a gigabyte of what is written twice
FILE_COPY = 150_000  # since then it would by itself copy a database block by block, through the log: slower here
SESSIONS_END_S = 0.2  # in a database that is dropped; those that are left are up to the server
READY_LINE = 7  # of postmaster.pid, which begins with its process's number


class Address:
    """Databases on a server: how to reach them, and how to make fresh ones.

    Attributes:
        url: of the first database, with user and password, for psycopg, SQLAlchemy and psql.
    """

    url: str
    found: Found
    owner: str | None = None  # of fresh databases; whoever makes them, if None

    @property
    def admin_url(self) -> str:
        """The same with a superuser, where one is known: for checks, which never pass it on."""
        return self.url

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection to the first database; options are psycopg's, such as `autocommit=True`."""
        import psycopg

        return psycopg.connect(self.url, **options)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a fresh, empty database, which is dropped at the end, whoever is still connected."""
        import psycopg
        from psycopg import sql

        name = f"fresh_{secrets.token_hex(6)}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
        if self.owner:
            create += sql.SQL(" OWNER {}").format(sql.Identifier(self.owner))
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            if connection.info.server_version >= FILE_COPY:
                create += sql.SQL(" STRATEGY file_copy")
            connection.execute(create)
        try:
            yield urlsplit(self.url)._replace(path=f"/{name}").geturl()
        finally:
            with suppress(
                psycopg.OperationalError
            ):  # the server may have been stopped, and is then gone as a whole
                connection = psycopg.connect(self.admin_url, autocommit=True)
                with connection:
                    _end_sessions(connection, name)
                    connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def require(self, *extensions: str, url: str | None = None) -> None:
        """Create extensions, such as "pg_trgm" or "postgis", in a database, unless they are there.

        Args:
            extensions: their names.
            url: of the database; the first one, if not given.

        Raises:
            ServerUnavailable: this server has no such extension; it names the command that installs it.
        """
        import psycopg
        from psycopg import sql

        available = self.extensions()
        for name in extensions:
            if name not in available:
                raise _postgresql.installs(name).unavailable(name, [f"{self.found} cannot load it"])
            with psycopg.connect(url or self.url) as connection:
                connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(name)))

    def extensions(self) -> list[str]:
        """The names of the extensions that this server could load, such as "pg_trgm" or "postgis"."""
        with self.connect() as connection:
            rows = connection.execute("SELECT name FROM pg_available_extensions ORDER BY name").fetchall()
        return [name for (name,) in rows]


def _end_sessions(connection: psycopg.Connection[Any], database: str) -> None:
    """End whoever is connected. FORCE would, too, but sleeps a tenth of a second before it looks again."""
    theirs = "FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
    connection.execute(f"SELECT pg_terminate_backend(pid) {theirs}", [database])

    def none_left() -> bool:
        return connection.execute(f"SELECT count(*) {theirs}", [database]).fetchone() == (0,)

    wait_until(none_left, timeout_s=SESSIONS_END_S)


class PostgreSQL(PortServer, Address):
    """A PostgreSQL server that was started here.

    Attributes:
        host: 127.0.0.1.
        port: where it listens.
        user: a superuser; when graded, an owner of databases, see above.
        password: theirs.
        data: its data directory.
    """

    for_checks = ("admin_url",)  # attributes that answers do not get when graded

    name = NAME
    insists = True  # processes of before may still hold its shared memory

    def __init__(
        self,
        found: Found,
        watchdog: Watchdog,
        *,
        user: User | None,
        data: Path,
        password: str,
        settings: Mapping[str, str],
        timeout_s: float,
    ) -> None:
        super().__init__(watchdog, found, timeout_s=timeout_s)
        self.user, self.password = _postgresql.USER, password
        self.data = data
        self._account = user
        sparing = SPARING if data.is_relative_to(_memory.MEMORY) else {}
        self._settings = {**SETTINGS, **sparing, **settings}
        self._admin: tuple[str, str] | None = None  # another superuser and their password
        self._start()

    @property
    def admin_url(self) -> str:
        """Of the database `bookshop`, with a superuser: for checks, which never pass it on."""
        if self._admin is None:
            return self.url
        import psycopg

        user, password = self._admin
        # a server that does not know the password, put in this one's place, is no proof of anything
        proof = "?require_auth=scram-sha-256" if psycopg.pq.version() >= REQUIRES_AUTH else ""
        return f"postgresql://{user}:{quote(password)}@{self.host}:{self.port}/{_postgresql.DATABASE}{proof}"

    @property
    def url(self) -> str:  # type: ignore[override]
        """Of the database `bookshop`, with user and password."""
        return f"postgresql://{self.user}:{quote(self.password)}@{self.host}:{self.port}/{_postgresql.DATABASE}"

    def replica(self, *, settings: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> Replica:
        """A server that streams every change of this one, from a base backup on.

        It has a replication slot, so this server keeps what a stopped replica has yet to read.

        Args:
            settings: names and values for its postgresql.conf.
            timeout_s: it answers by then.

        Raises:
            ServerFailed: the backup failed, or the replica did not come up in time.
        """
        slot = f"replica_{secrets.token_hex(4)}"
        with starting("postgresql-replica", parent=_memory.in_memory()) as watchdog:
            folder = _postgresql.open_to(self._account, watchdog.directory)
            backup = run(
                [
                    _postgresql.program(self.found, "pg_basebackup"),
                    *(
                        "--dbname",
                        self.url,
                        "--pgdata",
                        folder / "data",
                        "--checkpoint=fast",
                        "--wal-method=stream",
                    ),
                    *("--write-recovery-conf", "--create-slot", "--slot", slot, "--no-sync"),
                ],
                cwd=folder,
                env=_postgresql.environment(),
                timeout_s=timeout_s,
                user=self._account,
            )
            if not backup.ok:
                raise ServerFailed(f"the replica could not be made: pg_basebackup says:\n{backup.stderr.strip()}")
            return Replica(
                self,
                watchdog,
                data=folder / "data",
                settings={**self._settings, **(settings or {})},
                timeout_s=timeout_s,
            )
        raise AssertionError("not reached")

    def _begin(self) -> None:
        assert self.found.path is not None  # noqa: S101 (a program has a path)
        settings = {**self._settings, "port": str(self.port)}
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        self._watchdog.start(
            NAME,
            [self.found.path, "-D", self.data, *options],
            env=_postgresql.environment(),
            ask="SIGINT",
            limits=LIMITS,
            user=self._account,
        )
        self._watchdog.wait_ready(NAME, self._ready, timeout_s=self._timeout_s)

    def demote(self) -> None:
        """Take the user `bookshop` its superuser's powers; another one has them from now on, see `admin_url`."""
        import psycopg
        from psycopg import sql

        address = f"{self.host}:{self.port}/{_postgresql.DATABASE}"
        user, interim = sql.Identifier(self.user), secrets.token_hex(16)
        with psycopg.connect(self.url, autocommit=True) as first:
            first.execute(
                sql.SQL("CREATE ROLE interim SUPERUSER LOGIN PASSWORD {}").format(_postgresql.verifier(interim))
            )
        with psycopg.connect(f"postgresql://interim:{interim}@{address}", autocommit=True) as second:
            # the first superuser of all cannot be less than one
            second.execute(sql.SQL("ALTER ROLE {} RENAME TO {}").format(user, sql.Identifier(ADMIN)))
            password = secrets.token_hex(16)
            second.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(ADMIN), _postgresql.verifier(password))
            )
        self._admin, self.owner = (ADMIN, password), self.user
        with psycopg.connect(self.admin_url, autocommit=True) as third:
            third.execute("DROP ROLE interim")
            third.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE REPLICATION PASSWORD {}").format(
                    user, _postgresql.verifier(self.password)
                )
            )
            third.execute(sql.SQL("ALTER DATABASE {0} OWNER TO {0}").format(user))
            known = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
            for (power,) in third.execute(known, [list(POWERS)]).fetchall():
                third.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(power), user))

    def _ready(self) -> bool:
        """The postmaster writes into its data directory that it takes connections."""
        lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return (
            len(lines) > READY_LINE
            and lines[READY_LINE].strip() == "ready"
            and lines[0].strip() == str(self.pid)  # and not one that was killed
        )


class Replica(PostgreSQL):
    """A streaming replica, read-only until it is promoted.

    Attributes:
        primary: the server that it follows.
    """

    def __init__(
        self, primary: PostgreSQL, watchdog: Watchdog, *, data: Path, settings: Mapping[str, str], timeout_s: float
    ) -> None:
        self.primary = primary
        super().__init__(
            primary.found,
            watchdog,
            user=primary._account,
            data=data,
            password=primary.password,
            settings=settings,
            timeout_s=timeout_s,
        )
        self._admin, self.owner = primary._admin, primary.owner

    def wait_until_caught_up(self, *, timeout_s: float = TIMEOUT_S) -> None:
        """Return once it has replayed all that the primary has written so far.

        Raises:
            ServerFailed: it has not by then.
        """
        import psycopg

        with (
            psycopg.connect(self.primary.admin_url, autocommit=True) as primary,
            psycopg.connect(self.admin_url, autocommit=True) as replica,
        ):
            (written,) = primary.execute("SELECT pg_current_wal_lsn()").fetchone() or (None,)

            def caught_up() -> bool:
                row = replica.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [written]).fetchone()
                return bool(row and row[0])

            if not wait_until(caught_up, timeout_s=timeout_s):
                raise ServerFailed(
                    f"the replica has not caught up with {written} within {timeout_s:g} s; the last lines of its "
                    f"log:\n{self.log()}"
                )

    def promote(self) -> None:
        """Make it a server of its own, which takes writes; true on return: it does.

        Raises:
            ServerFailed: it was not done in time.
        """
        import psycopg

        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            done = connection.execute("SELECT pg_promote(true, %s)", [int(self._timeout_s)]).fetchone()
        if not (done and done[0]):
            raise ServerFailed(f"the replica was not promoted within {self._timeout_s:g} s:\n{self.log()}")


class PostgreSQLElsewhere(Address):
    """A server that somebody else runs, named in the environment."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.found = locate()
        parts = urlsplit(url)
        self._address = f"{parts.hostname}:{parts.port or 5432}"

    @property
    def description(self) -> str:
        """Which version, and where it listens."""
        return f"{self.found} at {self._address}"

    def stop(self) -> None:
        """Nothing: it is not ours to stop."""

    def replica(self) -> Replica:
        """Not to be had: a replica needs a server of one's own.

        Raises:
            ServerFailed: always.
        """
        raise ServerFailed(f"a replica needs a server of our own: take {URL_VARIABLE} out of the environment")


def locate() -> Found:
    """The PostgreSQL that would be taken.

    Raises:
        ServerUnavailable: there is none, or the one named in the environment does not answer.
    """
    return _locate()


def locate_postgis() -> Found:
    """The PostgreSQL that would be taken for PostGIS.

    Raises:
        ServerUnavailable: there is none that has it, or the one named in the environment does not answer.
    """
    return _locate("postgis")


def _locate(*extensions: str) -> Found:
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return _postgresql.locate(extensions)
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            version = connection.info.parameter_status("server_version") or "?"
            available = connection.execute("SELECT name FROM pg_available_extensions").fetchall()
    except psycopg.Error as error:
        reasons = [f"{URL_VARIABLE} names a server that cannot be used: {str(error).strip()}"]
        raise _postgresql.INSTALL.unavailable("PostgreSQL", reasons) from error
    for name in extensions:
        if (name,) not in available:
            reasons = [f"{URL_VARIABLE} names a server that cannot load it"]
            raise _postgresql.installs(name).unavailable(name, reasons)
    return _postgresql.elsewhere(version.split()[0])


def _open(
    *,
    settings: Mapping[str, str] | None = None,
    extensions: Sequence[str] = (),
    optional: Sequence[str] = (),
    superuser: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> PostgreSQL | PostgreSQLElsewhere:
    """Start a fresh PostgreSQL.

    Args:
        settings: names and values for its postgresql.conf, such as {"wal_level": "logical"}.
        extensions: to create in its first database, such as ["pgcrypto"]; a PostgreSQL that has them is taken.
        optional: more of them, if there is a PostgreSQL that has them all; else those that the one taken has.
            `require` tells a part of a lesson that one is missing, and how to install it.
        superuser: the user `bookshop` is one also when graded; in a kernel of one's own it always is.
        timeout_s: it answers by then; the first start of all also makes the template.

    Raises:
        ServerUnavailable: there is no PostgreSQL, or none with these extensions.
        ServerFailed: it did not accept its settings, or did not come up in time.
    """
    url = os.environ.get(URL_VARIABLE)
    server = PostgreSQLElsewhere(url) if url else _started(settings or {}, _liked(extensions, optional), timeout_s)
    try:
        available = server.extensions() if optional else []
        wanted = [*extensions, *(name for name in optional if name in available)]
        server.require(*wanted)  # before: an owner may not create all of them
        if isinstance(server, PostgreSQL) and os.environ.get(ROLE_VARIABLE) == "owner" and not superuser:
            server.demote()
    except BaseException:
        server.stop()
        raise
    return server


def _liked(extensions: Sequence[str], optional: Sequence[str]) -> Sequence[str]:
    """What to look for a PostgreSQL by: all of these extensions if one has them all, else the first."""
    if optional:
        with suppress(ServerUnavailable):
            _postgresql.locate([*extensions, *optional])
            return [*extensions, *optional]
    return extensions


def _open_postgis(
    *, settings: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
) -> PostgreSQL | PostgreSQLElsewhere:
    """Start a fresh PostgreSQL that has PostGIS, and create it in the first database.

    Args:
        settings: names and values for its postgresql.conf.
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: there is no PostgreSQL with PostGIS.
        ServerFailed: it did not accept its settings, or did not come up in time.
    """
    return _open(settings=settings, extensions=["postgis"], timeout_s=timeout_s)


def _started(settings: Mapping[str, str], extensions: Sequence[str], timeout_s: float) -> PostgreSQL:
    found = _postgresql.locate(extensions)
    user = _postgresql.unprivileged()
    with starting(NAME, parent=_memory.in_memory()) as watchdog:
        folder = _postgresql.open_to(user, watchdog.directory)
        prepared = _postgresql.template(found, user, folder)
        data = _postgresql.copy(prepared, folder)
        return PostgreSQL(
            found,
            watchdog,
            user=user,
            data=data,
            password=prepared.password,
            settings=settings,
            timeout_s=timeout_s,
        )
    raise AssertionError("not reached")


postgresql = ServerKind(
    "postgresql",
    _open,
    locate,
    _postgresql.INSTALL,
    "PostgreSQL, with fresh databases and replicas",
)
postgis = ServerKind(
    "postgis",
    _open_postgis,
    locate_postgis,
    _postgresql.INSTALL_EXTENSION["postgis"],
    "PostgreSQL with PostGIS: places, distances, areas",
)
