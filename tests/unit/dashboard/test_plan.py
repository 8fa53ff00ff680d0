"""The map's geometry, for the course's own roadmap and for any other."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadmap_progress import catalog
from roadmap_progress.dashboard.plan import SIDE, Metrics, Plan, plan
from roadmap_progress.dashboard.roadmap_map import NARROW, WIDE

Sections = list[tuple[str, list[str]]]
Requires = dict[str, list[str]]


@st.composite
def roadmaps(draw: st.DrawFn) -> tuple[Sections, Requires]:
    """Sections of up to nine notebooks, each of which may build on any before it."""
    sizes = draw(st.lists(st.integers(0, 9), max_size=12))
    sections = [(f"s{i}", [f"{i}.{k}" for k in range(size)]) for i, size in enumerate(sizes)]
    numbers = [number for _, own in sections for number in own]
    requires = {
        number: draw(st.lists(st.sampled_from(numbers[:index]), max_size=4, unique=True)) if index else []
        for index, number in enumerate(numbers)
    }
    return sections, requires


def the_course() -> tuple[Sections, Requires]:
    roadmap = catalog.load(Path(__file__).parents[3])
    sections = [(each.slug, [item.number for item in each.notebooks]) for each in roadmap.sections]
    return sections, {number: list(item.requires) for number, item in roadmap.notebooks.items()}


def pieces(path: str) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The straight pieces of a path, bends taken as corners."""
    numbers = [float(found) for found in re.findall(r"-?[\d.]+", path)]
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    return list(itertools.pairwise(points))


def hold(found: Plan, sections: Sections, requires: Requires, metrics: Metrics) -> None:
    stops = {stop.number: stop for stop in found.stops}
    assert set(stops) == {number for _, own in sections for number in own}
    # A section is a straight line from left to right, and nobody else's stop lies on it.
    for line, (key, own) in zip(found.lines, [each for each in sections if each[1]], strict=True):
        assert line.key == key
        assert [stops[number].x for number in own] == sorted({stops[number].x for number in own})
        assert {stops[number].y for number in own} == {line.y}
        on_it = [s.number for s in found.stops if s.y == line.y and line.x <= s.x <= line.end]
        assert sorted(on_it) == sorted(own)
    # Every prerequisite is shown once: by the line, or by a track.
    beside = {pair for _, own in sections for pair in itertools.pairwise(own)}
    wanted = sorted((need, number) for number, needs in requires.items() for need in needs)
    tracks = [(track.source, track.target) for track in found.tracks]
    assert sorted(tracks + [pair for pair in wanted if pair in beside]) == wanted
    # A track leads from stop to stop, and stays on the paper.
    laid: dict[str, set[tuple[tuple[float, float], tuple[float, float]]]] = {}
    for track in found.tracks:
        way = pieces(track.path)
        source, target = stops[track.source], stops[track.target]
        assert way[0][0] == pytest.approx((source.x + SIDE, source.y), abs=0.1)
        assert way[-1][1] == pytest.approx((target.x - SIDE, target.y), abs=0.1)
        assert all(0 <= x <= found.width and 0 <= y <= found.height for piece in way for x, y in piece)
        laid.setdefault(track.source, set()).update(way[1:-1])  # the ends may be shared: they meet in a stop
    # No two sources' level pieces lie on each other.
    levels = [
        (a[1], min(a[0], b[0]), max(a[0], b[0]), source)
        for source, own in laid.items()
        for a, b in own
        if a[1] == b[1]
    ]
    for (y, x1, x2, one), (y_, x3, x4, other) in itertools.combinations(sorted(levels), 2):
        assert one == other or abs(y - y_) > 1 or x2 < x3 or x4 < x1, (one, other)
    assert metrics.pitch > metrics.corridor


@pytest.mark.parametrize("metrics", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_course_is_drawn_whole_and_no_two_tracks_lie_on_each_other(metrics: Metrics) -> None:
    sections, requires = the_course()
    found = plan(sections, requires, metrics)
    hold(found, sections, requires, metrics)
    assert found.height / found.width < (1.4 if metrics is WIDE else 3.0)


@settings(max_examples=60, deadline=None)
@given(roadmaps(), st.sampled_from([WIDE, NARROW]))
def test_so_is_any_other_roadmap(roadmap: tuple[Sections, Requires], metrics: Metrics) -> None:
    sections, requires = roadmap
    hold(plan(sections, requires, metrics), sections, requires, metrics)


def test_the_same_roadmap_gives_the_same_drawing() -> None:
    sections, requires = the_course()
    assert plan(sections, requires, WIDE) == plan(sections, requires, WIDE)


def test_a_prerequisite_outside_the_map_is_left_out() -> None:
    sections: Sequence[tuple[str, Sequence[str]]] = [("one", ["1.1"])]
    assert plan(sections, {"1.1": ["0.1"]}, WIDE).tracks == ()
    assert plan([], {}, WIDE).stops == ()
