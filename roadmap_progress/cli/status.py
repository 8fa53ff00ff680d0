"""`roadmap status`: the dashboard's content as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

BAR = 20
MARKS = {"done": "✓", "started": "◐", "ready": "▷", "later": "·", "planned": "○", "failed": "✗", "changed": "↻"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("notebook", nargs="?", help="show the exercises of one notebook, such as 1.1")
    parser.add_argument("--all", action="store_true", help="show planned notebooks one by one, too")


def run(arguments: argparse.Namespace) -> int:
    """Print where the learner stands; 1 when the progress or the roadmap cannot be read."""
    from roadmap_progress.dashboard import view
    from roadmap_progress.dashboard.session import Session

    session = Session()
    try:
        session.refresh()
        failed = any(notice.level == "error" for notice in session.facts.notices)
        lines = [f"! {notice.title} {notice.text}" for notice in session.facts.notices]
        if session.progress is not None and session.roadmap is not None:
            model = view.model(session.progress, session.facts)
            if arguments.notebook:
                number = session.roadmap.find(arguments.notebook).number
                lines += _notebook(model, number)
            else:
                lines += _course(model, everything=arguments.all)
    finally:
        session.close()
    print("\n".join(lines))
    return 1 if failed else 0


def _course(model: dict[str, Any], *, everything: bool) -> list[str]:
    summary = model["summary"]
    total = f"{summary['points']} of {summary['possible']} points ({summary['percent']}%)"
    notebooks = f"{summary['done']} of {summary['written']} notebooks done, {summary['planned']} planned"
    lines = [
        f"{model['title']}: {total}, {notebooks}",
        f"This week: {summary['week']} points. Left in what is written: {summary['left']}.",
        "",
        *_next(model),
        *_review(model),
    ]
    for section in model["sections"]:
        head = f"{section['number']:>2}  {section['title']}"
        if section["written"]:
            lines += ["", f"{head}: {section['points']} of {section['possible']} points"]
        elif everything:
            lines += ["", f"{head} (planned)"]
        else:
            lines.append(f"{head} ({section['planned']} planned)")
        for item in section["notebooks"]:
            if item["state"] != "planned":
                lines.append(f"    {_line(item)}")
            elif everything or section["written"]:
                lines.append(f"    {MARKS['planned']} {item['number']:<5}{item['title']}  planned")
        if section["written"]:
            lines.append("")
    return lines


def _next(model: dict[str, Any]) -> list[str]:
    item = model["next"]
    if item is None:
        return [model["nothing"]]
    return [f"Next: {item['number']} {item['title']} (about {item['left']})", f"      {item['why']}"]


def _review(model: dict[str, Any]) -> list[str]:
    due = model["review"]["due"]
    if not due:
        return []
    names = "; ".join(f"{item['number']} “{item['title']}”" for item in due)
    return [f"Review of today: {names}"]


def _line(item: dict[str, Any]) -> str:
    about = [f"{item['points']}/{item['possible']} points", item["label"].lower()]
    about += [f"needs {need['number']}" for need in item["requires"] if not need["met"]]
    full = round(BAR * item["percent"] / 100)
    return (
        f"{MARKS[item['state']]} {item['number']:<5}{item['title']:<34} {'█' * full}{'░' * (BAR - full)}  "
        f"{', '.join(about)}"
    )


def _notebook(model: dict[str, Any], number: str) -> list[str]:
    item = next(n for section in model["sections"] for n in section["notebooks"] if n["number"] == number)
    if item["state"] == "planned":
        return [f"{number} {item['title']} is planned, not written yet."]
    lines = [f"{number} {item['title']}: {item['points']} of {item['possible']} points, {item['label'].lower()}"]
    lines += [f"  builds on {need['number']} {need['title']} ({need['word']})" for need in item["requires"]]
    lines += [
        f"  {MARKS[exercise['state']]} {exercise['title']}  {exercise['points']}/{exercise['possible']}, "
        f"{exercise['label']}"
        for exercise in item["exercises"]
    ]
    return lines
