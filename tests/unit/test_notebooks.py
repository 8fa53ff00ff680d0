"""Notebook files: clear errors for broken ones, whole files or none, nbgrader's own verdicts."""

from __future__ import annotations

import io
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadmap_progress import notebooks
from roadmap_progress.errors import NotebookError
from roadmap_progress.model import digest


def sample() -> notebooks.NotebookNode:
    check = notebooks.new_code_cell("assert answer == 42", id="check")
    notebooks.add_nbgrader_metadata(check, "life_check", grade=True, points=3)
    answer = notebooks.new_code_cell("answer = ...", id="answer")
    notebooks.add_nbgrader_metadata(answer, "life_answer", solution=True)
    made: notebooks.NotebookNode = notebooks.new_notebook(
        cells=[notebooks.new_markdown_cell("Größe – 王", id="text"), answer, check]
    )
    return made


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sample.ipynb"
    notebooks.write(sample(), path)
    assert notebooks.read(path) == sample()
    assert list(notebooks.cells_by_grade_id(notebooks.read(path))) == ["life_answer", "life_check"]


def test_the_bytes_are_nbformats(tmp_path: Path) -> None:
    stream = io.StringIO()
    nbformat.write(sample(), stream)
    assert notebooks.dumps(sample()) == stream.getvalue()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no complete notebook"),
        (notebooks.dumps(sample())[:200], "no complete notebook"),
        ("[]", "no notebook of format 4"),
        ('{"nbformat": 3, "worksheets": []}', "no notebook of format 4"),
        ('{"nbformat": 4, "cells": 7}', "no notebook of format 4"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}', "not a valid"),
    ],
)
def test_a_broken_file_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NotebookError, match=words):
        notebooks.read(path)


def test_a_missing_file_and_wrong_bytes_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="there is no such notebook"):
        notebooks.read(tmp_path / "none.ipynb")
    (tmp_path / "latin.ipynb").write_bytes(b'{"x": "\xff"}')
    with pytest.raises(NotebookError, match="cannot be read"):
        notebooks.read(tmp_path / "latin.ipynb")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(min_value=0, max_value=600))
def test_a_file_cut_off_anywhere_is_an_error_and_never_another(tmp_path: Path, cut: int) -> None:
    text = notebooks.dumps(sample()).encode()
    path = tmp_path / "cut.ipynb"
    path.write_bytes(text[: min(cut, len(text) - 3)])
    with pytest.raises(NotebookError):
        notebooks.read(path)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "sample.ipynb"
    notebooks.write(sample(), path)
    before = path.read_bytes()
    broken = sample()
    broken.cells[0].cell_type = "poem"
    with pytest.raises(NotebookError, match="not valid"):
        notebooks.write(broken, path)
    with pytest.raises(UnicodeEncodeError):  # fails in the middle of writing
        notebooks.write_text_atomically(path, "x" * 100_000 + "\ud800")
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["sample.ipynb"]


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(NotebookError, match="the old file is as it was"):
        notebooks.write(sample(), tmp_path / "file" / "sample.ipynb")


def test_points_are_nbgraders() -> None:
    check = notebooks.cells_by_grade_id(sample())["life_check"]
    assert notebooks.awarded_points(check) == 3
    check.outputs = [nbformat.v4.new_output("stream", name="stderr", text="a warning")]
    assert notebooks.awarded_points(check) == 0
    check.outputs = [nbformat.v4.new_output("error", ename="AssertionError", evalue="no", traceback=[])]
    assert notebooks.awarded_points(check) == 0
    assert notebooks.error_of(check) == ("AssertionError", "no")


@given(text=st.text(), before=st.text(alphabet=" \n\t"), after=st.text(alphabet=" \n\t"))
def test_white_space_at_the_ends_changes_no_digest(text: str, before: str, after: str) -> None:
    assert digest(before + text.strip() + after) == digest(text)
