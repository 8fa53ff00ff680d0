"""What a submission's processes may do: namespaces, a private root, limits, a system call filter.

The zygote calls `fork` and, in the child, `enter` (the process with the answers) or `join` (the process with the
checks, which shares the first one's files and network and nothing else). Everything here is undone by the kernel
when the child ends: mounts, network and processes belong to namespaces that die with it.

Works for root and, where user namespaces are allowed, for anybody: then the zygote is root of a namespace of its
own, and the child drops that in a further one. See namespaces(7), user_namespaces(7), pivot_root(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import socket
import stat
import struct
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution import _mounts, _seccomp
from roadmap_progress.execution.files import copy_regular_files, measure

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_PDEATHSIG, _SET_DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38
_MNT_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SIOCSIFFLAGS, _UP_RUNNING = 0x8914, 0x41
# User ids of submissions' processes, where the zygote is root: so many for each process that grades, one a worker.
# What a user may start is counted for the whole machine: they must not be shared.
FIRST_UID, UIDS = 1_000_000_000, 256
SERVERS_UID_OFFSET = UIDS // 2  # from a submission's uid to that of its servers
_INNER_UID = 1000  # where it is root of a user namespace only

WORK = "/submission"  # the submission's folder, as its code sees it
# A process that joins has a folder of its own here, which the answers cannot see: the checks' process its own copy
# of the files, the servers' process all that these keep.
BESIDE = "/home"
PREPARED = f"{BESIDE}/prepared"
_READ_ONLY = (
    "/usr",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/ssl",
    "/etc/alternatives",
    "/etc/services",
    "/etc/protocols",
    "/etc/chromium.d",  # Debian's chromium is a script that reads it, and does not start without
    "/etc/fonts",
)
_DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def uid_of(worker: int = 0) -> int:
    """The user id for what this process's worker of this number runs; no other grader on this machine has it."""
    return FIRST_UID + UIDS * os.getpid() + worker % SERVERS_UID_OFFSET


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process of a submission may use.

    Attributes:
        memory_mb: private memory on top of what the zygote had when it forked (RLIMIT_DATA).
        processes: processes and threads of the submission together.
        disk_mb: all files that it writes; they lie in memory and are gone with it.
        cpu_s: processor seconds of one process.
        open_files: open descriptors of one process.
    """

    memory_mb: int = 1024
    processes: int = 128
    disk_mb: int = 64
    cpu_s: int = 300
    open_files: int = 1024


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How a child is shut in.

    Attributes:
        files: folder whose regular files are copied into the child's work folder, or None.
        uid: user id of the child where the zygote is root.
        writes: whether a joining process may write to its own folder, `BESIDE`.
        prepared: folder that a joining process finds at `PREPARED`, read-only, or None.
    """

    files: str | None = None
    uid: int = field(default_factory=uid_of)
    limits: Limits = Limits()
    writes: bool = False
    prepared: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For the wire."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Sandbox:
        """From the wire."""
        return cls(**{**data, "limits": Limits(**data["limits"])})


class Unavailable(ExecutionError):
    """This machine cannot shut submissions in; the text says what is missing."""


def check_machine() -> None:
    """See in a throw-away child whether the sandbox can be built here.

    Raises:
        Unavailable: it cannot; with what is missing and what would help.
    """
    if sys.platform != "linux":
        raise Unavailable(f"submissions can be shut in on Linux only, and this is {sys.platform}")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            own_world()
            _unshare(_NEWNS | _NEWNET | _NEWIPC | _NEWUTS)
            os.write(writing, b"ok")
        except BaseException as error:  # noqa: BLE001 - told to the parent
            with contextlib.suppress(OSError):
                os.write(writing, str(error).encode()[:500])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    if said != "ok":
        raise Unavailable(
            "this machine gives no namespaces to shut submissions in "
            f"({said or 'the trial process died'}). Run it as root, or allow user namespaces: "
            "`sysctl -w kernel.unprivileged_userns_clone=1` (Debian), "
            "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu); in a container, start that "
            "with `--security-opt seccomp=unconfined` or more"
        )


