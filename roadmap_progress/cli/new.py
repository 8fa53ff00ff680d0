"""`roadmap new`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("notebook", metavar="NOTEBOOK", help="number or slug of a planned notebook")


def run(arguments: argparse.Namespace) -> int:
    """Lay out the notebook's two files and say what comes next."""
    from roadmap_progress.authoring import outline
    from roadmap_progress.authoring.new import lay_out
    from roadmap_progress.catalog import find_root

    root = find_root()
    notebook = outline.load(root).find(arguments.notebook)
    for path in lay_out(root, notebook):
        print(path.relative_to(root))
    number = notebook.number
    print(f'Write them, set status = "ready" for {number} in {outline.FILE}, then')
    print(f"  roadmap lint {number} && roadmap build {number} && roadmap prove {number}")
    return 0
