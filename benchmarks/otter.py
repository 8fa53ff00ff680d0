"""How long `roadmap grade` takes for a class beside `otter run`: run me with the environment's Python.

    python benchmarks/otter.py [--submissions 10] [--heavy] [--jobs 2] [--otter PYTHON]

The course of `grading.py` is written down once more in Otter's format, with the same cells, checks and
points, and the same answers are graded by both: by `otter run` (Otter without its containers, a process a
submission), so many at a time as ours gets, and by `roadmap grade` once. Otter comes into an environment
of its own in a temporary folder, or is the one whose Python is named.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from grading import BIN, CHECKS, HEAVY, LIGHT, SIGNATURES, SOLUTIONS, make_course, run, scores
from nbformat.v4 import new_code_cell, new_notebook, new_raw_cell

OTTER = "otter-grader==7.0.0"


def install(folder: Path) -> Path:
    """An environment with Otter and what the notebooks import; returns its Python."""
    subprocess.run([BIN / "uv", "venv", "-q", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    wanted = [OTTER, "ipykernel", "pandas", "sqlalchemy", "httpx"]
    subprocess.run([BIN / "uv", "pip", "install", "-q", "--python", python, *wanted], check=True)
    return python


def master(*, heavy: bool) -> nbformat.NotebookNode:
    """The instructor's notebook in the format of `otter assign`."""
    imports = (HEAVY + "\nimport re") if heavy else LIGHT
    settings = (
        "# ASSIGNMENT CONFIG\ninit_cell: false\nexport_cell: false\ncheck_all_cell: false\nrun_tests: false\n"
    )
    cells = [new_raw_cell(settings + "generate:\n  show_hidden: true\n"), new_code_cell(imports)]
    for name, solution in SOLUTIONS.items():
        cells += [
            new_raw_cell(f"# BEGIN QUESTION\nname: {name}\npoints: [2, 2]\ncheck_cell: false"),
            new_raw_cell("# BEGIN SOLUTION"),
            new_code_cell(f"def {name}({SIGNATURES[name]}):\n    {solution} # SOLUTION"),
            new_raw_cell("# END SOLUTION"),
            new_raw_cell("# BEGIN TESTS"),
            *(
                new_code_cell(f"# HIDDEN\nassert {check}" if hidden else f"assert {check}")
                for hidden, check in enumerate(CHECKS[name])
            ),
            new_raw_cell("# END TESTS"),
            new_raw_cell("# END QUESTION"),
            new_code_cell(f"print({name!r}, 'is written')"),
        ]
    cells += [new_code_cell("sum(range(1000))"), new_code_cell("print('done')")]
    return new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )


def translated(released: Path, submitted: Path, to: Path) -> None:
    """The submission's answers in the notebook that Otter released."""
    theirs, ours = nbformat.read(released, 4), nbformat.read(submitted, 4)
    answers = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell.source for cell in ours.cells}
    for cell in theirs.cells:
        for name in SOLUTIONS:
            if cell.cell_type == "code" and cell.source.startswith(f"def {name}("):
                cell.source = answers[name]
    nbformat.write(theirs, to)


def otter_run(python: Path, autograder: Path, submission: Path) -> float:
    """Points that Otter gave, over what its tests are worth together."""
    into = submission.parent / f"{submission.stem}-out"
    into.mkdir()
    copy = into / "notebook.ipynb"
    shutil.copy2(submission, copy)
    command = [python.parent / "otter", "run", "-a", autograder, "-o", into, "--no-logo", copy]
    done = subprocess.run(command, cwd=into, capture_output=True, text=True, check=False)
    results = into / "results.json"
    if done.returncode or not results.exists():
        raise SystemExit(f"otter run failed:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    tests = json.loads(results.read_text(encoding="utf-8"))["tests"]
    return float(sum(test.get("score", 0) for test in tests))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--submissions", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--heavy", action="store_true")
    parser.add_argument("--otter", type=Path, help="Python of an environment that has Otter")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="roadmap-otter-") as folder:
        root = Path(folder)
        python = asked.otter.absolute() if asked.otter else install(root / "environment")
        make_course(root / "course", asked.submissions, heavy=asked.heavy)
        nbformat.write(master(heavy=asked.heavy), root / "shop.ipynb")
        run([python.parent / "otter", "assign", "--no-run-tests", "--no-pdfs", "shop.ipynb", "dist"], root)
        released = root / "dist" / "student" / "shop.ipynb"
        (autograder,) = (root / "dist" / "autograder").glob("*.zip")
        handed_in = []
        for path in sorted((root / "course" / "submitted").glob("*/shop/shop.ipynb")):
            handed_in.append(root / f"{path.parts[-3]}.ipynb")
            translated(released, path, handed_in[-1])
        began = time.perf_counter()
        with ThreadPoolExecutor(asked.jobs) as pool:
            theirs = list(pool.map(lambda path: otter_run(python, autograder, path), handed_in))
        otter_s = time.perf_counter() - began
        ours_s = run(
            [BIN / "roadmap", "grade", "shop", "--course-dir", root / "course", "--jobs", asked.jobs], root
        )
        ours = [
            sum(points or 0 for _, points, _ in grades) for _, grades in sorted(scores(root / "course").items())
        ]
        kind = "heavy" if asked.heavy else "light"
        print(f"{asked.submissions} submissions ({kind} imports), {asked.jobs} at a time, from the command line")
        print(f"otter run: {otter_s:.1f} s; roadmap grade: {ours_s:.2f} s, {otter_s / ours_s:.1f} times as fast")
        print(f"same points: {ours == theirs}")
        if ours != theirs:
            print(f"otter: {theirs}\nours:  {ours}")


if __name__ == "__main__":
    main()
