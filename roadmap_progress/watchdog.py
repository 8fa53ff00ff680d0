"""The process that owns what a learner's kernel started; `processes` runs this file, nothing imports it.

A kernel may be killed at any moment, and then nobody is left to end its servers. So this process is their
parent, and owns their temporary directory. It takes orders from a pipe. The kernel holds the only writing
end of that pipe, so the pipe ends exactly when the kernel does, whatever ended it; then everything here is
ended and removed. (A parent-death signal would not do: it belongs to the thread that started the server, and
to Linux.)

Orders and reports are lines of JSON: `{"start": …}`, `{"stop": …}` in; `{"directory": …}`, `{"started": …}`,
`{"failed": …}`, `{"ended": …}` out. Only the standard library, imported sparingly: this starts with every server.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass
class Child:
    """A process that this one started, leader of a process group of its own."""

    name: str
    process: subprocess.Popen[bytes]
    ask: int
    limits_s: dict[str, float]


class Watchdog:
    """Carries out orders until the pipe ends."""

    def __init__(self, directory: str, wake: int) -> None:
        self.directory = directory
        self.wake = wake
        self.children: dict[str, Child] = {}
        self.ending = False

    def watch(self) -> None:
        """Take orders and notice ended children, until the pipe ends or somebody asks this process to end."""
        pending = b""
        while not self.ending:
            ready, _, _ = select.select([0, self.wake], [], [])
            if self.wake in ready:
                self.hear_signals()
                self.reap()
            if 0 in ready and not self.ending:
                received = os.read(0, 65536)
                if not received:
                    return
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    self.obey(json.loads(line))

    def hear_signals(self) -> None:
        """Empty the pipe that signals write to; anything but a child's end means: end."""
        with contextlib.suppress(BlockingIOError):
            while numbers := os.read(self.wake, 512):
                self.ending = self.ending or bool(set(numbers) - {signal.SIGCHLD})

    def obey(self, order: dict[str, Any]) -> None:
        if "start" in order:
            self.start(**order["start"])
        elif "stop" in order:
            child = self.children.get(order["stop"])
            if child is None:
                report(ended=order["stop"], code=None)
            else:
                self.stop([child])

    def start(
        self,
        name: str,
        command: list[str],
        env: dict[str, str],
        log: str,
        descriptors: list[int],
        ask: int,
        limits_s: dict[str, float],
        user: list[int] | None,
    ) -> None:
        """Start a server; this process's copies of the handed-over sockets are closed, so they end with it."""
        try:
            with open(log, "ab", buffering=0) as output:  # noqa: PTH123 (pathlib costs a fifth of the start)
                process = subprocess.Popen(
                    command,
                    cwd=self.directory,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=descriptors,
                    start_new_session=True,  # its own group, out of reach of the terminal's Ctrl-C
                    user=user[0] if user else None,
                    group=user[1] if user else None,
                    extra_groups=[] if user else None,
                )
        except OSError as error:
            report(failed=name, error=str(error))
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self.children[name] = Child(name, process, ask, limits_s)
        report(started=name, pid=process.pid)

    def reap(self) -> None:
        """Report children that ended by themselves, and end what is left of their groups."""
        for child in [child for child in self.children.values() if ended(child)]:
            self.bury(child)

    def bury(self, child: Child) -> None:
        # The leader is not reaped yet, so its number cannot have gone to a stranger's group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)
        code = child.process.wait()
        del self.children[child.name]
        report(ended=child.name, code=code)

    def stop(self, children: list[Child]) -> None:
        """Ask, terminate, kill the group, each with its own limit, all of these children at once."""
        for step in ("ask", "terminate", "kill"):
            left = [child for child in children if not ended(child)]
            for child in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    if step == "ask":
                        os.kill(child.process.pid, child.ask)
                    else:
                        os.killpg(child.process.pid, signal.SIGTERM if step == "terminate" else signal.SIGKILL)
            deadline = time.monotonic() + max((child.limits_s[step] for child in left), default=0.0)
            while not all(ended(child) for child in left):
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not select.select([self.wake], [], [], remaining)[0]:
                    break
                self.hear_signals()
        for child in children:
            if ended(child):
                self.bury(child)

    def end(self) -> None:
        """End every child and every process that left its group, and remove the directory."""
        self.stop(list(self.children.values()))
        kill_descendants(deadline=time.monotonic() + 5.0)
        remove(self.directory)


def ended(child: Child) -> bool:
    """Whether it has ended; leaves it unreaped where the system can tell without."""
    if child.process.returncode is not None:
        return True
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return child.process.poll() is not None
    try:
        return os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def kill_descendants(*, deadline: float) -> None:
    """Kill what this process inherited: daemons that left their group and lost their parent (Linux)."""
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            for orphan in children_of(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(orphan, signal.SIGKILL)
            select.select([], [], [], 0.002)


def children_of(parent: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for name in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 (no pathlib here)
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                if int(stat.read().rpartition(b")")[2].split()[1]) == parent:
                    found.append(int(name))
    return found


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose own parent ends, so that they can be found and ended."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def remove(directory: str) -> None:
    """Remove a directory and all below it, also what its owner may not write to."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)
    if os.path.isdir(directory):  # noqa: PTH112 (no pathlib here)
        for folder, names, _ in os.walk(directory):
            for name in names:  # before it is entered
                with contextlib.suppress(OSError):
                    os.chmod(os.path.join(folder, name), 0o700)  # noqa: PTH101, PTH118 (no pathlib here)
        shutil.rmtree(directory, ignore_errors=True)


def report(**fields: object) -> None:
    """Tell the owner, who may have ended, or may not be listening."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(fields).encode() + b"\n")


def main() -> None:
    """Make the directory, watch, and leave nothing behind."""
    wake, wake_writer = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_writer, False)
    os.set_blocking(1, False)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # a handler, so that it is written to the pipe
    try:
        directory = tempfile.mkdtemp(prefix=f"roadmap-{sys.argv[2]}-", dir=sys.argv[1])
    except OSError as error:
        report(error=f"no temporary directory can be made in {sys.argv[1]}: {error.strerror or error}")
        return
    lock = os.open(directory, os.O_RDONLY)  # held until this process ends: so long, the directory is in use
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    watchdog = Watchdog(directory, wake)
    try:
        adopt_orphans()
        report(directory=directory)
        watchdog.watch()
    finally:
        watchdog.end()


if __name__ == "__main__":
    main()
