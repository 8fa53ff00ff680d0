"""The map: every notebook a stop on its section's line, every prerequisite a track, drawn as SVG.

Two drawings of the same data are in the page, for a wide and for a narrow place; the style sheet shows one. Each
line and stop is a link to its part of the list below, so that the map is of use without JavaScript; map.js makes
it zoom, and walk by arrow keys.
"""

from __future__ import annotations

from html import escape
from math import cos, pi, sin
from typing import TYPE_CHECKING, Any

from roadmap_progress.dashboard import plan as plans
from roadmap_progress.dashboard.closeup import closeups
from roadmap_progress.dashboard.lettering import measure, plain, short, wrapped
from roadmap_progress.dashboard.view import STATE_LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roadmap_progress.dashboard.plan import Line, Metrics, Plan, Stop

WIDE = plans.Metrics(columns=7, share=True, pitch=142, left=34, sign=54, label=68, corridor=30)
NARROW = plans.Metrics(columns=8, share=True, pitch=45, left=24, sign=52, label=36, corridor=18, gap=4)
NAME_SIZE = 12.5  # of a stop's name, in the drawing's units
SIGN_SIZE = {WIDE: 14.0, NARROW: 11.5}  # of a section's name


def atlas(model: dict[str, Any]) -> dict[str, str]:
    """The part "map", and a part "near-…" for each section's close-up."""
    sections = [section for section in model["sections"] if section["notebooks"]]
    notebooks = {item["number"]: item for section in sections for item in section["notebooks"]}
    here = model["next"]["number"] if model["next"] else None
    leads = _leads(notebooks)
    ways = " ".join(f"{source}>{target}" for source, targets in leads.items() for target in targets)
    drawings = "".join(
        _drawing(sections, notebooks, leads, here, name, metrics)
        for name, metrics in (("wide", WIDE), ("narrow", NARROW))
    )
    html = (
        f'<section class="rdm-map" aria-labelledby="rdm-map" data-ways="{ways}"><header class="rdm-map-head">'
        '<h2 id="rdm-map">The map</h2><p class="rdm-about">Tracks lead from a notebook to what builds on it. '
        '<span class="rdm-live">Choose a section or a stop to zoom in<span class="rdm-keys">; arrow keys walk '
        f"from stop to stop</span>.</span></p>{_legend()}</header>"
        f'<div class="rdm-overview">{drawings}</div><div class="rdm-near-place"></div></section>'
    )
    near = closeups(sections, notebooks, leads, here)
    return {"map": html, **{f"near-{key}": part for key, part in near.items()}}


def _legend() -> str:
    """What the signs of the map mean, as they are drawn there."""
    states = "".join(
        f'<li class="rdm-chip" data-state="{state}"><svg viewBox="-15 -15 30 30" aria-hidden="true">'
        f"{drawn({'state': state, 'percent': 35}, 0, 0)}</svg>{label}</li>"
        for state, label in reversed(STATE_LABELS.items())
    )
    return f'<ul class="rdm-legend" aria-label="What the signs mean">{states}</ul>'


def _leads(notebooks: dict[str, Any]) -> dict[str, list[str]]:
    """The numbers of the notebooks that build on each."""
    found: dict[str, list[str]] = {number: [] for number in notebooks}
    for number, item in notebooks.items():
        for need in item["requires"]:
            found[need["number"]].append(number)
    return found


def _drawing(
    sections: list[dict[str, Any]],
    notebooks: dict[str, Any],
    leads: dict[str, list[str]],
    here: str | None,
    name: str,
    metrics: Metrics,
) -> str:
    plan = plans.plan(
        [(section["key"], [item["number"] for item in section["notebooks"]]) for section in sections],
        {number: [need["number"] for need in item["requires"]] for number, item in notebooks.items()},
        metrics,
    )
    stops = {stop.number: stop for stop in plan.stops}
    lines = "".join(
        _line(
            section,
            line,
            [stops[item["number"]] for item in section["notebooks"]],
            leads,
            here,
            metrics,
            plan.width,
        )
        for section, line in zip(sections, plan.lines, strict=True)
    )
    return (
        f'<svg class="rdm-drawing rdm-{name}" viewBox="0 0 {plan.width:g} {plan.height:g}" role="group" '
        f'aria-label="Map of the roadmap">{_tracks(plan, notebooks)}{lines}</svg>'
    )


