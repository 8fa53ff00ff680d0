"""What both kinds of zygote do all day: take requests from a socket, notice children that end."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable

MESSAGE_BYTES = 1 << 20  # an environment may be large
DESCRIPTORS = 8


def serve(
    control: socket.socket,
    request: Callable[[dict[str, Any], list[int]], None],
    ended: Callable[[int, int, resource.struct_rusage], None],
) -> None:
    """Call back, in this thread, until the other side of the socket is gone.

    Args:
        control: SOCK_SEQPACKET; a message is a JSON object, at most `MESSAGE_BYTES`, with up to `DESCRIPTORS`.
        request: gets a message and its descriptors, which are closed afterwards.
        ended: gets a child's PID, its exit code (negative: the signal) and what it used. The child is reaped.
    """
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(reading, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj == reading:
                with contextlib.suppress(BlockingIOError):
                    os.read(reading, 4096)
                _reap(ended)
            elif not _receive(control, request):
                return


def tell(control: socket.socket, message: dict[str, Any]) -> None:
    """Send a message; that the other side is gone is what the next read says."""
    with contextlib.suppress(OSError):
        control.send(json.dumps(message).encode())


def _receive(control: socket.socket, request: Callable[[dict[str, Any], list[int]], None]) -> bool:
    try:
        data, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES, DESCRIPTORS)
    except ConnectionError:
        return False
    if not data:
        return False
    request(json.loads(data), descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    return True


def _reap(ended: Callable[[int, int, resource.struct_rusage], None]) -> None:
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        ended(pid, os.waitstatus_to_exitcode(status), usage)
