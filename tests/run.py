"""Run every test in a sensible order: `make test`, or `.venv/bin/python tests/run.py`.

Quick things come first; a step that falls short does not keep the others from running; a summary comes last.
`--changed` runs what a change can have broken, in under ten minutes; `--only GROUP` runs one group of steps.
Exit code 0 when every step was fine, 1 when any fell short, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
REFERENCE = (3, 11)  # the Python that made the lessons' outputs: only there are they compared strictly
GROUPS = ("system", "static", "unit", "content", "prove", "notebooks", "integration", "browser")

# A change in one of these can break every notebook; with --changed, this many of them are tried.
UNDER_ALL_NOTEBOOKS = re.compile(
    r"roadmap_progress/(execution|authoring|servers|notebooks|processes|watchdog)|nbgrader_config|requirements/.*\.txt"
)
SAMPLE = 2
# A change in one of these can break any integration test.
UNDER_ALL_TESTS = re.compile(
    r"roadmap_progress/(model|errors|catalog|notebooks)\.py|pyproject|conftest|requirements/|tests/run"
)

# How pytest-xdist spreads tests: a notebook's cells stay together, for they share a kernel; single tests go to
# whoever is idle. One process more than cores, for many wait for servers.
MANY = str((os.cpu_count() or 1) + 1)
NOTEBOOKS = ("-n", MANY, "--dist", "loadscope")
TESTS = ("-n", MANY, "--dist", "worksteal")
BROWSERS = ("-n", "2", "--dist", "worksteal")  # each with a JupyterLab and a Chromium of its own


@dataclass(frozen=True)
class Step:
    """A command of the test run.

    Attributes:
        beside: runs while the step before it does, which leaves processor time over; what it prints comes behind.
    """

    group: str
    name: str
    command: list[str]
    beside: bool = False


@dataclass(frozen=True)
class Result:
    """How a step ended."""

    step: Step
    code: int
    took_s: float


@dataclass(frozen=True)
class Scope:
    """What to test: everything, or what a change touched.

    Attributes:
        notebooks: numbers of notebooks; None means all.
        integration: files below tests/integration; None means all.
    """

    notebooks: list[str] | None = None
    integration: list[str] | None = None


def main() -> int:
    """Run the chosen steps; returns the exit code."""
    parser = argparse.ArgumentParser(description="Run the course's tests.")
    parser.add_argument("--changed", action="store_true", help="only what a change can have broken")
    parser.add_argument("--only", action="append", choices=GROUPS, help="only this group of steps (repeatable)")
    options = parser.parse_args()

    scope = Scope()
    if options.changed:
        scope = changed_scope()
    steps = [step for step in plan(scope) if not options.only or step.group in options.only]
    started = time.monotonic()
    try:
        results = run_all(steps)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    return summarize(results, time.monotonic() - started)


def plan(scope: Scope) -> list[Step]:
    """All steps of a scope, quick ones first."""
    python, roadmap = sys.executable, str(BIN / "roadmap")
    steps = [
        Step("system", "system packages", [python, "requirements/system.py"]),
        Step("static", "ruff", [str(BIN / "ruff"), "check", "."]),
        Step("static", "ruff format", [str(BIN / "ruff"), "format", "--check", "."]),
        Step("static", "import-linter", [str(BIN / "lint-imports"), "--no-logo"]),
        Step("static", "codespell", [str(BIN / "codespell")]),
        Step("unit", "unit tests", pytest("tests/unit", spread=TESTS)),
        Step("static", "mypy", [str(BIN / "mypy")], beside=True),
        Step("content", "build --check", [roadmap, "build", "--check"], beside=True),
    ]
    some = scope.notebooks
    if some is None or some:
        numbers = some or []
        strict = sys.version_info[:2] == REFERENCE
        steps += [
            Step("content", "lint", [roadmap, "lint", *numbers], beside=True),
            Step("prove", "prove", [roadmap, "prove", *numbers]),
            Step("notebooks", "lessons", nbval("course", some, strict=strict), beside=True),
            Step("notebooks", "solutions", nbval("solutions", some, strict=False), beside=True),
        ]
    if scope.integration is None or scope.integration:
        where = scope.integration or ["tests/integration"]
        steps += [
            Step("integration", "integration", pytest(*where, "-m", "not browser", spread=TESTS)),
            Step("browser", "browser", pytest(*where, "-m", "browser", spread=BROWSERS)),
        ]
    return steps


def pytest(*arguments: str, spread: tuple[str, ...] = ()) -> list[str]:
    """A pytest run, in one process or spread over several."""
    return [sys.executable, "-m", "pytest", "-q", "--durations=12", *spread, *arguments]


def nbval(folder: str, numbers: list[str] | None, *, strict: bool) -> list[str]:
    """A run of notebooks, comparing outputs when `strict`; other people's warnings are no errors there."""
    # Copies: what a notebook writes beside itself has no business in what is built and released.
    copies = Path(folder)
    if folder == "solutions":
        copies = Path(".cache") / "nbval" / folder
        shutil.rmtree(ROOT / copies, ignore_errors=True)
        shutil.copytree(ROOT / folder, ROOT / copies)
    where = [str(copies)]
    if numbers is not None:
        where = sorted(
            str(path.relative_to(ROOT))
            for number in numbers
            for path in (ROOT / copies).glob(f"*/{number}-*.ipynb")
        )
    mode = "--nbval" if strict else "--nbval-lax"
    options = ["-p", "nbval.plugin", mode, "--nbval-current-env", "--nbval-cell-timeout=100"]
    return pytest(*options, "-o", "filterwarnings=default", *where, spread=NOTEBOOKS)


