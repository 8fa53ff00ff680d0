from __future__ import annotations

from roadmap_progress.execution.names import (
    bound_names,
    global_reads,
    imported_modules,
    names_of_answers,
    read_names,
)


def test_what_a_cell_binds_at_its_top_level() -> None:
    source = """
%matplotlib inline
import a.b, c as d
from e import f as g
with open("x") as h:
    for i, (j, *k) in []:
        l = [m for m in n]
class O:
    p = 1
def q(r, s=(t := 1)):
    u = 2
"""
    assert bound_names(source) >= {"a", "d", "g", "h", "i", "j", "k", "l", "O", "q"}
    assert not bound_names(source) & {"b", "c", "e", "f", "m", "n", "p", "r", "s", "u"}


def test_a_helper_takes_from_the_answers_what_nobody_else_provides() -> None:
    locked = [
        "import json\nLIMIT = 3",
        "def finds(expected):\n    return len(json.dumps(search(LIMIT).books)) == expected",
    ]
    names = names_of_answers(["# Write your answer here.\n...", "def sold(): ..."], locked)
    assert {"search", "sold"} <= names
    assert not names & {"len", "json", "LIMIT", "finds", "dumps", "books"}


def test_text_that_does_not_parse_has_no_names() -> None:
    assert bound_names("def (") == read_names("def (") == set()
    assert bound_names("%%writefile shop.py\nx = (") == set()


def test_a_file_that_a_cell_writes_has_no_names_of_the_notebook() -> None:
    source = "\n%%writefile a2.py\nimport alembic\nrevision = 'a2'\ndef upgrade():\n    print(revision)"
    assert bound_names(source) == read_names(source) == global_reads(source) == set()
    assert imported_modules(source) == ["alembic"]
    assert bound_names("%%time\nbooks = 1") == {"books"}
    assert names_of_answers([source], ["def revision():\n    return 'a2'"]) == set()


def test_what_a_cell_reads_from_outside_its_functions() -> None:
    source = """
%time pass
kept = [one for one in books if one.price < limit]
def total(cart):
    import json
    found = shipping(cart)
    def inner():
        return found, rate
    return inner
"""
    assert global_reads(source) >= {"books", "limit", "shipping", "rate"}
    assert not global_reads(source) & {"one", "cart", "found", "json", "inner", "kept", "price"}
    assert global_reads("def (") == set()


def test_what_a_cell_imports_in_functions_too() -> None:
    source = "from __future__ import annotations\nimport a.b, c\ndef f():\n    import e\n    from . import h"
    assert imported_modules(source) == ["a.b", "c", "e"]
    assert imported_modules("import (") == []


def test_what_functions_read_is_read_later_and_what_the_cell_reads_now_is_not() -> None:
    source = "for one in rows:\n    print(one)\ndef show():\n    total = count\n    return [total for _ in pages]"
    assert global_reads(source, later=True) == {"count", "pages"}
    assert global_reads(source) >= {"count", "pages", "one", "rows"}
