"""Whether grading stays linear and flat: 250, 500, 1,000 and 2,000 submissions, each a class of its own.

    python benchmarks/scale.py [--counts 250 500 1000 2000] [--jobs 2]

For each class `roadmap grade` runs once, from the command line, on a fresh gradebook. Printed are seconds and
processor milliseconds a submission (the latter hardly depend on what else the machine does), and what the grader
and all its children held at most: PSS, which counts what processes share once, sampled from /proc; for the process
that writes alone also at the first tenth and at the end, which shows growth.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from grading import BIN, make_course

SAMPLE_S = 0.5


@dataclass
class Memory:
    """Samples of what a family of processes held, in MB."""

    all_pss: list[float] = field(default_factory=list)
    writer_rss: list[float] = field(default_factory=list)

    def sample(self, process: psutil.Process) -> None:
        """Look once."""
        with contextlib.suppress(psutil.Error):
            self.writer_rss.append(process.memory_info().rss / (1 << 20))
            self.all_pss.append(sum(pss(one.pid) for one in (process, *process.children(recursive=True))))

    def writer_at(self, share: float) -> float:
        """What the writer held when this share of the run was over."""
        return self.writer_rss[min(int(share * len(self.writer_rss)), len(self.writer_rss) - 1)]


def pss(pid: int) -> float:
    """The process's memory in MB, what it shares divided among those that share it; 0 for one that is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def measure(root: Path, jobs: int) -> tuple[float, float, Memory]:
    """Seconds, processor seconds, and memory of one run."""
    command = [str(BIN / "roadmap"), "grade", "shop", "--course-dir", str(root), "--jobs", str(jobs)]
    memory = Memory()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            memory.sample(psutil.Process(process.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SAMPLE_S)
        if process.returncode:
            raise SystemExit(f"{command} failed:\n{process.stderr and process.stderr.read()[-3000:]}")
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used, memory


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--counts", type=int, nargs="+", default=[250, 500, 1000, 2000])
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    print("| submissions | s | ms each | processor ms each | all, PSS at most | writer at 1/10 | at the end |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="roadmap-scale-") as folder:
        for count in asked.counts:
            root = Path(folder, str(count))
            make_course(root, count, heavy=False)
            seconds, used, memory = measure(root, asked.jobs)
            graded = len(list((root / "autograded").iterdir()))
            assert graded == count, (graded, count)
            print(
                f"| {count} | {seconds:.0f} | {seconds / count * 1000:.0f} | {used / count * 1000:.0f} "
                f"| {max(memory.all_pss):.0f} MB | {memory.writer_at(0.1):.0f} MB "
                f"| {memory.writer_at(1):.0f} MB |",
                flush=True,
            )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
