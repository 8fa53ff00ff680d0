"""The process of the answers: runs the submission's cells, and what the checks ask of its objects.

Nothing here is trusted by anybody: the submission's code may change all of it.
"""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any

from roadmap_progress.execution import proxies, values, wire
from roadmap_progress.execution.peer import OtherEnded, Peer
from roadmap_progress.execution.shell import Cells, Outputs

if TYPE_CHECKING:
    import socket

_CONTAINERS = (list, dict, set, bytearray)


def serve(channels: list[socket.socket]) -> None:
    """Take cells from the first channel, requests from the second one (the checks' process), until one closes."""
    control, checks = channels
    _Answers(control, checks).run()


class _Answers:
    def __init__(self, control: socket.socket, checks: socket.socket) -> None:
        self._control = control
        self._cells = Cells()
        self._reach = proxies.Reach(
            guarded=False, own_class=lambda name: proxies.class_named(self._cells.shell.user_ns, name)
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
            elif "environment" in message:
                import os

                os.environ.update(message["environment"])
                wire.send(self._control, {"done": True})
            else:  # the checks' turn: until they give it back
                self._cells.shell.outputs = Outputs()
                wire.send(self._control, {"done": True})
                self._serve_checks()

    def _serve_checks(self) -> None:
        try:
            while True:
                message = self._peer._next("")
                if message.get("do") == "turn over":
                    self._peer._send({"reply": {"value": ["one", "None"]}, "to": message.get("from")})
                    return
                self._peer.dispatch(message)
        except OtherEnded:
            raise SystemExit(0) from None

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
        reply["printed"] = [
            [output["name"], output["text"]] for output in outputs.items if output["output_type"] == "stream"
        ]
        return reply

    def _perform(self, message: dict[str, Any]) -> dict[str, Any]:
        operation = message["do"]
        reach, names = self._reach, self._cells.shell.user_ns
        if operation == "names":
            hidden = self._cells.shell.user_ns_hidden
            return {"value": values.encode([name for name in names if name not in hidden], reach)}
        if operation == "fetch":
            found = {name: names[name] for name in message["wanted"] if name in names}
            return {"value": values.encode(found, reach)}
        arguments = [values.decode(argument, reach) for argument in message["arguments"]]
        named = {name: values.decode(value, reach) for name, value in message["named"].items()}
        if operation == "bind":
            names[arguments[0]] = arguments[1]
            return {"value": ["one", "None"]}
        if operation == "unbind":
            names.pop(arguments[0], None)
            return {"value": ["one", "None"]}
        result = self._do(operation, arguments, named)
        changed = []
        for place, argument in enumerate(arguments):
            if isinstance(argument, _CONTAINERS):
                again = values.encode(argument, reach)
                if again != message["arguments"][place]:
                    changed.append([place, again])
        for place, argument in enumerate(arguments):
            if argument is result and isinstance(argument, _CONTAINERS):
                return {"argument": place, "changed": changed}
        return {"value": values.encode(result, reach), "changed": changed}

    def _do(self, operation: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        if operation == "signature":
            return proxies.describe_signature(*arguments)
        if operation in ("await", "aenter", "aexit", "anext"):
            return self._finish(_asynchronous(operation, arguments))
        if operation == "aiter":
            return type(arguments[0]).__aiter__(arguments[0])
        return self._reach.perform(operation, arguments, named)

    def _finish(self, awaitable: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            return self._cells.loop.run_until_complete(_awaited(awaitable))
        import asyncio

        return asyncio.run(_awaited(awaitable))


def _asynchronous(operation: str, arguments: list[Any]) -> Any:
    subject, *rest = arguments
    if operation == "await":
        return subject
    method = {"aenter": "__aenter__", "aexit": "__aexit__", "anext": "__anext__"}[operation]
    return getattr(type(subject), method)(subject, *rest)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable if inspect.isawaitable(awaitable) else awaitable
