"""Lessons are executed with papermill, and what is true of one run only is taken out of them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap_progress.errors import ExecutionError
from roadmap_progress.notebooks import NotebookNode, read, write

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
IGNORE_TAG = "nbval-ignore-output"


class CellFailed(ExecutionError):
    """A cell of a lesson raised; `index` counts the notebook's cells from 0."""

    def __init__(self, index: int, name: str, value: str, traceback: str) -> None:
        super().__init__(f"{name}: {value}\n{traceback}")
        self.index, self.name, self.value, self.traceback = index, name, value, traceback


def execute_lesson(notebook: NotebookNode, *, timeout_s: int = 120) -> NotebookNode:
    """A copy with outputs, which a second run gives again to the byte.

    Papermill's and widgets' state are stripped, adjoining stream outputs joined. A cell that shows a widget is
    tagged `nbval-ignore-output`: its view is named by chance.

    Args:
        notebook: is not changed.
        timeout_s: limit for each cell.

    Raises:
        CellFailed: a cell raised.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    with tempfile.TemporaryDirectory(prefix="roadmap-lesson-") as folder:
        source, target, cwd = Path(folder, "in.ipynb"), Path(folder, "out.ipynb"), Path(folder, "cwd")
        cwd.mkdir()
        write(notebook, source)
        try:
            papermill.execute_notebook(
                str(source),
                str(target),
                kernel_name="python3",
                cwd=str(cwd),
                progress_bar=False,
                request_save_on_cell_execute=False,
                execution_timeout=timeout_s,
                start_timeout=120,
            )
        except PapermillExecutionError as error:
            raise CellFailed(error.cell_index, error.ename, error.evalue, "\n".join(error.traceback)) from None
        executed = read(target)
    _strip(executed, notebook)
    return executed


def _strip(executed: NotebookNode, planned: NotebookNode) -> None:
    executed.metadata = planned.metadata
    for cell, before in zip(executed.cells, planned.cells, strict=True):
        cell.metadata = NotebookNode(before.metadata)
        if cell.cell_type != "code":
            continue
        cell.outputs = _joined(cell.outputs)
        shows_widget = False
        for output in cell.outputs:
            if WIDGET_VIEW in output.get("data", {}):
                del output.data[WIDGET_VIEW]
                shows_widget = True
        if shows_widget and IGNORE_TAG not in cell.metadata.get("tags", []):
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), IGNORE_TAG]


def _joined(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    """Adjoining outputs of one stream as one: how they were cut is chance."""
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == "stream" == last.output_type and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined
