"""Two pictures for whoever would rather look than read: effort week by week, mastery by section and topic.

Both are lists in HTML that say in words what the bars show, so that no reader needs another form of them.
"""

from __future__ import annotations

from html import escape
from typing import Any

from roadmap_progress.dashboard.signs import icon, text


def charts(model: dict[str, Any]) -> str:
    """The whole part; nothing at all for who has run nothing yet."""
    if not model["effort"]:
        return ""
    return f'<div class="rdm-charts">{_effort(model["effort"], model["spent"])}{_mastery(model["mastery"])}</div>'


def _effort(weeks: list[dict[str, Any]], spent: str) -> str:
    most = max(week["passed"] + week["other"] for week in weeks) or 1
    bars = "".join(_week(week, most) for week in weeks)
    days = sum(week["days"] for week in weeks)
    about = f"Checks that you ran, on {_count(days, 'day')} in {_count(len(weeks), 'week')}"
    return (
        '<section class="rdm-chart" aria-labelledby="rdm-effort"><h2 id="rdm-effort">Effort, week by week</h2>'
        f'<p class="rdm-about">{about}. Between one run and the next: {spent}, '
        "longer pauses than half an hour left out.</p>"
        f'<ol class="rdm-weeks">{bars}</ol>'
        '<p class="rdm-about rdm-key" aria-hidden="true"><i data-kind="passed"></i>passed '
        '<i data-kind="other"></i>not passed yet</p></section>'
    )


def _week(week: dict[str, Any], most: int) -> str:
    runs = week["passed"] + week["other"]
    said = f"Week of {week['day']}: {_count(runs, 'run')}"
    if runs:
        said += f", {week['passed']} passed; {_count(week['days'], 'day')}, {week['points']} points"
        said += f", about {week['spent']} at it" if week["spent"] else ""
    heights = "".join(
        f'<i data-kind="{kind}" style="height:{100 * week[kind] / most:.1f}%"></i>'
        for kind in ("other", "passed")
        if week[kind]
    )
    return (
        f'<li title="{escape(said)}"><span class="rdm-hidden">{said}</span>'
        f'<span class="rdm-week" aria-hidden="true"><b>{runs or ""}</b>{heights}</span>'
        f'<span class="rdm-week-day" aria-hidden="true">{week["day"]}</span></li>'
    )


def _mastery(sections: list[dict[str, Any]]) -> str:
    rows = "".join(_section(section) for section in sections)
    done = sum(section["done"] for section in sections)
    total = sum(len(section["topics"]) for section in sections)
    return (
        '<section class="rdm-chart" aria-labelledby="rdm-mastery">'
        '<h2 id="rdm-mastery">Mastery, topic by topic</h2>'
        f'<p class="rdm-about">{done} of {_count(total, "topic")} mastered: all their checks passed</p>'
        f'<div class="rdm-mastery">{rows}</div></section>'
    )


def _section(section: dict[str, Any]) -> str:
    """A line with a square for each topic; opened, the topics by name."""
    cells = "".join(
        f'<i data-state="{topic["state"]}" style="--share:{topic["percent"]}%"></i>' for topic in section["topics"]
    )
    names = "".join(
        f'<li data-state="{topic["state"]}">{icon(topic["state"])}'
        f'<span><span class="rdm-number">{topic["number"]}</span> '
        f"{text(topic['title'])}</span><b>{topic['percent']}%</b></li>"
        for topic in section["topics"]
    )
    said = f"{section['done']} of {len(section['topics'])}"
    return (
        f'<details data-key="topics-{section["key"]}" data-hue="{section["hue"]}"><summary>'
        f'<span class="rdm-badge" aria-hidden="true">{section["number"]}</span>'
        f'<span class="rdm-mastery-name">{text(section["title"])} <span class="rdm-about">{said}'
        '<span class="rdm-hidden"> topics mastered</span></span></span>'
        f'<span class="rdm-cells" aria-hidden="true">{cells}</span></summary><ul>{names}</ul></details>'
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
