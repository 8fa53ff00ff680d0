"""Building and proving for real: papermill, nbgrader's release step, kernels."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from roadmap_progress import catalog, notebooks
from roadmap_progress.authoring import build, outline
from roadmap_progress.authoring.dist import distribute
from roadmap_progress.authoring.prove import prove, solve
from roadmap_progress.cli import main
from roadmap_progress.errors import CatalogError, ClassroomError, ExecutionError, SourceError

BUILT = ("course", "solutions", "exercises")


def digests(root: Path) -> dict[str, str]:
    """Every built file's digest."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in BUILT
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def built(course: Path, built_once: Path) -> Path:
    shutil.copytree(built_once, course, dirs_exist_ok=True)
    return course


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_two_builds_in_different_folders_are_equal_to_the_byte(built: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(built, other, ignore=shutil.ignore_patterns(*BUILT, "classroom", "work"))
    build.build(other, [], say=lambda _: None)
    first, second = digests(built), digests(other)
    ignored = "course/01-foundations/1.1-sums.ipynb"  # one cell shows an object's address, and is tagged so
    cells = [notebooks.read(root / ignored).cells for root in (built, other)]
    assert [cell.id for cell in cells[0]] == [cell.id for cell in cells[1]]
    first.pop(ignored)
    second.pop(ignored)
    recorded = [json.loads((root / catalog.FILE).read_text(encoding="utf-8")) for root in (built, other)]
    for data in recorded:
        del data["built"]["1.1"]["lesson"]
    assert recorded[0] == recorded[1]
    first.pop(str(catalog.FILE))
    second.pop(str(catalog.FILE))
    assert first == second


def test_nothing_is_stale_after_a_build_and_a_second_one_makes_nothing(built: Path) -> None:
    assert build.check(built) == []
    before = digests(built)
    assert build.build(built, [], say=lambda _: None) == []
    assert digests(built) == before


def test_stock_nbgrader_gives_the_bytes_of_exercises(built: Path) -> None:
    before = digests(built)
    bin_folder = Path(sys.executable).parent
    subprocess.run(
        [bin_folder / "nbgrader", "generate_assignment", "01-foundations", "--force"],
        cwd=built,
        env=os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"},
        check=True,
        capture_output=True,
    )
    assert digests(built) == before


def test_lesson_outputs_are_kept_and_only_they(built: Path) -> None:
    lesson = notebooks.read(built / "course/01-foundations/1.1-sums.ipynb")
    printed = next(cell for cell in lesson.cells if cell.cell_type == "code")
    assert printed.outputs[0].text == "four\n4\n"
    assert set(lesson.metadata) == {"kernelspec", "language_info", "roadmap"}
    assert all("papermill" not in cell.metadata and "execution" not in cell.metadata for cell in lesson.cells)


def test_check_names_the_stale_file_and_the_source(built: Path, lesson_file: Path, exercises_file: Path) -> None:
    edit(lesson_file, "Rounding.", "Rounding, always.")
    edit(exercises_file, "That was all.", "That was really all.")
    words = "\n".join(build.check(built))
    assert "course/01-foundations/1.1-sums.ipynb is older than content/01-foundations/1.1-sums.lesson.md" in words
    assert "solutions/01-foundations/1.1-sums.ipynb is not what content/01-foundations/1.1-sums.ex" in words
    assert "`roadmap build 1.1`" in words


def test_check_finds_edits_in_built_files_and_strays(built: Path) -> None:
    exercise = built / "exercises/01-foundations/1.1-sums.ipynb"
    edit(exercise, "Write `add", "Please write `add")
    shutil.copy2(exercise, built / "course/01-foundations/1.9-stray.ipynb")
    examples = built / "course/01-foundations/.hypothesis/examples"
    examples.mkdir(parents=True)
    (examples / "one").touch()  # a lesson that ran beside its notebook leaves them
    words = "\n".join(build.check(built))
    assert "1.1-sums.ipynb is not what nbgrader released" in words
    assert "1.9-stray.ipynb is built from nothing" in words
    assert ".hypothesis" not in words


def test_what_lies_beside_a_solution_is_never_released(built: Path, exercises_file: Path) -> None:
    """nbgrader copies everything beside a notebook: an answer that a run wrote there would go out with it."""
    stray = built / "solutions" / "01-foundations" / ".flake8"
    stray.write_text("[flake8]", encoding="utf-8")
    assert any(r".flake8 is built from nothing" in problem for problem in build.check(built))
    edit(exercises_file, "That was all.", "That was really all.")
    with pytest.raises(ExecutionError, match="answers included"):
        build.build(built, [], say=lambda _: None)
    assert not (built / "exercises" / "01-foundations" / ".flake8").exists()


def test_exercises_that_a_failed_release_left_old_are_made_by_the_next_build(
    built: Path, exercises_file: Path
) -> None:
    """The solutions are new by then, so they alone do not tell."""
    stray = built / "solutions" / "01-foundations" / ".flake8"
    stray.touch()
    edit(exercises_file, "That was all.", "That was really all.")
    with pytest.raises(ExecutionError, match="answers included"):
        build.build(built, [], say=lambda _: None)
    stray.unlink()
    assert any("is not what nbgrader released" in problem for problem in build.check(built))
    build.build(built, [], say=lambda _: None)
    released = (built / "exercises/01-foundations/1.1-sums.ipynb").read_text(encoding="utf-8")
    assert "That was really all." in released
    assert build.check(built) == []


def test_a_word_defined_twice_is_told_before_any_lesson_runs(built: Path, lesson_file: Path) -> None:
    edit(
        lesson_file,
        'print("four")',
        'print("four")\n```\n\n:::{glossary}\nsum\n: One.\n\nsum\n: Two.\n:::\n\n```{code-cell} ipython3\n1',
    )
    said: list[str] = []
    with pytest.raises(SourceError, match="'sum' was defined"):
        build.build(built, [], say=said.append)
    assert said == []


def test_a_failing_lesson_cell_is_named_and_the_old_lesson_stays(built: Path, lesson_file: Path) -> None:
    before = digests(built)
    edit(lesson_file, 'print("four")', 'print("four"); 1 / 0')
    line = lesson_file.read_text(encoding="utf-8")[: lesson_file.read_text(encoding="utf-8").index("```{code")]
    with pytest.raises(SourceError, match="ZeroDivisionError") as caught:
        build.build(built, [], say=lambda _: None)
    assert caught.value.line == line.count("\n") + 1
    after = digests(built)
    assert after["course/01-foundations/1.1-sums.ipynb"] == before["course/01-foundations/1.1-sums.ipynb"]


def test_the_catalogue_knows_every_check_and_its_released_text(built: Path) -> None:
    roadmap = catalog.load(built)
    assert list(roadmap.checks) == ["add_sum", "less_rest", "less_why"]
    released = notebooks.cells_by_grade_id(notebooks.read(built / "exercises/01-foundations/1.1-sums.ipynb"))
    from roadmap_progress.model import digest

    assert roadmap.checks["add_sum"].released == digest(released["add_sum"].source)
    assert roadmap.checks["add_sum"].released != roadmap.checks["add_sum"].version
    (answer,) = roadmap.find("1.1").exercises[0].answers
    assert answer.released == digest(released["add_answer"].source)


def test_an_unwritten_notebook_cannot_be_built(course: Path) -> None:
    with pytest.raises(CatalogError, match=r"1\.2 is planned, not written"):
        build.build(course, ["1.2"], say=lambda _: None)


def proved(root: Path) -> list[str]:
    build.build(root, [], say=lambda _: None)
    [proof] = prove(root, [outline.load(root).find("1.1")], say=lambda _: None)
    return proof.problems


def test_a_good_notebook_is_proved(built: Path) -> None:
    assert proved(built) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "    return a + b  # the sum of both",
            "    return a + b + 1  # the sum of both",
            "the solved add_sum raises",
        ),
        (
            "    return a + b  # the sum of both",
            "    import warnings; warnings.warn('old'); return a + b  # the sum of both",
            "prints on stderr",
        ),
        ('"add(2, 2): got 0"', '"add(2, 2): got 1"', "is not caught by 'add(2, 2): got 1'"),
        ('"add(2, 2): got 0"', '"add(2, 2): got"', "the untouched stub fails with"),
        ("    return a * b", "    return a + b", "this mistake loses no points"),
        ("    return a * b", "    return a * b * 5", "every mistake fails a visible check"),
        ('expect("less(2, 2)", less(2, 2), 0)', "x = 1", "every"),
        (
            "def add(a, b):\n    ### BEGIN",
            "x = missing\ndef add(a, b):\n    ### BEGIN",
            "the untouched add_answer raises",
        ),
    ],
)
def test_what_does_not_hold_is_said(built: Path, exercises_file: Path, old: str, new: str, words: str) -> None:
    edit(exercises_file, old, new)
    if words == "every":
        # a check that tests nothing: both mistakes pass what is visible, and the stub's points are not lost
        edit(exercises_file, 'expect("less(5, 3), further numbers", less(5, 3), 2)', "y = 2  # nothing is tested")
        words = "the untouched stub earns points for less_rest"
    assert any(words in problem for problem in proved(built))


