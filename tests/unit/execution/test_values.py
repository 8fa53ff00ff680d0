"""What crosses between answers and checks: whole and of its own type, or refused."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import json
import random
import string
import uuid
import zoneinfo
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from roadmap_progress.execution import values
from roadmap_progress.execution.proxies import Reach
from roadmap_progress.execution.wire import ProtocolError


class Nothing:
    """References to nothing."""

    def give(self, value: Any) -> values.Encoded:
        raise TypeError(type(value).__name__)

    def take(self, encoded: values.Encoded) -> Any:
        raise ValueError(encoded[0])


def crossed(value: Any) -> Any:
    """The value as the other process gets it."""
    return values.decode(json.loads(json.dumps(values.encode(value, Nothing()))), Nothing())


PLAIN = [
    None, ..., NotImplemented, True, False, 0, -(10**40), 1.5, float("inf"), -0.0, 2 - 3j, "", "é\0\ud800", b"\xff\0",
    bytearray(b"x"), [1, [2]], (1, "a"), (), {1, 2}, frozenset("ab"), {"a": {1: None}}, {(1, 2): [3]}, range(1, 9, 2),
    slice(1, None, 2), decimal.Decimal("1.10"), fractions.Fraction(1, 3), dt.date(2027, 1, 30), dt.time(1, 2, 3),
    dt.datetime(2027, 1, 30, 1, tzinfo=dt.UTC), dt.datetime(2027, 1, 30), dt.timedelta(days=-1, microseconds=5),
    dt.datetime(2026, 10, 25, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), fold=1),
    dt.timezone(dt.timedelta(hours=2)), uuid.UUID(int=7), Path("/a/b"), collections.Counter("aab"),
    collections.OrderedDict(b=1, a=2), collections.deque([1, 2], maxlen=3), int, ValueError, len,
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=[f"{place}-{type(one).__name__}" for place, one in enumerate(PLAIN)])
def test_a_plain_value_crosses_whole_and_of_its_own_type(value: Any) -> None:
    got = crossed(value)
    assert type(got) is type(value)
    assert got == value
    assert repr(got) == repr(value)


def test_not_a_number_and_arrays_and_frames_cross() -> None:
    assert repr(crossed(float("nan"))) == "nan"
    array = np.arange(6, dtype="int16").reshape(2, 3)
    assert crossed(array).dtype == array.dtype
    assert (crossed(array) == array).all()
    assert type(crossed(np.float32(1.5))) is np.float32
    frame = pd.DataFrame(
        {"title": ["Emma", None], "price": [7.5, float("nan")], "count": [1, 2]}, index=["a", "b"]
    )
    pd.testing.assert_frame_equal(crossed(frame), frame)
    pd.testing.assert_series_equal(crossed(frame["price"]), frame["price"])


class Claims(int):
    """Equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


@pytest.mark.parametrize("value", [Claims(2), [Claims(2)], {"a": Claims(2)}, Claims, object(), lambda: None])
def test_what_is_no_plain_value_crosses_as_a_reference_only(value: Any) -> None:
    with pytest.raises(TypeError):
        crossed(value)


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(RecursionError):
        values.encode(endless, Nothing())


TAGS = [
    "one", "bool", "str", "int", "float", "complex", "bytes", "bytearray", "list", "tuple", "set", "frozenset", "dict",
    "OrderedDict", "Counter", "deque", "range", "slice", "text", "timedelta", "moment", "timezone", "array", "scalar",
    "frame", "series", "builtin", "module", "yours", "class", "object", "error", "singleton", "no such tag",
]  # fmt: skip


def _anything(chance: random.Random, depth: int = 0) -> Any:
    """Some JSON, often near to what is allowed."""
    kind = chance.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.choice([0, 1, -1, 7, 10**30, chance.randrange(99)])
    if kind == 2:
        return chance.choice([0.5, 1e308])
    if kind in (3, 4):
        return "".join(chance.choices(string.printable, k=chance.randrange(6)))
    if kind == 5:
        return chance.choice(
            [*TAGS, "0x1", "builtins", "int", "eval", "exec", "open", "__import__", "os", "sys", "<i4", "O"]
        )
    if kind == 6:
        return {str(_anything(chance, 9)): _anything(chance, depth + 1) for _ in range(chance.randrange(3))}
    return [chance.choice(TAGS), *(_anything(chance, depth + 1) for _ in range(chance.randrange(6)))]


@pytest.mark.parametrize("seed", range(20))
def test_no_message_does_more_than_be_a_value_or_be_refused(seed: int) -> None:
    chance = random.Random(seed)
    reach = Reach(guarded=True, own_class=lambda _: None)
    for _ in range(1500):
        message = _anything(chance)
        try:
            values.decode(message, reach)
        except ProtocolError:
            continue


def test_functions_that_run_text_are_no_values_that_an_answer_can_send() -> None:
    for name in ("eval", "exec", "open", "__import__", "compile", "input", "breakpoint", "globals", "print"):
        with pytest.raises(ProtocolError):
            values.decode(["builtin", name], Nothing())
