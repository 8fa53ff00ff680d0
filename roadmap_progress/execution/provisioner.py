"""Kernels forked from a warm process, for whoever runs many notebooks: the kernel named `roadmap-zygote`.

jupyter_client finds this by its entry point, so that nbclient, papermill, nbval and nbgrader use it by the
kernel's name. The first kernel of a program starts the zygote; it ends with that program, and all kernels with it.
Where that cannot be, a kernel starts in the ordinary way, and the log says why.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING, Any, cast

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import List, Unicode

from roadmap_progress.errors import ExecutionError

if TYPE_CHECKING:
    from jupyter_client.connect import KernelConnectionInfo

START_TIMEOUT_S = 120.0
ENDED_S = 10.0
POLL_S = 0.005


class KernelZygote:
    """The way to a process that forks kernels; for several threads at once.

    Attributes:
        folder: where kernels' sockets lie, readable by this user only.

    Raises:
        ExecutionError: it cannot run here, or did not get ready.
    """

    def __init__(self, modules: list[str]) -> None:
        if sys.platform != "linux":
            raise ExecutionError(f"kernels are forked on Linux only, and this is {sys.platform}")
        self._turn = threading.Lock()
        self._ended: dict[int, int] = {}
        self.folder = ""
        while True:
            self._launch()
            reply = self._ask({"import": modules})
            if reply["threads"] is None:
                self.folder = reply["ready"]
                return
            self.close()
            if reply["threads"] not in modules:
                raise ExecutionError(f"{reply['threads']} starts threads when it is imported")
            modules = [name for name in modules if name != reply["threads"]]

    def _launch(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "roadmap_progress.execution.kernel_zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the program that asks
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        self._control = ours
        self._control.settimeout(START_TIMEOUT_S)

    def start(self, argv: list[str], *, cwd: str, env: dict[str, str], standard: list[int]) -> int:
        """Fork a kernel; returns its process's number.

        Raises:
            ExecutionError: it could not be forked.
        """
        reply = self._ask({"start": argv, "cwd": cwd, "env": env}, standard)
        if "failed" in reply:
            raise ExecutionError(f"no kernel could be forked: {reply['failed']}")
        return int(reply["pid"])

    def signal(self, pid: int, number: int) -> None:
        """Send the kernel's process group a signal, unless it has ended."""
        with self._turn, contextlib.suppress(OSError):
            self._control.send(json.dumps({"signal": number, "pid": pid}).encode())

    def status(self, pid: int) -> int | None:
        """The kernel's exit code; None while it runs."""
        with self._turn:
            while pid not in self._ended:
                try:
                    if not select.select([self._control], [], [], 0)[0]:
                        return None
                    data = self._control.recv(1 << 16)
                except (OSError, ValueError):  # closed
                    data = b""
                if not data:  # the zygote is gone, and its kernels with it
                    return -signal.SIGKILL
                self._note(json.loads(data))
            return self._ended[pid]

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it and all kernels; returns when it is gone."""
        self._control.close()
        try:
            self._process.wait(ENDED_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _ask(self, message: dict[str, Any], descriptors: list[int] | None = None) -> dict[str, Any]:
        with self._turn:
            try:
                socket.send_fds(self._control, [json.dumps(message).encode()], descriptors or [])
                while True:
                    data = self._control.recv(1 << 16)
                    if not data:
                        raise ExecutionError("the process that forks kernels died")
                    reply: dict[str, Any] = json.loads(data)
                    if not self._note(reply):
                        return reply
            except OSError as error:
                raise ExecutionError(f"the process that forks kernels does not answer: {error}") from error

    def _note(self, message: dict[str, Any]) -> bool:
        if "ended" in message:
            self._ended[message["ended"]] = message["status"]
        return "ended" in message


class _Forked:
    """A forked kernel, as `LocalProvisioner` knows a process that it started."""

    stdin = stdout = stderr = None

    def __init__(self, zygote: KernelZygote, pid: int) -> None:
        self._zygote, self.pid = zygote, pid

    def poll(self) -> int | None:
        return self._zygote.status(self.pid)

    def wait(self) -> int | None:
        deadline = time.monotonic() + ENDED_S
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return self.poll()

    def send_signal(self, number: int) -> None:
        self._zygote.signal(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


_starting = threading.Lock()
_zygotes: dict[tuple[str, ...], KernelZygote] = {}


def _zygote(modules: list[str]) -> KernelZygote:
    """This program's zygote with these modules, started if there is none."""
    with _starting:
        found = _zygotes.get(key := tuple(modules))
        if found is None or not found.alive():
            found = _zygotes[key] = KernelZygote(list(modules))
            atexit.register(found.close)
        return found


class ZygoteProvisioner(LocalProvisioner):
    """Starts a kernel by forking one that has everything imported."""

    modules = List(Unicode(), help="worth importing before kernels are forked").tag(config=True)
    _own: KernelZygote | None = None
    _forked: _Forked | None = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Have the zygote ready, and the kernel talk through sockets that no other user can reach."""
        try:
            self._own = await asyncio.to_thread(_zygote, self.modules)
        except (ExecutionError, OSError) as error:
            self._own = None
            self.log.warning("the kernel starts in the ordinary way: %s", error)
        manager = self.parent
        if self._own is not None and manager is not None and manager.transport == "tcp" and not manager.shell_port:
            manager.cache_ports = False
            manager.transport = "ipc"
            manager.ip = tempfile.mkdtemp(dir=self._own.folder) + "/k"
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork it; or start it, where the zygote cannot."""
        if self._own is None or cmd[:3] != [sys.executable, "-m", "ipykernel_launcher"]:
            return await super().launch_kernel(cmd, **kwargs)
        cwd = str(kwargs.get("cwd") or os.getcwd())  # noqa: PTH109 - a text
        with contextlib.ExitStack() as stack:
            standard = [_descriptor(stack, kwargs.get(name), place) for place, name in enumerate(_STANDARD)]
            env = {**(kwargs.get("env") or os.environ)}
            try:
                pid = await asyncio.to_thread(self._own.start, cmd[2:], cwd=cwd, env=env, standard=standard)
            except ExecutionError as error:
                self.log.warning("the kernel starts in the ordinary way: %s", error)
                return await super().launch_kernel(cmd, **kwargs)
        self._forked = _Forked(self._own, pid)
        self.process = cast("Any", self._forked)
        self.pid, self.pgid, self.cwd = pid, None, cast("Any", cwd)  # no group: signals go through the zygote
        return self.connection_info

    async def kill(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002 - jupyter_client's signature
        """Kill it and all its group; returns when it is gone."""
        await super().kill(restart)
        if self._forked is not None:
            await asyncio.to_thread(self._forked.wait)


_STANDARD = ("stdin", "stdout", "stderr")


def _descriptor(stack: contextlib.ExitStack, wanted: int | IO[Any] | None, place: int) -> int:
    if wanted is None and place:
        return place
    if wanted is None or wanted in (subprocess.DEVNULL, subprocess.PIPE):
        return stack.enter_context(open(os.devnull, "r+b")).fileno()  # noqa: PTH123 - a descriptor is what counts
    if wanted == subprocess.STDOUT:
        return 1
    return wanted if isinstance(wanted, int) else wanted.fileno()