def own_world() -> None:
    """Go on as the first process of a PID namespace of one's own, with rights to make more; for the zygote.

    Who is not root becomes root of a user namespace. The process that called stays behind, waits, and ends as its
    child does; when either dies, everything in the namespace dies.
    """
    flags = _NEWPID | _NEWNS
    if os.geteuid() == 0:
        _unshare(flags)
    else:
        uid, gid = os.geteuid(), os.getegid()
        _unshare(flags | _NEWUSER)
        _map_ids(0, uid, gid)
    child = os.fork()
    if child != 0:
        os.closerange(3, 1024)
        _, status = os.waitpid(child, 0)
        os._exit(max(os.waitstatus_to_exitcode(status), 0))
    _libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _mount("none", "/", None, _REC | _PRIVATE)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)


def fork() -> int:
    """Fork a child that is the first process of a new PID namespace, with no process in between."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _unshare(_NEWPID)
        child = -1
        try:
            child = os.fork()
        finally:
            if child != 0:
                _check(_libc.setns(own, _NEWPID), "setns")
        return child
    finally:
        os.close(own)


def enter(sandbox: Sandbox, filter_code: bytes) -> None:
    """Shut this process in; afterwards its folder is `WORK`, and it has no way back.

    Raises:
        OSError: a step failed; the process must not go on.
    """
    _unshare(_NEWNS | _NEWIPC | _NEWUTS | _NEWNET)
    _loopback_up()
    _private_root(sandbox)
    _give_up_rights(sandbox)
    _seccomp.install(filter_code)


def join(pid: int, sandbox: Sandbox, filter_code: bytes) -> None:
    """Shut this process in beside the process `pid`: its files and its network, but neither sees the other.

    Raises:
        OSError: a step failed; the process must not go on.
    """
    options = _room(sandbox)
    files = os.open(sandbox.files, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if sandbox.files else None
    view = None
    if sandbox.prepared:
        with contextlib.suppress(OSError):  # an old kernel: what is prepared is made once more
            view = _mounts.pick_up(sandbox.prepared)
    spaces = [
        os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "ipc", "uts", "mnt")
    ]
    for space in spaces:
        _check(_libc.setns(space, 0), "setns")
        os.close(space)
    _unshare(_NEWNS | _NEWIPC)  # what is mounted from here on, the other does not see
    _mount("none", "/", None, _REC | _PRIVATE)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    _mount("tmpfs", BESIDE, "tmpfs", _NOSUID | _NODEV, options)
    if files is not None:
        copy_regular_files(files, BESIDE)
        os.close(files)
    if view is not None:
        os.mkdir(PREPARED)
        _mounts.put_down(view, PREPARED)
    if not sandbox.writes:
        _mount("none", BESIDE, None, _BIND | _REMOUNT | _RDONLY | _NOSUID | _NODEV)
    elif os.geteuid() == 0 and not _mapped():
        os.chown(BESIDE, sandbox.uid, sandbox.uid)
    os.chdir(WORK)
    _give_up_rights(sandbox)
    _libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)  # what a check starts must not read the check out of this process
    _seccomp.install(filter_code)


def _private_root(sandbox: Sandbox) -> None:
    _mount("none", "/", None, _REC | _PRIVATE)
    root = "/tmp"  # noqa: S108 - only a place to mount on; it hides the real one
    home = os.open(sandbox.files, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if sandbox.files else None
    sources = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in _readable() if os.path.exists(path)]
    options = _room(sandbox)
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, options)
    for path, descriptor in sources:
        _bind(f"/proc/self/fd/{descriptor}", root + path, folder=stat.S_ISDIR(os.fstat(descriptor).st_mode))
        os.close(descriptor)
    for link in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{link}"):
            os.symlink(os.readlink(f"/{link}"), f"{root}/{link}")
    for folder, mode in (
        ("tmp", 0o1777),
        ("proc", 0o755),
        ("dev/shm", 0o1777),
        ("dev/pts", 0o755),
        ("home", 0o755),
    ):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
        os.chmod(f"{root}/{folder}", mode)
    _mount("proc", f"{root}/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    for device in _DEVICES:
        Path(f"{root}/dev/{device}").touch()
        _mount(f"/dev/{device}", f"{root}/dev/{device}", None, _BIND)
    _mount("devpts", f"{root}/dev/pts", "devpts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    os.symlink("pts/ptmx", f"{root}/dev/ptmx")
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    _small_etc(Path(root, "etc"), sandbox.uid)
    work = root + WORK
    os.mkdir(work)
    if home is not None:
        copy_regular_files(home, work)
        os.close(home)
    if os.geteuid() == 0 and not _mapped():
        for folder in (work, f"{root}/home"):
            _give(folder, sandbox.uid)
    os.chdir(root)
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"no sandbox on {os.uname().machine} yet")
    _check(_libc.syscall(number, b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount")
    os.chdir(WORK)


def _room(sandbox: Sandbox) -> str:
    """Mount options of a tmpfs that has room for the files and, beside them, for what the limits allow."""
    size, entries = measure(sandbox.files) if sandbox.files else (0, 0)
    return f"size={(sandbox.limits.disk_mb << 20) + size},nr_inodes={20_000 + entries},mode=755"


def _readable() -> list[str]:
    """The interpreter, its libraries and this package: what code may read besides its own files."""
    package = str(Path(__file__).resolve().parents[1])
    places = [*_READ_ONLY, os.path.realpath(sys.base_prefix), sys.prefix, package]
    return [
        path
        for place, path in enumerate(places)
        if not any(path == other or path.startswith(f"{other}/") for other in places[:place])
    ]


def _small_etc(etc: Path, uid: int) -> None:
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text(
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        f"learner:x:{uid}:{uid}:learner:/home:/bin/sh\n"
        f"servers:x:{uid + SERVERS_UID_OFFSET}:{uid + SERVERS_UID_OFFSET}:servers:/home:/bin/sh\n"
        f"answers:x:{_INNER_UID}:{_INNER_UID}:learner:/home:/bin/sh\n",
        encoding="ascii",
    )
    (etc / "group").write_text(f"root:x:0:\nlearner:x:{uid}:\n", encoding="ascii")
    (etc / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="ascii")
    (etc / "resolv.conf").write_text("", encoding="ascii")


def _give_up_rights(sandbox: Sandbox) -> None:
    limits = sandbox.limits
    _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _mapped():  # root of a user namespace: leave its rights behind in a further one
        _unshare(_NEWUSER)
        _map_ids(_INNER_UID, 0, 0)
    else:
        os.setgroups([])
        os.setresgid(sandbox.uid, sandbox.uid, sandbox.uid)
        os.setresuid(sandbox.uid, sandbox.uid, sandbox.uid)
    _libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # after the change of user, which clears it
    data = _data_bytes() + (limits.memory_mb << 20)
    for what, value in (
        (resource.RLIMIT_DATA, data),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_FSIZE, limits.disk_mb << 20),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that grows too large is an OSError


def _data_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0


def _mapped() -> bool:
    """Whether this process is root of a user namespace only."""
    return Path("/proc/self/uid_map").read_text(encoding="ascii").split() != ["0", "0", "4294967295"]


def _map_ids(inner: int, uid: int, gid: int) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", f"{inner} {uid} 1"), ("gid_map", f"{inner} {gid} 1")):
        try:
            Path("/proc/self", name).write_text(text, encoding="ascii")
        except PermissionError:
            if name != "setgroups":  # denied already, further out
                raise


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP_RUNNING))


def _give(folder: str, uid: int) -> None:
    for place, folders, files in os.walk(folder):
        os.chown(place, uid, uid)
        for name in (*folders, *files):
            os.lchown(os.path.join(place, name), uid, uid)


def _bind(source: str, target: str, *, folder: bool) -> None:
    if folder:
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
    _mount(source, target, None, _BIND | _REC)
    _mount(source, target, None, _BIND | _REMOUNT | _RDONLY | _NOSUID)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    done = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() if options else None,
    )
    _check(done, f"mount {kind or source} on {target}")


def _unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
