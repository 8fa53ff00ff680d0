"""The process of the answers: runs the submission's cells, and what the checks ask of its objects.

Nothing here is trusted by anybody: the submission's code may change all of it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

from roadmap_progress.execution import fixtures, proxies, reset, values, wire
from roadmap_progress.execution.classes import class_named
from roadmap_progress.execution.operations import AWAITED, finish
from roadmap_progress.execution.peer import OtherEnded, Peer
from roadmap_progress.execution.shell import Cells, Outputs

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from roadmap_progress.execution.shell import Output

_CONTAINERS = (list, dict, set, bytearray)
_NOTHING: dict[str, Any] = {"value": ["one", "None"]}


def serve(channels: dict[str, socket.socket]) -> None:
    """Take cells from "control", requests of the checks' process from "checks", until one closes."""
    fixtures.attach(channels)
    _Answers(channels["control"], channels["checks"]).run()


class _Answers:
    def __init__(self, control: socket.socket, checks: socket.socket) -> None:
        self._control = control
        self._cells = Cells()
        self._reach = proxies.Reach(
            guarded=False, own_class=lambda name: class_named(self._cells.shell.user_ns, name)
        )
        self._printed = threading.Lock()
        self._reach.peer = self._peer = Peer(checks, self._handle)

    def run(self) -> None:
        wire.send(self._control, {"ready": True})
        while True:
            message = wire.receive(self._control)
            if "run" in message:
                outputs, count = self._cells.run(message["run"], message["timeout_s"])
                wire.send(self._control, {"outputs": outputs, "count": count})
            elif "fork" in message:
                wire.send(self._control, {"runs": self._in_a_fork(message), "count": None})
            else:  # the checks' turn: until they give it back
                self._cells.shell.outputs = Outputs()
                wire.send(self._control, {"done": True})
                try:
                    self._peer.serve_until("turn over")
                except OtherEnded:
                    return

    def _in_a_fork(self, message: dict[str, Any]) -> list[list[Output]] | None:
        """What cells put out in a fork of this process in which patches are undone; None if that ended."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            child = os.fork()
            if child == 0:
                try:
                    self._control.close()
                    reset.restore(self._cells.shell)
                    cells = Cells()
                    cells.run(message["definitions"], message["timeout_s"])
                    runs = [cells.run(source, message["timeout_s"])[0] for source in message["fork"]]
                    wire.send(theirs, {"runs": runs})
                finally:
                    os._exit(0)
            theirs.close()
            try:
                return wire.receive(ours)["runs"]  # type: ignore[no-any-return]  # judged by who asked
            except (EOFError, OSError):
                return None
            finally:
                os.waitpid(child, 0)

    def _handle(self, message: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any]
        try:
            reply = self._perform(message)
        except BaseException as error:  # noqa: BLE001 - whatever a submission raises is the reply
            try:
                reply = {"raised": self._reach.give(error)}
            except Exception as inner:  # noqa: BLE001 - an error that cannot be told
                reply = {"raised": self._reach.give(RuntimeError(f"an error that cannot be told: {inner!r}"))}
        with self._printed:
            self._cells.collect()
            outputs, self._cells.shell.outputs = self._cells.shell.outputs, Outputs()
        printed = [
            [output["name"], output["text"]] for output in outputs.items if output["output_type"] == "stream"
        ]
        return {**reply, "printed": printed}

    def _perform(self, message: dict[str, Any]) -> dict[str, Any]:
        reach, names = self._reach, self._cells.shell.user_ns
        if message["do"] == "names":
            return {"names": [name for name in names if name not in self._cells.shell.user_ns_hidden]}
        if message["do"] == "fetch":
            return {"values": {name: values.encode(names[name], reach) for name in message["wanted"]}}
        operation, arguments, named = reach.read(message)
        if operation == "bind":
            names[arguments[0]] = arguments[1]
            return _NOTHING
        if operation == "unbind":
            names.pop(arguments[0], None)
            return _NOTHING
        if operation in AWAITED:
            result = self._finish(finish(operation, *arguments))
        else:
            result = reach.perform(operation, arguments, named)
        return self._told(result, arguments, message["arguments"])

    def _told(self, result: Any, arguments: list[Any], sent: list[values.Encoded]) -> dict[str, Any]:
        """The reply: the result, or which argument it is, and what became of arguments that can change."""
        changed = []
        for place, argument in enumerate(arguments):
            if isinstance(argument, _CONTAINERS) and (now := values.encode(argument, self._reach)) != sent[place]:
                changed.append([place, now])
        for place, argument in enumerate(arguments):
            if argument is result and isinstance(argument, _CONTAINERS):
                return {"argument": place, "changed": changed}
        return {"value": values.encode(result, self._reach), "changed": changed}

    def _finish(self, work: Coroutine[Any, Any, Any]) -> Any:
        if threading.current_thread() is threading.main_thread():
            return self._cells.loop.run_until_complete(work)
        return asyncio.run(work)
