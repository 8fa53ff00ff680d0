"""The side that asks the zygote: start one, fork children for a submission, end them.

    with Zygote(["pandas"]) as zygote:
        with zygote.begin("answers", Sandbox()) as child:
            child.await_ready()
            child.ask({"run": "1 + 1", "timeout_s": 10})

A zygote ends with the process that started it, whatever ends that; its children end with the zygote.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution import wire
from roadmap_progress.execution.first_use import with_first_use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from roadmap_progress.execution.sandbox import Sandbox

START_TIMEOUT_S = 120


class Zygote:
    """A zygote and the way to it; not for several threads at once.

    Attributes:
        skipped: modules that could not be imported beforehand, with the reason.
    """

    def __init__(self, modules: Iterable[str] = ()) -> None:
        self._modules = list(dict.fromkeys(modules))
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._said: IO[bytes] = io.BytesIO()
        self._ready = False
        self._ended: dict[int, dict[str, Any]] = {}
        self._next = 0
        self.skipped: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._control is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start it, and wait until everything is imported.

        Raises:
            ExecutionError: it died or was not ready in time; with its own words.
        """
        self.launch()
        self.load(self._modules)

    def launch(self) -> None:
        """Start it without waiting; `load` waits."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the zygote
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "roadmap_progress.execution.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the process that asks
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
            )
        self._control = ours
        self._ready = False

    def load(self, modules: Iterable[str]) -> None:
        """Have it import what notebooks will, and wait for that; a module that starts threads is left out.

        With them comes what they import at their first use.

        Raises:
            ExecutionError: it died or was not ready in time; with its own words.
        """
        self._modules = with_first_use(modules)
        while True:
            wanted = [name for name in self._modules if name not in self.skipped]
            if self._control is None:
                self.launch()
            assert self._control is not None  # noqa: S101 - launched
            self._control.settimeout(START_TIMEOUT_S)
            try:
                if not self._ready:
                    self._listen()
                    self._ready = True
                self._control.send(json.dumps({"import": wanted}).encode())
                reply = self._listen()
            except (OSError, ExecutionError):
                words = self._last_words()
                self.close()
                raise ExecutionError(f"the zygote did not get ready in {START_TIMEOUT_S} s:\n{words}") from None
            self.skipped.update(reply["skipped"])
            if reply["threads"] is None:
                return
            self.skipped[reply["threads"]] = "starts threads when it is imported"
            self.close()

    def clone(self) -> Zygote:
        """Another zygote with all that this one has imported, for another thread; must be closed before this one.

        Raises:
            ExecutionError: it could not be forked.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        made = Zygote(self._modules)
        made._control, made._ready, made.skipped = ours, True, dict(self.skipped)
        ours.settimeout(30)
        try:
            with theirs:
                self._send({"clone": True}, [theirs])
            made._listen()
        except ExecutionError:
            made.close()
            raise
        return made

    def _last_words(self) -> str:
        if self._process is None:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._said.seek(0)
        return self._said.read().decode("utf-8", "replace").strip()[-2000:]

    def begin(
        self,
        role: str,
        sandbox: Sandbox,
        *,
        channels: Mapping[str, socket.socket] | None = None,
        join: Child | None = None,
    ) -> Child:
        """A child that is on its way into its sandbox; `Child.await_ready` comes before everything else.

        Args:
            role: the module of this package that serves in it, "answers", "checks", "probe" or "fixtures".
            channels: sockets that it gets besides the one to us, by the names that it knows.

        Raises:
            ExecutionError: it could not be forked.
        """
        ours, theirs = socket.socketpair()
        number, self._next = self._next, self._next + 1
        channels = channels or {}
        request = {
            "fork": number,
            "role": role,
            "channels": ["control", *channels],
            "sandbox": sandbox.as_json(),
            "join": join.pid if join else None,
        }
        try:
            with theirs:
                self._send(request, [theirs, *channels.values()])
            return Child(self, number, self._forked(number), ours)
        except ExecutionError:
            ours.close()
            raise

    def _forked(self, number: int) -> int:
        while True:
            message = self._listen()
            if message.get("fork") == number and "pid" in message:
                return int(message["pid"])
            if message.get("ended") == number:
                raise ExecutionError(f"no process could be forked: {message.get('error')}")

    def _send(self, request: dict[str, Any], sockets: list[socket.socket]) -> None:
        if self._control is None:
            raise ExecutionError("the zygote is not running")
        self._control.settimeout(30)
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], [one.fileno() for one in sockets])
        except OSError as error:
            raise ExecutionError(f"the zygote died: {error}") from None

    def _listen(self) -> dict[str, Any]:
        assert self._control is not None  # noqa: S101 - started
        try:
            data = self._control.recv(1 << 16)
        except TimeoutError:
            raise ExecutionError("the zygote does not answer") from None
        except OSError as error:
            raise ExecutionError(f"the zygote died: {error}") from None
        if not data:
            raise ExecutionError("the zygote died")
        message: dict[str, Any] = json.loads(data)
        if "ended" in message:
            self._ended[message["ended"]] = message
        return message

    def kill(self, number: int) -> None:
        """Have a child killed with all its processes, without waiting for its end."""
        if self._control is not None and number not in self._ended:
            self._control.settimeout(10)
            with contextlib.suppress(OSError):
                self._control.send(json.dumps({"kill": number}).encode())

    def ended(self, number: int) -> dict[str, Any]:
        """Wait for the end of a child that was killed; returns status and peak memory."""
        if self._control is None:
            return {}
        self._control.settimeout(10)
        while number not in self._ended:
            self._listen()
        return self._ended.pop(number)

    def close(self) -> None:
        """End it and its children; returns when they are gone."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self._kill()
            self._process = None
        self._said.close()
        self._ended.clear()

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@dataclass
class Child:
    """A forked process.

    Attributes:
        pid: as the zygote sees it.
    """

    zygote: Zygote
    number: int
    pid: int
    channel: socket.socket
    _over: dict[str, Any] | None = field(default=None)
    _killed: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.end()

    def ask(self, message: dict[str, Any], *, timeout_s: float = 30) -> dict[str, Any]:
        """Send a message and wait for the answer.

        Raises:
            EOFError, OSError: the child ended.
            TimeoutError: it did not answer in time.
            ProtocolError: it said what no honest child says.
        """
        self.channel.settimeout(timeout_s)
        wire.send(self.channel, message)
        return self.receive(timeout_s)

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """The child's next message; the limit holds for the whole of it."""
        return wire.receive(self.channel, timeout_s=timeout_s)

    def await_ready(self) -> None:
        """Wait until it is shut in.

        Raises:
            ExecutionError: it could not be, and has ended.
        """
        try:
            said = self.receive(30)
        except (EOFError, OSError, wire.ProtocolError) as error:
            said = {"failed": str(error)}
        if "failed" in said:
            ended = self.end()
            raise ExecutionError(f"no sandbox: {said['failed']} (the process ended with {ended.get('status')})")

    def kill(self) -> None:
        """Kill it and everything that it started, without waiting; `end` waits."""
        if self._over is None and not self._killed:
            self._killed = True
            self.channel.close()
            self.zygote.kill(self.number)

    def end(self) -> dict[str, Any]:
        """Kill it and everything that it started; returns `status` and `peak_mb`."""
        if self._over is None:
            self.kill()
            self._over = self.zygote.ended(self.number)
        return self._over
