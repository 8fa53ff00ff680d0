"""Files that come into being whole: made only where nothing is, or put in place of what is kept elsewhere."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from roadmap_progress.errors import WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def place(data: bytes, target: Path, scratch: Path) -> bool:
    """Make `target` hold `data`, unless there is something of that name; returns whether it was made.

    Args:
        data: the file's content.
        target: where it belongs; its folder is made.
        scratch: a folder on the same disk, for the file while it is not whole.
    """
    if os.path.lexists(target):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with _written(data, scratch) as temporary:
        try:
            os.link(temporary, target)  # unlike a rename, it fails where there is something already
        except FileExistsError:
            return False
        except OSError:  # a disk without hard links (exFAT, some network drives)
            return _place_without_links(data, target)
    return True


def replace(data: bytes, target: Path, scratch: Path) -> None:
    """Make `target` hold `data`, whatever was there; at every moment it is the old file or the new one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _written(data, scratch) as temporary:
        temporary.replace(target)


def keep(path: Path, folder: Path) -> Path:
    """Put a second name, or a copy, of `path` into `folder`, with the UTC time in it; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    number = 1
    while True:
        again = "" if number == 1 else f"-{number:02}"
        kept = folder / f"{path.stem}.{stamp}{again}{path.suffix}"
        if not kept.exists():
            break
        number += 1
    try:
        os.link(path, kept)  # takes no room, so it works on a full disk too
    except OSError:
        shutil.copy2(path, kept)
    return kept


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn what the disk says into a `WorkspaceError`: "`doing` did not work: …"."""
    try:
        yield
    except OSError as error:
        raise WorkspaceError(
            f"{doing} did not work: {error.strerror or error} ({error.filename or 'no file named'}); "
            "nothing of yours was changed. Free some space or make the folder writable, and try again"
        ) from error


@contextmanager
def _written(data: bytes, scratch: Path) -> Iterator[Path]:
    scratch.mkdir(parents=True, exist_ok=True)
    temporary = scratch / f"{uuid4().hex}.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave an empty file under the final name
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _place_without_links(data: bytes, target: Path) -> bool:
    try:
        with target.open("xb") as file:
            try:
                file.write(data)
            except OSError:
                target.unlink()
                raise
    except FileExistsError:
        return False
    return True
