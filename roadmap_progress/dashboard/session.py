"""What stands behind one open dashboard: the course, its store and its copies, read again as they change.

Trouble is never raised out of `refresh`: it becomes a notice on the page, and is tried again.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from roadmap_progress import catalog
from roadmap_progress.dashboard import comparison, mastery, page, record, view
from roadmap_progress.dashboard.view import Copies, Facts, Keeping, MissingServer, Notice
from roadmap_progress.errors import (
    CatalogError,
    NotebookError,
    RoadmapError,
    ServerUnavailable,
    StoreError,
    WorkspaceError,
)
from roadmap_progress.model import Event, EventSource, Outcome, Status
from roadmap_progress.progress import summarize
from roadmap_progress.review import Today, today
from roadmap_progress.store import Store, path_for
from roadmap_progress.workspace import CopyState, Workspace, cells, comparing, passport, passports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date
    from pathlib import Path

    from roadmap_progress.model import Notebook, Roadmap
    from roadmap_progress.progress import Progress
    from roadmap_progress.workspace.passports import Restored

BINDER = ("BINDER_SERVICE_HOST", "BINDER_REF_URL", "BINDER_LAUNCH_HOST")  # set on the machines that it makes
LOOK_AGAIN_S = 30.0  # for a server that was missing, which may have been installed

Signature = tuple[int, int, int] | None  # of a file: whether it is another one, or has another content


def _now() -> datetime:
    """Aware, in the zone of this machine: a day of review ends when the learner's does."""
    return datetime.now(UTC).astimezone()


