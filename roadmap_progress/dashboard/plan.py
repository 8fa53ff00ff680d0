"""Where everything of the map lies: sections and their prerequisites → lines, stops and tracks on a plane.

Pure geometry. A section is a straight line of stops; two short ones may share a row. Prerequisites that the
line does not show itself are tracks, laid as an engineer would: down from the stop, along a channel between two
rows, down a corridor between two columns, and into the next stop from above. All tracks out of one stop share
their way as long as they can, and no two stops' tracks lie on each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

CURVE = 9.0  # the largest radius of a bend
SIDE = 4.0  # tracks come in this far left of a stop's middle, and leave this far right of it
CLEARANCE = 14.0  # between two tracks on the same height


@dataclass(frozen=True, slots=True)
class Metrics:
    """The measures of a drawing, in its own units.

    Attributes:
        columns: stops side by side; a section with more of them makes the drawing wider.
        share: whether two sections may lie in one row.
        pitch: from one stop to the next.
        left: from the edge to the first stop.
        sign: height of the place for a section's name, above its line.
        label: height of the place for the stops' names, below the line.
        corridor: width left of a stop for tracks that pass through the row.
        gap: between neighbouring tracks.
    """

    columns: int
    share: bool
    pitch: float
    left: float
    sign: float
    label: float
    corridor: float
    gap: float = 6.0


@dataclass(frozen=True, slots=True)
class Line:
    """A section's line, from its first stop to its last."""

    key: str
    x: float
    end: float
    y: float


@dataclass(frozen=True, slots=True)
class Stop:
    """A notebook's place."""

    number: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Track:
    """The way from a notebook to one that builds on it.

    Attributes:
        path: what an SVG path draws, its `d`.
    """

    source: str
    target: str
    path: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole drawing."""

    width: float
    height: float
    lines: tuple[Line, ...]
    stops: tuple[Stop, ...]
    tracks: tuple[Track, ...]


Cell = tuple[int, int]  # row, column


@dataclass
class _Lanes:
    """Parallel places for tracks; each new one takes the first that is free over its length."""

    taken: list[list[tuple[float, float]]] = field(default_factory=list)

    def take(self, start: float, end: float, clearance: float) -> int:
        for index, lane in enumerate(self.taken):
            if all(end + clearance <= other[0] or other[1] + clearance <= start for other in lane):
                lane.append((start, end))
                return index
        self.taken.append([(start, end)])
        return len(self.taken) - 1


def plan(sections: Sequence[tuple[str, Sequence[str]]], requires: Mapping[str, Sequence[str]], m: Metrics) -> Plan:
    """Lay out the sections, each a key and its notebooks' numbers; `requires` are the prerequisites by number.

    A prerequisite that is not in the sections is left out.
    """
    cells, columns = _cells(sections, m)
    rows = max((row for row, _ in cells.values()), default=-1) + 1
    leads = _leads(sections, requires, cells)
    trunks = _trunks(cells, leads, columns, m)
    channels = [_Lanes() for _ in range(rows)]
    lanes = _channels(cells, leads, trunks, channels, m)

    tops, levels, height = [], [], 0.0
    for channel in channels:
        tops.append(height)
        height += m.gap * (len(channel.taken) + 1)
        levels.append(height + m.sign)
        height += m.sign + m.label
    stops = {number: Stop(number, _x(m, column), levels[row]) for number, (row, column) in cells.items()}
    heights = {(row, source): tops[row] + m.gap * (lane + 1) for (row, source), lane in lanes.items()}
    tracks = []
    for source, targets in leads.items():
        for target in targets:
            rows_between = cells[source][0], cells[target][0]
            way = _way(stops[source], stops[target], rows_between, heights, trunks.get(source))
            tracks.append(Track(source, target, "".join(_rounded(way))))
    lines = [
        Line(key, stops[numbers[0]].x, stops[numbers[-1]].x, stops[numbers[0]].y)
        for key, numbers in sections
        if numbers
    ]
    width = m.left + m.pitch * columns - m.corridor / 4
    return Plan(width, height, tuple(lines), tuple(stops.values()), tuple(tracks))


def _x(m: Metrics, column: int) -> float:
    return m.left + m.pitch * column


def _cells(sections: Sequence[tuple[str, Sequence[str]]], m: Metrics) -> tuple[dict[str, Cell], int]:
    """Row and column of every notebook: in the sections' order, two in a row a column apart if that fits."""
    columns = max([m.columns, *(len(numbers) for _, numbers in sections)])
    rows: list[list[Sequence[str]]] = []
    for _, numbers in sections:
        used = sum(len(other) for other in rows[-1]) if rows else columns
        if m.share and rows and len(rows[-1]) < 2 and used + len(numbers) <= columns:
            rows[-1].append(numbers)
        else:
            rows.append([numbers])
    cells: dict[str, Cell] = {}
    for row, groups in enumerate(rows):
        used = sum(map(len, groups))
        starts = [0, len(groups[0]) + min(1, columns - used)][: len(groups)]
        for start, numbers in zip(starts, groups, strict=True):
            cells |= {number: (row, start + index) for index, number in enumerate(numbers)}
    return cells, columns


