"""The dashboard's model as HTML, in parts that can be replaced one by one.

The same parts are the living page (`static/dashboard.js` puts them in and makes the links open copies) and
the plain one, which reads well without a line of JavaScript: links lead to the files, details open by
themselves, and all that is said in colour is also said in words and shapes.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from roadmap_progress.dashboard.charts import charts
from roadmap_progress.dashboard.roadmap_map import atlas
from roadmap_progress.dashboard.signs import chip, icon, opener, shapes, text

STATIC = Path(__file__).parent / "static"


def parts(model: dict[str, Any]) -> dict[str, str]:
    """The page's parts by key, in the order of the page; those called "near-…" only when they are asked for."""
    return {
        "shapes": shapes(),
        "head": _head(model),
        "notices": notices(model["notices"]),
        "next": _next(model),
        "review": _review(model["review"]),
        **atlas(model),
        "charts": charts(model),
        **{f"section-{section['key']}": _section(section) for section in model["sections"]},
        "passport": _passport(model["passport"]),
        "record": _record(),
        "foot": _foot(model),
    }


def whole(found: dict[str, str]) -> str:
    """The plain page, for wherever no JavaScript of ours runs."""
    there = {key: html for key, html in found.items() if not key.startswith("near-")}
    inner = "".join(f'<div data-part="{escape(key)}">{html}</div>' for key, html in there.items())
    return f'<style>{style()}</style><div class="rdm"><div class="rdm-page">{inner}</div></div>'


def style() -> str:
    """The style sheets of all parts."""
    return _read("dashboard.css", "map.css", "charts.css", "compare.css")


def script() -> str:
    """The module that makes the page live."""
    return _read("map.js", "dashboard.js")


def _read(*names: str) -> str:
    return "".join((STATIC / name).read_text(encoding="utf-8") for name in names)


def only_notices(found: list[dict[str, Any]]) -> dict[str, str]:
    """The parts of a page that can show nothing else."""
    return {"shapes": shapes(), "notices": notices(found)}


def notices(found: list[dict[str, Any]]) -> str:
    """Messages for the learner, the gravest said at once by a screen reader."""
    return "".join(
        f'<div class="rdm-notice" data-level="{escape(item["level"])}" '
        f'role="{"alert" if item["level"] == "error" else "status"}">{icon(item["level"])}'
        f"<div><strong>{escape(item['title'])}</strong> <span>{text(item['text'])}</span>"
        f"{_start_over(item)}</div></div>"
        for item in found
    )


def _start_over(item: dict[str, Any]) -> str:
    if not item["start_over"]:
        return ""
    number, kind = item["start_over"]
    return (
        f'<button type="button" class="rdm-live" data-start-over="{number}" data-kind="{kind}" '
        f'data-key="over-{kind}-{number}">Start the {kind} of {number} over (this file is kept)</button>'
    )


def _head(model: dict[str, Any]) -> str:
    summary = model["summary"]
    facts = [
        (f"{summary['points']} <small>of {summary['possible']}</small>", "points"),
        (f"{summary['done']} <small>of {summary['written']}</small>", "notebooks done"),
        (summary["week"], "points this week"),
        (summary["left"], "of work left"),
    ]
    figures = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for value, name in facts)
    planned = f" {_number(summary['planned'], 'notebook')} more planned." if summary["planned"] else ""
    return (
        '<div class="rdm-head"><div class="rdm-head-words">'
        f"<h1>{text(model['title'])}</h1>"
        "<p>From the first DNS query to a running Python backend, on real servers."
        f'{planned}</p><dl class="rdm-figures">{figures}</dl></div>'
        f"{_ring(summary['percent'])}</div>"
    )


def _ring(percent: int) -> str:
    """The share of the points as a ring; its length in units of `pathLength`, so that 100 is all of it."""
    arc = f'<circle cx="60" cy="60" r="52" class="arc" pathLength="100" stroke-dasharray="{percent} 100"/>'
    return (
        f'<svg class="rdm-ring" viewBox="0 0 120 120" role="img" aria-label="{percent} percent of the points">'
        f'<circle cx="60" cy="60" r="52" class="track"/>{arc if percent else ""}'
        f'<text x="60" y="66" text-anchor="middle">{percent}%</text>'
        '<text x="60" y="84" text-anchor="middle" class="small">of the points</text></svg>'
    )


