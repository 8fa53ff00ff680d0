"""What the rules for lessons and for exercises share: a finding, pictures, links, imports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roadmap_progress.authoring import markdown
from roadmap_progress.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from roadmap_progress.authoring.sources import SourceCell

HTML_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]*)[^)]*\)")
EMPTY_LINK_TEXTS = {"", "here", "link", "this", "click here"}


@dataclass(frozen=True)
class Finding:
    """A rule that does not hold, and where."""

    path: Path
    line: int | None
    words: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line or 1}: {self.words}"


def pictures_and_links(path: Path, cell: SourceCell) -> Iterator[Finding]:
    """Pictures have alt texts and are there; links say where they lead, and lead there from a learner's copy."""
    for number, text in enumerate(cell.text.splitlines()):
        line = cell.line + number
        for match in markdown.IMAGE.finditer(text):
            if not match.group("alt").strip():
                yield Finding(path, line, f"the image {match.group('target')} has no alt text")
        for tag in HTML_IMAGE.findall(text):
            if not re.search(r"\balt=(['\"])(?!\1)", tag):
                yield Finding(path, line, "an <img> has no alt text")
        for match in LINK.finditer(text):
            target = match.group("target")
            if match.group("text").strip().casefold() in EMPTY_LINK_TEXTS:
                yield Finding(path, line, f"the link to {target or 'nowhere'} does not say where it leads")
            if not re.match(r"https?://[\w.-]+\.\w+|#|attachment:|mailto:", target):
                yield Finding(
                    path, line, f"the link {target!r} leads nowhere from a learner's copy: use a web address"
                )
    try:
        markdown.attachments(path, cell.text)
    except SourceError as error:
        yield Finding(path, cell.line, error.problem)


def imports(path: Path, cell: SourceCell) -> Iterator[Finding]:
    """Notebooks import only what the package names for them."""
    for module in re.findall(r"^\s*(?:from|import)\s+(roadmap_progress[\w.]*)", cell.text, re.MULTILINE):
        if module not in ("roadmap_progress", "roadmap_progress.servers"):
            yield Finding(path, cell.line, f"imports {module}; notebooks get only roadmap_progress.servers")
