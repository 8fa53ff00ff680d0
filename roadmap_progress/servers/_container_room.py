"""A room for containers, with walls made by the kernel; run as a program, with nothing but the standard library.

    python _container_room.py FOLDER PLACE      # stays; FOLDER/room has the process number to enter it by
    python _container_room.py --probe           # tries, and ends

In it FOLDER takes the place of PLACE, too.

It has user, mount and process namespaces of its own. Who is in it is root there, and outside whoever started it.
When its first process ends, the kernel ends every other one in it, and with the last one its mounts are gone:
whatever ends the lesson, no container, no `conmon` and no mount can be left. Control groups are read-only in it,
so none is made that could be left either.

Exit code 3: this system does not let this user make one; the reason is on stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000  # linux/sched.h
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18  # linux/mount.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h
IDS = 65536  # as many as an image may name
NOT_HERE = 3

libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Make the room, and stay in it until somebody ends this process."""
    probe = sys.argv[1:] == ["--probe"]
    folder, place = ("", "") if probe else sys.argv[1:]
    uid, gid = os.geteuid(), os.getegid()
    try:
        enter(uid, gid)
    except OSError as error:
        print(f"{error.strerror or error}", file=sys.stderr, flush=True)
        return NOT_HERE
    ready, told = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(ready)
        return live(told, folder, place, stay=not probe)
    os.close(told)
    try:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        if os.read(ready, 1) and not probe:
            file = Path(folder) / "room.new"
            file.write_text(str(first), encoding="ascii")
            file.rename(Path(folder) / "room")
        _, status = os.waitpid(first, 0)
    except SystemExit:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)  # true when the last process in the room has ended
        remove(Path(folder) / "storage")
        return 0
    return os.waitstatus_to_exitcode(status)


def remove(folder: Path) -> None:
    """Remove what belongs to users that exist in the room only; outside, nobody but root could."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def enter(uid: int, gid: int) -> None:
    """Leave the namespaces that this process was started in for new ones."""
    asked, asking = os.pipe()
    done, doing = os.pipe()
    parent = os.getpid()
    helper = os.fork()  # it stays outside, where there is the right to say who is who inside
    if helper == 0:
        os.close(asking)
        os.close(done)
        code = 1
        if os.read(asked, 1):
            with contextlib.suppress(OSError):
                map_ids(parent, uid, gid)
                code = 0
        os._exit(code)
    os.close(asked)
    os.close(doing)
    try:
        call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)
        os.write(asking, b"x")
    finally:
        os.close(asking)
        _, status = os.waitpid(helper, 0)
    if status:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")  # one user and one group, no others
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
    os.setgid(0)
    os.setuid(0)


def map_ids(process: int, uid: int, gid: int) -> None:
    """Say which users and groups there are in another process's new namespace.

    Raises:
        OSError: this user may not name more than itself.
    """
    if uid == 0:
        for kind in ("uid", "gid"):
            Path(f"/proc/{process}/{kind}_map").write_text(f"0 0 {IDS}", encoding="ascii")
        return
    for kind, own in (("uid", uid), ("gid", gid)):
        start, count = subordinate(kind, uid)
        command = [f"new{kind}map", str(process), "0", str(own), "1", "1", str(start), str(count)]
        child = os.posix_spawnp(
            command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)]
        )
        if os.waitpid(child, 0)[1]:
            raise PermissionError(command[0])


def subordinate(kind: str, uid: int) -> tuple[int, int]:
    """The range of further users or groups that /etc/subuid or /etc/subgid grants.

    Raises:
        OSError: there is none.
    """
    import pwd

    names = {str(uid)}
    with contextlib.suppress(KeyError):
        names.add(pwd.getpwuid(uid).pw_name)
    for line in Path(f"/etc/sub{kind}").read_text(encoding="utf-8").splitlines():
        name, _, granted = line.partition(":")
        start, _, count = granted.partition(":")
        if name in names and count.strip().isdigit():
            return int(start), min(int(count), IDS - 1)
    raise PermissionError(f"/etc/sub{kind}")


def live(told: int, folder: str, place: str, *, stay: bool) -> int:
    """Be the room's first process: furnish it, and take in the processes whose parents have ended."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        furnish(folder, place)
    except OSError as error:
        print(f"{error.strerror or error}: {error.filename}", file=sys.stderr, flush=True)
        return NOT_HERE
    os.write(told, b"x")
    os.close(told)
    if not stay:
        return 0
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps them itself
    while True:
        signal.pause()


def furnish(folder: str, place: str) -> None:
    """Its own view of processes, and of what is not for it to change."""
    mount("none", "/", MS_REC | MS_PRIVATE)
    mount("proc", "/proc", 0, kind="proc")
    lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    for point in [line.split()[1] for line in lines]:
        if point.startswith("/sys/fs/cgroup"):
            mount("none", point, MS_REMOUNT | MS_BIND | MS_RDONLY)
    if place:
        mount(folder, place, MS_BIND)


def mount(source: str, target: str, flags: int, kind: str = "none") -> None:
    call("mount", source.encode(), target.encode(), kind.encode(), flags, None, about=target)


def call(name: str, *arguments: object, about: str = "") -> None:
    """A function of the C library that returns 0 if all is well."""
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about or name)


if __name__ == "__main__":
    os._exit(main())
