"""The process of the checks: runs locked cells and checks, and reaches the answers through stand-ins only.

A name that a check reads is looked up in this order: what the released answer cells bind (that is what is graded)
comes from the answers' process; what locked cells and earlier checks made here stays; the rest comes from the
answers.
A helper of a locked cell that has to run beside the answers (it measures their memory, say) carries the mark of
`roadmap_progress.beside_answers`.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import concurrent.futures
import sys
import types
from typing import TYPE_CHECKING, Any

from roadmap_progress import marks
from roadmap_progress.execution import fixtures, probe, proxies, values, wire
from roadmap_progress.execution.classes import class_named
from roadmap_progress.execution.names import read_names
from roadmap_progress.execution.operations import AWAITED, finish
from roadmap_progress.execution.peer import OtherEnded, Peer
from roadmap_progress.execution.shell import Cells, CellTimeout

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine

    from roadmap_progress.execution.shell import Output

_KNOWN_AS = {"numpy": "np", "pandas": "pd", "matplotlib.pyplot": "plt", "datetime": "dt", "scipy": "sp"}
_UNBIND, _BIND = "_roadmap_unbind", "_roadmap_bind"


def serve(channels: dict[str, socket.socket]) -> None:
    """Take cells from "control"; "answers" leads to the answers' process, "probe" to that of their helpers."""
    fixtures.attach(channels)
    checks = _Checks(channels["control"], channels["answers"])
    if "probe" in channels:
        way = probe.Way(channels["probe"], checks.show, lambda: checks.timeout_s)
        marks.grading[probe.MARK] = way.mark
    checks.run()


