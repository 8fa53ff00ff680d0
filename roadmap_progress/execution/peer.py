"""Two processes that call each other over one socket, from any of their threads.

Whoever waits for an answer reads the socket and hands on what is for others (leader and followers): there is no
thread for it that the code under test could meet. A call that the other process makes while it serves one of ours
comes back to the thread that made ours, so callbacks nest as they would in one process.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution import wire

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class OtherEnded(ExecutionError):
    """The process on the other side died, or hung up."""


class Peer:
    """One side.

    Args:
        channel: connected to the other side.
        handle: gets a request, returns the reply; may raise nothing.
    """

    def __init__(self, channel: socket.socket, handle: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._channel, self._handle = channel, handle
        self._sending = threading.Lock()
        self._reading = threading.Lock()
        self._inboxes: dict[str, queue.SimpleQueue[dict[str, Any] | None]] = defaultdict(queue.SimpleQueue)
        self._serving = threading.local()
        self._main = threading.main_thread()
        self._numbers = itertools.count(1)
        self._replies: dict[int, dict[str, Any] | None] = {}  # only to those who wait
        self._last: str | None = None
        self._ended = False

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have the other side do something; returns its reply.

        Raises:
            OtherEnded: it is gone.
            ProtocolError: what came is no message.
        """
        name = self._name()
        self._inboxes[name]  # there before the reply can be: another thread may read it
        crowd, number = threading.active_count() > 1, next(self._numbers)
        self._replies[number] = None
        try:
            waiting_for = getattr(self._serving, "name", None)
            self._send({**request, "from": name, "for": waiting_for, "crowd": crowd, "number": number})
            while (reply := self._replies[number]) is None:
                message = self._next(name)
                if "reply" not in message:
                    self._serve(message)
                elif not isinstance(message["reply"], dict):
                    raise wire.ProtocolError("a reply that is no JSON object")
                elif type(answered := message.get("number")) is int and answered in self._replies:
                    self._replies[answered] = message["reply"]
        finally:
            del self._replies[number]
        return reply

    def serve_until(self, last: str) -> None:
        """Serve the other side's requests in this thread until it asks for `last`, which is only confirmed.

        A request of a crowd (the other side has several threads) gets a thread, so that others may follow.

        Raises:
            OtherEnded: it is gone.
        """
        self._last = last
        while True:
            message = self._next("")
            if message.get("do") == last:
                self._reply(message, {"value": ["one", "None"]})
                return
            if message.get("crowd"):
                threading.Thread(target=self._serve, args=(message,), daemon=True).start()
            else:
                self._serve(message)

    def _serve(self, message: dict[str, Any]) -> None:
        before = getattr(self._serving, "name", None)
        self._serving.name = message.get("from")
        try:
            reply = self._handle(message)
        finally:
            self._serving.name = before
        try:
            self._reply(message, reply)
        except OtherEnded:
            if threading.current_thread() is self._main:
                raise

    def _reply(self, message: dict[str, Any], reply: dict[str, Any]) -> None:
        self._send({"reply": reply, "to": message.get("from"), "number": message.get("number")})

    def _name(self) -> str:
        return str(threading.get_ident())

    def _send(self, message: dict[str, Any]) -> None:
        try:
            with self._sending:
                wire.send(self._channel, message)
        except OSError:
            self._ended = True
            raise OtherEnded("the other process ended") from None

    def _next(self, name: str) -> dict[str, Any]:
        """The next message for the thread `name`, reading for all while nobody else does."""
        inbox = self._inboxes[name]
        while True:
            try:
                return self._open(inbox.get_nowait())
            except queue.Empty:
                pass
            if not self._reading.acquire(blocking=False):
                try:
                    return self._open(inbox.get(timeout=0.005))
                except queue.Empty:
                    continue
            try:
                if inbox.empty():
                    self._read(name)
            finally:
                self._reading.release()

    def _read(self, reader: str) -> None:
        if self._ended:
            self._inboxes[reader].put(None)
            return
        try:
            message = wire.receive(self._channel)
        except TimeoutError:  # raised by a signal handler of the cell: the channel has no limit
            raise
        except (EOFError, OSError):
            self._ended = True
            for inbox in list(self._inboxes.values()):
                inbox.put(None)
            return
        wanted = message.get("to") if "reply" in message else message.get("for")
        if isinstance(wanted, str) and wanted in self._inboxes:
            self._inboxes[wanted].put(message)
        elif "reply" not in message:
            if reader == "" or message.get("do") == self._last is not None:  # the idle main thread's work
                self._inboxes[""].put(message)
            else:  # a callback from a thread that the other side started itself
                threading.Thread(target=self._serve, args=(message,), daemon=True).start()

    def _open(self, message: dict[str, Any] | None) -> dict[str, Any]:
        if message is None:
            raise OtherEnded("the other process ended")
        return message
