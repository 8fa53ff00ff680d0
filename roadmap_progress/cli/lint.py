"""`roadmap lint`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="number or slug; default: all")


def run(arguments: argparse.Namespace) -> int:
    """Print what falls short."""
    from roadmap_progress.authoring import outline
    from roadmap_progress.authoring.lint import lint
    from roadmap_progress.catalog import find_root

    root = find_root()
    roadmap = outline.load(root)
    chosen = outline.choose(roadmap, arguments.notebooks)
    findings = lint(root, roadmap, chosen)
    for finding in findings:
        print(str(finding).replace(f"{root}/", ""))
    numbers = ", ".join(notebook.number for notebook in chosen)
    print(f"{len(findings)} findings in {numbers}" if findings else f"{numbers}: nothing to find")
    return 1 if findings else 0
