"""A fresh kernel for each run, through nbclient: what nbgrader's own autograde does."""

from __future__ import annotations

import asyncio
import copy
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from roadmap_progress.errors import ExecutionError
from roadmap_progress.notebooks import output_from_msg

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roadmap_progress.notebooks import NotebookNode

STARTUP_TIMEOUT_S = 120


@dataclass(frozen=True)
class Run:
    """A notebook after it ran.

    Attributes:
        notebook: a copy of what was asked for, with outputs. Cells behind the one that ended the kernel have none.
        timed_out: index of the cell that ran out of time and ended the run, or None.
        crashed: index of the cell in which the kernel died, or None.
        seconds: wall-clock time from the first cell's start to the last one's end.
    """

    notebook: NotebookNode
    timed_out: int | None = None
    crashed: int | None = None
    seconds: float = 0.0

    @property
    def ended_at(self) -> int | None:
        """Index of the cell that ended the run early, or None."""
        return self.crashed if self.timed_out is None else self.timed_out


def run_notebook(notebook: NotebookNode, *, cwd: Path | None = None, timeout_s: float = 60) -> Run:
    """Run all cells in a fresh kernel, going on after errors.

    Args:
        notebook: is not changed.
        cwd: the kernel's working directory; None makes one that is gone afterwards.
        timeout_s: limit for each cell; one that runs longer ends the run.

    Raises:
        ExecutionError: no kernel could be started.
    """
    return run_notebooks([notebook], cwd=cwd, timeout_s=timeout_s)[0]


def run_notebooks(
    notebooks: Iterable[NotebookNode],
    *,
    cwd: Path | None = None,
    timeout_s: float = 60,
    jobs: int | None = None,
) -> list[Run]:
    """Run several notebooks, each in a kernel of its own, `jobs` (default: the number of cores) at a time."""
    limit = jobs or os.cpu_count() or 1

    async def run_all() -> list[Run]:
        slots = asyncio.Semaphore(limit)

        async def one(notebook: NotebookNode) -> Run:
            async with slots:
                with tempfile.TemporaryDirectory(prefix="roadmap-run-") as folder:
                    own = Path(folder, "cwd")
                    own.mkdir()
                    return await _run(notebook, cwd or own, Path(folder), timeout_s)

        return list(await asyncio.gather(*map(one, notebooks)))

    return asyncio.run(run_all())


async def _run(notebook: NotebookNode, cwd: Path, sockets: Path, timeout_s: float) -> Run:
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    # ipc: sockets that no other user of the machine can reach, unlike TCP ports
    manager = AsyncKernelManager(
        kernel_name="python3", transport="ipc", connection_file=str(sockets / "kernel.json")
    )
    client = NotebookClient(
        notebook,
        km=manager,
        allow_errors=True,
        timeout=timeout_s,
        startup_timeout=STARTUP_TIMEOUT_S,
        resources={"metadata": {"path": str(cwd)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        on_cell_executed=_note_error,
    )
    loop = asyncio.get_running_loop()
    current, began = 0, loop.time()
    timed_out = crashed = None
    try:
        # nbclient leaves a manager that it did not make alone; its log is not the cells' output
        async with client.async_setup_kernel(cleanup_kc=True, stderr=subprocess.DEVNULL):
            began = loop.time()
            for current, cell in enumerate(notebook.cells):
                await client.async_execute_cell(cell, current)
    except CellTimeoutError:
        timed_out = current
    except DeadKernelError:
        crashed = current
    except (OSError, RuntimeError) as error:
        raise ExecutionError(f"no kernel could be started in {cwd}: {error}") from error
    return Run(notebook, timed_out, crashed, loop.time() - began)


def _note_error(cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:  # noqa: ARG001 - nbclient's names
    """A kernel may answer "error" and show none (an exception group, a silenced traceback): nbgrader adds it."""
    content = execute_reply["content"]
    if content["status"] == "error" and not any(output.output_type == "error" for output in cell.outputs):
        error = output_from_msg({"header": {"msg_type": "error"}, "content": content})
        cell.outputs.append(error)
