"""How much memory a learner's machine needs for a notebook: JupyterLab, the dashboard, the kernel and its servers.

    python benchmarks/memory.py [NOTEBOOK …]

For each notebook JupyterLab is started on a throw-away copy of the course, with the dashboard running in one
kernel; then the whole lesson, and after it the whole solved exercise notebook, run in a kernel of their own. All
processes that descend from that JupyterLab are counted, whoever their parent is by now: a mark in the environment
tells. Chromium and PostgreSQL write over theirs, so descendants of a marked process are counted as well.
What is added up is each process's proportional share (PSS), so that shared pages count once. The bar is 2 GB, what
Binder gives. Linux only. Exit code 1 when a notebook needs more, or one of its cells fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient

from roadmap_progress import notebooks
from roadmap_progress.authoring import outline
from roadmap_progress.catalog import find_root

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_MB = 2048
MARK = "ROADMAP_MEMORY_RUN"
START_S = 120.0
CELL_S = 300.0
COPIED = ("course", "exercises", "dashboard.ipynb", "nbgrader_config.py", "content")


class Sampler(threading.Thread):
    """Adds up the memory of all marked processes, again and again, and keeps the largest sum.

    Attributes:
        peak_mb: the largest sum so far, in MB.
        at_peak: name of a program → its share of that sum, in MB.
    """

    def __init__(self, mark: str) -> None:
        super().__init__(daemon=True)
        self._wanted = f"{MARK}={mark}".encode()
        self._known: set[psutil.Process] = set()
        self._done = threading.Event()
        self.peak_mb = 0.0
        self.at_peak: dict[str, float] = {}

    def run(self) -> None:
        """Sample until told to end."""
        while not self._done.wait(0.2):
            shares: dict[str, float] = {}
            for process in self._ours():
                with contextlib.suppress(psutil.Error, OSError):
                    share_mb = process.memory_full_info().pss / 2**20
                    shares[process.name()] = shares.get(process.name(), 0.0) + share_mb
            if sum(shares.values()) > self.peak_mb:
                self.peak_mb, self.at_peak = sum(shares.values()), shares

    def _ours(self) -> set[psutil.Process]:
        """The marked processes, what descends from them, and what was found so earlier and is still there."""
        children: dict[int, list[psutil.Process]] = {}
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                children.setdefault(process.ppid(), []).append(process)
                marked = self._wanted in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
                if marked or process in self._known:
                    found.append(process)
        ours: set[psutil.Process] = set()
        while found:
            process = found.pop()
            if process not in ours:
                ours.add(process)
                found += children.get(process.pid, ())
        self._known = ours
        return ours

    def end(self) -> None:
        """End it; true on return."""
        self._done.set()
        self.join()


class Lab:
    """A JupyterLab on a course's folder."""

    def __init__(self, root: Path, runtime: Path, environment: dict[str, str]) -> None:
        self._runtime = runtime
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--port=0", "--ip=127.0.0.1"]
        with (runtime / "log").open("w") as log:
            self._process = subprocess.Popen(
                [*command, *(["--allow-root"] if os.geteuid() == 0 else [])],
                cwd=root,
                env=environment | {"JUPYTER_RUNTIME_DIR": str(runtime)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._server = self._described()

    def _described(self) -> dict[str, Any]:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            for file in self._runtime.glob("jpserver-*.json"):
                with contextlib.suppress(OSError, ValueError):
                    described: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
                    self._server = described
                    self.ask("GET", "api")
                    return described
            time.sleep(0.1)
        self.close()
        sys.exit(f"JupyterLab did not come up:\n{(self._runtime / 'log').read_text(encoding='utf-8')}")

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the server's API answers."""
        request = urllib.request.Request(  # noqa: S310 - the address is our own server's
            f"{self._server['url']}{path}",
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"Authorization": f"token {self._server['token']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    @contextmanager
    def session(self, path: str) -> Iterator[BlockingKernelClient]:
        """A kernel for the notebook at `path`, as JupyterLab starts it; ended afterwards."""
        asked = {"path": path, "type": "notebook", "name": path, "kernel": {"name": "python3"}}
        session = self.ask("POST", "api/sessions", asked)
        client = BlockingKernelClient()
        client.load_connection_file(str(self._runtime / f"kernel-{session['kernel']['id']}.json"))
        client.start_channels()
        try:
            _wait_ready(client)
            yield client
        finally:
            client.stop_channels()
            self.ask("DELETE", f"api/sessions/{session['id']}")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _wait_ready(client: BlockingKernelClient) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            client.wait_for_ready(timeout=START_S)
        except RuntimeError:  # "died": on a busy machine a kernel that has not come up yet has no heartbeat
            if time.monotonic() > deadline:
                raise
        else:
            return


def run_cells(client: BlockingKernelClient, path: Path) -> None:
    """Run every code cell; ends the program when one fails that is not meant to."""
    for cell in notebooks.read(path).cells:
        if cell.cell_type != "code":
            continue
        reply = client.execute_interactive(cell.source, timeout=CELL_S, output_hook=lambda _: None)
        meant = "raises-exception" in cell.metadata.get("tags", [])
        if reply["content"]["status"] != "ok" and not meant:
            sys.exit(f"{path.name}: a cell failed: {reply['content']['ename']}: {reply['content']['evalue']}")


def measure(root: Path, lesson: Path, solution: Path) -> Sampler:
    """The largest sum of memory while the lesson and then the solution ran."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="roadmap-memory-") as made:
        folder = Path(made, "course")
        runtime = Path(made, "runtime")
        runtime.mkdir()
        folder.mkdir()
        for name in COPIED:
            source = root / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROADMAP_")}
        sampler = Sampler(mark)
        lab = Lab(folder, runtime, environment | {MARK: mark})
        sampler.start()
        try:
            with lab.session("dashboard.ipynb") as dashboard:
                run_cells(dashboard, folder / "dashboard.ipynb")
                for path in (lesson, solution):
                    copied = folder / path.parent.name / path.name
                    copied.parent.mkdir(exist_ok=True)
                    shutil.copy2(path, copied)
                    with lab.session(str(copied.relative_to(folder))) as kernel:
                        run_cells(kernel, copied)
        finally:
            sampler.end()
            lab.close()
    return sampler


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description="Memory of a learner's machine, notebook by notebook.")
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="number or slug; default: all")
    options = parser.parse_args()
    root = find_root()
    over = False
    for notebook in outline.choose(outline.load(root), options.notebooks):
        [lesson] = (root / "course").glob(f"*/{notebook.number}-*.ipynb")
        [solution] = (root / "solutions").glob(f"*/{notebook.number}-*.ipynb")
        used = measure(root, lesson, solution)
        parts = sorted(used.at_peak.items(), key=lambda part: -part[1])
        named = ", ".join(f"{name} {share_mb:.0f}" for name, share_mb in parts if share_mb >= 1)
        print(f"{notebook.number}: {used.peak_mb:.0f} MB at most ({named})", flush=True)
        over = over or used.peak_mb > LIMIT_MB
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
