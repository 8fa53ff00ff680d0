"""Events on their way into the store: a thread of its own, so that a slow disk never holds up a cell."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from roadmap_progress.errors import StoreError
from roadmap_progress.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from roadmap_progress.model import Event

PATIENCE_S = 0.004  # how long a cell waits for its event to be stored; a local disk takes a tenth of it
CLOSE_TIMEOUT_S = 4.0  # Jupyter kills a kernel five seconds after it asked it to stop


class Recorder:
    """Stores events in order, and keeps those that could not be stored for the next try.

    Attributes:
        messages: words for the learner: about a store that was set aside, or could not be written.
    """

    def __init__(self, path: Path) -> None:
        self.messages: SimpleQueue[str] = SimpleQueue()
        self._path = path
        self._queue: SimpleQueue[tuple[Callable[[str], Event] | None, threading.Event]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting: list[Callable[[str], Event]] = []
        self._complained = False

    def record(self, make: Callable[[str], Event]) -> None:
        """Store the event that `make` returns for the store's machine id, now or a little later."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="roadmap-recorder", daemon=True)
            self._thread.start()
        done = threading.Event()
        self._queue.put((make, done))
        done.wait(PATIENCE_S)

    def close(self) -> None:
        """Store what is left, within a few seconds."""
        if self._thread is None:
            return
        self._queue.put((None, threading.Event()))
        self._thread.join(CLOSE_TIMEOUT_S)
        self._thread = None

    def _work(self) -> None:
        store: Store | None = None
        while True:
            make, done = self._queue.get()
            if make:
                self._waiting.append(make)
            store = self._try(store)
            done.set()
            if make is None:
                if store:
                    store.close()
                return

    def _try(self, store: Store | None) -> Store | None:
        """Store all that waits; returns the store to use next time, None after trouble."""
        try:
            if store is None:
                store = Store(self._path)
            machine = store.machine
            store.append(*[make(machine) for make in self._waiting])
        except StoreError as error:
            if not self._complained:
                self.messages.put(
                    f"Your progress is not being recorded: {error}. Your answers are not affected; "
                    "results are kept until they can be stored, or the kernel stops."
                )
                self._complained = True
            if store:
                store.close()
            return None
        self._waiting.clear()
        for notice in store.notices:
            self.messages.put(notice)
        store.notices.clear()
        return store
