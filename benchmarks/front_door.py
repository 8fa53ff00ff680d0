"""How long from JupyterLab's start until the dashboard can be used, beside an ordinary notebook.

    python benchmarks/front_door.py [--rounds 5] [--events 10000]

A round starts JupyterLab on a copy of the course three times, one after the other, and opens it in a new Chromium
context: on a lesson, until its first cell is there; on the dashboard, until its head and its map are there; and on
the dashboard of somebody with so many recorded results. Seconds count from the start of the process; medians and
ratios are printed. Then, for each check of 1.1: from its stored pass until the open dashboard shows the points.
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
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dashboard import record
from playwright.sync_api import Browser, sync_playwright

from roadmap_progress import catalog
from roadmap_progress.model import Event, EventSource, Outcome
from roadmap_progress.store import Store, path_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
WAIT_MS = 90_000
COPIED = ("course", "exercises", "dashboard.ipynb", "nbgrader_config.py")


def learner(folder: Path, events: int) -> Path:
    """The tree of a learner with so many results."""
    root = folder / f"course-{events}"
    root.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, root / name)
    if events:
        record(root, events)
    return root


@contextmanager
def jupyter(root: Path) -> Iterator[dict[str, Any]]:
    """A JupyterLab of its own; what it says about itself."""
    with tempfile.TemporaryDirectory() as runtime:
        command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--port=0", "--ip=127.0.0.1"]
        command += [f"--ServerApp.root_dir={root}", *(["--allow-root"] if os.geteuid() == 0 else [])]
        folders = ("JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
        environment = os.environ | dict.fromkeys(folders, runtime)
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            info = Path(runtime) / f"jpserver-{server.pid}.json"
            deadline = time.perf_counter() + WAIT_MS / 1000
            while not info.exists() or not info.read_text():
                if server.poll() is not None or time.perf_counter() > deadline:
                    raise SystemExit("JupyterLab did not start")
                time.sleep(0.01)
            yield json.loads(info.read_text(encoding="utf-8"))
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:  # its kernels end when it is gone
                server.kill()
                server.wait()


def load(browser: Browser, about: dict[str, Any], path: str) -> Page:
    """A notebook's page of that JupyterLab, in a browser without a cache."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{about['url']}lab/tree/{path}?token={about['token']}")
    return page


def opened(browser: Browser, root: Path, path: str, shown: Callable[[Page], None]) -> float:
    """Seconds from the start of a JupyterLab until a page of it shows what is wanted."""
    began = time.perf_counter()
    with jupyter(root) as about:
        page = load(browser, about, path)
        shown(page)
        spent = time.perf_counter() - began
        page.context.close()
    return spent


def results(browser: Browser, root: Path) -> list[float]:
    """For each check of a notebook: seconds from its stored pass until the open dashboard shows the points."""
    notebook = catalog.load(root).find("1.1")
    took = []
    with jupyter(root) as about, Store(path_for(root)) as store:
        page = load(browser, about, "dashboard.ipynb")
        the_dashboard(page)
        (frame,) = (frame for frame in page.frames if "voila" in frame.url)
        for check in (check for exercise in notebook.exercises for check in exercise.checks):
            before = frame.locator(".rdm-head").inner_text()
            now = datetime.now(UTC)
            passed = (Outcome.PASSED, check.points, now)
            event = Event(str(uuid4()), store.machine, EventSource.KERNEL, check.id, check.version, "", *passed)
            began = time.perf_counter()
            store.append(event)
            frame.wait_for_function(
                "before => document.querySelector('.rdm-head').innerText !== before", arg=before
            )
            took.append(time.perf_counter() - began)
        page.context.close()
    return took


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
        shown = results(browser, learner(Path(folder) / "shows", 0))
        browser.close()
    first = statistics.median(next(iter(took.values())))
    for side, seconds in took.items():
        middle = statistics.median(seconds)
        print(
            f"{side}: {middle:.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), {middle / first:.2f} of the first"
        )
    print(
        f"a passed check shows after {statistics.median(shown):.2f} s; "
        f"the longest of {len(shown)} after {max(shown):.2f} s"
    )


if __name__ == "__main__":
    main()
