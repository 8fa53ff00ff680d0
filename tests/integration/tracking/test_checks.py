"""What becomes of a check cell that a learner runs in JupyterLab: real kernels, cells sent with their metadata."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient
from nbgrader.utils import determine_grade

from roadmap_progress.model import Outcome, digest
from roadmap_progress.store import path_for

if TYPE_CHECKING:
    from pathlib import Path

RIGHT = "def total(prices):\n    return sum(prices)"
WRONG = "def total(prices):\n    return 4"


def outcomes(course) -> list[tuple[str, str, float]]:
    return [(event.check_id, event.outcome.value, event.points) for event in course.events()]


def test_a_right_answer_is_recorded_with_its_points_and_digests(course):
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run(RIGHT, "total_answer")
        ran = kernel.check("total_sum")
    assert ran.status == "ok"
    assert ran.text.strip() == "✓ Passed · 2 points"
    (event,) = course.events()
    assert (event.check_id, event.outcome, event.points) == ("total_sum", Outcome.PASSED, 2.0)
    assert (event.check_version, event.answer_digest) == ("v-total_sum", digest(RIGHT))


def test_a_failed_check_shows_the_assertions_words_first_and_stops_run_all(course):
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run(WRONG, "total_answer")
        ran = kernel.check("total_sum")
        full = kernel.run("%tb")
    assert ran.status == "error"
    lines = ran.text.splitlines()
    assert lines[0] == "✗ total([1, 2]) returned 4; expected 3"
    assert len(lines) <= 4
    assert "Traceback (most recent call last)" in full.text  # %tb still has it all
    assert outcomes(course) == [("total_sum", "failed", 0.0)]


def test_an_assertion_without_words_shows_its_line(course):
    with course.kernel() as kernel:
        kernel.run(WRONG, "total_answer")
        ran = kernel.check("total_empty")
    assert "---->   1 assert total([]) == 0" in ran.text
    assert outcomes(course) == [("total_empty", "failed", 0.0)]


def test_an_untouched_answer_is_one_calm_sentence_and_run_all_goes_on(course):
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.check("total_answer")
        ran = kernel.check("total_sum")
    assert ran.status == "ok"
    assert ran.errors == []
    assert ran.text.startswith("○ Not attempted yet")
    assert "stderr" not in ran.streams
    assert outcomes(course) == [("total_sum", "not_attempted", 0.0)]


def test_with_several_answers_one_that_was_changed_is_an_attempt(course):
    with course.kernel() as kernel:
        kernel.check("pair_first")
        kernel.check("pair_second")
        untouched = kernel.check("pair_sum")
        kernel.run("first = 1", "pair_first")
        kernel.check("pair_sum")
        kernel.run("second = 2", "pair_second")
        kernel.check("pair_sum")
    assert untouched.status == "ok"
    assert [outcome for _, outcome, _ in outcomes(course)] == ["not_attempted", "crashed", "passed"]


def test_a_crash_in_the_learners_code_shows_their_own_lines(course):
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run("def total(prices):\n    count = 0\n    return sum(prices) / count", "total_answer")
        ran = kernel.check("total_sum")
    assert ran.text.splitlines()[0] == "✗ ZeroDivisionError: division by zero"
    assert "In your answer, line 3, in total:" in ran.text
    assert "---->   3     return sum(prices) / count" in ran.text
    assert ran.status == "error"
    assert outcomes(course) == [("total_sum", "crashed", 0.0)]


def test_an_answer_that_was_not_run_is_said_so_not_shown_as_a_name_error_wall(course):
    course.save(total_answer=RIGHT)
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        ran = kernel.check("total_sum")
    assert "The answer cell has not been run since the kernel started" in ran.text
    assert ran.status == "error"


def test_a_setup_cell_that_was_not_run_is_named(course):
    course.save(total_answer=RIGHT)
    with course.kernel() as kernel:
        kernel.run(RIGHT, "total_answer")
        ran = kernel.check("total_sum")
    assert "name 'PRICES' is not defined" in ran.text
    assert "A setup cell has not been run" in ran.text


def test_an_answer_with_a_syntax_error_is_an_attempt_that_the_check_points_at(course):
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        broken = kernel.run("def total(prices) return 3", "total_answer")
        ran = kernel.check("total_sum")
    assert "SyntaxError" in broken.text
    assert "The answer cell stopped with SyntaxError" in ran.text
    assert outcomes(course) == [("total_sum", "crashed", 0.0)]


def test_a_changed_answer_that_was_saved_but_not_run_again_is_pointed_out(course):
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run(WRONG, "total_answer")
        course.save(total_answer=RIGHT)
        os.utime(course.copy, (time.time() + 5, time.time() + 5))
        stale = kernel.check("total_sum")
        kernel.run(RIGHT, "total_answer")
        fresh = kernel.check("total_sum")
    assert "your answer was changed after you last ran it" in stale.text
    assert "changed after" not in fresh.text
    assert [event.answer_digest for event in course.events()] == [digest(WRONG), digest(RIGHT)]


def test_a_file_saved_before_the_answer_ran_says_nothing_about_it(course):
    course.save(total_answer=WRONG)
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run(RIGHT, "total_answer")
        ran = kernel.check("total_sum")
    assert "changed after" not in ran.text


@pytest.mark.parametrize(
    "noise",
    ["import warnings; warnings.warn('careful')", "import os; os.system('echo careful >&2')"],
    ids=["a warning", "a child process"],
)
def test_stderr_takes_the_points_here_as_in_nbgrader_each_time(course, noise):
    answer = f"def total(prices):\n    {noise}\n    return sum(prices)"
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run(answer, "total_answer")
        first, second = kernel.check("total_sum"), kernel.check("total_sum")
    assert first.status == second.status == "error"
    assert "nbgrader gives no points" in first.text
    assert outcomes(course) == [("total_sum", "failed", 0.0)] * 2


def test_a_number_as_last_value_is_partial_credit_as_in_nbgrader(course):
    with course.kernel() as kernel:
        kernel.run("share = 0.5", "partial_answer")
        ran = kernel.check("partial_credit")
        kernel.run("share = 2", "partial_answer")
        kernel.check("partial_credit")
    assert "0.5 of 2 points" in ran.text
    assert outcomes(course) == [("partial_credit", "failed", 0.5), ("partial_credit", "passed", 2.0)]


def test_a_check_that_awaits_is_judged_like_any_other(course):
    with course.kernel() as kernel:
        kernel.run("async def later():\n    return 2", "later_answer")
        wrong = kernel.check("later_value")
        kernel.run("async def later():\n    return 1", "later_answer")
        right = kernel.check("later_value")
        kernel.check("later_answer")
        untouched = kernel.check("later_value")
    assert (wrong.status, right.status, untouched.status) == ("error", "ok", "ok")
    assert wrong.text.startswith("✗ later() is not 1")
    assert [outcome for _, outcome, _ in outcomes(course)] == ["failed", "passed", "not_attempted"]


SLOW = "import time\ndef slow():\n    print('on', flush=True)\n    time.sleep(60)"
# ipykernel 7.4 sees the interrupt of an await only when its loop wakes, tracked or not: here ten times a second.
SLOW_AWAIT = (
    "import asyncio\nasync def later():\n    print('on', flush=True)\n"
    "    for _ in range(600):\n        await asyncio.sleep(0.1)"
)


@pytest.mark.parametrize(
    ("check", "answer"), [("slow_wait", SLOW), ("later_value", SLOW_AWAIT)], ids=["a call", "an await"]
)
def test_an_interrupted_check_records_nothing_and_the_next_one_works(course, check, answer):
    with course.kernel() as kernel:

        def interrupt() -> None:
            while True:
                message = kernel.client.get_iopub_msg(timeout=60)
                if message["msg_type"] == "stream" and "on" in message["content"]["text"]:
                    break
            kernel.manager.interrupt_kernel()

        kernel.run(answer, check.split("_")[0] + "_answer")
        ran = kernel.check(check, during=interrupt)
        assert ran.status == "error"
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run(RIGHT, "total_answer")
        kernel.check("total_sum")
    assert outcomes(course) == [("total_sum", "passed", 2.0)]


def test_magics_forks_and_cells_that_run_cells_are_harmless(course):
    with course.kernel() as kernel:
        for source in ("%%time\n1", "%%writefile f.txt\nhello", "", "get_ipython().run_cell('1 + 1')", "?print"):
            assert kernel.run(source).status == "ok"
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run(
            "import os\ndef total(prices):\n    get_ipython().run_cell('1 / 1')\n    child = os.fork()\n"
            "    if child == 0:\n        os._exit(0)\n    os.waitpid(child, 0)\n    return sum(prices)",
            "total_answer",
        )
        kernel.check("total_sum")
    assert outcomes(course) == [("total_sum", "passed", 2.0)]


def test_a_restarted_kernel_has_forgotten_what_ran(course):
    course.save(total_answer=RIGHT)
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run(RIGHT, "total_answer")
        kernel.check("total_sum")
        kernel.manager.restart_kernel(now=False)
        kernel.client.wait_for_ready(timeout=60)
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        ran = kernel.check("total_sum")
    assert "has not been run since the kernel started" in ran.text
    assert [event.answer_digest for event in course.events()] == [digest(RIGHT), ""]


def test_a_killed_kernel_loses_nothing_that_was_shown(course):
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run(RIGHT, "total_answer")
        kernel.check("total_sum")
        deadline = time.monotonic() + 10
        while not course.events() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(kernel.manager.provisioner.pid, signal.SIGKILL)
    assert outcomes(course) == [("total_sum", "passed", 2.0)]


def test_two_kernels_at_once_lose_nothing(course):
    with course.kernel() as one, course.kernel() as other:
        for kernel in (one, other):
            kernel.run("PRICES = [1, 2]", "sums_setup-1")
            kernel.run(RIGHT, "total_answer")
        for _ in range(25):
            for kernel in (one, other):
                kernel.check("total_sum")
                kernel.check("total_empty")
    found = outcomes(course)
    assert len(found) == 100
    assert {outcome for _, outcome, _ in found} == {"passed"}


def test_an_edited_check_is_shown_but_does_not_count_as_the_courses(course):
    with course.kernel() as kernel:
        kernel.run(RIGHT, "total_answer")
        ran = kernel.run("assert True", "total_sum")
    assert "the text of this check is not the course's" in ran.text
    assert course.events()[0].check_version == f"other-{digest('assert True')}"


def test_a_new_version_of_the_course_is_noticed_without_a_restart(course, course_data):
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run(RIGHT, "total_answer")
        kernel.check("total_sum")
        course_data["sections"][0]["notebooks"][0]["exercises"][0]["checks"][0]["version"] = "v2"
        course.write_roadmap(course_data)
        kernel.check("total_sum")
        (course.root / "course" / "roadmap.json").write_text("{ half of a fi", encoding="utf-8")
        kernel.check("total_sum")
    assert [event.check_version for event in course.events()] == ["v-total_sum", "v2", "v2"]


@pytest.mark.parametrize("trouble", ["corrupt", "folder"])
def test_trouble_with_the_store_is_told_once_and_breaks_no_cell(course, trouble):
    store = path_for(course.root)
    if trouble == "corrupt":
        store.parent.mkdir(parents=True)
        store.write_bytes(b"this is no database" * 100)
    else:
        store.mkdir(parents=True)
    with course.kernel() as kernel:
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        kernel.run(RIGHT, "total_answer")
        runs = [kernel.check("total_sum") for _ in range(3)]
        time.sleep(0.2)
        runs.append(kernel.run("1 + 1"))
    assert {run.status for run in runs} == {"ok"}
    said = "".join(run.text for run in runs)
    if trouble == "corrupt":
        assert said.count("was set aside as progress.sqlite.corrupt-") == 1
        assert outcomes(course) == [("total_sum", "passed", 2.0)] * 3
    else:
        assert said.count("Your progress is not being recorded") == 1


def test_a_course_that_cannot_be_read_is_told_once_and_breaks_no_cell(course):
    (course.root / "course" / "roadmap.json").write_text("{}", encoding="utf-8")
    with course.kernel() as kernel:
        first, second = kernel.run("print(1)"), kernel.run("print(2)")
    assert "stopped recording your progress" in first.streams["stderr"]
    assert (first.streams["stdout"], second.text.strip()) == ("1\n", "2")


@pytest.mark.parametrize("where", ["exercises", "classroom/submitted/work/01-foundations"])
def test_outside_work_nothing_is_recorded_and_no_output_is_changed(course, where):
    folder = course.root / where
    folder.mkdir(parents=True)
    with course.kernel(cwd=folder) as kernel:
        kernel.run(WRONG, "total_answer")
        kernel.run("PRICES = [1, 2]", "sums_setup-1")
        ran = kernel.check("total_sum")
        loaded = kernel.run("import sys; print('roadmap_progress.tracking.tracker' in sys.modules)")
    assert "Traceback (most recent call last)" in ran.text
    assert course.events() == []
    assert not path_for(course.root).exists()
    assert loaded.text.strip() == str("work" in where)


def test_jupyterlabs_word_for_the_notebook_goes_before_the_working_folder(course, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with course.kernel(cwd=elsewhere, JPY_SESSION_NAME=str(course.copy)) as kernel:
        kernel.run("def total(prices):\n    return 0", "total_answer")
        kernel.check("total_empty")
    assert outcomes(course) == [("total_empty", "passed", 1.0)]


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {
            "total_answer": RIGHT,
            "later_answer": "async def later():\n    return 1",
            "partial_answer": "share = 0.5",
        },
        {"total_answer": WRONG, "pair_first": "first = 1", "pair_second": "second = 2"},
        {"total_answer": RIGHT.replace(":\n", ":\n    import sys; sys.stderr.write('!')\n")},
    ],
    ids=["untouched", "right", "wrong", "stderr"],
)
def test_without_metadata_the_verdict_is_still_that_of_nbgraders_autograder(course, answers, tmp_path):
    """nbclient sends no metadata; the same notebook run outside `work/` is graded by `determine_grade`."""
    course.save(**answers)
    run(course.copy, course.copy.parent)
    theirs = run(course.copy, tmp_path)
    expected = {}
    for cell in theirs.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            expected[cell.metadata.nbgrader.grade_id] = determine_grade(cell)[0]
    stored = {event.check_id: event for event in course.events()}
    assert set(stored) == set(expected)
    for name, event in stored.items():
        if event.outcome is not Outcome.NOT_ATTEMPTED:
            assert (name, event.points) == (name, expected[name])
        else:  # by name, not by points: in the lesson's own notebooks a stub earns none
            assert not any(answer.startswith(name.split("_")[0]) for answer in answers)


def run(path: Path, cwd: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(cwd)}}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ROADMAP_ROOT", raising=False)
        patch.delenv("JPY_SESSION_NAME", raising=False)
        client.execute()
    return notebook


def test_a_thousand_events_of_one_kernel_are_all_there(course):
    with course.kernel() as kernel:
        kernel.run(WRONG.replace("4", "0"), "total_answer")
        for _ in range(1000):
            kernel.check("total_empty")
    assert len(course.events()) == 1000
