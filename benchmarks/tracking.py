"""What tracking costs a cell: the same cells in two kernels at the same time, one tracked, one not.

    python benchmarks/tracking.py [ROUNDS]

Both kernels run under `work/` of a throw-away course with as many checks as the whole roadmap will have. In the
second the extension is unloaded. Cells are sent in turn, so that both see the same load of the machine; the figure
is the median of the time from the request to the kernel's being idle again, in milliseconds.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.manager import KernelManager
from nbformat.v4 import new_code_cell, new_notebook

from roadmap_progress.model import digest
from roadmap_progress.store import Store, path_for

NOTEBOOKS, EXERCISES, CHECKS = 51, 6, 3
LIMIT_MS = 5.0
ANSWER = "def answer(): return 1"
STUB = "# Write your answer here.\n..."
CELLS = {  # what is run: its source and its grade id
    "any cell": ("1 + 1", ""),
    "answer": (ANSWER, "answer-1-0_answer"),
    "passing check": ("assert answer() == 1", "answer-1-0_check-0"),
    "failing check": ("assert answer() == 2, 'answer() is 1; expected 2'", "answer-1-0_check-1"),
    "not attempted": ("assert other() == 2, 'other'", "answer-1-1_check-0"),
}


def make_course(root: Path) -> Path:
    """Write a course of the roadmap's size and the learner's copy of its first notebook; returns that."""
    texts = {name: source for source, name in CELLS.values()}

    def exercise(notebook: int, number: int) -> dict[str, object]:
        name = f"answer-{notebook}-{number}"
        checks = []
        for check in range(CHECKS):
            known = f"{name}_check-{check}"
            released = digest(texts.get(known, known))
            checks.append(
                {"id": known, "topic": f"t{notebook}", "points": 1, "version": "v", "released": released}
            )
        return {
            "id": name,
            "title": name,
            "answers": [{"id": f"{name}_answer", "released": digest(STUB)}],
            "checks": checks,
        }

    notebooks = [
        {
            "number": f"1.{number}",
            "slug": f"notebook-{number}",
            "title": "A notebook",
            "status": "ready",
            "topics": [{"id": f"t{number}", "title": "A topic"}],
            "exercises": [exercise(number, index) for index in range(EXERCISES)],
        }
        for number in range(1, NOTEBOOKS + 1)
    ]
    data = {
        "version": "1",
        "sections": [{"number": 1, "slug": "01-all", "title": "All", "notebooks": notebooks}],
    }
    (root / "course").mkdir()
    (root / "course" / "roadmap.json").write_text(json.dumps(data), encoding="utf-8")
    cells = []
    for index in range(EXERCISES):
        marks = {"grade_id": f"answer-1-{index}_answer", "solution": True, "grade": False}
        cells.append(new_code_cell(STUB, metadata={"nbgrader": marks}))
        cells += [new_code_cell("# some text\n" * 100) for _ in range(CHECKS)]
    copy = root / "work" / "01-all" / "1.1-notebook-1.ipynb"
    copy.parent.mkdir(parents=True)
    nbformat.write(new_notebook(cells=cells), copy)
    return copy


class Kernel:
    """A kernel and how long its cells take."""

    def __init__(self, copy: Path) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(copy.parent), extra_arguments=["--log-level=ERROR"])
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run_ms(self, source: str, name: str = "") -> float:
        """Run a cell; returns how long that took."""
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
        }
        metadata = {"nbgrader": {"grade_id": name}} if name else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        begun = time.perf_counter()
        self.client.shell_channel.send(message)
        while True:
            seen = self.client.get_iopub_msg(timeout=60)
            if seen["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if seen["msg_type"] == "status" and seen["content"]["execution_state"] == "idle":
                break
        elapsed = time.perf_counter() - begun
        self.client.get_shell_msg(timeout=60)
        return elapsed * 1000

    def close(self) -> None:
        """Stop it."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()


def main(rounds: int) -> int:
    """Print a table; 1 when a cell costs more than the limit."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy = make_course(root)
        on, off = Kernel(copy), Kernel(copy)
        try:
            off.run_ms("%unload_ext roadmap_progress.tracking")
            times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in CELLS}
            for _ in range(rounds):
                for name, (source, grade_id) in CELLS.items():
                    times[name][0].append(off.run_ms(source, grade_id))
                    times[name][1].append(on.run_ms(source, grade_id))
        finally:
            on.close()
            off.close()
        with Store(path_for(root)) as store:
            stored = sum(1 for _ in store.events())
    print(f"{rounds} rounds · {NOTEBOOKS * EXERCISES * CHECKS} checks in the course · {stored} events stored")
    print(
        f"{'':16}{'off':>8}{'on':>8}{'cost':>8}{'ratio':>8}   ms, medians        {'off':>8}{'on':>8}   the first"
    )
    worst = 0.0
    for name, (without, tracked) in times.items():
        before, after = statistics.median(without), statistics.median(tracked)
        worst = max(worst, after - before)
        first = f"{without[0]:30.2f}{tracked[0]:8.2f}"
        print(f"{name:16}{before:8.2f}{after:8.2f}{after - before:8.2f}{after / before:8.2f}{first}")
    assert stored == rounds * sum("check" in grade_id for _, grade_id in CELLS.values())
    print(f"most a cell costs: {worst:.2f} ms (limit {LIMIT_MS} ms)")
    return int(worst > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
