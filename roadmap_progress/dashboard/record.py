"""The record to show: one HTML file that says what a learner has mastered, when, and on what evidence.

It is labelled for what it is: recorded by the learner's own machine, and signed by nobody. It loads nothing from
anywhere, and prints well.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap_progress.dashboard import mastery, view
from roadmap_progress.dashboard.signs import text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from roadmap_progress.dashboard.mastery import TopicMastery
    from roadmap_progress.model import Event, Roadmap
    from roadmap_progress.progress import NotebookProgress, Progress

LABEL = """<p class="label"><strong>Recorded by the learner’s own machine; not signed.</strong> Every line below is
a program’s verdict on code that the learner ran there. Nobody watched, and nobody has confirmed it; the learner
has the answers, and can show them and run the checks again.</p>"""
ABOUT = """A topic is mastered when each of its checks was passed, in the form that it has in this version of the
course; the date is that of the last one. A check runs the learner’s code, most of it against real servers, and
compares what it does with what was asked for."""
STYLE = Path(__file__).parent / "static" / "record.css"


def file_name(now: datetime) -> str:
    """What a record of this day is called."""
    return f"backend-roadmap-record-{now:%Y-%m-%d}.html"


def record(roadmap: Roadmap, progress: Progress, events: Iterable[Event], now: datetime, name: str = "") -> str:
    """The whole file; dates are those of the time zone of `now`."""
    told = mastery.self_assessed(roadmap, events)
    sections = "".join(
        f"<section><h2>{section.section.number} {text(section.section.title)}</h2>{notebooks}</section>"
        for section in progress.sections
        if (notebooks := "".join(_notebook(item, told, now) for item in section.notebooks))
    )
    title = "Backend roadmap: a record of what was learned"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body><main>"
        f"{_head(roadmap, progress, now, name)}"
        f"{sections or '<p>Nothing has been passed yet.</p>'}{_foot(roadmap)}</main></body></html>\n"
    )


def _head(roadmap: Roadmap, progress: Progress, now: datetime, name: str) -> str:
    written = [item for item in progress.notebooks.values() if item.notebook.exercises]
    found = [each for item in written for each in mastery.topics(item)]
    passes = [c.passed_at for each in found for c in each.checks if c.passed and c.passed_at]
    facts = [
        (f"{sum(each.mastered_at is not None for each in found)} of {len(found)}", "topics mastered"),
        (f"{sum(c.passed for each in found for c in each.checks)}", "checks passed"),
        (f"{view.points(progress.points)} of {view.points(progress.possible)}", "points"),
        (f"{_day(min(passes), now)} – {_day(max(passes), now)}" if passes else "–", "passed between"),
    ]
    figures = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for value, label in facts)
    who = f'<p class="who">{escape(name.strip())}</p>' if name.strip() else ""
    return (
        f"<header><p class='over'>The backend roadmap course</p><h1>A record of what was learned</h1>{who}"
        f"<dl>{figures}</dl>"
        f"{LABEL}<p class='when'>Made on {_day(now, now)} with version {escape(roadmap.version)} of the course."
        "</p></header>"
    )


def _notebook(item: NotebookProgress, told: frozenset[str], now: datetime) -> str:
    found = [each for each in mastery.topics(item) if each.passed]
    if not found:
        return ""
    notebook = item.notebook
    rows = "".join(_row(each, told, now) for each in found)
    return (
        f"<table><caption>{notebook.number} {text(notebook.title)} <span>{view.points(item.points)} of "
        f"{view.points(item.possible)} points</span></caption><thead><tr><th scope='col'>Topic</th>"
        "<th scope='col'>Mastered</th><th scope='col'>Points</th><th scope='col'>Evidence</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _row(each: TopicMastery, told: frozenset[str], now: datetime) -> str:
    own = sum(check.passed and check.check.id in told for check in each.checks)
    total = len(each.checks)
    evidence = f"{each.passed} of {_count(total, 'check')} passed in {_count(each.attempts, 'run')}"
    if own:
        evidence += f"; {own} of them an essay that the learner compared with the rubric"
    titles = ", ".join(f"“{text(title)}”" for title in each.exercises)
    when = _day(each.mastered_at, now) if each.mastered_at else "in part"
    sign = "✓" if each.mastered_at else "◐"
    return (
        f'<tr class="{"whole" if each.mastered_at else "part"}"><th scope="row">{text(each.topic.title)}</th>'
        f'<td><span class="sign" aria-hidden="true">{sign}</span> {when}</td>'
        f"<td>{view.points(each.points)} of {view.points(each.possible)}</td>"
        f"<td>{evidence}. <small>{titles}</small></td></tr>"
    )


def _foot(roadmap: Roadmap) -> str:
    where = (
        f' The course: <a href="{escape(roadmap.repository)}">{escape(roadmap.repository)}</a>.'
        if roadmap.repository
        else ""
    )
    return f"<footer><p>{ABOUT}{where}</p></footer>"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _day(time: datetime, now: datetime) -> str:
    return f"{time.astimezone(now.tzinfo):%d %B %Y}".lstrip("0")
