"""The dashboard in a real browser: in JupyterLab, as a Voilà page, and as a notebook."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from roadmap_progress import catalog
from roadmap_progress.dashboard import page as html
from roadmap_progress.dashboard import view
from roadmap_progress.dashboard.session import Session
from roadmap_progress.model import Outcome
from roadmap_progress.processes import wait_until
from roadmap_progress.store import Store, path_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

VOILA = "voila/render/dashboard.ipynb"
STEM = "1.1-internet-fundamentals.ipynb"
FIRST = "next-step_words"  # the first check of 1.1, worth two points
Open = Callable[..., Page]
Door = Callable[[Page], Any]

# A thousand results of one check, and more until its standard input ends; the last is a pass.
MANY_RESULTS = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from roadmap_progress import catalog
from roadmap_progress.model import Event, EventSource, Outcome
from roadmap_progress.store import Store, path_for
check = catalog.load(Path(sys.argv[1])).checks[sys.argv[2]]
enough = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), enough.set()), daemon=True).start()
with Store(path_for(Path(sys.argv[1]))) as store:
    def record(number, *came):
        about = (store.machine, EventSource.KERNEL, check.id, check.version, "")
        store.append(Event(f"one-of-many-{number}", *about, *came, datetime.now(UTC)))
    number = 1
    while number < 1000 or not enough.wait(0.005):
        record(number, Outcome.FAILED, 0.0)
        number += 1
    record(number, Outcome.PASSED, check.points)
"""

# The contrast of an element's text with what is really behind it, by WCAG 2.2's formula.
CONTRAST = """element => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  let behind = element;
  while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(rgba).map(light);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def earned(lab: Any, points: int) -> str:
    """What 1.1 says of its points; the first check is worth two, the one of the second exercise three."""
    return f"{points} of {view.points(catalog.load(lab.root).find('1.1').points)} points"


# The ground of JupyterLab's theme, as the browser writes it.
GROUND = """() => {
  const probe = document.createElement("div");
  probe.style.background = "var(--jp-layout-color1)";
  document.body.append(probe);
  const colour = getComputedStyle(probe).backgroundColor;
  probe.remove();
  return colour;
}"""


def tabs(page: Page) -> Any:
    """The tabs of JupyterLab's main area."""
    return page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel")


def run_command(page: Page, command: str, arguments: dict[str, Any]) -> None:
    """Run one of JupyterLab's commands, by the link that it listens to, and say yes to its question."""
    page.evaluate(
        """([command, args]) => {
          const link = document.createElement("a");
          link.dataset.commandlinkerCommand = command;
          link.dataset.commandlinkerArgs = args;
          document.body.append(link); link.click(); link.remove();
        }""",
        [command, json.dumps(arguments)],
    )
    page.locator(".jp-Dialog").get_by_role("button", name="Run", exact=True).click()


@pytest.mark.parametrize("path", ["lab", "lab/tree/dashboard.ipynb"])
def test_jupyterlab_lands_on_the_running_dashboard(lab: Any, open_page: Open, door: Door, path: str) -> None:
    page = open_page(path)
    inside = door(page)
    expect(inside.locator('[data-key="1.1"]')).to_contain_text(earned(lab, 0))
    expect(tabs(page)).to_have_text(["dashboard.ipynb"])
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    assert page.elsewhere == []


def test_a_link_to_a_notebook_opens_that_and_no_dashboard(lab: Any, open_page: Open) -> None:
    page = open_page(f"lab/tree/exercises/01-foundations/{STEM}")
    expect(tabs(page)).to_have_text([STEM])
    expect(page.locator("iframe")).to_have_count(0)


def test_closing_the_tab_ends_its_kernel(lab: Any, open_page: Open, door: Door) -> None:
    page = open_page("lab")
    door(page)
    assert len(lab.kernels()) == 1
    page.locator("#jp-main-dock-panel .lm-TabBar-tabCloseIcon").first.click()
    assert wait_until(lambda: lab.kernels() == [], timeout_s=30)


@pytest.mark.parametrize(
    ("label", "copy"),
    [("Read the lesson", f"work/lessons/{STEM}"), ("Exercises of 1.1", f"work/01-foundations/{STEM}")],
)
def test_a_click_opens_a_copy_as_a_tab_and_leaves_the_dashboard_there(
    lab: Any, open_page: Open, door: Door, label: str, copy: str
) -> None:
    page = open_page("lab")
    inside = door(page)
    page.evaluate("window.stillTheSame = true")
    inside.locator(".rdm-next").get_by_role("link", name=label).click()
    expect(tabs(page)).to_have_text(["dashboard.ipynb", STEM])
    expect(page.locator(".jp-NotebookPanel:visible .jp-Cell").first).to_be_visible()
    assert (lab.root / copy).is_file()
    assert page.evaluate("window.stillTheSame")
    # A second click shows the tab that is there.
    tabs(page).first.click()
    inside.locator(".rdm-next").get_by_role("link", name=label).click()
    expect(page.locator(".lm-TabBar-tab.lm-mod-current .lm-TabBar-tabLabel", has_text=STEM)).to_be_visible()
    expect(tabs(page)).to_have_count(2)


