"""Start a process, see it ready, end it and everything it started.

Three ways to have a process:

- `run(command, …)`: to completion, with a time limit; the result says how it went.
- `run_between(command, …)`: what a server starts for a request; it talks to an open file or socket.
- `Watchdog`: servers that go on beside this process and end with it, however it ends (`watchdog.py` says how).

With `execution/` this is the only room that knows `subprocess` and `signal`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from roadmap_progress.errors import ServerFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

LOG_LINES = 15
POLL_S = 0.01
ORDER_S = 10.0  # the watchdog has obeyed by then, on the busiest machine


@dataclass(frozen=True, slots=True)
class StopLimits:
    """How long each step of stopping may take before the next one: ask → terminate → kill the group."""

    ask_s: float = 1.0
    terminate_s: float = 2.0
    kill_s: float = 2.0

    @property
    def total_s(self) -> float:
        """The longest that a stop can take."""
        return self.ask_s + self.terminate_s + self.kill_s


@dataclass(frozen=True, slots=True)
class User:
    """A user of this machine, whom root can run programs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended.

    Attributes:
        command: what was run.
        returncode: its exit code; minus the signal's number if a signal ended it.
        stdout: what it wrote there, up to the moment it ended.
        stderr: likewise.
        timed_out: it was killed because its time was up.
        seconds: how long it ran.
    """

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    timed_out: bool
    seconds: float

    @property
    def ok(self) -> bool:
        """It ended by itself, with exit code 0."""
        return self.returncode == 0 and not self.timed_out


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float,
    stdin: str = "",
    user: User | None = None,
) -> Completed:
    """Run a command to its end, or to the end of its time; its process group does not outlive it.

    Output goes through files rather than pipes: a daemon that the command leaves behind cannot hold us up
    by keeping a pipe open. On Linux they are in memory, so a full disk does not silence the command.

    Args:
        command: program and arguments; no shell.
        cwd: where to run it; here if not given.
        env: its whole environment; this process's if not given.
        timeout_s: after that its whole group is killed.
        stdin: what it can read.
        user: whom to run it as; only root can choose.

    Raises:
        OSError: it could not be started at all, such as FileNotFoundError.
    """
    words = tuple(os.fspath(word) for word in command)
    started = time.monotonic()
    with _file() as source, _file() as out, _file() as err:
        source.write(stdin.encode())
        source.seek(0)
        process, timed_out = None, False
        try:
            with interrupts_deferred():  # or Ctrl-C could come when it runs, and is not known here yet
                process = subprocess.Popen(
                    words,
                    cwd=cwd,
                    env=env,
                    stdin=source,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                    user=user.uid if user else None,
                    group=user.gid if user else None,
                    extra_groups=[] if user else None,
                )
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:  # also when we are interrupted
            if process is not None:
                kill_group(process.pid)
                process.wait()
        assert process is not None  # noqa: S101 (else it could not be started, and that was raised)
        seconds = time.monotonic() - started
        return Completed(words, process.returncode, _text(out), _text(err), timed_out, seconds)


def run_between(
    command: Sequence[str | os.PathLike[str]],
    *,
    source: int,
    sink: int,
    env: Mapping[str, str],
    cwd: Path | None = None,
) -> int:
    """Run a command to its end that reads from one descriptor and writes to another.

    It stays in this process's group, so that it ends with the server that runs it; what it says on stderr
    goes to this process's. It may take as long as it likes.

    Returns:
        its exit code; minus the signal's number if a signal ended it.

    Raises:
        OSError: it could not be started at all.
    """
    with subprocess.Popen(list(command), stdin=source, stdout=sink, env=env, cwd=cwd) as process:
        return process.wait()


def kill_group(leader: int) -> None:
    """Kill every process of the group that this process leads; true on return: the signal is sent."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether there is a process with this number that has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):  # Linux: one that ended but was not waited for is a zombie
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return True


