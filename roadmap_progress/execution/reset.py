"""For checks that must run beside the answers: a fork of their process in which what they patched is put back.

A mitigation, not a wall: the check's text is in a process that the answers had before. Put back are built-ins,
functions and classes of the modules that were there before the answers, hooks of the interpreter and of IPython,
signal handlers. The answers' own objects, most classes' attributes and their process's other threads are what they
are. Cells that must fail or print go with the check (`Canaries`): a patch that makes everything pass
gives itself away.
"""

from __future__ import annotations

import ast
import builtins
import gc
import secrets
import signal
import sys
import threading
import types
import unittest.case
from typing import TYPE_CHECKING, Any

from roadmap_progress.execution.names import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roadmap_progress.execution.shell import Output, Shell

_CALLABLE = (types.FunctionType, types.BuiltinFunctionType, type)
_HOOKS = ("excepthook", "unraisablehook", "breakpointhook")


class _Before:
    """What was there before any answer ran."""

    def __init__(self, shell: Shell) -> None:
        self.builtins = dict(vars(builtins))
        self.modules = {
            # By its real type: a lazy object (Django's settings) does its work when it is asked for `__class__`.
            module: {name: value for name, value in vars(module).items() if issubclass(type(value), _CALLABLE)}
            for module in list(sys.modules.values())
            if type(module) is types.ModuleType and module.__name__ not in ("__main__", "builtins")
        }
        self.code = {
            value: (value.__code__, value.__defaults__, value.__kwdefaults__)
            for names in self.modules.values()
            for value in names.values()
            if isinstance(value, types.FunctionType)
        }
        shells = [kind for kind in type(shell).__mro__ if kind is not object]
        self.classes = {kind: dict(vars(kind)) for kind in (*shells, unittest.case.TestCase)}
        self.own = set(vars(shell))
        manager = shell.input_transformer_manager
        self.lists = [
            (one, list(one))
            for one in (
                shell.ast_transformers,
                shell.input_transformers_post,
                manager.cleanup_transforms,
                manager.line_transforms,
                manager.token_transformers,
                *shell.events.callbacks.values(),
            )
        ]


_before: _Before | None = None


def remember(shell: Shell) -> None:
    """Note what is there now; for the zygote, when all is imported."""
    global _before  # noqa: PLW0603 - a forked child finds here what its zygote noted
    _before = _Before(shell)


def restore(shell: Shell) -> None:
    """Put back what was there, in a fork of the answers' process."""
    if _before is None:
        raise RuntimeError("remember() comes first")
    _hooks()
    _modules(_before)
    _shell(shell, _before)


def _hooks() -> None:
    sys.settrace(None)
    sys.setprofile(None)
    threading.settrace(None)
    gc.callbacks.clear()
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for hook in _HOOKS:
        setattr(sys, hook, getattr(sys, f"__{hook}__"))


def _modules(before: _Before) -> None:
    now = vars(builtins)
    for name in [name for name in now if name not in before.builtins]:
        del now[name]
    now.update(before.builtins)
    for function, (code, defaults, named) in before.code.items():
        if function.__code__ is not code:
            function.__code__ = code
        if function.__defaults__ is not defaults or function.__kwdefaults__ is not named:
            function.__defaults__, function.__kwdefaults__ = defaults, named
    for module, names in before.modules.items():
        there = vars(module)
        there.update({name: value for name, value in names.items() if there.get(name) is not value})


def _shell(shell: Shell, before: _Before) -> None:
    for kind, attributes in before.classes.items():
        for name, value in attributes.items():
            if vars(kind).get(name) is not value and name not in ("__dict__", "__weakref__"):
                setattr(kind, name, value)
    for name in [name for name in vars(shell) if name not in before.own and hasattr(type(shell), name)]:
        delattr(shell, name)
    for one, items in before.lists:
        one[:] = items
    shell.set_custom_exc((), None)  # type: ignore[no-untyped-call]  # IPython's


def definitions(sources: Iterable[str]) -> str:
    """The functions and imports at the top of locked cells: run again, they are the locked cells' own."""
    kept: list[ast.stmt] = [
        node
        for source in sources
        for node in parsed(source).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Import, ast.ImportFrom))
    ]
    return ast.unparse(ast.Module(kept, []))


class Canaries:
    """Cells that have to fail, or to print, around the one that counts.

    Attributes:
        sources: the cells to run, in order; the check is among them.
    """

    def __init__(self, check: str) -> None:
        one, other = secrets.randbelow(1000), secrets.randbelow(1000)
        self._words = [secrets.token_hex(8) for _ in range(3)]
        cells = [
            f"assert {one} + {other} == {one + other + 1}, {self._words[0]!r}",
            f"if sorted([{one}, -1])[0] == -1 and type({one}) is int:\n    raise ValueError({self._words[1]!r})",
            f"print(len({self._words[2]!r}) == 16 and {self._words[2]!r})",
            check,
        ]
        self._order = secrets.SystemRandom().sample(range(4), 4)
        self.sources = [cells[number] for number in self._order]

    def outcome(self, runs: list[list[Output]]) -> list[Output] | None:
        """The check's outputs; None if a canary did not do what it had to."""
        if len(runs) != len(self._order):
            return None
        came = dict(zip(self._order, runs, strict=True))
        for number, kind in ((0, "AssertionError"), (1, "ValueError")):
            if [(one.get("ename"), one.get("evalue")) for one in came[number]] != [(kind, self._words[number])]:
                return None
        printed: Any = [(one.get("name"), one.get("text")) for one in came[2]]
        return came[3] if printed == [("stdout", f"{self._words[2]}\n")] else None
