"""What attacks achieve against `nbgrader autograde` and `roadmap grade`: run me with the environment's Python.

    python benchmarks/attacks.py [--only TABLE] [--all]

The corpus is tests/data/attacks.toml. A course is made in a temporary folder, each attack is handed in by a
student of its own, both graders grade copies; the table says how many attacks got what they wanted. What would
bring this machine down (the table `hog`: fork bombs, memory, disk) is tried on nbgrader with `--all` only: it has
no limits.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import tomllib
from pathlib import Path

import nbformat
from grading import BIN, CONFIG, nbgrader_cell
from nbformat.v4 import new_code_cell, new_notebook

CORPUS = tomllib.loads((Path(__file__).parents[1] / "tests" / "data" / "attacks.toml").read_text(encoding="utf-8"))
VICTIM = CORPUS["victim"]
GOALS = {
    "earn": "earn points without solving anything, or have the submission given up",
    "leak": "show a hidden check",
    "reach": "reach files, servers or processes of the instructor",
    "show": "run in the browser of who opens the graded notebook",
    "hog": "take memory, disk or processes, cost another exercise its grade, leave a process",
}
ACTIVE = re.compile(r"<(script|iframe|svg|img)|javascript:|stolen\(\)", re.IGNORECASE)
LIMIT_S = 60


def source() -> nbformat.NotebookNode:
    """The victim."""
    cells = [
        nbgrader_cell(new_code_cell(VICTIM["setup"]), "setup"),
        nbgrader_cell(new_code_cell(VICTIM["stub"]), "total", solution=True),
        nbgrader_cell(new_code_cell(VICTIM["check"]), "check", grade=True, points=4),
        nbgrader_cell(new_code_cell("def other():\n    ..."), "other", solution=True),
        nbgrader_cell(new_code_cell("expect(other(), 'fine')"), "other-check", grade=True, points=1),
    ]
    return new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )


def make_course(root: Path, attacks: dict[str, str]) -> None:
    """A course in which each attack was handed in; its students are named by number."""
    (root / "source" / "ps1").mkdir(parents=True)
    settings = (
        f"c.CourseDirectory.root = {str(root)!r}\nc.Execute.timeout = 10\nc.ClearSolutions.enabled = False\n"
    )
    (root / "nbgrader_config.py").write_text(CONFIG + settings, encoding="utf-8")
    nbformat.write(source(), root / "source" / "ps1" / "shop.ipynb")
    done = run([BIN / "nbgrader", "generate_assignment", "ps1"], root)
    if done is None or done.returncode:
        raise SystemExit(f"generate_assignment failed: {done and done.stderr[-2000:]}")
    released = (root / "release" / "ps1" / "shop.ipynb").read_text(encoding="utf-8")
    for number, attack in enumerate(attacks.values()):
        notebook = nbformat.reads(released, 4)
        answers = {"total": attack, "other": "def other():\n    return 'fine'"}
        for cell in notebook.cells:
            cell.source = answers.get(cell.metadata.nbgrader.grade_id, cell.source)
        folder = root / "submitted" / f"s{number:03}" / "ps1"
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / "shop.ipynb")


def run(command: list[object], root: Path) -> subprocess.CompletedProcess[str] | None:
    """The command's end; None if it had none in time."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(root),
        "ROADMAP_ATTACKED_HOME": str(root),
    }
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=LIMIT_S * (1 if "--student" in command else 3))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.communicate()
            return None
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def grade_all(command: list[object], root: Path, count: int) -> None:
    """Grade the class, then each that was left out by itself: one submission may have stopped the whole run."""
    run(command, root)
    for number in range(count):
        if not (root / "autograded" / f"s{number:03}" / "ps1" / "shop.ipynb").exists():
            run([*command, "--student", f"s{number:03}"], root)


def achieved(root: Path, number: int, table: str) -> str:
    """What the attack got, "" for nothing."""
    from nbgrader.api import Gradebook, MissingEntry

    student = f"s{number:03}"
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}", "bench") as gradebook:
        try:
            submission = gradebook.find_submission("ps1", student)
            scores = {grade.name: grade.auto_score for book in submission.notebooks for grade in book.grades}
        except MissingEntry:
            scores = {}
    path = root / "autograded" / student / "ps1" / "shop.ipynb"
    if not path.exists() or len(scores) < 2:
        return "no grade at all" if table in ("earn", "hog") else ""
    outputs = [one for cell in nbformat.read(path, 4).cells for one in cell.get("outputs", [])]
    printed = "".join(one.get("text", "") for one in outputs)
    shown = [text for one in outputs for kind, text in one.get("data", {}).items() if kind != "text/plain"]
    found = {
        "earn": "points" if scores["check"] else "",
        "leak": "a hidden check" if "zanzibar" in printed else "",
        "reach": "reached" if "REACHED" in printed else "",
        "show": "active content" if any(ACTIVE.search(text) for text in shown) else "",
    }.get(table, "")
    if table == "hog" and scores["other-check"] != 1:
        return "another exercise's grade"
    return found


def bait() -> socket.socket:
    """A server that says who it is, on this machine's loopback."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"attacked")

    threading.Thread(target=serve, daemon=True).start()
    return listener


def main() -> None:
    """Try all, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=GOALS)
    parser.add_argument("--all", action="store_true")
    asked = parser.parse_args()
    rows = []
    with bait(), tempfile.TemporaryDirectory(prefix="roadmap-attacks-") as folder:
        for table, goal in GOALS.items():
            if asked.only not in (None, table):
                continue
            attacks = CORPUS[table]
            ours, theirs = Path(folder, table, "ours"), Path(folder, table, "theirs")
            make_course(ours, attacks)
            shutil.copytree(ours, theirs)
            for root in (ours, theirs):
                (root / "secret.txt").write_text("secret", encoding="utf-8")
            config = theirs / "nbgrader_config.py"
            config.write_text(config.read_text(encoding="utf-8").replace("/ours", "/theirs"), encoding="utf-8")
            grade_all(
                [BIN / "roadmap", "grade", "ps1", "--course-dir", ours, "--memory-mb", 256], ours, len(attacks)
            )
            if table != "hog" or asked.all:
                grade_all([BIN / "nbgrader", "autograde", "ps1"], theirs, len(attacks))
            got = {
                name: (achieved(theirs, number, table), achieved(ours, number, table))
                for number, name in enumerate(attacks)
            }
            for name, (stock, engine) in got.items():
                print(
                    f"{table}: {name}: nbgrader: {stock or 'nothing'}; roadmap: {engine or 'nothing'}", flush=True
                )
            counts = [sum(bool(one[grader]) for one in got.values()) for grader in (0, 1)]
            stock_words = f"{counts[0]}" if table != "hog" or asked.all else "not tried: no limits"
            rows.append(f"| {goal} | {len(attacks)} | {stock_words} | {counts[1]} |")
    print("\n| attacks that … | tried | `nbgrader autograde` | `roadmap grade` |\n| --- | --- | --- | --- |")
    print("\n".join(rows))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
