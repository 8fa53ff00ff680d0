"""PgBouncer, a connection pooler in front of PostgreSQL: many clients, few connections to the server.

::

    pg = postgresql.start()
    pool = pgbouncer.start(pg, pool_mode="transaction", default_pool_size=3)
    psycopg.connect(pool.url, prepare_threshold=None)   # the first database, through the pooler
    pool.url_for(url)                                   # another database of the same server
    pool.show("pools")                                  # SHOW POOLS of the admin console

Every user of the PostgreSQL can log in with their own password (SCRAM; it is looked up there). The superuser may
use the admin console, `pool.admin_url`.

`ROADMAP_PGBOUNCER_URL` names one that somebody else runs, in front of the server of `ROADMAP_POSTGRESQL_URL`; then
that one is used, and stays as it is.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import StopLimits, run
from roadmap_progress.servers import _postgresql, postgres
from roadmap_progress.servers._found import Found, Install, Source, find_program
from roadmap_progress.servers._kind import ServerKind, starting
from roadmap_progress.servers._ports import PortServer, answers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import psycopg

    from roadmap_progress.processes import Watchdog

PoolMode = Literal["session", "transaction", "statement"]

INSTALL = Install(apt="pgbouncer", conda="pgbouncer", brew="pgbouncer")
VARIABLE = "ROADMAP_PGBOUNCER"  # the path of a `pgbouncer`
URL_VARIABLE = "ROADMAP_PGBOUNCER_URL"
OLDEST = (1, 14)  # passes SCRAM on
NAME = "pgbouncer"
CONSOLE = "pgbouncer"  # the database that is the admin console
TIMEOUT_S = 20.0
LIMITS = StopLimits(ask_s=2.0, terminate_s=1.0, kill_s=2.0)  # ask: SIGINT; some versions wait for their clients
UP = "process up: "  # what it logs once it listens


class Pooler:
    """A pooler: how to reach the server behind it.

    Attributes:
        url: of the first database, through the pooler.
    """

    url: str

    @property
    def admin_url(self) -> str:
        """Of its admin console, for psycopg with `autocommit=True`, and for psql."""
        return urlsplit(self.url)._replace(path=f"/{CONSOLE}").geturl()

    def url_for(self, url: str) -> str:
        """The database at this URL of the server behind it, through the pooler.

        Args:
            url: as `pg.database()` has it.
        """
        user, _, _ = urlsplit(url).netloc.rpartition("@")
        _, _, place = urlsplit(self.url).netloc.rpartition("@")
        return urlsplit(url)._replace(netloc=f"{user}@{place}").geturl()

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection to the first database through the pooler; options are psycopg's."""
        import psycopg

        return psycopg.connect(self.url, **options)

    def show(self, what: str) -> list[dict[str, Any]]:
        """What the admin console answers to SHOW "pools", "clients", "servers", "stats" …: a dict for each row."""
        import psycopg
        from psycopg import sql
        from psycopg.rows import dict_row

        with psycopg.connect(self.admin_url, autocommit=True, row_factory=dict_row) as console:
            return console.execute(sql.SQL("SHOW {}").format(sql.SQL(_word(what)))).fetchall()


