"""`roadmap build`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="number or slug; default: all")
    parser.add_argument("--check", action="store_true", help="only say what is stale; execute nothing")
    parser.add_argument("--force", action="store_true", help="execute lessons whose source has not changed, too")


def run(arguments: argparse.Namespace) -> int:
    """Build, or say what is stale."""
    from roadmap_progress.authoring import build
    from roadmap_progress.catalog import find_root

    root = find_root()
    if arguments.check:
        problems = build.check(root)
        for problem in problems:
            print(f"stale: {problem}")
        print(f"{len(problems)} stale" if problems else "everything built is what its sources say")
        return 1 if problems else 0
    made = build.build(root, arguments.notebooks, force=arguments.force, say=lambda text: print(text, flush=True))
    print(f"made {len(made)}: {', '.join(made)}" if made else "nothing was stale")
    return 0
