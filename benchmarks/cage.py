"""Runs a grader that has no limits where it can hurt nothing: the first process of namespaces of its own.

    unshare --mount --pid --net --ipc --uts --fork --kill-child --propagation private python benchmarks/cage.py …

Its argument is the JSON of a `Wish`. Needs root. The grader runs as a user that owns nothing else, under a root in
memory that holds the interpreter, its libraries and a copy of a course; memory, processes, files and time are
limited, the network is a loopback. When this process ends, the kernel kills what is left in its PID namespace.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

COURSE = "/course"  # where the grader finds it; also its HOME
ATTACKED_HOME = "/attacked-home"  # a file of the instructor's, at a place that is known
LIMITS = {
    resource.RLIMIT_NPROC: 300,
    resource.RLIMIT_DATA: 1 << 30,
    resource.RLIMIT_FSIZE: 64 << 20,
    resource.RLIMIT_NOFILE: 1024,
    resource.RLIMIT_CPU: 120,
    resource.RLIMIT_CORE: 0,
}
ROOM = "size=300m,nr_inodes=60000,mode=755"
READ_ONLY = ("/usr", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/ssl",
             "/etc/alternatives", "/etc/services", "/etc/protocols")  # fmt: skip
KEPT_BYTES = 64 << 20


@dataclass(frozen=True)
class Wish:
    """What to run.

    Attributes:
        uid: nobody else's on this machine: processes are counted by user.
        course: folder that is copied to `COURSE`.
        package: folder of `roadmap_progress`.
        command: the grader, for `COURSE` as working folder.
        limit_s: it is killed after so many seconds,
        idle_s: or when nothing has happened for so many.
        keep: files of the course, relative, that are copied out.
        report: folder for these, for the grader's output, and for `report.json`.
    """

    uid: int
    course: str
    package: str
    command: list[str]
    limit_s: float
    idle_s: float
    keep: list[str]
    report: str


def mount(*arguments: str) -> None:
    """mount(8)."""
    subprocess.run(["mount", *arguments], check=True)


def bind_libraries(root: str, package: str) -> None:
    """What the grader may read besides the course."""
    base = str(Path(sys.base_prefix).resolve())
    for path in (*READ_ONLY, *(() if base.startswith("/usr") else (base,)), sys.prefix, package):
        target = Path(root + path)
        if Path(path).is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif Path(path).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        else:
            continue
        mount("--bind", path, str(target))
        mount("-o", "remount,bind,ro", str(target))
    for link in map(Path, ("/bin", "/sbin", "/lib", "/lib64")):
        if link.is_symlink():
            Path(f"{root}{link}").symlink_to(link.readlink())


def make_devices(root: str) -> None:
    """/dev, and folders that programs expect."""
    for folder in ("proc", "dev/pts", "dev/shm", "tmp", "old"):
        Path(root, folder).mkdir(parents=True)
    Path(root, "tmp").chmod(0o1777)
    for device in ("null", "zero", "full", "random", "urandom"):
        Path(root, "dev", device).touch()
        mount("--bind", f"/dev/{device}", f"{root}/dev/{device}")
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=0620", "devpts", f"{root}/dev/pts")
    mount("-t", "tmpfs", "-o", "size=64m,mode=1777", "tmpfs", f"{root}/dev/shm")  # noqa: S108 - a private one
    Path(root, "dev/ptmx").symlink_to("pts/ptmx")
    Path(root, "dev/fd").symlink_to("/proc/self/fd")


def make_homes(root: str, wish: Wish) -> None:
    """The course, the teacher, and what attacks look for."""
    etc = Path(root, "etc")
    etc.joinpath("passwd").write_text(
        f"root:x:0:0:root:/root:/bin/sh\nteacher:x:{wish.uid}:{wish.uid}::{COURSE}:/bin/sh\n", encoding="ascii"
    )
    etc.joinpath("group").write_text(f"root:x:0:\nteacher:x:{wish.uid}:\n", encoding="ascii")
    etc.joinpath("hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="ascii")
    shutil.copytree(wish.course, root + COURSE)
    for home in (COURSE, ATTACKED_HOME):
        Path(root + home).mkdir(exist_ok=True)
        Path(root + home, "secret.txt").write_text("secret", encoding="ascii")
        for place in (Path(root + home), *Path(root + home).rglob("*")):
            os.chown(place, wish.uid, wish.uid)


def private_root(wish: Wish) -> None:
    """Go on under a root in memory."""
    root = "/mnt"
    mount("-t", "tmpfs", "-o", ROOM, "tmpfs", root)
    bind_libraries(root, wish.package)
    make_devices(root)
    make_homes(root, wish)
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "old"], check=True)
    os.chdir("/")
    mount("-t", "proc", "-o", "nosuid,nodev,noexec", "proc", "/proc")
    subprocess.run(["umount", "--lazy", "/old"], check=True)
    Path("/old").rmdir()


def loopback_up() -> None:
    """The only network there is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running


