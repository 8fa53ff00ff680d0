"""What feedback shows of a graded cell, from outputs as a real kernel makes them."""

from __future__ import annotations

from typing import Any

import pytest
from nbgrader.utils import compute_checksum

from roadmap_progress import execution, notebooks
from roadmap_progress.grading.feedback import HideHiddenChecks, SayNotAttempted
from roadmap_progress.hidden import plain

EXPECT = (
    "def expect(what, got, expected):\n    assert got == expected, f'{what}: got {got!r}; expected {expected!r}'"
)
CHECK = """\
expect("f(2)", f(2), 4)
expect("f(3)", f(3), 6)
### BEGIN HIDDEN TESTS
undisclosed = 31337
expect("f of the undisclosed", f(undisclosed), 62674)
### END HIDDEN TESTS"""
SECRETS = ("undisclosed", "31337", "62674", "HIDDEN TESTS")


def cell(name: str, source: str, points: float | None = None, *, solution: bool = False) -> Any:
    made = notebooks.new_code_cell(source)
    notebooks.add_nbgrader_metadata(made, name, grade=points is not None, solution=solution, points=points)
    return made


def graded(answer: str, *more: str, check: str = CHECK, blank: bool = False) -> Any:
    """The notebook as autograde leaves it, through the feedback's preprocessors."""
    cells = [cell("s_setup-1", EXPECT), cell("f_answer", answer, solution=True), cell("f_values", check, 2)]
    if blank:
        cells[1].metadata.nbgrader["checksum"] = compute_checksum(cells[1])
    cells += [notebooks.new_code_cell(source) for source in more]
    ran = execution.run_notebook(notebooks.new_notebook(cells=cells)).notebook
    points = notebooks.awarded_points(ran.cells[2])
    ran.cells[2].metadata.nbgrader["score"] = points
    for step in (HideHiddenChecks(), SayNotAttempted()):
        ran, _ = step.preprocess(ran, {})
    return ran


def shown(notebook: Any) -> str:
    parts = []
    for each in notebook.cells:
        parts.append(each.source)
        for output in each.outputs:
            parts += [output.get("text", ""), output.get("evalue", ""), *output.get("traceback", [])]
            parts += [str(value) for value in output.get("data", {}).values()]
    return plain("\n".join(parts))


def test_a_failure_in_the_visible_part_keeps_the_assertions_words_and_shows_where() -> None:
    text = shown(graded("def f(x):\n    return 4"))
    assert "AssertionError: f(3): got 4; expected 6" in text
    assert 'in the check:\n    expect("f(3)", f(3), 6)' in text
    assert not [secret for secret in SECRETS if secret in text]


def test_an_error_in_the_learners_code_shows_their_own_lines() -> None:
    text = shown(graded("def f(x):\n    y = x\n    return y['key']"))
    assert "TypeError: 'int' object is not subscriptable" in text
    assert "in your code:" in text
    assert "return y['key']" in text.split("in your code:")[1]


@pytest.mark.parametrize(
    "answer",
    [
        "def f(x):\n    return {2: 4, 3: 6}.get(x)",
        "def f(x):\n    return {2: 4, 3: 6}[x]",  # KeyError with the value as its words
        "def f(x):\n    print('called with', x)\n    return {2: 4, 3: 6}.get(x)",
        "def f(x):\n    if x > 3: raise ExceptionGroup('at', [ValueError(x)])\n    return x * 2",
        "def f(x):\n    if x > 3: exec('raise ValueError(x)')\n    return x * 2",
        "def f(x):\n    if x > 3: raise ValueError(x) from KeyError(x)\n    return x * 2",
    ],
)
def test_a_failure_in_the_hidden_part_is_one_sentence(answer: str) -> None:
    notebook = graded(answer)
    [output] = notebook.cells[2].outputs
    assert output.traceback[0].startswith("A further check, which is not shown, did not pass: 0 of 2 points.")
    assert not [secret for secret in SECRETS if secret in shown(notebook)]


def test_what_the_learners_code_prints_about_hidden_values_is_left_out_when_all_passes() -> None:
    notebook = graded(
        "seen = []\ndef f(x):\n    print(x)\n    seen.append(x)\n    return x * 2", "print(seen)", "'fine'"
    )
    assert notebook.cells[2].outputs == []
    assert not [secret for secret in SECRETS if secret in shown(notebook)]
    assert "This output is left out" in shown(notebook)
    assert notebook.cells[4].outputs[0].data["text/plain"] == "'fine'"


def test_a_warning_on_stderr_is_named_without_its_text_where_hidden_checks_ran() -> None:
    notebook = graded("import sys\ndef f(x):\n    print(x, file=sys.stderr)\n    return x * 2")
    [output] = notebook.cells[2].outputs
    assert "stderr" in output.traceback[0]
    assert "0 of 2 points" in output.traceback[0]
    assert not [secret for secret in SECRETS if secret in shown(notebook)]


def test_a_check_without_a_hidden_part_keeps_its_output() -> None:
    notebook = graded("def f(x):\n    print('mine', x)\n    return 4", check='expect("f(2)", f(2), 4)')
    assert "mine 2" in shown(notebook)


def test_an_untouched_exercise_gets_one_sentence() -> None:
    notebook = graded("def f(x):\n    ...", blank=True)
    [output] = notebook.cells[2].outputs
    assert output.traceback == ["Not attempted: 0 of 2 points."]


def test_time_out_is_a_sentence() -> None:
    notebook = notebooks.new_notebook(cells=[cell("f_values", CHECK, 2)])
    notebook.cells[0].outputs = [
        notebooks.NotebookNode(output_type="error", ename="CellTimeoutError", evalue="", traceback=["undisclosed"])
    ]
    HideHiddenChecks().preprocess(notebook, {})
    assert "ran out of time" in shown(notebook)
    assert not [secret for secret in SECRETS if secret in shown(notebook)]
