"""`roadmap grade` beside `nbgrader autograde` on what nbgrader ships: its quickstart and its tests' notebooks.

Their sources, submissions and data are those that the distribution of nbgrader ships. Every row of the gradebook
has to be the same, but where docs/grading.md says otherwise.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nbgrader
import pytest
from shop_course import CONFIG, call, copy_of, rows

SHIPPED = Path(nbgrader.__file__).parent
APPS, PREPROCESSORS, PAGES = (SHIPPED / "tests" / name / "files" for name in ("apps", "preprocessors", "ui-tests"))
GUIDE = SHIPPED / "docs" / "source" / "user_guide"

# Notebook of the assignment → its source, and what students hand in; None: what they were given.
NOTEBOOKS: dict[str, tuple[Path, list[Path | None]]] = {
    "squares": (
        APPS / "submitted-unchanged.ipynb",
        [
            APPS / "submitted-unchanged.ipynb",
            APPS / "submitted-changed.ipynb",
            APPS / "submitted-cheat-attempt.ipynb",
            APPS / "submitted-cheat-attempt-alternative.ipynb",
            APPS / "submitted-grade-cell-changed.ipynb",
            APPS / "submitted-locked-cell-changed.ipynb",
        ],
    ),
    "simple": (
        APPS / "autotest-simple.ipynb",
        [APPS / "autotest-simple-unchanged.ipynb", APPS / "autotest-simple-changed.ipynb"],
    ),
    "hashed": (
        APPS / "autotest-hashed.ipynb",
        [APPS / "autotest-hashed-unchanged.ipynb", APPS / "autotest-hashed-changed.ipynb"],
    ),
    "multi": (
        APPS / "autotest-multi.ipynb",
        [APPS / "autotest-multi-unchanged.ipynb", APPS / "autotest-multi-changed.ipynb"],
    ),
    "made-and-hidden": (
        APPS / "autotest-hidden.ipynb",
        [
            APPS / "autotest-hidden-unchanged.ipynb",
            APPS / "autotest-hidden-changed-wrong.ipynb",
            APPS / "autotest-hidden-changed-right.ipynb",
        ],
    ),
    "test": (APPS / "test.ipynb", [APPS / "test.ipynb", APPS / "test-with-output.ipynb", None]),
    "hidden": (APPS / "test-hidden-tests.ipynb", [APPS / "test-hidden-tests.ipynb", None]),
    "effects": (APPS / "side-effects.ipynb", [None]),
    "told": (APPS / "validating-environment-variable.ipynb", [None]),
    "file": (APPS / "open_relative_file.ipynb", [None]),
    "sleeps": (APPS / "timeout.ipynb", [None]),
    "zero": (APPS / "validation-zero-points.ipynb", [None]),
    "task": (PAGES / "task.ipynb", [None]),
    "tasks": (PREPROCESSORS / "test_taskcell.ipynb", [None]),
    "by-hand": (PREPROCESSORS / "manually-graded-code-cell.ipynb", [None]),
    "long": (PREPROCESSORS / "long-output.ipynb", [None]),
    "warning": (PREPROCESSORS / "warning-pattern.ipynb", [None]),
}
# nbgrader gives these up: the type of a cell was changed.
GIVEN_UP = {
    "answer-type": PREPROCESSORS / "submitted-answer-cell-type-changed.ipynb",
    "check-type": PREPROCESSORS / "submitted-grade-cell-type-changed.ipynb",
}


def hand_in(root: Path, student: str, notebook: str, path: Path | None) -> None:
    """Put a notebook, and the files it reads, where a student's submission lies."""
    folder = root / "submitted" / student / "ps1"
    folder.mkdir(parents=True, exist_ok=True)
    release = root / "release" / "ps1"
    shutil.copy(path or release / f"{notebook}.ipynb", folder / f"{notebook}.ipynb")
    for data in ("data.txt", "jupyter.png"):
        shutil.copy(release / data, folder / data)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nbgrader's quickstart with its tests' notebooks beside it, and submissions of all of them."""
    root = tmp_path_factory.mktemp("shipped") / "course"
    call(["nbgrader", "quickstart", "course"], root.parent)
    (root / "nbgrader_config.py").write_text(CONFIG.format(root=str(root)), encoding="utf-8")
    shutil.copy(APPS / "autotests.yml", root / "autotests.yml")
    source = root / "source" / "ps1"
    shutil.copy(APPS / "data.txt", source / "data.txt")
    for name, (path, _) in NOTEBOOKS.items():
        shutil.copy(path, source / f"{name}.ipynb")
    call(["nbgrader", "generate_assignment", "ps1"], root)
    call(["nbgrader", "db", "assignment", "add", "ps1", "--duedate=2015-02-02 15:58:23 UTC"], root)
    for name, (_, variants) in NOTEBOOKS.items():
        for number, variant in enumerate(variants):
            hand_in(root, f"s{number}", name, variant)
    for student, path in GIVEN_UP.items():
        hand_in(root, student, "squares", path)
    for problem in ("problem1", "problem2"):
        for student in ("bitdiddle", "hacker"):  # those of the user guide; one of them is late
            hand_in(root, student, problem, GUIDE / "submitted" / student / "ps1" / f"{problem}.ipynb")
            stamp = GUIDE / "submitted" / student / "ps1" / "timestamp.txt"
            shutil.copy(stamp, root / "submitted" / student / "ps1")
        hand_in(root, "solved", problem, source / f"{problem}.ipynb")
        hand_in(root, "blank", problem, None)
    return root


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_nbgrader_ships_gets_the_same_rows_from_both(course: Path, tmp_path: Path) -> None:
    ours = copy_of(course, tmp_path / "ours")
    told = call(["nbgrader", "autograde", "ps1"], course, code=1)
    call(["roadmap", "grade", "ps1", "--course-dir", str(ours)], tmp_path)
    assert not [student for student in GIVEN_UP if (course / "autograded" / student / "ps1").exists()], told
    theirs, mine = rows(course), rows(ours)
    assert [row for row in mine if row[0] not in GIVEN_UP] == [row for row in theirs if row[0] not in GIVEN_UP]
    graded = {(row[0], row[1]) for row in mine if row[1]}
    assert len({student for student, _ in graded}) == 6 + len(GIVEN_UP) + 4
    for student in GIVEN_UP:  # repaired instead: the right answer of theirs counts
        (score,) = (row[-1] for row in mine if row[:3] == (student, "squares", ""))
        assert score == 1.0
