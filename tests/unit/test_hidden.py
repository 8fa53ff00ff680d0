"""Where hidden parts are, and what gives them away."""

from __future__ import annotations

from roadmap_progress.hidden import (
    ELLIPSIS,
    arrow_line,
    frames,
    giveaways,
    hidden_lines,
    plain,
    without_hidden,
)

SOURCE = """\
expect(f(1), 1)
### BEGIN HIDDEN TESTS
secret_total = 4711
expect(f("Zanzibar"), f"<{secret_total}>")
### END HIDDEN TESTS
expect(f(2), 2)
### BEGIN HIDDEN TESTS
expect(f(3), 3)
### END HIDDEN TESTS"""


def test_hidden_lines_are_those_from_marker_to_marker() -> None:
    assert hidden_lines(SOURCE) == {2, 3, 4, 5, 7, 8, 9}
    assert hidden_lines("a\n# BEGIN HIDDEN TESTS\nb\nc") == {2, 3, 4}, "an unended block goes on to the end"
    assert hidden_lines("a\nb") == frozenset()


def test_the_source_without_them_is_the_release_or_says_that_there_is_more() -> None:
    assert without_hidden(SOURCE) == "expect(f(1), 1)\nexpect(f(2), 2)"
    assert without_hidden(SOURCE, ELLIPSIS) == f"expect(f(1), 1)\n{ELLIPSIS}\nexpect(f(2), 2)\n{ELLIPSIS}"


def test_lines_and_values_give_a_hidden_part_away_unless_they_are_public() -> None:
    lines, values = giveaways(SOURCE, public="expect(f(3), 3)")
    assert lines == {"secret_total = 4711", 'expect(f("Zanzibar"), f"<{secret_total}>")'}
    assert values == {"4711", "Zanzibar"}
    assert giveaways(SOURCE, public="the island of Zanzibar")[1] == {"4711"}


def test_a_hidden_part_that_is_no_python_still_has_lines() -> None:
    lines, values = giveaways("# BEGIN HIDDEN TESTS\n!ls /nowhere\n# END HIDDEN TESTS", public="")
    assert (lines, values) == ({"!ls /nowhere"}, frozenset())


def test_frames_are_found_in_what_ipython_prints() -> None:
    traceback = [
        "\x1b[31m------\x1b[39m",
        "\x1b[36mCell\x1b[39m \x1b[32mIn[3]\x1b[39m, line 5\n      4 a\n----> 5 b(c,\n      6   d)",
        "File /usr/lib/json.py:3, in loads(s)\n----> 3 x",
        "\x1b[36mCell In[2], line 1, in b(c)\x1b[39m\n----> 1 1/0",
        "AssertionError: words",
    ]
    found = frames(traceback)
    assert [(cell, line) for cell, line, _ in found] == [(3, 5), (2, 1)]
    assert [arrow_line(text) for _, _, text in found] == ["b(c,", "1/0"]
    assert plain("\x1b[31;1mx\x1b[0m") == "x"
