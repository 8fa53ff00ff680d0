"""The learner's copies: made whole, never overwritten, brought up to date with the answers in them."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import roadmap_progress.workspace
from roadmap_progress.errors import NotebookError, WorkspaceError
from roadmap_progress.model import Notebook, Status
from roadmap_progress.workspace import CopyState, Workspace, cells, disk

if TYPE_CHECKING:
    from pathlib import Path

SECTION = "01-foundations"
SUMS = Notebook("1.1", "sums", "Sums", SECTION, Status.READY)
LISTS = Notebook("1.2", "lists", "Lists", SECTION, Status.READY)
PLANNED = Notebook("1.3", "maps", "Maps", SECTION, Status.PLANNED)


def code(name: str, source: str, *, solution: bool) -> nbformat.NotebookNode:
    marks = {"grade_id": name, "solution": solution, "locked": not solution, "grade": False, "schema_version": 3}
    return new_code_cell(source, metadata={"nbgrader": marks}, id=name)


def exercises(version: int = 1, **answers: str) -> nbformat.NotebookNode:
    """The exercises of 1.1; version 2 words the prompt anew, renames an answer and has one more."""
    names = ["total_answer", "mean_answer"] if version == 1 else ["total_answer", "average_answer", "new_answer"]
    made = [
        new_markdown_cell(f"# Sums, version {version}", id="intro"),
        code("setup", f"N = {version}", solution=False),
    ]
    for name in names:
        made += [
            new_markdown_cell(f"## {name}", id=f"prompt-{name}"),
            code(name, answers.get(name, f"# {name}: é…\n..."), solution=True),
        ]
    return new_notebook(cells=made, metadata={"version": version})


def write(path: Path, notebook: nbformat.NotebookNode) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What `roadmap dist` makes for a class: no sources, no solutions."""
    for notebook in (SUMS, LISTS):
        write(
            tmp_path / "course" / SECTION / f"{notebook.stem}.ipynb",
            new_notebook(cells=[new_markdown_cell("Hello", id="a")]),
        )
        write(tmp_path / "exercises" / SECTION / f"{notebook.stem}.ipynb", exercises())
    data = tmp_path / "exercises" / SECTION / "data" / "prices.csv"
    data.parent.mkdir()
    data.write_text("1,2")
    (tmp_path / "exercises" / SECTION / ".ipynb_checkpoints").mkdir()
    (tmp_path / "exercises" / SECTION / ".ipynb_checkpoints" / "old.ipynb").write_text("{}")
    return tmp_path


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return Workspace(root, {"mean_answer": "average_answer"})


def answer(path: Path, name: str, text: str) -> None:
    """What a learner does in JupyterLab."""
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if cell.get("id") == name).source = text
    nbformat.write(notebook, path)


def release(root: Path, version: int) -> bytes:
    path = root / "exercises" / SECTION / f"{SUMS.stem}.ipynb"
    write(path, exercises(version))
    return path.read_bytes()


def read(path: Path) -> dict[str, Any]:
    return cells.parse(path.read_bytes())


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_exports_exactly_what_others_use():
    assert roadmap_progress.workspace.__all__ == ["CopyState", "Update", "Workspace"]


def test_the_first_use_makes_the_whole_section_and_nothing_else(workspace, root):
    path = workspace.exercises(SUMS)
    assert path == root / "work" / SECTION / "1.1-sums.ipynb" == workspace.exercises_path(SUMS)
    section = {"1.1-sums.ipynb", "1.2-lists.ipynb", "data/prices.csv"}
    assert files_below(root / "work" / SECTION) == section
    assert files_below(root / "work" / ".roadmap" / "base" / SECTION) == section
    for name in section:
        assert (root / "work" / SECTION / name).read_bytes() == (root / "exercises" / SECTION / name).read_bytes()
    assert not list((root / "work").rglob("*.tmp"))


def test_a_lesson_is_copied_on_its_own(workspace, root):
    path = workspace.lesson(SUMS)
    assert path == root / "work" / "lessons" / "1.1-sums.ipynb" == workspace.lesson_path(SUMS)
    assert files_below(root / "work" / "lessons") == {"1.1-sums.ipynb"}
    assert not (root / "work" / SECTION).exists()


