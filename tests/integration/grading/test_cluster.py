"""`roadmap grade --dask`: a scheduler, two workers and the grader, each in a network of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from shop_course import BIN, ENVIRONMENT, call, copy_of, make_course, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow
STUDENTS = 18


def until(true: Callable[[], bool], what: str, timeout_s: float = 400) -> None:
    """Wait for something to be observed."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not in {timeout_s} s: {what}"
        time.sleep(0.05)


@dataclass
class Host:
    """A network namespace, kept by a process that sleeps in it."""

    number: int
    keeper: int

    @property
    def address(self) -> str:
        return f"10.77.0.{self.number}"

    @property
    def prefix(self) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.keeper}/ns/net", "--"]

    def ip(self, words: str) -> None:
        subprocess.run([*self.prefix, "ip", *words.split()], check=True)


@contextlib.contextmanager
def running(command: list[str], **more: object) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended with all below it."""
    with subprocess.Popen(command, text=True, env=ENVIRONMENT, **more) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            family = []
            with contextlib.suppress(psutil.NoSuchProcess):
                family = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            _, alive = psutil.wait_procs(family, timeout=20)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            assert not alive


@pytest.fixture
def hosts(missing: Callable[[str], None]) -> Iterator[list[Host]]:
    """Four networks: on the first one a switch, to which each of the others has a cable."""
    if shutil.which("ip") is None or shutil.which("nsenter") is None:
        missing("needs ip(8) and nsenter(1): apt-get install iproute2 util-linux")
    if os.geteuid() != 0:
        pytest.skip("needs root, for networks of its own")
    own = Path("/proc/self/ns/net").readlink()
    with contextlib.ExitStack() as stack:
        made = []
        for number in range(1, 5):
            keeper = stack.enter_context(running(["unshare", "--net", "sleep", "infinity"]))
            place = Path(f"/proc/{keeper.pid}/ns/net")
            until(lambda place=place: place.readlink() != own, "a network namespace")
            made.append(Host(number, keeper.pid))
        switch = made[0]
        switch.ip("link add switch type bridge")
        switch.ip(f"addr add {switch.address}/24 dev switch")
        for link in ("lo", "switch"):
            switch.ip(f"link set {link} up")
        for host in made[1:]:
            switch.ip(f"link add port{host.number} type veth peer name cable netns {host.keeper}")
            switch.ip(f"link set port{host.number} master switch up")
            host.ip(f"addr add {host.address}/24 dev cable")
            for link in ("lo", "cable"):
                host.ip(f"link set {link} up")
        yield made


@dataclass
class Cluster:
    address: str
    scheduler: subprocess.Popen[str]
    workers: list[subprocess.Popen[str]]
    grader: list[str]


@pytest.fixture
def cluster(hosts: list[Host], tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and two workers, a host each; the grader's commands run on the first."""
    switch, first, *others = hosts
    address = f"tcp://{first.address}:8786"
    with contextlib.ExitStack() as stack:

        def start(host: Host, program: str, *options: str) -> subprocess.Popen[str]:
            log = stack.enter_context((tmp_path / f"{program}-{host.number}.log").open("w"))
            module = f"distributed.cli.dask_{program}"
            command = [*host.prefix, sys.executable, "-m", module, *options, "--host", host.address]
            return stack.enter_context(running(command, stdout=log, stderr=log, cwd=tmp_path))

        scheduler = start(first, "scheduler", "--port", "8786", "--no-dashboard")
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path)]
        workers = [start(host, "worker", address, *options) for host in others]
        yield Cluster(address, scheduler, workers, switch.prefix)


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with submissions; for copying only."""
    return make_course(tmp_path_factory.mktemp("class") / "course", students=STUDENTS)


def grading(worker: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes below a worker, if a submission's are among them."""
    found = psutil.Process(worker.pid).children(recursive=True)
    return found if len(found) > 3 else []  # the zygote, its keeper, and a clone are there always


@pytest.mark.timeout(900)
def test_a_worker_that_is_killed_in_the_middle_costs_nothing(
    cluster: Cluster, handed_in: Path, tmp_path: Path
) -> None:
    here, there = copy_of(handed_in, tmp_path / "here"), copy_of(handed_in, tmp_path / "there")
    call(["roadmap", "grade", "ps1", "--course-dir", str(here)], tmp_path)
    command = [str(BIN / "roadmap"), "grade", "ps1", "--course-dir", str(there), "--dask", cluster.address]
    with running([*cluster.grader, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as grader:
        victim = cluster.workers[0]
        until(lambda: bool(grading(victim)) or grader.poll() is not None, "a submission on the first worker")
        below = grading(victim)
        victim.kill()
        told, errors = grader.communicate(timeout=600)
    assert grader.returncode == 0, errors + told
    assert below
    assert f"{STUDENTS} graded" in told
    _, alive = psutil.wait_procs(below, timeout=20)
    assert not alive, "what the killed worker had started is gone"
    assert rows(there) == rows(here)
    assert len(list((there / "autograded").glob("*/ps1"))) == STUDENTS
    assert not list((there / "autograded").glob("*/.roadmap-*"))
    survivor = psutil.Process(cluster.workers[1].pid)
    until(lambda: not survivor.children(), "the zygote of the other worker is ended behind the run")


@pytest.mark.timeout(900)
def test_a_scheduler_that_goes_away_ends_the_run_with_words_and_the_next_run_goes_on(
    cluster: Cluster, handed_in: Path, tmp_path: Path
) -> None:
    course = copy_of(handed_in, tmp_path / "course")
    command = [str(BIN / "roadmap"), "grade", "ps1", "--course-dir", str(course)]
    with running(
        [*cluster.grader, *command, "--dask", cluster.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as grader:
        until(lambda: any(map(grading, cluster.workers)) or grader.poll() is not None, "a submission on a worker")
        cluster.scheduler.kill()
        _, errors = grader.communicate(timeout=300)
    assert grader.returncode == 1
    assert "went away" in errors
    assert "Traceback" not in errors
    assert not list((course / "autograded").glob("*/.roadmap-*"))
    call(["roadmap", *command[1:]], tmp_path)
    assert len(list((course / "autograded").glob("*/ps1"))) == STUDENTS


def test_without_a_scheduler_or_workers_it_says_what_to_start(
    hosts: list[Host], handed_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = copy_of(handed_in, tmp_path / "course")
    command = [str(BIN / "roadmap"), "grade", "ps1", "--course-dir", str(course), "--dask"]
    done = subprocess.run(
        [*hosts[0].prefix, *command, "nonsense"], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert done.returncode == 1
    assert "`dask scheduler` starts one" in done.stderr
    without = (
        "import sys; sys.modules['distributed'] = None; from roadmap_progress.cli import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", without, *command[1:], "tcp://127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 1
    assert "`pip install distributed`" in done.stderr
