"""How long `roadmap grade` takes for a class beside `nbgrader autograde`: run me with the environment's Python.

    python benchmarks/grading.py [--submissions 40] [--heavy] [--jobs 2] [--linear]

A course is made in a temporary folder: a notebook of 15 code cells, graded by 6 checks, and submissions of it,
most of them right, some wrong or blank. Both graders run from the command line, one after the other, on copies;
then ours once more in a process that has everything imported.
`--linear` grades 100, 400 and 1600 submissions with ours alone.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

BIN = Path(sys.executable).parent
CONFIG = 'c = get_config()\nc.CourseDirectory.course_id = "bench"\n'
LIGHT = "import json\nimport math\nimport re"
HEAVY = "import pandas as pd\nimport sqlalchemy\nimport httpx\nimport IPython.display"
SOLUTIONS = {
    "total": "return sum(quantity * price for quantity, price in cart)",
    "vat": "return round(cents * percent / 100)",
    "slug": "return re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')",
}
SIGNATURES = {"total": "cart", "vat": "cents, percent", "slug": "title"}
CHECKS = {
    "total": ["total([(2, 500)]) == 1000", "total([]) == 0 and total([(1, 1), (3, 2)]) == 7"],
    "vat": ["vat(1000, 7) == 70", "vat(0, 19) == 0 and vat(999, 19) == 190"],
    "slug": ["slug('A Book') == 'a-book'", "slug('  Two  Books! ') == 'two-books'"],
}
WRONG = {"total": "return 0", "vat": "return cents", "slug": "raise ValueError(title)"}


def nbgrader_cell(cell, name, *, grade=False, solution=False, points=0):  # type: ignore[no-untyped-def]
    """Mark the cell for nbgrader."""
    about = {"grade": grade, "grade_id": name, "locked": not solution, "solution": solution, "task": False}
    cell.metadata["nbgrader"] = {**about, "schema_version": 3}
    if grade:
        cell.metadata["nbgrader"]["points"] = points
    return cell


def source(*, heavy: bool) -> nbformat.NotebookNode:
    """The instructor's notebook."""
    imports = (HEAVY + "\nimport re") if heavy else LIGHT
    cells = [new_markdown_cell("# A shop"), nbgrader_cell(new_code_cell(imports), "imports")]
    for name, solution in SOLUTIONS.items():
        body = f"def {name}({SIGNATURES[name]}):\n    ### BEGIN SOLUTION\n    {solution}\n    ### END SOLUTION"
        cells.append(nbgrader_cell(new_code_cell(body), name, solution=True))
        cells.append(new_code_cell(f"print({name!r}, 'is written')"))
        for number, check in enumerate(CHECKS[name]):
            text = f"assert {check}"
            if number:
                text = f"### BEGIN HIDDEN TESTS\n{text}\n### END HIDDEN TESTS"
            cells.append(nbgrader_cell(new_code_cell(text), f"{name}-{number}", grade=True, points=2))
    cells += [new_code_cell("sum(range(1000))"), new_code_cell("print('done')")]
    return new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )


def make_course(root: Path, count: int, *, heavy: bool) -> None:
    """Lay out a course with `count` submissions of its assignment `shop`."""
    (root / "source" / "shop").mkdir(parents=True)
    (root / "nbgrader_config.py").write_text(
        CONFIG + f"c.CourseDirectory.root = {str(root)!r}\n", encoding="utf-8"
    )
    nbformat.write(source(heavy=heavy), root / "source" / "shop" / "shop.ipynb")
    run([BIN / "nbgrader", "generate_assignment", "shop"], root)
    released = nbformat.read(root / "release" / "shop" / "shop.ipynb", 4)
    chance = random.Random(7)
    for number in range(count):
        answered = nbformat.from_dict(released)
        answered = nbformat.reads(nbformat.writes(answered), 4)
        for cell in answered.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            if name in SOLUTIONS:
                kind = chance.choices(["right", "wrong", "blank"], [8, 2, 1])[0]
                body = {"right": SOLUTIONS[name], "wrong": WRONG[name]}.get(kind)
                if body:
                    cell.source = f"def {name}({SIGNATURES[name]}):\n    {body}"
        folder = root / "submitted" / f"student{number:04}" / "shop"
        folder.mkdir(parents=True)
        nbformat.write(answered, folder / "shop.ipynb")


def run(command: list[object], cwd: Path) -> float:
    """Seconds that the command took."""
    began = time.perf_counter()
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }  # nbgrader starts alembic by name
    parts = [str(part) for part in command]
    done = subprocess.run(parts, cwd=cwd, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stderr[-3000:]}{done.stdout[-1000:]}")
    return time.perf_counter() - began


def scores(root: Path) -> dict[str, list[tuple[str, float | None, bool]]]:
    """Every grade in the course's gradebook."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{root / 'gradebook.db'}", "bench") as gradebook:
        return {
            one.student.id: sorted((grade.name, grade.auto_score, grade.needs_manual_grade)
                                   for notebook in one.notebooks for grade in notebook.grades)
            for one in gradebook.find_assignment("shop").submissions
        }  # fmt: skip


def warm_seconds(root: Path, jobs: int) -> float:
    """The library call, when everything is imported and the zygote waits."""
    from roadmap_progress.execution.forks import Zygote
    from roadmap_progress.grading.batch import grade_assignment

    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    with Zygote() as zygote:
        grade_assignment(root, "shop", students=["student0000"], force=True, zygote=zygote)
        began = time.perf_counter()
        grade_assignment(root, "shop", jobs=jobs, force=True, zygote=zygote)
        return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--submissions", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--heavy", action="store_true")
    parser.add_argument("--linear", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="roadmap-bench-") as folder:
        root = Path(folder)
        if asked.linear:
            for count in (100, 400, 1600):
                make_course(root / str(count), count, heavy=asked.heavy)
                taken = run(
                    [BIN / "roadmap", "grade", "shop", "--course-dir", root / str(count), "--jobs", asked.jobs],
                    root,
                )
                peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
                print(f"{count} submissions: {taken:.1f} s, {taken / count * 1000:.0f} ms each, at most {peak} MB")
            return
        make_course(root / "ours", asked.submissions, heavy=asked.heavy)
        shutil.copytree(root / "ours", root / "theirs")
        config = root / "theirs" / "nbgrader_config.py"
        config.write_text(config.read_text(encoding="utf-8").replace("/ours", "/theirs"), encoding="utf-8")
        command = [BIN / "roadmap", "grade", "shop", "--course-dir", root / "ours", "--jobs", asked.jobs]
        ours = run(command, root)
        theirs = run([BIN / "nbgrader", "autograde", "shop"], root / "theirs")
        again = run([*command, "--force"], root)
        warm = warm_seconds(root / "ours", asked.jobs)
        same = scores(root / "ours") == scores(root / "theirs")
        kind = "heavy" if asked.heavy else "light"
        print(f"{asked.submissions} submissions ({kind} imports), {asked.jobs} at a time, from the command line")
        print(f"nbgrader autograde: {theirs:.1f} s")
        for name, taken in (("roadmap grade", ours), ("roadmap grade again", again), ("the same, warm", warm)):
            print(f"{name}: {taken:.2f} s, {theirs / taken:.1f} times as fast")
        print(f"same grades: {same}")


if __name__ == "__main__":
    main()