def _next(model: dict[str, Any]) -> str:
    item = model["next"]
    if item is None:
        return (
            '<section class="rdm-next" aria-label="What next"><div><p class="rdm-over">What next</p>'
            f"<p class='rdm-why'>{text(model['nothing'])}</p></div></section>"
        )
    lesson = opener(item, "lesson", "Read the lesson", "next", strong=not item["started"])
    label = "Go on with the exercises" if item["started"] else "Exercises"
    exercises = opener(item, "exercises", label, "next", strong=item["started"])
    return (
        '<section class="rdm-next" aria-label="What next"><div>'
        f'<p class="rdm-over">{"Go on with" if item["started"] else "Next"} · about {item["left"]}</p>'
        f'<h2><span class="rdm-number">{item["number"]}</span> {text(item["title"])}</h2>'
        f'<p class="rdm-why">{text(item["why"])}</p>{_missing(item["missing"])}</div>'
        f'<p class="rdm-actions">{exercises + lesson if item["started"] else lesson + exercises}</p></section>'
    )


def _review(about: dict[str, Any]) -> str:
    """Today's five; nothing at all for who has nothing to review yet."""
    if not (about["due"] or about["done"] or about["following"]):
        return ""
    if about["due"]:
        words = f"{_number(len(about['due']), 'exercise')} due"
        words += f", {about['done']} done" if about["done"] else ""
        words += f"; {about['waiting']} more can wait until tomorrow" if about["waiting"] else ""
    else:
        words = f"All {about['done']} of today are done. " if about["done"] else "Nothing is due today. "
        words += f"The next comes on {_time(about['following'])}." if about["following"] else ""
    items = "".join(_due(item) for item in about["due"])
    return (
        '<section class="rdm-review" aria-labelledby="rdm-review"><h2 id="rdm-review">Review of today</h2>'
        f'<p class="rdm-about">{words}</p>'
        + (
            "<p>An exercise comes back when it is about to be forgotten: solve it once more, on an empty cell.</p>"
            f"<ol>{items}</ol>"
            if items
            else ""
        )
        + "</section>"
    )


def _due(item: dict[str, Any]) -> str:
    why = "did not pass" if item["failed"] else f"passed; by now remembered with a chance of {item['recall']}%"
    return (
        f'<li data-state="{"failed" if item["failed"] else "changed"}">'
        f'{icon("failed" if item["failed"] else "changed")}<span><span class="rdm-number">{item["number"]}</span> '
        f"{text(item['title'])} <em>{_time(item['last'])}: {why}</em></span>"
        f'<button type="button" class="rdm-live" data-review="{escape(item["exercise"])}" '
        f'data-number="{item["number"]}" data-key="review-{escape(item["exercise"])}">Once more'
        f'<span class="rdm-hidden">: {text(item["title"])}</span></button></li>'
    )


def _section(section: dict[str, Any]) -> str:
    number, title = section["number"], section["title"]
    if section["written"]:
        about = [
            f"{section['points']} of {section['possible']} points",
            f"{section['done']} of {_number(section['written'], 'notebook')} done",
        ]
        if section["done"] < section["written"]:
            about.append(f"about {section['left']} left")
        if section["planned"]:
            about.append(f"{section['planned']} more planned")
    else:
        about = [_number(section["planned"], "notebook")]
    bar = _bar(section["percent"], f"Section {number}") if section["written"] else ""
    cards = "".join(_planned(item) if item["state"] == "planned" else _card(item) for item in section["notebooks"])
    return (
        f'<details class="rdm-section" id="rdm-section-{section["key"]}" data-state="{section["state"]}" '
        f'data-key="section-{section["key"]}"'
        f"{' open' if section['written'] else ''}><summary>"
        f'<span class="rdm-station" aria-hidden="true">{number}</span>'
        f'<span class="rdm-section-words"><h2><span class="rdm-hidden">Section {number}: </span>{text(title)}</h2>'
        f'<span class="rdm-about">{" · ".join(about)}</span></span>'
        f'{bar}{chip(section["state"], section["label"])}</summary><div class="rdm-cards">{cards}</div></details>'
    )


