"""A browser as a lesson uses it: Playwright and Selenium on a real page; no stranger asked; nothing left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import psutil
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import wait_until
from roadmap_progress.servers import browser, chromium, web_server

pytestmark = [pytest.mark.server, pytest.mark.browser]

PAGE = """<!doctype html><title>Bookshop</title>
<label>Title <input id="title"></label><button onclick="
  const item = document.createElement('li');
  item.textContent = document.querySelector('#title').value;
  document.querySelector('ul').append(item)">Add</button><ul></ul>"""


@pytest.fixture(autouse=True)
def there(missing):
    """There is a Chromium; in CI there has to be."""
    try:
        browser.locate()
    except ServerUnavailable as error:
        missing(str(error))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The address of a page with a form that a script reads."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "index.html").write_text(PAGE)
    with web_server(folder) as web:
        yield web.url


@pytest.fixture(scope="module")
def running():
    """A running browser; each test opens tabs of its own."""
    with browser() as one:
        yield one


def test_playwright_fills_in_a_form_in_the_running_browser(running, shop, playwright):
    tab = playwright.chromium.connect_over_cdp(running.cdp_url).new_context().new_page()
    tab.goto(shop)
    tab.get_by_label("Title").fill("Middlemarch")
    tab.get_by_role("button", name="Add").click()
    assert tab.get_by_role("listitem").all_inner_texts() == ["Middlemarch"]


def test_playwright_launches_another_one_from_the_same_program(running, shop, playwright):
    own = playwright.chromium.launch(**running.launch_options)
    assert own.version == running.found.version
    tab = own.new_page()
    tab.goto(shop)
    assert tab.title() == "Bookshop"
    own.close()


def test_selenium_fills_in_a_form(running, shop, missing):
    try:
        address = running.webdriver_url
    except ServerUnavailable as error:
        missing(str(error))
    assert running.webdriver_url == address  # one driver for all
    driver = webdriver.Remote(address, options=running.selenium_options())
    try:
        driver.get(shop)
        driver.find_element(By.ID, "title").send_keys("Middlemarch")
        driver.find_element(By.TAG_NAME, "button").click()
        assert [item.text for item in driver.find_elements(By.TAG_NAME, "li")] == ["Middlemarch"]
    finally:
        driver.quit()


def test_it_has_no_pages_of_its_own_and_asks_nobody_but_the_page_for_anything(shop, tmp_path, playwright):
    log = tmp_path / "net.json"
    with browser(arguments=[f"--log-net-log={log}"]) as one:
        tab = playwright.chromium.connect_over_cdp(one.cdp_url).new_context().new_page()
        tab.goto(shop)
        tab.wait_for_timeout(5000)  # what it would do by itself begins a few seconds after its start
        targets = {(target["type"], target["url"]) for target in httpx.get(f"{one.cdp_url}/json/list").json()}
    assert targets == {("page", "about:blank"), ("page", f"{shop}/")}
    told = json.loads(log.read_text().rpartition("},\n")[0] + "}]}")  # it does not write the end
    kinds = {number: name for name, number in told["constants"]["logEventTypes"].items()}
    events = [(kinds[event["type"]], event.get("params", {})) for event in told["events"]]
    connected = {more["address"] for kind, more in events if kind == "TCP_CONNECT_ATTEMPT" and "address" in more}
    assert shop.removeprefix("http://") in connected  # or the log would prove nothing
    assert {address.rpartition(":")[0] for address in connected} == {"127.0.0.1"}
    assert not [more for kind, more in events if kind in ("UDP_BYTES_SENT", "HOST_RESOLVER_SYSTEM_TASK")]


def test_names_of_ones_own_lead_here(shop, playwright):
    rule = f"MAP bookshop.example 127.0.0.1:{shop.rpartition(':')[2]}"
    with browser(arguments=[f"--host-resolver-rules={rule}"]) as one:
        tab = playwright.chromium.connect_over_cdp(one.cdp_url).new_context().new_page()
        tab.goto("http://bookshop.example/")
        assert tab.title() == "Bookshop"


