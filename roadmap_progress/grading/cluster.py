"""Grading on the workers of a dask.distributed cluster that runs already: `roadmap grade --dask ADDRESS`.

A submission goes there as bytes and comes back as results, so workers share no disk with the gradebook. Each has a
zygote of its own. A worker that dies takes nothing with it: the scheduler has its submissions done elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from distributed import CancelledError, Client, KilledWorker, WorkerPlugin, get_worker, wait

from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution.forks import Zygote
from roadmap_progress.execution.workers import Crew
from roadmap_progress.grading import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from distributed import Future, Worker

    from roadmap_progress.execution.engine import Engine
    from roadmap_progress.execution.sandbox import Limits
    from roadmap_progress.grading.assignment import Assignment
    from roadmap_progress.grading.judge import Results

CONNECT_S, NO_WORKER_S, LOOK_S = 30, 60, 5
RETRIES = 2  # of a submission on whose worker no process could be forked; for workers that die, dask has its own

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A submission, whole.

    Attributes:
        notebooks: by name; None where it was not handed in.
        files: what lies beside them, by path relative to the submission's folder.
    """

    notebooks: dict[str, bytes | None]
    files: dict[str, bytes] = field(default_factory=dict)


class Station(WorkerPlugin):
    """What a worker keeps between submissions of one assignment: a zygote, and an engine a thread."""

    def __init__(self, assignment: Assignment, *, timeout_s: float, limits: Limits, apart: bool) -> None:
        self.name = f"roadmap-grade-{assignment.name}"
        self._assignment, self._timeout_s = assignment, timeout_s
        self._limits, self._apart = limits, apart

    def setup(self, worker: Worker) -> None:
        """Called where the worker is."""
        self._threads, self._lock = worker.state.nthreads, threading.Lock()
        self._crew: Crew | None = None
        self._zygote = Zygote(self._assignment.modules())

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - dask's signature
        """End the zygote; that of a worker which is killed ends by itself."""
        with self._lock:
            self._close()

    def grade(self, handed_in: HandedIn) -> Results:
        """Grade a submission here.

        Raises:
            ExecutionError: no process could be forked, or shut in.
        """

        def work(item: HandedIn, engine: Engine) -> Results:
            return judge.grade_all(
                item.notebooks, self._assignment, engine, files=folder, timeout_s=self._timeout_s
            )

        with tempfile.TemporaryDirectory(prefix="roadmap-submission-") as folder:
            for name, data in handed_in.files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            crew = self._open()
            try:
                return crew.do(work, handed_in)
            except ExecutionError:
                with self._lock:
                    if crew is self._crew:
                        self._close()  # the next one gets a fresh zygote
                raise

    def _open(self) -> Crew:
        with self._lock:
            if self._crew is None:
                self._zygote.start()
                self._crew = Crew(self._zygote, self._threads, self._limits, apart=self._apart)
            return self._crew

    def _close(self) -> None:
        if self._crew is not None:
            self._crew.close()
        self._crew = None
        self._zygote.close()


def _grade(station: str, handed_in: HandedIn) -> Results:
    plugin = get_worker().plugins.get(station)
    if not isinstance(plugin, Station):
        raise ExecutionError(f"the worker has no {station!r} any more: another run ended it")
    return plugin.grade(handed_in)


def _about() -> str:
    return f"roadmap-progress {version('roadmap-progress')} on Python {sys.version_info[0]}.{sys.version_info[1]}"


def grade_each(
    address: str, station: Station, items: Iterable[Item], pack: Callable[[Item], HandedIn | None]
) -> Generator[tuple[Item, Results | str | None], None, None]:
    """Each item with what came of it, as it gets ready.

    Args:
        address: of the scheduler, as `tcp://host:8786`.
        items: taken as there is room on the cluster, no sooner.
        pack: what is sent; None for an item that is not.

    Yields:
        The item, and: results, or why nobody could grade it, or None where nothing was sent.

    Raises:
        ExecutionError: the cluster cannot be reached, is not as it should be, or went away.
    """
    for name in ("distributed", "distributed.client"):  # dask gives both levels; what matters is raised
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with _connected(address) as client, _stationed(client, station):
        todo, running = iter(items), _Running(client)
        while True:
            for item in islice(todo, running.room()):
                handed_in = pack(item)
                if handed_in is None:
                    yield item, None
                else:
                    running.add(item, station.name, handed_in)
            if not running.items:
                return
            yield from running.ready()


class _Running:
    def __init__(self, client: Client) -> None:
        self.items: dict[Future[Any], Any] = {}
        self._client = client
        self._looked = self._seen = -float("inf")
        self._threads = 1

    def room(self) -> int:
        """How many more may be sent: enough that no thread waits, and not the whole class."""
        if time.monotonic() - self._looked > LOOK_S:
            self._look()
        return max(3 * self._threads - len(self.items), 0) or (0 if self.items else 1)

    def add(self, item: object, station: str, handed_in: HandedIn) -> None:
        future = self._client.submit(_grade, station, handed_in, pure=False, retries=RETRIES)
        self.items[future] = item

    def ready(self) -> Iterator[tuple[Any, Results | str]]:
        """What is ready; waits for the first."""
        try:
            done, _ = wait(list(self.items), timeout=LOOK_S, return_when="FIRST_COMPLETED")
        except TimeoutError:
            self._look()
            return
        except CancelledError:
            raise self._lost() from None
        for future in done:
            item, error = self.items.pop(future), future.exception()
            if isinstance(error, KilledWorker):
                yield item, f"each worker that graded it died ({error.allowed_failures + 1} did)"
            elif isinstance(error, ExecutionError):
                raise error
            elif error is not None:
                raise ExecutionError(f"a worker of the cluster failed: {type(error).__name__}: {error}") from error
            else:
                yield item, future.result()

    def _look(self) -> None:
        """See whether anybody is there.

        Raises:
            ExecutionError: the scheduler is gone, or has been without workers for long.
        """
        now = time.monotonic()
        try:
            threads = sum(self._client.nthreads().values())
        except (OSError, ValueError, RuntimeError, TimeoutError, CancelledError):
            raise self._lost() from None
        if threads:
            self._threads, self._seen = threads, now
        elif now - self._seen > NO_WORKER_S:
            raise ExecutionError(
                f"the cluster has had no worker for {NO_WORKER_S} s; start one and run this again"
            )
        self._looked = now

    @staticmethod
    def _lost() -> ExecutionError:
        return ExecutionError(
            "the scheduler of the cluster went away; what was graded is in the gradebook, "
            "and running this again grades the rest"
        )


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise ExecutionError(
            f"no scheduler answers at {address!r} ({error}); `dask scheduler` starts one and prints its address"
        ) from None
    try:
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError:
            raise ExecutionError(
                f"the cluster at {address} has no workers; start some: `dask worker {address}`"
            ) from None
        wrong = {
            worker: about for worker, about in client.run(_about, on_error="return").items() if about != _about()
        }
        if wrong:
            told = "; ".join(f"{worker}: {about}" for worker, about in sorted(wrong.items()))
            raise ExecutionError(f"workers have to have what is here, {_about()}, and do not: {told}")
        yield client
    finally:
        with contextlib.suppress(Exception):  # gone already, or going
            client.close(timeout=5)


@contextlib.contextmanager
def _stationed(client: Client, station: Station) -> Iterator[None]:
    client.register_plugin(station, name=station.name)  # takes the place of one that a killed run left
    try:
        yield
    finally:
        with contextlib.suppress(Exception):  # a cluster that is gone has no plugins
            client.unregister_worker_plugin(station.name)