class Session:
    """The course as the learner stands in it.

    Args:
        start: a folder in the course; the current one where None.
        clock: the time now, aware.
    """

    def __init__(
        self, start: Path | None = None, clock: Callable[[], datetime] = lambda: datetime.now().astimezone()
    ):
        self._start, self._clock = start, clock
        self.root: Path | None = None
        self.roadmap: Roadmap | None = None
        self.progress: Progress | None = None
        self.facts = Facts()
        self._catalog_seen: Signature = None
        self._catalog_trouble: Notice | None = None
        self._store: Store | None = None
        self._store_seen: Signature = None
        self._store_trouble: Notice | None = None
        self._aside: frozenset[str] | None = None
        self._events: list[Event] = []
        self._last_row = 0
        self._copies: dict[Path, tuple[Signature, bool]] = {}
        self._edited: dict[Path, tuple[Signature, bool]] = {}
        self._today_of: tuple[tuple[int, int, datetime], Today] | None = None
        self._effort_of: tuple[tuple[int, int, date], tuple[mastery.Week, ...]] | None = None
        self._servers = Servers()

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def refresh(self, *, thorough: bool = True) -> bool:
        """Read what is new; returns whether there is something else to show than before.

        Args:
            thorough: look at the roadmap and the copies too; else only at the events, which takes
                a fraction of a millisecond when there are none.
        """
        before = (self.progress, self.facts, self.roadmap)
        if thorough or self.roadmap is None:
            self._read_roadmap()
        news = self._read_events()
        if self.roadmap is not None and (news or self.progress is None or before[2] is not self.roadmap):
            self.progress = summarize(self.roadmap, self._events, self._clock())
        if thorough:
            self.facts = self._look_around()
        return (self.progress, self.facts, self.roadmap) != before

    def parts(self) -> dict[str, str]:
        """The page as it is now."""
        if self.progress is None:
            return page.only_notices(view.notices(self.facts.notices))
        return page.parts(view.model(self.progress, self.facts))

    def copy(self, number: str, kind: str, *, start_over: bool = False) -> Path:
        """The learner's copy of a notebook's "lesson", "exercises" or "solution", made on first use.

        Raises:
            RoadmapError: there is no such notebook, its copy cannot be made or read, or solutions are asked for of
                an exercise that the learner has neither passed nor tried three times.
        """
        if self.root is None or self.roadmap is None:
            raise CatalogError("the course's roadmap cannot be read, so nothing can be opened")
        notebook = self.roadmap.find(number)
        workspace = Workspace(self.root, self.roadmap.aliases)
        if kind == "solution":
            progress = summarize(self.roadmap, self._events, self._clock()).notebooks[notebook.number]
            if not view.may_look_at_all(progress):
                when = f"once each exercise is passed, or tried {view.TRIES} times"
                raise WorkspaceError(f"the solutions of {number} are shown {when}")
            return workspace.solution(notebook, comparing.solution_path(self.root, notebook))
        if kind == "lesson":
            return workspace.start_over_lesson(notebook) if start_over else workspace.lesson(notebook)
        return workspace.start_over(notebook) if start_over else workspace.exercises(notebook)

    def review(self, number: str, exercise_id: str) -> Path:
        """A copy of one exercise, unanswered; today's, where there is one already.

        Raises:
            RoadmapError: there is no such exercise, or its copy cannot be made.
        """
        if self.root is None or self.roadmap is None:
            raise CatalogError("the course's roadmap cannot be read, so nothing can be opened")
        notebook = self.roadmap.find(number)
        exercise = next((item for item in notebook.exercises if item.id == exercise_id), None)
        if exercise is None:
            raise CatalogError(f"{number} has no exercise {exercise_id!r}")
        workspace = Workspace(self.root, self.roadmap.aliases)
        seen = _signature(workspace.review_path(notebook, exercise))
        now = self._clock()
        of_today = seen is not None and datetime.fromtimestamp(seen[1] / 1e9, now.tzinfo).date() == now.date()
        return workspace.review(notebook, exercise, fresh=not of_today)

    def compare(self, number: str, exercise_id: str) -> str:
        """The learner's answer beside the model one, as HTML.

        Raises:
            RoadmapError: there is no such exercise, the learner has not passed it nor tried it three times, or one
                of the two notebooks is not there.
        """
        root, roadmap, _ = self._all()
        notebook = roadmap.find(number)
        progress = summarize(roadmap, self._events, self._clock()).notebooks[notebook.number]
        item = next((each for each in progress.exercises if each.exercise.id == exercise_id), None)
        if item is None:
            raise CatalogError(f"{number} has no exercise {exercise_id!r}")
        if not view.may_look(item):
            raise WorkspaceError(f"the solution is shown once you have passed, or tried {view.TRIES} times")
        copy = Workspace(root, roadmap.aliases).exercises_path(notebook)
        pairs = comparing.compare(copy, comparing.solution_path(root, notebook), item.exercise)
        return comparison.comparison(notebook, item.exercise, pairs)

    def assess(self, check_id: str) -> None:
        """Record that the learner held an essay against its rubric and found it good.

        Raises:
            RoadmapError: there is no such essay, or it cannot be recorded.
        """
        check = self.roadmap.checks.get(check_id) if self.roadmap else None
        if check is None or check.kind != "essay":
            raise CatalogError(f"no essay is called {check_id!r}")
        if self._store is None:
            raise StoreError("the progress file cannot be written; see the message at the top of the page")
        self._store.append(
            Event(
                uuid=str(uuid4()),
                machine=self._store.machine,
                source=EventSource.SELF_ASSESSED,
                check_id=check.id,
                check_version=check.version,
                answer_digest="",
                outcome=Outcome.PASSED,
                points=check.points,
                time=self._clock(),
            )
        )

    def save_passport(self) -> tuple[str, bytes, list[str]]:
        """A name for the file, its content, and in sentences what is not in it.

        Raises:
            RoadmapError: the course or the progress cannot be read.
        """
        root, roadmap, store = self._all()
        now = self._clock()
        data, problems = passports.save(root, roadmap, store, now)
        passports.mark_saved(root, now)
        return passports.file_name(now), data, problems

    def record(self, name: str = "") -> tuple[str, bytes]:
        """A name for the file, and the record to show; `name` is the learner's, as it is to stand there.

        Raises:
            RoadmapError: the course or the progress cannot be read.
        """
        _, roadmap, _ = self._all()
        self.refresh(thorough=False)
        now = self._clock()
        progress = summarize(roadmap, self._events, now)
        return record.file_name(now), record.record(roadmap, progress, self._events, now, name).encode()

    def restore_passport(self, data: bytes) -> Restored:
        """Put what a passport holds into the course.

        Raises:
            RoadmapError: it is no passport, or nothing of it can be stored.
        """
        root, roadmap, store = self._all()
        return passports.restore(passport.load(data), root, roadmap, store)

    def _all(self) -> tuple[Path, Roadmap, Store]:
        if self.root is None or self.roadmap is None:
            raise CatalogError("the course's roadmap cannot be read; see the message at the top of the page")
        if self._store is None:
            raise StoreError("the progress file cannot be written; see the message at the top of the page")
        return self.root, self.roadmap, self._store

    def _read_roadmap(self) -> None:
        try:
            if self.root is None:
                self.root = catalog.find_root(self._start)
            seen = _signature(self.root / catalog.FILE)
            if self.roadmap is None or seen != self._catalog_seen:
                self.roadmap = catalog.load(self.root)
                self._catalog_seen = seen
            self._catalog_trouble = None
        except CatalogError as error:
            self._catalog_trouble = Notice("error", "The course's roadmap cannot be read.", _sentence(error))

    def _read_events(self) -> bool:
        """Append what is new to the events; True when there was something."""
        if self.root is None:
            return False
        path = path_for(self.root)
        try:
            if self._store is None:
                self._store = Store(path)
            seen = _identity(path)
            changed = seen != self._store_seen
            if changed:  # set aside, or deleted: row numbers begin anew
                self._events, self._last_row, self._store_seen = [], 0, seen
            for row, event in self._store.events(after=self._last_row):
                self._events.append(event)
                self._last_row = row
                changed = True
            self._store_trouble = None
        except StoreError as error:
            self._store_trouble = Notice("error", "Your progress cannot be read or written.", _sentence(error))
            self.close()
            return False
        return changed

    def _look_around(self) -> Facts:
        notices = [trouble for trouble in (self._catalog_trouble, self._store_trouble) if trouble]
        if self._store is not None:
            title = "An unreadable progress file was set aside."
            notices += [Notice("warning", title, text) for text in self._store.notices]
        notices += self._files_set_aside()
        if self.root is None or self.roadmap is None:
            return Facts(notices=tuple(notices))
        workspace = Workspace(self.root, self.roadmap.aliases)
        written = [item for item in self.roadmap.notebooks.values() if item.status is Status.READY]
        notices += self._unreadable_copies(workspace, written)
        self._servers.want({name for item in written for name in item.servers})
        return Facts(
            Copies(
                frozenset(item.number for item in written if workspace.lesson_path(item).exists()),
                frozenset(item.number for item in written if workspace.exercises_path(item).exists()),
            ),
            tuple(notices),
            self._servers.missing,
            self._keeping(workspace, written),
            self._today(self.roadmap),
            self._effort(self.roadmap),
            frozenset(item.number for item in written if comparing.solution_path(self.root, item).exists()),
        )

    def _effort(self, roadmap: Roadmap) -> tuple[mastery.Week, ...]:
        """The weeks; counted anew when there is something new, and when a day has begun."""
        now = self._clock()
        key = (id(roadmap), len(self._events), now.date())
        if self._effort_of is None or self._effort_of[0] != key:
            self._effort_of = (key, mastery.effort(roadmap, self._events, now))
        return self._effort_of[1]

    def _today(self, roadmap: Roadmap) -> Today:
        """What to review; reckoned anew when there is something new, and when a minute has passed."""
        now = self._clock()
        key = (id(roadmap), len(self._events), now.replace(second=0, microsecond=0))
        if self._today_of is None or self._today_of[0] != key:
            self._today_of = (key, today(roadmap, self._events, now))
        return self._today_of[1]

    def _keeping(self, workspace: Workspace, written: list[Notebook]) -> Keeping:
        saved = passports.last_saved(workspace.root)
        times = [passports.unsaved_since(self._events, saved)]
        times += [self._edited_at(workspace, notebook, saved) for notebook in written]
        forgets = any(name in os.environ for name in BINDER)
        return Keeping(saved, min((time for time in times if time), default=None), forgets)

    def _edited_at(self, workspace: Workspace, notebook: Notebook, saved: datetime | None) -> datetime | None:
        """When a copy was changed last, if that is not saved; it is read only when it has changed."""
        path = workspace.exercises_path(notebook)
        seen = _signature(path)
        if seen is None:
            return None
        time = datetime.fromtimestamp(seen[1] / 1e9, UTC)
        if saved and time <= saved:
            return None
        known = self._edited.get(path)
        if known is None or known[0] != seen:
            self._edited[path] = known = (seen, workspace.status(notebook) is CopyState.EDITED)
        return time if known[1] else None

    def _files_set_aside(self) -> Iterator[Notice]:
        """Progress files that another process (a notebook's kernel) set aside since this page was opened."""
        if self.root is None:
            return
        path = path_for(self.root)
        found = frozenset(item.name for item in path.parent.glob(f"{path.name}.corrupt-*[Z0-9]"))
        if self._aside is None:
            self._aside = found
        own = " ".join(self._store.notices) if self._store else ""
        for name in sorted(found - self._aside):
            if name not in own:
                yield Notice(
                    "warning",
                    "An unreadable progress file was set aside.",
                    f"It is kept as {name} in {path.parent}, and a new one was begun. Your answers are not "
                    "touched: run a notebook's checks again to have them counted.",
                )

    def _unreadable_copies(self, workspace: Workspace, written: list[Notebook]) -> Iterator[Notice]:
        for notebook in written:
            for kind, path in (
                ("lesson", workspace.lesson_path(notebook)),
                ("exercises", workspace.exercises_path(notebook)),
            ):
                if not self._readable(path):
                    yield Notice(
                        "warning",
                        f"Your copy of {notebook.number} cannot be opened.",
                        f"{path} is cut short, or no notebook. Nothing was deleted: mend the file, or start over.",
                        (notebook.number, kind),
                    )

    def _readable(self, path: Path) -> bool:
        """Whether a copy is a notebook, or is not there; a file is read only when it has changed."""
        seen = _signature(path)
        if seen is None:
            return True
        known = self._copies.get(path)
        if known is None or known[0] != seen:
            try:
                cells.parse(path.read_bytes())
                readable = True
            except (OSError, NotebookError):
                readable = False
            self._copies[path] = known = (seen, readable)
        return known[1]