class PgBouncer(PortServer, Pooler):
    """A pooler that was started here.

    Attributes:
        host: 127.0.0.1.
        port: where it listens.
        pool_mode: when a client gives its connection back: after a "session", "transaction" or "statement".
    """

    name = NAME

    def __init__(
        self, watchdog: Watchdog, found: Found, *, pg: str, settings: Mapping[str, str], timeout_s: float
    ) -> None:
        super().__init__(watchdog, found, timeout_s=timeout_s)
        self._pg = urlsplit(pg)
        self._settings = settings
        self.pool_mode = settings["pool_mode"]
        self._account = _postgresql.unprivileged()  # it refuses root, as PostgreSQL does
        self._folder = _postgresql.open_to(self._account, watchdog.directory, what="PgBouncer")
        self._start()

    @property
    def url(self) -> str:  # type: ignore[override]
        """Of the first database of the PostgreSQL behind it, through the pooler."""
        user, _, _ = self._pg.netloc.rpartition("@")
        return self._pg._replace(netloc=f"{user}@{self.host}:{self.port}").geturl()

    @property
    def description(self) -> str:
        """Which it is, where it listens, and what it stands in front of."""
        behind = f"{self._pg.hostname}:{self._pg.port or 5432}"
        return f"{super().description}, in front of {behind}, pool_mode {self.pool_mode}"

    def _begin(self) -> None:
        assert self.found.path is not None  # noqa: S101 (a program has a path)
        user, password = unquote(self._pg.username or ""), unquote(self._pg.password or "")
        self._write("users.txt", f"{_quoted(user)} {_quoted(password)}\n")
        settings = {
            "listen_addr": self.host,
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(self._folder / "users.txt"),
            "admin_users": user,
            **self._settings,
        }
        behind = f"* = host={self._pg.hostname} port={self._pg.port or 5432} auth_user={user}"
        lines = ["[databases]", behind, "[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items())]
        file = self._write("pgbouncer.ini", "\n".join(lines) + "\n")
        log = self._watchdog.directory / f"{NAME}.log"
        before = log.stat().st_size if log.exists() else 0
        self._watchdog.start(
            NAME,
            [self.found.path, file],
            env=_postgresql.environment(),
            ask="SIGINT",
            limits=LIMITS,
            user=self._account,
        )

        def ready() -> bool:
            return UP.encode() in log.read_bytes()[before:] and answers(self.port)

        self._watchdog.wait_ready(NAME, ready, timeout_s=self._timeout_s)

    def _write(self, name: str, text: str) -> Path:
        """A file with secrets, for the user that it runs as alone."""
        file = self._folder / name
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        if self._account:
            os.chown(file, self._account.uid, self._account.gid)
        return file


class PgBouncerElsewhere(Pooler):
    """A pooler that somebody else runs, named in the environment."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.found = locate()
        parts = urlsplit(url)
        self._address = f"{parts.hostname}:{parts.port or 6432}"

    @property
    def description(self) -> str:
        """Which version, and where it listens."""
        return f"{self.found} at {self._address}"

    def stop(self) -> None:
        """Nothing: it is not ours to stop."""


def locate() -> Found:
    """The pooler that would be taken.

    Raises:
        ServerUnavailable: there is none, or the one named in the environment does not answer.
    """
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return find_program(
            "pgbouncer",
            variable=VARIABLE,
            version_of=_version,
            at_least=OLDEST,
            wheel=lambda: None,
            install=INSTALL,
        )
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            version = connection.info.parameter_status("server_version") or "?"
    except psycopg.Error as error:
        reasons = [f"{URL_VARIABLE} names a pooler that cannot be used: {str(error).strip()}"]
        raise INSTALL.unavailable("PgBouncer", reasons) from error
    return Found("PgBouncer", f"in front of PostgreSQL {version.split()[0]}", Source.ENVIRONMENT)


def _version(binary: Path) -> str | None:
    try:
        told = run([binary, "--version"], timeout_s=10.0)
    except OSError:
        return None
    match = re.search(r"(?i)pgbouncer(?: version)? (\d+(?:\.\d+)+)", told.stdout)
    return match[1] if match and told.ok else None


def _quoted(text: str) -> str:
    """As its file of users has it."""
    return '"' + text.replace('"', '""') + '"'


def _word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_ ]+", text):
        raise ValueError(f"{text!r} is nothing that SHOW knows: write a word, such as pools")
    return text


def _open(
    pg: postgres.PostgreSQL | postgres.PostgreSQLElsewhere,
    *,
    pool_mode: PoolMode = "session",
    default_pool_size: int = 20,
    settings: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> PgBouncer | PgBouncerElsewhere:
    """Put a connection pooler in front of a PostgreSQL.

    Args:
        pg: the server, from `postgresql`, or a replica of one.
        pool_mode: when a client gives its connection back: at the end of its "session" (PgBouncer's default),
            "transaction" or "statement".
        default_pool_size: connections to the server, for each pair of user and database.
        settings: names and values for its pgbouncer.ini, such as {"max_client_conn": "500"}.
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: there is no PgBouncer.
        ServerFailed: it did not accept its settings, or did not come up in time; or the one named in the
            environment stands in front of another server.
    """
    if pool_mode not in get_args(PoolMode):
        raise ValueError(f"pool_mode is {pool_mode!r}; there are {', '.join(get_args(PoolMode))}")
    if url := os.environ.get(URL_VARIABLE):
        if not isinstance(pg, postgres.PostgreSQLElsewhere):
            raise ServerFailed(
                f"{URL_VARIABLE} names a pooler that is not in front of {pg.host}:{pg.port}: take it out of the "
                f"environment, or name the server behind it with {postgres.URL_VARIABLE}"
            )
        return PgBouncerElsewhere(url)
    found = locate()
    chosen = {"pool_mode": pool_mode, "default_pool_size": str(default_pool_size), **(settings or {})}
    with starting(NAME) as watchdog:
        return PgBouncer(watchdog, found, pg=pg.url, settings=chosen, timeout_s=timeout_s)
    raise AssertionError("not reached")


pgbouncer = ServerKind(
    "pgbouncer",
    _open,
    locate,
    INSTALL,
    "PgBouncer, a connection pooler in front of PostgreSQL",
)