def changed_scope() -> Scope:
    """What the difference to the main branch, or to the commit before, can have broken."""
    paths = changed_paths()
    if paths is None:
        print("no earlier commit to compare with: running everything")
        return Scope()
    numbers = {match[1] for path in paths if (match := re.search(r"/(\d+\.\d+)-[^/]*\.(?:md|ipynb)$", path))}
    if any(UNDER_ALL_NOTEBOOKS.match(path) for path in paths):
        numbers.update(ready_notebooks()[:SAMPLE])
    numbers &= set(ready_notebooks())
    files = changed_integration(paths)
    named = ", ".join(sorted(numbers)) or "none"
    print(f"{len(paths)} files changed; notebooks to try: {named}; integration files: {len(files)}")
    return Scope(sorted(numbers), files)


def changed_paths() -> list[str] | None:
    """Files that differ from where this branch left the main one, or None without an earlier commit."""
    head = git("rev-parse", "HEAD")
    base = next(filter(None, (git("merge-base", "HEAD", name) for name in ("origin/main", "main"))), None)
    if base in (None, head):
        base = git("rev-parse", "--verify", "--quiet", "HEAD~1")
    if not base:
        return None
    tracked = git("diff", "--name-only", base) or ""
    new = git("ls-files", "--others", "--exclude-standard") or ""
    return sorted({*tracked.splitlines(), *new.splitlines()})


def git(*arguments: str) -> str | None:
    """What git says, or None where it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def ready_notebooks() -> list[str]:
    """The numbers of the notebooks that are written, in order."""
    data = tomllib.loads((ROOT / "content" / "roadmap.toml").read_text(encoding="utf-8"))
    return [
        notebook["number"]
        for section in data["section"]
        for notebook in section["notebook"]
        if notebook["status"] == "ready"
    ]


def changed_integration(paths: list[str]) -> list[str]:
    """Integration tests that changed, or that name a room of the package that did."""
    tests = sorted((ROOT / "tests" / "integration").rglob("test_*.py"))
    if any(UNDER_ALL_TESTS.match(path) for path in paths):
        return [str(test.relative_to(ROOT)) for test in tests]
    rooms = {match[1] for path in paths if (match := re.match(r"roadmap_progress/(\w+)", path))}
    chosen = []
    for test in tests:
        name, text = str(test.relative_to(ROOT)), test.read_text(encoding="utf-8")
        if name in paths or any(re.search(rf"\b{room}\b", text) for room in rooms):
            chosen.append(name)
    return chosen


def run_all(steps: list[Step]) -> list[Result]:
    """Run steps one after the other, output on the screen; with each the ones that go beside it."""
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    environment.pop("ROADMAP_ROOT", None)  # a course elsewhere is none of ours
    stopped = threading.Event()

    def run(step: Step, output: IO[bytes] | None = None) -> Result:
        started = time.monotonic()
        code = subprocess.run(
            step.command, cwd=ROOT, env=environment, stdout=output, stderr=output, check=False
        ).returncode
        return Result(step, code, time.monotonic() - started)

    def run_beside(several: list[Step]) -> list[tuple[Result, bytes]]:
        done = []
        for step in several:
            if not stopped.is_set():
                with tempfile.TemporaryFile() as output:
                    result = run(step, output)
                    print(f"\n    meanwhile: {said(result)}; what it printed comes below", flush=True)
                    output.seek(0)
                    done.append((result, output.read()))
        return done

    results = []
    with ThreadPoolExecutor(1) as pool:
        for first, beside in together(steps):
            place = f"[{len(results) + 1}/{len(steps)}]"
            print(f"\n==> {place} {first.name}: {shown(first.command)}", flush=True)
            if beside:
                print(f"    meanwhile: {', '.join(step.name for step in beside)}", flush=True)
            others = pool.submit(run_beside, beside)
            try:
                results.append(run(first))
                told = others.result()
            except BaseException:
                stopped.set()
                raise
            for result, output in told:
                place = f"[{len(results) + 1}/{len(steps)}]"
                print(f"\n==> {place} {result.step.name}: {shown(result.step.command)}", flush=True)
                sys.stdout.buffer.write(output)
                sys.stdout.flush()
                results.append(result)
    return results


def together(steps: list[Step]) -> Iterator[tuple[Step, list[Step]]]:
    """Each step, and the ones that run beside it, one after the other."""
    groups: list[list[Step]] = []
    for step in steps:
        if step.beside and groups:
            groups[-1].append(step)
        else:
            groups.append([step])
    yield from ((first, beside) for first, *beside in groups)


def shown(command: list[str]) -> str:
    """A command as a person would type it."""
    if command[1:3] == ["-m", "pytest"]:
        command = [str(BIN / "pytest"), *command[3:]]
    return " ".join(word.replace(f"{BIN}/", ".venv/bin/") for word in command)


def said(result: Result) -> str:
    """A step's name, its time, and how it ended."""
    verdict = "ok    " if result.code == 0 else f"FAILED (exit code {result.code})"
    return f"{result.step.name:18} {result.took_s:7.1f} s   {verdict}"


def summarize(results: list[Result], total_s: float) -> int:
    """Say how each step ended, and how long all took, some beside others; returns the exit code."""
    print("\n==> summary")
    for result in results:
        print(f"    {said(result)}")
    short = [result.step for result in results if result.code != 0]
    print(f"    {len(results) - len(short)} of {len(results)} steps fine, {total_s / 60:.1f} minutes")
    for step in short:
        print(f"    again: {shown(step.command)}")
    told = subprocess.run(
        [sys.executable, "requirements/system.py", "--tell"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(told.stdout, end="")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
