"""`roadmap check` says of the learner's copy what autograde would."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from roadmap_progress import notebooks
from roadmap_progress.cli import main
from roadmap_progress.model import EventSource, Outcome
from roadmap_progress.store import Store, path_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def work(course: Any, answers: dict[str, str]) -> Path:
    path: Path = course.answer(course.root / "work" / course.section, answers)
    return path


@pytest.fixture
def roadmap(course: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The `roadmap` command in the course's folder: exit code, what it printed, what it complained about."""
    monkeypatch.delenv("ROADMAP_ROOT", raising=False)
    monkeypatch.chdir(course.root)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def outcomes(report: dict[str, Any]) -> dict[str, tuple[str, float]]:
    checks = [check for exercise in report["exercises"] for check in exercise["checks"]]
    return {check["id"]: (check["outcome"], check["points"]) for check in checks}


def test_a_correct_copy_passes_and_its_essay_waits_for_a_person(course: Any, roadmap: Any) -> None:
    work(course, course.correct)
    code, out, _ = roadmap("check", "1.1", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["hidden_checks_run"] is True
    assert (report["points"], report["possible"]) == (5, 8)
    assert outcomes(report) == {
        "double_values": ("passed", 2), "greet_polite": ("passed", 1), "greet_nobody": ("passed", 2),
        "why_essay": ("by_hand", 0),
    }  # fmt: skip
    with Store(path_for(course.root)) as store:
        events = [event for _, event in store.events()]
    assert {event.check_id: event.outcome for event in events} == dict.fromkeys(
        ("double_values", "greet_polite", "greet_nobody"), Outcome.PASSED
    )
    assert {event.source for event in events} == {EventSource.CHECK}


def test_hidden_checks_are_run_where_they_are_at_hand_and_only_there(course: Any, roadmap: Any) -> None:
    work(course, course.hard_coded)
    code, out, _ = roadmap("check", "1.1", "--json")
    report = json.loads(out)
    assert code == 1
    assert outcomes(report)["double_values"] == ("failed", 0)
    assert "a further check" in report["exercises"][0]["checks"][0]["message"]

    shutil.rmtree(course.root / "solutions")
    code, out, _ = roadmap("check", "1.1")
    assert code == 0
    assert "✓ double (double): 2 of 2 points" in out
    assert "Only the visible checks were run" in out


def test_the_terminal_shows_the_assertions_words_and_the_next_hint(course: Any, roadmap: Any) -> None:
    work(course, {"double_answer": course.wrong["double_answer"]})
    _, shown, _ = roadmap("check", "1.1")
    assert "✗ double (double): 0 of 2 points\n    ✗ double_values: double(2): got 5; expected 4\n" in shown
    assert "→ Stuck? There are 2 hints under the exercise's text; look at hint 1." in shown
    assert "– greet (greet): not attempted, 0 of 3 points" in shown
    work(course, {"double_answer": "def double(value):\n    return 6"})
    assert "look at hint 2." in roadmap("check", "1.1", "double")[1]
    assert "has no exercise 'triple'" in roadmap("check", "1.1", "triple")[2]


def test_an_untouched_copy_is_not_attempted(course: Any, roadmap: Any) -> None:
    work(course, {})
    code, out, _ = roadmap("check", "1.1", "--json")
    report = json.loads(out)
    assert code == 0
    assert {outcome for outcome, _ in outcomes(report).values()} == {"not_attempted"}
    assert report["points"] == 0


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        ("def double(value):\n    while True: pass", "timed_out", "this check did not end within 5 s"),
        ("while True: pass", "timed_out", "your answer did not end within 5 s"),
        ("import os\nos._exit(3)", "crashed", "your answer ended the kernel"),
        ("def double(value): return value +", "crashed", "your answer stopped with SyntaxError"),
        ("def double(value): raise KeyError('what')", "crashed", "KeyError: 'what'"),
    ],
)
def test_what_stops_one_exercise_does_not_stop_the_others(
    course: Any, roadmap: Any, answer: str, outcome: str, words: str
) -> None:
    work(course, {**course.correct, "double_answer": answer})
    code, out, _ = roadmap("check", "1.1", "--json", "--timeout-s", "5")
    report = json.loads(out)
    assert code == 1
    found = outcomes(report)
    assert found["double_values"] == (outcome, 0)
    assert words in report["exercises"][0]["checks"][0]["message"]
    assert (found["greet_polite"], found["greet_nobody"]) == (("passed", 1), ("passed", 2))


def test_checks_come_from_the_course_whatever_the_copy_holds(course: Any, roadmap: Any) -> None:
    path = work(course, {**course.wrong, "double_answer": course.correct["double_answer"]})
    copy = notebooks.read(path)
    cells = notebooks.cells_by_grade_id(copy)
    cells["greet_polite"].source = "pass"
    copy.cells.remove(cells["greet_nobody"])
    copy.cells.remove(cells["warm-up_setup-1"])
    copy.cells.insert(2, notebooks.new_code_cell("helper = 1"))
    notebooks.write(copy, path)
    _, out, _ = roadmap("check", "1.1", "--json")
    report = json.loads(out)
    found = outcomes(report)
    assert found["double_values"] == ("passed", 2)
    assert found["greet_polite"][0] == "crashed"
    assert found["greet_nobody"][0] == "crashed"


def test_a_copy_that_cannot_be_read_is_named_and_what_to_do(course: Any, roadmap: Any) -> None:
    path = work(course, course.correct)
    path.write_text(path.read_text()[:500])
    code, _, complaint = roadmap("check", "1.1")
    assert code == 1
    assert str(path) in complaint
    assert "Start over" in complaint
    assert "Traceback" not in complaint


def test_without_a_copy_it_says_where_to_get_one(course: Any, roadmap: Any) -> None:
    code, _, complaint = roadmap("check", "1.1")
    assert code == 1
    assert "open its exercises from the dashboard" in complaint
    assert not (course.root / "work" / course.section).exists()
    assert "has not been written yet" in roadmap("check", "1.2")[2]
