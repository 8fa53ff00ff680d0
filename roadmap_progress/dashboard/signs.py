"""The small things that every part of the page is made of: signs, words, chips, and links that open a notebook."""

from __future__ import annotations

import re
from html import escape
from typing import Any

_FILL = 'fill="currentColor" stroke="none"'
_CUT = "stroke:var(--raised);stroke-width:2"

# One 16×16 shape for each state: told apart by form, not by colour.
SHAPES = {
    "done": f'<circle cx="8" cy="8" r="7.2" {_FILL}/><path d="M4.6 8.3l2.3 2.4 4.6-5" style="{_CUT}"/>',
    "started": f'<circle cx="8" cy="8" r="6.4"/><path d="M8 1.6a6.4 6.4 0 0 1 0 12.8z" {_FILL}/>',
    "ready": f'<circle cx="8" cy="8" r="6.4"/><path d="M6.4 5.1v5.8L11 8z" {_FILL}/>',
    "later": '<circle cx="8" cy="8" r="6.4" stroke-dasharray="2.6 2.2"/><path d="M8 4.8V8l2.2 1.6"/>',
    "planned": '<path d="M3 13l.7-3L10.6 3a1.5 1.5 0 0 1 2.3 2.2L6 12.2z"/>',
    "failed": '<path d="M8 1.6L15 14H1z"/><path d="M8 6v4m0 1.7v.6"/>',
    "changed": '<path d="M13.4 8A5.4 5.4 0 1 1 11.7 4M12 1.2v3H9"/>',
    "error": '<circle cx="8" cy="8" r="6.6"/><path d="M8 4.2v4.6m0 2v.8"/>',
    "warning": '<path d="M8 1.6L15 14H1z"/><path d="M8 6v4m0 1.7v.6"/>',
    "note": '<circle cx="8" cy="8" r="6.6"/><path d="M8 7.4v4.2m0-7.4v.8"/>',
    "lesson": '<path d="M2.2 3h4A2 2 0 0 1 8 4.4 2 2 0 0 1 9.8 3h4v9.4H9.4L8 13.6l-1.4-1.2H2.2zM8 4.6v8.6"/>',
    "exercises": '<path d="M5.6 4.4L2 8l3.6 3.6M10.4 4.4L14 8l-3.6 3.6"/>',
}


def shapes() -> str:
    """Every sign once, unseen: what `icon` and the map refer to."""
    symbols = "".join(
        f'<symbol id="rdm-i-{name}" viewBox="0 0 16 16">{shape}</symbol>' for name, shape in SHAPES.items()
    )
    return f'<svg class="rdm-shapes" width="0" height="0" aria-hidden="true">{symbols}</svg>'


def icon(name: str) -> str:
    """A decorative picture: the word for it always stands beside it."""
    return f'<svg class="rdm-icon" aria-hidden="true"><use href="#rdm-i-{name}"/></svg>'


def text(title: str) -> str:
    """Escaped text, with the roadmap's `code` as such."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(title))


def opener(item: dict[str, Any], kind: str, label: str, where: str, *, strong: bool) -> str:
    """A link to the file as it lies in the course; the living page opens the learner's copy instead."""
    folder = "course" if kind == "lesson" else "work" if item.get("has_exercises") else "exercises"
    href = f"{folder}/{item['section']}/{item['stem']}.ipynb"
    return (
        f'<a class="rdm-button{" rdm-strong" if strong else ""}" href="{escape(href)}" '
        f'data-open="{item["number"]}" data-kind="{kind}" data-key="{where}-{kind}-{item["number"]}">'
        f'{icon(kind)}{label}<span class="rdm-hidden"> of {item["number"]} {text(item["title"])}</span></a>'
    )


def chip(state: str, label: str) -> str:
    """A state, as its sign and its word."""
    return f'<span class="rdm-chip" data-state="{state}">{icon(state)}{label}</span>'
