"""Redis with Sentinel: a primary, replicas, and sentinels that agree on another primary when it is lost.

::

    ha = redis_sentinel.start()            # a primary, two replicas, three sentinels
    kv = ha.client()                       # always talks to the present primary
    ha.primary.kill()                      # a replica takes over, within seconds
    ha.sentinel().discover_master(ha.service_name)
    ha.sentinels[0].kill()                 # two of three are still a majority

Redis and Valkey both bring Sentinel with their server. `ROADMAP_REDIS_SENTINELS`, as in
"10.0.0.5:26379,10.0.0.6:26379/orders", names sentinels that somebody else runs, and the service that they watch.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import StopLimits, wait_until
from roadmap_progress.servers import keyvalue
from roadmap_progress.servers._found import Found, Source
from roadmap_progress.servers._kind import ServerKind, starting
from roadmap_progress.servers._ports import PortServer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import redis
    from redis.sentinel import Sentinel as SentinelClient

    from roadmap_progress.processes import Watchdog
    from roadmap_progress.servers.keyvalue import RedisServer

VARIABLE = "ROADMAP_REDIS_SENTINELS"
NAME = "sentinel"
SERVICE = "bookshop"
TIMEOUT_S = 60.0
CLIENT_TIMEOUT_S = 5.0
LIMITS = StopLimits(ask_s=2.0, terminate_s=1.0, kill_s=2.0)


class Watched:
    """A service with a primary that changes: how clients find it.

    Attributes:
        service_name: what the sentinels call it.
        addresses: of the sentinels.
    """

    service_name: str
    addresses: list[tuple[str, int]]

    def sentinel(self) -> SentinelClient:
        """A client of the sentinels: `discover_master`, `discover_slaves`, `master_for`, `slave_for`."""
        from redis.sentinel import Sentinel

        timeout = {"socket_timeout": CLIENT_TIMEOUT_S}
        return Sentinel(self.addresses, sentinel_kwargs={**timeout, "decode_responses": True}, **timeout)

    def client(self, **options: Any) -> redis.Redis:
        """A client of the primary, whichever it is; it decodes replies to text, and options are redis-py's.

        While there is no primary, its commands raise `redis.ConnectionError`; `MasterNotFoundError` is one.
        """
        client: redis.Redis = self.sentinel().master_for(
            self.service_name, **{"decode_responses": True, **options}
        )
        return client


class Sentinel(PortServer):
    """One of the sentinels.

    Attributes:
        host: 127.0.0.1.
        port: where it listens.
    """

    name = NAME

    def __init__(self, watchdog: Watchdog, found: Found, *, lines: Sequence[str], timeout_s: float) -> None:
        super().__init__(watchdog, found, timeout_s=timeout_s)
        self._lines = lines
        self._start()

    def state(self, service_name: str) -> dict[str, Any]:
        """What it knows of the primary, its replicas and the other sentinels: `SENTINEL MASTER`."""
        import redis

        with redis.Redis(
            host=self.host, port=self.port, socket_timeout=CLIENT_TIMEOUT_S, decode_responses=True
        ) as client:
            told: dict[str, Any] = client.sentinel_master(service_name)
        return told

    def _begin(self) -> None:
        assert self.found.path is not None  # noqa: S101 (a program has a path)
        file = self._watchdog.directory / "sentinel.conf"
        known = file.read_text(encoding="utf-8").splitlines() if file.exists() else self._lines
        kept = [
            line for line in known if line.split(" ")[0] not in ("port", "bind", "dir")
        ]  # it writes its state there
        place = [f"port {self.port}", f"bind {self.host}", f'dir "{self._watchdog.directory}"']
        file.write_text("\n".join([*place, *kept]) + "\n", encoding="utf-8")
        self._watchdog.start(NAME, [self.found.path, file, "--sentinel"], limits=LIMITS)
        self._watchdog.wait_ready(
            NAME, lambda: keyvalue.is_process(self.host, self.port, self.pid), timeout_s=self._timeout_s
        )


class RedisSentinel(Watched):
    """A primary with replicas, watched by sentinels, all started here.

    Attributes:
        service_name: what the sentinels call it.
        addresses: of the sentinels.
        servers: the Redis servers; the first one was the primary at the start.
        sentinels: those that watch.
    """

    def __init__(
        self,
        *,
        replicas: int,
        sentinels: int,
        quorum: int,
        down_after_ms: int,
        settings: Mapping[str, str],
        timeout_s: float,
    ) -> None:
        self.service_name = SERVICE
        self._timeout_s = timeout_s
        with ExitStack() as stack:
            first = keyvalue.RedisServer(settings=settings, timeout_s=timeout_s)
            stack.callback(first.stop)
            self.found = first.found
            self.servers: list[RedisServer] = [first]
            for _ in range(replicas):
                self.servers.append(first.replica(timeout_s=timeout_s))
                stack.callback(self.servers[-1].stop)
            lines = [
                f"sentinel monitor {SERVICE} {first.host} {first.port} {quorum}",
                f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}",
                f"sentinel failover-timeout {SERVICE} {max(10 * down_after_ms, 5000)}",
            ]
            self.sentinels: list[Sentinel] = []
            for _ in range(sentinels):
                with starting(NAME) as watchdog:
                    one = Sentinel(watchdog, self.found, lines=lines, timeout_s=timeout_s)
                stack.callback(one.stop)
                self.sentinels.append(one)
            self.addresses = [(one.host, one.port) for one in self.sentinels]
            self._wait_until_acquainted()
            self._ending = stack.pop_all()

    @property
    def description(self) -> str:
        """Which it is, and where its servers and sentinels listen."""
        servers = ", ".join(str(server.port) for server in self.servers)
        watching = ", ".join(str(port) for _, port in self.addresses)
        return f"{self.found} at 127.0.0.1: servers on {servers}, sentinels on {watching}"

    @property
    def primary(self) -> RedisServer:
        """The server that the sentinels take for the primary at this moment.

        Raises:
            redis.sentinel.MasterNotFoundError: they take it for down, and have not agreed on another one.
        """
        _, port = self.sentinel().discover_master(self.service_name)
        return next(server for server in self.servers if server.port == port)

    def wait_for_failover(self, lost: RedisServer, *, timeout_s: float = TIMEOUT_S) -> RedisServer:
        """The new primary, once the sentinels have agreed on one and it takes writes.

        Args:
            lost: what was the primary until now.
            timeout_s: it is there by then.

        Raises:
            ServerFailed: it is not; the sentinels may have no majority, or no replica to choose.
        """
        import redis

        def done() -> bool:
            try:
                present = self.primary
                if present is lost:
                    return False
                with present.client(socket_timeout=CLIENT_TIMEOUT_S) as client:
                    return bool(client.execute_command("ROLE")[0] == "master")
            except redis.RedisError:
                return False

        if not wait_until(done, timeout_s=timeout_s):
            running = next((one for one in self.sentinels if one._watchdog.is_running(NAME)), self.sentinels[0])
            raise ServerFailed(
                f"no other primary within {timeout_s:g} s; the last lines of a sentinel's log:\n{running.log()}"
            )
        return self.primary

    def stop(self) -> None:
        """End all of its servers and sentinels and remove their directories. May be called again."""
        self._ending.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.servers} {self.sentinels}>"

    def _wait_until_acquainted(self) -> None:
        """Return once each sentinel knows every replica and every other sentinel, or none could take over."""
        import redis

        expected = (len(self.servers) - 1, len(self.sentinels) - 1)

        def acquainted() -> bool:
            try:
                known = [one.state(SERVICE) for one in self.sentinels]
            except redis.RedisError:
                return False
            return all((it["num-slaves"], it["num-other-sentinels"]) == expected for it in known)

        if not wait_until(acquainted, timeout_s=self._timeout_s):
            raise ServerFailed(
                f"the sentinels did not find each other within {self._timeout_s:g} s; the last lines of a log:\n"
                f"{self.sentinels[0].log()}"
            )


class RedisSentinelElsewhere(Watched):
    """Sentinels that somebody else runs, named in the environment."""

    def __init__(self, named: str) -> None:
        self.found = locate()
        self.addresses, self.service_name = _parsed(named)

    @property
    def description(self) -> str:
        """Which version, and where the sentinels listen."""
        return f"{self.found}, sentinels at {', '.join(f'{host}:{port}' for host, port in self.addresses)}"

    def stop(self) -> None:
        """Nothing: they are not ours to stop."""


def locate() -> Found:
    """The server that would be taken.

    Raises:
        ServerUnavailable: there is none, or the sentinels named in the environment do not answer.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return keyvalue.program()
    import redis
    from redis.sentinel import Sentinel

    try:
        addresses, service_name = _parsed(named)
        client = Sentinel(addresses, socket_timeout=CLIENT_TIMEOUT_S)
        host, port = client.discover_master(service_name)
    except (redis.RedisError, ValueError) as error:
        reasons = [f"{VARIABLE} names sentinels that cannot be used: {error}"]
        raise keyvalue.INSTALL.unavailable("Redis with Sentinel", reasons) from error
    return Found("Redis with Sentinel", f"primary {_text(host)}:{port}", Source.ENVIRONMENT)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _parsed(named: str) -> tuple[list[tuple[str, int]], str]:
    """Addresses and service from "host:port,host:port/service"."""
    places, slash, service_name = named.partition("/")
    if not (slash and service_name):
        raise ValueError(f"{named!r} has no service; write host:port,host:port/service")
    split = [place.strip().rpartition(":") for place in places.split(",")]
    return [(host, int(port)) for host, _, port in split], service_name


def _open(
    *,
    replicas: int = 2,
    sentinels: int = 3,
    quorum: int = 2,
    down_after_ms: int = 1000,
    settings: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> RedisSentinel | RedisSentinelElsewhere:
    """Start a primary with replicas, and sentinels that watch it; it takes some seconds until all know each other.

    Args:
        replicas: how many.
        sentinels: how many; a majority of them has to agree on who takes over.
        quorum: so many have to find the primary down before a takeover begins.
        down_after_ms: it is down when it has not answered for so long.
        settings: names and values for the redis.conf of every server.
        timeout_s: each answers by then, and all know each other.

    Raises:
        ServerUnavailable: there is neither Redis nor Valkey.
        ServerFailed: one did not accept its settings, or did not come up in time.
    """
    if named := os.environ.get(VARIABLE):
        return RedisSentinelElsewhere(named)
    return RedisSentinel(
        replicas=replicas,
        sentinels=sentinels,
        quorum=quorum,
        down_after_ms=down_after_ms,
        settings=settings or {},
        timeout_s=timeout_s,
    )


redis_sentinel = ServerKind(
    "redis_sentinel",
    _open,
    locate,
    keyvalue.INSTALL,
    "Redis or Valkey with Sentinel: a replica takes over",
)