def _card(item: dict[str, Any]) -> str:
    number = item["number"]
    left = f"about {item['left']} left" if item["state"] in {"started", "done"} else f"about {item['minutes']}"
    about = [
        f"{item['points']} of {item['possible']} points",
        f"{item['exercises_done']} of {_number(len(item['exercises']), 'exercise')}",
    ]
    if item["state"] != "done":
        about.append(left)
    needs = "".join(
        f'<li data-state="{need["state"]}">{icon("done" if need["state"] == "done" else need["state"])}'
        f"{need['number']} {text(need['title'])} <em>({need['word']})</em></li>"
        for need in item["requires"]
    )
    topics = "".join(f"<li>{text(topic)}</li>" for topic in item["topics"])
    exercises = "".join(_exercise(exercise) for exercise in item["exercises"])
    return (
        f'<article class="rdm-card" id="rdm-notebook-{number}" data-state="{item["state"]}" data-key="{number}" '
        f'data-points="{item["points"]}" aria-label="{escape(number + " " + item["title"])}">'
        f'<header><span class="rdm-number">{number}</span><h3>{text(item["title"])}</h3>'
        f"{chip(item['state'], item['label'])}</header>"
        f'{_bar(item["percent"], number)}<p class="rdm-about">{" · ".join(about)}</p>'
        + (f'<div class="rdm-needs"><span>Builds on</span><ul>{needs}</ul></div>' if needs else "")
        + _missing(item["missing"])
        + f'<ul class="rdm-topics">{topics}</ul><p class="rdm-actions">'
        + opener(item, "lesson", "Lesson", "card", strong=False)
        + opener(item, "exercises", "Exercises", "card", strong=item["state"] in {"ready", "started"})
        + f'</p><details class="rdm-more" data-key="exercises-{number}"><summary>'
        f"{_number(len(item['exercises']), 'exercise')} one by one</summary>"
        f"<ol>{exercises}</ol>{_solution(item)}</details></article>"
    )


def _solution(item: dict[str, Any]) -> str:
    """The whole solution notebook, for who has passed everything or tried it in earnest."""
    if not item["solution"]:
        return ""
    return (
        f'<p><button type="button" class="rdm-live rdm-assess" data-open="{item["number"]}" data-kind="solution" '
        f'data-key="solution-{item["number"]}">Open the solution notebook'
        f'<span class="rdm-hidden"> of {item["number"]}</span></button></p>'
    )


def _missing(servers: list[dict[str, Any]]) -> str:
    """What the notebook starts and this machine does not have, why, and what installs it."""
    return "".join(
        f'<div class="rdm-missing" role="note">{icon("warning")}<div>'
        f"<strong>{escape(server['what'])} is missing on this machine.</strong> "
        f'<span class="rdm-reason">Why: {escape(server["reason"])}.</span> '
        "Cells that start it stop with an error; the others run. To install it: "
        f"<code>{escape(server['command'])}</code></div></div>"
        for server in servers
    )


def _planned(item: dict[str, Any]) -> str:
    topics = "".join(f"<li>{text(topic)}</li>" for topic in item["topics"])
    needs = ", ".join(need["number"] for need in item["requires"])
    return (
        f'<article class="rdm-card" id="rdm-notebook-{item["number"]}" data-state="planned" '
        f'data-key="{item["number"]}" '
        f'aria-label="{escape(item["number"] + " " + item["title"])}, planned">'
        f'<header><span class="rdm-number">{item["number"]}</span><h3>{text(item["title"])}</h3>'
        f'{chip("planned", item["label"])}</header><ul class="rdm-topics">{topics}</ul>'
        + (f'<p class="rdm-about">Will build on {needs}</p>' if needs else "")
        + "</article>"
    )


