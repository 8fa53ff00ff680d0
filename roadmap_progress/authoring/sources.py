"""Reading what authors write: MyST Markdown → cells with their line and options.

jupytext does the reading. What authors get wrong most is found before it, so that the message can name
the line and the mend: a colon in unquoted YAML, a fence that is never closed, an option nobody knows.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from jupytext.myst import get_parser, myst_to_notebook

from roadmap_progress.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from markdown_it.token import Token

CODE_OPTIONS = frozenset(
    {
        "tags",
        "reason",
        "exercise",
        "role",
        "id",
        "topic",
        "points",
        "caught-by",
        "answer",
        "file",
        "same-process",
        "needs",
    }
)
MARKDOWN_OPTIONS = frozenset({"tags", "exercise", "role", "id", "topic", "points"})


@dataclass(frozen=True)
class SourceCell:
    """A cell as written.

    Attributes:
        kind: "code" or "markdown".
        text: its source, without options.
        line: 1-based line of the fence, or of the text's first line.
        options: what stands behind `:role:` and the like; for Markdown, the JSON behind `+++`.
    """

    kind: str
    text: str
    line: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def role(self) -> str | None:
        """Its `:role:`, or None."""
        return self.options.get("role")

    @property
    def tags(self) -> list[str]:
        """Its `:tags:`."""
        return list(self.options.get("tags", []))


def read_cells(path: Path) -> tuple[SourceCell, ...]:
    """The cells of a MyST source.

    Raises:
        SourceError: naming line and mend.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SourceError(path, None, "there is no such source", "`roadmap new NUMBER` lays it out") from None
    except UnicodeDecodeError as error:
        raise SourceError(
            path, None, f"is not UTF-8 ({error.reason} at byte {error.start})", "save it as UTF-8"
        ) from None
    _check_front_matter(path, text)
    lines = text.splitlines()
    for token in get_parser().parse(text + "\n"):
        if token.type == "fence":
            _check_closed(path, token, lines)
            if token.info.startswith("{code-cell}"):
                _check_options(path, token)
            elif token.info.startswith("{"):
                raise SourceError(
                    path, _line(token), f"the directive {token.info.split()[0]} is not known", "use {code-cell}"
                )
        elif token.type == "myst_block_break" and token.content.strip():
            _check_block_break(path, token)
    notebook = myst_to_notebook(text, add_source_map=True)
    cells = []
    for cell, line in zip(notebook.cells, notebook.metadata["source_map"], strict=True):
        # jupytext counts code cells from the line behind the fence, Markdown from the break's next line
        number = line if cell.cell_type == "code" else _first_text_line(lines, line)
        cells.append(SourceCell(cell.cell_type, cell.source, number, dict(cell.metadata)))
    return tuple(cells)


def _line(token: Token) -> int:
    assert token.map is not None  # noqa: S101 - block tokens always have one
    return token.map[0] + 1


def _first_text_line(lines: list[str], start: int) -> int:
    for number in range(start, len(lines)):
        if lines[number].strip():
            return number + 1
    return start + 1


def _check_front_matter(path: Path, text: str) -> None:
    match = re.match(r"---\n(.*?)^---\s*$", text, re.DOTALL | re.MULTILINE)
    mend = "begin with ---, `kernelspec: {display_name: Python 3, language: python, name: python3}`, ---"
    if not match:
        raise SourceError(path, 1, "the front matter is missing or never closed", mend)
    try:
        metadata = yaml.safe_load(match.group(1))
    except yaml.MarkedYAMLError as error:
        raise _yaml_error(path, 2, match.group(1), error) from None
    if not isinstance(metadata, dict) or "kernelspec" not in metadata:
        raise SourceError(path, 1, "the front matter has no kernelspec", mend)


def _check_closed(path: Path, token: Token, lines: list[str]) -> None:
    assert token.map is not None  # noqa: S101 - block tokens always have one
    last = lines[min(token.map[1], len(lines)) - 1].strip()
    if token.map[1] - token.map[0] < 2 or not last.startswith(token.markup) or last.strip("`~"):
        raise SourceError(
            path,
            _line(token),
            f"the fence {token.markup}{token.info} is never closed",
            f"put {token.markup} on a line of its own where it ends",
        )


def _check_options(path: Path, token: Token) -> None:
    """Options are `:key: value` lines, or YAML between two `---`."""
    content = token.content.splitlines()
    if content and content[0].startswith("---"):
        block = content[
            1 : next((n for n, text in enumerate(content[1:], 1) if text.startswith("---")), len(content))
        ]
        first = _line(token) + 2
    else:
        count = next((n for n, text in enumerate(content) if not text.lstrip().startswith(":")), len(content))
        block = [text.lstrip()[1:] for text in content[:count]]
        first = _line(token) + 1
    text = "\n".join(block)
    try:
        options = yaml.safe_load(text) if text.strip() else {}
    except yaml.MarkedYAMLError as error:
        raise _yaml_error(path, first, text, error) from None
    if not isinstance(options, dict):
        raise SourceError(path, first, f"these are no options: {text!r}", "write `:name: value`, one a line")
    for name in options:
        if name not in CODE_OPTIONS:
            line = first + next((n for n, row in enumerate(block) if row.startswith(str(name))), 0)
            raise _unknown_option(path, line, str(name), CODE_OPTIONS)


def _check_block_break(path: Path, token: Token) -> None:
    try:
        options = json.loads(token.content)
    except ValueError as error:
        mend = 'write `+++ {"exercise": "my-exercise", "role": "essay", …}` in JSON, with double quotes'
        raise SourceError(path, _line(token), f"what follows +++ is no JSON ({error})", mend) from None
    if not isinstance(options, dict):
        raise SourceError(
            path, _line(token), "what follows +++ is no JSON object", 'write `+++ {"role": "essay", …}`'
        )
    for name in options:
        if name not in MARKDOWN_OPTIONS:
            raise _unknown_option(path, _line(token), name, MARKDOWN_OPTIONS)


def _unknown_option(path: Path, line: int, name: str, known: frozenset[str]) -> SourceError:
    close = difflib.get_close_matches(name, known, 1)
    mend = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"
    return SourceError(path, line, f"the option {name!r} is not known", mend)


def _yaml_error(path: Path, first: int, block: str, error: yaml.MarkedYAMLError) -> SourceError:
    row = error.problem_mark.line if error.problem_mark else 0
    text = block.splitlines()[row] if row < len(block.splitlines()) else ""
    mend = "check the YAML"
    key, colon, value = text.partition(":")
    if colon and ":" in value and value.strip()[:1] not in ("'", '"'):
        mend = f'a value with a colon has to be quoted: `:{key.strip()}: "{value.strip()}"`'
    elif colon and value.strip()[:1] in tuple("@`%*&!|>[]{}#"):
        mend = (
            f'a value that begins with {value.strip()[0]!r} has to be quoted: `:{key.strip()}: "{value.strip()}"`'
        )
    return SourceError(path, first + row, f"this is no YAML ({error.problem})", mend)
