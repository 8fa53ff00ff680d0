"""How long `roadmap --version` takes beside `nbgrader --version`: run me with the environment's Python.

Both are started in turn, several times, so that a busy moment of the machine hits both; the medians are compared.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 7
BIN = Path(sys.executable).parent


def seconds(command: list[str]) -> float:
    """Wall-clock time of one start."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    taken: dict[str, list[float]] = {"roadmap": [], "nbgrader": []}
    for _ in range(ROUNDS):
        for name, times in taken.items():
            times.append(seconds([str(BIN / name), "--version"]))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name, median in medians.items():
        print(f"{name} --version: {median * 1000:.0f} ms (median of {ROUNDS})")
    print(f"ratio: 1 : {medians['nbgrader'] / medians['roadmap']:.1f}")


if __name__ == "__main__":
    main()