def wait_until(condition: Callable[[], bool], *, timeout_s: float) -> bool:
    """Look again and again until `condition()` holds or the time is up; returns whether it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


@dataclass(frozen=True, slots=True)
class Process:
    """A server that a watchdog started: its name, process number (also its group's) and log file."""

    name: str
    pid: int
    log: Path


class Watchdog:
    """A temporary directory, and servers in it, that end with this process, whatever ends it.

    ::

        watchdog = Watchdog("nginx", descriptors=[listener.fileno()])
        (watchdog.directory / "nginx.conf").write_text(…)
        watchdog.start("nginx", ["nginx", "-c", "nginx.conf"], descriptors=[listener.fileno()])
        watchdog.wait_ready("nginx", answers, timeout_s=10)
        …
        watchdog.close()

    They end when `close()` is called, when the object is forgotten, and when this process ends: by itself,
    by a signal, or by SIGKILL. A forked child of this process does not keep them alive.

    Args:
        name: a word for the directory's name.
        descriptors: sockets to hand on to the servers; each may be named in one `start`.
        parent: the folder to make the directory in; the one for temporary files, if not given.
        timeout_s: the watchdog itself is up by then.

    Raises:
        ServerFailed: no directory can be made, or the watchdog did not come up.
    """

    def __init__(
        self,
        name: str,
        *,
        descriptors: Sequence[int] = (),
        parent: Path | None = None,
        timeout_s: float = 15.0,
    ) -> None:
        self.processes: dict[str, Process] = {}
        self._exit_codes: dict[str, int | None] = {}
        self._received = b""
        self._lock = threading.Lock()
        with interrupts_deferred():  # or Ctrl-C could come between its start and our knowing of it
            self._state = _State(_start_watchdog(name, descriptors, parent))
            self._finalizer = weakref.finalize(self, _close, self._state)
        os.register_at_fork(after_in_child=partial(_let_go, weakref.ref(self._state)))
        try:
            self.directory = self._state.directory = self._made_directory(name, timeout_s)
        except BaseException:
            self.close()
            raise

    def _made_directory(self, name: str, timeout_s: float) -> Path:
        told = self._hear(time.monotonic() + timeout_s) or {}
        if "directory" in told:
            return Path(told["directory"])
        problem = told.get("error", f"its watchdog was not up within {timeout_s:g} s")
        raise ServerFailed(f"{name} could not be started: {problem}; set TMPDIR to a folder that can be written")

    def start(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
        ask: str = "SIGTERM",
        limits: StopLimits | None = None,
        user: User | None = None,
    ) -> Process:
        """Start a server in the directory; what it prints goes to `<name>.log` there.

        Args:
            name: unique among this watchdog's running servers.
            command: program and arguments.
            env: its whole environment; this process's if not given.
            descriptors: sockets among those given to the watchdog, now the server's alone.
            ask: the signal by which this server is asked to end in peace.
            limits: of each step of stopping it.
            user: whom to run it as, instead of root; see to it that they can enter the directory.

        Raises:
            ServerFailed: the program cannot be executed.
        """
        limits = limits or StopLimits()
        log = self.directory / f"{name}.log"
        order = {
            "name": name,
            "command": [os.fspath(word) for word in command],
            "env": dict(os.environ if env is None else env),
            "log": str(log),
            "descriptors": list(descriptors),
            "ask": signal.Signals[ask].value,
            "limits_s": {"ask": limits.ask_s, "terminate": limits.terminate_s, "kill": limits.kill_s},
            "user": [user.uid, user.gid] if user else None,
        }
        with interrupts_deferred(), self._lock:
            self._order(start=order)
            told = self._hear_about(name, ("started", "failed"), time.monotonic() + ORDER_S)
            if "pid" not in told:
                raise ServerFailed(f"{name} could not be started: {told.get('error', 'its watchdog has ended')}")
            process = self.processes[name] = Process(name, told["pid"], log)
            self._exit_codes.pop(name, None)
            self._state.groups[name] = process.pid
            self._state.stop_s = max(self._state.stop_s, limits.total_s)
        return process

    def wait_ready(
        self, name: str, ready: Callable[[], bool], *, timeout_s: float, log: Callable[[], str] | None = None
    ) -> None:
        """Return once `ready()` was true.

        Args:
            name: of the server.
            ready: asks it something; False (or an OSError) while it does not answer.
            timeout_s: from now.
            log: the last lines of its own log, for the error; of what it printed, if not given.

        Raises:
            ServerFailed: the server ended, or was not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(OSError):
                if ready():
                    return
            problem = ""
            if not self.is_running(name):
                problem = f"ended at once (exit code {self._exit_codes.get(name)})"
            elif time.monotonic() >= deadline:
                problem = f"was not ready within {timeout_s:.3g} s"
            if problem:
                lines = (log() if log else "") or tail(self.processes[name].log)
                told = f"; the last lines of its log:\n{lines}" if lines else "; its log is empty"
                raise ServerFailed(f"{name} {problem}{told}")
            time.sleep(POLL_S)

    def is_running(self, name: str) -> bool:
        """Whether this server was started and has not ended."""
        with self._lock:
            while (told := self._hear(time.monotonic())) is not None:
                self._note(told)
        return name in self.processes and name not in self._exit_codes and self._state.dog.poll() is None

    def stop(self, name: str) -> None:
        """Stop one server and its group; the directory and the other servers stay."""
        if not self.is_running(name):
            return
        with interrupts_deferred(), self._lock:
            self._order(stop=name)
            self._hear_about(name, ("ended",), time.monotonic() + self._state.stop_s + ORDER_S)

    def close(self) -> None:
        """Stop every server and remove the directory; true on return. May be called again."""
        self._finalizer()

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return not self._finalizer.alive

    def _order(self, **order: object) -> None:
        try:
            self._state.orders.write(json.dumps(order).encode() + b"\n")
        except (OSError, ValueError) as error:
            raise ServerFailed(f"the watchdog of {self.directory} has ended: start the server again") from error

    def _hear(self, deadline: float) -> dict[str, Any] | None:
        """The watchdog's next report; None if there is none by the deadline, or if it has ended."""
        reports = self._state.reports
        if reports.closed:
            return None
        while b"\n" not in self._received:
            if not select.select([reports], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            received = reports.read(65536)
            if not received:
                return None
            self._received += received
        line, self._received = self._received.split(b"\n", 1)
        report: dict[str, Any] = json.loads(line)
        return report

    def _note(self, told: dict[str, Any]) -> None:
        if "ended" in told:
            self._exit_codes[told["ended"]] = told["code"]
            self._state.groups.pop(told["ended"], None)

    def _hear_about(self, name: str, kinds: Sequence[str], deadline: float) -> dict[str, Any]:
        while (told := self._hear(deadline)) is not None:
            self._note(told)
            if any(told.get(kind) == name for kind in kinds):
                return told
        return {}


@dataclass(eq=False)
class _State:
    """What is needed to end it all after the `Watchdog` object is gone."""

    dog: subprocess.Popen[bytes]
    groups: dict[str, int] = field(default_factory=dict)
    stop_s: float = StopLimits().total_s
    directory: Path | None = None
    let_go: bool = False

    @property
    def orders(self) -> IO[bytes]:
        """The end of the pipe that keeps the servers alive."""
        assert self.dog.stdin is not None  # noqa: S101 (it was opened with a pipe)
        return self.dog.stdin

    @property
    def reports(self) -> IO[bytes]:
        """What the watchdog tells us."""
        assert self.dog.stdout is not None  # noqa: S101 (it was opened with a pipe)
        return self.dog.stdout

    def close_pipes(self) -> None:
        """Let go of both pipes."""
        for pipe in (self.orders, self.reports):
            with contextlib.suppress(OSError):
                pipe.close()


def _start_watchdog(name: str, descriptors: Sequence[int], parent: Path | None) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("watchdog.py")
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", script, parent or tempfile.gettempdir(), name],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=tuple(descriptors),
            start_new_session=True,  # out of reach of Ctrl-C, and of a kernel's end by process group
            bufsize=0,
        )
    except OSError as error:
        raise ServerFailed(f"{name} could not be started: {error}") from error


def _close(state: _State) -> None:
    """End the pipe; the watchdog does the rest, and if it was killed itself, we do."""
    if state.let_go:
        return
    with interrupts_deferred():
        killed = state.dog.poll() is not None
        state.close_pipes()
        try:
            state.dog.wait(state.stop_s + ORDER_S)
        except subprocess.TimeoutExpired:
            killed = True
            state.dog.kill()
            state.dog.wait()
        if killed:
            for group in state.groups.values():
                kill_group(group)
            if state.directory is not None:
                shutil.rmtree(state.directory, ignore_errors=True)


def _let_go(reference: weakref.ref[_State]) -> None:
    """In a forked child: the servers are its parent's, and must not live as long as the child does."""
    state = reference()
    if state is not None:
        state.let_go = True
        state.close_pipes()
        state.dog.returncode = 0  # not the child's to wait for


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Hold a Ctrl-C back until the block has ended, for the few moments in which it would lose a process.

    Python delivers it to the main thread only, so elsewhere there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    previous = signal.getsignal(signal.SIGINT)
    if previous is None:  # somebody's C code handles it
        yield
        return
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if came:
            signal.raise_signal(signal.SIGINT)


def tail(path: Path, lines: int = LOG_LINES) -> str:
    """The last lines of a log; "" if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.strip().splitlines()[-lines:])


def _file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("output"), "w+b")
    return tempfile.TemporaryFile()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
