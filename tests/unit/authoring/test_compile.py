"""Sources become notebooks that nbgrader understands, the same to the byte each time."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbgrader.nbgraderformat import MetadataValidator

from roadmap_progress import notebooks
from roadmap_progress.authoring import compile as compiler
from roadmap_progress.authoring import exercises, glossary, outline, secrets
from roadmap_progress.authoring.new import lay_out


def compiled(course: Path) -> tuple[nbformat.NotebookNode, nbformat.NotebookNode]:
    notebook = outline.load(course).find("1.1")
    lesson, exercise = outline.sources(course, notebook)
    return (
        compiler.lesson(lesson, notebook, "content/lesson"),
        compiler.solutions(exercises.read(exercise), notebook, "content/exercises"),
    )


def test_nbgrader_accepts_the_metadata(course: Path) -> None:
    _, solutions = compiled(course)
    MetadataValidator().validate_nb(solutions)
    cells = notebooks.cells_by_grade_id(solutions)
    assert list(cells) == ["sums_setup-1", "add_answer", "add_sum", "less_answer", "less_rest", "less_why"]
    assert cells["sums_setup-1"].metadata.nbgrader.locked
    assert cells["add_answer"].metadata.nbgrader.solution
    assert cells["add_sum"].metadata.nbgrader.points == 2
    assert cells["less_why"].cell_type == "markdown"
    assert cells["less_why"].metadata.nbgrader.grade
    assert cells["less_why"].metadata.nbgrader.solution


def test_mistakes_stay_out_of_every_notebook(course: Path) -> None:
    _, solutions = compiled(course)
    assert "return a * b" not in notebooks.dumps(solutions)


def test_two_compilations_are_equal_to_the_byte(course: Path) -> None:
    assert [notebooks.dumps(one) for one in compiled(course)] == [notebooks.dumps(one) for one in compiled(course)]


def test_a_cell_keeps_its_id_when_others_come_and_go(course: Path, exercises_file: Path) -> None:
    before = notebooks.cells_by_grade_id(compiled(course)[1])
    text = exercises_file.read_text(encoding="utf-8")
    exercises_file.write_text(text.replace("Write `add(a, b)`", "New words. Write `add(a, b)`"), encoding="utf-8")
    after = notebooks.cells_by_grade_id(compiled(course)[1])
    assert {name: cell.id for name, cell in before.items()} == {name: cell.id for name, cell in after.items()}


def test_pictures_travel_inside_the_notebook(course: Path) -> None:
    lesson, _ = compiled(course)
    (cell,) = (cell for cell in lesson.cells if cell.get("attachments"))
    assert "![Two and two](attachment:two.svg)" in cell.source
    assert list(cell.attachments["two.svg"]) == ["image/svg+xml"]


def test_every_built_notebook_says_which_file_to_edit(course: Path) -> None:
    for built, edit in zip(compiled(course), ("content/lesson", "content/exercises"), strict=True):
        assert f"Built from {edit}" in built.cells[0].source
        assert built.metadata.roadmap.edit == edit


def test_glossary_links_to_the_lesson(course: Path) -> None:
    page = glossary.render(course, list(outline.load(course).ready()))
    assert "**sum**\n: What comes of adding. ([1.1](01-foundations/1.1-sums.ipynb))" in page


def test_secrets_are_found_where_they_leaked(course: Path, exercises_file: Path) -> None:
    source = exercises.read(exercises_file)
    leaked = notebooks.dumps(compiled(course)[1])
    words = "\n".join(secrets.leaks(source, frozenset(), {"x.ipynb": leaked}))
    assert "holds a line of a solution: 'return a + b  # the sum of both'" in words
    assert "holds a line of a hidden checks" in words
    assert "marker" in words
    assert secrets.leaks(source, frozenset(), {"x.ipynb": notebooks.dumps(compiled(course)[0])}) == []


def test_a_line_that_the_lesson_shows_is_no_secret(exercises_file: Path) -> None:
    source = exercises.read(exercises_file)
    shown = {"return a + b  # the sum of both", "return a - b  # what is left"}
    solutions = {
        line for _, what, lines in secrets.telling_lines(source, shown) if what == "solution" for line in lines
    }
    assert solutions == {"Because subtraction undoes addition."}


def test_a_new_notebook_is_laid_out_and_never_overwritten(course: Path) -> None:
    import pytest

    from roadmap_progress.errors import SourceError

    notebook = outline.load(course).find("1.2")
    written = lay_out(course, notebook)
    assert [path.name for path in written] == ["1.2-later.lesson.md", "1.2-later.exercises.md"]
    with pytest.raises(SourceError, match="nothing was overwritten"):
        lay_out(course, notebook)
