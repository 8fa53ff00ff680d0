"""A learner's passport of the course at hand: saved, and restored into what is there already.

When it was saved last is remembered beside the progress, so that a page can say what has not been saved yet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from roadmap_progress.errors import CatalogError, PassportError, WorkspaceError
from roadmap_progress.model import Status
from roadmap_progress.workspace import disk, passport
from roadmap_progress.workspace.copies import Workspace
from roadmap_progress.workspace.passport import Passport

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from roadmap_progress.model import Event, Roadmap
    from roadmap_progress.store import Store
    from roadmap_progress.workspace.copies import Taken

SUFFIX = ".passport"


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of restoring.

    Attributes:
        events: results that were not here before.
        taken: what came into each notebook's copy, by number.
        problems: what could not be restored, in sentences.
    """

    events: int = 0
    taken: dict[str, Taken] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def answers(self) -> int:
        """How many answers and cells of the learner's own came in."""
        return sum(len(one.answers) + one.extras for one in self.taken.values())


def save(root: Path, roadmap: Roadmap, store: Store, now: datetime) -> tuple[bytes, list[str]]:
    """The passport of the learner of the course at `root`, and, in sentences, what is not in it.

    Raises:
        StoreError: the progress cannot be read.
    """
    workspace = Workspace(root, roadmap.aliases)
    works, problems = [], []
    for notebook in roadmap.notebooks.values():
        if notebook.status is Status.PLANNED:
            continue
        try:
            if (work := workspace.work(notebook)) is not None:
                works.append(work)
        except WorkspaceError as error:
            problems.append(f"The answers of {notebook.number} are not in it: {error}.")
    events = tuple(event for _, event in store.events())
    return passport.dump(Passport(events, tuple(works), now, store.machine)), problems


def file_name(now: datetime) -> str:
    """What a passport of this day is called."""
    return f"backend-roadmap-{now:%Y-%m-%d}{SUFFIX}"


def restore(found: Passport, root: Path, roadmap: Roadmap, store: Store) -> Restored:
    """Put all of a passport into the course at `root`; what is there stays.

    Raises:
        StoreError: the results cannot be stored; then nothing was changed.
    """
    problems = list(_told(found))
    added = store.merge(found.events)
    workspace = Workspace(root, roadmap.aliases)
    taken: dict[str, Taken] = {}
    for work in found.works:
        try:
            notebook = roadmap.find(work.notebook)
            taken[notebook.number] = one = workspace.take(notebook, work)
        except (CatalogError, WorkspaceError) as error:
            problems.append(f"The answers of {work.notebook} were not restored: {error}.")
            continue
        if one.differing:
            problems.append(
                f"{notebook.number}: you have other answers here to {_listed(one.differing)}; they stay, and the "
                f"passport's are in {one.aside}."
            )
        if one.left:
            problems.append(
                f"{notebook.number}: the course has no place any more for {_listed(one.left)}; the text of each "
                "is still in the passport."
            )
    return Restored(added, taken, tuple(problems))


def load(path: Path) -> Passport:
    """Read a file.

    Raises:
        PassportError: it cannot be read, or is no passport.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PassportError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return passport.load(data)
    except PassportError as error:
        raise PassportError(f"{path}: {error}") from error


def mark_saved(root: Path, now: datetime) -> None:
    """Remember that a passport was saved.

    Raises:
        WorkspaceError: that cannot be written.
    """
    data = json.dumps({"saved": now.astimezone(UTC).isoformat()}).encode()
    folder = root / "work" / ".roadmap"
    with disk.explained("noting that your passport was saved"):
        disk.replace(data, folder / "passport.json", folder / "tmp")


def last_saved(root: Path) -> datetime | None:
    """When a passport was saved last, as far as that is known."""
    try:
        text = (root / "work" / ".roadmap" / "passport.json").read_text(encoding="utf-8")
        time = datetime.fromisoformat(json.loads(text)["saved"])
    except (OSError, ValueError, TypeError, LookupError):
        return None
    return time if time.tzinfo else None


def unsaved_since(events: Iterable[Event], saved: datetime | None) -> datetime | None:
    """The time of the first result that no passport holds; None where all are saved."""
    times = [event.time for event in events if saved is None or event.time > saved]
    return min(times, default=None)


def _told(found: Passport) -> Iterable[str]:
    if found.lost:
        records = "One record" if found.lost == 1 else f"{found.lost} records"
        yield f"{records} of the passport could not be read: the file is damaged. All others were restored."
    if found.unknown:
        records = "One record" if found.unknown == 1 else f"{found.unknown} records"
        yield f"{records} of the passport mean nothing to this version of the course, and were left out."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
