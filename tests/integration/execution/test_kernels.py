"""Notebooks run in kernels of their own, and none is left, however the run ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nbformat.v4 import new_output

from roadmap_progress.execution import run_notebook, run_notebooks
from roadmap_progress.execution.lessons import CellFailed, execute_lesson
from roadmap_progress.notebooks import KERNELSPEC, NotebookNode, new_code_cell, new_notebook


def notebook(*sources: str) -> NotebookNode:
    made: NotebookNode = new_notebook(
        cells=[new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(sources)],
        metadata={"kernelspec": dict(KERNELSPEC)},
    )
    return made


def texts(cell: NotebookNode) -> str:
    return "".join(output.get("text", output.get("evalue", "")) for output in cell.outputs)


def children() -> set[str]:
    """Processes that descend from this one, by id."""
    mine, found = os.getpid(), set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            if int(parent) == mine:
                found.add(folder.name)
    return found


def test_cells_run_in_order_and_go_on_after_an_error() -> None:
    run = run_notebook(notebook("x = 1", "x / 0", "print(x)"))
    assert texts(run.notebook.cells[1]) == "division by zero"
    assert texts(run.notebook.cells[2]) == "1\n"
    assert run.ended_at is None


def test_the_notebook_given_is_not_changed_and_old_outputs_are_gone() -> None:
    given = notebook("1 + 1")
    given.cells[0].outputs = [new_output("stream", name="stdout", text="old")]
    run = run_notebook(given)
    assert given.cells[0].outputs[0].text == "old"
    assert run.notebook.cells[0].outputs[0].data["text/plain"] == "2"


def test_an_endless_cell_ends_the_run_and_says_which() -> None:
    run = run_notebook(notebook("print('a')", "while True: pass", "print('never')"), timeout_s=2)
    assert (run.timed_out, run.crashed) == (1, None)
    assert texts(run.notebook.cells[0]) == "a\n"
    assert run.notebook.cells[2].outputs == []


def test_a_killed_kernel_ends_the_run_and_says_where() -> None:
    run = run_notebook(notebook("print('a')", "import os; os._exit(3)", "print('never')"))
    assert (run.timed_out, run.crashed) == (None, 1)
    assert texts(run.notebook.cells[0]) == "a\n"


def test_an_error_without_a_traceback_is_an_error_all_the_same() -> None:
    silent = (
        "ip = get_ipython(); ip.showtraceback = ip._showtraceback = lambda *a, **k: None\nassert False, 'quiet'"
    )
    run = run_notebook(notebook(silent))
    assert run.notebook.cells[0].outputs[-1].output_type == "error"


def test_kernels_do_not_see_each_other_and_none_is_left(tmp_path: Path) -> None:
    before = children()
    runs = run_notebooks(
        [notebook("x = 'mine'"), notebook("print(x)"), notebook("import os; os._exit(1)")], jobs=2
    )
    assert texts(runs[1].notebook.cells[0]) == "name 'x' is not defined"
    assert children() <= before
    run = run_notebook(notebook("import os; print(os.getcwd())"), cwd=tmp_path)
    assert texts(run.notebook.cells[0]).strip() == str(tmp_path)


def test_a_run_without_a_folder_gets_one_that_is_gone_afterwards() -> None:
    run = run_notebook(notebook("import os; open('made', 'w').close(); print(os.getcwd())"))
    assert not Path(texts(run.notebook.cells[0]).strip()).exists()


def test_a_lesson_keeps_its_outputs_and_loses_what_is_chance() -> None:
    lesson = notebook(
        "import sys\nfor n in range(3):\n    print(n); sys.stdout.flush()",
        "import ipywidgets\nipywidgets.IntSlider(value=3)",
    )
    executed = execute_lesson(lesson)
    assert [output.text for output in executed.cells[0].outputs] == ["0\n1\n2\n"]
    assert "application/vnd.jupyter.widget-view+json" not in str(executed)
    assert executed.cells[1].metadata.tags == ["nbval-ignore-output"]
    assert set(executed.metadata) == {"kernelspec"}
    assert [cell.id for cell in executed.cells] == ["cell-0", "cell-1"]


def test_a_failing_lesson_names_its_cell() -> None:
    with pytest.raises(CellFailed, match="ValueError: no") as caught:
        execute_lesson(notebook("x = 1", "raise ValueError('no')", "x"))
    assert caught.value.index == 1