def _leads(
    sections: Sequence[tuple[str, Sequence[str]]], requires: Mapping[str, Sequence[str]], cells: Mapping[str, Cell]
) -> dict[str, list[str]]:
    """What each notebook leads to, without what the lines show: the next stop of the same section."""
    following = {pair for _, numbers in sections for pair in pairwise(numbers)}
    found: dict[str, list[str]] = {}
    for target in cells:
        for source in requires.get(target, ()):
            if source in cells and (source, target) not in following:
                found.setdefault(source, []).append(target)
    return {source: found[source] for source in cells if source in found}


def _trunks(
    cells: Mapping[str, Cell], leads: Mapping[str, Sequence[str]], columns: int, m: Metrics
) -> dict[str, float]:
    """Where the tracks of each source go down past the rows between; a source that needs none is left out."""
    corridors = [_Lanes() for _ in range(columns)]
    chosen: dict[str, tuple[int, int]] = {}
    for source, targets in leads.items():
        first, last = cells[source][0] + 1, max(cells[target][0] for target in targets)
        if last > first:
            best = _corridor(cells, source, targets, corridors)
            chosen[source] = best, corridors[best].take(first, last, 0)
    found = {}
    for source, (column, lane) in chosen.items():
        count = len(corridors[column].taken)
        gap = min(m.gap, (m.corridor - m.gap) / max(count - 1, 1))  # closer where the corridor is too narrow
        found[source] = _x(m, column) - m.corridor / 2 - (lane - (count - 1) / 2) * gap
    return found


def _corridor(cells: Mapping[str, Cell], source: str, targets: Iterable[str], corridors: Sequence[_Lanes]) -> int:
    """The column with the shortest way down that is not crowded and crosses few lines."""
    row, column = cells[source]
    ends = [cells[target] for target in targets]
    last = max(row for row, _ in ends)
    stops = set(cells.values())

    def cost(candidate: int) -> tuple[float, int]:
        length = abs(candidate - column) + sum(abs(candidate - end) for _, end in ends)
        crowd = sum(row + 1 < end and start < last for lane in corridors[candidate].taken for start, end in lane)
        crossed = sum(
            {(between, candidate - 1), (between, candidate)} <= stops for between in range(row + 1, last)
        )
        return length + 1.5 * crowd + 0.5 * crossed, candidate

    return min(range(len(corridors)), key=cost)


def _channels(
    cells: Mapping[str, Cell],
    leads: Mapping[str, Sequence[str]],
    trunks: Mapping[str, float],
    channels: list[_Lanes],
    m: Metrics,
) -> dict[tuple[int, str], int]:
    """The lane of every source in every channel that it uses; a channel has the number of the row below it."""
    found: dict[tuple[int, str], list[float]] = {}
    for source, targets in leads.items():
        row, column = cells[source]
        for target in targets:
            below, over = cells[target]
            if below <= row:
                found.setdefault((row, source), [_x(m, column) + SIDE]).append(_x(m, over) - SIDE)
                continue
            ends = found.setdefault((row + 1, source), [_x(m, column) + SIDE])
            if below > row + 1:
                ends.append(trunks[source])
                ends = found.setdefault((below, source), [trunks[source]])
            ends.append(_x(m, over) - SIDE)
    order = sorted(found, key=lambda key: (key[0], min(found[key]) - max(found[key]), key[1]))
    return {key: channels[key[0]].take(min(found[key]), max(found[key]), CLEARANCE) for key in order}


def _way(
    source: Stop,
    target: Stop,
    rows: tuple[int, int],
    heights: Mapping[tuple[int, str], float],
    trunk: float | None,
) -> list[tuple[float, float]]:
    """The corners of a track, ends included."""
    row, below = rows
    leave, arrive = source.x + SIDE, target.x - SIDE
    first = heights[row if below <= row else row + 1, source.number]
    points = [(leave, source.y), (leave, first)]
    if trunk is not None and below > row + 1:
        second = heights[below, source.number]
        points += [(trunk, first), (trunk, second), (arrive, second)]
    else:
        points.append((arrive, first))
    return [*points, (arrive, target.y)]


def _rounded(points: list[tuple[float, float]]) -> Iterator[str]:
    """A path along the points, level and upright by turns, whose corners are bends."""
    yield f"M{points[0][0]:g} {points[0][1]:g}"
    for (x0, y0), (x1, y1), (x2, y2) in zip(points, points[1:], points[2:], strict=False):
        before, after = abs(x1 - x0) + abs(y1 - y0), abs(x2 - x1) + abs(y2 - y1)
        radius = min(CURVE, before / 2, after / 2)
        if not radius:
            continue
        ax, ay = x1 + (x0 - x1) / before * radius, y1 + (y0 - y1) / before * radius
        bx, by = x1 + (x2 - x1) / after * radius, y1 + (y2 - y1) / after * radius
        yield f"L{ax:.1f} {ay:.1f}Q{x1:.1f} {y1:.1f} {bx:.1f} {by:.1f}"
    yield f"L{points[-1][0]:g} {points[-1][1]:g}"
