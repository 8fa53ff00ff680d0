"""The map in a real browser: what it shows, zooming, the keyboard, and the page without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from roadmap_progress import catalog
from roadmap_progress.dashboard import page as html
from roadmap_progress.dashboard.session import Session
from roadmap_progress.model import Outcome, Status

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

VOILA = "voila/render/dashboard.ipynb"
FIRST = "next-step_words"  # the first check of 1.1
Open = Callable[..., Page]
Door = Callable[[Page], Any]

# Texts of a drawing that leave it, or lie on each other.
MISPLACED = """drawing => {
  const whole = drawing.getBoundingClientRect();
  const texts = [...drawing.querySelectorAll(".rdm-stop .name, .rdm-sign .title, .rdm-sign .badge")]
    .map(el => ({name: el.textContent, box: el.getBoundingClientRect()}));
  const out = texts.filter(({box}) => box.left < whole.left - 1 || box.right > whole.right + 1
    || box.top < whole.top - 1 || box.bottom > whole.bottom + 1).map(({name}) => name);
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  texts.forEach((a, i) => texts.slice(i + 1).forEach(b => over(a.box, b.box) && out.push([a.name, b.name])));
  return out;
}"""

# The contrast of what is drawn with the map's ground.
SEEN = """element => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const light = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(c => c / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
      .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  };
  const style = getComputedStyle(element);
  const ground = element.matches(".number") && element.closest(".rdm-sign")
    ? getComputedStyle(element.closest(".rdm-sign").querySelector(".badge")).fill
    : element.closest(".here") ? getComputedStyle(element.closest(".here").querySelector("rect")).fill
    : getComputedStyle(element.closest(".rdm-map")).backgroundColor;
  const [a, b] = [style.fill === "none" ? style.stroke : style.fill, ground].map(light);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def stop(inside: Any, number: str) -> Any:
    """A notebook's place in the drawing that is shown."""
    return inside.locator(f'.rdm-drawing:visible .rdm-stop[data-stop="{number}"]')


def section_of(lab: Any, number: str) -> Any:
    roadmap = catalog.load(lab.root)
    return next(each for each in roadmap.sections if number in [item.number for item in each.notebooks])


@pytest.mark.parametrize(("path", "width"), [("lab", 1280), (VOILA, 1280), (VOILA, 390), (VOILA, 320)])
def test_every_notebook_is_on_the_map_by_name_and_state_and_every_text_has_its_place(
    lab: Any, open_page: Open, door: Door, path: str, width: int
) -> None:
    inside = door(open_page(path, viewport={"width": width, "height": 900}))
    drawing = inside.locator(".rdm-drawing:visible")
    expect(drawing).to_have_count(1)
    roadmap = catalog.load(lab.root)
    for number, notebook in roadmap.notebooks.items():
        title = notebook.title.replace("`", "")
        word = "planned" if notebook.status is Status.PLANNED else "later" if notebook.requires else "ready"
        expect(drawing.get_by_role("link", name=f"{number} {title}: {word}")).to_have_count(1)
    expect(drawing.get_by_role("group")).to_have_count(len(roadmap.sections))
    assert drawing.evaluate(MISPLACED) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_map_can_be_read_on_either_ground(open_page: Open, door: Door, scheme: str) -> None:
    inside = door(open_page(VOILA, color_scheme=scheme))
    for name, least in ((".name, .name .number, .title, .sign", 4.5), (".rdm-sign .number, .here text", 4.5),
                        (".rdm-rails path", 3)):  # fmt: skip
        found = inside.locator(f".rdm-drawing:visible :is({name})").all()
        assert found
        for each in found:
            assert each.evaluate(SEEN) >= least, (name, each.text_content())


@pytest.mark.parametrize(("path", "width"), [("lab", 1280), (VOILA, 390)])
def test_choosing_a_section_zooms_to_it_and_escape_leads_back(
    lab: Any, open_page: Open, door: Door, path: str, width: int
) -> None:
    inside = door(open_page(path, viewport={"width": width, "height": 900}))
    section = section_of(lab, "4.1")
    inside.locator(f'.rdm-drawing:visible .rdm-sign[data-zoom="{section.slug}"]').click()
    near = inside.locator(".rdm-closeup:visible")
    expect(near).to_have_count(1)
    expect(near.get_by_role("heading", level=3)).to_have_text(section.title)
    expect(near.get_by_role("heading", level=3)).to_be_focused()
    expect(near.locator(".rdm-near")).to_have_count(len(section.notebooks))
    expect(near.locator(".rdm-near").first).to_contain_text("Builds on")
    expect(inside.locator(".rdm-drawing:visible")).to_have_count(0)
    assert near.evaluate(
        "el => [...el.querySelectorAll('*')].filter(x => x.scrollWidth > x.clientWidth + 1"
        " && !x.closest('.rdm-hidden, svg') && getComputedStyle(x).display !== 'inline').length"
    ) == 0  # fmt: skip
    inside.locator(":focus").press("Escape")
    expect(inside.locator(".rdm-drawing:visible")).to_have_count(1)
    expect(inside.locator(f'.rdm-drawing:visible .rdm-sign[data-zoom="{section.slug}"]')).to_be_focused()