def test_as_root_it_runs_without_its_sandbox_and_says_so_else_with_it(running):
    alone = psutil.Process(running._watchdog.processes[chromium.NAME].pid)
    told = "--no-sandbox" in alone.cmdline()
    assert told == ("without its sandbox" in running.description)
    if os.geteuid() == 0:
        assert told


@pytest.fixture
def short():
    """A folder with a short name; pytest's are too long for a socket in them."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        yield Path(folder)


@pytest.fixture
def temporary(short, monkeypatch):
    """A folder of its own for temporary directories, empty again after the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    yield short
    assert list(short.iterdir()) == []


def program(tmp_path, text: str) -> str:
    """A program that tells Chromium's version and then does as it is told here."""
    path = tmp_path / "own-chromium"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "Chromium 156.0.1.2"; exit; }}\n{text}\n')
    path.chmod(0o755)
    return str(path)


def test_where_there_are_no_user_namespaces_it_is_started_again_without_its_sandbox(
    tmp_path, temporary, monkeypatch
):
    real = browser.locate().path
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 1000)
    monkeypatch.setenv(
        chromium.VARIABLE,
        program(
            tmp_path,
            f'case "$*" in *--no-sandbox*) exec {real} "$@";; esac\n'
            'echo "FATAL:zygote_host_impl_linux.cc(128)] No usable sandbox!" >&2; exit 1',
        ),
    )
    with browser() as one:
        assert "without its sandbox" in one.description


def test_a_start_that_dies_or_hangs_is_told_with_its_last_words(tmp_path, temporary, monkeypatch):
    monkeypatch.setenv(chromium.VARIABLE, program(tmp_path, "echo out of memory; exit 5"))
    with pytest.raises(ServerFailed, match=r"(?s)exit code 5.*out of memory"):
        browser.start()
    monkeypatch.setenv(chromium.VARIABLE, program(tmp_path, "echo thinking; exec sleep 600"))
    with pytest.raises(ServerFailed, match=r"not ready within 1 s; the last lines of its log:\nthinking"):
        browser.start(timeout_s=1)


def test_a_driver_for_another_version_is_named(running, tmp_path, monkeypatch):
    driver = tmp_path / "chromedriver"
    driver.write_text('#!/bin/sh\necho "ChromeDriver 120.0.1.2 (abc)"\n')
    driver.chmod(0o755)
    monkeypatch.setenv(chromium.DRIVER_VARIABLE, str(driver))
    with pytest.raises(
        ServerUnavailable, match=r"(?s)is for Chromium 120\.0\.1\.2.*apt-get install -y chromium-driver"
    ):
        chromium._locate_driver(running.found)


def test_a_temporary_folder_with_too_long_a_name_is_told(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(ServerFailed, match="set TMPDIR to a folder nearer to /"):
        browser.start()
    assert list(deep.iterdir()) == []


OWNER = """
import json, sys, time
from selenium import webdriver
from playwright.sync_api import sync_playwright
from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.servers import browser
one = browser.start()
playwright = sync_playwright().start()
own = playwright.chromium.launch(**one.launch_options)
tab = own.new_page()
try:
    driver = webdriver.Remote(one.webdriver_url, options=one.selenium_options())
except ServerUnavailable:
    pass
print(json.dumps("ready"), flush=True)
time.sleep(600)
"""


def test_nothing_is_left_of_any_of_its_browsers_when_its_owner_is_killed(short):
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(short)},
    ) as owner:
        assert owner.stdout.readline().startswith("browser: ")
        assert json.loads(owner.stdout.readline()) == "ready"
        family = psutil.Process(owner.pid).children(recursive=True)
        assert sum("chrom" in process.name() for process in family) > 6  # three browsers
        owner.kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    assert wait_until(lambda: not list(short.iterdir()), timeout_s=30), list(short.iterdir())
