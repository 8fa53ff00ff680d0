"""A real browser without a window, for tests: Chromium, driven by Playwright or Selenium.

::

    chromium = browser.start()

    async with async_playwright() as playwright:       # in a notebook; sync_playwright() in a script
        tab = await (await playwright.chromium.connect_over_cdp(chromium.cdp_url)).new_page()
        await tab.goto(web.url)

    driver = webdriver.Remote(chromium.webdriver_url, options=chromium.selenium_options())   # Selenium
    driver.get(web.url)

    playwright.chromium.launch(**chromium.launch_options)   # a browser of Playwright's own, from the same program

It talks to this machine alone; a `--host-resolver-rules` among its arguments gives names to addresses here. It
runs in its sandbox; for root, and where the system allows no user namespaces, there is none, and the description
says so.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import StopLimits, run, tail
from roadmap_progress.servers._found import Found, Install, find_program
from roadmap_progress.servers._kind import Server, ServerKind, starting
from roadmap_progress.servers._ports import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selenium.webdriver import ChromeOptions

INSTALL = Install(apt="chromium", brew="--cask chromium", playwright="chromium-headless-shell")
DRIVER_INSTALL = Install(apt="chromium-driver", brew="--cask chromedriver")
VARIABLE = "ROADMAP_CHROMIUM"  # the path of a Chromium or Chrome
DRIVER_VARIABLE = "ROADMAP_CHROMEDRIVER"
OLDEST = (109,)  # the first with today's headless mode
NAME = "chromium"
DRIVER = "chromedriver"
TIMEOUT_S = 60.0
LIMITS = StopLimits(ask_s=3.0, terminate_s=1.0, kill_s=2.0)
LONGEST = 104 - len("/org.chromium.Chromium.XXXXXX/SingletonSocket") - 1
NO_SANDBOX = "--no-sandbox"
PROGRAMS = (
    "chromium",
    "chromium-headless-shell",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "Chromium",
    "Google Chrome",
    "chrome-headless-shell",
    "headless_shell",
    "chrome",
)
ARGUMENTS = (
    "--headless=new",
    "--disable-background-networking",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    # The last two: the address bar's list, a page of its own that nobody sees. It costs a second, and 50 MB.
    "--disable-features=MediaRouter,OptimizationHints,Translate,WebUIOmniboxPopup,WebUIOmniboxAimPopup",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--disable-breakpad",
    # What has no switch of its own gets no further than this: only loopback has names and addresses.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE [::1]",
    "--no-proxy-server",
    "--disable-dev-shm-usage",  # in a container it is small
    "--disable-gpu",
    "--password-store=basic",
    "--use-mock-keychain",
)


class Browser(Server):
    """A Chromium that was started here.

    Attributes:
        executable_path: of the program.
        arguments: that it was started with, but for those that name ports and folders.
    """

    def __init__(self, *, arguments: Sequence[str], timeout_s: float) -> None:
        found = locate()
        assert found.path is not None  # noqa: S101 (a program has a path)
        self.executable_path = str(found.path)
        self._timeout_s = timeout_s
        self._driver_port = 0
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        self.arguments = [*ARGUMENTS, *([NO_SANDBOX] if root else []), *arguments]
        with starting(NAME) as watchdog:
            super().__init__(watchdog, found, "")
            if len(os.fsencode(watchdog.directory)) > LONGEST:  # a Unix socket's address has 104 bytes, or 108
                raise ServerFailed(
                    f"{watchdog.directory} is too long for {NAME}: set TMPDIR to a folder nearer to /"
                )
            try:
                self._start()
            except ServerFailed as error:
                if root or "No usable sandbox" not in str(error):
                    raise
                self.arguments.append(NO_SANDBOX)
                self._start()

    @property
    def description(self) -> str:
        """Which browser it is, where it listens, and whether it does without its sandbox."""
        return f"{self.found} at {self._address}" + (
            ", without its sandbox" if NO_SANDBOX in self.arguments else ""
        )

    @property
    def cdp_url(self) -> str:
        """Where it takes orders in the Chrome DevTools Protocol: for Playwright's `connect_over_cdp`."""
        return self._address

    @property
    def launch_options(self) -> dict[str, Any]:
        """For Playwright's `chromium.launch(**…)`: another browser, from the same program."""
        args = [argument for argument in self.arguments if argument != ARGUMENTS[0]]
        return {"executable_path": self.executable_path, "args": args, "headless": True}

    @property
    def webdriver_url(self) -> str:
        """Where a chromedriver takes Selenium's orders; it is started when this is first asked for.

        Raises:
            ServerUnavailable: there is no chromedriver, or none for this Chromium.
            ServerFailed: it did not come up in time.
        """
        if not (self._driver_port and self._watchdog.is_running(DRIVER)):
            self._start_driver()
        return f"http://{HOST}:{self._driver_port}"

    def selenium_options(self) -> ChromeOptions:
        """For `selenium.webdriver.Remote(chromium.webdriver_url, options=…)`: this program and these arguments."""
        from selenium.webdriver import ChromeOptions

        options = ChromeOptions()
        options.binary_location = self.executable_path
        for argument in self.arguments:
            options.add_argument(argument)
        return options

    def log(self, lines: int = 20) -> str:
        """The last lines of what it printed."""
        return tail(self._watchdog.processes[NAME].log, lines)

    def _start(self) -> None:
        profile = self._watchdog.directory / "profile"
        told = profile / "DevToolsActivePort"
        told.unlink(missing_ok=True)
        self._watchdog.start(
            NAME,
            [
                self.executable_path,
                *self.arguments,
                f"--user-data-dir={profile}",
                f"--remote-debugging-address={HOST}",
                "--remote-debugging-port=0",
                "about:blank",
            ],
            env=self._environment(),
            limits=LIMITS,
        )

        def answers() -> bool:
            port = told.read_text(encoding="ascii").partition("\n")[0]
            if not port:  # about to be written
                return False
            self._address = f"http://{HOST}:{port}"
            return _answers(int(port), "/json/version")

        self._watchdog.wait_ready(NAME, answers, timeout_s=self._timeout_s)

    def _start_driver(self) -> None:
        driver = _locate_driver(self.found)
        assert driver.path is not None  # noqa: S101 (a program has a path)
        process = self._watchdog.start(DRIVER, [driver.path, "--port=0"], env=self._environment(), limits=LIMITS)
        found: list[int] = []

        def answers() -> bool:
            # One that was started before has written to the same log: the last line counts.
            found[:] = [
                int(port) for port in re.findall(r"successfully on port (\d+)", tail(process.log, 50))[-1:]
            ]
            return bool(found) and _answers(found[0], "/status")

        self._watchdog.wait_ready(DRIVER, answers, timeout_s=self._timeout_s)
        self._driver_port = found[0]

    def _environment(self) -> dict[str, str]:
        """Its own home and temporary folder, so that nothing of it stays in those of the user."""
        home = str(self._watchdog.directory)
        own = {"HOME": home, "TMPDIR": home, "XDG_RUNTIME_DIR": home, "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
        dropped = {"XDG_CONFIG_HOME", "XDG_CACHE_HOME", "DISPLAY", "WAYLAND_DISPLAY", "CHROMIUM_FLAGS"}
        return {name: value for name, value in os.environ.items() if name not in dropped} | own


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except http.client.HTTPException:
        return False
    finally:
        connection.close()


def locate() -> Found:
    """The browser that would be taken.

    Raises:
        ServerUnavailable: there is no Chromium or Chrome, or none that is recent enough.
    """
    first: ServerUnavailable | None = None
    for program in PROGRAMS:
        try:
            return find_program(
                program,
                variable=VARIABLE,
                version_of=_version,
                at_least=OLDEST,
                wheel=lambda: None,
                install=INSTALL,
                folders=_folders(),
            )
        except ServerUnavailable as error:
            if VARIABLE in os.environ:
                raise
            first = first or error
    assert first is not None  # noqa: S101 (there are programs to look for)
    raise first


def _locate_driver(browser: Found) -> Found:
    """The chromedriver for this browser."""
    found = find_program(
        DRIVER,
        variable=DRIVER_VARIABLE,
        version_of=_version,
        at_least=OLDEST,
        wheel=lambda: None,
        install=DRIVER_INSTALL,
        folders=("/usr/lib/chromium", "/usr/lib/chromium-browser"),
    )
    if found.version.partition(".")[0] != browser.version.partition(".")[0]:
        reason = f"{found.path} is for Chromium {found.version}, and {browser.path} is {browser.version}"
        raise DRIVER_INSTALL.unavailable(DRIVER, [reason])
    return found


def _folders() -> list[str]:
    """Where macOS keeps applications, and where `playwright install` puts browsers."""
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    library = Path.home() / "Library" / "Caches" / "ms-playwright"
    found: list[Path] = []
    for place in (cache, library):
        with contextlib.suppress(OSError):  # somebody else's home
            found += [file.parent for file in sorted(place.glob("chromium*/*/*")) if file.is_file()]
    apps = ["/Applications/Chromium.app/Contents/MacOS", "/Applications/Google Chrome.app/Contents/MacOS"]
    return [*apps, *dict.fromkeys(str(folder) for folder in found)]


def _version(binary: Path) -> str | None:
    try:
        told = run([binary, "--version"], timeout_s=30.0)
    except OSError:
        return None
    match = re.search(r"(?:Chrom\w+|Chrome for Testing)\s(\d+(?:\.\d+)+)", told.stdout)
    return match[1] if match and told.ok else None


def _open(*, arguments: Sequence[str] = (), timeout_s: float = TIMEOUT_S) -> Browser:
    """Start a browser without a window, with an empty profile.

    Args:
        arguments: further command-line switches of Chromium.
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: there is no Chromium or Chrome.
        ServerFailed: it did not come up in time.
    """
    return Browser(arguments=arguments, timeout_s=timeout_s)


browser = ServerKind(
    "browser",
    _open,
    locate,
    INSTALL,
    "Chromium without a window, for Playwright and Selenium",
)
