"""Markdown as authors write it → Markdown as a notebook shows it.

Directives (`:::{hint} 1` … `:::`) become HTML and quotations that JupyterLab, Voilà and a plain file
viewer all show; images become attachments, because only the notebook travels into the learner's copy.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roadmap_progress.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from roadmap_progress.authoring.sources import SourceCell

DIRECTIVE = re.compile(r"^:::+\{(?P<name>[\w-]+)\}[ \t]*(?P<argument>.*)$")
IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<target>[^)\s]+)\)")
NOTES = {"note": "Note", "tip": "Tip", "warning": "Watch out"}
IMAGE_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@dataclass(frozen=True)
class Term:
    """A word of the glossary, defined where it is first used."""

    name: str
    definition: str


@dataclass(frozen=True)
class Directive:
    """`:::{name} argument` … `:::`; `line` is 1-based in the file, `start` and `end` index the cell's lines."""

    name: str
    argument: str
    body: str
    line: int
    start: int
    end: int


def directives(path: Path, cell: SourceCell) -> list[Directive]:
    """The directives of a Markdown cell; what stands in a code fence is no directive.

    Raises:
        SourceError: one is not known, or never closed.
    """
    found: list[Directive] = []
    opened: tuple[int, str, str] | None = None
    fence = ""
    lines = cell.text.splitlines()
    for number, text in enumerate(lines):
        if fence:
            fence = "" if text.strip() == fence else fence
        elif match := re.match(r"^\s*(`{3,}|~{3,})", text):
            fence = match.group(1)
        elif match := DIRECTIVE.match(text):
            if opened:
                raise _unclosed(path, cell, opened)
            name = match.group("name")
            if name not in {"hint", "glossary", *NOTES}:
                known = ", ".join(["hint", "glossary", *NOTES])
                problem = f"the directive :::{{{name}}} is not known"
                raise SourceError(path, cell.line + number, problem, f"there are {known}")
            opened = (number, name, match.group("argument").strip())
        elif re.fullmatch(r":::+\s*", text):
            if not opened:
                problem = "::: closes a directive, but none is open"
                raise SourceError(path, cell.line + number, problem, "take it out, or open one with :::{name}")
            start, name, argument = opened
            body = "\n".join(lines[start + 1 : number]).strip()
            found.append(Directive(name, argument, body, cell.line + start, start, number))
            opened = None
    if opened:
        raise _unclosed(path, cell, opened)
    return found


def _unclosed(path: Path, cell: SourceCell, opened: tuple[int, str, str]) -> SourceError:
    return SourceError(
        path,
        cell.line + opened[0],
        f":::{{{opened[1]}}} is never closed",
        "put ::: on a line of its own where it ends",
    )


def render(path: Path, cell: SourceCell) -> str:
    """The cell's text with its directives turned into what a notebook shows."""
    lines = cell.text.splitlines()
    for directive in reversed(directives(path, cell)):
        if directive.name == "hint":
            shown = f"<details><summary>Hint {directive.argument}</summary>\n\n{directive.body}\n\n</details>\n"
        elif directive.name == "glossary":
            shown = (
                "\n>\n".join(f"> **{term.name}** · {term.definition}" for term in terms(path, directive)) + "\n"
            )
        else:
            title = directive.argument or NOTES[directive.name]
            shown = (
                "\n".join(f"> {line}".rstrip() for line in f"**{title}.** {directive.body}".splitlines()) + "\n"
            )
        lines[directive.start : directive.end + 1] = shown.splitlines()
    return "\n".join(lines)


def terms(path: Path, directive: Directive) -> list[Term]:
    """The words that a glossary directive defines: a line for the word, then `: ` and its meaning."""
    found: list[Term] = []
    for block in re.split(r"\n\s*\n|\n(?=[^:\s])", directive.body):
        name, _, definition = block.strip().partition("\n")
        if not definition.startswith(":"):
            problem = f"the glossary's {name!r} has no definition"
            raise SourceError(path, directive.line, problem, "write the word, and below it `: what it means`")
        found.append(Term(name.strip(), " ".join(definition[1:].split())))
    return found


def attachments(path: Path, text: str) -> tuple[str, dict[str, dict[str, str]]]:
    """The text with its local images pointing at attachments, and those attachments (nbformat's form).

    Raises:
        SourceError: an image is not there, or of a kind that browsers do not show.
    """
    found: dict[str, dict[str, str]] = {}

    def attach(match: re.Match[str]) -> str:
        target = match.group("target")
        if target.startswith(("http:", "https:", "attachment:", "data:")):
            return match.group(0)
        file = path.parent / target
        kind = IMAGE_TYPES.get(file.suffix.lower()) or mimetypes.guess_type(file.name)[0] or ""
        if not kind.startswith("image/"):
            raise SourceError(path, None, f"{target} is no image that a browser shows", "use SVG, PNG or JPEG")
        if not file.is_file():
            raise SourceError(path, None, f"the image {target} is not there", f"put it at {file}")
        found[file.name] = {kind: base64.b64encode(file.read_bytes()).decode()}
        return f"![{match.group('alt')}](attachment:{file.name})"

    return IMAGE.sub(attach, text), found
