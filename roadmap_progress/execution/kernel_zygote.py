"""A process that has ipykernel and libraries imported and forks kernels: `python -m ….kernel_zygote DESCRIPTOR`.

As in `zygote`: one thread, no event loop, no zmq context. Unlike there nothing is shut in: the kernels are
ordinary ones, with the environment and folder that their client wants. `provisioner` is the other side of its
protocol, on an inherited SOCK_SEQPACKET socket:

    {"import": [module, …]}      ->  {"ready": folder for sockets, "threads": module | null}
    {"start": argv, "cwd": …, "env": {…}} with descriptors for 0, 1 and 2
                                 ->  {"pid": …} or {"failed": why}
    {"signal": number, "pid": …} ->  (nothing); the process's whole group gets it
    a kernel ended               ->  {"ended": pid, "status": …}

When the client is gone, the kernels are killed; when this process is killed, the kernels' system kills them.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import random
import runpy
import shutil
import signal
import socket
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, NoReturn

from roadmap_progress.execution import serving

if TYPE_CHECKING:
    import resource

_PDEATHSIG = 1
ALWAYS = ("ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.pylab.backend_inline", "IPython.core.completer")


class _KernelZygote:
    def __init__(self, control: socket.socket, folder: str) -> None:
        self._control, self._folder = control, folder
        self._kernels: set[int] = set()

    def run(self) -> None:
        """Serve until the client is gone; then end the kernels."""
        signal.signal(signal.SIGTERM, _end)
        try:
            serving.serve(self._control, self._request, self._ended)
        finally:
            for pid in self._kernels:
                _signal(pid, signal.SIGKILL)

    def _request(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if "import" in message:
            threads = _import([*ALWAYS, *message["import"]])
            serving.tell(self._control, {"ready": self._folder, "threads": threads})
        elif "signal" in message:
            if message["pid"] in self._kernels:  # not reaped: the number is still its own
                _signal(message["pid"], message["signal"])
        else:
            self._start(message, descriptors)

    def _start(self, message: dict[str, Any], descriptors: list[int]) -> None:
        own = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no process left, no memory
            serving.tell(self._control, {"failed": str(error)})
            return
        if pid == 0:
            _kernel(message, descriptors, own)
        self._kernels.add(pid)
        serving.tell(self._control, {"pid": pid})

    def _ended(self, pid: int, status: int, _: resource.struct_rusage) -> None:
        if pid in self._kernels:
            _signal(pid, signal.SIGKILL)  # what is left of its group
            self._kernels.discard(pid)
            serving.tell(self._control, {"ended": pid, "status": status})


def _import(modules: list[str]) -> str | None:
    """Import what can be; returns the module that started a thread, if one did: forking is over then."""
    gc.unfreeze()
    for name in modules:
        with contextlib.suppress(Exception):  # it fails in the cell as well, with its words
            importlib.import_module(name)
        if len(os.listdir("/proc/self/task")) != 1:
            return name
    zmq = sys.modules.get("zmq")
    if zmq is not None and zmq.Context._instance is not None:
        return "zmq"
    gc.collect()
    gc.disable()
    gc.freeze()
    return None


def _kernel(message: dict[str, Any], descriptors: list[int], zygote: int) -> NoReturn:
    status = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != zygote:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for standard, descriptor in enumerate(descriptors):
            os.dup2(descriptor, standard)
        os.closerange(3, 65_536)
        os.environ.clear()
        os.environ.update(message["env"])
        time.tzset()
        os.chdir(message["cwd"])
        random.seed()
        numbers = sys.modules.get("numpy.random")
        if numbers is not None:
            numbers.seed()
        gc.enable()
        tempfile.tempdir = None
        # ipykernel watches its parent, whose number it took from the environment when it was imported
        sys.argv = [*message["start"], f"--IPKernelApp.parent_handle={zygote}"]
        sys.path.insert(0, message["cwd"])
        sys.path_importer_cache.clear()
        runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=False)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - nobody is above this process
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            import atexit

            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _signal(pid: int, number: int) -> None:
    """To the kernel's group; before it has one, to the kernel."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    place = tempfile.mkdtemp(prefix="roadmap-kernels-")
    try:
        _KernelZygote(socket.socket(fileno=int(sys.argv[1])), place).run()
    finally:
        shutil.rmtree(place, ignore_errors=True)
