"""Whatever the answers' process says is a value, or an error that the side with the checks can stand."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadmap_progress.errors import ServerError
from roadmap_progress.execution import probe, proxies, values, wire
from roadmap_progress.execution.engine import _checked
from roadmap_progress.servers import _link

TAGS = [
    "one", "bool", "str", "int", "float", "complex", "bytes", "bytearray", "list", "tuple", "set",
    "frozenset", "dict", "OrderedDict", "Counter", "deque", "range", "slice", "text", "timedelta", "moment",
    "timezone", "array", "scalar", "frame", "series", "builtin", "module", "class", "object", "error",
    "yours", "singleton", "Decimal", "UUID", "Path", "<f8", "|O", "None", "ValueError", "builtins", "os",
    "system", "datetime", "0x1f", "nan", "AAAA", "server", "manager", "record", "enum", "path",
    "roadmap_progress.servers._found", "Found",
]  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=8)
    | st.sampled_from(TAGS)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.tuples(st.sampled_from(TAGS), inner).map(list)
        | st.tuples(st.sampled_from(TAGS), inner, inner).map(list)
    ),
    max_leaves=12,
)


class Peer:
    """Another side that always says the same."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply

    def call(self, _: dict[str, Any]) -> Any:
        return self.reply


def reach(reply: Any = None) -> proxies.Reach:
    made = proxies.Reach(guarded=True, own_class=lambda _: None)
    made.peer = Peer({"value": ["one", "None"]} if reply is None else reply)  # type: ignore[assignment]
    return made


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_a_value_is_read_or_refused(encoded: Any) -> None:
    with contextlib.suppress(wire.ProtocolError):
        values.decode(encoded, reach())


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("value", "raised", "printed", "changed", "argument", "names"), JSON)
    )
)
def test_a_reply_is_a_value_or_an_error(reply: dict[str, Any]) -> None:
    """What comes of it is no exit: an error of a check, at worst."""
    with contextlib.suppress(Exception):
        reach().answer_of(reply, [[1], {}])


@settings(max_examples=150, deadline=None)
@given(JSON, JSON)
def test_a_stand_in_survives_any_description(about: Any, reply: Any) -> None:
    """Its class, its comparison with a plain value, its text: all come from the other side, and decide nothing."""
    side = reach({"value": reply})
    try:
        thing = values.decode(["object", 0, [1, about, []]], side)
    except wire.ProtocolError:
        return
    assert (thing == 7) is False or type(thing) is int
    with contextlib.suppress(Exception):
        str(thing)
    with contextlib.suppress(Exception):
        bool(thing)


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {"outputs": JSON | st.lists(st.fixed_dictionaries({}, optional={
            "output_type": st.sampled_from(["stream", "error", "display_data", "execute_result"]) | JSON,
            "name": st.sampled_from(["stdout", "stderr"]) | JSON, "text": JSON, "data": JSON, "metadata": JSON,
            "ename": JSON, "evalue": JSON, "traceback": JSON, "execution_count": JSON,
        }), max_size=3)},
        optional={"count": JSON},
    )
)  # fmt: skip
def test_outputs_that_are_let_through_make_a_notebook(message: dict[str, Any]) -> None:
    try:
        done = _checked(message)
    except wire.ProtocolError:
        return
    cell = nbformat.v4.new_code_cell("x", outputs=nbformat.from_dict(done.outputs))
    nbformat.validate(nbformat.v4.new_notebook(cells=[cell]))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2**32 - 1) | st.none())
def test_bytes_are_a_message_or_refused(data: bytes, length: int | None) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack("<I", len(data) if length is None else length) + data)
        theirs.shutdown(socket.SHUT_WR)
        with contextlib.suppress(wire.ProtocolError, EOFError):
            assert type(wire.receive(ours, limit_bytes=1 << 16)) is dict


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({}, optional={"value": JSON, "raised": JSON, "printed": JSON}))
def test_a_probe_returns_a_plain_value_or_raises(reply: dict[str, Any]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        way = probe.Way(ours, lambda *_: None, lambda: 1.0)
        wire.send(theirs, reply)
        with contextlib.suppress(Exception):
            result = way.call("helper", (), {})
            assert values.encode(result, probe._PLAIN)


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_what_the_servers_process_says_is_read_or_refused(packed: Any) -> None:
    def nothing(_: list[Any]) -> Any:
        raise ValueError

    with contextlib.suppress(ServerError):
        _link.unpack(packed, nothing)


PLAIN: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        SCALARS
        | st.binary(max_size=5)
        | st.lists(PLAIN, max_size=3)
        | st.dictionaries(st.text(max_size=5), PLAIN, max_size=3)
        | st.tuples(PLAIN, PLAIN)
    )
)


@settings(deadline=None)
@given(PLAIN)
def test_what_is_plain_reaches_a_server_whole(value: Any) -> None:
    packed = json.loads(json.dumps(_link.pack(value, lambda _: None)))
    assert repr(_link.unpack(packed, lambda _: None)) == repr(value)


def test_what_is_not_plain_does_not_reach_a_server() -> None:
    for value in (len, object(), {1, 2}, [[print]]):
        with pytest.raises(TypeError, match="cannot be given"):
            _link.pack(value, lambda _: None)
