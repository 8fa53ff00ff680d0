"""A repository's commits as a picture: what a lesson on Git shows of the real repository.

Read with plumbing commands (`rev-list`, `for-each-ref`), without anybody's settings; nothing is written. Drawn as
SVG: a commit a row, newest on top, the trunk straight down on the left. Every edge from a commit to a parent has a
lane of its own from the one row to the other, so that two edges may cross but never lie on each other.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from roadmap_progress.errors import GraphError
from roadmap_progress.processes import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TIMEOUT_S = 60.0
LONGEST_MESSAGE = 60  # columns

ROW, LANE, LEFT, TOP = 32, 24, 26, 28  # pixels
RADIUS = 7
COLUMN = 7.9  # of a fixed-width font of 13 pixels
CARD, INK, PALE = "#f7f7f4", "#1c2733", "#5b6672"
# Each with a contrast of 4.5 and more to the card, and to the white text of a label on it.
LANE_COLOURS = ("#0b5cad", "#b1440c", "#1a7038", "#8b2fa8", "#9a1f45", "#0f6b73", "#6b5900")


class Name(NamedTuple):
    """What leads to a commit: a branch, a remote-tracking branch, a tag, or another ref such as `stash`."""

    text: str
    kind: str  # "branch", "remote", "tag" or "ref"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as the picture shows it.

    Attributes:
        id: its object id, in full.
        parents: their ids; first the one that was merged into.
        message: the first line.
        names: what leads to it directly.
        is_head: HEAD does.
        is_lost: no ref leads to it, directly or through its descendants.
    """

    id: str
    parents: tuple[str, ...]
    message: str
    names: tuple[Name, ...] = ()
    is_head: bool = False
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class CommitGraph:
    """Commits, newest first; a notebook shows them as a picture, `print` as text.

    Attributes:
        commits: every one before its parents.
        branch: where HEAD is attached; None if it is detached.
        trunk: ids of the commits that are drawn straight down on the left.
        ids: show the first seven digits of each id.
    """

    commits: tuple[Commit, ...]
    branch: str | None
    trunk: frozenset[str]
    ids: bool = True

    def __str__(self) -> str:
        """A line for each commit, newest first: what the picture says, in words."""
        if not self.commits:
            return f"no commits yet; HEAD → {self.branch}"
        return "\n".join(self._line(commit) for commit in self.commits)

    __repr__ = __str__

    def _repr_svg_(self) -> str:
        return "".join(_svg(self))

    def _line(self, commit: Commit) -> str:
        labels = [text for text, _ in _labels(self, commit)]
        parts = ["○" if commit.is_lost else "●", self._called(commit), f"({', '.join(labels)})" if labels else ""]
        known = {each.id: each for each in self.commits}
        parents = [self._called(known[parent]) if parent in known else "…" for parent in commit.parents]
        after = f"← {', '.join(parents)}" if parents else ""
        return " ".join(part for part in (*parts, commit.message if self.ids else "", after) if part)

    def _called(self, commit: Commit) -> str:
        return commit.id[:7] if self.ids else f"“{commit.message}”"