def test_opening_again_keeps_the_answers_and_makes_what_is_missing(workspace, root):
    path = workspace.exercises(SUMS)
    answer(path, "total_answer", "mine")
    (root / "work" / SECTION / "1.2-lists.ipynb").unlink()
    before = path.read_bytes()
    release(root, 2)
    assert workspace.exercises(SUMS).read_bytes() == before
    assert workspace.exercises(LISTS).exists()


def test_a_copy_can_be_written_though_the_release_is_read_only(workspace, root):
    (root / "exercises" / SECTION / "1.1-sums.ipynb").chmod(0o444)
    assert workspace.exercises(SUMS).stat().st_mode & 0o200


def test_status_tells_what_became_of_a_copy(workspace, root):
    assert workspace.status(SUMS) is CopyState.NONE
    path = workspace.exercises(SUMS)
    assert workspace.status(SUMS) is CopyState.UNTOUCHED
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="ran")]
    nbformat.write(notebook, path)
    assert workspace.status(SUMS) is CopyState.UNTOUCHED
    release(root, 2)
    assert workspace.status(SUMS) is CopyState.UNTOUCHED  # by the learner, though the course moved on
    answer(path, "total_answer", "mine")
    assert workspace.status(SUMS) is CopyState.EDITED
    path.write_bytes(path.read_bytes()[:100])
    assert workspace.status(SUMS) is CopyState.UNREADABLE


@pytest.mark.parametrize(
    "content", [b"", b'{"cells": [{"cell_ty', b"[]", b'{"cells": [1]}', b"\xff\xfe", b'{"nbformat": 3}']
)
def test_a_broken_copy_is_told_with_what_to_do_and_start_over_keeps_it(workspace, content):
    path = workspace.exercises(SUMS)
    path.write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"1\.1-sums\.ipynb cannot be read as a notebook .*Start over"):
        workspace.exercises(SUMS)
    with pytest.raises(WorkspaceError, match="Start over"):
        workspace.update(SUMS)
    assert path.read_bytes() == content
    assert workspace.exercises(LISTS).exists()  # its neighbours are not touched by it
    workspace.start_over(SUMS)
    assert workspace.status(SUMS) is CopyState.UNTOUCHED
    (kept,) = workspace.kept(SUMS)
    assert kept.read_bytes() == content


def test_starting_over_keeps_each_old_copy_outside_what_submit_collects(workspace, root):
    path = workspace.exercises(SUMS)
    for text in ("first", "second", "third"):
        answer(path, "total_answer", text)
        assert workspace.start_over(SUMS) == path
        assert workspace.status(SUMS) is CopyState.UNTOUCHED
    assert [cells.answers(read(kept))["total_answer"] for kept in workspace.kept(SUMS)] == [
        "third",
        "second",
        "first",
    ]
    assert files_below(root / "work" / SECTION) == {"1.1-sums.ipynb", "1.2-lists.ipynb", "data/prices.csv"}
    assert all(not part.startswith(".") for kept in workspace.kept(SUMS) for part in kept.relative_to(root).parts)


def test_starting_over_without_a_copy_makes_one(workspace):
    assert workspace.start_over(SUMS).exists()
    assert workspace.kept(SUMS) == ()


def test_a_lesson_can_be_started_over_too(workspace, root):
    path = workspace.lesson(SUMS)
    path.write_text("broken")
    with pytest.raises(WorkspaceError, match="Start over"):
        workspace.lesson(SUMS)
    assert (
        workspace.start_over_lesson(SUMS).read_bytes()
        == (root / "course" / SECTION / "1.1-sums.ipynb").read_bytes()
    )
    (kept,) = (root / "work" / "kept" / "lessons").iterdir()
    assert kept.read_text() == "broken"


