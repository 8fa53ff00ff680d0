"""Where a check's hidden part is, and what gives it away. Pure functions over text; no nbgrader."""

from __future__ import annotations

import ast
import re
import textwrap

BEGIN, END = "BEGIN HIDDEN TESTS", "END HIDDEN TESTS"
ELLIPSIS = "# … further checks, which are not shown"
_MIN_LINE, _MIN_VALUE = 8, 4  # shorter ones occur by chance
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_FRAME = re.compile(r"(?:Cell|Input) In ?\[(\d+)\], line (\d+)")
_ARROW = re.compile(r"-+> *\d+ ?(.*)")


def hidden_lines(source: str) -> frozenset[int]:
    """The numbers, from 1, of all lines from a begin marker to its end marker, or to the end without one."""
    inside, found = False, set()
    for number, line in enumerate(source.split("\n"), start=1):
        inside = inside or BEGIN in line
        if inside:
            found.add(number)
        if END in line:
            inside = False
    return frozenset(found)


def without_hidden(source: str, instead: str | None = None) -> str:
    """The source as learners got it; with `instead`, a line that says so in place of each hidden block."""
    hidden = hidden_lines(source)
    kept = []
    for number, line in enumerate(source.split("\n"), start=1):
        if number not in hidden:
            kept.append(line)
        elif instead is not None and number - 1 not in hidden:
            kept.append(instead)
    return "\n".join(kept)


def giveaways(source: str, public: str) -> tuple[frozenset[str], frozenset[str]]:
    """Texts whose appearance in an output shows that a hidden part of `source` leaked: its lines, and its values.

    `public` is all that the learner has seen or written; what it holds gives nothing away.
    """
    lines = source.split("\n")
    hidden = [lines[number - 1] for number in sorted(hidden_lines(source))]
    hidden = [line for line in hidden if BEGIN not in line and END not in line]
    try:
        nodes = list(ast.walk(ast.parse(textwrap.dedent("\n".join(hidden)))))
    except SyntaxError:  # a magic, or half a statement: the lines will have to do
        nodes = []
    values = []
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes | int | float):
            value = node.value if isinstance(node.value, str) else repr(node.value)
            values += [part.strip() for part in value.splitlines()]
    return (
        frozenset(
            line.strip() for line in hidden if len(line.strip()) >= _MIN_LINE and line.strip() not in public
        ),
        frozenset(value for value in values if len(value) >= _MIN_VALUE and value not in public),
    )


def plain(text: str) -> str:
    """The text without terminal colours."""
    return _ANSI.sub("", text)


def frames(traceback: list[str]) -> list[tuple[int, int, str]]:
    """The frames of IPython's traceback that are in cells: execution count, line, and the frame's own text."""
    found = []
    for part in traceback:
        text = plain(part)
        if match := _FRAME.match(text.lstrip("\n")):
            found.append((int(match[1]), int(match[2]), text))
    return found


def arrow_line(frame: str) -> str:
    """The one line of source that a frame's arrow points at; without the lines around it."""
    return next((match[1].strip() for line in frame.split("\n") if (match := _ARROW.match(line))), "")
