"""The map's close-ups: a section near, in HTML that fits any width; whence its tracks come, where they lead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roadmap_progress.dashboard.lettering import short
from roadmap_progress.dashboard.signs import chip, icon, opener, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def closeups(
    sections: Sequence[dict[str, Any]],
    notebooks: Mapping[str, dict[str, Any]],
    leads: Mapping[str, Sequence[str]],
    here: str | None,
) -> dict[str, str]:
    """All of them by the section's key; map.js puts the one into the page that was asked for."""
    return {
        section["key"]: _closeup(
            section,
            sections[index - 1] if index else None,
            sections[index + 1] if index + 1 < len(sections) else None,
            "".join(_near(item, notebooks, leads[item["number"]], here) for item in section["notebooks"]),
        )
        for index, section in enumerate(sections)
    }


def _closeup(
    section: dict[str, Any], before: dict[str, Any] | None, after: dict[str, Any] | None, stops: str
) -> str:
    if section["written"]:
        about = f"{section['points']} of {section['possible']} points"
        about += f" · about {section['left']} left" if section["state"] != "done" else ""
        about += f" · {section['planned']} more planned" if section["planned"] else ""
    else:
        about = "Planned, not written yet"
    key = section["key"]
    return (
        f'<section class="rdm-closeup" data-closeup="{key}" data-hue="{section["hue"]}" '
        f'aria-label="Section {section["number"]}, near"><header>'
        f'<span class="rdm-badge" aria-hidden="true">{section["number"]}</span><div>'
        f'<h3 tabindex="-1" data-key="closeup-{key}">{text(section["title"])}</h3>'
        f'<p class="rdm-about">{about}</p></div>'
        f'<p class="rdm-actions">{_beside("Section before", before, key)}{_beside("Section after", after, key)}'
        f'<button type="button" data-zoom-out data-key="out-{key}">Whole map</button></p></header>'
        f'<ol class="rdm-stops" style="--stops:{len(section["notebooks"])}">{stops}</ol></section>'
    )


def _beside(word: str, section: dict[str, Any] | None, key: str) -> str:
    if section is None:
        return ""
    before, after = ("← ", "") if word == "Section before" else ("", " →")
    return (
        f'<button type="button" data-zoom="{section["key"]}" data-key="{word}-{key}">{before}'
        f'<span class="rdm-hidden">{word}: </span>{section["number"]}'
        f'<span class="rdm-hidden"> {text(section["title"])}</span>{after}</button>'
    )


def _near(
    item: dict[str, Any], notebooks: Mapping[str, dict[str, Any]], leads: Sequence[str], here: str | None
) -> str:
    number, state = item["number"], item["state"]
    needs = [need["number"] for need in item["requires"]]
    about = actions = ""
    if state != "planned":
        about = f'<p class="rdm-about">{item["points"]} of {item["possible"]} points'
        about += f" · about {item['left']} left</p>" if state != "done" else "</p>"
        strong = number == here
        actions = (
            f'<p class="rdm-actions">{opener(item, "lesson", "Lesson", "near", strong=False)}'
            f"{opener(item, 'exercises', 'Exercises', 'near', strong=strong)}</p>"
        )
    topics = "".join(f"<li>{text(topic)}</li>" for topic in item["topics"])
    return (
        f'<li class="rdm-near" data-state="{state}"{" data-here" if number == here else ""}>'
        f'<div class="rdm-from">{_pills("Builds on", number, needs, notebooks)}</div>'
        f'<span class="rdm-node">{icon(state)}</span>'
        f'<div class="rdm-near-words"><h4 tabindex="-1" data-key="near-{number}">'
        f'<span class="rdm-number">{number}</span> {text(item["title"])}</h4>{chip(state, item["label"])}{about}'
        f'<ul class="rdm-topics">{topics}</ul>{actions}</div>'
        f'<div class="rdm-to">{_pills("Leads to", number, leads, notebooks)}</div></li>'
    )


def _pills(title: str, at: str, numbers: Sequence[str], notebooks: Mapping[str, dict[str, Any]]) -> str:
    """The stops at the other end of the tracks."""
    if not numbers:
        return ""
    found = "".join(
        f'<li data-state="{item["state"]}"><a href="#rdm-notebook-{item["number"]}" data-goto="{item["number"]}" '
        f'data-key="way-{at}-{item["number"]}">'
        f"{icon(item['state'])}<b>{item['number']}</b> {text(short(item['title']))}"
        f'<span class="rdm-hidden"> ({item["label"].lower()})</span></a></li>'
        for item in map(notebooks.__getitem__, numbers)
    )
    return f'<span class="rdm-way">{title}</span><ul>{found}</ul>'
