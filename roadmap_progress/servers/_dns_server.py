"""One authoritative DNS server, UDP and TCP, on sockets that its parent has bound: run as a module.

    python -m roadmap_progress.servers._dns_server ZONE_FILE LOG UDP_DESCRIPTOR TCP_DESCRIPTOR

Each query is written to the log before it is answered, so whoever has the answer finds the query there.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import cast

from roadmap_progress.servers._authority import Zone, load_zone, respond

IDLE_S = 10.0


class Authority:
    """A zone and the log of what was asked about it."""

    def __init__(self, zone: Zone, log: Path) -> None:
        self.zone = zone
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def answer(self, packet: bytes, transport: str) -> bytes | None:
        """The answer to a packet, written down first; None where none is given."""
        reply, asked = respond(self.zone, packet, transport=transport)
        if asked is not None:
            line = json.dumps([str(self.zone.origin), *asked, transport])
            os.write(self.log, line.encode() + b"\n")  # one write: lines of several servers do not mix
        return reply

    async def over_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the queries of one connection: each, and each answer, has its length in front."""
        try:
            async with asyncio.timeout(None) as limit:
                while True:
                    limit.reschedule(asyncio.get_running_loop().time() + IDLE_S)
                    length = int.from_bytes(await reader.readexactly(2))
                    reply = self.answer(await reader.readexactly(length), "tcp")
                    if reply is None:
                        return
                    writer.write(len(reply).to_bytes(2) + reply)
                    await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            return  # the client has gone, or says nothing
        finally:
            writer.close()


class OverUdp(asyncio.DatagramProtocol):
    """Answers datagrams."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if reply := self.authority.answer(data, "udp"):
            self.transport.sendto(reply, addr)


async def serve(authority: Authority, udp: socket.socket, tcp: socket.socket) -> None:
    """Answer until somebody ends this process."""
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: OverUdp(authority), sock=udp)
    server = await asyncio.start_server(authority.over_tcp, sock=tcp)
    await server.serve_forever()


def main() -> None:
    """Take over the sockets and serve."""
    zone_file, log, udp, tcp = sys.argv[1:]
    zone = load_zone(Path(zone_file).read_text(encoding="utf-8"))
    asyncio.run(serve(Authority(zone, Path(log)), socket.socket(fileno=int(udp)), socket.socket(fileno=int(tcp))))


if __name__ == "__main__":
    main()
