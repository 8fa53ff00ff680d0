"""Which names of a notebook's cells belong to the answers, told from the cells' text alone."""

from __future__ import annotations

import ast
import builtins
import symtable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# cell magics whose cell is no Python of the notebook: a file, or another program's
_TEXT_MAGICS = frozenset(
    ("file", "writefile", "!", "system", "sx", "bash", "cmd", "perl", "pypy", "python", "python2", "python3",
     "ruby", "script", "sh", "html", "HTML", "javascript", "js", "latex", "markdown", "svg", "SVG")
)  # fmt: skip


def names_of_answers(released: Iterable[str], locked: Iterable[str]) -> frozenset[str]:
    """The names that checks take from the answers.

    Those are what the released answer cells bind; and what locked cells read that neither they nor Python itself
    provide: an answer has to.

    Args:
        released: sources of the answer cells, as they were released.
        locked: sources of the locked cells without points, whose functions the checks use.
    """
    locked = list(locked)
    own = {name for source in locked for name in bound_names(source)}
    read = {name for source in locked for name in read_names(source)}
    answered = {name for source in released for name in bound_names(source)}
    return frozenset(answered | {name for name in read - own if not hasattr(builtins, name)})


def bound_names(source: str) -> set[str]:
    """Names that a cell binds at its top level: assignments, functions, classes, imports, loops, with."""
    found: set[str] = set()
    pending: list[ast.AST] = list(_of_the_notebook(source).body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(name.asname or name.name.partition(".")[0]) for name in node.names}
        elif not isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            pending += ast.iter_child_nodes(node)
    return found


def read_names(source: str) -> set[str]:
    """Names that a cell mentions, in its functions too; not attributes, not words of its texts."""
    return {node.id for node in ast.walk(_of_the_notebook(source)) if isinstance(node, ast.Name)}


def global_reads(source: str, *, later: bool = False) -> set[str]:
    """Names that a cell reads from outside of its functions, which their own variables are not.

    Args:
        later: only what its functions read, which they do whenever they are called.
    """
    found: set[str] = set()
    tables = [symtable.symtable(ast.unparse(_of_the_notebook(source)), "cell", "exec")]
    while tables:
        table = tables.pop()
        whole = table.get_type() == "module"
        if not (whole and later):
            read = [one for one in table.get_symbols() if one.is_referenced()]
            found |= {one.get_name() for one in read if whole or one.is_global()}
        tables += table.get_children()
    return found


def imported_modules(source: str) -> list[str]:
    """The modules that a cell or the file that it writes imports, in functions too; not those beside it."""
    found = []
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module)
    return [name for name in found if name != "__future__"]


def parsed(source: str) -> ast.Module:
    """The cell, or the file that it writes, as Python reads it, magics left out; empty if it cannot be read."""
    lines = ("pass" if line.lstrip()[:1] in ("%", "!") else line for line in source.split("\n"))
    try:
        return ast.parse("\n".join(lines))
    except SyntaxError:
        return ast.Module([], [])


def _of_the_notebook(source: str) -> ast.Module:
    """As `parsed`; empty for a cell whose names are none of the notebook's, such as a file."""
    first = source.lstrip().partition("\n")[0]
    if first.startswith("%%") and (first[2:].split() or [""])[0] in _TEXT_MAGICS:
        return ast.Module([], [])
    return parsed(source)
