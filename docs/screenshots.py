"""Makes the pictures of the dashboard in docs/images: `.venv/bin/python docs/screenshots.py`.

A copy of the course in a temporary folder, a learner some weeks under way, JupyterLab, and Chromium.
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

    from roadmap_progress.model import Check

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
                alone = f"{address}voila/render/dashboard.ipynb?token={token}"
                on_a_phone(browser, alone, "dashboard-narrow.png")
                the_map(browser, alone, "map")
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
    """Some notebooks done, others begun, one exercise that does not pass; spread over seven weeks."""
    roadmap = catalog.load(tree)
    done = {"1.1": 8, "1.2": 8, "2.1": 8, "3.1": 8, "2.2": 8, "2.3": 3, "3.2": 2, "4.1": 4, "2.4": 1}
    failing = "2.4"
    runs: list[tuple[Check, Outcome]] = []
    for number, count in done.items():
        exercises = roadmap.find(number).exercises
        for index, exercise in enumerate(exercises[:count]):
            if index % 3 == 1:  # the first try did not pass
                runs.append((exercise.checks[0], Outcome.FAILED))
            runs += [(check, Outcome.PASSED) for check in exercise.checks]
        if number == failing:
            runs.append((exercises[count].checks[0], Outcome.FAILED))
    now = datetime.now(UTC)
    with Store(path_for(tree)) as store:
        for index, (check, outcome) in enumerate(runs):
            store.append(
                Event(
                    uuid=str(uuid4()),
                    machine=store.machine,
                    source=EventSource.KERNEL,
                    check_id=check.id,
                    check_version=check.version,
                    answer_digest="",
                    outcome=outcome,
                    points=check.points if outcome is Outcome.PASSED else 0.0,
                    time=now - timedelta(days=49) * (1 - (index + 1) / len(runs)),
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
    inside.locator(".rdm-map").wait_for()
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


def the_map(browser: Browser, address: str, name: str) -> None:
    """The map in both themes, near, and on a phone."""
    for suffix, width, scheme in (("", 1280, "light"), ("-dark", 1280, "dark"), ("-narrow", 390, "light")):
        size = {"width": width, "height": 2400}  # all of it: the page scrolls within Voilà's own frame
        page = browser.new_page(viewport=size, device_scale_factor=1.5, color_scheme=scheme)
        page.goto(address)
        whole = page.locator(".rdm-map")
        whole.wait_for(timeout=60_000)
        whole.screenshot(path=IMAGES / f"{name}{suffix}.png", animations="disabled")
        if not suffix:
            page.locator('.rdm-drawing:visible .rdm-stop[data-stop="4.1"]').click()
            page.mouse.move(5, 5)
            whole.screenshot(path=IMAGES / f"{name}-near.png", animations="disabled")
        page.close()


if __name__ == "__main__":
    sys.exit(main())
