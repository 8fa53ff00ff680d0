"""Stand-ins for what lives in the other process, one class of stand-ins for each class over there.

So `isinstance(book, Book)`, `type(book) is Book`, `Book("…")`, `except ShopError`, `len(cart)`, `with`, `await`
and `inspect.signature` mean what they say. A stand-in has those special methods that its class has over there.

The side that holds the checks is `guarded`: there an operator between a stand-in and a plain value is refused, for
it would hand what is expected to code that must not have it, and let that code decide whether it is equal.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
import weakref
from typing import TYPE_CHECKING, Any

from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution import values
from roadmap_progress.execution.classes import library_class, library_name
from roadmap_progress.execution.operations import (
    ALWAYS,
    ASYNC,
    DECIDED_BY_CLASS,
    METHODS,
    OPERATIONS,
)
from roadmap_progress.execution.wire import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from roadmap_progress.execution.peer import Peer

_NEVER_LENT = (types.FrameType, types.TracebackType, types.CodeType)  # by the side with the checks
_SINGLETONS = {  # compared with `is` by the library that made them
    id(value): (module.__name__, name)
    for module, name in (
        (dataclasses, "MISSING"),
        (dataclasses, "KW_ONLY"),
        (dataclasses, "_FIELD"),
        (dataclasses, "_FIELD_CLASSVAR"),
        (dataclasses, "_FIELD_INITVAR"),
    )
    for value in (getattr(module, name),)
}
_SHOWN = ("__name__", "__qualname__", "__module__", "__doc__", "__dict__", "__code__")  # of a function: for wraps
_PRIVATE_PREFIXES = ("_", "gi_", "cr_", "ag_", "f_", "tb_", "co_")

_REFERENCE = "_roadmap_reference"  # of an object
_CLASS_REFERENCE = "_roadmap_class_reference"  # of its class, under another name: it must not hide the slot


class Refused(TypeError):
    """An operation that the side with the checks does not let the other side decide."""


class _Code:
    """What `inspect.iscoroutinefunction` looks at, and nothing else of a function's code."""

    def __init__(self, code: types.CodeType) -> None:
        self.co_flags = code.co_flags


