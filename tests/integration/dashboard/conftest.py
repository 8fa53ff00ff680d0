"""A copy of the course, a real JupyterLab in it, and a real browser in front of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Browser, Frame, FrameLocator, Page, Playwright, expect

from roadmap_progress import catalog
from roadmap_progress.model import Event, EventSource, Outcome
from roadmap_progress.processes import Watchdog
from roadmap_progress.store import Store, path_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[3]
BASE_URL = "/user/learner/"  # as on a JupyterHub: nothing may take it for "/"
PARTS = ("course", "exercises", "dashboard.ipynb", "nbgrader_config.py", "pyproject.toml")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

expect.set_options(timeout=30_000)


@dataclass
class Lab:
    """A running JupyterLab.

    Attributes:
        root: the course's folder, which is also the server's.
        port: of the server.
    """

    root: Path
    port: int
    token: str

    def url(self, path: str) -> str:
        """An address to open, the token included."""
        return f"http://127.0.0.1:{self.port}{BASE_URL}{path}?token={self.token}"

    def api(self, method: str, path: str) -> Any:
        """Ask the server's REST interface."""
        headers = {"Authorization": f"token {self.token}"}
        url = f"http://127.0.0.1:{self.port}{BASE_URL}api/{path}"
        answer = httpx.request(method, url, headers=headers, timeout=20)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def kernels(self) -> list[str]:
        """The ids of the kernels that run."""
        return [kernel["id"] for kernel in self.api("GET", "kernels")]

    @property
    def theme(self) -> Path:
        """Where Settings › Theme writes."""
        return (
            self.root.parent / "config/lab/user-settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings"
        )

    def choose_theme(self, name: str) -> None:
        """What a page that is opened from now on looks like."""
        self.theme.parent.mkdir(parents=True, exist_ok=True)
        self.theme.write_text(json.dumps({"theme": name}), encoding="utf-8")

    def record(self, check_id: str, outcome: Outcome = Outcome.PASSED, *, days_ago: int = 0) -> None:
        """Store an outcome of a check, as another kernel would."""
        check = catalog.load(self.root).checks[check_id]
        points = check.points if outcome is Outcome.PASSED else 0.0
        now = datetime.now(UTC) - timedelta(days=days_ago)
        with Store(path_for(self.root)) as store:
            store.append(
                Event(
                    str(uuid4()),
                    store.machine,
                    EventSource.KERNEL,
                    check_id,
                    check.version,
                    "",
                    outcome,
                    points,
                    now,
                )
            )


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Debian's Chromium, without a word to anybody outside."""
    program = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if program is None:
        missing = "there is no Chromium: sudo apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    options = ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
    # No name and no address leads anywhere else; Playwright's routes would cost a page a third more time.
    options.append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    if os.geteuid() == 0 or os.environ.get("CI"):
        options.append("--no-sandbox")  # Chromium has no sandbox for root, nor without user namespaces
    browser = playwright.chromium.launch(executable_path=program, args=options)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab in a copy of the course."""
    folder = tmp_path_factory.mktemp("lab")
    root = folder / "course-root"
    root.mkdir()
    for name in PARTS:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name)
        else:
            shutil.copy2(source, root / name)
    assets = REPOSITORY / "roadmap_progress" / "dashboard"
    environment = os.environ | {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        # What installing the package copies into the environment, as it is in the sources now.
        "JUPYTER_PATH": str(assets / "share"),
        "JUPYTER_CONFIG_PATH": str(assets / "etc"),
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--port=0", "--ip=127.0.0.1"]
    command += [f"--ServerApp.base_url={BASE_URL}", f"--ServerApp.root_dir={root}"]
    if os.geteuid() == 0:
        command.append("--allow-root")
    watchdog = Watchdog("jupyter")
    try:
        process = watchdog.start("jupyter", command, env=environment, ask="SIGTERM")
        found: list[Lab] = []

        def answers() -> bool:
            info = folder / "runtime" / f"jpserver-{process.pid}.json"
            try:
                data = json.loads(info.read_text(encoding="utf-8"))
                lab = Lab(root, data["port"], data["token"])
                lab.api("GET", "status")
            except (ValueError, httpx.TransportError):  # half written, or not listening yet
                return False
            found[:] = [lab]
            return True

        watchdog.wait_ready("jupyter", answers, timeout_s=60)
        yield found[0]
    finally:
        watchdog.close()


@pytest.fixture
def lab(server: Lab) -> Iterator[Lab]:
    """JupyterLab with a learner who has not begun."""
    yield server
    for kernel in server.kernels():
        server.api("DELETE", f"kernels/{kernel}")
    shutil.rmtree(server.root / "work", ignore_errors=True)
    server.theme.unlink(missing_ok=True)


@pytest.fixture
def open_page(browser: Browser, lab: Lab) -> Iterator[Callable[..., Page]]:
    """Open an address in a browser of its own; what the page asks for elsewhere is refused, and remembered."""
    contexts = []

    def open_(path: str, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        elsewhere: list[str] = []
        ours = (f"http://127.0.0.1:{lab.port}/", "data:", "blob:")
        context.on("request", lambda request: request.url.startswith(ours) or elsewhere.append(request.url))
        page = context.new_page()
        page.set_default_navigation_timeout(90_000)  # a busy machine takes its time over a kernel
        page.elsewhere = elsewhere
        if path.partition("?")[0].startswith("lab"):
            # A workspace of one's own, or the tabs of one test come back in the next.
            path = path.replace("lab", f"lab/workspaces/t{uuid4().hex[:8]}", 1)
        page.goto(lab.url(path))
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def door() -> Callable[[Page], FrameLocator | Frame | Page]:
    """Where the dashboard is on a page: in a tab of JupyterLab, or the page itself."""

    def find(page: Page) -> FrameLocator | Page:
        inside = page.frame_locator('iframe[title="The course\'s dashboard"]') if "/lab" in page.url else page
        expect(inside.locator(".rdm-head")).to_be_visible()
        return inside

    return find
