"""How answers and checks, when graded, speak with the process that keeps their servers.

Each call has a socket of its own, whose other end goes to that process; one JSON array there, one back. So calls
of several threads, and of forked processes, do not meet, and one that is interrupted leaves nothing half read.

What crosses: None, numbers, text, bytes, paths, lists, tuples, dicts, records of this package, servers by number.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib
import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadmap_progress.errors import ServerFailed

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

VARIABLE = "ROADMAP_SERVERS"  # in the environment of answers and checks: the number of the socket to that process
LIMIT_BYTES = 4 << 20
DEPTH_LIMIT = 20
_PACKAGE = "roadmap_progress.servers."
_PLAIN = (type(None), bool, int, float, str)
_KINDS: dict[type, str] = {list: "list", tuple: "tuple"}


def pack(value: Any, refer: Callable[[Any], list[Any] | None], depth: int = 0) -> Any:  # noqa: C901 - a table
    """The value as JSON can hold it.

    Args:
        refer: what to say instead of an object that stays where it is; None for one that cannot be named.

    Raises:
        TypeError: it is nothing that crosses.
    """
    if depth > DEPTH_LIMIT:
        raise TypeError(f"a value more than {DEPTH_LIMIT} deep cannot be given to a server")
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in _KINDS:
        return [_KINDS[kind], *(pack(item, refer, depth + 1) for item in value)]
    if kind is dict:
        pairs = [[pack(key, refer, depth + 1), pack(item, refer, depth + 1)] for key, item in value.items()]
        return ["dict", *pairs]
    if kind is bytes:
        return ["bytes", base64.b64encode(value).decode()]
    if isinstance(value, Path):
        return ["path", str(value)]
    if kind.__module__.startswith(_PACKAGE):
        if isinstance(value, Enum):
            return ["enum", kind.__module__, kind.__qualname__, value.value]
        if (fields := _fields(kind)) is not None and refer(value) is None:
            parts = [pack(getattr(value, name), refer, depth + 1) for name in fields]
            return ["record", kind.__module__, kind.__qualname__, *parts]
    if (reference := refer(value)) is None:
        raise TypeError(f"a {kind.__name__} cannot be given to a server, or by one, when graded")
    return reference


def unpack(packed: Any, find: Callable[[list[Any]], Any]) -> Any:
    """The value.

    Args:
        find: what a reference stands for.

    Raises:
        ServerFailed: it is nothing that `pack` writes.
    """
    try:
        return _unpack(packed, find, 0)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ServerFailed(f"a value that cannot be read: {type(error).__name__}") from None


def _unpack(packed: Any, find: Callable[[list[Any]], Any], depth: int) -> Any:
    if type(packed) in _PLAIN:
        return packed
    if type(packed) is not list or depth > DEPTH_LIMIT:
        raise TypeError
    tag, *rest = packed
    if tag in ("list", "tuple"):
        items = [_unpack(item, find, depth + 1) for item in rest]
        return items if tag == "list" else tuple(items)
    if tag == "dict":
        return {_unpack(key, find, depth + 1): _unpack(item, find, depth + 1) for key, item in rest}
    if tag == "bytes":
        return base64.b64decode(rest[0])
    if tag == "path":
        return Path(rest[0])
    if tag == "enum":
        return checked_class(rest[0], rest[1], Enum)(rest[2])
    if tag == "record":
        kind = checked_class(rest[0], rest[1])
        if _fields(kind) is None:
            raise TypeError
        return kind(*(_unpack(part, find, depth + 1) for part in rest[2:]))
    return find(packed)


def _fields(kind: type) -> list[str] | None:
    """Of a dataclass or a named tuple; None of all others."""
    if dataclasses.is_dataclass(kind):
        return [one.name for one in dataclasses.fields(kind)]
    return list(getattr(kind, "_fields", ())) if issubclass(kind, tuple) else None


def checked_class(module: str, qualname: str, base: type = object) -> type:
    """A class of this package, by name.

    Raises:
        TypeError, AttributeError, ImportError: it has none of that name.
    """
    if type(module) is not str or not module.startswith(_PACKAGE):
        raise TypeError
    kind = getattr(importlib.import_module(module), qualname)
    if not (isinstance(kind, type) and issubclass(kind, base) and kind.__module__ == module):
        raise TypeError
    return kind


def send(channel: socket.socket, message: list[Any]) -> None:
    """Send the one message of this side.

    Raises:
        OSError: the other side is gone.
        TypeError: it is too long.
    """
    data = json.dumps(message).encode()
    if len(data) > LIMIT_BYTES:
        raise TypeError(f"{len(data)} bytes cannot be given to a server at once; {LIMIT_BYTES} can")
    channel.sendall(data + b"\n")


def receive(channel: socket.socket) -> list[Any]:
    """The one message of the other side.

    Raises:
        ServerFailed: it is none, or too long, or the other side is gone.
    """
    data = bytearray()
    while not data.endswith(b"\n"):
        try:
            part = channel.recv(1 << 16)
        except TimeoutError:
            raise ServerFailed("the process that keeps the servers was not told all in time") from None
        except ConnectionError:
            part = b""
        data += part
        if not part or len(data) > LIMIT_BYTES + 1:
            raise ServerFailed("the process that keeps the servers has ended")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, list):
        raise ServerFailed("a message that is none")
    return message
