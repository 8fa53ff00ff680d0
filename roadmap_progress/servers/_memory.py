"""Where a database server's directory is quick: in memory (/dev/shm), where there is room.

A PostgreSQL's data directory is 1264 files, and a disk may take a second to make them; a document store waits for
the disk at each write. A folder for temporary files that somebody chose (TMPDIR) is respected.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from roadmap_progress.processes import is_alive

MEMORY = Path("/dev/shm")  # noqa: S108 (the folder that is made in it belongs to us alone)
ROOM_BYTES = 1 << 30  # left in memory, or the disk is taken; a fresh server needs a twentieth
STALE_S = 60.0  # no start takes so long between a directory and its lock
CONTROL_GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def in_memory() -> Path | None:
    """A folder in memory for a server's directory; None where memory is scarce, or another folder was chosen."""
    if tempfile.gettempdir() != "/tmp" or any(map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))):  # noqa: S108
        return None
    try:
        place = os.statvfs(MEMORY)
        with tempfile.TemporaryFile(dir=MEMORY):  # a sandbox may not let us
            pass
    except OSError:
        return None
    _sweep()
    room = min(place.f_bavail * place.f_frsize, *_free_memory())
    return MEMORY if room >= ROOM_BYTES else None


def _sweep() -> None:
    """Remove what is in memory of servers that were killed together with their watchdogs, as a session may be.

    A watchdog holds a lock on its directory as long as it lives.
    """
    for directory in (*MEMORY.glob("roadmap-postgresql-*"), *MEMORY.glob("roadmap-mongodb-*")):
        with suppress(OSError, ValueError):
            told = directory.stat()
            if told.st_uid != os.geteuid() or time.time() - told.st_mtime < STALE_S:
                continue
            descriptor = os.open(directory, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: it is in use
                for held in directory.glob("data/WiredTiger.lock"):  # by a document store, as long as it lives
                    with held.open("r+b") as store:
                        fcntl.lockf(store, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError, too
                pid_file = directory / "server" / "data" / "postmaster.pid"
                if not (pid_file.exists() and is_alive(int(pid_file.read_text(encoding="ascii").split()[0]))):
                    shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(descriptor)


def _free_memory() -> list[int]:
    """Bytes that this machine has left, and the container that we may be in; 0 if neither says so."""
    found = []
    with suppress(OSError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for folder, limit, used in CONTROL_GROUPS:
        with suppress(OSError, ValueError):  # ValueError: "max", which is no limit
            found.append(int(Path(folder, limit).read_text()) - int(Path(folder, used).read_text()))
    return found or [0]
