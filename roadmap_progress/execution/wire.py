"""Messages between the processes of a graded notebook: JSON with its length before it, on a Unix socket.

No pickle: what comes from a submission's process is read by processes that must not be turned by it.
"""

from __future__ import annotations

import json
import struct
import time
from typing import TYPE_CHECKING, Any

from roadmap_progress.errors import ExecutionError

if TYPE_CHECKING:
    import socket

LIMIT_BYTES = 32 << 20
_LENGTH = struct.Struct("<I")


class ProtocolError(ExecutionError):
    """A message that no honest process sends: too long, no JSON, or not a JSON object."""


def send(channel: socket.socket, message: dict[str, Any]) -> None:
    """Send one message whole.

    Raises:
        OSError: the other side is gone.
    """
    data = json.dumps(message).encode()
    channel.sendall(_LENGTH.pack(len(data)) + data)


def receive(
    channel: socket.socket, *, limit_bytes: int = LIMIT_BYTES, timeout_s: float | None = None
) -> dict[str, Any]:
    """The next message.

    Args:
        timeout_s: limit for the whole message, however slowly it drips; None waits for ever.

    Raises:
        EOFError: the other side closed the channel, or died.
        TimeoutError: the message was not there in time.
        ProtocolError: the message is longer than `limit_bytes`, or is no JSON object.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size, deadline))
    if length > limit_bytes:
        raise ProtocolError(f"a message of {length} bytes; {limit_bytes} are allowed")
    try:
        message = json.loads(_exactly(channel, length, deadline))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message that is no JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError("a message that is no JSON object")
    return message


def _exactly(channel: socket.socket, length: int, deadline: float | None) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        if deadline is not None:
            channel.settimeout(max(deadline - time.monotonic(), 0.001))
        part = channel.recv(min(length - len(parts), 1 << 20))
        if not part:
            raise EOFError("the other process is gone")
        parts += part
    return bytes(parts)