def test_a_lesson_that_was_only_run_follows_the_course_and_an_edited_one_stays(workspace, root):
    source = root / "course" / SECTION / "1.1-sums.ipynb"
    path = workspace.lesson(SUMS)
    nbformat.write(nbformat.read(path, as_version=4), path)  # saved by Jupyter
    write(source, new_notebook(cells=[new_markdown_cell("Hello, again", id="a")]))
    assert workspace.lesson(SUMS).read_bytes() == source.read_bytes()
    answer(path, "a", "my notes")
    write(source, new_notebook(cells=[new_markdown_cell("A third time", id="a")]))
    assert "my notes" in workspace.lesson(SUMS).read_text()


def test_what_is_not_written_or_missing_says_what_to_do(workspace, root):
    with pytest.raises(WorkspaceError, match="planned, not written yet"):
        workspace.exercises(PLANNED)
    (root / "exercises" / SECTION / "1.1-sums.ipynb").unlink()
    with pytest.raises(WorkspaceError, match=r"is missing: .*roadmap build 1\.1"):
        workspace.exercises(SUMS)
    (root / "course" / SECTION / "1.1-sums.ipynb").write_text("broken")
    with pytest.raises(WorkspaceError, match=r"the course's own .* cannot be read .*git checkout"):
        workspace.lesson(SUMS)


def test_an_update_carries_answers_over_by_id_and_keeps_the_old_copy(workspace, root):
    path = workspace.exercises(SUMS)
    answer(path, "total_answer", "my total")
    answer(path, "mean_answer", "my mean")
    old = path.read_bytes()
    assert not workspace.outdated(SUMS)
    assert workspace.update(SUMS) is None
    release(root, 2)
    assert workspace.outdated(SUMS)
    update = workspace.update(SUMS)
    assert update.path == path
    assert update.kept.read_bytes() == old
    assert (update.answers, update.left) == (("total_answer", "average_answer"), ())
    assert cells.answers(read(path)) == {
        "total_answer": "my total",
        "average_answer": "my mean",  # renamed: the roadmap has an alias
        "new_answer": "# new_answer: é…\n...",
    }
    assert cells.texts(read(path))[0] == ("markdown", "# Sums, version 2")
    assert not workspace.outdated(SUMS)
    nbformat.validate(nbformat.read(path, as_version=4))


def test_an_update_of_an_untouched_copy_gives_the_course_s_bytes(workspace, root):
    path = workspace.exercises(SUMS)
    data = release(root, 2)
    workspace.update(SUMS)
    assert path.read_bytes() == data
    assert workspace.status(SUMS) is CopyState.UNTOUCHED


def test_an_updated_copy_has_the_bytes_that_jupyter_would_write(workspace, root):
    path = workspace.exercises(SUMS)
    answer(path, "total_answer", "mine: é\n\n1")
    release(root, 2)
    workspace.update(SUMS)
    before = path.read_bytes()
    nbformat.write(nbformat.read(path, as_version=4), path)
    assert path.read_bytes() == before


def test_a_stub_that_the_course_words_anew_replaces_the_old_one(root):
    workspace = Workspace(root)
    path = workspace.exercises(SUMS)
    write(root / "exercises" / SECTION / "1.1-sums.ipynb", exercises(total_answer="# A better hint\n..."))
    update = workspace.update(SUMS)
    assert update.answers == ()
    assert cells.answers(read(path))["total_answer"] == "# A better hint\n..."


def test_an_answer_without_a_place_is_reported_and_kept(root):
    workspace = Workspace(root)  # no aliases: mean_answer is gone
    path = workspace.exercises(SUMS)
    answer(path, "mean_answer", "my mean")
    release(root, 2)
    update = workspace.update(SUMS)
    assert update.left == ("mean_answer",)
    assert cells.answers(read(update.kept))["mean_answer"] == "my mean"
    assert "my mean" not in path.read_text()


def test_a_copy_that_came_through_nbgraders_fetch_is_updated_without_its_base(workspace, root):
    copy = root / "work" / SECTION / "1.1-sums.ipynb"
    write(copy, exercises(total_answer="my total"))
    release(root, 2)
    assert workspace.exercises(SUMS) == copy
    assert not (root / "work" / ".roadmap" / "base" / SECTION / "1.1-sums.ipynb").exists()
    assert workspace.outdated(SUMS)
    update = workspace.update(SUMS)
    assert "total_answer" in update.answers
    assert cells.answers(read(copy))["total_answer"] == "my total"
    assert not workspace.outdated(SUMS)


