"""Mine beside the solution, line by line as HTML: what differs has a sign and a word, not a colour alone."""

from __future__ import annotations

from difflib import SequenceMatcher
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING

from roadmap_progress.dashboard.signs import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from roadmap_progress.model import Exercise, Notebook
    from roadmap_progress.workspace.comparing import Pair


def comparison(notebook: Notebook, exercise: Exercise, pairs: Sequence[Pair]) -> str:
    """The content of a dialogue."""
    tables = "".join(_table(pair) for pair in pairs)
    return (
        f'<div class="rdm-compare-head"><h2 id="rdm-compare"><span class="rdm-number">{notebook.number}</span> '
        f"{text(exercise.title)}</h2>"
        '<form method="dialog"><button>Close</button></form></div>'
        '<p class="rdm-about">Your answer and the course’s. There are other good ones: the checks decide.</p>'
        f"{tables or '<p>This exercise has no answer to compare.</p>'}"
    )


def _table(pair: Pair) -> str:
    rows = "".join(_row(*row) for row in lines(pair.mine, pair.solution))
    return (
        f'<div class="rdm-diff" role="region" tabindex="0" aria-label="Comparison of {escape(pair.grade_id)}">'
        "<table>"
        '<thead><tr><th scope="col">Yours</th><th scope="col">The solution</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def lines(mine: str, solution: str) -> Iterator[tuple[str | None, str | None, bool]]:
    """Rows: a line of either side (None: there is none beside the other), and whether they are the same."""
    left, right = mine.splitlines(), solution.splitlines()
    for kind, a, b, c, d in SequenceMatcher(a=left, b=right, autojunk=False).get_opcodes():
        for one, other in zip_longest(left[a:b], right[c:d]):
            yield one, other, kind == "equal"


def _row(mine: str | None, solution: str | None, same: bool) -> str:  # noqa: FBT001  # a row's third column
    return f"<tr>{_cell(mine, 'mine', same)}{_cell(solution, 'solution', same)}</tr>"


def _cell(line: str | None, side: str, same: bool) -> str:  # noqa: FBT001  # as above
    if line is None:
        return '<td class="rdm-none"></td>'
    if same:
        return f"<td><code>{escape(line)}</code></td>"
    sign, word = {"mine": ("−", "only yours"), "solution": ("+", "only in the solution")}[side]
    said = f'<span aria-hidden="true">{sign}</span><span class="rdm-hidden">{word}: </span>'
    return f'<td data-only="{side}">{said}<code>{escape(line)}</code></td>'
