"""Runs a submitted notebook in sandboxed processes: one for the answers, one for the checks.

A cell that crashes its process, or does not end, costs that cell: the cells before it are run again in fresh
processes, and the rest goes on.
"""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution import fixtures, wire
from roadmap_progress.execution.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from roadmap_progress.execution.forks import Child, Zygote
    from roadmap_progress.execution.shell import Output

GRACE_S = 2.0  # beyond a cell's limit, for a process that ends it by itself
RESTARTS_LIMIT = 6
_TIMED_OUT = ("CellTimeout", "CellTimeoutError")

Kind = Literal["locked", "answer", "check"]


@dataclass(frozen=True, slots=True)
class Step:
    """A code cell to run.

    Attributes:
        kind: "locked" runs in both processes, "answer" beside the answers, "check" in the process of the checks.
        operators: the check may let an object of the answers decide an operator with a plain value.
        same_process: the check runs beside the answers, unprotected from them.
    """

    source: str
    kind: Kind
    operators: bool = False
    same_process: bool = False


@dataclass(slots=True)
class Done:
    """What came of a step.

    Attributes:
        ended: "timed out", "crashed" or "not run" where the cell did not come to its end, else None.
    """

    outputs: list[Output]
    count: int | None
    ended: str | None = None


@dataclass
class Usage:
    """What a notebook cost.

    Attributes:
        peak_mb: the largest resident size of one of its processes.
    """

    seconds: float = 0.0
    peak_mb: int = 0
    restarts: int = 0


@dataclass
class Engine:
    """A zygote and how its children are shut in; runs one notebook at a time.

    Attributes:
        zygote: started.
        apart: whether checks run in a process of their own.
    """

    zygote: Zygote
    sandbox: Sandbox = field(default_factory=Sandbox)
    apart: bool = True

    def run(
        self,
        steps: Iterable[Step],
        *,
        graded: Iterable[str] = (),
        rebound: Iterable[str] = (),
        files: str | None = None,
        timeout_s: float = 30,
    ) -> tuple[list[Done], Usage]:
        """Run the steps in order.

        Args:
            graded: names that released answer cells bind; a check gets these from the answers always.
            rebound: names of locked cells' data that a check gets from the answers as well, if they have them.
            files: folder whose regular files lie in the cells' working folder, as copies.
            timeout_s: limit for each cell.

        Raises:
            ExecutionError: no process could be forked, or the sandbox could not be built.
        """
        began = time.monotonic()
        run = _Run(self, list(steps), sorted(graded), sorted(rebound), files, timeout_s)
        with run:
            for place in range(len(run.steps)):
                run.step(place)
        run.usage.seconds = time.monotonic() - began
        return run.done, run.usage


