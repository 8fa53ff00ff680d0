"""What one process may have the other do with an object, by name; and what a description of an object tells."""

from __future__ import annotations

import functools
import inspect
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor",
               "lshift", "rshift")  # fmt: skip
_DUNDER = {"and_": "and", "or_": "or"}
_UNARY = ("neg", "pos", "abs", "invert", "index")
_PLAIN = ("getitem", "setitem", "delitem", "contains")
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len, "iter": iter, "next": next, "bool": bool, "str": str, "repr": repr, "hash": hash, "int": int,
    "float": float, "complex": complex, "bytes": bytes, "format": format, "reversed": reversed, "round": round,
    "dir": dir, "divmod": divmod,
}  # fmt: skip


def describe_signature(function: Any) -> list[list[Any]]:
    """The parameters of a callable: name, kind, default or no default; for `inspect.signature` on the other side.

    Raises:
        ValueError, TypeError: it has no signature.
    """
    signature = inspect.signature(function)
    empty = inspect.Parameter.empty
    rows: list[list[Any]] = [
        [one.name, int(one.kind), *(([one.default]) if one.default is not empty else [])]
        for one in signature.parameters.values()
    ]
    return rows


def _swapped(operation: Callable[[Any, Any], Any], right: Any, left: Any) -> Any:
    return operation(left, right)


OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(operator, name) for name in (*COMPARISONS, *ARITHMETIC, *_UNARY, *_PLAIN)},
    **_FUNCTIONS,
    "signature": describe_signature,
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "call": lambda function, /, *arguments, **named: function(*arguments, **named),
    "enter": lambda manager: type(manager).__enter__(manager),
    "aiter": lambda iterable: type(iterable).__aiter__(iterable),
    "exit": lambda manager, *about: type(manager).__exit__(manager, *about),
    **{f"r{name}": functools.partial(_swapped, getattr(operator, name)) for name in ARITHMETIC},
}
# special method -> operation; those that a class has over there are given to its stand-in
METHODS = {
    **{f"__{name}__": name for name in (*COMPARISONS, *_UNARY, *_PLAIN, *_FUNCTIONS)},
    **{f"__{_DUNDER.get(name, name)}__": name for name in ARITHMETIC},
    **{f"__r{_DUNDER.get(name, name)}__": f"r{name}" for name in ARITHMETIC},
    "__call__": "call",
    "__enter__": "enter",
    "__exit__": "exit",
}
DECIDED_BY_CLASS = {
    "__contains__",
    *(f"__{name}__" for name in COMPARISONS),
    *(method for method, operation in METHODS.items() if operation.removeprefix("r") in ARITHMETIC),
}
ALWAYS = ("__eq__", "__ne__", "__hash__", "__repr__", "__str__", "__bool__", "__format__", "__dir__")
ASYNC = ("__await__", "__aenter__", "__aexit__", "__aiter__", "__anext__")

_ASYNCHRONOUS = {"aenter": "__aenter__", "aexit": "__aexit__", "anext": "__anext__"}
AWAITED = ("await", *_ASYNCHRONOUS)  # operations whose result has to be awaited


async def finish(operation: str, subject: Any, *more: Any) -> Any:
    """What comes of one of the operations `AWAITED`.

    Raises:
        TypeError: the subject cannot be awaited, or is no such manager or iterator.
    """
    if operation != "await":
        subject = getattr(type(subject), _ASYNCHRONOUS[operation])(subject, *more)
    if not inspect.isawaitable(subject):
        raise TypeError(f"a {type(subject).__name__} cannot be awaited")
    return await subject
