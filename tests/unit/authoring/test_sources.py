"""What an author gets wrong is named with file, line and mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadmap_progress.authoring import exercises, markdown
from roadmap_progress.authoring.sources import SourceCell, read_cells
from roadmap_progress.errors import SourceError


def broken(path: Path, old: str, new: str) -> tuple[Path, int]:
    """Replace `old` in the file; returns it and the 1-based line where the change begins."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path, text[: text.index(old)].count("\n") + 1


def test_cells_know_their_lines_and_options(exercises_file: Path) -> None:
    lines = exercises_file.read_text(encoding="utf-8").splitlines()
    for cell in read_cells(exercises_file):
        assert cell.text.splitlines()[0] in lines[cell.line - 1 :]
        if cell.kind == "code":
            assert lines[cell.line - 1].startswith("```{code-cell}")
        else:
            assert lines[cell.line - 1] == cell.text.splitlines()[0]


@pytest.mark.parametrize(
    ("old", "new", "offset", "words"),
    [
        (':caught-by: "add(2, 2): got 0"', ":caught-by: add(2, 2): got 0", 0, "quoted"),
        (":points: 2", ":pionts: 2", 0, "did you mean 'points'"),
        (":role: setup", ":role: [setup", 0, "no YAML"),
        ('{"exercise": "less", "role": "essay"', "{'exercise': 'less', 'role': 'essay'", 0, "JSON"),
        ("That was all.", "```{code-cell} ipython3\n1 + 1", 0, "never closed"),
        ("That was all.", "```{code-block} python\n1\n```", 0, "is not known"),
    ],
)
def test_broken_myst_names_line_and_mend(
    exercises_file: Path, old: str, new: str, offset: int, words: str
) -> None:
    path, line = broken(exercises_file, old, new)
    with pytest.raises(SourceError, match=words) as caught:
        exercises.read(path)
    assert caught.value.line == line + offset
    assert str(caught.value).startswith(f"{path}:{line + offset}: ")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (":role: checks\n:id: rest", ":role: check\n:id: rest", "the role 'check' is not known"),
        (":exercise: less\n:role: answer", ":exercise: add\n:role: answer", "used twice"),
        (":exercise: less\n:role: checks", ":exercise: more\n:role: checks", "belongs to 'more'"),
        ("## Exercise 2 · Take away", "## Exercise 3 · Take away", "call it Exercise 2"),
        ("## Exercise 2 · Take away", "## Exercise 2: Take away", "opens no exercise"),
        (
            "    ### END SOLUTION\n```\n\n```{code-cell} ipython3\n:exercise: add\n:role: checks",
            "```\n\n```{code-cell} ipython3\n:exercise: add\n:role: checks",
            "never ended",
        ),
        (":topic: adding\n", "", "has no 'topic'"),
        (":points: 2", ":points: 0", "worth more than nothing"),
        (":id: rest", ":id: Rest_1", "lower-case words with hyphens"),
        (":::{hint} 2\nThink of `+`.\n:::", ":::{hint} 2\nThink of `+`.", "never closed"),
        (":::{hint} 2\nThink of `+`.\n:::", ":::{hnit} 2\nThink of `+`.\n:::", "is not known"),
    ],
)
def test_broken_exercises_say_what_to_mend(exercises_file: Path, old: str, new: str, words: str) -> None:
    path, _ = broken(exercises_file, old, new)
    with pytest.raises(SourceError, match=words) as caught:
        exercises.read(path)
    assert caught.value.line
    assert caught.value.mend


def test_exercises_are_read_with_all_their_parts(exercises_file: Path) -> None:
    source = exercises.read(exercises_file)
    add, less = source.exercises
    assert (add.id, add.title, len(add.hints), len(add.mistakes)) == ("add", "Add", 3, 2)
    assert [part.grade_id for part in add.answers + add.checks] == ["add_answer", "add_sum"]
    assert [(part.grade_id, part.points) for part in less.graded] == [("less_rest", 1), ("less_why", 1)]
    assert "which returns the sum" in add.prompt


def test_directives_in_a_code_fence_are_text() -> None:
    cell = SourceCell("markdown", "```\n:::{hint} 1\n```\n", 1)
    assert markdown.directives(Path("x.md"), cell) == []
    assert markdown.render(Path("x.md"), cell) == cell.text.rstrip("\n")


def test_hints_fold_and_glossary_shows() -> None:
    cell = SourceCell("markdown", "a\n\n:::{hint} 1\n*b*\n:::\n\n:::{glossary}\nword\n: Its\n  meaning.\n:::\n", 1)
    shown = markdown.render(Path("x.md"), cell)
    assert "<details><summary>Hint 1</summary>\n\n*b*\n\n</details>" in shown
    assert "> **word** · Its meaning." in shown
    assert ":::" not in shown