WRONG = "    return a * b"  # the mistake that passes what is visible


@pytest.mark.parametrize(
    ("mistake", "holds"),
    [
        ("    import sys; a != b and print('odd', file=sys.stderr); return a * b", True),
        ("    import sys; print('odd', file=sys.stderr); return a * b", False),
    ],
)
def test_where_a_run_cannot_tell_which_part_failed_the_visible_checks_run_alone(
    built: Path, exercises_file: Path, mistake: str, holds: bool
) -> None:
    """nbgrader gives no points for anything on stderr: so this mistake passes what is visible, or does not."""
    notebook = outline.load(built).find("1.1")
    [plain] = prove(built, [notebook], say=lambda _: None)
    edit(exercises_file, WRONG, mistake)
    build.build(built, ["1.1"], say=lambda _: None)
    [proof] = prove(built, [notebook], say=lambda _: None)
    # the visible checks of this one; before it is said that none passes them, the other one alone as well
    assert proof.runs == plain.runs + (1 if holds else 2)
    assert any("every mistake fails a visible check" in problem for problem in proof.problems) is not holds


def test_different_exercises_share_a_run(built: Path) -> None:
    """The whole, two rounds of a mistake an exercise, all backwards, without either topic, the stub."""
    [proof] = prove(built, [outline.load(built).find("1.1")], say=lambda _: None)
    assert (proof.runs, proof.problems) == (7, [])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (  # defined before it, in the order of the file
            "    return a - b  # what is left",
            "    return add(a, -b)  # what is left",
            "NameError: name 'add' is not defined",
        ),
        (  # defined before it, backwards
            "    return a + b  # the sum of both",
            "    return a + b if 'less' not in globals() else 0  # the sum of both",
            "",
        ),
        (  # out of reach for names: each has to run alone
            "    return a - b  # what is left",
            "    import builtins; builtins.sorted = None; return a - b  # what is left",
            "",
        ),
    ],
)
def test_a_solution_that_needs_another_exercise_is_found(
    built: Path, exercises_file: Path, old: str, new: str, words: str
) -> None:
    edit(exercises_file, old, new)
    problems = proved(built)
    assert any(words in problem for problem in problems) if words else problems == []