class Servers:
    """Which servers of the written notebooks are missing: looked for beside the page, which does not wait for it.

    Attributes:
        missing: as known so far; nothing before the first look has ended.
    """

    def __init__(self) -> None:
        self.missing: tuple[MissingServer, ...] = ()
        self._known: set[str] = set()
        self._looked_at = 0.0
        self._thread: threading.Thread | None = None

    def want(self, names: set[str]) -> None:
        """See to it that these have been looked for; what was missing is looked for again after a while."""
        if self._thread is not None and self._thread.is_alive():
            return
        news = names - self._known
        again = {server.name for server in self.missing}
        if again and time.monotonic() - self._looked_at > LOOK_AGAIN_S:
            news |= again
        if news:
            self._thread = threading.Thread(target=self._look, args=(news,), name="servers", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Until the present look has ended."""
        if self._thread is not None:
            self._thread.join()

    def _look(self, names: set[str]) -> None:
        from roadmap_progress.servers import REGISTRY
        from roadmap_progress.servers._kind import load
        from roadmap_progress.servers._survey import survey

        known = sorted(names & set(REGISTRY))  # a later course may name one that this version does not have
        missing = [server for server in self.missing if server.name not in names]
        try:
            for name, outcome in survey(known).items():
                if isinstance(outcome, ServerUnavailable):
                    command = load(name, REGISTRY[name]).install.command()
                    reason = "; ".join(outcome.reasons) or str(outcome)
                    missing.append(MissingServer(name, outcome.what or name, reason, command))
        finally:  # or it would be tried again at every look
            self.missing = tuple(missing)
            self._known |= names
            self._looked_at = time.monotonic()


def _signature(path: Path) -> Signature:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _identity(path: Path) -> Signature:
    found = _signature(path)
    return (found[0], 0, 0) if found else None


def _sentence(error: RoadmapError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!")) else ".")
