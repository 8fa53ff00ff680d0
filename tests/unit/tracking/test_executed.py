"""What ran in a kernel, held against the learner's file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from roadmap_progress.model import Answer, Exercise, digest
from roadmap_progress.tracking.executed import Executed, Run, Saved, answer_digest, is_attempted, is_stale

if TYPE_CHECKING:
    from pathlib import Path

ONE = Exercise("total", "Total", (Answer("total_answer", "stub"),))
TWO = Exercise("pair", "Pair", (Answer("pair_first", "stub1"), Answer("pair_second", "stub2")))


def saved(at: float = 0.0, **answers: str) -> Saved:
    return Saved(answers, frozenset(), frozenset(), at)


@pytest.mark.parametrize(
    ("exercise", "runs", "file", "expected"),
    [
        (ONE, {"total_answer": "stub"}, None, False),
        (ONE, {"total_answer": "mine"}, None, True),
        (ONE, {}, {"total_answer": "stub"}, False),
        (ONE, {}, {"total_answer": "mine"}, True),
        (ONE, {"total_answer": "stub"}, {"total_answer": "mine"}, False),  # as last executed
        (ONE, {}, None, True),  # nothing is known: the check's own outcome stands
        (TWO, {"pair_first": "stub1", "pair_second": "stub2"}, None, False),
        (TWO, {"pair_first": "stub1", "pair_second": "mine"}, None, True),
        (TWO, {"pair_first": "stub1"}, {"pair_second": "stub2"}, False),
        (Exercise("none", "No answers"), {}, None, True),
    ],
)
def test_attempted_is_any_answer_that_differs_from_the_release(exercise, runs, file, expected):
    found = {name: Run(text, 1.0) for name, text in runs.items()}
    assert is_attempted(exercise, found, saved(**file) if file is not None else None) is expected


def test_stale_is_a_file_saved_later_with_another_text():
    runs = {"total_answer": Run("mine", 10.0)}
    assert is_stale(runs, saved(11.0, total_answer="newer"))
    assert not is_stale(runs, saved(9.0, total_answer="older"))
    assert not is_stale(runs, saved(11.0, total_answer="mine"))
    assert not is_stale(runs, saved(11.0))
    assert not is_stale(runs, None)


def test_one_digest_stands_for_all_answers():
    assert answer_digest(ONE, {}) == ""
    assert answer_digest(ONE, {"total_answer": Run("mine", 1.0)}) == "mine"
    both = {"pair_first": Run("a", 1.0), "pair_second": Run("b", 1.0)}
    assert answer_digest(TWO, both) == digest("a b")
    assert answer_digest(TWO, {"pair_second": Run("b", 1.0)}) == digest(" b")


def test_an_answer_sent_without_metadata_is_known_by_the_files_text():
    executed = Executed()
    executed.remember(Run("mine", 1.0))
    executed.remember(Run("something else", 2.0))
    assert executed.answers(ONE, None) == {}
    assert executed.answers(ONE, saved(total_answer="mine")) == {"total_answer": Run("mine", 1.0)}
    executed.remember(Run("newest", 3.0), "total_answer")
    assert executed.answers(ONE, saved(total_answer="mine")) == {"total_answer": Run("newest", 3.0)}


def test_the_file_is_read_again_when_it_changes(tmp_path: Path):
    def write(text: str, at: int) -> None:
        marks = {"grade_id": "total_answer", "solution": True, "grade": False}
        setup = new_code_cell("N = 1", metadata={"nbgrader": {"grade_id": "s", "solution": False, "grade": False}})
        cells = [setup, new_code_cell(text, metadata={"nbgrader": marks}), new_code_cell("scratch")]
        nbformat.write(new_notebook(cells=cells), path)
        os.utime(path, (at, at))

    path, executed = tmp_path / "1.1-sums.ipynb", Executed()
    assert executed.saved(path) is None
    write("mine", 100)
    found = executed.saved(path)
    assert found == Saved({"total_answer": digest("mine")}, frozenset({digest("N = 1")}), frozenset(), 100.0)
    assert executed.saved(path) is found
    write("my own", 200)
    assert executed.saved(path).answers == {"total_answer": digest("my own")}
    path.write_text('{"cells": [{"cell_type')
    assert executed.saved(path) is None
