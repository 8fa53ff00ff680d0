"""`roadmap record`: a page that shows what was mastered, to give to others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", nargs="?", type=Path, help="default: backend-roadmap-record-<date>.html, here")
    parser.add_argument("--name", default="", help="your name, if it is to stand there")


def run(arguments: argparse.Namespace) -> int:
    """Write the file; 1 when the progress or the course cannot be read, or the file not be written."""
    from roadmap_progress.dashboard.session import Session
    from roadmap_progress.errors import WorkspaceError

    session = Session()
    try:
        session.refresh()
        name, data = session.record(arguments.name)
    finally:
        session.close()
    path = arguments.file or Path(name)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be written: {error.strerror or error}") from error
    print(f"written to {path}: open it in a browser, print it, or send it as it is")
    return 0
