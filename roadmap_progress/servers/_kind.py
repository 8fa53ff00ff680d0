"""The one shape of all servers: `with kind(…) as server:`, `server = kind.start(…)`, `server.stop()`."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, ParamSpec, Protocol, Self, TypeVar

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import Watchdog, interrupts_deferred
from roadmap_progress.servers import _attached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    from roadmap_progress.servers._found import Found, Install


class Running(Protocol):
    """What every started server has."""

    def stop(self) -> None:
        """End it and remove what it kept; true on return. May be called again."""

    @property
    def description(self) -> str:
        """Which implementation it is, from where, and where it listens: one line without a full stop."""


P = ParamSpec("P")
S = TypeVar("S", bound=Running)


@dataclass(frozen=True)
class ServerKind(Generic[P, S]):
    """A kind of server that lessons can start.

    Call it for a context manager; `start` it in a notebook, where it then ends with the kernel.

    Attributes:
        name: as lessons import it.
        open: starts one and returns it, ready.
        locate: finds its implementation without starting it; raises ServerUnavailable.
        install: the commands that install it.
        summary: what it is, for the table of `roadmap doctor`.
        stand_in: what an embedded one stands in for, what it lacks, and how to have the real one.
        kept: whether, when graded, a process of its own keeps it for answers and checks; else each starts its own.
    """

    name: str
    open: Callable[P, S]
    locate: Callable[[], Found]
    install: Install
    summary: str
    stand_in: str = ""
    kept: bool = True

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AbstractContextManager[S]:
        """A server that runs as long as the `with` block."""
        return _while_open(self._began, *args, **kwargs)

    def start(self, *args: P.args, **kwargs: P.kwargs) -> S:
        """A server that runs until `.stop()`, until it is forgotten, or until this kernel ends.

        Prints one line: which implementation was taken. Keep the result in a variable: a server that
        nothing refers to any more is ended.
        """
        host = _attached.host() if self.kept else None
        server: S = host.start(self.name, args, kwargs, shared=True) if host else self.open(*args, **kwargs)
        try:
            print(f"{self.name}: {server.description}")
        except BaseException:
            server.stop()
            raise
        return server

    def _began(self, *args: P.args, **kwargs: P.kwargs) -> S:
        host = _attached.host() if self.kept else None
        return host.start(self.name, args, kwargs, shared=False) if host else self.open(*args, **kwargs)


@contextmanager
def _while_open(begin: Callable[P, S], *args: P.args, **kwargs: P.kwargs) -> Iterator[S]:
    server = begin(*args, **kwargs)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def starting(name: str, *, descriptors: Sequence[int] = (), parent: Path | None = None) -> Iterator[Watchdog]:
    """A watchdog to start servers with; if the block fails, nothing of it is left.

    Args:
        name: a word for its directory's name.
        descriptors: sockets to hand on to the servers.
        parent: the folder to make its directory in; the one for temporary files, if not given.

    Raises:
        ServerFailed: its directory could not be made or written to.
    """
    watchdog = None
    try:
        with interrupts_deferred():  # or Ctrl-C could come when it runs, and is not known here yet
            watchdog = Watchdog(name, descriptors=descriptors, parent=parent)
        yield watchdog
    except OSError as error:
        if watchdog is None:
            raise
        watchdog.close()
        raise ServerFailed(
            f"{name} could not be started in {watchdog.directory}: {error.strerror or error}; "
            "make room there, or set TMPDIR to a folder on another disk"
        ) from error
    except BaseException:  # also Ctrl-C
        if watchdog is not None:
            watchdog.close()
        raise


class Server:
    """Base of the servers that are processes: stopping, and their last log lines.

    Also a context manager, so that a started one can be given to `with`.
    """

    def __init__(self, watchdog: Watchdog, found: Found, address: str) -> None:
        self._watchdog = watchdog
        self._address = address
        self.found = found

    @property
    def description(self) -> str:
        """Which implementation it is, from where, and where it listens."""
        return f"{self.found} at {self._address}"

    def stop(self) -> None:
        """End its processes and remove its directory; true on return. May be called again."""
        self._watchdog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "stopped" if self._watchdog.closed else self._address
        return f"<{type(self).__name__} {state}>"


def load(name: str, module: str) -> ServerKind[..., Running]:
    """The kind called `name` from the module that defines it."""
    kind = getattr(importlib.import_module(module), name)
    assert isinstance(kind, ServerKind)  # noqa: S101 (the registry names one)
    return kind