def test_from_voila_a_copy_opens_as_a_lab_tab_beside_the_page(lab: Any, open_page: Open, door: Door) -> None:
    page = open_page(VOILA)
    inside = door(page)
    with page.context.expect_page() as opened:
        inside.locator(".rdm-next").get_by_role("link", name="Read the lesson").click()
    notebook = opened.value
    expect(notebook.locator(".jp-NotebookPanel:visible .jp-Cell").first).to_be_visible()
    assert f"/user/learner/lab/tree/work/lessons/{STEM}" in notebook.url or "/lab/workspaces/" in notebook.url
    assert (lab.root / "work" / "lessons" / STEM).is_file()
    expect(page.locator(".rdm-head")).to_be_visible()
    assert page.elsewhere == []


def test_nothing_else_can_be_reached_and_an_attempt_is_seen(open_page: Open) -> None:
    """The control of the `elsewhere` of these tests, with a server of this machine that is not JupyterLab."""
    with ThreadingHTTPServer(("127.0.0.2", 0), BaseHTTPRequestHandler) as other:
        page = open_page(VOILA)
        url = f"http://127.0.0.2:{other.server_port}/"
        with pytest.raises(PlaywrightError, match="ERR_NAME_NOT_RESOLVED"):
            page.goto(url)
    assert page.elsewhere == [url]


def test_as_a_notebook_it_is_the_same_page_and_opens_tabs_too(lab: Any, open_page: Open, door: Door) -> None:
    page = open_page("lab")
    door(page)
    run_command(page, "docmanager:open", {"path": "dashboard.ipynb", "factory": "Notebook"})
    panel = page.locator(".jp-NotebookPanel:visible")
    expect(panel).to_contain_text("Nothing below? Run › Run All Cells starts the dashboard.")
    # JupyterLab drops what is run before the notebook has its kernel, and can show it as idle before that.
    expect(panel.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')).to_be_visible()
    begun = panel.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[(\*|\d+)\]"))
    for _ in range(5):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with contextlib.suppress(PlaywrightTimeout):
            begun.first.wait_for(timeout=5_000)
            break
    expect(panel.locator(".rdm-head")).to_be_visible()
    lab.record(FIRST)
    expect(panel.locator('[data-key="1.1"]')).to_contain_text(earned(lab, 2))
    panel.locator(".rdm-next").get_by_role("link", name="Read the lesson").click()
    expect(tabs(page).filter(has_text=STEM)).to_have_count(1)


@pytest.mark.parametrize("path", ["lab", VOILA])
def test_another_processs_result_shows_by_itself(lab: Any, open_page: Open, door: Door, path: str) -> None:
    page = open_page(path)
    inside = door(page)
    card = inside.locator('[data-key="1.1"]')
    expect(card).to_contain_text(earned(lab, 0))
    more = inside.locator('details[data-key="exercises-1.1"]')
    more.locator("summary").click()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from conftest import Lab; from pathlib import Path; "
        f"Lab(Path(sys.argv[2]), 0, '').record({FIRST!r})"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(html.STATIC.parents[2] / "tests/integration/dashboard"), str(lab.root)],
        check=True,
    )
    expect(card).to_contain_text(earned(lab, 2))
    expect(card.locator("> header .rdm-chip")).to_have_text("Started")
    expect(inside.locator('[aria-live="polite"]')).to_contain_text(f"1.1 Internet Fundamentals: {earned(lab, 2)}")
    assert more.get_attribute("open") is not None  # what the reader has opened stays open
    lab.record("stale-answers_addresses", Outcome.FAILED)
    expect(inside.locator(".rdm-why")).to_contain_text("does not pass yet: its message says what is missing")


def test_a_thousand_results_of_another_process_arrive_and_the_page_answers_meanwhile(
    lab: Any, open_page: Open, door: Door
) -> None:
    inside = door(open_page("lab"))
    command = [sys.executable, "-c", MANY_RESULTS, lab.root, FIRST]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        expect(inside.locator(".rdm-why")).to_contain_text("does not pass yet")
        inside.locator('details[data-key="exercises-1.1"] > summary').click()
        expect(inside.locator('details[data-key="exercises-1.1"] ol')).to_be_visible()
        assert other.poll() is None  # all of this while it writes
        other.stdin.close()
        assert other.wait(timeout=100) == 0
    expect(inside.locator('[data-key="1.1"]')).to_contain_text(earned(lab, 2))
    with Store(path_for(lab.root)) as store:
        assert sum(1 for _ in store.events()) >= 1000


