"""`roadmap dist`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("target", metavar="OUT", help="folder to make; must not exist, or be empty")


def run(arguments: argparse.Namespace) -> int:
    """Make the tree and say what is in it."""
    from pathlib import Path

    from roadmap_progress.authoring.dist import distribute
    from roadmap_progress.catalog import find_root

    target = Path(arguments.target).resolve()
    files = distribute(find_root(), target)
    print(f"{target}: {len(files)} files; no sources, solutions or hidden checks among them")
    return 0
