"""The words that lessons define, collected into one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadmap_progress.authoring import markdown, outline
from roadmap_progress.authoring.sources import read_cells
from roadmap_progress.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from roadmap_progress.model import Notebook


def collect(root: Path, notebooks: list[Notebook]) -> dict[str, tuple[markdown.Term, Notebook]]:
    """Every term with the notebook that defines it.

    Raises:
        SourceError: a word is defined twice.
    """
    found: dict[str, tuple[markdown.Term, Notebook]] = {}
    for notebook in notebooks:
        path = outline.sources(root, notebook)[0]
        for cell in read_cells(path):
            if cell.kind != "markdown":
                continue
            for directive in markdown.directives(path, cell):
                if directive.name != "glossary":
                    continue
                for term in markdown.terms(path, directive):
                    key = term.name.casefold()
                    if key in found:
                        problem = f"{term.name!r} was defined in {found[key][1].number} already"
                        raise SourceError(path, directive.line, problem, "define a word where it is first used")
                    found[key] = (term, notebook)
    return found


def render(root: Path, notebooks: list[Notebook]) -> str:
    """The glossary as a Markdown page, in alphabetical order."""
    found = collect(root, notebooks)
    lines = [
        "# Glossary",
        "",
        "Collected from the lessons by `roadmap build`; each word links to where it is explained.",
    ]
    for key in sorted(found):
        term, notebook = found[key]
        lines += [
            "",
            f"**{term.name}**",
            f": {term.definition} ([{notebook.number}]({notebook.section}/{notebook.stem}.ipynb))",
        ]
    return "\n".join(lines) + "\n"
