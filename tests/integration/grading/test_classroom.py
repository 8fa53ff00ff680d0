"""Setting up a class, again and again, without losing a grade; and a formgrader that works."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from roadmap_progress import notebooks
from roadmap_progress.model import digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def change_checks(course: Any, old: str, new: str) -> None:
    """What a pull of a newer course version does: another text in the solutions."""
    path = course.root / "solutions" / course.section / f"{course.stem}.ipynb"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def scores(course: Any) -> list[tuple[Any, ...]]:
    with sqlite3.connect(course.root / "classroom" / "gradebook.db") as book:
        return book.execute(
            "SELECT auto_score, manual_score, needs_manual_grade FROM grade ORDER BY id"
        ).fetchall()


def test_init_can_be_run_again_and_refuses_changed_checks_once_there_are_submissions(
    a_class: Any, tmp_path: Path
) -> None:
    roster = tmp_path / "roster.csv"
    roster.write_text("id,first_name\nada,Ada\nbob,Bob\n")
    out = a_class.run("roadmap", "classroom", "init", "--roster", str(roster)).stdout
    assert "2 students entered" in out
    out = a_class.run("roadmap", "classroom", "init", "--roster", str(roster)).stdout
    assert "nothing to do" in out

    # No submission yet: the gradebook follows the course.
    change_checks(a_class, "double('ab')", "double('AB')")
    change_checks(a_class, '\\"abab\\"', '\\"ABAB\\"')
    change_checks(a_class, 'double(\\"ab\\")', 'double(\\"AB\\")')
    assert "recorded 4 graded cells" in a_class.run("roadmap", "classroom", "init").stdout

    correct = dict(a_class.correct)
    a_class.hand_in("ada", correct)
    a_class.run("nbgrader", "autograde", a_class.section)
    before = scores(a_class)
    assert sum(auto or 0 for auto, _, _ in before) == 5

    # With one, it is pinned: nothing changes, and the words say what did and what to do.
    change_checks(a_class, "Hello, Ada!", "Good day, Ada!")
    refused = a_class.run("roadmap", "classroom", "init", ok=False)
    assert refused.returncode == 1
    assert "greet_polite has another text" in refused.stderr
    assert "pinned to a course version" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert scores(a_class) == before
    assert "not those in the gradebook (1.1-warm-up)" in a_class.run("roadmap", "classroom", "status").stdout
    change_checks(a_class, "Good day, Ada!", "Hello, Ada!")

    roster.write_text("id,first_name,email\nada,Augusta,\neve,Eve,eve@example.org\n")
    out = a_class.run("roadmap", "classroom", "init", "--roster", str(roster)).stdout
    assert "1 students entered, 1 corrected" in out
    assert "in the gradebook but not on the roster, and kept: bob" in out
    assert scores(a_class) == before


def test_a_new_gradebook_is_as_nbgrader_makes_it(course: Any, tmp_path: Path) -> None:
    """Ours is made without starting `alembic`, which need not be on the PATH."""
    theirs = tmp_path / "theirs.db"
    make = "import sys; from nbgrader.api import Gradebook; Gradebook(sys.argv[1], 'backend-roadmap').close()"
    subprocess.run([sys.executable, "-c", make, f"sqlite:///{theirs}"], env=course.environment, check=True)
    course.run("roadmap", "classroom", "init")
    ours = course.root / "classroom" / "gradebook.db"
    made = []
    for path in (theirs, ours):
        with sqlite3.connect(path) as book:
            tables = book.execute(
                "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
            ).fetchall()
            made.append((tables, book.execute("SELECT version_num FROM alembic_version").fetchall()))
    assert len(made[0][0]) > 15
    assert made[0] == made[1]


def test_what_is_wrong_is_said_and_nothing_is_half_done(course: Any, tmp_path: Path) -> None:
    roster = tmp_path / "roster.csv"
    roster.write_bytes(b"id,last_name\nada,M\xfcller\n")
    refused = course.run("roadmap", "classroom", "init", "--roster", str(roster), ok=False)
    assert refused.returncode == 1
    assert f"{roster}:2: byte 0xfc is not UTF-8" in refused.stderr
    assert not (course.root / "classroom" / "settings.toml").exists()
    for command in ("status", "export"):
        refused = course.run("roadmap", "classroom", command, ok=False)
        assert "`roadmap classroom init` sets up the class" in refused.stderr

    (course.root / "classroom").mkdir(exist_ok=True)
    (course.root / "classroom" / "gradebook.db").write_text("this is not SQLite, " * 100)
    refused = course.run("roadmap", "classroom", "init", ok=False)
    assert refused.returncode == 1
    assert "is no gradebook" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_tree_without_solutions_says_where_to_grade(course: Any) -> None:
    student = course.student("ada")
    refused = student.run("roadmap", "classroom", "init", ok=False)
    assert refused.returncode == 1
    assert "grade in a checkout of the course" in refused.stderr
    assert not (student.root / "classroom").exists()


def test_deleted_cells_cost_only_the_answers_that_went_with_them(a_class: Any) -> None:
    dropped = {
        "check": {"greet_polite"},
        "setup": {"warm-up_setup-1"},
        "answer": {"double_answer", "double_values"},
        "everything": {
            "double_answer",
            "double_values",
            "greet_answer",
            "greet_polite",
            "greet_nobody",
            "why_essay",
        },
    }
    for student, names in dropped.items():
        a_class.hand_in(student, a_class.correct)
        path = a_class.root / "classroom" / "submitted" / student / a_class.section / f"{a_class.stem}.ipynb"
        notebook = notebooks.read(path)
        notebook.cells = [cell for cell in notebook.cells if notebooks.grade_id(cell) not in names]
        notebooks.write(notebook, path)
    a_class.run("nbgrader", "autograde", a_class.section)
    a_class.run("roadmap", "classroom", "export", "--to", "grades.csv")
    lines = (a_class.root / "grades.csv").read_text().splitlines()[1:]
    raw = {line.split(",")[3]: float(line.split(",")[7]) for line in lines}
    assert raw == {"check": 5, "setup": 5, "answer": 3, "everything": 0}


def test_stock_generate_assignment_gives_the_release_again(course: Any) -> None:
    path = course.root / "exercises" / course.section / f"{course.stem}.ipynb"
    before = path.read_bytes()
    course.run("nbgrader", "generate_assignment", course.section, "--force")
    assert path.read_bytes() == before
    stub = notebooks.cells_by_grade_id(course.release())["double_answer"].source
    assert stub == "def double(value):\n    # Write your answer here.\n    ..."
    assert digest(stub)


@pytest.fixture
def lab(a_class: Any) -> Iterator[Any]:
    """JupyterLab's server in the instructor's checkout: `lab(path)` asks with GET, `lab(path, {})` with POST."""
    settings = a_class.root / "classroom" / "settings.toml"
    settings.write_text(re.sub("(?m)^# exchange = .*", f'exchange = "{a_class.exchange}"', settings.read_text()))
    a_class.run("roadmap", "classroom", "init")
    a_class.run("nbgrader", "release_assignment", a_class.section)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
            *(f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=not-a-secret"),
        ],
        cwd=a_class.root,
        env=a_class.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def ask(path: str, data: dict[str, str] | None = None) -> str:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", data=body)
        request.add_header("Authorization", "token not-a-secret")
        with urllib.request.urlopen(request, timeout=100) as response:  # noqa: S310  http, written above
            return str(response.read().decode())

    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                ask("api")
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, "JupyterLab ended"
                assert time.monotonic() < deadline, "JupyterLab did not answer within 90 s"
                time.sleep(0.2)
        yield ask
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(20)


def test_jupyterlab_lists_fetches_submits_grades_and_gives_feedback(lab: Any, a_class: Any) -> None:
    """The assignment list and the formgrader do in JupyterLab what the commands do."""
    where = f"course_id=backend-roadmap&assignment_id={a_class.section}"
    listed = json.loads(lab("assignments?course_id=backend-roadmap"))
    assert [(item["assignment_id"], item["status"]) for item in listed["value"]] == [(a_class.section, "released")]
    fetched = json.loads(lab(f"assignments/fetch?{where}", {}))
    assert fetched["value"][0]["path"] == f"work/{a_class.section}"
    a_class.answer(a_class.root / "work" / a_class.section, a_class.hard_coded)
    assert json.loads(lab(f"assignments/submit?{where}", {}))["success"]

    assert json.loads(lab(f"formgrader/api/assignment/{a_class.section}/collect", {}))["success"]
    [submission] = json.loads(lab(f"formgrader/api/submissions/{a_class.section}"))
    student = submission["student"]
    graded = json.loads(lab(f"formgrader/api/submission/{a_class.section}/{student}/autograde", {}))
    assert graded["success"], graded
    [submission] = json.loads(lab(f"formgrader/api/submissions/{a_class.section}"))
    assert (submission["score"], submission["max_score"], submission["autograded"]) == (1, 8, True)
    [notebook] = json.loads(lab(f"formgrader/api/submitted_notebooks/{a_class.section}/{a_class.stem}"))
    page = lab(f"formgrader/submissions/{notebook['id']}/")
    assert "Zanzibar" in page, "the instructor sees the hidden checks"
    for path in ("manage_assignments", "manage_students", "gradebook", f"gradebook/{a_class.section}"):
        assert "nbgrader" in lab(f"formgrader/{path}")
    made = json.loads(lab(f"formgrader/api/assignment/{a_class.section}/generate_feedback", {}))
    assert made["success"], made
    assert "Zanzibar" not in a_class.feedback(student)
