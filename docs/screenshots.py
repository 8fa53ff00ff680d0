"""Makes the pictures of the dashboard in docs/images: `.venv/bin/python docs/screenshots.py`.

A copy of the course in a temporary folder, a learner half way through section 1, JupyterLab, and Chromium.
The learner's history is made up; everything else is the course as it is.
"""

# ruff: noqa: INP001  docs/ holds scripts and pictures, no package

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
from playwright.sync_api import sync_playwright

from roadmap_progress import catalog
from roadmap_progress.model import Event, EventSource, Outcome
from roadmap_progress.processes import Watchdog
from roadmap_progress.store import Store, path_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
THEMES = Path("lab/user-settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings")


def main() -> int:
    """Make all pictures; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "backend-roadmap"
        copy_course(tree)
        invent_history(tree)
        watchdog = Watchdog("jupyter")
        try:
            address, token = start_jupyter(watchdog, tree, Path(folder))
            with sync_playwright() as playwright:
                options = ["--disable-background-networking", "--no-sandbox"]
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
                in_lab(browser, f"{address}lab?token={token}", "dashboard.png")
                choose_theme(Path(folder), "JupyterLab Dark")
                in_lab(browser, f"{address}lab/workspaces/dark?token={token}", "dashboard-dark.png")
                on_a_phone(browser, f"{address}voila/render/dashboard.ipynb?token={token}", "dashboard-narrow.png")
                browser.close()
        finally:
            watchdog.close()
    return 0


def copy_course(tree: Path) -> None:
    """What a learner has."""
    tree.mkdir()
    for name in ("course", "exercises"):
        shutil.copytree(ROOT / name, tree / name)
    for name in ("dashboard.ipynb", "README.md", "LICENSE", "pyproject.toml"):
        shutil.copy2(ROOT / name, tree / name)


def invent_history(tree: Path) -> None:
    """1.1 nearly done, one exercise not passing yet; 1.2 just begun."""
    roadmap = catalog.load(tree)
    first, second = roadmap.find("1.1").exercises, roadmap.find("1.2").exercises
    passed = [check for exercise in (*first[:4], second[0]) for check in exercise.checks]
    failed = [first[4].checks[0]]
    time = datetime.now(UTC) - timedelta(hours=len(passed))
    with Store(path_for(tree)) as store:
        for check in (*second[0].checks, *passed, *failed):
            outcome = Outcome.FAILED if check in failed else Outcome.PASSED
            points = check.points if outcome is Outcome.PASSED else 0.0
            time += timedelta(minutes=20)
            store.append(
                Event(
                    uuid=str(uuid4()),
                    machine=store.machine,
                    source=EventSource.KERNEL,
                    check_id=check.id,
                    check_version=check.version,
                    answer_digest="",
                    outcome=outcome,
                    points=points,
                    time=time,
                )
            )


def start_jupyter(watchdog: Watchdog, tree: Path, home: Path) -> tuple[str, str]:
    """JupyterLab in the tree; returns its address and token."""
    environment = os.environ | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "config/lab/user-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_PATH": str(ROOT / "roadmap_progress/dashboard/share"),
        "JUPYTER_CONFIG_PATH": str(ROOT / "roadmap_progress/dashboard/etc"),
    }
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--port=0",
        "--ip=127.0.0.1",
        "--allow-root",
    ]
    process = watchdog.start("jupyter", [*command, f"--ServerApp.root_dir={tree}"], env=environment, ask="SIGTERM")
    found: dict[str, str] = {}

    def answers() -> bool:
        info = home / "runtime" / f"jpserver-{process.pid}.json"
        try:
            found.update(json.loads(info.read_text(encoding="utf-8")))
            return httpx.get(f"{found['url']}api", timeout=5).is_success
        except (ValueError, httpx.TransportError):  # half written, or not listening yet
            return False

    watchdog.wait_ready("jupyter", answers, timeout_s=60)
    return found["url"], found["token"]


def choose_theme(home: Path, name: str) -> None:
    """What Settings › Theme writes."""
    settings = home / "config" / THEMES
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"theme": name}), encoding="utf-8")


def in_lab(browser: Browser, address: str, name: str) -> None:
    """The dashboard as `make lab` shows it."""
    page = browser.new_page(viewport={"width": 1360, "height": 1000}, device_scale_factor=1.5)
    page.goto(address)
    inside = page.frame_locator("iframe")
    inside.locator(".rdm-head").wait_for(timeout=60_000)
    inside.locator('details[data-key="exercises-1.1"] > summary').click()
    page.locator(".jp-mod-current, .jp-SideBar").first.wait_for()
    page.mouse.move(700, 5)
    page.screenshot(path=IMAGES / name, animations="disabled")
    page.close()


def on_a_phone(browser: Browser, address: str, name: str) -> None:
    """The page alone, on a narrow screen."""
    page = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2, color_scheme="light")
    page.goto(address)
    page.locator(".rdm-head").wait_for(timeout=60_000)
    page.screenshot(path=IMAGES / name, animations="disabled")
    page.close()


if __name__ == "__main__":
    sys.exit(main())
