"""A repository's commits as a picture: what leads where, and no edge on another."""

from __future__ import annotations

import os
import random
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest

import roadmap_progress
from roadmap_progress.errors import GraphError
from roadmap_progress.graphs import CARD, INK, LANE_COLOURS, PALE, Commit, Point, commit_graph, lay_out
from roadmap_progress.processes import run

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
       for what, value in (("NAME", "Ada"), ("EMAIL", "ada@bookshop.example"), ("DATE", "1700000000 +0000"))},
}  # fmt: skip


def git(repository, *arguments):
    done = run(["git", "-C", repository, *arguments], env=ENVIRONMENT, timeout_s=60)
    assert done.ok, done.stderr
    return done.stdout.strip()


@pytest.fixture
def shop(tmp_path):
    """main with two commits, prices with one more."""
    path = tmp_path / "shop"
    git(tmp_path, "init", "-q", "-b", "main", path)
    git(path, "commit", "-q", "--allow-empty", "-m", "Open the shop")
    git(path, "switch", "-q", "-c", "prices")
    git(path, "commit", "-q", "--allow-empty", "-m", "Raise prices")
    git(path, "switch", "-q", "main")
    git(path, "commit", "-q", "--allow-empty", "-m", "Add poems")
    return path


def texts(graph):
    return [element.text for element in ET.fromstring(graph._repr_svg_()).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314


def test_it_is_public():
    assert roadmap_progress.commit_graph is commit_graph


def test_picture_and_words_say_names_head_messages_and_parents(shop):
    git(shop, "merge", "-q", "--no-ff", "-m", "Merge prices", "prices")
    git(shop, "tag", "-a", "v1", "-m", "first", "prices")
    git(shop, "update-ref", "refs/remotes/origin/main", "main~1")
    git(shop, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    graph = commit_graph(shop, ids=False)
    assert str(graph).splitlines() == [
        "● “Merge prices” (HEAD → main) ← “Add poems”, “Raise prices”",
        "● “Raise prices” (prices, tag: v1) ← “Open the shop”",
        "● “Add poems” (origin/main) ← “Open the shop”",
        "● “Open the shop”",
    ]
    assert texts(graph) == [
        "HEAD → main", "Merge prices",
        "prices", "tag: v1", "Raise prices",
        "origin/main", "Add poems",
        "Open the shop",
    ]  # fmt: skip
    short = git(shop, "rev-parse", "--short=7", "prices")
    assert f"● {short} (prices, tag: v1) Raise prices ← " in str(commit_graph(shop))
    assert short in texts(commit_graph(shop))


def test_the_same_repository_gives_the_same_picture(shop):
    assert commit_graph(shop)._repr_svg_() == commit_graph(str(shop))._repr_svg_()


def test_the_trunk_is_straight(shop):
    for trunk, messages in (
        ("main", {"Add poems", "Open the shop"}),
        ("prices", {"Raise prices", "Open the shop"}),
    ):
        graph = commit_graph(shop, trunk=trunk)
        places, _ = lay_out(graph.commits, graph.trunk)
        assert {c.message for c in graph.commits if places[c.id].lane == 0} == messages
    assert commit_graph(shop, trunk="nowhere").trunk == commit_graph(shop, trunk="main").trunk  # where HEAD is


def test_a_detached_head_is_said_to_be_detached(shop):
    git(shop, "switch", "-q", "--detach", "prices~1")
    assert "● “Open the shop” (HEAD (detached))" in str(commit_graph(shop, ids=False))


def test_what_no_ref_leads_to_is_drawn_only_if_asked_for_and_hollow(shop):
    lost = git(shop, "rev-parse", "prices")
    git(shop, "branch", "-q", "-D", "prices")
    assert "Raise prices" not in str(commit_graph(shop))
    graph = commit_graph(shop, lost)
    assert f"○ {lost[:7]} Raise prices" in str(graph)
    assert "stroke-dasharray" in graph._repr_svg_()
    assert "stroke-dasharray" not in commit_graph(shop)._repr_svg_()


def test_other_refs_name_what_is_shown(shop):
    git(shop, "update-ref", "refs/stash", git(shop, "commit-tree", "-m", "WIP", "-p", "main", "main^{tree}"))
    assert "WIP" not in str(commit_graph(shop))
    assert "● “WIP” (stash) ← “Add poems”" in str(commit_graph(shop, "refs/stash", ids=False))


def test_a_repository_without_commits(tmp_path):
    git(tmp_path, "init", "-q", "-b", "trunk", tmp_path)
    assert str(commit_graph(tmp_path)) == "no commits yet; HEAD → trunk"
    assert texts(commit_graph(tmp_path)) == ["no commits yet; HEAD → trunk"]


def test_an_unborn_branch_beside_others(shop):
    git(shop, "switch", "-q", "--orphan", "empty")
    assert "HEAD" not in str(commit_graph(shop))
    assert len(commit_graph(shop).commits) == 3


def test_a_bare_repository(shop, tmp_path):
    git(tmp_path, "clone", "-q", "--bare", shop, "bare.git")
    assert str(commit_graph(tmp_path / "bare.git")) == str(commit_graph(shop))


def test_a_shallow_clone_ends_where_it_ends(shop, tmp_path):
    git(tmp_path, "clone", "-q", "--depth", "1", shop.as_uri(), "shallow")
    assert [commit.message for commit in commit_graph(tmp_path / "shallow").commits] == ["Add poems"]


def test_the_users_own_settings_change_nothing(shop, monkeypatch, tmp_path):
    expected = str(commit_graph(shop))
    (tmp_path / "config").write_text("[core]\n\tabbrev = 20\n[broken\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert str(commit_graph(shop)) == expected


def test_a_message_cannot_break_the_picture(shop):
    git(shop, "commit", "-q", "--allow-empty", "-m", "<b> & \x1b[31m" + "long " * 20)
    message = commit_graph(shop).commits[0].message
    assert message.startswith("<b> & �[31mlong ")
    assert (len(message), message[-1]) == (60, "…")
    assert message in texts(commit_graph(shop))


def test_what_cannot_be_read_is_said(shop, tmp_path):
    with pytest.raises(GraphError, match="not a git repository"):
        commit_graph(tmp_path)
    (shop / "inside").mkdir()
    with pytest.raises(GraphError, match="not a git repository"):  # nor a folder inside one
        commit_graph(shop / "inside")
    with pytest.raises(GraphError, match="cannot run git"):
        commit_graph(tmp_path / "nowhere")
    with pytest.raises(GraphError, match="Needed a single revision"):
        commit_graph(shop, "nobody")


def histories(count):
    """Commits with up to three parents among the ones before them, newest first, and a chain of first parents."""
    for seed in range(count):
        chance = random.Random(seed)
        made: list[Commit] = []
        for number in range(chance.randint(1, 25)):
            parents = chance.sample(made[-6:], min(len(made[-6:]), chance.choice([0, 1, 1, 1, 2, 2, 3])))
            made.append(Commit(str(number), tuple(parent.id for parent in parents), ""))
        known = {commit.id: commit for commit in made}
        chain, tip = set(), chance.choice(made).id
        while tip:
            chain.add(tip)
            tip = next(iter(known[tip].parents), "")
        yield made[::-1], frozenset(chain)


def steps(edge):
    """Its parts from one row to the next."""
    for start, end in zip(edge.points, edge.points[1:], strict=False):
        if end.row == start.row + 1:
            yield start, end
        else:
            assert start.lane == end.lane
            yield from ((Point(start.lane, row), Point(start.lane, row + 1)) for row in range(start.row, end.row))


def test_no_edge_lies_on_another_or_passes_through_a_commit():
    for commits, trunk in histories(300):
        places, edges = lay_out(commits, trunk)
        assert {(edge.child, edge.parent) for edge in edges} == {(c.id, p) for c in commits for p in c.parents}
        assert all(
            edge.points[0] == places[edge.child] and edge.points[-1] == places[edge.parent] for edge in edges
        )
        assert {commit.id for commit in commits if places[commit.id].lane == 0} == trunk
        assert len(set(places.values())) == len(commits)
        for one, other in combinations(edges, 2):
            assert not set(steps(one)) & set(steps(other))
        dots = set(places.values())
        for edge in edges:
            assert not {end for _, end in list(steps(edge))[:-1]} & dots


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [*LANE_COLOURS, INK, PALE])
def test_every_colour_can_be_read_on_the_card(colour):
    """The picture brings its own background, so a theme makes no difference. WCAG AA: 4.5 to 1."""
    assert (luminance(CARD) + 0.05) / (luminance(colour) + 0.05) >= 4.5
