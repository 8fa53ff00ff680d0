"""Servers as answers and checks see them when graded: kept by a process of their own, used from here.

A locked cell's `start()` gives the answers and the checks the same server; any other gives one of one's own. What
a method does to a server happens over there; `connect()` and `client()` connect from here.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import inspect
import os
import socket
import stat
from typing import Any

from roadmap_progress import errors
from roadmap_progress.servers import _link

_BUILTIN = ("TypeError", "ValueError", "AttributeError", "OSError", "RuntimeError")
HERE = ("connect", "client", "sentinel", "selenium_options")  # methods that only need the address


class Host:
    """The way to the process that keeps the servers.

    Args:
        descriptor: of the socket on which that process takes calls.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def start(self, kind: str, arguments: tuple[Any, ...], named: dict[str, Any], *, shared: bool) -> Any:
        """A server of this kind; where it is shared, the one that this locked cell started on the other side.

        Raises:
            ServerUnavailable, ServerFailed: as in a kernel of one's own.
        """
        return self.call("start", kind, shared, list(arguments), named)

    def call(self, what: str, *arguments: Any) -> Any:
        """Have something done over there; returns or raises what came of it."""
        message = [what, *(_link.pack(one, _reference) for one in arguments)]
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, socket.socket(fileno=os.dup(self._descriptor)) as channel:
                try:
                    socket.send_fds(channel, [b"call"], [theirs.fileno()])
                except OSError:
                    raise errors.ServerFailed("the process that keeps the servers has ended") from None
            with contextlib.suppress(BrokenPipeError):  # it may have refused, and says why
                _link.send(ours, message)
            reply = _link.receive(ours)
        if reply[:1] == ["raised"] and len(reply) == 3:
            raise _error(reply[1], str(reply[2]))
        return _link.unpack(reply[-1], self._found)

    def _found(self, reference: list[Any]) -> Any:
        tag, number, *about = reference
        if tag == "manager":
            return _Manager(self, number)
        if tag != "server":
            raise ValueError
        return Attached(self, number, _link.checked_class(*about))


class Attached:
    """A server that runs elsewhere; has the attributes and methods of its class."""

    def __init__(self, host: Host, number: int, kind: type) -> None:
        self._host, self._number, self._kind = host, number, kind

    @property
    def __class__(self) -> type:  # so that isinstance() tells what it stands for
        return self._kind

    @__class__.setter
    def __class__(self, _: type) -> None:
        raise TypeError("a server does not change its class")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{self._kind.__name__!r} object has no attribute {name!r}")
        known = inspect.getattr_static(self._kind, name, None)
        if not inspect.isfunction(known):
            return self._host.call("get", self._number, name)
        if name in HERE:
            return known.__get__(self)

        @functools.wraps(known)
        def method(*arguments: Any, **named: Any) -> Any:
            return self._host.call("do", self._number, name, list(arguments), named)

        return method

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self._kind) and getattr(other, "_number", None) == self._number

    def __hash__(self) -> int:
        return hash(self._number)

    def __repr__(self) -> str:
        return str(self._host.call("show", self._number))


class _Manager:
    """What a method gave for a `with` block, such as `database()`."""

    def __init__(self, host: Host, number: int) -> None:
        self._host, self._number = host, number

    def __enter__(self) -> Any:
        return self._host.call("enter", self._number)

    def __exit__(self, *_: object) -> None:
        self._host.call("exit", self._number)


def host() -> Host | None:
    """The process that keeps this process's servers; None where they are its own."""
    named = os.environ.get(_link.VARIABLE, "")
    if not named.isdecimal():
        return None
    try:
        return Host(int(named)) if stat.S_ISSOCK(os.fstat(int(named)).st_mode) else None
    except OSError:  # a process that the cells started: it has no such socket
        return None


def _reference(value: Any) -> list[Any] | None:
    return ["server", value._number] if type(value) is Attached else None


def _error(name: Any, words: str) -> Exception:
    if name == "ServerUnavailable":
        return errors.ServerUnavailable(words)
    if isinstance(kind := vars(builtins).get(name), type) and name in _BUILTIN:
        error: Exception = kind(words)
        return error
    return errors.ServerFailed(words if name == "ServerFailed" else f"{name}: {words}")
