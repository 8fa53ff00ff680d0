"""The rules for a lesson."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from roadmap_progress.authoring import markdown
from roadmap_progress.authoring.compile import IGNORE_TAG, SERVER_TAG
from roadmap_progress.authoring.rules import LINK, Finding, imports, pictures_and_links
from roadmap_progress.authoring.sources import SourceCell, read_cells
from roadmap_progress.notebooks import read as read_notebook

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from roadmap_progress.model import Notebook

MOST_IGNORED = 2
FEWEST_PREDICTIONS = 3
ENDINGS = ("summary|one screen", "pitfalls", "further reading")
STARTS = re.compile(r"^\s*\w+\s*=\s*(?!certificate_authority)\w+\.start\(", re.MULTILINE)
# What differs from run to run and machine to machine, in the outputs of a built lesson.
CHANCE = {
    "a temporary path": re.compile(r"/tmp/|/var/folders/"),  # noqa: S108 - a pattern, not a place
    "a home directory": re.compile(r"/home/\w|/root/|/Users/\w"),
    "an object's address": re.compile(r"\bat 0x[0-9a-f]{6,}"),
    "a port": re.compile(r"\b(127\.0\.0\.\d+|localhost|\[::1\]):\d{4,5}\b"),
}


def lint_lesson(path: Path, notebook: Notebook, built: Path) -> Iterator[Finding]:
    """The lesson's findings; the built notebook's outputs are looked at where it is there.

    Raises:
        SourceError: the source cannot be read.
    """
    cells = read_cells(path)
    prose = [cell for cell in cells if cell.kind == "markdown"]
    text = "\n\n".join(cell.text for cell in prose)
    yield from _opening(path, cells, notebook)
    yield from _course(path, text)
    yield from _further_reading(path, text, notebook)
    for cell in prose:
        yield from pictures_and_links(path, cell)
        markdown.directives(path, cell)
    for cell in cells:
        if cell.kind == "code":
            yield from imports(path, cell)
            if STARTS.search(cell.text) and SERVER_TAG not in cell.tags:
                yield Finding(path, cell.line, f"starts a server: tag it {SERVER_TAG}")
    yield from _ignored(path, cells)
    yield from _built_outputs(path, built)


def _course(path: Path, text: str) -> Iterator[Finding]:
    """It asks to predict, and ends as a lesson does."""
    if (count := len(re.findall(r"\bpredict", text, re.IGNORECASE))) < FEWEST_PREDICTIONS:
        yield Finding(path, None, f"asks to predict {count} times; {FEWEST_PREDICTIONS} are the least")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    for ending in ENDINGS:
        if not any(re.search(ending, heading, re.IGNORECASE) for heading in headings[-len(ENDINGS) :]):
            yield Finding(path, None, f"its last three headings lack {ending!r}")


def _ignored(path: Path, cells: Iterable[SourceCell]) -> Iterator[Finding]:
    ignored = [cell for cell in cells if IGNORE_TAG in cell.tags and SERVER_TAG not in cell.tags]
    if len(ignored) > MOST_IGNORED:
        yield Finding(path, ignored[-1].line, f"{len(ignored)} are {IGNORE_TAG}; the most is {MOST_IGNORED}")
    for cell in ignored:
        if not cell.options.get("reason"):
            yield Finding(path, cell.line, f"is {IGNORE_TAG} without a :reason:")


def _opening(path: Path, cells: tuple[SourceCell, ...], notebook: Notebook) -> Iterator[Finding]:
    first = cells[0]
    title = f"# {notebook.number} {notebook.title}"
    if first.text.splitlines()[0].strip() != title:
        yield Finding(path, first.line, f"begins with {first.text.splitlines()[0]!r}; expected {title!r}")
    for phrase in ("After this lesson you can", "You need"):
        if phrase.casefold() not in first.text.casefold():
            yield Finding(path, first.line, f"its opening does not say {phrase!r}")
    minutes = re.search(r"about (\d+) minutes", first.text)
    if not minutes:
        yield Finding(path, first.line, "its opening does not say `about N minutes`")
    elif int(minutes.group(1)) > notebook.minutes:
        words = (
            f"says {minutes.group(1)} minutes, more than lesson and exercises have together: {notebook.minutes}"
        )
        yield Finding(path, first.line, words)


def _further_reading(path: Path, text: str, notebook: Notebook) -> Iterator[Finding]:
    ending = text[text.casefold().rfind("further reading") :]
    targets = [match.group("target") for match in LINK.finditer(ending)]
    wanted = [link.url for topic in notebook.topics for link in topic.links]
    for url in wanted:
        if url not in targets:
            yield Finding(path, None, f"further reading lacks the roadmap's own link {url}")
    if not set(wanted) - set(targets) and set(targets[: len(wanted)]) != set(wanted):
        yield Finding(path, None, "further reading begins with other links than the roadmap's own")


def _built_outputs(path: Path, built: Path) -> Iterator[Finding]:
    if not built.is_file():
        return
    for cell in read_notebook(built).cells:
        if cell.cell_type != "code" or IGNORE_TAG in cell.metadata.get("tags", []):
            continue
        shown = "\n".join(_output_texts(cell.outputs))
        for what, pattern in CHANCE.items():
            if match := pattern.search(shown):
                words = f"the output of {cell.source.splitlines()[0]!r} … shows {what}: {match.group()!r}"
                yield Finding(path, None, words)


def _output_texts(outputs: Iterable[dict[str, object]]) -> Iterator[str]:
    for output in outputs:
        yield str(output.get("text", ""))
        data = output.get("data")
        if isinstance(data, dict):
            yield from (str(value) for kind, value in data.items() if kind.startswith("text/"))
