"""Servers that are a program on a port of 127.0.0.1, and cannot take over a socket that is open already.

Between finding a free port and listening on it, another program may be faster; then the next one is tried.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, ClassVar

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import kill_group, tail, wait_until
from roadmap_progress.servers._kind import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from roadmap_progress.processes import Watchdog
    from roadmap_progress.servers._found import Found

HOST = "127.0.0.1"
PORTS_TRIED = 5


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether something listens on this port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def taken(port: int) -> bool:
    """Whether a server could not listen on this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def start_on_port(
    watchdog: Watchdog, name: str, begin: Callable[[int], None], *, chosen: int = 0, insist: bool = False
) -> None:
    """Start a server on its port, or on a free one if it has none yet.

    Args:
        watchdog: of the server.
        name: of the server there.
        begin: starts it on a port and returns when it is ready.
        chosen: the port that it has had before, and has to keep; 0 for a free one.
        insist: try the chosen port again, too: what was there before may be about to end.

    Raises:
        ServerFailed: from `begin`; at once, unless it ended because of its port.
    """
    for attempt in range(1, PORTS_TRIED + 1):
        port = chosen or free_port()
        try:
            begin(port)
        except ServerFailed:
            again = insist if chosen else taken(port)
            if attempt == PORTS_TRIED or not again or watchdog.is_running(name):  # one that hangs has its port
                raise
        else:
            return


class PortServer(Server):
    """Base of the servers that are one program on one port, which they keep over a restart.

    Attributes:
        host: 127.0.0.1.
        port: where it listens.
    """

    host = HOST
    name: ClassVar[str]
    """Of its process."""
    insists: ClassVar[bool] = False
    """What it leaves behind when it crashes may for a moment keep the next one from starting."""

    def __init__(self, watchdog: Watchdog, found: Found, *, timeout_s: float) -> None:
        super().__init__(watchdog, found, "")
        self.port = 0
        self._timeout_s = timeout_s

    @property
    def pid(self) -> int:
        """The number of its process, the first one if it has several."""
        return self._watchdog.processes[self.name].pid

    def log(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return tail(self._watchdog.processes[self.name].log, lines)

    def restart(self) -> None:
        """Stop it, if it runs, and start it again with what it has kept, on the same port; true on return: ready.

        Raises:
            ServerFailed: it did not come up in time.
        """
        self._watchdog.stop(self.name)
        self._start()

    def kill(self) -> None:
        """Kill its process, as a crash would; `restart()` brings it back, with what it had written."""
        kill_group(self.pid)
        wait_until(lambda: not self._watchdog.is_running(self.name), timeout_s=self._timeout_s)

    def _start(self) -> None:
        """Start it on its port, or on a free one if it has none yet."""

        def begin(port: int) -> None:
            self.port, self._address = port, f"{self.host}:{port}"
            self._begin()

        start_on_port(self._watchdog, self.name, begin, chosen=self.port, insist=self.insists)

    def _begin(self) -> None:
        """Start it on `self.port`; true on return: ready.

        Raises:
            ServerFailed: it ended, or was not ready in time.
        """
        raise NotImplementedError
