"""Runs a submitted notebook in sandboxed processes: one for the answers, one for the checks.

A cell that crashes its process, or does not end, costs that cell: the cells before it are run again in fresh
processes, and the rest goes on. A crash has to happen twice to count: the first may be somebody else's doing, the
kernel's when memory is short above all, and from here they look alike.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from roadmap_progress.execution import reset, wire
from roadmap_progress.execution.company import Company
from roadmap_progress.execution.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from roadmap_progress.execution.forks import Zygote
    from roadmap_progress.execution.shell import Output

RESTARTS_LIMIT = 6
TAMPERED = "TamperedError"  # the error of a check beside the answers that cannot be believed
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
        """Run the steps in order; all of them a second time where one crashed.

        Args:
            graded: names that released answer cells bind; a check gets these from the answers always.
            rebound: names of locked cells' data that a check gets from the answers as well, if they have them.
            files: folder whose regular files lie in the cells' working folder, as copies.
            timeout_s: limit for each cell.

        Raises:
            ExecutionError: no process could be forked, or the sandbox could not be built.
        """
        began, steps, peak_mb = time.monotonic(), list(steps), 0
        for _ in range(2):
            run = _Run(self, steps, sorted(graded), sorted(rebound), files, timeout_s)
            with run:
                for place in range(len(run.steps)):
                    run.step(place)
            peak_mb = max(peak_mb, run.usage.peak_mb)
            if all(one.ended != "crashed" for one in run.done):
                break
        run.usage.seconds, run.usage.peak_mb = time.monotonic() - began, peak_mb
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
        self._timeout_s = timeout_s
        self._company = Company(
            engine.zygote, replace(engine.sandbox, files=files), steps, timeout_s, apart=engine.apart
        )
        self._locked_there = 0  # how many steps the checks' process has behind it

    def __enter__(self) -> Self:
        self._company.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._end()

    def step(self, place: int) -> None:
        """Run one step; its outcome is appended to `done`."""
        if self._company.answers is None and not self._revive():
            words = f"not run: the cells before ended their processes more than {RESTARTS_LIMIT} times"
            self.done.append(Done([_error("DeadKernelError", words)], None, "not run"))
            return
        step = self.steps[place]
        apart = self._engine.apart and not step.same_process
        try:
            if step.kind == "check" and step.same_process and self._engine.apart:
                message = self._check_beside(step)
            elif step.kind == "check" and apart:
                message = self._check(step)
            else:
                message = self._answer(step, place)
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

    def _answer(self, step: Step, place: int) -> dict[str, Any]:
        self._company.tell("answers", place if step.kind == "locked" else None)
        return self._company.ask(self._company.answers, {"run": step.source})

    def _check(self, step: Step) -> dict[str, Any]:
        company = self._company
        if company.checks is None:
            company.join_checks()
            self._locked_there = 0
        for place in range(self._locked_there, len(self.done)):
            if self.steps[place].kind == "locked":
                company.run_locked(self.steps[place].source, place)
        self._locked_there = len(self.done)
        for who in ("answers", "checks"):
            company.tell(who, None)
        company.ask(company.answers, {"checks": True})
        check = {"check": step.source, "operators": step.operators}
        return company.ask(company.checks, {**check, "graded": self._graded, "rebound": self._rebound})

    def _check_beside(self, step: Step) -> dict[str, Any]:
        """Run a check in a fork of the answers' process, between cells that show whether it can be believed."""
        canaries = reset.Canaries(step.source)
        locked = [one.source for one in self.steps[: len(self.done)] if one.kind == "locked"]
        self._company.tell("answers", None)
        message = {"fork": canaries.sources, "definitions": reset.definitions(locked)}
        runs = self._company.ask(self._company.answers, message).get("runs")
        if not isinstance(runs, list) or not all(isinstance(one, list) for one in runs):
            raise wire.ProtocolError("a check beside the answers without its outputs")
        if not all(_is_output(output) for one in runs for output in one):
            raise wire.ProtocolError("outputs that are none")
        outputs = canaries.outcome(runs)
        if outputs is None:
            words = "a cell that had to fail beside the answers did not: they changed what a check stands on"
            outputs = [_error(TAMPERED, words)]
        return {"outputs": outputs, "count": None}

    def _revive(self) -> bool:
        """Fresh processes that have run the cells which came to their end; False when that was done too often."""
        while self.usage.restarts < RESTARTS_LIMIT:
            self.usage.restarts += 1
            self._company.start()
            try:
                for place, (step, done) in enumerate(zip(self.steps, self.done, strict=False)):
                    if done.ended is None and step.kind != "check":
                        self._answer(step, place)
            except (EOFError, OSError, wire.ProtocolError):
                self._end()
            else:
                return True
        return False

    def _end(self) -> None:
        self.usage.peak_mb = max(self.usage.peak_mb, self._company.end())


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
