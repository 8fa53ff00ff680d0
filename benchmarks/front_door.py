"""How long from JupyterLab's start until the dashboard can be used, beside an ordinary notebook.

    python benchmarks/front_door.py [--rounds 5] [--events 10000]

A round starts JupyterLab on a copy of the course three times, one after the other, and opens it in a new Chromium
context: on a lesson, until its first cell is there; on the dashboard, until its head and its map are there; and on
the dashboard of somebody with so many recorded results. Seconds count from the start of the process; medians and
ratios are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard import record
from playwright.sync_api import Browser, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
WAIT_MS = 90_000
COPIED = ("course", "exercises", "dashboard.ipynb", "nbgrader_config.py")


def learner(folder: Path, events: int) -> Path:
    """The tree of a learner with so many results."""
    root = folder / f"course-{events}"
    root.mkdir()
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, root / name)
    if events:
        record(root, events)
    return root


def opened(browser: Browser, root: Path, path: str, shown: Callable[[Page], None]) -> float:
    """Seconds from the start of a JupyterLab until a page of it shows what is wanted."""
    with tempfile.TemporaryDirectory() as runtime:
        began = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "jupyter",
            "lab",
            "--no-browser",
            "--port=0",
            "--ip=127.0.0.1",
            f"--ServerApp.root_dir={root}",
        ]
        command += ["--allow-root"] if os.geteuid() == 0 else []
        environment = os.environ | {
            "JUPYTER_RUNTIME_DIR": runtime,
            "JUPYTERLAB_SETTINGS_DIR": runtime,
            "JUPYTERLAB_WORKSPACES_DIR": runtime,
        }
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            info = Path(runtime) / f"jpserver-{server.pid}.json"
            while not info.exists() or not info.read_text():
                if server.poll() is not None or time.perf_counter() > began + WAIT_MS / 1000:
                    raise SystemExit("JupyterLab did not start")
                time.sleep(0.01)
            about = json.loads(info.read_text(encoding="utf-8"))
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.set_default_timeout(WAIT_MS)
            page.goto(f"{about['url']}lab/tree/{path}?token={about['token']}")
            shown(page)
            spent = time.perf_counter() - began
            page.context.close()
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:  # its kernels end when it is gone
                server.kill()
                server.wait()
    return spent


def a_notebook(page: Page) -> None:
    """An ordinary notebook shows its first cell."""
    page.locator(".jp-NotebookPanel:visible .jp-Cell").first.wait_for()


def the_dashboard(page: Page) -> None:
    """The dashboard shows its head and its map, and clicks on it are answered."""
    inside = page.frame_locator("iframe")
    inside.locator(".rdm[data-live] .rdm-head").wait_for()
    inside.locator(".rdm[data-live] svg.rdm-map, .rdm[data-live] .rdm-map").first.wait_for()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        empty, full = (learner(Path(folder), events) for events in (0, arguments.events))
        lesson = min((empty / "course").glob("*/1.1-*.ipynb")).relative_to(empty).as_posix()
        sides: dict[str, tuple[Path, str, Callable[[Page], None]]] = {
            "a lesson in JupyterLab": (empty, lesson, a_notebook),
            "the dashboard": (empty, "dashboard.ipynb", the_dashboard),
            f"the dashboard with {arguments.events} results": (full, "dashboard.ipynb", the_dashboard),
        }
        took: dict[str, list[float]] = {side: [] for side in sides}
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(arguments.rounds):
            for side, (root, path, shown) in sides.items():
                took[side].append(opened(browser, root, path, shown))
        browser.close()
    first = statistics.median(next(iter(took.values())))
    for side, seconds in took.items():
        middle = statistics.median(seconds)
        print(
            f"{side}: {middle:.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), {middle / first:.2f} of the first"
        )


if __name__ == "__main__":
    main()