def as_teacher(uid: int, *, limited: bool) -> None:
    """Become the user that grades."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if limited:
        for what, value in LIMITS.items():
            resource.setrlimit(what, (value, value))


def bait(uid: int) -> int:
    """A server of the instructor's on the loopback, which says who it is; returns its pid."""
    listener = socket.create_server(("127.0.0.1", 0))
    pid = os.fork()
    if pid == 0:
        as_teacher(uid, limited=False)
        while True:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"attacked")
    listener.close()
    return pid


def start(wish: Wish, said: int) -> int:
    """Fork the grader; returns its pid."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.chdir(COURSE)
        as_teacher(wish.uid, limited=True)
        environment = {
            "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": COURSE,
            "LANG": "C.UTF-8",
            "ROADMAP_ATTACKED_HOME": COURSE,
        }
        os.execve(wish.command[0], wish.command, environment)  # noqa: S606 - as other user, in this session
    return pid


def wait(pid: int, wish: Wish) -> int | None:
    """The grader's exit code, None where it had to be killed; other children are reaped meanwhile.

    It hangs when it and all that it started use no processor for long; the rest may be a busy machine.
    """
    began = moved = time.monotonic()
    used = 0.0
    while time.monotonic() < min(began + wish.limit_s, moved + wish.idle_s):
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == pid:
            return os.waitstatus_to_exitcode(status)
        if ended == 0:
            time.sleep(0.1)
        now = processor_s()
        if abs(now - used) > 0.5:
            used, moved = now, time.monotonic()
    return None


def processor_s() -> float:
    """What all processes here have used."""
    ticks = 0
    for place in Path("/proc").iterdir():
        if place.name.isdecimal() and place.name != "1":
            with contextlib.suppress(OSError):
                text = place.joinpath("stat").read_text(encoding="utf-8", errors="replace")
                ticks += sum(int(word) for word in text[text.rindex(")") + 2 :].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def living(but: set[int]) -> list[str]:
    """The names of the processes that are still there."""
    found = []
    for pid in filter(str.isdecimal, (place.name for place in Path("/proc").iterdir())):
        with contextlib.suppress(OSError):
            text = Path("/proc", pid, "stat").read_text(encoding="utf-8", errors="replace")
            name, state = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2]
            if int(pid) not in but and state != "Z":
                found.append(name)
    return found


def copy_out(name: str, report: int) -> None:
    """Copy a file of the course out, if it is there and no larger than is sensible."""
    with (
        contextlib.suppress(OSError),
        os.fdopen(os.open(f"{COURSE}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file,
    ):
        data = file.read(KEPT_BYTES)
        target = os.open(name.replace("/", "+"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=report)
        with os.fdopen(target, "wb") as copy:
            copy.write(data)


def main() -> None:
    """Run the grader, and report."""
    assert os.getpid() == 1, "this has to be the first process of a PID namespace"
    wish = Wish(**json.loads(sys.argv[1]))
    report = os.open(wish.report, os.O_RDONLY | os.O_DIRECTORY)
    said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644, dir_fd=report)
    private_root(wish)
    loopback_up()
    server = bait(wish.uid)
    began = time.monotonic()
    grader = start(wish, said)
    code = wait(grader, wish)
    seconds = time.monotonic() - began
    left = living({1, server, grader})
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    for name in wish.keep:
        copy_out(name, report)
    found = {
        "code": code,
        "hung": code is None,
        "seconds": round(seconds, 1),
        "left": left if code is not None else [],
    }
    report_to = os.open("report.json", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=report)
    with os.fdopen(report_to, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main()
