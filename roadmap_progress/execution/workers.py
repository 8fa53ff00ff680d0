"""Many pieces of work for the engine, some at a time: each worker has an engine on a clone of one zygote."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution.engine import Engine
from roadmap_progress.execution.sandbox import Limits, Sandbox, uid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from roadmap_progress.execution.forks import Zygote

Item = TypeVar("Item")
Result = TypeVar("Result")


class Crew:
    """Engines for as many threads, on clones of one zygote."""

    def __init__(self, zygote: Zygote, jobs: int, limits: Limits, *, apart: bool) -> None:
        self._zygote, self._cloning = zygote, threading.Lock()
        self._closed = False
        self._idle: queue.SimpleQueue[Engine] = queue.SimpleQueue()
        for number in range(jobs):
            self._idle.put(Engine(zygote.clone(), Sandbox(uid=uid_of(number), limits=limits), apart=apart))

    def do(self, work: Callable[[Item, Engine], Result], item: Item) -> Result:
        """The work, once more on a fresh clone where the machine failed.

        Raises:
            ExecutionError: it failed again.
        """
        engine = self._take()
        try:
            try:
                return work(item, engine)
            except ExecutionError:
                engine.zygote.close()
                with self._cloning:
                    engine.zygote = self._zygote.clone()
                return work(item, engine)
        finally:
            self._idle.put(engine)
            if self._closed:
                self.close()

    def _take(self) -> Engine:
        while not self._closed:
            with contextlib.suppress(queue.Empty):
                return self._idle.get(timeout=1)
        raise ExecutionError("the zygote was ended")

    def close(self) -> None:
        """End the clones; one that works still, when it is through."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().zygote.close()


def run_each(
    zygote: Zygote,
    items: Sequence[Item],
    work: Callable[[Item, Engine], Result],
    *,
    jobs: int | None = None,
    limits: Limits | None = None,
    apart: bool = True,
    further: Sequence[Zygote] = (),
    drop: Callable[[Result], None] = lambda _: None,
) -> Generator[Result, None, None]:
    """What comes of the work on each item, as it gets ready.

    Args:
        zygote: loaded; is closed when the work is ended early, so that no cell is waited for.
        work: runs in a thread; one that raises ExecutionError is tried once more.
        jobs: how many at a time; default: the number of cores.
        further: other zygotes that the work uses, closed likewise.
        drop: gets results that nobody waits for any more.

    Raises:
        ExecutionError: the machine fails.
    """
    jobs = max(min(jobs or os.cpu_count() or 1, len(items)), 1)
    crew = Crew(zygote, jobs, limits or Limits(), apart=apart)
    waiting = iter(items)
    running: set[Future[Result]] = set()
    with contextlib.closing(crew), ThreadPoolExecutor(jobs) as pool:
        try:
            while True:
                running |= {
                    pool.submit(crew.do, work, item) for item in itertools.islice(waiting, 4 * jobs - len(running))
                }
                if not running:
                    return
                ready, _ = wait(running, return_when=FIRST_COMPLETED)
                first = ready.pop()
                running.discard(first)
                yield first.result()
        except BaseException:
            for one in (zygote, *further):
                one.close()
            pool.shutdown(cancel_futures=True)
            for future in running:
                if not future.cancelled() and future.exception() is None:
                    drop(future.result())
            raise