def test_a_fetched_copy_of_this_very_version_gets_its_base(workspace, root):
    copy = root / "work" / SECTION / "1.1-sums.ipynb"
    write(copy, exercises(total_answer="my total"))
    workspace.exercises(SUMS)
    base = root / "work" / ".roadmap" / "base" / SECTION / "1.1-sums.ipynb"
    assert base.read_bytes() == (root / "exercises" / SECTION / "1.1-sums.ipynb").read_bytes()
    assert workspace.status(SUMS) is CopyState.EDITED


def test_cells_that_the_learner_added_come_along_behind_their_neighbour(workspace, root):
    path = workspace.exercises(SUMS)
    notebook = nbformat.read(path, as_version=4)
    at = next(index for index, cell in enumerate(notebook.cells) if cell.id == "total_answer") + 1
    notebook.cells[at:at] = [new_code_cell("scratch = 1", id="mine1"), new_markdown_cell("my note", id="mine2")]
    nbformat.write(notebook, path)
    release(root, 2)
    workspace.update(SUMS)
    texts = [text for _, text in cells.texts(read(path))]
    at = texts.index("scratch = 1")
    assert texts[at - 1].startswith("# total_answer")
    assert texts[at + 1] == "my note"


def test_data_files_follow_the_course_unless_the_learner_changed_them(workspace, root):
    source, copy = (root / folder / SECTION / "data" / "prices.csv" for folder in ("exercises", "work"))
    workspace.exercises(SUMS)
    source.write_text("1,2,3")
    release(root, 2)
    workspace.update(SUMS)
    assert copy.read_text() == "1,2,3"
    copy.write_text("mine")
    source.write_text("1,2,3,4")
    release(root, 1)
    workspace.update(SUMS)
    assert copy.read_text() == "mine"


def make(root: Path) -> None:
    Workspace(root).exercises(SUMS)


def test_two_dashboards_that_open_it_at_once_make_one_whole_copy(root):
    processes = [multiprocessing.get_context("spawn").Process(target=make, args=(root,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert Workspace(root).status(SUMS) is CopyState.UNTOUCHED
    assert not list((root / "work").rglob("*.tmp"))


def test_on_a_disk_without_hard_links_nothing_is_overwritten_either(workspace, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)  # such a disk is not at hand
    path = workspace.exercises(SUMS)
    answer(path, "total_answer", "mine")
    workspace.start_over(SUMS)
    assert cells.answers(read(workspace.kept(SUMS)[0]))["total_answer"] == "mine"
    assert not disk.place(b"other", path, path.parent)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from roadmap_progress.errors import WorkspaceError
from roadmap_progress.model import Notebook, Status
from roadmap_progress.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
notebook = Notebook("1.1", "sums", "Sums", "01-foundations", Status.READY)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for method in (workspace.exercises, workspace.start_over, workspace.update):
    try:
        method(notebook)
    except WorkspaceError as error:
        print(error)
"""


@pytest.mark.parametrize("opened", [False, True], ids=["first use", "edited copy"])
def test_a_full_disk_is_told_and_leaves_the_copy_as_it_was(workspace, root, opened):
    """The limit on a file's size is one that anybody can set for a process of their own."""
    path = workspace.exercises_path(SUMS)
    if opened:
        workspace.exercises(SUMS)
        answer(path, "total_answer", "mine")
        release(root, 2)
    before = path.read_bytes() if opened else None
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(root)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.count("nothing of yours was changed") == 2
    assert (path.read_bytes() if path.exists() else None) == before
    assert not list((root / "work").rglob("*.tmp"))


def test_parsing_refuses_what_is_no_notebook():
    with pytest.raises(NotebookError, match="the file is empty"):
        cells.parse(b" \n")
    with pytest.raises(NotebookError, match="no list of cells"):
        cells.parse(b'{"worksheets": []}')


def test_importing_the_workspace_imports_nothing_heavy():
    code = "import sys, roadmap_progress.workspace; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"nbformat", "pandas", "IPython", "asyncio", "sqlite3"} & set(done.stdout.split())
