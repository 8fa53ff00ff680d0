"""`roadmap passport`: carry progress and answers from one machine to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from datetime import datetime

    from roadmap_progress.model import Roadmap
    from roadmap_progress.store import Store


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the two subcommands."""
    commands = parser.add_subparsers(dest="action", metavar="save|restore", required=True)
    save = commands.add_parser("save", help="write everything that you did into one file")
    save.add_argument("file", nargs="?", type=Path, help="default: backend-roadmap-<date>.passport, here")
    restore = commands.add_parser("restore", help="put what such files hold into this course, beside what is here")
    restore.add_argument("files", nargs="+", type=Path, metavar="FILE")


def run(arguments: argparse.Namespace) -> int:
    """Save or restore; 1 when something could not be."""
    from datetime import UTC, datetime

    from roadmap_progress import catalog
    from roadmap_progress.store import Store, path_for

    root = catalog.find_root()
    roadmap = catalog.load(root)
    with Store(path_for(root)) as store:
        for notice in store.notices:
            print(f"! {notice}")
        if arguments.action == "save":
            return _save(arguments.file, root, roadmap, store, datetime.now(UTC))
        return _restore(arguments.files, root, roadmap, store)


def _save(file: Path | None, root: Path, roadmap: Roadmap, store: Store, now: datetime) -> int:
    from roadmap_progress.errors import WorkspaceError
    from roadmap_progress.workspace import passports

    data, problems = passports.save(root, roadmap, store, now)
    path = file or Path(passports.file_name(now))
    try:
        path.write_bytes(data)
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be written: {error.strerror or error}") from error
    passports.mark_saved(root, now)
    print(f"saved in {path} ({len(data) / 1024:.0f} KB); on another machine: roadmap passport restore {path.name}")
    for problem in problems:
        print(f"! {problem}")
    return 1 if problems else 0


def _restore(files: list[Path], root: Path, roadmap: Roadmap, store: Store) -> int:
    from roadmap_progress.workspace import passports

    found = [(path, passports.load(path)) for path in files]  # all are read before anything is changed
    problems = 0
    for path, one in found:
        restored = passports.restore(one, root, roadmap, store)
        saved = f", saved {one.saved:%Y-%m-%d %H:%M} UTC" if one.saved else ""
        notebooks = sum(bool(taken.answers or taken.extras) for taken in restored.taken.values())
        print(
            f"{path}{saved}: {restored.events} results that were not here, {restored.answers} answers and "
            f"cells of yours in {notebooks} notebooks"
        )
        for problem in restored.problems:
            print(f"! {problem}")
        problems += len(restored.problems)
    return 1 if problems else 0