def _exercise(item: dict[str, Any]) -> str:
    essays = "".join(
        f'<button type="button" class="rdm-live rdm-assess" data-assess="{escape(essay["id"])}" '
        f'data-key="assess-{escape(essay["id"])}">I compared my text with the rubric: count '
        f"{essay['points']} points</button>"
        for essay in item["essays"]
    )
    compare = (
        f'<button type="button" class="rdm-live rdm-assess" data-compare="{escape(item["id"])}" '
        f'data-number="{item["number"]}" data-key="compare-{escape(item["id"])}">Compare mine with the solution'
        f'<span class="rdm-hidden"> of {text(item["title"])}</span></button>'
        if item["compare"]
        else ""
    )
    return (
        f'<li data-state="{item["state"]}">{icon(item["state"])}<span>{text(item["title"])} '
        f"<em>{item['label']}</em></span><b>{item['points']}/{item['possible']}"
        f'<span class="rdm-hidden"> points</span></b>{essays}{compare}</li>'
    )


def _bar(percent: int, name: str) -> str:
    return (
        f'<span class="rdm-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent}" aria-label="{name}: share of the points">'
        f'<i style="width:{percent}%"></i></span>'
    )


def _passport(about: dict[str, Any]) -> str:
    """Saving and restoring; without our JavaScript, the command that does the same."""
    unsaved, saved = about["unsaved"], about["saved"]
    if unsaved:
        level = "warning" if about["forgets"] else "note"
        words = f"<strong>Not saved since {_time(unsaved)}.</strong> "
        if about["forgets"]:
            words += "This machine is thrown away when you leave it: save your passport before you go. "
    else:
        level, words = "done", "<strong>All that you did is saved.</strong> " if saved else ""
    words += f"Saved last: {_time(saved)}." if saved else "No passport was saved on this machine yet."
    return (
        f'<section class="rdm-passport" data-level="{level}" aria-labelledby="rdm-passport"><div>'
        f'<h2 id="rdm-passport">Your passport</h2><p>One file with your progress and your answers, for another '
        f"machine or for safety. Restoring adds to what is here; nothing is overwritten.</p>"
        f'<p class="rdm-about" role="status">{icon(level)}<span>{words}</span></p></div>'
        f'<div class="rdm-live"><p class="rdm-actions">{_button("save", "Save", "your passport")}'
        f'{_button("restore", "Restore…", "a passport")}</p><p class="rdm-about">or drop the file on this page</p>'
        '</div><p class="rdm-plain rdm-about">In a terminal: '
        "<code>roadmap passport save</code>, <code>roadmap passport restore FILE</code></p></section>"
    )


def _record() -> str:
    """Something to give to others; always the same words, so that a name that was typed in stays."""
    return (
        '<section class="rdm-record" aria-labelledby="rdm-record"><div><h2 id="rdm-record">A record to show</h2>'
        "<p>One file to give to an employer: what you have mastered, topic by topic, when, on what evidence. "
        "It says that your own machine recorded it, and that nobody has signed it. It prints well.</p></div>"
        '<form class="rdm-live" data-record-form><label for="rdm-name">Your name, if it is to stand there</label>'
        '<p class="rdm-actions"><input id="rdm-name" type="text" maxlength="80" autocomplete="name" '
        'data-key="record-name"><button type="submit" data-key="record-save">Save the record</button></p></form>'
        '<p class="rdm-plain rdm-about">In a terminal: <code>roadmap record --name "Your Name"</code></p>'
        "</section>"
    )


def _button(name: str, label: str, what: str) -> str:
    return (
        f'<button type="button" data-{name} data-key="passport-{name}">{label}'
        f'<span class="rdm-hidden"> {what}</span></button>'
    )


def _time(moment: dict[str, Any]) -> str:
    return f'<time datetime="{escape(moment["iso"])}">{escape(moment["words"])}</time>'


def _foot(model: dict[str, Any]) -> str:
    unknown = (
        f"<p>{_number(model['unknown'], 'recorded result')} belong to exercises that this version of the course "
        "does not have; they are kept, and not counted.</p>"
        if model["unknown"]
        else ""
    )
    return (
        '<div class="rdm-foot">'
        "<p>Lessons and exercises open as your own copies under <code>work/</code>. Running a check there counts "
        f"at once; nothing else is recorded, and nothing leaves this machine.</p>{unknown}</div>"
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
