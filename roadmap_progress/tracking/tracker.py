"""The tracker: IPython's cell events → the store, and words under the check.

IPython calls `before` and `after` around every cell. A check cell's outcome is judged in `after`; between the
two, an error is shown in short. On any trouble of its own the tracker says so once and is silent from then on.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from roadmap_progress.errors import CatalogError
from roadmap_progress.model import Event, EventSource, Outcome, digest
from roadmap_progress.store import path_for
from roadmap_progress.tracking import words
from roadmap_progress.tracking.course import CheckCell, Course, Place, find_place
from roadmap_progress.tracking.executed import Executed, Run, Saved, answer_digest, is_attempted, is_stale
from roadmap_progress.tracking.recorder import Recorder
from roadmap_progress.tracking.verdict import Verdict, judge
from roadmap_progress.tracking.watch import ErrorWatch, StderrWatch

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

_ATTRIBUTE = "_roadmap_tracker"  # on the shell: one tracker a kernel
_STOPPED = (KeyboardInterrupt, asyncio.CancelledError)


def start(shell: InteractiveShell, *, session: str, cwd: Path) -> None:
    """Track `shell`, if it runs under a course's `work/` and is not tracked yet."""
    if hasattr(shell, _ATTRIBUTE):
        return
    if place := find_place(session, cwd):
        tracker = Tracker(shell, place)
        setattr(shell, _ATTRIBUTE, tracker)
        tracker.start()


def stop(shell: InteractiveShell) -> None:
    """Stop tracking `shell`."""
    if tracker := getattr(shell, _ATTRIBUTE, None):
        delattr(shell, _ATTRIBUTE)
        tracker.stop()


@dataclass(slots=True)
class _Running:
    """A cell between `before` and `after`."""

    info: ExecutionInfo
    message: str
    digest: str
    answer_id: str
    check: CheckCell | None
    errors: ErrorWatch | None = None
    stderr: StderrWatch | None = None

    def release(self) -> None:
        if self.errors:
            self.errors.close()
        if self.stderr:
            self.stderr.close()