def _tracks(plan: Plan, notebooks: dict[str, Any]) -> str:
    """What is planned lies below what can be walked, and that below what was walked."""

    def kind(source: str, target: str) -> str:
        if notebooks[source]["state"] == "done":
            return "walked"
        return "planned" if notebooks[target]["state"] == "planned" else "open"

    drawn = sorted(
        ((kind(track.source, track.target), track) for track in plan.tracks),
        key=lambda pair: ("planned", "open", "walked").index(pair[0]),
    )
    return (
        '<g class="rdm-tracks" aria-hidden="true">'
        + "".join(
            f'<path d="{track.path}" data-way="{track.source}>{track.target}" data-kind="{what}"/>'
            for what, track in drawn
        )
        + "</g>"
    )


def _line(
    section: dict[str, Any],
    line: Line,
    stops: list[Stop],
    leads: dict[str, list[str]],
    here: str | None,
    metrics: Metrics,
    edge: float,
) -> str:
    rails = "".join(
        f'<path d="M{a.x:g} {a.y:g}H{b.x:g}"{" data-planned" if item["state"] == "planned" else ""}/>'
        for a, b, item in zip(stops, stops[1:], section["notebooks"][1:], strict=False)
    )
    drawn = "".join(
        _stop(item, stop, leads[item["number"]], metrics, here=here == item["number"], first=stop is stops[0])
        for item, stop in zip(section["notebooks"], stops, strict=True)
    )
    return (
        f'<g role="group" class="rdm-line" data-hue="{section["hue"]}" '
        f'aria-label="{escape(plain(section["title"]))}">'
        f'<g class="rdm-rails" aria-hidden="true">{rails}</g>{_sign(section, line, metrics, edge)}{drawn}</g>'
    )


def _sign(section: dict[str, Any], line: Line, metrics: Metrics, edge: float) -> str:
    """A section's name above its line: the way to its close-up."""
    title, number, size = plain(section["title"]), str(section["number"]), SIGN_SIZE[metrics]
    badge = 26.0 if len(number) == 1 else 32.0
    x, y, row = line.x - 13, line.y - 44, size * 1.2
    place = min(x + metrics.pitch * (len(section["notebooks"]) + 1), edge) - x - badge - 10
    rows = wrapped(title, size, place, lines=2 if metrics is WIDE else 3, bold=True)
    top = y + 16 - (len(rows) - 1) * row
    width = badge + 14 + max(measure(each, size, bold=True) for each in rows)
    about = f"{section['points']} of {section['possible']} points" if section["written"] else ""
    label = f"Section {number}, {title}: {section['label'].lower()}" + (f", {about}" if about else "")
    words = "".join(
        f'<tspan x="{x + badge + 7:g}" y="{top + index * row:.1f}">{escape(each)}</tspan>'
        for index, each in enumerate(rows)
    )
    return (
        f'<a href="#rdm-section-{section["key"]}" class="rdm-sign" data-zoom="{section["key"]}" '
        f'data-key="sign-{section["key"]}" aria-label="{escape(label)}">'
        f'<rect class="ground" x="{x - 4:g}" y="{min(top - size, y) - 3:.1f}" width="{width + 4:.0f}" '
        f'height="{y + 28 - min(top - size, y):.1f}" rx="8"/>'
        f'<rect class="badge" x="{x:g}" y="{y:g}" width="{badge:g}" height="22" rx="6"/>'
        f'<text class="number" x="{x + badge / 2:g}" y="{y + 15.8:g}" text-anchor="middle">{number}</text>'
        f'<text class="title" font-size="{size:g}">{words}</text></a>'
    )


