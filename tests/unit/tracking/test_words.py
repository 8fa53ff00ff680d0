"""What a learner reads: the words first, then where it happened, and never a wall."""

from __future__ import annotations

import linecache
import re

from roadmap_progress.model import digest
from roadmap_progress.tracking import words

ANSWER = "def total(prices):\n    count = 0\n    return sum(prices) / count"
SETUP = "def helper(function):\n    return function([1])"
CHECK = "got = helper(total)\nassert got == 1"


def plain(lines: list[str]) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]


def raised(*sources: str) -> BaseException:
    """What the last of these cells raises, each compiled as ipykernel does."""
    namespace: dict[str, object] = {}
    for number, source in enumerate(sources):
        name = f"/tmp/ipykernel_1/{number}.py"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        try:
            exec(compile(source, name, "exec"), namespace)  # noqa: S102  what a kernel does
        except Exception as error:  # noqa: BLE001
            return error
    raise AssertionError("nothing was raised")


def place(error: BaseException) -> words.Line | None:
    answers = {digest(ANSWER): "your answer", digest(SETUP): ""}
    return words.place_of(error, error.__traceback__, lambda found: answers.get(found, "your cell"), digest(CHECK))


def test_the_innermost_line_of_the_learners_own_code_is_shown():
    error = raised(SETUP, ANSWER, CHECK)
    where = place(error)
    assert (where.whose, where.number, where.function) == ("your answer", 3, "total")
    assert plain(words.problem(error, most=2, where=where, advice="")) == [
        "✗ ZeroDivisionError: division by zero",
        "",
        "In your answer, line 3, in total:",
        "        1 def total(prices):",
        "        2     count = 0",
        "---->   3     return sum(prices) / count",
        "",
        "0 of 2 points · %tb in a cell of its own shows the whole traceback",
    ]


def test_a_crash_in_the_course_s_code_shows_the_check_not_its_helpers():
    where = place(raised(SETUP, "total = None", CHECK))
    assert (where.whose, where.number) == ("this check", 1)


def test_an_assertion_with_words_needs_no_place_and_one_without_shows_its_line():
    silent = "def helper(function): return 2\ntotal = 0"
    telling = "def helper(function): raise AssertionError('no')"
    error = raised(SETUP, "total = None", "assert None, 'no'")
    assert words.place_of(error, error.__traceback__, lambda _: "", digest(CHECK)) is None
    assert place(raised(telling, "total = 0", CHECK)).whose == "your cell"  # an assertion of the learner's own
    where = place(raised(silent, CHECK))
    assert (where.whose, where.number) == ("this check", 2)


def test_advice_comes_after_the_words():
    error = raised("missing")
    lines = plain(words.problem(error, most=1, where=None, advice=words.ANSWER_NOT_RUN))
    assert lines[0] == "✗ NameError: name 'missing' is not defined"
    assert lines[2] == words.ANSWER_NOT_RUN
    assert lines[-1].startswith("0 of 1 point ·")


def test_a_message_of_megabytes_is_cut_and_says_so():
    lines = plain(words.problem(AssertionError("x" * 5000), most=1, where=None, advice=""))
    assert len(lines[0]) < 4100
    assert lines[0].endswith("… (1000 more characters)")


def test_an_exception_that_cannot_be_shown_does_not_break_the_words():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    assert plain(words.problem(Mute(), most=1, where=None, advice=""))[0] == "✗ Mute"


def test_points_are_counted_in_words():
    assert plain([words.passed(1), words.passed(2.5), words.partly(0.5, 2)]) == [
        "✓ Passed · 1 point",
        "✓ Passed · 2.5 points",
        "✗ Not all yet · 0.5 of 2 points",
    ]
