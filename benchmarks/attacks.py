"""What attacks achieve against `nbgrader autograde` and `roadmap grade`: run me as root, in the environment.

    python benchmarks/attacks.py [--only TABLE] [--results DIR] [--idle-s 40] [--table]

The corpus is tests/data/attacks.toml. Each attack is handed in by a student of its own. nbgrader gets them one at
a time, as one may stop the run; ours gets a table at a time. Each run is in a course, a user, a network and a PID
namespace of its own, with limits on memory, processes, files and time, so that nothing that stock nbgrader lets
through reaches this machine; see benchmarks/cage.py. A run that hangs is killed with all its processes. Where
nbgrader gives the attacker no grade, a second run has an honest student behind: does that one get theirs?

With `--results` what was found is kept there, one line an attack, and a later run does only what is missing.
`--table` prints the tables of docs/grading.md from it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import nbformat
from grading import BIN, CONFIG, nbgrader_cell, run
from nbformat.v4 import new_code_cell, new_notebook

REPOSITORY = Path(__file__).parents[1]
CORPUS = tomllib.loads((REPOSITORY / "tests" / "data" / "attacks.toml").read_text(encoding="utf-8"))
VICTIM = CORPUS["victim"]
GOALS = {
    "earn": "earn points without solving anything",
    "leak": "show a hidden check",
    "reach": "reach files, servers or processes of the instructor",
    "show": "run in the browser of who opens the graded notebook",
    "hog": "take memory, disk or processes",
}
ACTIVE = re.compile(
    r"<(script|iframe|svg|img|object|embed)|\bon\w+\s*=\s*[\"'](?!.*&gt;)|<a[^>]*javascript:", re.IGNORECASE
)
HONEST = "zoe"
ANSWERS = {"total": "def total(cart):\n    return sum(a * b for a, b in cart)\n\n"
                    "def total_each(cart):\n    return [a * b for a, b in cart]",
           "other": "def other():\n    return 'fine'"}  # fmt: skip
GRADERS = {
    "nbgrader": [f"{BIN}/nbgrader", "autograde", "ps1"],
    "roadmap": [f"{BIN}/roadmap", "grade", "ps1", "--course-dir", "/course", "--memory-mb", "256"],
}
LIMIT_S = 600


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of an attack.

    Attributes:
        ended: the grader's exit code; None where it had to be killed.
        points: what the attacked checks gave, of 5; None where there is no grade.
        other: what the other exercise of the same notebook gave, which was solved; of 1.
        behind: what an honest student behind got in a second run, of 6; None where they have no grade, or where
            nothing was amiss and there was no second run.
        hung_then: whether that second run had to be killed.
        told: "zanzibar" was printed, REACHED was printed, active content is shown: what of these.
        left: names of processes that were there after the grader's end.
    """

    table: str
    attack: str
    grader: str
    ended: int | None
    seconds: float
    points: float | None
    other: float | None
    behind: float | None
    told: list[str]
    left: list[str]
    hung_then: bool = False

    @property
    def reached(self) -> bool:
        """Whether it got what it wanted."""
        if self.table == "earn":
            return bool(self.points)
        return TOLD[self.table] in self.told if self.table in TOLD else self.other != 1 or bool(self.left)

    @property
    def words(self) -> list[str]:
        """What it achieved, in words; nothing where it met what it should."""
        if self.ended is None:
            return ["hung, and the class with it"]
        words = []
        if self.points:
            words.append(f"earned {self.points:g} of {ATTACKED_POINTS}")
        words += [word for word in self.told if word == TOLD.get(self.table)]
        if self.points is None:
            words.append("submission given up")
            if self.behind is None:
                words.append("hung at those behind it" if self.hung_then else "those behind it, too")
        elif self.table == "hog" and self.other != 1:
            words.append("cost the other exercise its point")
        if self.left:
            words.append(f"{len(self.left)} process{'es' * (len(self.left) > 1)} left")
        return words


TOLD = {"leak": "hidden check shown", "reach": "reached", "show": "active content shown"}
ATTACKED_POINTS = 5
FIRST_UID = 1_400_000_000


def source() -> nbformat.NotebookNode:
    """The victim."""
    cells = [
        nbgrader_cell(new_code_cell(VICTIM["setup"]), "setup"),
        nbgrader_cell(new_code_cell(VICTIM["stub"]), "total", solution=True),
        nbgrader_cell(new_code_cell(VICTIM["check"]), "check", grade=True, points=4),
        nbgrader_cell(new_code_cell(VICTIM["check_each"]), "each-check", grade=True, points=1),
        nbgrader_cell(new_code_cell("def other():\n    ..."), "other", solution=True),
        nbgrader_cell(new_code_cell("expect(other(), 'fine')"), "other-check", grade=True, points=1),
    ]
    return new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )


def make_course(root: Path) -> None:
    """A course with the victim released, for the graders to find at /course."""
    (root / "source" / "ps1").mkdir(parents=True)
    settings = "c.Execute.timeout = 8\nc.ClearSolutions.enabled = False\n"
    config = root / "nbgrader_config.py"
    config.write_text(f"{CONFIG}{settings}c.CourseDirectory.root = {str(root)!r}\n", encoding="utf-8")
    nbformat.write(source(), root / "source" / "ps1" / "shop.ipynb")
    run([BIN / "nbgrader", "generate_assignment", "ps1"], root)
    config.write_text(f"{CONFIG}{settings}c.CourseDirectory.root = '/course'\n", encoding="utf-8")


def hand_in(root: Path, student: str, answers: dict[str, str]) -> None:
    """Put a submission into the course."""
    notebook = nbformat.read(root / "release" / "ps1" / "shop.ipynb", 4)
    for cell in notebook.cells:
        cell.source = answers.get(cell.metadata.nbgrader.grade_id, cell.source)
    folder = root / "submitted" / student / "ps1"
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / "shop.ipynb")


def in_cage(course: Path, grader: str, uid: int, idle_s: float, report: Path) -> dict[str, Any]:
    """Run the grader on a copy of the course; what it made is in the folder `report`."""
    students = [place.name for place in (course / "submitted").iterdir()]
    wish = {
        "uid": uid,
        "course": str(course),
        "package": str(REPOSITORY / "roadmap_progress"),
        "command": GRADERS[grader],
        "limit_s": LIMIT_S,
        "idle_s": idle_s,
        "keep": ["gradebook.db", *(f"autograded/{student}/ps1/shop.ipynb" for student in students)],
        "report": str(report),
    }
    spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--propagation", "private"]
    cage = str(Path(__file__).parent / "cage.py")
    with subprocess.Popen(
        ["unshare", *spaces, sys.executable, "-P", cage, json.dumps(wish)], start_new_session=True
    ) as process:
        try:
            process.wait(LIMIT_S + 120)
        finally:
            if process.poll() is None:  # its child, the first of the PID namespace, goes with it, and all others
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise SystemExit(
            f"the cage failed with {process.returncode} (it needs root, unshare(1) and pivot_root(8))"
        )
    told: dict[str, Any] = json.loads((report / "report.json").read_text(encoding="utf-8"))
    return told


def grades(report: Path) -> dict[str, dict[str, float | None]]:
    """By student, the scores in the gradebook that was copied out."""
    from nbgrader.api import Gradebook

    found = {}
    with Gradebook(f"sqlite:///{report / 'gradebook.db'}", "bench") as gradebook:
        for one in gradebook.find_assignment("ps1").submissions:
            found[one.student.id] = {
                grade.name: grade.auto_score for book in one.notebooks for grade in book.grades
            }
    return found


def shown(notebook: Path) -> list[str]:
    """What of the attacks' goals the graded notebook shows."""
    outputs = [one for cell in nbformat.read(notebook, 4).cells for one in cell.get("outputs", [])]
    printed = "".join(one.get("text", "") for one in outputs)
    pages = [(kind, str(text)) for one in outputs for kind, text in one.get("data", {}).items()]
    found = {
        "hidden check shown": "zanzibar" in printed,
        "reached": "REACHED" in printed,
        "active content shown": any(
            kind == "application/javascript" or (kind != "text/plain" and ACTIVE.search(text))
            for kind, text in pages
        ),
    }
    return [word for word, there in found.items() if there]


def attack(course: Path, table: str, attacks: dict[str, str], grader: str, uid: int, idle_s: float) -> list[Found]:
    """Try attacks on one grader, in one run."""
    students = {name: f"a{number:03}" for number, name in enumerate(attacks)}
    shutil.rmtree(course / "submitted", ignore_errors=True)
    for name, text in attacks.items():
        hand_in(course, students[name], ANSWERS | {"total": text})
    told, scores, words = graded(course, grader, uid, idle_s)
    behind, hung_then = None, False
    if grader == "nbgrader" and told["code"] is not None and not scores:  # does it stop the run?
        hand_in(course, HONEST, ANSWERS)
        told_then, second, _ = graded(course, grader, uid, idle_s)
        hung_then = told_then["code"] is None
        behind = sum(points or 0 for points in second[HONEST].values()) if HONEST in second else None
    found = []
    for name, student in students.items():
        mine = scores.get(student, {})
        attacked = [mine.get(check) or 0 for check in ("check", "each-check")]
        found.append(
            Found(
                table=table,
                attack=name,
                grader=grader,
                ended=told["code"],
                seconds=told["seconds"],
                points=sum(attacked) if mine else None,
                other=mine.get("other-check"),
                behind=behind,
                told=words.get(student, []),
                left=told["left"],
                hung_then=hung_then,
            )
        )
    return found


