"""A process that has everything imported and forks a child for each notebook: `python -m ….zygote DESCRIPTOR`.

Rules that make forking safe, and are held by `_assert_fork_safe`: one thread, no event loop, no zmq context. The
zygote speaks with one process only, over a SOCK_SEQPACKET socket that it inherited; when that closes, it kills its
children and ends. Its protocol (`roadmap_progress.execution.forks` is the other side):

    {"import": [module, …]}                      ->  {"skipped": {module: why}, "threads": module | null}
    {"fork": number, "role": …, "channels": [name, …], "sandbox": …, "join": pid | null} with descriptors
                                                 ->  {"pid": …, "fork": number}
    {"clone": true} with a descriptor            ->  {"ready": true} on that
    {"kill": number}                             ->  (nothing)
    a child ended                                ->  {"ended": number, "status": …, "peak_mb": …}
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import random
import signal
import socket
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, NoReturn

from roadmap_progress.execution import serving, wire

if TYPE_CHECKING:
    import resource

ALWAYS = (
    "IPython.core.magics",
    "IPython.core.magics.osm",
    "IPython.core.completer",
    "IPython.core.async_helpers",
    "IPython.core.debugger",
    "IPython.lib.pretty",
    "stack_data",
    "pygments.styles.default",
    "pygments.formatters.terminal256",
    "concurrent.futures.thread",
    "encodings.idna",
    "_strptime",
    "timeit",
    "unittest",
    "roadmap_progress.execution.answers",
    "roadmap_progress.execution.checks",
    "roadmap_progress.execution.probe",
)


def serve(control: socket.socket) -> None:
    """Import, say so, and fork on request until the other side is gone."""
    from roadmap_progress.execution import _seccomp, sandbox, shell

    sandbox.own_world()
    for name in ALWAYS:
        importlib.import_module(name)
    shell.build()
    code = _seccomp.program()
    _assert_fork_safe()
    control.send(b'{"ready": true}')
    _Zygote(control, code).run()


class _Zygote:
    def __init__(self, control: socket.socket, filter_code: bytes) -> None:
        self._control, self._filter = control, filter_code
        self._children: dict[int, int] = {}  # pid -> the number that the other side gave it

    def run(self) -> None:
        try:
            serving.serve(self._control, self._request, self._ended)
        finally:
            for pid in self._children:
                _kill(pid)

    def _request(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if "kill" in message:
            for pid, number in self._children.items():
                if number == message["kill"]:
                    _kill(pid)
        elif "import" in message:
            self._import(message["import"])
        elif "clone" in message:
            self._clone(descriptors[0])
        else:
            self._fork(message, descriptors)

    def _ended(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        number = self._children.pop(pid, None)
        if number is not None:
            serving.tell(self._control, {"ended": number, "status": status, "peak_mb": usage.ru_maxrss >> 10})

    def _import(self, modules: list[str]) -> None:
        gc.unfreeze()
        skipped, culprit = {}, None
        for name in modules:
            try:
                importlib.import_module(name)
            except Exception as error:  # noqa: BLE001 - it fails in the cell as well, with its words
                skipped[name] = f"{type(error).__name__}: {error}"
            if len(os.listdir("/proc/self/task")) != 1:
                culprit = name
                break
        from roadmap_progress.execution import reset, shell

        reset.remember(shell.Shell.instance())
        gc.collect()
        gc.disable()
        gc.freeze()
        serving.tell(self._control, {"skipped": skipped, "threads": culprit})

    def _clone(self, descriptor: int) -> None:
        control = socket.socket(fileno=os.dup(descriptor))
        if os.fork() == 0:
            status = 1
            try:
                os.setsid()
                self._control.close()
                control.send(b'{"ready": true}')
                _Zygote(control, self._filter).run()
                status = 0
            finally:
                os._exit(status)
        control.close()

    def _fork(self, message: dict[str, Any], descriptors: list[int]) -> None:
        from roadmap_progress.execution import sandbox

        try:
            pid = sandbox.fork()
        except OSError as error:  # no process left, no memory
            serving.tell(self._control, {"ended": message["fork"], "status": None, "error": str(error)})
            return
        if pid == 0:
            _child(message, descriptors, self._filter)
        self._children[pid] = message["fork"]
        serving.tell(self._control, {"pid": pid, "fork": message["fork"]})


def _child(message: dict[str, Any], descriptors: list[int], filter_code: bytes) -> NoReturn:
    status, channels = 1, descriptors
    try:
        channels = _reset(descriptors)
        _shut_in(message, filter_code)
        role = importlib.import_module(f"roadmap_progress.execution.{message['role']}")
        sockets = [socket.socket(fileno=descriptor) for descriptor in channels]
        role.serve(dict(zip(message["channels"], sockets, strict=True)))
        status = 0
    except BaseException as error:  # noqa: BLE001 - nobody is above this process
        with contextlib.suppress(BaseException):
            wire.send(socket.socket(fileno=channels[0]), {"failed": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(status)


def _shut_in(message: dict[str, Any], filter_code: bytes) -> None:
    from roadmap_progress.execution import fixtures, sandbox

    sys.path[:] = [place for place in sys.path if place]
    wanted = sandbox.Sandbox.from_json(message["sandbox"])
    if message["join"] is None:
        sandbox.enter(wanted, filter_code)
    else:
        sandbox.join(message["join"], wanted, filter_code)
    environment = {
        "PATH": os.pathsep.join(
            [os.path.join(sys.prefix, "bin"), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        ),
        "HOME": "/home",
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "agg",
        "NBGRADER_EXECUTION": "autograde",  # as nbgrader says it to notebooks that want to know
    }
    if message["role"] == "fixtures":
        environment |= fixtures.environment()
        tempfile.tempdir = None
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["ipykernel_launcher"]
    # modules beside the notebook: for checks the released ones, not what the answers made of them
    sys.path.insert(0, "" if message["join"] is None else sandbox.BESIDE)
    sys.path_importer_cache.clear()


def _reset(descriptors: list[int]) -> list[int]:
    """Make the child look like a fresh interpreter; returns where its channels are now."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    top = 100
    kept = []
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, top + place, inheritable=False)
        kept.append(top + place)
    os.closerange(3, top)
    os.closerange(top + len(kept), 65_536)
    random.seed()
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed()
    gc.enable()
    return kept


def _kill(pid: int) -> None:
    """The first process of a PID namespace takes all others in it with it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _assert_fork_safe() -> None:
    zmq = sys.modules.get("zmq")
    if zmq is not None and zmq.Context._instance is not None:
        raise SystemExit("the zygote has a zmq context")
    if len(os.listdir("/proc/self/task")) != 1:
        raise SystemExit("the zygote has threads")


if __name__ == "__main__":
    from roadmap_progress.execution import zygote  # noqa: PLW0406 - not `__main__`: one copy of this module

    zygote.serve(socket.socket(fileno=int(sys.argv[1])))