class _Run:
    def __init__(
        self,
        engine: Engine,
        steps: list[Step],
        graded: list[str],
        rebound: list[str],
        files: str | None,
        timeout_s: float,
    ) -> None:
        self.steps, self.usage = steps, Usage()
        self.done: list[Done] = []
        self._engine, self._graded, self._rebound = engine, graded, rebound
        self._sandbox = replace(engine.sandbox, files=files)
        self._timeout_s = timeout_s
        self._answers: Child | None = None
        self._checks: Child | None = None
        self._way: tuple[socket.socket, socket.socket] | None = None
        self._servers: Child | None = None
        self._to_servers: list[socket.socket] = []  # what the checks' process is given
        self._with_servers = fixtures.wanted(step.source for step in steps)
        self._locked_there = 0  # how many steps the checks' process has behind it

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._end()

    def step(self, place: int) -> None:
        """Run one step; its outcome is appended to `done`."""
        if self._answers is None and not self._revive():
            words = f"not run: the cells before ended their processes more than {RESTARTS_LIMIT} times"
            self.done.append(Done([_error("DeadKernelError", words)], None, "not run"))
            return
        step = self.steps[place]
        apart = self._engine.apart and not step.same_process
        try:
            self._tell_servers("answers", place)
            if step.kind == "check" and apart:
                message = self._check(step)
            else:
                message = self._ask(self._answers, {"run": step.source, "timeout_s": self._timeout_s})
            self.done.append(_checked(message))
        except TimeoutError:
            words = f"No reply from kernel before timeout ({self._timeout_s:g} s)"
            self.done.append(Done([_error("CellTimeoutError", words)], None, "timed out"))
            self._end()
        except (EOFError, OSError, wire.ProtocolError):
            words = "Kernel died: the cell ended its process, or used more memory or processes than it may"
            self.done.append(Done([_error("DeadKernelError", words)], None, "crashed"))
            self._end()
        else:
            done = self.done[-1]
            names = [output["ename"] for output in done.outputs if output["output_type"] == "error"]
            if any(name in _TIMED_OUT for name in names):
                done.ended = "timed out"
            if step.kind == "check" and apart and (done.ended or "DeadKernelError" in names):
                done.ended = done.ended or "crashed"
                self._end()

    def _check(self, step: Step) -> dict[str, Any]:
        checks = self._checks_process()
        self._tell_servers("checks", len(self.done))
        self._ask(self._answers, {"checks": True})
        return self._ask(
            checks,
            {
                "check": step.source,
                "graded": self._graded,
                "rebound": self._rebound,
                "operators": step.operators,
                "timeout_s": self._timeout_s,
            },
        )

    def _checks_process(self) -> Child:
        """The checks' process, having run the locked cells so far."""
        assert self._answers is not None  # noqa: S101 - see step
        assert self._way is not None  # noqa: S101 - see _start
        if self._checks is None:
            try:
                self._checks = self._engine.zygote.fork(
                    "checks", self._sandbox, channels=[self._way[1], *self._to_servers], join=self._answers
                )
            except ExecutionError as error:  # the answers' process ended itself between two cells
                raise EOFError from error
            for channel in (self._way[1], *self._to_servers):
                channel.close()
            self._locked_there = 0
        for place in range(self._locked_there, len(self.done)):
            step = self.steps[place]
            if step.kind == "locked":
                self._tell_servers("checks", place)
                self._ask(self._checks, {"run": step.source, "timeout_s": self._timeout_s})
        self._locked_there = len(self.done)
        return self._checks

    def _ask(self, child: Child | None, message: dict[str, Any]) -> dict[str, Any]:
        if child is None:
            raise EOFError
        return child.ask(message, timeout_s=self._timeout_s + GRACE_S)

    def _start(self) -> None:
        self._way = socket.socketpair()
        fork = self._engine.zygote.fork
        if not self._with_servers:
            self._answers = fork("answers", self._sandbox, channels=[self._way[0]])
        else:
            (answers, from_answers), (checks, from_checks) = (_pair(), _pair())
            self._to_servers = [checks]
            with answers, from_answers, from_checks:
                self._answers = fork("answers", self._sandbox, channels=[self._way[0], answers])
                shut_in = fixtures.sandbox(self._sandbox)
                servers = [from_answers, from_checks]
                self._servers = fork("fixtures", shut_in, channels=servers, join=self._answers)
        self._way[0].close()

    def _tell_servers(self, who: str, place: int) -> None:
        """Tell their process which step runs there; when that has died, starting a server fails in words."""
        if self._servers is not None:
            step = place if self.steps[place].kind == "locked" else None
            with contextlib.suppress(EOFError, OSError, wire.ProtocolError):
                self._ask(self._servers, {"who": who, "step": step})

    def _revive(self) -> bool:
        """Fresh processes that have run the cells which came to their end; False when that was done too often."""
        while self.usage.restarts < RESTARTS_LIMIT:
            self.usage.restarts += 1
            self._start()
            try:
                for place, (step, done) in enumerate(zip(self.steps, self.done, strict=False)):
                    if done.ended is None and step.kind != "check":
                        self._tell_servers("answers", place)
                        self._ask(self._answers, {"run": step.source, "timeout_s": self._timeout_s})
            except (EOFError, OSError, wire.ProtocolError):
                self._end()
            else:
                return True
        return False

    def _end(self) -> None:
        for child in (self._checks, self._answers, self._servers):
            if child is not None:
                with contextlib.suppress(ExecutionError):
                    self.usage.peak_mb = max(self.usage.peak_mb, int(child.end().get("peak_mb", 0)))
        self._answers = self._checks = self._servers = None
        for end in (*(self._way or ()), *self._to_servers):
            end.close()
        self._way = None


def _pair() -> tuple[socket.socket, socket.socket]:
    """For messages that are whole or not there: the answers' process can leave none half written."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _checked(message: dict[str, Any]) -> Done:
    """What a child said, if it has the form of it: the answers' process may say anything."""
    outputs, count = message.get("outputs"), message.get("count")
    if not isinstance(outputs, list) or not all(map(_is_output, outputs)):
        raise wire.ProtocolError("outputs that are none")
    return Done(outputs, count if type(count) is int else None)


_FIELDS: dict[str, dict[str, type]] = {
    "stream": {"name": str, "text": str},
    "error": {"ename": str, "evalue": str, "traceback": list},
    "display_data": {"data": dict, "metadata": dict},
    "execute_result": {"data": dict, "metadata": dict, "execution_count": int},
}


def _is_output(output: Any) -> bool:
    if not isinstance(output, dict) or type(output.get("output_type")) is not str:
        return False
    fields = _FIELDS.get(output["output_type"])
    if fields is None or set(output) != {*fields, "output_type"}:
        return False
    if not all(type(output[name]) is kind for name, kind in fields.items()):
        return False
    if fields is _FIELDS["stream"]:
        return output["name"] in ("stdout", "stderr")
    if "data" in fields and not all(
        type(text) is str or kind.endswith("json") for kind, text in output["data"].items()
    ):
        return False
    return all(type(line) is str for line in output.get("traceback", ()))


def _error(name: str, words: str) -> Output:
    return {"output_type": "error", "ename": name, "evalue": words, "traceback": [f"{name}: {words}"]}