def graded(
    course: Path, grader: str, uid: int, idle_s: float
) -> tuple[dict[str, Any], dict[str, dict[str, float | None]], dict[str, list[str]]]:
    """How it ended; by student that has a graded notebook, the scores, and what that notebook shows."""
    with tempfile.TemporaryDirectory(prefix="roadmap-attack-") as folder:
        report = Path(folder)
        told = in_cage(course, grader, uid, idle_s, report)
        scores = {}
        with contextlib.suppress(Exception):  # the attack may have left a gradebook that is none
            scores = grades(report)
        made = {path.name.split("+")[1]: path for path in report.glob("autograded+*")}
        there = {student: scores[student] for student in scores if student in made}
        return told, there, {student: shown(path) for student, path in made.items()}


def known(results: Path) -> dict[tuple[str, str, str], Found]:
    """What was found before."""
    path = results / "attacks.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [Found(**json.loads(line)) for line in lines if line.endswith("}")]  # the last may be half written
    return {(one.table, one.attack, one.grader): one for one in found}


def print_tables(found: dict[tuple[str, str, str], Found]) -> None:
    """The tables of docs/grading.md."""
    print(
        "| attacks that want to … | tried | did: nbgrader | did: roadmap | no grade, or hung: nbgrader | roadmap |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for table, goal in GOALS.items():
        sides = [[one for one in found.values() if (one.table, one.grader) == (table, side)] for side in GRADERS]
        reached = " | ".join(str(sum(one.reached for one in side)) for side in sides)
        ungraded = " | ".join(str(sum(one.points is None for one in side)) for side in sides)
        print(f"| {goal} | {len(CORPUS[table])} | {reached} | {ungraded} |")
    # one that sees other processes prints the same word: they hold the check
    print("\n| | attack | `nbgrader autograde` | `roadmap grade` |\n| --- | --- | --- | --- |")
    for table in GOALS:
        for name in CORPUS[table]:
            both = [found.get((table, name, grader)) for grader in GRADERS]
            words = ["not tried" if one is None else "; ".join(one.words) or "–" for one in both]
            print(f"| {table} | {name} | {words[0]} | {words[1]} |")


def main() -> None:
    """Try all that is not tried yet, and print tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=GOALS)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--idle-s", type=float, default=40)
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="roadmap-attacks-") as folder:
        results = asked.results or Path(folder)
        results.mkdir(parents=True, exist_ok=True)
        found = known(results)
        if not asked.table:
            course = Path(folder, "course")
            make_course(course)
            todo = [
                (table, {name: attacks[name] for name in names}, grader)
                for table, attacks in ((table, CORPUS[table]) for table in GOALS if asked.only in (None, table))
                for names, grader in ((list(attacks), "roadmap"), *(([name], "nbgrader") for name in attacks))
                if any((table, name, grader) not in found for name in names)
            ]
            uid = FIRST_UID + os.getpid() * 1000
            for grader in (
                GRADERS if todo and not found else ()
            ):  # else a grader that does not work here would look strong
                (one,) = attack(course, "earn", {"none": ANSWERS["total"]}, grader, uid, asked.idle_s)
                if (one.points, one.other, one.words[1:]) != (ATTACKED_POINTS, 1, []):
                    raise SystemExit(f"an honest answer is not graded as it should be: {one}")
            for number, (table, attacks, grader) in enumerate(todo, start=1):
                for one in attack(course, table, attacks, grader, uid + number, asked.idle_s):
                    found[table, one.attack, grader] = one
                    with (results / "attacks.jsonl").open("a", encoding="utf-8") as file:
                        file.write(json.dumps(dataclasses.asdict(one)) + "\n")
                    told = "; ".join(one.words) or "nothing"
                    print(f"{table}: {one.attack}: {grader}, {one.seconds} s: {told}", flush=True)
        print_tables(found)


if __name__ == "__main__":
    main()
