"""A port of 127.0.0.1 for a server that cannot take over a socket that is open already.

Between finding a free port and listening on it, another program may be faster; then the next one is tried.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from roadmap_progress.errors import ServerFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from roadmap_progress.processes import Watchdog

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
