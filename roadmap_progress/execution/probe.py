"""Helpers that look at what a learner made run in a process that is thrown away: `roadmap_progress.in_probe`.

A tool that reads a learner's files (git, a linter, a build) can be turned by them. So it runs neither among the
answers, who would tell it what to say, nor among the checks, who have something to lose. A process beside both has
run the locked cells; for each call it forks a child. When that has answered, or its time is up, everything that
the call started is killed. Plain values go in and come out, as data.
"""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from roadmap_progress import marks
from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution import fixtures, values, wire
from roadmap_progress.execution.classes import library_class
from roadmap_progress.execution.shell import Cells, Outputs

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_BYTES = 8 << 20
ENDED_S = 10.0
MARK = "in_probe"


class _Plain:
    """Nothing stays where it is: what is no plain value is refused."""

    def give(self, value: Any) -> values.Encoded:
        raise TypeError(f"a {type(value).__name__} cannot go to or from a probe; plain values can")

    def take(self, _: values.Encoded) -> Any:
        raise ValueError


_PLAIN = _Plain()


class Way:
    """The checks' way to their probe.

    Args:
        channel: connected to it.
        show: is given what the helper printed: "stdout" or "stderr", and the text.
        timeout_s: tells how long a call may take.
    """

    def __init__(
        self, channel: socket.socket, show: Callable[[str, str], None], timeout_s: Callable[[], float]
    ) -> None:
        self._channel, self._show, self._timeout_s = channel, show, timeout_s
        self._turn = threading.Lock()
        self._broken = False

    def mark(self, function: Any) -> Any:
        """A function that has the probe do it.

        Raises:
            TypeError: it is not defined at the top of a cell.
        """
        name = function.__name__
        if function.__qualname__ != name:
            raise TypeError(f"{function.__qualname__}: {MARK} is for functions at the top of a locked cell")

        @functools.wraps(function)
        def there(*arguments: Any, **named: Any) -> Any:
            return self.call(name, arguments, named)

        return there

    def call(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Have the helper of this name called; returns or raises what came of it.

        Raises:
            ExecutionError: the probe ended, or said what no honest one says.
        """
        request = {
            "call": name,
            "arguments": [values.encode(one, _PLAIN) for one in arguments],
            "named": {key: values.encode(one, _PLAIN) for key, one in named.items()},
            "timeout_s": self._timeout_s(),
        }
        with self._turn:
            if self._broken:
                raise ExecutionError("the probe is gone: a call before was cut off")
            self._broken = True  # until it has come to its end
            try:
                wire.send(self._channel, request)
                reply = wire.receive(self._channel, limit_bytes=LIMIT_BYTES + (1 << 20))
            except (EOFError, OSError):
                raise ExecutionError(f"the probe ended in a call of {name}()") from None
            self._broken = False
        return self._result(reply)

    def _result(self, reply: dict[str, Any]) -> Any:
        printed = reply.get("printed")
        for one in printed if isinstance(printed, list) else ():
            if isinstance(one, list) and len(one) == 2 and one[0] in ("stdout", "stderr") and type(one[1]) is str:
                self._show(one[0], one[1])
        if "raised" not in reply:
            return values.decode(reply.get("value"), _PLAIN)
        name, words = (*map(str, reply["raised"]), "", "")[:2]
        kind = library_class("builtins", name)
        error: Exception = ExecutionError(f"{name}: {words}")
        if kind is not None and issubclass(kind, Exception):
            with contextlib.suppress(TypeError):  # one that takes more than words
                error = kind(words)
        raise error


def serve(channels: dict[str, socket.socket]) -> None:
    """Take locked cells from "control" and calls from "checks", until one of them closes."""
    if os.getpid() != 1:
        raise RuntimeError("a probe kills all processes that it sees, and has to be the first of its own")
    fixtures.attach(channels)
    _Probe(channels["control"], channels["checks"]).run()


class _Probe:
    def __init__(self, control: socket.socket, checks: socket.socket) -> None:
        self._control, self._checks = control, checks
        self._cells = Cells()
        self._helpers: dict[str, Any] = {}
        marks.grading[MARK] = self._record

    def _record(self, function: Any) -> Any:
        self._helpers[function.__name__] = function
        return function

    def run(self) -> None:
        wire.send(self._control, {"ready": True})
        selector = selectors.DefaultSelector()
        selector.register(self._control, selectors.EVENT_READ)
        selector.register(self._checks, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                message = wire.receive(key.fileobj)  # type: ignore[arg-type]  # the sockets from above
                if key.fileobj is self._control:
                    outputs, count = self._cells.run(message["run"], message["timeout_s"])
                    wire.send(self._control, {"outputs": outputs, "count": count})
                else:
                    wire.send(self._checks, self._call(message))

    def _call(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do it in a child; when this returns, nothing of the call is left."""
        _deaf()
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for inherited in (ours, self._control, self._checks):
                    inherited.close()
                self._answer(theirs, message)
            finally:
                os._exit(0)
        theirs.close()
        words = f"{message['call']}() took longer than {message['timeout_s']:g} s"
        try:
            return wire.receive(ours, limit_bytes=LIMIT_BYTES, timeout_s=message["timeout_s"])
        except TimeoutError:
            return {"raised": ["TimeoutError", words]}
        except wire.ProtocolError as error:
            return {"raised": ["ValueError", f"{message['call']}() returned too much: {error}"]}
        except (EOFError, OSError):
            return {"raised": ["ProbeEnded", f"what {message['call']}() started ended its process"]}
        finally:
            ours.close()
            _kill_all()
            self._cells.collect()
            self._cells.shell.outputs = Outputs()

    def _answer(self, channel: socket.socket, message: dict[str, Any]) -> None:
        """In the child: call the helper, and say what came of it."""
        outputs = self._cells.shell.outputs = Outputs()
        reply: dict[str, Any]
        try:
            helper = self._helpers.get(message["call"])
            if helper is None:
                raise NameError(f"no locked cell marked {message['call']} with {MARK}")  # noqa: TRY301 - one way out
            arguments = [values.decode(one, _PLAIN) for one in message["arguments"]]
            named = {name: values.decode(one, _PLAIN) for name, one in message["named"].items()}
            reply = {"value": values.encode(helper(*arguments, **named), _PLAIN)}
        except BaseException as error:  # noqa: BLE001 - it belongs to who called
            reply = {"raised": [type(error).__name__, str(error)[:20_000]]}
        self._cells.collect()
        printed = [[one["name"], one["text"]] for one in outputs.items if one["output_type"] == "stream"]
        wire.send(channel, {**reply, "printed": printed})


def _deaf() -> None:
    """Make signals of what a call starts do nothing: the first process of a namespace gets what it handles."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def _kill_all() -> None:
    """Kill every other process of this PID namespace, and wait for their ends."""
    deadline = time.monotonic() + ENDED_S
    while time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)
    raise ExecutionError("what a probe started does not end")
