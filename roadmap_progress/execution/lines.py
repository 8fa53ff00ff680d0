"""A service on a Unix socket: one JSON object a line in, one a line out, any number of clients.

The socket is its owner's alone (0600). Who holds the lock beside it serves; a killed one's lock is free at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import stat
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from roadmap_progress.errors import ExecutionError, RoadmapError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Answer = Callable[[dict[str, Any]], dict[str, Any]]

LINE_BYTES = 1 << 16
_STOPPING = (signal.SIGTERM, signal.SIGINT)


def serve(path: Path, answer: Answer, *, ready: Callable[[], None] = lambda: None) -> None:
    """Answer requests until SIGTERM or Ctrl-C; those that came in before are answered still. For the main thread.

    Args:
        answer: runs in a thread of the client's; a RoadmapError becomes `{"error": its words}`.
        ready: called when clients can connect.

    Raises:
        ExecutionError: another process serves there, or there is a file that is no socket.
    """
    with _claimed(path) as listener, _asked_to_stop() as stop:
        ready()
        clients = _Clients(answer)
        with contextlib.closing(clients), selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(stop, selectors.EVENT_READ)
            while not any(key.fileobj is stop for key, _ in selector.select()):
                clients.welcome(listener.accept()[0])
            listener.close()


def ask(path: Path, requests: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The service's answers, in order.

    Raises:
        ExecutionError: nobody serves there, or it ended in the middle.
    """
    with socket.socket(socket.AF_UNIX) as channel:
        try:
            channel.connect(str(path))
        except OSError as error:
            raise ExecutionError(f"nobody answers at {path} ({error.strerror or error})") from None
        with channel.makefile("rwb") as stream:
            for request in requests:
                try:
                    stream.write(json.dumps(request).encode() + b"\n")
                    stream.flush()
                    line = stream.readline()
                except OSError:
                    line = b""
                if not line.endswith(b"\n"):
                    raise ExecutionError(f"who answered at {path} ended in the middle")
                yield json.loads(line)


class _Clients:
    def __init__(self, answer: Answer) -> None:
        self._answer, self._lock = answer, threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}

    def welcome(self, channel: socket.socket) -> None:
        """Serve a client, in a thread."""
        thread = threading.Thread(target=self._talk, args=(channel,), name="roadmap-client")
        with self._lock:
            self._open[channel] = thread
        thread.start()

    def close(self) -> None:
        """Hear no more; returns when what was asked is answered."""
        with self._lock:
            waiting = dict(self._open)
        for channel in waiting:
            with contextlib.suppress(OSError):
                channel.shutdown(socket.SHUT_RD)
        for thread in waiting.values():
            thread.join()

    def _talk(self, channel: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError), channel, channel.makefile("rwb") as stream:
                while line := stream.readline(LINE_BYTES):
                    whole = line.endswith(b"\n")
                    told = self._reply(line) if whole else {"error": f"no line of less than {LINE_BYTES} bytes"}
                    stream.write(json.dumps(told).encode() + b"\n")
                    stream.flush()
                    if not whole:
                        return
        finally:
            with self._lock:
                self._open.pop(channel, None)

    def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return {"error": "a request is a JSON object"}
        try:
            return self._answer(request)
        except RoadmapError as error:
            return {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - one request must not end the service
            traceback.print_exc(file=sys.stderr)
            return {"error": f"{type(error).__name__}: {error}"}


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[socket.socket]:
    lock = path.with_name(f"{path.name}.lock")
    with _locked(lock, path), contextlib.ExitStack() as stack:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise ExecutionError(f"{path} is a file; a socket needs a name of its own")
            path.unlink()  # of one that was killed
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError as error:
            raise ExecutionError(f"no socket can be made at {path}: {error}") from None
        finally:
            os.umask(before)
        stack.callback(path.unlink, missing_ok=True)
        listener.listen()
        yield listener


@contextlib.contextmanager
def _locked(lock: Path, path: Path) -> Iterator[None]:
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ExecutionError(f"no socket can be made at {path}: {error}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ExecutionError(f"another process serves {path} already") from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                break
        os.close(descriptor)  # its owner removed it just now
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[socket.socket]:
    """A socket that can be read when this process was asked to stop."""
    told, teller = socket.socketpair()
    with told, teller:
        before = {number: signal.signal(number, lambda *_: teller.send(b"!")) for number in _STOPPING}
        try:
            yield told
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
