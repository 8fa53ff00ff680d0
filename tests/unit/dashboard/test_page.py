"""The page: every word is there without JavaScript, and nothing is said in colour alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadmap_progress import catalog
from roadmap_progress.dashboard import page, signs, view
from roadmap_progress.dashboard.session import Session
from roadmap_progress.model import Outcome
from roadmap_progress.progress import State, summarize

VOID = {"br", "img", "circle", "path", "rect", "use", "input", "meta", "link"}


class Tree(HTMLParser):
    """Checks nesting, and collects links, text and labels."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.nameless: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a":
            self.links.append(values["href"] or "")
        if values.get("role") in {"progressbar", "img", "group"} and not values.get("aria-label"):
            self.nameless.append(tag)
        if tag == "svg" and values.get("role") not in {"img", "group"} and values.get("aria-hidden") != "true":
            self.nameless.append(tag)
        if "id" in values:
            self.ids.append(values["id"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open, f"</{tag}> closes nothing"
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass  # shapes inside icons

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(html: str) -> Tree:
    tree = Tree()
    tree.feed(re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL))
    assert tree.open == []
    return tree


@pytest.fixture
def whole(tree: Path, record: Callable[..., None]) -> str:
    record("look_up", Outcome.FAILED)
    session = Session(tree)
    session.refresh()
    found = page.whole(session.parts())
    session.close()
    return found


def test_the_plain_page_says_everything_in_words(whole: str) -> None:
    text = " ".join(" ".join(read(whole).words).split())
    for words in (
        "Backend roadmap",
        "0 of 6",
        "“Look it up” does not pass yet",
        "First <steps>",
        "Names & numbers",
        "Started",
        "Planned",
        "Will build on 1.1",
        "What dig shows",
        "0 of 6 points · 0 of 2 exercises · about 1 h 30 min left",
        "does not pass yet",
        "not begun",
    ):
        assert words in text, words


def test_every_picture_and_bar_has_a_name_or_is_hidden_from_screen_readers(whole: str) -> None:
    assert read(whole).nameless == []


def test_every_link_of_the_plain_page_leads_to_a_file_or_to_a_part_of_it(whole: str, tree: Path) -> None:
    found = read(whole)
    files = [link for link in found.links if not link.startswith("#")]
    assert len(files) == 4
    assert all((tree / link).is_file() for link in files)
    assert {link[1:] for link in found.links if link not in files} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))


def test_nothing_is_loaded_from_elsewhere(whole: str) -> None:
    assert not re.search(r"https?:|@import|url\(", whole)
    for file in page.STATIC.iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"https?://|@import|url\(", text), file


def test_each_state_has_a_word_and_a_shape_of_its_own() -> None:
    states = [str(state) for state in State]
    assert len({signs.SHAPES[state] for state in states}) == len(states)
    assert all(f'id="rdm-i-{state}"' in signs.shapes() for state in states)
    assert len({signs.icon(state) for state in states}) == len(states)
    assert len(set(view.STATE_LABELS.values())) == len(states)


def test_a_title_cannot_smuggle_in_markup() -> None:
    assert signs.text("<img src=x onerror=y> `<b>`") == "&lt;img src=x onerror=y&gt; <code>&lt;b&gt;</code>"


@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    assert read(signs.text(text))


def test_what_moved_is_said_in_one_sentence(tree: Path, record: Callable[..., None]) -> None:
    session = Session(tree)
    session.refresh()
    before = session.progress
    assert before is not None
    record("look_up")
    session.refresh()
    assert session.progress is not None
    assert view.changes(before, session.progress) == "1.1 Names & `numbers`: 3 of 6 points."
    assert view.changes(before, before) == ""
    session.close()


@pytest.mark.parametrize(
    ("minutes", "words"), [(0, "0 min"), (45, "45 min"), (60, "1 h"), (90, "1 h 30 min"), (1445, "24 h 5 min")]
)
def test_minutes_read_as_people_say_them(minutes: int, words: str) -> None:
    assert view.duration(minutes) == words


@given(st.floats(0, 1))
def test_percent_says_none_and_all_only_when_it_is_so(share: float) -> None:
    value = view.percent(share)
    assert (value == 100) == (share >= 1)
    assert (value == 0) == (share <= 0)


def test_results_for_unknown_exercises_are_mentioned(tree: Path) -> None:
    from dataclasses import replace

    progress = summarize(catalog.load(tree), [], datetime.now(UTC))
    model = view.model(replace(progress, unknown=2), view.Facts())
    assert "2 recorded results belong to exercises" in page.parts(model)["foot"]


def test_what_is_missing_is_said_in_words_beside_a_sign_and_nothing_of_it_is_markup(tree: Path) -> None:
    loaded = catalog.load(tree)
    notebook = replace(loaded.notebooks["1.1"], servers=("web_server",))
    section = replace(loaded.sections[0], notebooks=(notebook, *loaded.sections[0].notebooks[1:]))
    roadmap = replace(loaded, sections=(section,))
    progress = summarize(roadmap, [], datetime.now(UTC))
    missing = view.MissingServer("web_server", "nginx", "no nginx in <nowhere>", "sudo apt-get install -y nginx")
    other = view.MissingServer("kafka", "Kafka", "none", "pip install it")
    parts = page.parts(view.model(progress, view.Facts(missing=(missing, other))))
    for key in ("next", "section-01-first"):
        text = " ".join(" ".join(read(parts[key]).words).split())
        assert "nginx is missing on this machine." in text
        assert "no nginx in <nowhere>" in text
        assert "sudo apt-get install -y nginx" in text
        assert "Kafka" not in text
        assert '<div class="rdm-missing" role="note"><svg' in parts[key]
    assert "is missing" not in page.parts(view.model(progress, view.Facts()))["section-01-first"]
