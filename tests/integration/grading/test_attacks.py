"""Cheats and attacks, each handed in as an answer: none earns a point, learns a hidden check, or reaches outside.

`tests/data/attacks.toml` has the victim and what is tried on it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import textwrap
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import psutil
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from roadmap_progress.execution.engine import Engine
from roadmap_progress.execution.forks import Zygote
from roadmap_progress.execution.sandbox import Limits, Sandbox, check_machine
from roadmap_progress.grading import judge
from roadmap_progress.grading.assignment import Assignment, SourceCell, source_of
from roadmap_progress.grading.safe import make_safe

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = tomllib.loads((Path(__file__).parents[2] / "data" / "attacks.toml").read_text(encoding="utf-8"))
SECRET, CHECK, CHECK_EACH, SETUP, STUB = (
    CORPUS["victim"][name] for name in ("secret", "check", "check_each", "setup", "stub")
)
ATTACKS, LEAKS, HOGS, SHOWN = (CORPUS[name] for name in ("earn", "leak", "hog", "show"))


def _cell(name: str, source: str, **about: object) -> SourceCell:
    fields = {"locked": True, "grade": False, "solution": False, "task": False, "points": None, **about}
    return SourceCell(name=name, cell_type="code", source=source, checksum="0", **fields)  # type: ignore[arg-type]


SOURCE = source_of(
    "shop",
    (
        _cell("setup", SETUP),
        _cell("total", STUB, locked=False, solution=True),
        _cell("check", CHECK, grade=True, points=4.0),
        _cell("each-check", CHECK_EACH, grade=True, points=1.0),
        _cell("other", "def other():\n    ...", locked=False, solution=True),
        _cell("other-check", "expect(other(), 'fine')", grade=True, points=1.0),
    ),
)
ASSIGNMENT = Assignment("ps1", {"shop": SOURCE}, own=False)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Small limits: an attack should meet them soon."""
    check_machine()
    with Zygote(["unittest.mock", "nbgrader.api", "asyncio"]) as zygote:
        yield Engine(zygote, Sandbox(limits=Limits(memory_mb=256, processes=60, disk_mb=16, cpu_s=20)))


def hand_in(engine: Engine, attack: str, *, more: str = "", timeout_s: float = 5) -> judge.Graded:
    """Grade a notebook with the attack as the answer of `total`; the other exercise is solved."""
    cells = [
        new_code_cell(source, metadata={"nbgrader": {"grade_id": name, "grade": name.endswith("check")}})
        for name, source in (
            ("setup", SETUP),
            ("total", attack),
            ("check", "pass"),
            ("each-check", "pass"),
            ("other", f"def other():\n    return 'fine'\n{more}"),
            ("other-check", "pass"),
        )
    ]
    data = json.dumps(new_notebook(cells=cells)).encode()
    return judge.grade(data, ASSIGNMENT, SOURCE, engine, timeout_s=timeout_s)


def test_an_honest_answer_earns_all(engine: Engine) -> None:
    honest = "def total(cart):\n    return sum(a * b for a, b in cart)\ndef total_each(cart):\n    return [a * b for a, b in cart]"
    assert hand_in(engine, honest).scores == {"check": 4.0, "each-check": 1.0, "other-check": 1.0}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_cheat_earns_nothing(engine: Engine, name: str) -> None:
    graded = hand_in(engine, ATTACKS[name])
    assert graded.failed is None
    assert graded.scores["check"] == graded.scores["each-check"] == 0


@pytest.mark.parametrize("name", LEAKS)
def test_the_answers_never_see_a_hidden_check(engine: Engine, name: str) -> None:
    spy = "seen = []\n" + LEAKS[name]
    graded = hand_in(engine, spy, more="print(In, globals().get('seen'))")
    cells = json.loads(graded.notebook)["cells"]
    told = json.dumps([cell["outputs"] for cell in cells if cell["metadata"]["nbgrader"]["grade_id"] == "other"])
    assert "zanzibar" not in told
    assert str(SECRET) not in told
    (check,) = [cell for cell in cells if cell["metadata"]["nbgrader"]["grade_id"] == "check"]
    streams = "".join("".join(one["text"]) for one in check["outputs"] if one["output_type"] == "stream")
    assert "zanzibar" not in streams


def test_hidden_arguments_are_all_that_an_answer_learns(engine: Engine) -> None:
    """A call's arguments reach the answer, of course; they cannot be told to anybody."""
    spy = "seen = []\ndef total(cart):\n    seen.append(cart)\n    print(cart)\n    return 2\ntotal_each = total"
    graded = hand_in(engine, spy, more="print(seen)")
    assert graded.scores == {"check": 0.0, "each-check": 0.0, "other-check": 1.0}


def outside(attack: str, engine: Engine, **more: float) -> str:
    """What an answer printed."""
    graded = hand_in(engine, textwrap.dedent(attack), timeout_s=more.get("timeout_s", 5))
    assert graded.scores["other-check"] == 1.0, "the other exercise is graded all the same"
    cells = json.loads(graded.notebook)["cells"]
    (cell,) = [cell for cell in cells if cell["metadata"]["nbgrader"]["grade_id"] == "total"]
    return "".join("".join(one.get("text", one.get("evalue", ""))) for one in cell["outputs"])


def test_no_file_of_the_instructor_can_be_read_or_written(engine: Engine, tmp_path: Path) -> None:
    secret = tmp_path / "gradebook.db"
    secret.write_text("secret grades", encoding="utf-8")
    secret.chmod(0o666)
    here = Path(__file__).resolve()
    said = outside(
        f"""
        for path in ({str(secret)!r}, {str(here)!r}, "/etc/shadow", {str(Path.home() / ".bashrc")!r}, "/proc/1/root{secret}"):
            for mode in ("r", "a"):
                try:
                    open(path, mode).close()
                    print("OPENED", path, mode)
                except OSError as error:
                    print(type(error).__name__)
        import os
        for path in ("/usr/x", "/etc/x", "/dev/x", "/proc/sys/kernel/hostname"):
            try: open(path, "w").close(); print("OPENED", path)
            except OSError: pass
        os.symlink("/", "link"); print(os.path.exists("link{secret}"))
        """,
        engine,
    )
    assert "OPENED" not in said
    assert secret.read_text(encoding="utf-8") == "secret grades"


def test_nothing_on_the_network_can_be_reached(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind("\0roadmap-test-abstract")
        local.listen()
        said = outside(
            f"""
            import socket
            for family, address in ((socket.AF_INET, ("127.0.0.1", {server.getsockname()[1]})),
                                    (socket.AF_INET, ("8.8.8.8", 53)), (socket.AF_UNIX, "\\0roadmap-test-abstract")):
                s = socket.socket(family); s.settimeout(1)
                try: s.connect(address); print("CONNECTED", address)
                except OSError as error: print(error)
            """,
            engine,
        )
    assert "CONNECTED" not in said


def test_no_process_outside_can_be_seen_or_signalled(engine: Engine) -> None:
    said = outside(
        f"""
        import os, signal
        for pid in ({os.getpid()}, -1, {os.getppid()}):
            try: os.kill(pid, signal.SIGTERM); print("SIGNALLED", pid)
            except OSError as error: print(error)
        print("SEES", [p for p in os.listdir("/proc") if p.isdigit()])
        """,
        engine,
    )
    assert f"SIGNALLED {os.getpid()}" not in said
    assert "SEES ['1']" in said


@pytest.mark.parametrize(
    "call",
    [
        "unshare(0x10000000)",
        "mount(b'x', b'/tmp', b'tmpfs', 0, 0)",
        "ptrace(16, 1, 0, 0)",
        "setns(3, 0)",
        "chroot(b'/tmp')",
    ],
)
def test_system_calls_that_an_escape_needs_are_refused(engine: Engine, call: str) -> None:
    said = outside(
        f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint('RESULT', libc.{call}, ctypes.get_errno())",
        engine,
    )
    assert "RESULT -1 1" in said


@pytest.mark.parametrize("name", HOGS)
def test_a_hog_meets_its_limit_and_harms_nobody(engine: Engine, name: str) -> None:
    said = outside(HOGS[name], engine, timeout_s=3)
    assert len(said) < 2_000_000
    number = [int(word) for word in said.split() if word.isdigit()]
    if name == "fork bomb":
        assert 0 < number[0] <= 60
    if name == "memory":
        assert number[0] <= 300
    if name == "disk":
        assert number[0] <= 16
    launcher = engine.zygote._process
    assert launcher is not None
    (zygote,) = psutil.Process(launcher.pid).children()
    assert not zygote.children(recursive=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"[]",
        b'{"nbformat": 3}',
        b'{"nbformat": 4, "cells": 7}',
        b"[" * 200_000,
        b'{"nbformat": 4, "cells": [' + b",".join([b'{"cell_type": "raw"}'] * 6000) + b"]}",
    ],
    ids=["empty", "text", "list", "format 3", "cells 7", "deep", "6000 cells"],
)
def test_what_is_no_notebook_is_refused_with_words(engine: Engine, data: bytes) -> None:
    graded = judge.grade(data, ASSIGNMENT, SOURCE, engine)
    assert graded.failed
    assert not graded.scores