def commit_graph(repository: str | Path, *also: str, trunk: str = "main", ids: bool = True) -> CommitGraph:
    """The commits that branches, tags, remote-tracking branches and HEAD lead to, as a picture.

    Args:
        repository: the folder of the repository itself, bare or not; not one inside it.
        also: further revisions to start from, such as `"refs/stash"` or `"HEAD@{1}"`. What no ref leads to is
            drawn hollow.
        trunk: the branch to draw straight down on the left; HEAD's, where there is none of this name.
        ids: show the first seven digits of the commits' ids.

    Raises:
        GraphError: there is no repository, or no such revision; or git refuses, and says why.
    """
    path = Path(repository)
    head = _git(path, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", may_fail=True).strip()
    branch = _git(path, "symbolic-ref", "--quiet", "--short", "HEAD", may_fail=True).strip() or None
    extra = [
        _git(path, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").strip() for name in also
    ]
    named = frozenset(_git(path, "rev-list", "--all").split())
    names = _names(path)
    starts = ["--branches", "--tags", "--remotes", *([head] if head else []), *extra]
    # NUL between the fields: a message may hold anything else
    told = _git(path, "rev-list", "--topo-order", "--no-commit-header", "--format=%H%x00%P%x00%s", *starts)
    commits = []
    for line in told.splitlines() if head or names or extra else []:
        found, parents, message = line.split("\0")
        commits.append(
            Commit(
                id=found,
                parents=tuple(dict.fromkeys(parents.split())),
                message=_printable(message),
                names=tuple(names.get(found, ())),
                is_head=found == head,
                is_lost=found not in named,
            )
        )
    tip = next((c.id for c in commits if Name(trunk, "branch") in c.names), head)
    return CommitGraph(tuple(commits), branch, _first_parents(tip, commits), ids)


def _commit(repository: Path, revision: str) -> str:
    return _git(repository, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").strip()


def _first_parents(tip: str, commits: Sequence[Commit]) -> frozenset[str]:
    known = {commit.id: commit for commit in commits}
    chain = set()
    while tip in known:
        chain.add(tip)
        tip = next(iter(known[tip].parents), "")
    return frozenset(chain)


# Git


def _git(repository: Path, *arguments: str, may_fail: bool = False) -> str:
    path = repository.resolve()
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "HOME": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_CEILING_DIRECTORIES": str(path.parent),  # a folder inside another repository is none itself
    }
    try:
        done = run(["git", "--no-pager", *arguments], cwd=path, env=environment, timeout_s=TIMEOUT_S)
    except OSError as error:
        raise GraphError(f"cannot run git in {repository}: {error}") from error
    if not done.ok and not (may_fail and done.returncode == 1):
        raise GraphError(f"git {' '.join(arguments)} in {repository}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _names(repository: Path) -> dict[str, list[Name]]:
    """{commit: what leads to it}, branches first."""
    kinds = {"refs/heads/": "branch", "refs/remotes/": "remote", "refs/tags/": "tag", "refs/": "ref"}
    found: list[tuple[int, Name, str]] = []
    pattern = "%(refname)%00%(objectname)%00%(*objectname)%00%(symref)"
    for line in _git(repository, "for-each-ref", f"--format={pattern}").splitlines():
        ref, own, peeled, symbolic = line.split("\0")
        if symbolic:  # such as origin/HEAD
            continue
        rank, (prefix, kind) = next(each for each in enumerate(kinds.items()) if ref.startswith(each[1][0]))
        found.append((rank, Name(ref.removeprefix(prefix), kind), peeled or own))
    names: dict[str, list[Name]] = {}
    for _, name, commit in sorted(found):
        names.setdefault(commit, []).append(name)
    return names


def _printable(message: str) -> str:
    """What a picture can hold of it, cut where it is too long."""
    text = "".join(letter if letter.isprintable() else "�" for letter in message)
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


# Where everything lies


class Point(NamedTuple):
    """A place in the grid: lanes from the left, rows from the top."""

    lane: int
    row: int


class Edge(NamedTuple):
    """The way from a commit down to one of its parents; its last bend may be at the parent."""

    child: str
    parent: str
    points: tuple[Point, ...]


def lay_out(commits: Sequence[Commit], trunk: frozenset[str]) -> tuple[dict[str, Point], list[Edge]]:
    """Where each commit lies, and the ways between them.

    Lane 0 is the trunk's. An edge keeps its lane until the row above its parent; so between two rows no two edges
    have the same ends, and in a row no edge passes through a commit.

    Args:
        commits: every one before its parents.
        trunk: a chain of first parents.
    """
    places: dict[str, Point] = {}
    edges: list[Edge] = []
    shown = {commit.id for commit in commits}
    waiting: list[tuple[str, str, Point] | None] = [None]  # by lane: child, parent, where the child is
    for row, commit in enumerate(commits):
        coming = [lane for lane, edge in enumerate(waiting) if edge and edge[1] == commit.id]
        lane = 0 if commit.id in trunk else min(coming, default=None) or _free(waiting)
        here = places[commit.id] = Point(lane, row)
        for taken in coming:
            edge = waiting[taken]
            waiting[taken] = None
            if edge:
                child, parent, start = edge
                between = [Point(taken, at) for at in (start.row + 1, row - 1) if start.row < at < row]
                edges.append(Edge(child, parent, tuple(dict.fromkeys([start, *between, here]))))
        for parent in commit.parents:
            if parent in shown:
                chosen = lane if parent == commit.parents[0] else _free(waiting)
                waiting[chosen] = (commit.id, parent, here)
    return places, edges


def _free(waiting: list[tuple[str, str, Point] | None]) -> int:
    for lane in range(1, len(waiting)):
        if waiting[lane] is None:
            return lane
    waiting.append(None)
    return len(waiting) - 1


# The picture


def _labels(graph: CommitGraph, commit: Commit) -> Iterator[tuple[str, str]]:
    """(text, kind) of each label, HEAD and its branch first."""
    if commit.is_head and graph.branch is None:
        yield "HEAD (detached)", "head"
    attached = [name for name in commit.names if commit.is_head and name == Name(graph.branch or "", "branch")]
    for name in (*attached, *(name for name in commit.names if name not in attached)):
        if name in attached:
            yield f"HEAD → {name.text}", "head"
        else:
            yield (f"tag: {name.text}" if name.kind == "tag" else name.text), name.kind


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _svg(graph: CommitGraph) -> Iterator[str]:
    places, edges = lay_out(graph.commits, graph.trunk)
    lanes = 1 + max(
        [point.lane for place in edges for point in place.points] + [p.lane for p in places.values()] + [0]
    )
    text_at = LEFT + lanes * LANE
    rows: list[str] = []
    width = 0.0
    for commit in graph.commits:
        drawn, end = _row(graph, commit, places[commit.id], text_at)
        rows.append(drawn)
        width = max(width, end)
    if not graph.commits:
        words = str(graph)
        rows.append(f'<text x="{LEFT}" y="{TOP + 4.5}" fill="{INK}">{escape(words)}</text>')
        width = LEFT + COLUMN * _columns(words)
    width, height = round(width + LEFT), TOP * 2 + ROW * max(len(graph.commits) - 1, 0)
    size = f'width="{width}" height="{height}"'
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" role="img" '
        f'style="max-width: 100%; height: auto" font-family="ui-monospace, monospace" font-size="13">'
        f"<title>Commit graph</title><desc>{escape(str(graph))}</desc>"
        f'<rect {size} rx="8" fill="{CARD}"/>'
    )
    lost = {commit.id for commit in graph.commits if commit.is_lost}
    stroke = 'fill="none" stroke-width="2.5" stroke-linejoin="round" stroke-linecap="round"'
    yield f"<g {stroke}>{_edges(edges, lost)}</g>"
    yield from rows
    yield "</svg>"


def _edges(edges: Iterable[Edge], lost: set[str]) -> str:
    drawn = []
    for edge in edges:
        ways = " ".join(
            f"{'L' if number else 'M'}{_x(point)},{_y(point)}" for number, point in enumerate(edge.points)
        )
        dashes = ' stroke-dasharray="4 4"' if edge.child in lost else ""
        side = max(point.lane for point in edge.points[:2])  # a merge's second edge has its branch's colour
        drawn.append(f'<path d="{ways}" stroke="{_colour(side)}"{dashes}/>')
    return "".join(drawn)


def _row(graph: CommitGraph, commit: Commit, place: Point, at: float) -> tuple[str, float]:
    """A commit's dot and words, and where they end."""
    x, y, colour = _x(place), _y(place), _colour(place.lane)
    if commit.is_lost:
        dot = f'fill="{CARD}" stroke="{colour}" stroke-width="2.5" stroke-dasharray="3 3"'
    else:
        dot = f'fill="{colour}" stroke="{CARD}" stroke-width="2"'
    parts = [f'<circle cx="{x}" cy="{y}" r="{RADIUS}" {dot}/>']
    if graph.ids:
        parts.append(f'<text x="{at}" y="{y + 4.5}" fill="{PALE}">{commit.id[:7]}</text>')
        at += COLUMN * 8
    for text, kind in _labels(graph, commit):
        wide = round(COLUMN * _columns(text) + 14, 1)
        fill, ink = {"head": (INK, "#ffffff"), "branch": (colour, "#ffffff")}.get(kind, ("#ffffff", INK))
        outline = {"remote": ' stroke-dasharray="4 3"', "ref": ' stroke-dasharray="1 3"'}.get(kind, "")
        shape = f'height="21" rx="{3 if kind == "tag" else 10}" fill="{fill}" stroke="{INK}"{outline}'
        parts.append(f'<rect x="{at:.1f}" y="{y - 10.5}" width="{wide}" {shape}/>')
        middle = f'x="{at + wide / 2:.1f}" y="{y + 4.5}" text-anchor="middle" font-weight="600"'
        parts.append(f'<text {middle} fill="{ink}">{escape(text)}</text>')
        at += wide + 6
    style = f'fill="{PALE}" font-style="italic"' if commit.is_lost else f'fill="{INK}"'
    parts.append(f'<text x="{at + 2:.1f}" y="{y + 4.5}" {style}>{escape(commit.message)}</text>')
    return "".join(parts), at + 2 + COLUMN * _columns(commit.message)


def _x(point: Point) -> int:
    return LEFT + point.lane * LANE


def _y(point: Point) -> int:
    return TOP + point.row * ROW


def _colour(lane: int) -> str:
    return LANE_COLOURS[lane % len(LANE_COLOURS)]