def _stop(item: dict[str, Any], stop: Stop, leads: list[str], metrics: Metrics, *, here: bool, first: bool) -> str:
    number, x, y = item["number"], stop.x, stop.y
    wide = metrics is WIDE
    area = (x - 20, y - 18, metrics.pitch - 4, 90) if wide else (x - 22, y - 18, metrics.pitch - 4, 52)
    return (
        f'<a href="#rdm-notebook-{number}" class="rdm-stop" data-stop="{number}" data-zoom="{item["section"]}" '
        f'data-key="stop-{number}" data-state="{item["state"]}" '
        f'aria-label="{escape(_says(item, leads, here=here))}">'
        f'<rect class="area" x="{area[0]:g}" y="{area[1]:g}" width="{area[2]:g}" height="{area[3]}" rx="10"/>'
        f"{_here(x, y, first=first) if here else ''}{drawn(item, x, y)}{_name(item, x, y, wide=wide)}</a>"
    )


def _says(item: dict[str, Any], leads: Sequence[str], *, here: bool) -> str:
    """A stop in one sentence, for who cannot see it."""
    parts = [f"{item['number']} {plain(item['title'])}: {item['label'].lower()}"]
    if item["state"] != "planned":
        parts[0] += f", {item['points']} of {item['possible']} points"
    if here:
        parts.append("what to do next")
    if item["requires"]:
        parts.append("builds on " + ", ".join(need["number"] for need in item["requires"]))
    if leads:
        parts.append("leads to " + ", ".join(leads))
    return "; ".join(parts)


def drawn(item: dict[str, Any], x: float, y: float) -> str:
    """A stop's sign: its state's shape, and of a started one how much of it is done, as a slice."""
    state = item["state"]
    ground = f'<circle class="ground" cx="{x:g}" cy="{y:g}" r="{11 if state == "planned" else 16}"/>'
    if state == "planned":
        return f'{ground}<circle class="sign" cx="{x:g}" cy="{y:g}" r="7.5"/>'
    if state == "started":
        slice_ = _slice(x, y, 8.5, item["percent"])
        return f'{ground}<g class="sign"><circle cx="{x:g}" cy="{y:g}" r="12"/>{slice_}</g>'
    return (
        f'{ground}<use class="sign" href="#rdm-i-{state}" x="{x - 14:g}" y="{y - 14:g}" width="28" height="28"/>'
    )


def _slice(x: float, y: float, radius: float, percent: int) -> str:
    share = min(max(percent, 12), 99) / 100  # one per cent would not be seen
    end = f"{x + radius * sin(2 * pi * share):.1f} {y - radius * cos(2 * pi * share):.1f}"
    return f'<path class="fill" d="M{x:g} {y:g}v-{radius}A{radius} {radius} 0 {int(share > 0.5)} 1 {end}z"/>'


def _here(x: float, y: float, *, first: bool) -> str:
    """Where the learner is; the flag stands above the section's badge, which is above its first stop."""
    halo = f'<circle class="halo" cx="{x:g}" cy="{y:g}" r="20"/>'
    y -= 22 if first else 0
    return (
        f"{halo}"
        f'<g class="here"><rect x="{x - 21:g}" y="{y - 44:g}" width="42" height="19" rx="9.5"/>'
        f'<path d="M{x - 5:g} {y - 26:g}l5 6 5-6z"/>'
        f'<text x="{x:g}" y="{y - 30.5:g}" text-anchor="middle">next</text></g>'
    )


def _name(item: dict[str, Any], x: float, y: float, *, wide: bool) -> str:
    """Number and title (where there is room), below the stop and right of the track that leaves it."""
    number = item["number"]
    left = x + 9
    words = f"{number} {short(plain(item['title']))}" if wide else number
    rows = wrapped(words, NAME_SIZE, WIDE.pitch - WIDE.corridor + 4, lines=3)
    first = f'<tspan class="number">{number}</tspan>{escape(rows[0].removeprefix(number))}'
    more = "".join(f'<tspan x="{left:g}" dy="15">{escape(row)}</tspan>' for row in rows[1:])
    return f'<text class="name" x="{left:g}" y="{y + 29:g}">{first}{more}</text>'