def test_a_forged_notebook_is_graded_for_what_the_gradebook_knows(engine: Engine) -> None:
    """Renamed, duplicated, retyped and reflagged cells, odd ids and odd metadata."""
    forged = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "evil", "argv": ["sh"]}},
        "cells": [
            {
                "cell_type": "code",
                "source": ["def total(cart):\n", "  return 2"],
                "metadata": {"nbgrader": {"grade_id": "total"}},
            },
            {
                "cell_type": "code",
                "source": "1",
                "metadata": {"nbgrader": {"grade_id": "check", "points": 99, "grade": True}},
            },
            {"cell_type": "markdown", "source": "x", "metadata": {"nbgrader": {"grade_id": "check"}}},
            {
                "cell_type": "code",
                "source": "2",
                "metadata": {"nbgrader": {"grade_id": "check", "points": 99, "grade": True, "solution": True}},
            },
            {
                "cell_type": "code",
                "source": "3",
                "metadata": {"nbgrader": {"grade_id": "invented", "grade": True, "points": 50}},
                "id": "é é",
            },
            {"cell_type": 5, "source": {}, "metadata": [], "id": 7},
            "no cell",
        ],
    }
    graded = judge.grade(json.dumps(forged).encode(), ASSIGNMENT, SOURCE, engine)
    assert graded.failed is None
    assert graded.scores == {"check": 0.0, "each-check": 0.0, "other-check": 0.0}
    found = [cell["metadata"].get("nbgrader") for cell in json.loads(graded.notebook)["cells"]]
    assert [one["grade_id"] for one in found if one] == [
        "setup", "total", "check", "each-check", "other", "other-check",
    ]  # fmt: skip
    assert [one.get("points") for one in found if one and one["grade"]] == [4, 1, 1]
    assert any("more than once" in note for note in graded.notes)


REACHES = {
    "a module": "reach.ask('call', reach.ask('getattr', __import__('os'), 'system'), 'true')",
    "a module's dictionary": "reach.ask('getattr', __import__('sys'), 'modules')",
    "a class by name": "reach.ask('call', __import__('subprocess').Popen, ['true'])",
    "a built-in type": "reach.ask('call', type, 'X', (), {})",
    "the class of a lent object": "raw(['yours', 0], 'getattr', 'update')",
    "every number": "[raw(['yours', n], 'getattr', 'mro') for n in range(50)]",
}


@pytest.mark.parametrize("name", REACHES)
def test_the_answers_can_use_what_a_check_lent_and_nothing_else(engine: Engine, name: str) -> None:
    """The far side of the channel is at hand in the answers' process: a cheat will use it."""
    cheat = f"""
import gc
def total(cart):
    from roadmap_progress.execution import proxies, values
    (reach,) = [one for one in gc.get_objects() if type(one) is proxies.Reach]
    class Forged:
        pass
    def raw(target, operation, *more):
        sent = [target, *(values.encode(one, reach) for one in more)]
        return reach.answer_of(reach.peer.call({{"do": operation, "arguments": sent, "named": {{}}}}))
    def claimed(kind):
        return [9999, {{"name": "x", "qualname": "x", "module": "x", "doc": None, "methods": [], "hashable": True,
                        "error": True, "library": kind}}, []]
    for attempt in (lambda: {REACHES[name]}, lambda: raw(["class", claimed(["subprocess", "Popen"])], "call", ["true"])):
        try:
            attempt()
            print("REACHED")
        except Exception as error:
            print("refused:", type(error).__name__, error)
    return 0
def total_each(cart): return cart
"""
    graded = hand_in(engine, cheat)
    assert graded.scores["check"] == 0
    (check,) = [
        cell
        for cell in json.loads(graded.notebook)["cells"]
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "check"
    ]
    told = "".join("".join(one.get("text", "")) for one in check["outputs"])
    assert "REACHED" not in told
    assert told.count("refused:") == 2


ACTIVE = re.compile(
    r"<(script|iframe|svg|img|object|embed)|\bon\w+\s*=\s*[\"'](?!.*&gt;)|<a[^>]*javascript:", re.IGNORECASE
)


@pytest.mark.parametrize("name", SHOWN)
def test_nothing_that_a_student_shows_runs_in_the_browser_of_who_grades(engine: Engine, name: str) -> None:
    """Neither where formgrader renders the notebook nor in nbgrader's feedback: both are nbconvert's HTML."""
    graded = hand_in(engine, SHOWN[name], more=SHOWN[name])
    assert graded.failed is None
    notebook = nbformat.reads(graded.notebook, 4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind, text in output.get("data", {}).items():
                assert kind in ("text/plain", "text/html", "text/markdown")
                if kind != "text/plain":
                    assert not ACTIVE.search(text), text
        cell.source = ""  # code is shown as text
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    shown = re.sub(r"(?s)<style.*?</style>", "", page)
    assert "<script>stolen" not in shown
    assert not re.search(r"<(img|svg|iframe)[^>]*stolen", shown)


def test_markdown_of_students_is_cleaned_and_that_of_the_course_is_not() -> None:
    written = "Fine, a < b.\n\n<script>stolen()</script><b>bold</b>"
    prompt = "<kbd>Enter</kbd> <details><summary>Hint</summary>\n\nThink.\n\n</details>"
    cells = [
        new_markdown_cell(written, metadata={"nbgrader": {"grade_id": "x", "solution": True, "locked": False}}),
        new_markdown_cell("a < b & c"),
        new_markdown_cell(prompt),
        new_markdown_cell(written, metadata={"nbgrader": {"grade_id": "y", "locked": True}}),
    ]
    notebook = new_notebook(cells=cells)
    make_safe(notebook)
    assert "<script" not in notebook.cells[0].source
    assert "<b>bold</b>" in notebook.cells[0].source
    assert notebook.cells[1].source == "a < b & c"
    assert notebook.cells[2].source == prompt  # nothing marks it as the course's
    assert notebook.cells[3].source == written