def test_what_an_import_prints_is_found(built: Path, exercises_file: Path) -> None:
    """The standard library says so of this module when it is imported, and keeps it."""
    edit(
        exercises_file,
        "    return a + b  # the sum of both",
        "    import sre_constants\n    return a + b  # the sum of both",
    )
    [problem] = proved(built)
    assert "import sre_constants prints on stderr" in problem
    assert "deprecated" in problem


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("def add(a, b):\n    import os; os._exit(1)", "add_sum killed its kernel"),
        ("def add(a, b):\n    while True: pass", "add_sum took longer than"),
    ],
)
def test_a_mistake_that_ends_its_kernel_hides_none_that_shares_its_run(
    built: Path, exercises_file: Path, monkeypatch: pytest.MonkeyPatch, mistake: str, words: str
) -> None:
    monkeypatch.setattr("roadmap_progress.authoring.prove.CELL_TIMEOUT_S", 5)
    edit(exercises_file, "def add(a, b):\n    return a - b", mistake)
    edit(exercises_file, '"less(2, 2): got 4"', '"less(2, 2): got 5"')  # shares a run with it
    first, second = sorted(proved(built), key=lambda problem: words not in problem)
    assert words in first
    assert "is not caught by 'less(2, 2): got 5'; the checks said ['less(2, 2): got 4" in second


@pytest.mark.parametrize(
    "spoiler",
    [
        "\nless = add",  # what the other exercise is to define
        "\nexpect = None",  # what the setup defined
        "\nimport builtins; builtins.property = None",  # out of reach for names: the other one has to run alone
    ],
)
def test_what_a_mistake_spoils_for_others_is_not_held_against_them(
    built: Path, exercises_file: Path, spoiler: str
) -> None:
    """The other exercise's mistake uses it, and is caught for its reason, whatever ran before it."""
    edit(exercises_file, "def add(a, b):\n    return a - b", f"def add(a, b):\n    return a - b{spoiler}")
    edit(
        exercises_file,
        "    return a + b\n",
        "    return a + b if expect and property and len(globals()['less'].__name__) == 4 else 9\n",
    )
    assert proved(built) == []


