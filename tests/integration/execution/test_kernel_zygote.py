"""The kernel `roadmap-zygote`: real kernels forked from a warm process, gone with who asked for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution import provisioner
from roadmap_progress.notebooks import new_code_cell, new_notebook, read, write

NAME = "roadmap-zygote"


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(psutil.pid_exists(pid) for pid in pids)


def test_cells_run_in_the_clients_folder_with_everything_imported(tmp_path: Path) -> None:
    cells = ["import os, sys\nprint('pandas' in sys.modules, os.getcwd())", "1 / 0", "%%bash\necho hello"]
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    NotebookClient(notebook, kernel_name=NAME, allow_errors=True).execute(cwd=str(tmp_path))
    assert notebook.cells[0].outputs[0].text == f"True {tmp_path}\n"
    assert notebook.cells[1].outputs[0].ename == "ZeroDivisionError"
    assert notebook.cells[2].outputs[0].text == "hello\n"


def test_a_kernel_is_interrupted_restarted_and_gone_when_it_is_killed() -> None:
    manager, client = start_new_kernel(kernel_name=NAME)
    try:
        assert manager.transport == "ipc"
        first = manager.provisioner.pid
        waiting = client.execute("import time\nprint('begun', flush=True)\ntime.sleep(100)")
        while client.get_iopub_msg(timeout=60)["msg_type"] != "stream":
            pass
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=60)
        while reply["parent_header"]["msg_id"] != waiting:  # an answer to asking whether it is ready
            reply = client.get_shell_msg(timeout=60)
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        manager.restart_kernel(now=True)
        client.wait_for_ready(timeout=60)
        second = manager.provisioner.pid
        assert first != second
        assert not psutil.pid_exists(first)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert not psutil.pid_exists(second)


def test_nothing_is_left_when_the_client_or_the_zygote_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom jupyter_client.manager import start_new_kernel\n"
        f"manager, client = start_new_kernel(kernel_name={NAME!r})\n"
        "own = manager.provisioner._own\n"
        "print(manager.provisioner.pid, own._process.pid, own.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    for victim in ("client", "zygote"):
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=tmp_path
        )
        assert process.stdout is not None
        kernel, zygote, folder = process.stdout.readline().split()
        os.kill(process.pid if victim == "client" else int(zygote), signal.SIGKILL)
        assert gone([int(kernel)])
        process.kill()
        process.wait()
        process.stdout.close()
        assert gone([int(kernel), *([int(zygote)] if victim == "client" else [])])
        if victim == "client":
            assert not Path(folder).exists()


def test_where_nothing_can_be_forked_a_kernel_starts_in_the_ordinary_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_: list[str]) -> provisioner.KernelZygote:
        raise ExecutionError("kernels are forked on Linux only")

    monkeypatch.setattr(provisioner, "_zygote", refused)
    notebook = new_notebook(cells=[new_code_cell("import sys\nprint('pandas' in sys.modules)")])
    NotebookClient(notebook, kernel_name=NAME).execute()
    assert notebook.cells[0].outputs[0].text == "False\n"


def test_papermill_runs_it_by_name(tmp_path: Path) -> None:
    import papermill

    write(new_notebook(cells=[new_code_cell("import sys\nprint('pandas' in sys.modules)")]), tmp_path / "in.ipynb")
    papermill.execute_notebook(
        str(tmp_path / "in.ipynb"),
        str(tmp_path / "out.ipynb"),
        kernel_name=NAME,
        progress_bar=False,
        cwd=str(tmp_path),
    )
    assert read(tmp_path / "out.ipynb").cells[0].outputs[0].text == "True\n"
