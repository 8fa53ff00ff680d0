"""What opening the dashboard costs with 10,000 recorded results: run me with the environment's Python.

A copy of the course's catalogue, results at random times, then, a few rounds of each, with medians: the processor
time of a fresh kernel's part (importing, reading the results, making the page), the page's size, and what
Chromium's main thread does until the page stands. `--package DIR` measures the package that lies there (a checkout
of another version), in turn with this one, so that a busy machine hits both.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from playwright.sync_api import Browser, sync_playwright

from roadmap_progress import catalog
from roadmap_progress.model import Event, EventSource, Outcome
from roadmap_progress.store import Store, path_for

ROOT = Path(__file__).resolve().parents[1]
EVENTS = 10_000
ROUNDS = 5

KERNEL = """
import json, sys, time
from pathlib import Path
from roadmap_progress.dashboard.widget import Dashboard
from roadmap_progress.dashboard.session import Session
widget = Dashboard(Session(Path(sys.argv[1])))
spent = time.process_time()
print(json.dumps({"cpu": spent, "parts": widget.parts, "esm": str(widget._esm), "css": str(widget._css)}))
"""

PAGE = """<!doctype html><body style="margin:0"><style>%(css)s</style><div id="el"></div><script type="module">
%(esm)s
const model = {get: name => name === "parts" ? %(parts)s : "", on() {}, off() {}, send() {}};
render({model, el: document.getElementById("el")});
</script>"""


def record(root: Path, count: int) -> None:
    """So many results of a year, the same every time."""
    chance = random.Random(7)
    checks = list(catalog.load(root).checks.values())
    now = datetime.now(UTC)
    with Store(path_for(root)) as store:
        for _ in range(count):
            check = chance.choice(checks)
            passed = chance.random() < 0.6
            store.append(
                Event(
                    str(uuid4()),
                    store.machine,
                    EventSource.KERNEL,
                    check.id,
                    check.version,
                    "",
                    Outcome.PASSED if passed else Outcome.FAILED,
                    check.points if passed else 0.0,
                    now - timedelta(minutes=chance.randrange(525_600)),
                )
            )


def in_kernel(package: Path, root: Path) -> dict[str, object]:
    """What a fresh process makes of it."""
    command = [sys.executable, "-c", KERNEL, str(root)]
    environment = os.environ | {"PYTHONPATH": str(package)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root, env=environment)
    return dict(json.loads(done.stdout))


def in_browser(browser: Browser, made: dict[str, object], file: Path) -> float:
    """Milliseconds of the main thread until the page stands."""
    text = PAGE % {**made, "parts": json.dumps(made["parts"]).replace("</", "<\\/")}
    file.write_text(text, encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    metrics = page.context.new_cdp_session(page)
    metrics.send("Performance.enable")
    page.goto(file.as_uri())
    page.locator(".rdm-head").wait_for()
    found = {item["name"]: item["value"] for item in metrics.send("Performance.getMetrics")["metrics"]}
    page.close()
    return float(found["TaskDuration"]) * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", type=Path, help="a checkout to compare with")
    parser.add_argument("--events", type=int, default=EVENTS)
    arguments = parser.parse_args()
    packages = [ROOT, *([arguments.package.resolve()] if arguments.package else [])]
    cpu: dict[Path, list[float]] = {package: [] for package in packages}
    drawn: dict[Path, list[float]] = {package: [] for package in packages}
    size = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder) / "tree"
        (root / catalog.FILE).parent.mkdir(parents=True)
        shutil.copy2(ROOT / catalog.FILE, root / catalog.FILE)
        record(root, arguments.events)
        options = ["--disable-background-networking", "--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        for _ in range(ROUNDS):
            for package in packages:
                made = in_kernel(package, root)
                cpu[package].append(float(str(made["cpu"])) * 1000)
                size[package] = len(json.dumps(made["parts"]))
                drawn[package].append(in_browser(browser, made, Path(folder) / "page.html"))
        browser.close()
    for package in packages:
        print(
            f"{package}: kernel {statistics.median(cpu[package]):.0f} ms of processor time, page "
            f"{size[package] / 1024:.0f} KB, browser {statistics.median(drawn[package]):.0f} ms"
        )


if __name__ == "__main__":
    main()
