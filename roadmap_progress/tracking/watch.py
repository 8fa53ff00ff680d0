"""While a check runs: see what goes to stderr, and show an error in the learner's words.

Both are put on the shell for the length of one cell, and taken off again.
"""

from __future__ import annotations

import select
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

DRAIN_S = 0.02  # at most, for what lies in the pipe
CHILD_GRACE_S = 0.01  # for what ipykernel's thread has taken out of the pipe and not written yet
LONGEST_TEXT = 500


class StderrWatch:
    """Takes note of what is written to `stream`, and lets it through."""

    def __init__(self, stream: Any) -> None:
        self.text = ""
        self._children = _children()
        self._stream = stream
        self._write: Callable[[str], Any] = self._stream.write
        self._had = "write" in vars(self._stream) if hasattr(self._stream, "__dict__") else False
        try:
            self._stream.write = self._note
        except AttributeError:  # the learner put a stream of another kind there: nbgrader would not see it either
            self._stream = None
        # A warning that was shown once is not shown again, but a fresh kernel would show it: make every
        # registry of shown warnings out of date, which entering and leaving this does.
        with warnings.catch_warnings():
            pass

    def close(self) -> None:
        """Stop taking note."""
        if self._stream is None:
            return
        self._drain()
        if self._stream.write == self._note:
            if self._had:
                self._stream.write = self._write
            else:
                del self._stream.write
        self._stream = None

    def _note(self, text: str) -> Any:
        if len(self.text) < LONGEST_TEXT:
            self.text += text
        return self._write(text)

    def _drain(self) -> None:
        """Let ipykernel's thread pass on what a child process has written to file descriptor 2."""
        pipe = getattr(self._stream, "_fid", None)
        if pipe is None or self.text:
            return
        deadline = time.monotonic() + DRAIN_S
        while select.select([pipe], [], [], 0)[0] and time.monotonic() < deadline:
            time.sleep(0.001)
        if _children() == self._children:
            return
        deadline = time.monotonic() + CHILD_GRACE_S
        while not self.text and time.monotonic() < deadline:
            time.sleep(0.001)


class ErrorWatch:
    """Shows an error through `show` where IPython would print its traceback.

    Args:
        shell: whose `showtraceback` is replaced.
        show: gets the exception and its traceback; returns False to leave it to IPython.
    """

    def __init__(self, shell: InteractiveShell, show: Callable[[BaseException, Any], bool]) -> None:
        self.error: BaseException | None = None
        self._shell = shell
        self._show = show
        self._original = shell.showtraceback
        self._had = "showtraceback" in vars(shell)
        self._mine = self._showtraceback
        shell.showtraceback = self._mine  # type: ignore[method-assign]  # for one cell

    def close(self) -> None:
        """Give the shell its own back."""
        if self._shell.showtraceback == self._mine:
            if self._had:
                self._shell.showtraceback = self._original  # type: ignore[method-assign]  # as it was
            else:
                del self._shell.showtraceback

    def _showtraceback(self, exc_tuple: Any = None, *arguments: Any, **options: Any) -> None:
        error: BaseException | None = (exc_tuple or sys.exc_info())[1]
        tb = (exc_tuple or sys.exc_info())[2]
        try:
            shown = error is not None and self._show(error, tb)
        except Exception:  # noqa: BLE001  whatever is wrong with us, the learner sees the error
            shown = False
        self.error = error or self.error
        if not shown or error is None:
            self._original(exc_tuple, *arguments, **options)
            return
        # What `%tb` and `%debug` look at.
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, tb
        if sys.version_info >= (3, 12):
            sys.last_exc = error


def _children() -> tuple[float, ...]:
    """Changes whenever a child process has ended."""
    if sys.platform == "win32":
        return ()
    import resource

    return tuple(resource.getrusage(resource.RUSAGE_CHILDREN))
