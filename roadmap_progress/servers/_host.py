"""The process that keeps a graded submission's servers: starts them, and does to them what answers and checks ask.

It trusts the checks no more than the answers: both may do to a server what a learner may do in a kernel of their
own, and only to those servers that they started or that a locked cell started for both.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from roadmap_progress.errors import ServerFailed
from roadmap_progress.servers import REGISTRY, _link
from roadmap_progress.servers._kind import load

SERVERS_LIMIT = 24  # of one submission
TOLD_S = 20.0  # a call is there by then


@dataclass
class _Started:
    """A server that a locked cell started, or is starting."""

    asked: tuple[Any, ...]
    ready: threading.Event = field(default_factory=threading.Event)
    server: Any = None
    error: BaseException | None = None


class Host:
    """The servers, by number, and who may use which.

    Attributes:
        steps: for "answers", "checks" and "probe": the number of the locked cell that runs there, if one does.
    """

    def __init__(self) -> None:
        self.steps: dict[str, int | None] = {}
        self._things: list[Any] = []
        self._known: dict[str, set[int]] = defaultdict(set)
        self._started: dict[tuple[int, int], _Started] = {}
        self._counts: dict[tuple[str, int], int] = {}
        self._count = 0
        self._lock = threading.Lock()

    def listen(self, who: str, channel: socket.socket) -> None:
        """Take calls of answers or checks, in a thread, each in a thread of its own, until they are gone."""
        threading.Thread(target=self._listen, args=(who, channel), daemon=True).start()

    def _listen(self, who: str, channel: socket.socket) -> None:
        with channel:
            while True:
                try:
                    data, descriptors, _, _ = socket.recv_fds(channel, 16, 1)
                except OSError:
                    return
                if not data and not descriptors:
                    return
                for descriptor in descriptors:
                    try:
                        one = socket.socket(fileno=descriptor)
                    except OSError:  # no socket
                        os.close(descriptor)
                        continue
                    with contextlib.suppress(RuntimeError):  # no more threads: the socket closes, which tells
                        threading.Thread(
                            target=self._answer, args=(who, self.steps.get(who), one), daemon=True
                        ).start()
                    del one

    def _answer(self, who: str, step: int | None, channel: socket.socket) -> None:
        with channel:
            try:
                channel.settimeout(TOLD_S)
                what, *arguments = _link.receive(channel)
                given = [_link.unpack(one, lambda reference: self._find(who, reference)) for one in arguments]
                value = self._perform(who, step, what, given)
                reply = ["value", _link.pack(value, lambda thing: self._refer(who, thing))]
            except BaseException as error:  # noqa: BLE001 - it belongs to who asked
                reply = ["raised", type(error).__name__, str(error)[:20_000]]
            with contextlib.suppress(OSError, TypeError):
                _link.send(channel, reply)

    def _perform(self, who: str, step: int | None, what: Any, given: list[Any]) -> Any:
        if what == "start":
            kind, shared, arguments, named = given
            if shared and step is not None:
                return self._shared(who, step, (kind, arguments, named))
            return self._open(kind, arguments, named)
        thing = self._things[self._allowed(who, given[0])]
        if what == "get":
            if who != "checks" and given[1] in getattr(type(thing), "for_checks", ()):
                raise AttributeError(f"{given[1]} is for checks only")
            value = getattr(thing, _public(given[1]))
            if callable(value):
                raise TypeError(f"{given[1]} is no plain attribute")
            return value
        if what == "do":
            return getattr(thing, _public(given[1]))(*given[2], **given[3])
        if what == "show":
            return repr(thing)
        if what == "enter":
            return thing.__enter__()
        if what == "exit":
            return thing.__exit__(None, None, None) and None
        raise ValueError(f"a call that there is not: {what!r}")

    def _shared(self, who: str, step: int, asked: tuple[Any, ...]) -> Any:
        with self._lock:
            place = self._counts[who, step] = self._counts.get((who, step), -1) + 1
            started = self._started.get((step, place))
            first = started is None
            if started is None:
                started = self._started[step, place] = _Started(asked)
        if first:
            try:
                started.server = self._open(*asked)
            except BaseException as error:
                started.error = error
                raise
            finally:
                started.ready.set()
            return started.server
        started.ready.wait()
        if started.asked != asked:
            raise ServerFailed(
                f"a locked cell started {started.asked[0]} in the other process, and {asked[0]} in this one, "
                "or with other arguments: it has to start the same servers in the same order each time"
            )
        if started.error is not None:
            raise started.error
        return started.server

    def _open(self, kind: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        if kind not in REGISTRY:
            raise ServerFailed(f"there is no kind of server called {kind!r}")
        with self._lock:
            self._count += 1
            if self._count > SERVERS_LIMIT:
                raise ServerFailed(f"more than {SERVERS_LIMIT} servers were started")
        return load(kind, REGISTRY[kind]).open(*arguments, **named)

    def _refer(self, who: str, thing: Any) -> list[Any] | None:
        """How the other side is told of a server or of something for a `with` block."""
        kind = type(thing)
        ours = kind.__module__.startswith("roadmap_progress.servers.") and hasattr(thing, "stop")
        if not ours and not isinstance(thing, AbstractContextManager):
            return None
        with self._lock:
            number = next((place for place, known in enumerate(self._things) if known is thing), len(self._things))
            if number == len(self._things):
                self._things.append(thing)
            self._known[who].add(number)
        return ["server", number, kind.__module__, kind.__qualname__] if ours else ["manager", number]

    def _find(self, who: str, reference: list[Any]) -> Any:
        tag, number = reference
        if tag != "server":
            raise ValueError
        return self._things[self._allowed(who, number)]

    def _allowed(self, who: str, number: Any) -> int:
        if type(number) is not int or number not in self._known[who]:
            raise ServerFailed("there is no such server")
        return number


def _public(name: Any) -> str:
    if type(name) is not str or name.startswith("_"):
        raise AttributeError(f"no attribute {name!r}")
    return name
