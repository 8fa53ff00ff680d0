"""How a value crosses between the process of the answers and that of the checks.

Plain values cross as themselves, by exact type: a subclass of `int` that claims to equal everything does not. All
else crosses as a reference to an object that stays where it is (`references` makes and finds those). Nothing that
is read here is executed, and what is malformed is a `ProtocolError`.
"""

from __future__ import annotations

import base64
import builtins
import collections
import datetime as dt
import decimal
import fractions
import ipaddress
import pathlib
import sys
import types
import uuid
from typing import TYPE_CHECKING, Any, Protocol

from roadmap_progress.execution.wire import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH_LIMIT = 100
_NUMERIC = "biufc"

Encoded = list[Any]


class References(Protocol):
    """What stays where it is."""

    def give(self, value: Any) -> Encoded:
        """A reference to a value of this process."""

    def take(self, encoded: Encoded) -> Any:
        """What a reference of the other process, or one's own coming back, stands for."""


_BY_TEXT: dict[type, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    decimal.Decimal: ("Decimal", str, decimal.Decimal),
    fractions.Fraction: ("Fraction", str, fractions.Fraction),
    dt.date: ("date", dt.date.isoformat, dt.date.fromisoformat),
    uuid.UUID: ("UUID", str, uuid.UUID),
    pathlib.PosixPath: ("Path", str, pathlib.PosixPath),
    pathlib.PurePosixPath: ("PurePath", str, pathlib.PurePosixPath),
    ipaddress.IPv4Address: ("IPv4", str, ipaddress.IPv4Address),
    ipaddress.IPv6Address: ("IPv6", str, ipaddress.IPv6Address),
}
_FROM_TEXT = {tag: make for tag, _, make in _BY_TEXT.values()}
_SEQUENCES: dict[type, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset"}
_FROM_SEQUENCE: dict[str, Callable[[Any], Any]] = {tag: kind for kind, tag in _SEQUENCES.items()}
_MAPPINGS: dict[type, str] = {dict: "dict", collections.OrderedDict: "OrderedDict", collections.Counter: "Counter"}
_FROM_MAPPING: dict[str, Callable[[Any], Any]] = {tag: kind for kind, tag in _MAPPINGS.items()}
_COMPUTING = frozenset(
    [
        "abs",
        "all",
        "any",
        "ascii",
        "bin",
        "chr",
        "divmod",
        "hex",
        "len",
        "max",
        "min",
        "oct",
        "ord",
        "pow",
        "repr",
        "round",
        "sorted",
        "sum",
    ]
)
_SINGLETONS = {"None": None, "Ellipsis": Ellipsis, "NotImplemented": NotImplemented}


def encode(value: Any, references: References, depth: int = 0) -> Encoded:  # noqa: C901 - a table of types
    """The value as JSON can hold it.

    Raises:
        RecursionError: lists in lists in lists, more than `DEPTH_LIMIT` deep, or one that holds itself.
    """
    kind = type(value)
    if depth > DEPTH_LIMIT:
        raise RecursionError(f"a value that is more than {DEPTH_LIMIT} deep, or holds itself")
    if value is None or value is Ellipsis or value is NotImplemented:
        return ["one", repr(value)]
    if kind is bool or kind is str:
        return [kind.__name__, value]
    if kind is int:
        return ["int", hex(value)]
    if kind is float:
        return ["float", value.hex()]
    if kind is complex:
        return ["complex", value.real.hex(), value.imag.hex()]
    if kind is bytes or kind is bytearray:
        return [kind.__name__, base64.b64encode(value).decode()]
    if kind in _SEQUENCES:
        return [_SEQUENCES[kind], [encode(item, references, depth + 1) for item in value]]
    if kind in _MAPPINGS:
        pairs = [
            [encode(key, references, depth + 1), encode(item, references, depth + 1)]
            for key, item in value.items()
        ]
        return [_MAPPINGS[kind], pairs]
    if kind is collections.deque:
        return ["deque", [encode(item, references, depth + 1) for item in value], value.maxlen]
    if kind is range:
        return ["range", value.start, value.stop, value.step]
    if kind is slice:
        return ["slice", *(encode(part, references, depth + 1) for part in (value.start, value.stop, value.step))]
    if kind in _BY_TEXT:
        tag, write, _ = _BY_TEXT[kind]
        return ["text", tag, write(value)]
    return (
        _encode_time(value, kind) or _encode_array(value, kind, references) or _encode_builtin(value, references)
    )


def _encode_time(value: Any, kind: type) -> Encoded | None:
    if kind is dt.timedelta:
        return ["timedelta", value.days, value.seconds, value.microseconds]
    if kind in (dt.datetime, dt.time):
        zone = value.tzinfo
        name = getattr(zone, "key", None)
        fixed = zone is None or type(zone) is dt.timezone
        if fixed or (type(zone).__module__ == "zoneinfo" and isinstance(name, str)):
            return ["moment", kind.__name__, value.isoformat(), None if fixed else name, value.fold]
    if kind is dt.timezone and value.tzname(None) == str(dt.timezone(value.utcoffset(None))):
        return ["timezone", value.utcoffset(None).total_seconds()]
    return None


def _encode_array(value: Any, kind: type, references: References) -> Encoded | None:
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if kind is numpy.ndarray and value.dtype.kind in _NUMERIC:
            data = base64.b64encode(numpy.ascontiguousarray(value).tobytes()).decode()
            return ["array", value.dtype.str, list(value.shape), data]
        if isinstance(value, numpy.generic) and kind.__module__ == "numpy" and value.dtype.kind in _NUMERIC:
            return ["scalar", value.dtype.str, base64.b64encode(value.tobytes()).decode()]
    pandas = sys.modules.get("pandas")
    if pandas is not None and hasattr(pandas, "DataFrame"):
        if kind is pandas.DataFrame:
            columns = [[encode(name, references, 1), _series(value.iloc[:, at], references)]
                       for at, name in enumerate(value.columns)]  # fmt: skip
            return ["frame", columns, encode(list(value.index), references, 1)]
        if kind is pandas.Series:
            index = encode(list(value.index), references, 1)
            return ["series", _series(value, references), index, encode(value.name, references, 1)]
    return None


def _series(series: Any, references: References) -> Encoded:
    return [str(series.dtype), encode(series.tolist(), references, 1)]


def _encode_builtin(value: Any, references: References) -> Encoded:
    if type(value) is types.ModuleType:
        return ["module", value.__name__]
    if isinstance(value, (type, types.BuiltinFunctionType)) and _builtin(value.__name__) is value:
        return ["builtin", value.__name__]
    return references.give(value)


def _builtin(name: str) -> Any:
    """A built-in type, or a function that only computes; not `eval`, `open` or `globals`."""
    found = vars(builtins).get(name)
    return found if isinstance(found, type) or name in _COMPUTING else None


def decode(encoded: Any, references: References) -> Any:
    """The value, or a stand-in for it.

    Raises:
        ProtocolError: it is not what `encode` writes.
    """
    try:
        return _decode(encoded, references, 0)
    except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ProtocolError(f"a value that cannot be read: {type(error).__name__}") from None


def _decode(encoded: Any, references: References, depth: int) -> Any:  # noqa: C901 - a table of tags
    if not isinstance(encoded, list) or not encoded or depth > DEPTH_LIMIT + 1:
        raise ValueError
    tag, *rest = encoded

    def inner(part: Any) -> Any:
        return _decode(part, references, depth + 1)

    if tag == "one":
        return _SINGLETONS[rest[0]]
    if tag in ("bool", "str"):
        return _exact(rest[0], bool if tag == "bool" else str)
    if tag == "int":
        return int(_exact(rest[0], str), 16)
    if tag == "float":
        return float.fromhex(rest[0])
    if tag == "complex":
        return complex(float.fromhex(rest[0]), float.fromhex(rest[1]))
    if tag in ("bytes", "bytearray"):
        data = base64.b64decode(rest[0])
        return data if tag == "bytes" else bytearray(data)
    if tag in _FROM_SEQUENCE:
        return _FROM_SEQUENCE[tag](inner(item) for item in _exact(rest[0], list))
    if tag in _FROM_MAPPING:
        return _FROM_MAPPING[tag]({inner(key): inner(item) for key, item in rest[0]})
    if tag == "deque":
        return collections.deque((inner(item) for item in rest[0]), rest[1])
    if tag == "range":
        return range(*(_exact(part, int) for part in rest))
    if tag == "slice":
        return slice(*map(inner, rest))
    if tag == "text":
        return _FROM_TEXT[rest[0]](_exact(rest[1], str))
    if tag in ("timedelta", "moment", "timezone"):
        return _decode_time(tag, rest)
    if tag in ("array", "scalar", "frame", "series"):
        return _decode_array(tag, rest, inner)
    if tag == "builtin":
        if (found := _builtin(_exact(rest[0], str))) is None:
            raise ValueError
        return found
    return references.take(encoded)


def _decode_time(tag: str, rest: list[Any]) -> Any:
    if tag == "timedelta":
        days, seconds, microseconds = (_exact(part, int) for part in rest)
        return dt.timedelta(days, seconds, microseconds)
    if tag == "timezone":
        return dt.timezone(dt.timedelta(seconds=float(rest[0])))
    kind, text, zone, fold = rest
    kinds: dict[str, Any] = {"datetime": dt.datetime, "time": dt.time}
    moment = kinds[kind].fromisoformat(text)
    if zone is not None:
        import zoneinfo

        moment = moment.replace(tzinfo=zoneinfo.ZoneInfo(_exact(zone, str)))
    return moment.replace(fold=1) if fold == 1 else moment


def _decode_array(tag: str, rest: list[Any], inner: Callable[[Any], Any]) -> Any:
    import numpy as np

    if tag in ("array", "scalar"):
        kind = np.dtype(_exact(rest[0], str))
        if kind.kind not in _NUMERIC:
            raise ValueError
        flat = np.frombuffer(base64.b64decode(rest[-1]), dtype=kind)
        return flat[0] if tag == "scalar" else flat.reshape(rest[1]).copy()
    import pandas as pd

    def series(part: list[Any], index: Any, name: Any) -> Any:
        made = pd.Series(inner(part[1]), index=index, name=name, dtype=object)
        return made.astype(_exact(part[0], str)) if part[0] != "object" else made

    if tag == "series":
        return series(rest[0], inner(rest[1]), inner(rest[2]))
    index = inner(rest[1])
    names = [inner(name) for name, _ in rest[0]]
    columns = [series(part, index, None) for _, part in rest[0]]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=index)
    frame.columns = names
    return frame


def _exact(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value
