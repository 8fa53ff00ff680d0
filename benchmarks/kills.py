"""Kills graders in the middle, again and again, and looks whether anything is lost.

    python benchmarks/kills.py [--rounds 200] [--submissions 20]

In each round a `roadmap grade` is started on a class, and at a random moment a random one of its processes
gets SIGKILL: the one that writes the gradebook, the zygote, a worker's clone of it, a submission's answers or
checks. Behind each round no process and no half-written folder may be left. When a class is through, its grades
have to be those of a run that nobody disturbed, each submission graded once; then a fresh class is begun.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
from grading import BIN, make_course, run, scores

ENDS_S = 120


def what(victim: psutil.Process, main: psutil.Process) -> str:
    """What a process of a grader is, by how far below it stands."""
    try:
        depth = len(victim.parents()) - len(main.parents())
    except psutil.NoSuchProcess:
        return "one that ended just then"
    return ["writer", "zygote's keeper", "zygote", "worker's zygote", "submission"][min(depth, 4)]


def kill_one(command: list[object], root: Path, within_s: float, chance: random.Random) -> str:
    """Start it and kill one of its processes; returns which, "" if it was through before.

    Raises:
        AssertionError: something was left, or the rest did not end.
    """
    with subprocess.Popen(
        [str(part) for part in command], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(chance.uniform(0.1, 1.0) * within_s)
        if process.poll() is not None:
            return ""
        main = psutil.Process(process.pid)
        family = main.children(recursive=True)
        place = chance.randrange(-len(family) // 2 - 1, len(family))  # the writer more often than each other one
        victim = family[place] if place >= 0 else main
        kind = what(victim, main)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
        try:
            process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"with its {kind} killed it did not end") from None
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive, (kind, alive)
    return kind


def graded_once(root: Path) -> bool:
    """Whether the gradebook has each submission once."""
    with sqlite3.connect(root / "gradebook.db") as connection:
        (twice,) = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM submitted_assignment GROUP BY assignment_id, student_id "
            "HAVING count(*) > 1)"
        ).fetchone()
    return not twice


def main() -> None:
    """Kill, and count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--submissions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    killed: collections.Counter[str] = collections.Counter()
    classes = 0
    with tempfile.TemporaryDirectory(prefix="roadmap-kills-") as folder:
        fresh, root = Path(folder, "class"), Path(folder, "x", "class")
        make_course(fresh, asked.submissions, heavy=False)
        config = fresh / "nbgrader_config.py"
        config.write_text(config.read_text(encoding="utf-8").replace(str(fresh), str(root)), encoding="utf-8")
        command: list[object] = [BIN / "roadmap", "grade", "shop", "--course-dir", root]
        shutil.copytree(fresh, root)
        within_s = run(command, root)
        expected = scores(root)
        assert len(expected) == asked.submissions
        while sum(killed.values()) < asked.rounds:
            shutil.rmtree(root)
            shutil.copytree(fresh, root)
            classes += 1
            for _ in range(8):
                began = time.monotonic()
                kind = kill_one(command, root, within_s, chance)
                if not kind:  # it was through before
                    within_s = min(within_s, time.monotonic() - began)
                    break
                killed[kind] += 1
            run(command, root)
            assert scores(root) == expected
            assert graded_once(root)
            assert not list((root / "autograded").glob("*/.roadmap-*"))
            print(f"{sum(killed.values())} rounds, {classes} classes: all grades there", flush=True)
    print(", ".join(f"{kind}: {count}" for kind, count in killed.most_common()))


if __name__ == "__main__":
    main()
