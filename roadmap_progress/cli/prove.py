"""`roadmap prove`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from roadmap_progress.authoring.prove import Proof


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="number or slug; default: all")
    parser.add_argument("--exercise", metavar="ID", help="only this exercise of it, while you write")


def run(arguments: argparse.Namespace) -> int:
    """Prove the notebooks, saying what does not hold."""
    from roadmap_progress.authoring import outline
    from roadmap_progress.authoring.prove import prove
    from roadmap_progress.catalog import find_root
    from roadmap_progress.errors import CatalogError

    root = find_root()
    exercise = arguments.exercise
    if exercise and len(arguments.notebooks) != 1:
        raise CatalogError(f"whose exercise is {exercise}? `roadmap prove NOTEBOOK --exercise {exercise}`")
    chosen = outline.choose(outline.load(root), arguments.notebooks)
    failed = 0
    for proof in prove(root, chosen, exercise=exercise, say=lambda text: print(text, flush=True)):
        number = proof.notebook.number
        print(f"{number}: {_verdict(proof, exercise)}")
        for problem in proof.problems:
            print(f"  {problem}", flush=True)
        failed += bool(proof.problems)
    return 1 if failed else 0


def _verdict(proof: Proof, exercise: str | None) -> str:
    verdict = f"{len(proof.problems)} do not hold" if proof.problems else "proved"
    if proof.solution_s is None:
        return f"{verdict}: {exercise} alone ({proof.runs} runs); the notebook as a whole was not run"
    return f"{verdict} ({proof.runs} runs; the solved notebook took {proof.solution_s:.1f} s)"