class _Checks:
    def __init__(self, control: socket.socket, answers: socket.socket) -> None:
        self._control = control
        self._cells = Cells()
        self.timeout_s = 30.0  # of the cell that runs
        self._graded: set[str] = set()
        self._reach = proxies.Reach(guarded=True, own_class=self._own_class)
        self._peer = Peer(answers, self._handle)
        self._fetched: set[str] = set()
        self._beside: set[str] = set()
        shell = self._cells.shell
        shell.user_ns[_UNBIND] = lambda name: self._reach.ask("unbind", name)
        shell.user_ns[_BIND] = self._bind
        shell.user_ns_hidden.update({_UNBIND: None, _BIND: None})
        shell.ast_transformers.append(_Mirror(self._fetched))

    def run(self) -> None:
        wire.send(self._control, {"ready": True})
        while True:
            message = wire.receive(self._control)
            self.timeout_s = message["timeout_s"]
            if "check" in message:
                self._reach.operators_allowed = message["operators"]
                self._graded = set(message["graded"])
                self._reach.peer = self._peer  # the answers listen; for a locked cell they do not
                outputs, count = self._check(message)
                self._reach.peer = None
                wire.send(self._control, {"outputs": outputs, "count": count})
            else:
                outputs, count = self._cells.run(message["run"], message["timeout_s"])
                wire.send(self._control, {"outputs": outputs, "count": count})

    def _check(self, message: dict[str, Any]) -> tuple[list[Output], int]:
        """Run a check, and give the turn back to the answers; the engine ends them when it took too long."""
        count = self._cells.shell.execution_count
        try:
            try:
                self._look_up(message["check"], self._graded, rebound=message["rebound"])
                outputs, count = self._cells.run(message["check"], message["timeout_s"])
            except wire.ProtocolError as error:
                outputs = [_error(error)]
            if not any(output.get("ename") == "CellTimeout" for output in outputs):
                self._peer.call({"do": "turn over"})
        except (OtherEnded, wire.ProtocolError) as error:
            outputs = [_error(error)]
        return outputs, count

    def show(self, stream: str, text: str) -> None:
        """Add what was printed elsewhere to the cell's outputs."""
        self._cells.shell.outputs.stream(stream, text)

    def _look_up(self, source: str, graded: set[str], *, rebound: list[str]) -> None:
        """Bring the names that the check reads up to date."""
        names = self._cells.shell.user_ns
        read = {
            name for name in read_names(self._cells.shell.transform_cell(source)) if not hasattr(builtins, name)
        }
        # all that is graded, and all marked helpers: other helpers of the locked cells may read them, too
        self._beside |= {name for name, own in names.items() if _runs_beside_answers(own)}
        wanted = graded | self._beside | {name for name in read if self._theirs(name, graded, rebound)}
        listed = self._peer.call({"do": "names"}).get("names")
        there = (
            wanted.intersection(name for name in listed if type(name) is str) if isinstance(listed, list) else ()
        )
        reply = self._peer.call({"do": "fetch", "wanted": sorted(there)})
        found = reply.get("values")
        if not isinstance(found, dict):
            self._reach.answer_of(reply)  # an error, most likely
            raise wire.ProtocolError("names without values")
        # in the order in which they were sent: a class is described where it first occurs
        taken = {name: self._value(name, encoded) for name, encoded in found.items()}
        for name in wanted:
            if (value := taken.get(name)) is not None:
                names[name] = value[0]
                self._fetched.add(name)
            elif name in self._fetched:
                names.pop(name, None)
                self._fetched.discard(name)

    def _value(self, name: str, encoded: Any) -> tuple[Any] | None:
        """The value of a name of the answers; None for a module under another name than its own.

        `np` must not be a module that agrees with everything.
        """
        if not isinstance(encoded, list) or encoded[:1] != ["module"]:
            return (values.decode(encoded, self._reach),)
        module = encoded[1] if len(encoded) > 1 and type(encoded[1]) is str else ""
        known = (module.rpartition(".")[2], module.partition(".")[0], _KNOWN_AS.get(module))
        return (self._reach.module(module),) if name in known and module in sys.modules else None

    def _own_class(self, qualname: str) -> type | None:
        if qualname.partition(".")[0] in self._graded:
            return None
        return class_named(self._cells.shell.user_ns, qualname)

    def _theirs(self, name: str, graded: set[str], rebound: list[str]) -> bool:
        names = self._cells.shell.user_ns
        if name in graded or name in self._fetched or name not in names:
            return True
        return name in rebound and not isinstance(names[name], (types.FunctionType, types.ModuleType, type))

    def _handle(self, message: dict[str, Any]) -> dict[str, Any]:
        """What the answers ask of objects that a check gave them."""
        try:
            operation, arguments, named = self._reach.read(message)
            if operation in AWAITED:
                result = _finished(finish(operation, *arguments))
            else:
                result = self._reach.perform(operation, arguments, named)
            return {"value": values.encode(result, self._reach)}
        except (OtherEnded, CellTimeout):
            raise
        except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt, too, belongs to who asked
            try:
                return {"raised": self._reach.give(error)}
            except Exception:  # noqa: BLE001 - an error that cannot be told
                return {"raised": self._reach.give(RuntimeError(type(error).__name__))}

    def _bind(self, name: str) -> None:
        """Tell the answers' process of a name that the check bound anew, if the value is one of its own."""
        value = self._cells.shell.user_ns[name]
        if proxies.is_stand_in(value):
            self._reach.ask("bind", name, value)


class _Mirror(ast.NodeTransformer):
    """`del f` and `f = …` at the top of a check, for a name of the answers, are done over there as well."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def visit_FunctionDef(self, node: ast.AST) -> ast.AST:
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = visit_FunctionDef  # noqa: N815 - ast's names

    def visit_Delete(self, node: ast.Delete) -> Any:
        return self._with(_UNBIND, node, node.targets)

    def visit_Assign(self, node: ast.Assign) -> Any:
        return self._with(_BIND, node, node.targets)

    def _with(self, helper: str, node: ast.stmt, targets: list[ast.expr]) -> Any:
        calls = []
        for target in targets:
            if isinstance(target, ast.Name) and target.id in self._names:
                call = ast.Call(ast.Name(helper, ast.Load()), [ast.Constant(target.id)], [])
                calls.append(ast.fix_missing_locations(ast.copy_location(ast.Expr(call), node)))
        return [*calls, node] if helper == _UNBIND else [node, *calls]


def _runs_beside_answers(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and getattr(value, "runs_beside_answers", False) is True


def _finished(work: Coroutine[Any, Any, Any]) -> Any:
    """What comes of it, in a thread of its own: the loop of this one is waiting already."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def _error(error: Exception) -> dict[str, Any]:
    words = "the process of your answers ended" if isinstance(error, OtherEnded) else str(error)
    name = "DeadKernelError" if isinstance(error, OtherEnded) else type(error).__name__
    return {"output_type": "error", "ename": name, "evalue": words, "traceback": [f"{name}: {words}"]}