class Tracker:
    """Tracks one kernel."""

    def __init__(self, shell: InteractiveShell, place: Place) -> None:
        self._shell = shell
        self._place = place
        self._course = Course(place.root)
        self._executed = Executed()
        self._recorder = Recorder(path_for(place.root))
        self._running: _Running | None = None
        self._process = os.getpid()

    def start(self) -> None:
        """Begin to listen."""
        with suppress(CatalogError):  # said at the first cell, where the learner sees it
            self._course.current()  # now, so that the first cell need not wait for it
        self._shell.events.register("pre_run_cell", self.before)
        self._shell.events.register("post_run_cell", self.after)
        atexit.register(self._close)

    def stop(self) -> None:
        """Listen no more; true on return: what was seen is stored, and the shell as it was."""
        self._silence()
        atexit.unregister(self._close)
        self._close()

    def before(self, info: ExecutionInfo) -> None:
        """A cell begins."""
        if not self._is_ours():
            return
        try:
            self._before(info)
        except Exception as error:  # noqa: BLE001  the learner's cell must run, whatever is wrong here
            self._give_up(error)

    def after(self, result: ExecutionResult | None) -> None:
        """A cell has ended."""
        if not self._is_ours():
            return
        try:
            self._after(result)
        except Exception as error:  # noqa: BLE001  as above
            self._give_up(error)

    def _before(self, info: ExecutionInfo) -> None:
        message, metadata = self._request(info)
        if self._running:
            if self._running.message == message:
                return  # a cell that runs another one
            self._running.release()  # IPython never told us of its end
            self._running = None
        index = self._course.current()
        found = digest(info.raw_cell or "")
        check = index.check(metadata, found)
        answer = None if check else index.answer(metadata, found)
        self._running = _Running(info, message, found, answer.id if answer else "", check)
        if check:
            self._running.errors = ErrorWatch(self._shell, self._show_error)
            self._running.stderr = StderrWatch(sys.stderr)

    def _after(self, result: ExecutionResult | None) -> None:
        running = self._running
        if running is None:
            return
        # A cell that runs another one ends after it. (Interrupted awaits have no result, some errors an info of
        # their own.)
        if result and result.info is not running.info:
            text = result.info.raw_cell if result.info else None
            if text != running.info.raw_cell:
                return
        self._running = None
        running.release()
        error = (result.error_before_exec or result.error_in_exec) if result else asyncio.CancelledError()
        name = type(error).__name__ if error else ""
        self._executed.remember(Run(running.digest, time.time(), name), running.answer_id)
        if running.check and result and not isinstance(error, _STOPPED):
            self._conclude(running, running.check, result, error)
        self._pass_on_messages()

    def _conclude(
        self, running: _Running, cell: CheckCell, result: ExecutionResult, error: BaseException | None
    ) -> None:
        saved, runs = self._answers(cell)
        if error is None and running.errors:
            error = running.errors.error  # raised while a value was displayed: an error output like any other
        stderr = running.stderr.text if running.stderr else ""
        attempted = is_attempted(cell.exercise, runs, saved)
        verdict = judge(cell.check, attempted=attempted, error=error, stderr=stderr, value=result.result)
        intact = running.digest == cell.check.released
        self._say(cell, verdict, result, error=error, stderr=stderr)
        notes = [words.STALE if is_stale(runs, saved) else "", "" if intact else words.CHANGED_CHECK]
        if any(notes):
            print(words.listing(notes))
        version = cell.check.version if intact else f"other-{running.digest}"
        self._record(cell, verdict, version, answer_digest(cell.exercise, runs))

    def _say(
        self,
        cell: CheckCell,
        verdict: Verdict,
        result: ExecutionResult,
        *,
        error: BaseException | None,
        stderr: str,
    ) -> None:
        if verdict.outcome is Outcome.NOT_ATTEMPTED:
            # Not an error: "Run all" goes on, and the cell shows one sentence.
            result.error_before_exec = result.error_in_exec = None
            if hasattr(self._shell, "_last_traceback_during_displayhook"):
                self._shell._last_traceback_during_displayhook = False
            print(words.NO_ANSWER_YET)
        elif verdict.outcome is Outcome.PASSED:
            print(words.passed(verdict.points))
        elif error is None and stderr:
            result.error_in_exec = AssertionError(words.ON_STDERR.format(text=stderr.strip().splitlines()[0]))
            self._send_error(
                result.error_in_exec,
                words.problem(result.error_in_exec, most=cell.check.points, where=None, advice=""),
            )
        elif error is None:
            print(words.partly(verdict.points, cell.check.points))

    def _show_error(self, error: BaseException, tb: Any) -> bool:
        """Show what ended the running check; called by the shell where it would print a traceback."""
        running = self._running
        if running is None or running.check is None or isinstance(error, (*_STOPPED, SystemExit)):
            return False
        saved, runs = self._answers(running.check)
        if not is_attempted(running.check.exercise, runs, saved):
            return True  # `after` has the sentence for it
        advice = self._advice(running.check, error, runs, saved)
        where = None if advice else words.place_of(error, tb, self._whose(runs, saved), running.digest)
        self._send_error(error, words.problem(error, most=running.check.check.points, where=where, advice=advice))
        return True

    def _advice(self, cell: CheckCell, error: BaseException, runs: dict[str, Run], saved: Saved | None) -> str:
        if not isinstance(error, NameError) or isinstance(error, UnboundLocalError):
            return ""
        if error.name in self._shell.user_ns:
            return ""
        if len(runs) < len(cell.exercise.answers):
            return words.ANSWER_NOT_RUN
        if stopped := next((run.error for run in runs.values() if run.error), ""):
            return words.ANSWER_STOPPED.format(error=stopped)
        setup = saved.setup if saved else ()
        return words.SETUP_NOT_RUN if not all(map(self._executed.has_run, setup)) else ""

    def _whose(self, runs: dict[str, Run], saved: Saved | None) -> Any:
        answers = {run.digest for run in runs.values()}
        given = {*saved.setup, *saved.checks} if saved else set()

        def whose(cell_digest: str) -> str:
            if cell_digest in answers:
                return "your answer"
            return "" if cell_digest in given else "your cell"

        return whose

    def _send_error(self, error: BaseException, lines: list[str]) -> None:
        self._shell._showtraceback(type(error), error, lines)

    def _answers(self, cell: CheckCell) -> tuple[Saved | None, dict[str, Run]]:
        path = self._place.notebook
        if path is None or not path.exists():  # not told, or renamed since
            path = self._place.root / "work" / cell.notebook.section / f"{cell.notebook.stem}.ipynb"
        saved = self._executed.saved(path)
        return saved, self._executed.answers(cell.exercise, saved)

    def _record(self, cell: CheckCell, verdict: Verdict, version: str, answers: str) -> None:
        uuid, now = uuid4().hex, datetime.now(UTC)

        def make(machine: str) -> Event:
            return Event(
                uuid,
                machine,
                EventSource.KERNEL,
                cell.check.id,
                version,
                answers,
                verdict.outcome,
                verdict.points,
                now,
            )

        self._recorder.record(make)

    def _request(self, info: ExecutionInfo) -> tuple[str, dict[str, Any]]:
        """The id of the request that a cell came with, and the cell's metadata where the front end sends it."""
        parent = self._shell.get_parent() if hasattr(self._shell, "get_parent") else {}
        metadata = getattr(info, "cell_meta", None) or parent.get("metadata") or {}
        return parent.get("header", {}).get("msg_id", ""), metadata

    def _is_ours(self) -> bool:
        # Not in a process that the learner forked, nor in a thread that runs cells beside the main one.
        return os.getpid() == self._process and threading.current_thread() is threading.main_thread()

    def _pass_on_messages(self) -> None:
        while not self._recorder.messages.empty():
            print(self._recorder.messages.get())

    def _give_up(self, error: Exception) -> None:
        self._silence()
        print(
            f"The course stopped recording your progress in this kernel: {type(error).__name__}: {error}\n"
            "Your answers and the checks are not affected. Restart the kernel to have them recorded again.",
            file=sys.stderr,
        )

    def _silence(self) -> None:
        for name, callback in (("pre_run_cell", self.before), ("post_run_cell", self.after)):
            if callback in self._shell.events.callbacks[name]:
                self._shell.events.unregister(name, callback)
        if self._running:
            self._running.release()
            self._running = None

    def _close(self) -> None:
        if os.getpid() == self._process:
            self._recorder.close()
