"""The charts say in words what they show in bars."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from roadmap_progress import catalog
from roadmap_progress.dashboard import charts, mastery, view
from roadmap_progress.dashboard.session import Session
from roadmap_progress.model import Outcome
from roadmap_progress.progress import summarize

Record = Callable[..., None]


def drawn(tree: Path) -> str:
    session = Session(tree)
    session.refresh()
    html = session.parts()["charts"]
    session.close()
    return html


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_who_has_run_nothing_sees_no_empty_charts(tree: Path) -> None:
    assert drawn(tree) == ""


def test_a_week_is_told_in_words_and_drawn_to_scale(tree: Path, record: Record) -> None:
    record("look_up", Outcome.FAILED)
    record("look_up")
    record("say_name", Outcome.FAILED)
    record("say_name", Outcome.NOT_ATTEMPTED)
    html = drawn(tree)
    assert "3 runs, 1 passed; 1 day, 3 points" in words(html)
    assert [float(found) for found in re.findall(r"height:([\d.]+)%", html)] == [66.7, 33.3]


def test_topics_are_squares_and_said_by_name(tree: Path, record: Record) -> None:
    record("look_up")
    html = drawn(tree)
    assert "0 of 1 topic mastered" in words(html)
    assert '<i data-state="started" style="--share:50%"></i>' in html
    assert "1.1 What dig shows 50%" in words(html)
    record("say_name")
    record("say_why")
    assert "1 of 1 topic mastered" in words(drawn(tree))


def test_the_effort_moves_with_a_new_result(tree: Path, record: Record) -> None:
    session = Session(tree)
    record("look_up", Outcome.FAILED)
    session.refresh()
    assert [week.other for week in session.facts.weeks] == [1]
    record("look_up")
    session.refresh()
    assert [(week.passed, week.other) for week in session.facts.weeks] == [(1, 1)]
    session.close()


def test_a_week_without_a_run_has_no_bar(tree: Path) -> None:
    start = datetime(2026, 11, 16, tzinfo=UTC).date()
    weeks = [mastery.Week(start, 4, 0, 2, 3.5), mastery.Week(start + timedelta(weeks=1))]
    progress = summarize(catalog.load(tree), [], datetime.now(UTC))
    html = charts.charts(view.model(progress, view.Facts(weeks=tuple(weeks))))
    assert "Week of 23 Nov: 0 runs" in words(html)
    assert "Week of 16 Nov: 4 runs, 4 passed; 2 days, 3.5 points" in words(html)
    assert re.findall(r"height:([\d.]+)%", html) == ["100.0"]