def test_a_mistake_is_not_taken_for_caught_because_of_what_another_one_left(
    built: Path, exercises_file: Path
) -> None:
    """It defines nothing: what its checks find is what the other exercise's mistake, in the same run, defined."""
    edit(
        exercises_file,
        "def add(a, b):\n    return a - b",
        "def add(a, b):\n    return a - b\n\n\ndef less(a, b):\n    return 4",
    )
    edit(exercises_file, "def less(a, b):\n    return a + b", "assert True")
    [problem] = proved(built)
    assert "is not caught by 'less(2, 2): got 4'" in problem
    assert "name 'less' is not defined" in problem


def test_one_exercise_is_proved_alone_and_its_faults_are_found(
    built: Path, exercises_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROADMAP_ROOT", str(built))
    edit(exercises_file, "    return a - b  # what is left", "    return a + b  # what is left")
    build.build(built, ["1.1"], say=lambda _: None)
    capsys.readouterr()
    assert main(["prove", "1.1", "--exercise", "add"]) == 0
    # alone, the stub, without its topic, and two mistakes
    assert "1.1: proved: add alone (5 runs); the notebook as a whole was not run" in capsys.readouterr().out
    assert main(["prove", "1.1", "--exercise", "less"]) == 1
    assert "the solved less_rest raises" in capsys.readouterr().out
    assert main(["prove", "1.1", "--exercise", "more"]) == 1
    assert "1.1 has no exercise 'more' with checks: add, less" in capsys.readouterr().err
    assert main(["prove", "--exercise", "less"]) == 1
    assert "roadmap prove NOTEBOOK --exercise less" in capsys.readouterr().err


def test_points_that_other_answers_earn_are_found(built: Path, exercises_file: Path) -> None:
    """Without its own answer, but with another exercise's, a check has to fail."""
    edit(exercises_file, "def less(a, b):\n    ### BEGIN SOLUTION", "### BEGIN SOLUTION\ndef less(a, b):")
    edit(
        exercises_file,
        "    return a + b  # the sum of both",
        "    return a + b  # both\nless = lambda a, b: a - b",
    )
    assert any("less_rest earns points without the answers of its topic" in problem for problem in proved(built))


def test_a_solved_notebook_runs_as_often_as_asked(built: Path, exercises_file: Path) -> None:
    notebook = outline.load(built).find("1.1")
    assert [outcome.problems for outcome in solve(built, notebook, times=3)] == [[], [], []]
    edit(exercises_file, "    return a + b  # the sum of both", "    return a - b  # the sum of both")
    build.build(built, ["1.1"], say=lambda _: None)
    [outcome] = solve(built, notebook)
    assert any("the solved add_sum raises" in problem for problem in outcome.problems)


def test_proving_a_stale_notebook_is_refused(built: Path, exercises_file: Path) -> None:
    edit(exercises_file, "That was all.", "That was really all.")
    with pytest.raises(SourceError, match="before proving"):
        list(prove(built, [outline.load(built).find("1.1")], say=lambda _: None))


def test_the_tree_for_a_class_has_no_source_solution_or_hidden_line(built: Path, tmp_path: Path) -> None:
    target = tmp_path / "class"
    files = distribute(built, target)
    names = {str(path.relative_to(target)) for path in files}
    assert "exercises/01-foundations/1.1-sums.ipynb" in names
    assert "course/roadmap.json" in names
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for secret in ("return a + b  # the sum", "further numbers", "subtraction undoes", "return a * b"):
        assert secret not in text
    assert not {path.parts[0] for path in map(Path, names)} & {"content", "solutions", "tests", "classroom"}


def test_a_secret_in_what_goes_out_stops_it(built: Path, tmp_path: Path) -> None:
    notebook = built / "docs" / "example.ipynb"
    notebook.parent.mkdir()
    notebooks.write(
        notebooks.new_notebook(cells=[notebooks.new_code_cell("return a + b  # the sum of both")]), notebook
    )
    with pytest.raises(ClassroomError, match=r"docs/example\.ipynb: holds a line of a solution"):
        distribute(built, tmp_path / "class")
    assert not (tmp_path / "class").exists()


def test_a_stale_build_is_not_distributed(built: Path, exercises_file: Path, tmp_path: Path) -> None:
    edit(exercises_file, "That was all.", "That was really all.")
    with pytest.raises(ClassroomError, match="`roadmap build` first"):
        distribute(built, tmp_path / "class")