def test_two_dashboards_open_at_once_both_move(lab: Any, open_page: Open, door: Door) -> None:
    both = [door(open_page("lab")), door(open_page(VOILA))]
    lab.record(FIRST)
    for inside in both:
        expect(inside.locator('[data-key="1.1"]')).to_contain_text(earned(lab, 2))


def test_the_theme_of_jupyterlab_is_the_pages_and_text_is_readable_in_both(open_page: Open, door: Door) -> None:
    page = open_page("lab")
    inside = door(page)
    root = inside.locator(".rdm")
    for theme, name in (("light", "JupyterLab Light"), ("dark", "JupyterLab Dark")):
        run_command(page, "apputils:change-theme", {"theme": name})
        expect(root).to_have_attribute("data-theme", theme)
        expect(root).to_have_css("background-color", page.evaluate(GROUND))
        readable(inside)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_voila_follows_the_systems_scheme(open_page: Open, door: Door, scheme: str) -> None:
    inside = door(open_page(VOILA, color_scheme=scheme))
    expect(inside.locator(".rdm")).to_have_attribute("data-theme", scheme)
    readable(inside)


def readable(inside: Any) -> None:
    for name in (
        ".rdm-why",
        ".rdm-over",
        ".rdm-about",
        ".rdm-chip",
        ".rdm-number",
        ".rdm-button",
        ".rdm-topics li",
        ".rdm-station",
        ".rdm-foot p",
    ):
        for found in inside.locator(name).all():
            assert found.evaluate(CONTRAST) >= 4.5, f"{name}: {found.inner_text()!r}"


def test_by_keyboard_alone_one_gets_to_the_lesson(open_page: Open, door: Door) -> None:
    page = open_page(VOILA)
    inside = door(page)
    for _ in range(4):
        page.keyboard.press("Tab")
        if inside.locator(":focus").count() and "Read the lesson" in inside.locator(":focus").inner_text():
            break
    focused = inside.locator(":focus")
    expect(focused).to_contain_text("Read the lesson")
    assert focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    with page.context.expect_page():
        page.keyboard.press("Enter")


def test_focus_stays_where_it_is_when_the_page_moves(lab: Any, open_page: Open, door: Door) -> None:
    inside = door(open_page(VOILA))
    link = inside.locator('[data-key="card-exercises-1.1"]')
    link.focus()
    lab.record(FIRST)
    expect(inside.locator('[data-key="1.1"]')).to_contain_text(earned(lab, 2))
    expect(link).to_be_focused()


@pytest.mark.parametrize("width", [320, 390, 800, 1600])
def test_no_width_needs_scrolling_sideways(open_page: Open, door: Door, width: int) -> None:
    inside = door(open_page(VOILA, viewport={"width": width, "height": 800}))
    inside.locator(".rdm").evaluate("root => root.querySelectorAll('details').forEach(el => { el.open = true; })")
    assert inside.locator(".rdm").evaluate(
        "root => [...root.querySelectorAll('*')].filter(el => el.getBoundingClientRect().right > innerWidth + 1"
        " && !el.closest('.rdm-hidden, svg')).map(el => el.className)"
    ) == []  # fmt: skip


@pytest.fixture
def planned(lab: Any) -> Iterator[Any]:
    """The last section, in a catalogue that plans its notebooks; the course itself may have none left to write."""
    path = lab.root / "course" / "roadmap.json"
    written = path.read_text(encoding="utf-8")
    roadmap = json.loads(written)
    for notebook in roadmap["sections"][-1]["notebooks"]:
        notebook["status"] = "planned"
        notebook.pop("exercises", None)
    path.write_text(json.dumps(roadmap), encoding="utf-8")
    yield catalog.load(lab.root).sections[-1]
    path.write_text(written, encoding="utf-8")


def test_planned_notebooks_are_shown_as_such_and_cannot_be_opened(
    open_page: Open, door: Door, planned: Any
) -> None:
    inside = door(open_page(VOILA))
    section = inside.locator(f'details[data-key="section-{planned.slug}"]')
    expect(section.locator("> summary")).to_contain_text("Planned")
    section.locator("> summary").click()
    expect(section.locator(".rdm-card")).to_have_count(len(planned.notebooks))
    expect(section.get_by_role("link")).to_have_count(0)


