"""What the store must know about the disk under it: is it local, and how is a bad file set aside."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# File systems on which processes of one machine share memory maps: what WAL needs. Everything else
# (nfs, cifs, 9p, fuse…, and what nobody has heard of yet) gets the rollback journal, which is right everywhere.
LOCAL = frozenset(
    {"apfs", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "reiserfs"}
    | {"rootfs", "tmpfs", "xfs", "zfs"}
)
MOUNTS = Path("/proc/self/mountinfo")
COMPANIONS = ("", "-wal", "-shm", "-journal")  # SQLite's files beside the database, which belong to it


def is_local(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Whether `folder` is known to lie on a disk of this machine; False also where that cannot be told."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # macOS has no such file
        return False
    wanted = str(folder.resolve())
    best, kind = "", ""
    for line in lines:
        before, _, after = line.partition(" - ")  # proc(5): optional fields end with a hyphen
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or not rest:
            continue
        point = _unescape(fields[4])
        inside = point == "/" or wanted == point or wanted.startswith(point + "/")
        if inside and len(point) >= len(best):  # the last of several mounts on one point is what is seen
            best, kind = point, rest[0]
    return kind in LOCAL


def set_aside(path: Path) -> Path:
    """Rename a file that SQLite cannot read, with its companions, and return its new name."""
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    target = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    # The file comes last: once it is gone, another process may begin a new one, with companions of its own.
    for suffix in reversed(COMPANIONS):
        companion = path.with_name(path.name + suffix)
        if companion.exists():  # a stale -wal left behind would be taken for the new file's
            companion.rename(target.with_name(target.name + suffix))
    return target


def identity(path: Path) -> tuple[int, int] | None:
    """What tells this file from another of the same name; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep other processes out while a bad file in `folder` is replaced, where the system has such a lock."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # NFS locks no folders: the look before the rename has to do
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
