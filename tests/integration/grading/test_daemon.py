"""`roadmap grade --daemon`: single submissions graded by a process that has everything ready."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import psutil
import pytest
from shop_course import BIN, ENVIRONMENT, call, copy_of, make_course, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

STUDENTS = 8


@contextlib.contextmanager
def daemon(course: Path, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A daemon that serves; behind it nothing of it is left."""
    command = [str(BIN / "roadmap"), "grade", "--daemon", str(path), "--course-dir", str(course), "--jobs", "2"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        try:
            assert process.stdout is not None
            assert "grading" in process.stdout.readline()
            yield process
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.terminate()
            assert process.wait(60) == 0 or process.returncode == -signal.SIGKILL
            _, alive = psutil.wait_procs(family, timeout=20)
            assert not alive
        finally:
            process.kill()


def ask(path: Path, *requests: object) -> list[dict[str, object]]:
    """Raw lines to the socket, and the answers."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(120)
        channel.connect(str(path))
        with channel.makefile("rwb") as stream:
            for request in requests:
                stream.write((request if isinstance(request, str) else json.dumps(request)).encode() + b"\n")
            stream.flush()
            return [json.loads(stream.readline()) for _ in requests]


def wanted(student: str, **more: object) -> dict[str, object]:
    return {"assignment": "ps1", "student": student, **more}


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with submissions; for copying only."""
    return make_course(tmp_path_factory.mktemp("class") / "course", students=STUDENTS)


def test_many_clients_get_what_a_run_for_all_would_have_given(handed_in: Path, tmp_path: Path) -> None:
    whole, single = copy_of(handed_in, tmp_path / "whole"), copy_of(handed_in, tmp_path / "single")
    call(["roadmap", "grade", "ps1", "--course-dir", str(whole)], tmp_path)
    path = tmp_path / "grade.sock"
    students = [f"s{number:03}" for number in range(STUDENTS)]
    with daemon(single, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda student: ask(path, wanted(student))[0], students))
        assert [one["student"] for one in told] == students
        assert not any(one["failed"] or one["skipped"] for one in told)
        assert rows(single) == rows(whole)
        assert len(list((single / "autograded").glob("*/ps1/first.ipynb"))) == STUDENTS
        assert ask(path, wanted("s001")) == [{"student": "s001", "skipped": True}]
        (again,) = ask(path, wanted("s001", force=True))
        assert again["points"] == told[1]["points"]
        command = ["roadmap", "grade", "ps1", "--via", str(path), "--student", "s002", "--student", "s003"]
        assert "graded before and no newer" in call(command, tmp_path)
        assert f"s003: {told[3]['points']:g} points" in call([*command, "--force"], tmp_path)
        wrong = ask(path, wanted("nobody"), {"assignment": "ps9", "student": "s001"}, {"student": 1}, "[]", "{")
        words = [str(one["error"]) for one in wrong]
        assert "nobody handed nothing in" in words[0]
        assert "knows no assignment 'ps9'" in words[1]
        assert all("a request is" in word for word in words[2:])
        assert "nobody handed nothing in" in call([*command[:5], "--student", "nobody"], tmp_path, code=1)
        assert rows(single) == rows(whole)
    assert not list(tmp_path.glob("grade.sock*"))
    assert not list((single / "autograded").glob("*/.roadmap-*"))


def test_it_outlives_what_it_grades_and_its_zygote_and_sees_a_new_release(handed_in: Path, tmp_path: Path) -> None:
    course = copy_of(handed_in, tmp_path / "course")
    place = course / "submitted" / "s000" / "ps1" / "first.ipynb"
    notebook = nbformat.read(place, 4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "vat":
            cell.source = "import os\ndef vat(kind, cents):\n    os._exit(3)"
    nbformat.write(notebook, place)
    path = tmp_path / "grade.sock"
    with daemon(course, path) as process:
        crashed, honest = ask(path, wanted("s000"), wanted("s001"))
        assert "crashed" in json.dumps(crashed["notes"])
        assert honest["failed"] is None
        (keeper,) = psutil.Process(process.pid).children()
        below = keeper.children(recursive=True)
        keeper.kill()
        _, alive = psutil.wait_procs(below, timeout=20)
        assert not alive
        (after,) = ask(path, wanted("s001", force=True))
        assert after["points"] == honest["points"]
        from nbgrader.api import Gradebook

        with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "shop") as gradebook:  # as a new release does
            gradebook.find_grade_cell("error-1", "first", "ps1").max_score = 20
            gradebook.db.commit()
        (more,) = ask(path, wanted("s001", force=True))
        assert more["points"] == after["points"] + 19


def test_one_socket_has_one_daemon_and_a_killed_one_leaves_it_free(handed_in: Path, tmp_path: Path) -> None:
    course, path = copy_of(handed_in, tmp_path / "course"), tmp_path / "grade.sock"
    command = ["roadmap", "grade", "--daemon", str(path), "--course-dir", str(course)]

    def refused() -> str:
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]], capture_output=True, text=True, check=False, env=ENVIRONMENT
        )
        assert done.returncode == 1
        return done.stderr

    with daemon(course, path) as process:
        assert "another process serves" in refused()
        assert ask(path, wanted("s001"))[0]["failed"] is None
        process.kill()
        process.wait()
    assert path.exists()
    with daemon(course, path):
        assert ask(path, wanted("s002"))[0]["failed"] is None
    path.write_text("a file of somebody's", encoding="utf-8")
    assert "a socket needs a name of its own" in refused()
    assert path.read_text(encoding="utf-8") == "a file of somebody's"
