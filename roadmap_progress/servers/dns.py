"""A DNS of one's own: root, top-level domain and authoritative servers that answer with referrals.

::

    hierarchy = dns_hierarchy.start()       # not `dns`: that is dnspython's name
    hierarchy.root, hierarchy.port          # "127.0.0.2" and its port: ask here first
    hierarchy.servers                       # {".": "127.0.0.2", "example.": "127.0.0.3", …}

    query = dns.message.make_query("www.bookshop.example.", "A")
    host, port = hierarchy.address_of("127.0.0.2")
    reply = dns.query.udp(query, host, port=port, timeout=2)    # a referral: NS in authority, glue

    hierarchy.queries()                     # what the servers were asked, in order
    hierarchy.stop_server("example.")       # from now on, nobody answers for example.

Glue records have addresses but no port, so all servers share one high port, each on its own loopback address.
Where a system has only 127.0.0.1 (macOS), each has a port of its own there, and `address_of` translates.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from roadmap_progress.errors import ServerFailed
from roadmap_progress.servers._bookshop_zones import BOOKSHOP_ZONES
from roadmap_progress.servers._found import Found, Install, find_library
from roadmap_progress.servers._kind import Server, ServerKind, starting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["BOOKSHOP_ZONES", "DnsHierarchy", "Query", "dns_hierarchy"]

INSTALL = Install(pip="dnslib")
ATTEMPTS = 50
MOST = 253  # 127.0.0.2 … 127.0.0.254
TIMEOUT_S = 20.0


class Query(NamedTuple):
    """A question that reached a server; equal to the plain tuple of its fields.

    Attributes:
        origin: the zone of the server that was asked.
        name: as the client spelled it, with the final dot.
        type: "A", "NS", …
        transport: "udp" or "tcp".
    """

    origin: str
    name: str
    type: str
    transport: str


@dataclass(frozen=True)
class Sockets:
    """Where one server listens."""

    udp: socket.socket
    tcp: socket.socket

    @property
    def address(self) -> tuple[str, int]:
        """The host and port of both."""
        host, port = self.tcp.getsockname()
        return host, port

    def close(self) -> None:
        """Close both."""
        self.udp.close()
        self.tcp.close()


class DnsHierarchy(Server):
    """Authoritative servers, one process for each zone.

    Attributes:
        servers: the zone's origin → the address that glue gives for its server.
        root: the first one's address: where resolution begins.
        port: of all of them, UDP and TCP. Where the system has only one loopback address, it is the
            first server's; `address_of` is right everywhere.
        mapping: the address that glue gives → (host, port) where that server listens.
    """

    def __init__(self, zones: Mapping[str, str], timeout_s: float) -> None:
        from roadmap_progress.servers._zones import compile_zone

        found = locate()
        compiled = {_absolute(origin): compile_zone(_absolute(origin), text) for origin, text in zones.items()}
        if not 1 <= len(compiled) <= MOST:
            raise ValueError(f"{len(compiled)} zones; there can be 1 to {MOST}")
        self.servers = {origin: f"127.0.0.{number}" for number, origin in enumerate(compiled, start=2)}
        sockets = _bind(list(self.servers.values()))
        try:
            self.mapping = {glue: pair.address for glue, pair in sockets.items()}
            self.root = next(iter(self.mapping))
            self.port = self.mapping[self.root][1]
            every = [s.fileno() for pair in sockets.values() for s in (pair.udp, pair.tcp)]
            with starting("dns", descriptors=every) as watchdog:
                super().__init__(watchdog, found, f"{', '.join(self.mapping)}, port {self.port}")
                self._log = watchdog.directory / "queries.jsonl"
                for origin, zone in compiled.items():
                    self._start(origin, zone, sockets[self.servers[origin]])
                for pair in sockets.values():
                    pair.close()  # from here on, a server that has ended refuses
                deadline = time.monotonic() + timeout_s
                for origin, glue in self.servers.items():
                    answers = partial(_answers, origin, *self.mapping[glue])
                    watchdog.wait_ready(origin, answers, timeout_s=deadline - time.monotonic())
                self.clear_queries()  # ours
        finally:
            for pair in sockets.values():
                pair.close()

    def _start(self, origin: str, zone: str, sockets: Sockets) -> None:
        file = self._watchdog.directory / f"{self.servers[origin]}.json"
        file.write_text(zone, encoding="utf-8")
        descriptors = [sockets.udp.fileno(), sockets.tcp.fileno()]
        self._watchdog.start(
            origin,
            [
                sys.executable,
                "-P",
                "-m",
                "roadmap_progress.servers._dns_server",
                file,
                self._log,
                *map(str, descriptors),
            ],
            descriptors=descriptors,
        )

    def address_of(self, address: str) -> tuple[str, int]:
        """Where to send a query for the server that glue says is at `address`: (host, port).

        An address that none of these servers has is returned with the common port: nobody answers there.
        """
        return self.mapping.get(address, (address, self.port))

    def queries(self) -> list[Query]:
        """What the servers were asked so far, in order."""
        try:
            lines = self._log.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [Query(*json.loads(line)) for line in lines]

    def clear_queries(self) -> None:
        """Forget the queries so far."""
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self._log, 0)

    def stop_server(self, origin: str) -> None:
        """End the server of one zone, as if its machine had failed; the others go on."""
        if origin not in self.servers:
            raise KeyError(f"no server has the zone {origin!r}; there are {', '.join(self.servers)}")
        self._watchdog.stop(origin)


def _absolute(origin: str) -> str:
    return origin.lower().rstrip(".") + "."


def _bind(addresses: list[str]) -> dict[str, Sockets]:
    """Sockets on one free port of all these addresses, or on a free port each of the only one there is."""
    if not all(map(_has_address, addresses)):
        return {address: next(_pairs("127.0.0.1", 0)) for address in addresses}
    for first in _pairs(addresses[0], 0):
        bound = {addresses[0]: first}
        for address in addresses[1:]:
            pair = next(_pairs(address, first.address[1], attempts=1), None)
            if pair is None:
                break
            bound[address] = pair
        else:
            return bound
        for pair in bound.values():
            pair.close()
    raise ServerFailed(f"no port is free on all of {', '.join(addresses)}, after {ATTEMPTS} attempts")


def _has_address(address: str) -> bool:
    """Whether this machine listens there: Linux does at all of 127.0.0.0/8, macOS at 127.0.0.1 only."""
    try:
        with socket.socket() as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _pairs(host: str, port: int, *, attempts: int = ATTEMPTS) -> Iterator[Sockets]:
    """UDP and TCP sockets on the same port of this address, again and again."""
    for _ in range(attempts):
        tcp = socket.socket()
        udp = socket.socket(type=socket.SOCK_DGRAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((host, port))
            tcp.listen(64)
            udp.bind(tcp.getsockname())
        except OSError as error:
            tcp.close()
            udp.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        yield Sockets(udp, tcp)


def _answers(origin: str, host: str, port: int) -> bool:
    """Whether the server answers for its zone; waits up to half a second for it."""
    from dnslib import QTYPE, DNSRecord

    reply = DNSRecord.parse(DNSRecord.question(origin, "SOA").send(host, port, tcp=True, timeout=0.5))
    return any(record.rtype == QTYPE.SOA for record in reply.rr)


def locate() -> Found:
    """The library that the servers are made with.

    Raises:
        ServerUnavailable: it is not installed.
    """
    return find_library("dnslib", "dnslib", INSTALL)


def _open(zones: Mapping[str, str] | None = None, *, timeout_s: float = TIMEOUT_S) -> DnsHierarchy:
    """Start the servers of a delegation chain.

    Args:
        zones: origin (".", "example.", "bookshop.example.") → the zone in master-file form; the bookshop's
            (`BOOKSHOP_ZONES`) if not given. The first is the root at 127.0.0.2, the second is at 127.0.0.3,
            and so on: the glue in the zones has to say the same, or the delegation is lame.
        timeout_s: all of them answer by then.

    Raises:
        ServerUnavailable: dnslib is not installed.
        ServerFailed: a server did not answer in time.
        ValueError: a zone cannot be read, or contradicts itself.
    """
    return DnsHierarchy(BOOKSHOP_ZONES if zones is None else zones, timeout_s)


dns_hierarchy = ServerKind(
    "dns_hierarchy",
    _open,
    locate,
    INSTALL,
    "root, top-level and authoritative DNS servers that answer with referrals",
    kept=False,
)
