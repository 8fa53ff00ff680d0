"""The processes of one notebook, and the sockets between them.

answers ── checks ── probe      as in `answers`, `checks` and `probe`
    └───────┼──────────┘
         servers                as in `fixtures`; only where the notebook's cells name it or the probe
"""

from __future__ import annotations

import contextlib
import socket
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution import fixtures, probe, wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roadmap_progress.execution.engine import Step
    from roadmap_progress.execution.forks import Child, Zygote
    from roadmap_progress.execution.sandbox import Sandbox

GRACE_S = 2.0  # beyond a cell's limit, for a process that ends it by itself


class Company:
    """A notebook's processes; none runs until `start`, and none behind `end`.

    Args:
        steps: all cells of the notebook: they tell which processes it needs.
        apart: whether checks run in a process of their own.
        timeout_s: limit for each cell.

    Attributes:
        answers, checks: None while not running.
    """

    def __init__(
        self, zygote: Zygote, sandbox: Sandbox, steps: Iterable[Step], timeout_s: float, *, apart: bool
    ) -> None:
        steps = list(steps)
        self._apart = apart and any(step.kind == "check" and not step.same_process for step in steps)
        self._zygote, self._sandbox, self._timeout_s = zygote, sandbox, timeout_s
        self._with_servers = fixtures.wanted(step.source for step in steps)
        self._servers_limits = fixtures.limits_for(step.source for step in steps if step.kind == "locked")
        self._with_probe = any(probe.MARK in step.source for step in steps if step.kind == "locked")
        self._ends: dict[str, dict[str, socket.socket]] = defaultdict(dict)
        self.answers: Child | None = None
        self.checks: Child | None = None
        self._coming: Child | None = None  # the checks' process, until it is ready
        self._probe: Child | None = None
        self._servers: Child | None = None

    def start(self) -> None:
        """Fork the answers' process, and that of their servers; the checks' gets ready meanwhile.

        Raises:
            ExecutionError: no process could be forked, or the sandbox could not be built.
        """
        self._link("answers", "checks", socket.SOCK_STREAM)
        if self._with_probe:
            self._link("checks", "probe", socket.SOCK_STREAM)
        if self._with_servers:
            for who in ("answers", "checks", *(["probe"] if self._with_probe else [])):
                # messages that are whole or not there: an interrupted cell leaves none half written
                self._link(who, "servers", socket.SOCK_SEQPACKET)
        try:
            self.answers = self._fork("answers", self._sandbox)
            if self._with_servers:
                sandbox = fixtures.sandbox(self._sandbox, self._servers_limits)
                self._servers = self._fork("servers", sandbox, role="fixtures")
            if self._apart:
                self._coming = self._begin("checks", self._sandbox)
        except ExecutionError:
            self.end()
            raise

    def join_checks(self) -> None:
        """Wait for the checks' process beside the answers, and for that of its probe.

        Raises:
            EOFError: the answers' process has ended.
        """
        try:
            coming, self._coming = self._coming or self._begin("checks", self._sandbox), None
            coming.await_ready()
            self.checks = coming
            if self._with_probe:
                self._probe = self._fork("probe", self._sandbox)
        except ExecutionError as error:
            raise EOFError from error

    def ask(self, child: Child | None, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and wait for the answer.

        Raises:
            EOFError, OSError, TimeoutError, ProtocolError: as `Child.ask` does.
        """
        if child is None:
            raise EOFError
        return child.ask({"timeout_s": self._timeout_s, **message}, timeout_s=self._timeout_s + GRACE_S)

    def run_locked(self, source: str, place: int) -> None:
        """Run a locked cell beside the checks, and in their probe.

        Raises:
            EOFError, OSError, TimeoutError, ProtocolError: as `ask`.
        """
        self.tell("checks", place)
        self.ask(self.checks, {"run": source})
        if self._probe is not None:
            self.tell("probe", place)
            with contextlib.suppress(EOFError, ConnectionError):  # a call of it says so
                self.ask(self._probe, {"run": source})

    def tell(self, who: str, place: int | None) -> None:
        """Tell the servers' process which locked cell runs there, if one does.

        When it has died, starting a server fails in words.
        """
        if self._servers is not None:
            with contextlib.suppress(EOFError, OSError, wire.ProtocolError):
                self.ask(self._servers, {"who": who, "step": place})

    def end(self) -> int:
        """End all; returns the largest resident size of one of them, in MB."""
        peak = 0
        everybody = (self._probe, self._coming, self.checks, self.answers, self._servers)
        children = [child for child in everybody if child is not None]
        for child in children:
            child.kill()
        for child in children:
            with contextlib.suppress(ExecutionError):
                peak = max(peak, int(child.end().get("peak_mb", 0)))
        self._probe = self._coming = self.checks = self.answers = self._servers = None
        for own in self._ends.values():
            for end in own.values():
                end.close()
        self._ends.clear()
        return peak

    def _link(self, one: str, other: str, kind: socket.SocketKind) -> None:
        self._ends[one][other], self._ends[other][one] = socket.socketpair(socket.AF_UNIX, kind)

    def _fork(self, who: str, sandbox: Sandbox, *, role: str | None = None) -> Child:
        child = self._begin(who, sandbox, role=role)
        child.await_ready()
        return child

    def _begin(self, who: str, sandbox: Sandbox, *, role: str | None = None) -> Child:
        channels = self._ends.pop(who, {})
        try:
            return self._zygote.begin(role or who, sandbox, channels=channels, join=self.answers)
        finally:
            for channel in channels.values():
                channel.close()
