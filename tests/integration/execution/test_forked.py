"""Notebooks run on the engine, several at a time."""

from __future__ import annotations

import pytest

from roadmap_progress.authoring.visible import passes_visible
from roadmap_progress.execution.forked import Job, run_forked
from roadmap_progress.hidden import without_hidden
from roadmap_progress.notebooks import NotebookNode, add_nbgrader_metadata, new_code_cell, new_notebook

BEGIN, END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


def check(name: str, source: str) -> NotebookNode:
    cell = new_code_cell(source)
    add_nbgrader_metadata(cell, name, grade=True, points=1)
    return cell


def test_a_fresh_run_has_nothing_imported_beforehand_and_the_others_have() -> None:
    asks = new_notebook(cells=[new_code_cell("import sys\nprint('wave' in sys.modules)")])
    jobs = [Job(asks), Job(asks, fresh=True), Job(asks)]
    runs = dict(run_forked(jobs, modules=["wave"], workers=2))
    printed = [runs[place].notebook.cells[0].outputs[0].text for place in range(3)]
    assert printed == ["True\n", "False\n", "True\n"]


def test_a_module_with_an_object_that_is_not_ready_can_be_imported_beforehand() -> None:
    """Django's settings raise when anything but their type is asked for before they are configured."""
    cell = new_code_cell("from django.conf import settings\nprint(settings.configured)")
    runs = dict(run_forked([Job(new_notebook(cells=[cell]))], modules=["django.conf"]))
    assert runs[0].notebook.cells[0].outputs[0].text == "False\n"


# A helper of the setup that fails, one that warns, and one whose failure has a cause.
SETUP = """
import sys
def expect(got, expected):
    assert got == expected, f"{got} is not {expected}"
def warns():
    print("old", file=sys.stderr)
def caused():
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise AssertionError("caused") from error
seen = []
"""


CASES: list[tuple[list[str], bool | None]] = [
    (["expect(1, 1)", f"expect(1, 1)\n{BEGIN}\nexpect(1, 1)\n{END}"], True),
    (["expect(1, 2)"], False),
    ([f"expect(1, 2)\n{BEGIN}\nexpect(1, 1)\n{END}"], False),
    ([f"expect(1, 1)\n{BEGIN}\nexpect(1, 2)\n{END}"], True),
    ([f"x = [\n  1,\n]\n{BEGIN}\nexpect(\n  x,\n  [2],\n)\n{END}"], True),
    ([f"expect(1, 1)\n{BEGIN}\ncaused()\n{END}"], True),
    (["caused()"], False),
    ([f"def helper(x):\n    expect(x, 1)\nhelper(1)\n{BEGIN}\nhelper(2)\n{END}"], True),
    ([f"def helper(x):\n    expect(x, 1)\nhelper(2)\n{BEGIN}\nhelper(1)\n{END}"], False),
    ([f"for x in (1, 2):\n    expect(x, x)\n{BEGIN}\n    expect(x, 1)\n{END}"], True),
    ([f"expect(1, 1)\n{BEGIN}\nexpect(1, 2)\n{END}"] * 2, True),
    # the first cell's failure is visible, whatever comes then
    (["expect(1, 2)", f"{BEGIN}\nexpect(1, 2)\n{END}"], False),
    # a visible part behind a hidden one: that may be why it fails
    ([f"expect(1, 1)\n{BEGIN}\nseen.append(1)\n{END}", "expect(seen, [])"], None),
    ([f"expect(1, 1)\n{BEGIN}\nseen.append(1)\n{END}\nexpect(seen, [])"], None),
    # and one that did not run
    ([f"expect(1, 1)\n{BEGIN}\nexpect(1, 2)\n{END}\nexpect(1, 2)"], None),
    # which part wrote it?
    ([f"expect(1, 1)\n{BEGIN}\nwarns()\n{END}"], None),
    # no line is named: an answer that is no Python, a check beside the answers
    ([f"expect(1,\n{BEGIN}\n1\n{END}"], None),
    ([f"# grading: same-process\nexpect(1, 1)\n{BEGIN}\nexpect(1, 2)\n{END}"], None),
]


def cells_of(checks: list[str]) -> list[NotebookNode]:
    return [check(f"check-{number}", source) for number, source in enumerate(checks)]


@pytest.fixture(scope="module")
def ran() -> dict[int, list[NotebookNode]]:
    """The checks of every case, with outputs."""
    setup = new_code_cell(SETUP)
    add_nbgrader_metadata(setup, "setup")
    jobs = [Job(new_notebook(cells=[setup, *cells_of(checks)])) for checks, _ in CASES]
    return {place: run.notebook.cells[1:] for place, run in run_forked(jobs)}


@pytest.mark.parametrize("case", range(len(CASES)))
def test_whether_the_visible_part_failed_is_told_from_a_run_with_the_hidden_one(
    ran: dict[int, list[NotebookNode]], case: int
) -> None:
    checks, passes = CASES[case]
    released = {f"check-{number}": cell for number, cell in enumerate(cells_of(list(map(without_hidden, checks))))}
    assert passes_visible(ran[case], released) is passes


def test_a_release_that_is_not_the_check_without_its_hidden_part_leaves_it_open() -> None:
    cell = check("one", f"x = 1\n{BEGIN}\ny = 2\n{END}")
    assert passes_visible([cell], {"one": check("one", "x = 1")}) is True
    assert passes_visible([cell], {"one": check("one", "x = 2")}) is None
