"""`roadmap prove`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="number or slug; default: all")


def run(arguments: argparse.Namespace) -> int:
    """Prove the notebooks, saying what does not hold."""
    from roadmap_progress.authoring import outline
    from roadmap_progress.authoring.prove import prove
    from roadmap_progress.catalog import find_root

    root = find_root()
    failed = 0
    for notebook in outline.choose(outline.load(root), arguments.notebooks):
        proof = prove(root, notebook, say=lambda text: print(text, flush=True))
        for problem in proof.problems:
            print(f"  {problem}")
        verdict = f"{len(proof.problems)} do not hold" if proof.problems else "proved"
        print(
            f"{notebook.number}: {verdict} ({proof.runs} runs; the solved notebook took {proof.solution_s:.1f} s)"
        )
        failed += bool(proof.problems)
    return 1 if failed else 0
