"""Copying what somebody else laid down: regular files only, no link followed, within limits."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from roadmap_progress.errors import ExecutionError

_SKIPPED = (".ipynb_checkpoints", "__pycache__", ".git")


class TooMuch(ExecutionError):
    """A folder holds more than it may."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a folder may hold.

    Attributes:
        entries: files and folders together.
        depth: folders within folders.
    """

    size_bytes: int = 32 << 20
    entries: int = 5_000
    depth: int = 20


def copy_regular_files(source: int, target: str, allowance: Allowance | None = None) -> None:
    """Copy what lies below a folder, but notebooks, links, pipes, devices and what cannot be read.

    Args:
        source: descriptor of the folder.
        allowance: None copies whatever there is.

    Raises:
        TooMuch: there is more than is allowed; a part of it was copied.
        OSError: it cannot be written: no room, or a name that is too long.
    """
    size = entries = 0
    for place, folders, names, descriptor in os.fwalk(".", follow_symlinks=False, dir_fd=source):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        entries += len(folders) + len(names)
        if allowance and entries > allowance.entries:
            raise TooMuch(f"more than {allowance.entries} files and folders beside the notebooks")
        if allowance and folders and place.count(os.sep) >= allowance.depth:
            raise TooMuch(f"folders more than {allowance.depth} deep beside the notebooks")
        here = Path(target, place)
        here.mkdir(parents=True, exist_ok=True)
        for name in names:
            if name.endswith(".ipynb"):
                continue
            try:
                opened = os.open(
                    name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor
                )
            except OSError:
                continue
            with os.fdopen(opened, "rb") as reading:
                about = os.fstat(opened)
                if not stat.S_ISREG(about.st_mode):
                    continue
                size += about.st_size
                if allowance and size > allowance.size_bytes:
                    raise TooMuch(f"more than {allowance.size_bytes >> 20} MB of files beside the notebooks")
                with (here / name).open("wb") as writing:
                    shutil.copyfileobj(reading, writing)


def measure(folder: str) -> tuple[int, int]:
    """Bytes and number of all that lies below the folder."""
    size = entries = 0
    for place, folders, names in os.walk(folder):
        entries += len(folders) + len(names)
        size += sum(os.lstat(os.path.join(place, name)).st_size for name in names)  # noqa: PTH118 - see sandbox
    return size, entries