class Reach:
    """One side's objects that the other side knows, and its stand-ins for the other side's.

    Args:
        peer: set by the owner; None while nobody is there who could do what a stand-in is asked.
        guarded: whether this side must not let the other decide.
        own_class: finds a class that a locked cell made on this side, by qualified name: both sides ran that cell,
            and a class of the other side that it made is taken for ours.
    """

    def __init__(self, *, guarded: bool, own_class: Callable[[str], type | None]) -> None:
        self.guarded, self._own_class = guarded, own_class
        self.operators_allowed = not guarded
        self.peer: Peer | None = None
        self._lent: list[Any] = []
        self._usable: set[int] = set()  # numbers of what was given as a value, not only named in a description
        self._numbers: dict[int, int] = {}
        self._described: set[int] = set()
        self._classes: dict[int, type] = {}
        self._stand_ins: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    # --- what is ours ---------------------------------------------------------------------------------------

    def give(self, value: Any) -> values.Encoded:
        """A reference to `value`, or to the other side's own object that it stands for."""
        if isinstance(value, _StandIn):
            return ["yours", object.__getattribute__(value, _REFERENCE)[1]]
        if isinstance(value, _StandInClass):
            return ["yours", type.__getattribute__(value, _CLASS_REFERENCE)[1]]
        if id(value) in _SINGLETONS:
            return ["singleton", *_SINGLETONS[id(value)]]
        if self.guarded and isinstance(value, _NEVER_LENT):
            raise TypeError(f"a {type(value).__name__} does not cross between answers and checks")
        if isinstance(value, BaseException):
            if (reference := value.__dict__.get(_REFERENCE)) is not None:
                return ["yours", reference[1]]
            return self._error(value)
        self._usable.add(self._lend(value))
        if isinstance(value, type):
            return ["class", self._describe(value)]
        return ["object", self._lend(value), self._describe(type(value))]

    def _lend(self, value: Any) -> int:
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._lent)
            self._lent.append(value)
        return number

    def _describe(self, kind: type) -> values.Encoded:
        """What a stand-in class needs to know; the second time only the number."""
        number = self._lend(kind)
        if number in self._described:
            return [number]
        self._described.add(number)
        library = library_name(kind)
        hashable = getattr(kind, "__hash__", None) is not None
        bases = [] if library else [self._describe(base) for base in kind.__bases__ if base is not object]
        about = {
            "name": kind.__name__,
            "qualname": kind.__qualname__,
            "module": str(kind.__module__),
            "doc": kind.__doc__ if isinstance(kind.__doc__, str) else None,
            "library": library,
            "error": issubclass(kind, BaseException),
            "methods": _special_methods(kind),
            "hashable": hashable,
        }
        return [number, about, bases]

    def _error(self, error: BaseException) -> values.Encoded:
        arguments = [values.encode(argument, self, 1) for argument in error.args]
        try:
            text = str(error)[:20_000]
        except Exception as inner:  # noqa: BLE001 - a __str__ of somebody else's
            text = f"<str() raised {type(inner).__name__}>"
        attributes = [
            [name, values.encode(value, self, 1)]
            for name, value in vars(error).items()
            if isinstance(name, str) and not name.startswith("_")
        ]
        return ["error", self._lend(error), self._describe(type(error)), arguments, text, attributes]

    def owned(self, number: Any) -> Any:
        """What was lent under the number.

        Raises:
            ProtocolError: nothing was.
        """
        if type(number) is not int or not 0 <= number < len(self._lent):
            raise ProtocolError("a reference to nothing")
        return self._lent[number]

    def read(self, message: dict[str, Any]) -> tuple[str, list[Any], dict[str, Any]]:
        """A request of the other side: operation, arguments and named arguments.

        On the guarded side the object that it is about must be one that was given away: no module, no class of a
        library, nothing that can only be named.

        Raises:
            ProtocolError: it is no such request.
        """
        operation, arguments, named = message.get("do"), message.get("arguments"), message.get("named")
        if type(operation) is not str or not isinstance(arguments, list) or not isinstance(named, dict):
            raise ProtocolError("a request that is none")
        if self.guarded:
            target = arguments[0] if arguments else None
            if not isinstance(target, list) or target[:1] != ["yours"] or target[1:2] == []:
                raise ProtocolError("a request about nothing that was given away")
            if type(target[1]) is not int or target[1] not in self._usable:
                raise ProtocolError("a request about nothing that was given away")
        return (
            operation,
            [values.decode(argument, self) for argument in arguments],
            {str(name): values.decode(value, self) for name, value in named.items()},
        )

    def perform(self, operation: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Do what the other side asks of an object here.

        Raises:
            ProtocolError: there is no such operation.
            AttributeError: this side is guarded, and the other reaches for what it must not see.
        """
        if operation not in OPERATIONS:
            raise ProtocolError(f"{operation!r} is no operation")
        if self.guarded and operation in ("getattr", "setattr", "delattr"):
            name = arguments[1] if len(arguments) > 1 else None
            if operation == "getattr" and name in _SHOWN and isinstance(arguments[0], types.FunctionType):
                return _shown(arguments[0], name)
            if isinstance(arguments[0], _Code) and name == "co_flags":
                return arguments[0].co_flags
            if type(name) is not str or name.startswith(_PRIVATE_PREFIXES):
                raise AttributeError(f"{name!r} of an object of the checks is not to be had")
        if self.guarded and operation == "dir":
            raise TypeError("dir() of an object of the checks is not to be had")
        return OPERATIONS[operation](*arguments, **named)

    # --- what is theirs -------------------------------------------------------------------------------------

    def take(self, encoded: values.Encoded) -> Any:
        """A stand-in, or our own object coming back.

        Raises:
            ProtocolError: it is no reference.
        """
        tag = encoded[0]
        if tag == "yours":
            return self.owned(encoded[1])
        if tag == "class":
            return self._class(encoded[1])
        if tag == "module" and not self.guarded:
            return self.module(encoded[1])
        if tag == "object":
            kind = self._class(encoded[2])
            if not isinstance(kind, _StandInClass):  # an object of a library's class
                kind = self._library_stand_in(encoded[2], kind)
            number = _number(encoded[1])
            known = self._stand_ins.get(number)
            if known is None:
                known = self._stand_ins[number] = _make(kind, self, number)
            return known
        if tag == "singleton" and (encoded[1], encoded[2]) in _SINGLETONS.values():
            return getattr(sys.modules[encoded[1]], encoded[2])
        if tag == "error":
            return self._take_error(encoded)
        raise ProtocolError("a value of no known kind")

    def module(self, name: Any) -> types.ModuleType:
        """The module of this name.

        Raises:
            ProtocolError: it is not imported here, or none of a notebook's business.
        """
        module = sys.modules.get(name) if isinstance(name, str) else None
        if module is None or name == "__main__" or name.startswith("roadmap_progress.execution"):
            raise ProtocolError(f"the module {name!r} is not imported here")
        return module

    def _class(self, described: values.Encoded) -> type:
        number = _number(described[0])
        if number in self._classes:
            return self._classes[number]
        _, about, bases = described
        library = about["library"]
        if library is not None:
            real = library_class(*library)
            if real is not None and (issubclass(real, BaseException) or library[0] == "builtins"):
                self._classes[number] = real
                return real
        if about["error"] and (ours := self._ours(about)) is not None and issubclass(ours, BaseException):
            self._classes[number] = ours
            return ours
        self._classes[number] = made = self._stand_in_class(number, about, bases)
        return made

    def _ours(self, about: dict[str, Any]) -> type | None:
        if about["library"] is not None or about["module"] != "__main__":
            return None
        found = self._own_class(str(about["qualname"]))
        return None if isinstance(found, _StandInClass) else found

    def _library_stand_in(self, described: values.Encoded, real: type) -> type:
        number = ~_number(described[0])
        if number not in self._classes:
            about = {
                "name": real.__name__, "qualname": real.__qualname__, "module": real.__module__, "doc": None,
                "library": [real.__module__, real.__qualname__], "error": False, "methods": _special_methods(real),
                "hashable": real.__hash__ is not None,
            }  # fmt: skip
            self._classes[number] = self._stand_in_class(~number, about, [])
        return self._classes[number]

    def _stand_in_class(self, number: int, about: dict[str, Any], bases: list[values.Encoded]) -> type:
        parents = tuple(self._class(base) for base in bases)
        root = _ErrorStandIn if about["error"] else _StandIn
        kept = [parent for parent in parents if isinstance(parent, _StandInClass) or about["error"]]
        if about["error"]:
            kept = [parent for parent in kept if issubclass(parent, BaseException)] or [Exception]
            kept = [root, *kept] if not any(issubclass(parent, root) for parent in kept) else kept
        elif not kept:
            kept = [root]
        body: dict[str, Any] = {"__slots__": (), "__doc__": _Doc(about["doc"]), "__module__": str(about["module"])}
        body["__qualname__"] = str(about["qualname"])
        if not about["error"]:
            for method in {*about["methods"], *ALWAYS}:
                if method in METHODS:
                    body[method] = _method(method, METHODS[method])
                elif method in _ASYNC_METHODS:
                    body[method] = _ASYNC_METHODS[method]
            if not about["hashable"]:
                body["__hash__"] = None
            real = library_class(*about["library"]) if about["library"] else None
            if real is not None:
                # a function's own module, not that of the class "function"
                body["__module__"] = property(lambda self: _reach(self).ask("getattr", self, "__module__"))
            claimed = real or self._ours(about)
            if claimed is not None and claimed is not types.CoroutineType:  # asyncio would step that from outside
                body["__class__"] = property(lambda _: claimed)
        made = _StandInClass(str(about["name"]), tuple(kept), body)
        type.__setattr__(made, _CLASS_REFERENCE, (self, number))
        return made

    def _take_error(self, encoded: values.Encoded) -> BaseException:
        _, number, described, arguments, text, attributes = encoded
        kind = self._class(described)
        if not issubclass(kind, BaseException):
            raise ProtocolError("an error of a class that is none")
        taken = [values.decode(argument, self) for argument in arguments]
        try:
            error = kind.__new__(kind, *taken)
            BaseException.__init__(error, *taken)
            if kind.__module__ == "builtins":
                kind.__init__(error, *taken)
        except Exception:  # noqa: BLE001 - arguments that its constructor does not like
            error = RuntimeError(str(text))
        plain = {str(name): values.decode(value, self) for name, value in attributes}
        vars(error).update(plain)
        if isinstance(kind, _StandInClass):
            vars(error)[_REFERENCE] = (self, _number(number))
            vars(error)["_roadmap_text"] = str(text)
        return error

    def ask(self, operation: str, /, *arguments: Any, **named: Any) -> Any:
        """Have the other side do it with its objects.

        Raises:
            ExecutionError: nobody is there.
            BaseException: what it raised over there.
        """
        if self.peer is None:
            raise ExecutionError(f"{operation!r} of an object of the answers: only a check can ask for that")
        reply = self.peer.call(
            {
                "do": operation,
                "arguments": [values.encode(argument, self) for argument in arguments],
                "named": {name: values.encode(value, self) for name, value in named.items()},
            }
        )
        return self.answer_of(reply, arguments)

    def answer_of(self, reply: dict[str, Any], arguments: tuple[Any, ...] = ()) -> Any:
        """What a reply says: a value, or an error that is raised here.

        Raises:
            ProtocolError: it says nothing that makes sense.
        """
        for name, text in _pairs(reply.get("printed", [])):
            stream = sys.stderr if name == "stderr" else sys.stdout
            stream.write(text)
        for place, changed in reply.get("changed", []):
            if type(place) is int and 0 <= place < len(arguments):
                _change(arguments[place], values.decode(changed, self))
        if "argument" in reply:
            place = reply["argument"]
            if type(place) is not int or not 0 <= place < len(arguments):
                raise ProtocolError("an argument that was not given")
            return arguments[place]
        if "raised" in reply:
            error = self.take(reply["raised"]) if isinstance(reply["raised"], list) else None
            if not isinstance(error, BaseException):
                raise ProtocolError("an error that is none")
            raise error
        if "value" not in reply:
            raise ProtocolError("a reply without a value")
        return values.decode(reply["value"], self)


# --- stand-ins --------------------------------------------------------------------------------------------------


class _StandInClass(type):
    """The class of stand-in classes: what is asked of a class goes to the class over there."""

    def __call__(cls, /, *arguments: Any, **named: Any) -> Any:
        return _reach_of_class(cls).ask("call", cls, *arguments, **named)

    def __getattr__(cls, name: str) -> Any:
        if name in ("__abstractmethods__", _REFERENCE, _CLASS_REFERENCE):
            raise AttributeError(name)
        if name == "__signature__":
            return _signature(_reach_of_class(cls), cls)
        return _reach_of_class(cls).ask("getattr", cls, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        _reach_of_class(cls).ask("setattr", cls, name, value)

    def __iter__(cls) -> Any:
        return _reach_of_class(cls).ask("iter", cls)

    def __len__(cls) -> int:
        return int(_reach_of_class(cls).ask("len", cls))

    def __bool__(cls) -> bool:
        return True

    def __getitem__(cls, key: Any) -> Any:
        return _reach_of_class(cls).ask("getitem", cls, key)

    def __contains__(cls, item: Any) -> bool:
        return _reach_of_class(cls).ask("contains", cls, item) is True


class _Doc:
    """`__doc__` of a stand-in class and of its objects, which may have one of their own (functools.wraps)."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    def __get__(self, stand_in: Any, kind: type) -> Any:
        if stand_in is None or issubclass(kind, BaseException):
            return self._text
        return _reach(stand_in).ask("getattr", stand_in, "__doc__")


class _StandIn(metaclass=_StandInClass):
    """An object of the other process."""

    __slots__ = ("__weakref__", _REFERENCE)

    def __getattr__(self, name: str) -> Any:
        reach = _reach(self)
        if name == "__signature__":
            return _signature(reach, self)
        return reach.ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _reach(self).ask("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        _reach(self).ask("delattr", self, name)


type.__setattr__(_StandIn, "__hash__", None)


class _ErrorStandIn(Exception, metaclass=_StandInClass):
    """An exception of a class that the other process made."""

    def __str__(self) -> str:
        return str(vars(self).get("_roadmap_text", ""))

    def __getattr__(self, name: str) -> Any:
        reference = vars(self).get(_REFERENCE)
        if reference is None or name.startswith("__"):
            raise AttributeError(name)
        return reference[0].ask("getattr", self, name)


def _make(kind: type, reach: Reach, number: int) -> Any:
    made: Any = object.__new__(kind)
    _SET_REFERENCE(made, (reach, number))
    return made


_SET_REFERENCE = vars(_StandIn)[_REFERENCE].__set__


def _reach(stand_in: _StandIn) -> Reach:
    reach: Reach = object.__getattribute__(stand_in, _REFERENCE)[0]
    return reach


def _reach_of_class(cls: type) -> Reach:
    reach: Reach = type.__getattribute__(cls, _CLASS_REFERENCE)[0]
    return reach


def is_stand_in(value: Any) -> bool:
    """Whether it stands for an object, class or error of the other process."""
    if isinstance(value, BaseException):
        return _REFERENCE in vars(value)
    kind = type(value)
    return isinstance(kind, _StandInClass) or (kind is _StandInClass and value not in (_StandIn, _ErrorStandIn))


def _method(name: str, operation: str) -> Callable[..., Any]:
    decided = name in DECIDED_BY_CLASS

    def method(self: Any, /, *arguments: Any, **named: Any) -> Any:
        reach = _reach(self)
        if decided and not reach.operators_allowed and not all(map(is_stand_in, arguments)):
            if name in ("__eq__", "__ne__"):
                return name == "__ne__"
            raise Refused(
                f"{operation!r} between an object of the answers ({type(self).__name__}) and a plain value: "
                "the object would decide the result; compare plain values, or mark the check `operators`"
            )
        if operation == "exit":
            arguments = (*arguments[:2], None)
        result = reach.ask(operation, self, *arguments, **named)
        return _of_kind(operation, result)

    method.__name__ = name
    return method


_RESULTS: dict[str, type] = {
    "len": int, "bool": bool, "str": str, "repr": str, "hash": int, "int": int, "float": float, "contains": bool,
    "format": str, "index": int, "bytes": bytes, "complex": complex,
}  # fmt: skip


def _of_kind(operation: str, result: Any) -> Any:
    wanted = _RESULTS.get(operation)
    if wanted is not None and type(result) is not wanted:
        raise TypeError(f"{operation} gave a {type(result).__name__}; expected {wanted.__name__}")
    return result


def _await(self: Any) -> Any:
    yield from ()  # a generator, as __await__ has to give
    return _reach(self).ask("await", self)


async def _aenter(self: Any) -> Any:
    return _reach(self).ask("aenter", self)


async def _aexit(self: Any, *about: Any) -> Any:
    return _reach(self).ask("aexit", self, *about[:2], None)


def _aiter(self: Any) -> Any:
    return _reach(self).ask("aiter", self)


async def _anext(self: Any) -> Any:
    return _reach(self).ask("anext", self)


_ASYNC_METHODS: dict[str, Callable[..., Any]] = {
    "__await__": _await,
    "__aenter__": _aenter,
    "__aexit__": _aexit,
    "__aiter__": _aiter,
    "__anext__": _anext,
}


def _signature(reach: Reach, stand_in: Any) -> inspect.Signature:
    parameters = []
    for name, kind, *default in reach.ask("signature", stand_in):
        extra = {"default": default[0]} if default else {}
        parameters.append(inspect.Parameter(str(name), inspect._ParameterKind(kind), **extra))
    return inspect.Signature(parameters)


def _special_methods(kind: type) -> list[str]:
    """Those of its special methods that a stand-in can have, but for what every object has."""
    own = {name for base in kind.__mro__ if base is not object for name in vars(base)}
    return [name for name in (*METHODS, *ASYNC) if name in own]


def _shown(function: types.FunctionType, name: str) -> Any:
    if name == "__code__":
        return _Code(function.__code__)
    value = getattr(function, name)
    if name == "__dict__":
        return {key: item for key, item in value.items() if not key.startswith("_")}
    return value if type(value) is str else None


def _number(value: Any) -> int:
    if type(value) is not int:
        raise ProtocolError("a reference without a number")
    return value


def _pairs(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, list):
        raise ProtocolError("a list was expected")
    return [(str(name), str(text)) for name, text in value]


def _change(old: Any, new: Any) -> None:  # noqa: C901 - one case a container
    """Make a container of ours what the other side made of its copy, keeping inner objects where it can."""
    if type(old) is not type(new):
        return
    if isinstance(old, list):
        if len(old) == len(new):
            for place, item in enumerate(new):
                if isinstance(item, (list, dict, set)) and type(item) is type(old[place]):
                    _change(old[place], item)
                else:
                    old[place] = item
        else:
            old[:] = new
    elif isinstance(old, (dict, set)):
        if isinstance(old, dict) and list(old) == list(new):
            for key, item in new.items():
                if isinstance(item, (list, dict, set)) and type(item) is type(old[key]):
                    _change(old[key], item)
                else:
                    old[key] = item
        else:
            old.clear()
            old.update(new)
    elif isinstance(old, bytearray):
        old[:] = new
