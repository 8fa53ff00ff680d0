"""Each rule of the bar bites: a good course has no finding, and one change gives the finding that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadmap_progress.authoring import outline
from roadmap_progress.authoring.lint import lint

FEW = "exercises; 4 to 8 are wanted"  # the small course has two: the one rule it breaks


def findings(course: Path) -> list[str]:
    roadmap = outline.load(course)
    found = [str(finding) for finding in lint(course, roadmap, list(roadmap.ready()))]
    assert any(FEW in text for text in found)
    return [text for text in found if FEW not in text]


def test_the_good_course_has_no_findings(course: Path) -> None:
    assert findings(course) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# 1.1 Sums\n", "# Sums\n", "expected '# 1.1 Sums'"),
        ("and predict once more", "and guess", "asks to predict 2 times"),
        ("about 10 minutes", "about 40 minutes", "more than lesson and exercises have together"),
        ("## Pitfalls", "## Traps", "lack 'pitfalls'"),
        ("https://example.org/sum", "https://example.org/other", "lacks the roadmap's own link"),
        ("![Two and two]", "![]", "has no alt text"),
        ("figures/two.svg", "figures/three.svg", "is not there"),
        ("[About sums]", "[here]", "does not say where it leads"),
        ("- [About sums]", "- [x](../notes.md)\n- [About sums]", "leads nowhere from a learner's copy"),
        (':reason: "an object\'s address is chance"\n', "", "without a :reason:"),
        ("object()", "from roadmap_progress import store", ""),
        ("object()", "import roadmap_progress.store", "notebooks get only"),
        ("object()", "dns = dns_hierarchy.start()", "tag it starts-server"),
        ("Sums.\n", "Sums recieve.\n", "spelling"),
    ],
)
def test_lesson_rules(course: Path, lesson_file: Path, old: str, new: str, words: str) -> None:
    text = lesson_file.read_text(encoding="utf-8")
    assert old in text
    lesson_file.write_text(text.replace(old, new, 1), encoding="utf-8")
    found = findings(course)
    assert any(words in one for one in found) if words else found == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (":::{hint} 3\n`a + b`.\n:::\n", "", "has 2 hints of 3"),
        (":::{hint} 3\n`a + b`.", ":::{hint} 4\n`a + b`.", "numbers its hints 1, 2, 4"),
        (":topic: taking-away\n", ":topic: adding\n", "no check that runs grades the topic 'taking-away'"),
        (":topic: adding\n", ":topic: multiplying\n", "the topic 'multiplying' is not 1.1's"),
        ('expect("add(2, 2)", add(2, 2), 4)', "pass", "no line of its hidden block is its own"),
        (":role: answer\n", ":role: answer\n:file: a.toml\n", "first line has to be"),
        ('expect("less(5, 3), further numbers", less(5, 3), 2)', "1 + 1", "ends in a value"),
        ('"less(2, 2): got 4"', '"further numbers: got 0"', "another mistake is caught by"),
        (
            '### BEGIN HIDDEN TESTS\nexpect("add(2, 3), further numbers", add(2, 3), 5)\n### END HIDDEN TESTS\n',
            "",
            "'add' has no hidden check",
        ),
        (
            'expect("add(2, 2)", add(2, 2), 4)\n### BEGIN HIDDEN TESTS\n',
            'expect("add(2, 2)", add(2, 2), four)\n### BEGIN HIDDEN TESTS\nfour = 4\n',
            "reads 'four' where learners see it, but binds it in a hidden part",
        ),
        (
            'expect("add(2, 2)", add(2, 2), 4)\n',
            'expect("add(2, 2)", add(2, 2), 4)\nexpect = None\n',
            "binds 'expect' anew, which a setup cell binds and other cells read",
        ),
        (":id: sum\n", ':id: sum\n:same-process: "for a reason"\n', "one in ten is the most"),
        (":id: sum\n", ':id: sum\n:same-process: "for a reason"\n', "go together"),
    ],
)
def test_exercise_rules(course: Path, exercises_file: Path, old: str, new: str, words: str) -> None:
    text = exercises_file.read_text(encoding="utf-8")
    assert old in text
    text = text.replace(old, new, 1)
    if words.startswith("no line"):
        hidden = 'expect("add(2, 3), further numbers", add(2, 3), 5)\n'
        text = text.replace(hidden, "x = 1\n", 1)
    exercises_file.write_text(text, encoding="utf-8")
    assert any(words in one for one in findings(course))