def test_a_corrupt_store_is_set_aside_with_a_message_and_the_page_goes_on(
    lab: Any, open_page: Open, door: Door
) -> None:
    inside = door(open_page(VOILA))
    lab.record(FIRST)
    expect(inside.locator('[data-key="1.1"]')).to_contain_text(earned(lab, 2))
    store = path_for(lab.root)
    broken = store.with_name("broken")
    broken.write_bytes(b"no database at all " * 300)
    for companion in ("-wal", "-shm"):  # or SQLite mends it from these
        store.with_name(store.name + companion).unlink(missing_ok=True)
    broken.replace(store)
    expect(inside.locator(".rdm-notice")).to_contain_text("An unreadable progress file was set aside")
    assert len(list(store.parent.glob("progress.sqlite.corrupt-*"))) >= 1
    lab.record("stale-answers_addresses")
    expect(inside.locator('[data-key="1.1"]')).to_contain_text(earned(lab, 3))


def test_a_truncated_copy_is_told_and_starting_over_mends_it(lab: Any, open_page: Open, door: Door) -> None:
    copy = lab.root / "work" / "01-foundations" / STEM
    copy.parent.mkdir(parents=True)
    copy.write_text('{"cells": [', encoding="utf-8")
    page = open_page("lab")
    inside = door(page)
    expect(inside.locator(".rdm-notice")).to_contain_text("Your copy of 1.1 cannot be opened")
    inside.locator('[data-key="card-exercises-1.1"]').click()
    expect(inside.locator(".rdm-trouble")).to_contain_text("cannot be read as a notebook")
    inside.get_by_role("button", name="Start the exercises of 1.1 over").click()
    expect(tabs(page)).to_have_count(2)
    expect(inside.locator(".rdm-notice")).to_have_count(0)
    (kept,) = (lab.root / "work" / "kept" / "01-foundations").iterdir()
    assert kept.read_text(encoding="utf-8") == '{"cells": ['


def test_a_kernel_that_has_ended_is_told_and_the_page_can_be_loaded_again(
    lab: Any, open_page: Open, door: Door
) -> None:
    page = open_page("lab")
    inside = door(page)
    (kernel,) = lab.kernels()
    lab.api("DELETE", f"kernels/{kernel}")
    inside.locator(".rdm-next").get_by_role("link", name="Read the lesson").click()
    expect(inside.locator(".rdm-trouble")).to_contain_text("The dashboard does not answer")
    inside.get_by_role("button", name="Load the page again").click()
    inside.locator(".rdm-trouble .rdm-notice").wait_for(state="detached")
    inside.locator(".rdm-next").get_by_role("link", name="Read the lesson").click()
    expect(tabs(page)).to_have_count(2)


@pytest.mark.parametrize("path", ["lab", VOILA])
def test_a_passport_is_saved_with_a_click_and_restored_with_another(
    lab: Any, open_page: Open, door: Door, tmp_path: Path, path: str
) -> None:
    lab.record(FIRST)
    page = open_page(path)
    inside = door(page)
    part = inside.locator(".rdm-passport")
    expect(part).to_contain_text("Not saved since")
    with page.expect_download() as download:
        inside.get_by_role("button", name="Save your passport").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    expect(part).to_contain_text("All that you did is saved.")
    expect(inside.locator(".rdm-trouble")).to_contain_text(f"your browser saves it as {file.name}")
    path_for(lab.root).unlink()  # as on a machine where nothing is
    expect(inside.locator('[data-key="1.1"]')).to_contain_text(earned(lab, 0))
    with page.expect_file_chooser() as chooser:
        inside.get_by_role("button", name="Restore… a passport").click()
    chooser.value.set_files(file)
    expect(inside.locator('[data-key="1.1"]')).to_contain_text(earned(lab, 2))
    expect(inside.locator(".rdm-trouble")).to_contain_text("one result and 0 answers and cells of yours")


def test_a_file_that_is_dropped_is_restored_or_refused_in_words(lab: Any, open_page: Open, door: Door) -> None:
    inside = door(open_page("lab"))
    inside.locator(".rdm").evaluate(
        """root => {
          const carried = new DataTransfer();
          carried.items.add(new File(["a picture"], "cat.passport"));
          root.dispatchEvent(new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true}));
        }"""
    )
    expect(inside.locator(".rdm-trouble")).to_contain_text("The file is no passport of this course")
    assert not (lab.root / "cat.passport").exists()  # and JupyterLab did not take it for an upload


def test_without_javascript_everything_can_be_read_and_opened_up(lab: Any, browser: Any) -> None:
    lab.record(FIRST)
    session = Session(lab.root)
    session.refresh()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(html.whole(session.parts()))
    session.close()
    expect(page.locator('[data-key="1.1"]')).to_contain_text(earned(lab, 2))
    page.locator('details[data-key="exercises-1.1"] > summary').click()
    expect(page.get_by_text("A resolver with a budget")).to_be_visible()
    expect(page.locator("button:visible")).to_have_count(0)  # what needs a kernel is not offered
    context.close()