def test_near_one_walks_along_the_tracks_and_to_the_next_section(lab: Any, open_page: Open, door: Door) -> None:
    inside = door(open_page(VOILA))
    stop(inside, "4.1").click()
    near = inside.locator(".rdm-closeup:visible")
    expect(near.locator('[data-key="near-4.1"]')).to_be_focused()
    near.locator('.rdm-from [data-goto="2.2"]').click()
    expect(near).to_have_attribute("data-closeup", section_of(lab, "2.2").slug)
    expect(near.locator('[data-key="near-2.2"]')).to_be_focused()
    near.get_by_role("button", name=re.compile("Section after: 3")).click()
    expect(near).to_have_attribute("data-closeup", section_of(lab, "3.1").slug)
    near.get_by_role("button", name="Whole map").click()
    expect(inside.locator(".rdm-drawing:visible")).to_have_count(1)


def test_a_lesson_opens_from_near_as_a_tab(lab: Any, open_page: Open, door: Door) -> None:
    page = open_page("lab")
    inside = door(page)
    stop(inside, "1.2").click()
    link = inside.locator(".rdm-closeup:visible").get_by_role("link", name=re.compile(r"^Lesson of 1\.2"))
    link.click()
    stem = catalog.load(lab.root).find("1.2").stem
    expect(page.locator("#jp-main-dock-panel .lm-TabBar-tabLabel").filter(has_text=stem)).to_have_count(1)
    assert (lab.root / "work" / "lessons" / f"{stem}.ipynb").is_file()


def test_by_keyboard_alone_one_walks_the_map_and_zooms(open_page: Open, door: Door) -> None:
    page = open_page(VOILA)
    inside = door(page)
    map_ = inside.locator(".rdm-drawing:visible")
    expect(map_.locator('a[tabindex="0"]')).to_have_count(1)  # one press of Tab passes the whole map
    inside.locator('[data-key="next-exercises-1.1"]').focus()
    page.keyboard.press("Tab")
    expect(stop(inside, "1.1")).to_be_focused()  # what to do next
    page.keyboard.press("ArrowRight")
    expect(stop(inside, "1.2")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(inside.locator(":focus")).to_have_attribute("data-key", "sign-02-python-core")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    expect(stop(inside, "3.2")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(stop(inside, "1.2")).to_be_focused()
    page.keyboard.press("End")
    expect(stop(inside, "16.4")).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    near = inside.locator(".rdm-closeup:visible")
    expect(near.get_by_role("heading", level=3)).to_be_focused()
    page.keyboard.press("Tab")
    expect(near.get_by_role("button").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(inside.locator(":focus")).to_have_attribute("data-key", "sign-01-foundations")


def test_pointing_at_a_stop_lights_its_own_tracks_and_no_others(lab: Any, open_page: Open, door: Door) -> None:
    page = open_page(VOILA)
    inside = door(page)
    requires = {number: item.requires for number, item in catalog.load(lab.root).notebooks.items()}
    wanted = {"5.1", *requires["5.1"], *(number for number, needs in requires.items() if "5.1" in needs)}
    stop(inside, "5.1").hover()
    lit = inside.locator(".rdm-drawing:visible .rdm-stop.rdm-on")
    assert set(lit.evaluate_all("all => all.map(el => el.dataset.stop)")) == wanted
    ways = inside.locator(".rdm-drawing:visible path.rdm-on").evaluate_all("all => all.map(el => el.dataset.way)")
    assert len(ways) >= 3
    assert all("5.1" in way.split(">") for way in ways)
    inside.locator(".rdm-head").hover()
    expect(inside.locator(".rdm-lit, .rdm-on")).to_have_count(0)


def test_a_result_moves_the_map_and_leaves_the_reader_where_he_is(lab: Any, open_page: Open, door: Door) -> None:
    inside = door(open_page(VOILA))
    expect(stop(inside, "1.1")).to_have_attribute("data-state", "ready")
    stop(inside, "1.1").focus()
    lab.record(FIRST)
    expect(stop(inside, "1.1")).to_have_attribute("data-state", "started")
    expect(stop(inside, "1.1")).to_be_focused()
    stop(inside, "1.1").click()
    near = inside.locator(".rdm-closeup:visible")
    heading = near.locator('[data-key="near-1.1"]')
    expect(heading).to_be_focused()
    for check in catalog.load(lab.root).find("1.1").checks:
        lab.record(check.id, Outcome.PASSED)
    expect(near.locator(".rdm-near").first.locator(".rdm-chip")).to_have_text("Done")
    expect(near).to_have_count(1)
    expect(heading).to_be_focused()


def test_without_javascript_the_map_leads_into_the_list(lab: Any, browser: Any) -> None:
    session = Session(lab.root)
    session.refresh()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(html.whole(session.parts()))
    session.close()
    expect(page.locator(".rdm-closeup:visible")).to_have_count(0)
    expect(page.get_by_text("arrow keys walk")).to_be_hidden()
    page.locator("#rdm-section-09-ci-cd-and-automation > summary").click()  # closed by its reader
    expect(page.locator("#rdm-notebook-9\\.1")).to_be_hidden()
    stop(page, "9.1").click()
    expect(page.locator("#rdm-notebook-9\\.1")).to_be_in_viewport()
    context.close()
