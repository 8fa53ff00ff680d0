"""What has run in this kernel, held against what the learner's file says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roadmap_progress.model import digest

if TYPE_CHECKING:
    from pathlib import Path

    from roadmap_progress.model import Exercise

LARGEST_FILE_BYTES = 4_000_000  # parsing more would be felt


@dataclass(frozen=True, slots=True)
class Run:
    """The last run of a cell.

    Attributes:
        digest: of its text.
        ended: seconds since the epoch.
        error: the name of the exception that ended it, "" for none.
    """

    digest: str
    ended: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """The learner's notebook as last saved.

    Attributes:
        answers: digest of each answer cell by grade id.
        setup: digests of the course's ungraded code cells.
        checks: digests of its graded ones.
        saved: seconds since the epoch.
    """

    answers: dict[str, str]
    setup: frozenset[str]
    checks: frozenset[str]
    saved: float


class Executed:
    """The cells that ran since the kernel started."""

    def __init__(self) -> None:
        self._answers: dict[str, Run] = {}
        self._all: dict[str, Run] = {}
        self._cache: tuple[tuple[Path, int, int], Saved | None] | None = None

    def remember(self, run: Run, answer_id: str = "") -> None:
        """Take note of a run; `answer_id` where the cell is known to be that answer."""
        self._all[run.digest] = run
        if answer_id:
            self._answers[answer_id] = run

    def has_run(self, cell_digest: str) -> bool:
        """Whether a cell of this text has run."""
        return cell_digest in self._all

    def answers(self, exercise: Exercise, saved: Saved | None) -> dict[str, Run]:
        """The last run of each of the exercise's answers that has one.

        Where the front end sends no metadata, an answer is known by the text that the file has for it.
        """
        found = {}
        for answer in exercise.answers:
            run = self._answers.get(answer.id)
            text = saved.answers.get(answer.id) if saved else None
            anonymous = self._all.get(text) if text else None
            if anonymous and (run is None or anonymous.ended > run.ended):
                run = anonymous
            if run:
                found[answer.id] = run
        return found

    def saved(self, path: Path) -> Saved | None:
        """The notebook at `path` as last saved; None when it cannot be read."""
        try:
            found = path.stat()
            key = (path, found.st_mtime_ns, found.st_size)
            if self._cache and self._cache[0] == key:
                return self._cache[1]
            saved = None if found.st_size > LARGEST_FILE_BYTES else _parse(path.read_bytes(), found.st_mtime)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        self._cache = (key, saved)
        return saved


def is_attempted(exercise: Exercise, runs: dict[str, Run], saved: Saved | None) -> bool:
    """Whether any answer, as last executed, or as saved where none was, differs from the release."""
    for answer in exercise.answers:
        if run := runs.get(answer.id):
            if run.digest != answer.released:
                return True
        elif saved is None or saved.answers.get(answer.id) != answer.released:
            return True
    return not exercise.answers


def is_stale(runs: dict[str, Run], saved: Saved | None) -> bool:
    """Whether the file, saved after an answer last ran, has another text for it."""
    if saved is None:
        return False
    return any(
        saved.saved > run.ended and saved.answers.get(name, run.digest) != run.digest for name, run in runs.items()
    )


def answer_digest(exercise: Exercise, runs: dict[str, Run]) -> str:
    """One digest for all answers of an exercise as last executed; "" when none has been."""
    found = [runs[answer.id].digest if answer.id in runs else "" for answer in exercise.answers]
    if not any(found):
        return ""
    return found[0] if len(found) == 1 else digest(" ".join(found))


def _parse(data: bytes, saved: float) -> Saved:
    answers: dict[str, str] = {}
    setup: set[str] = set()
    checks: set[str] = set()
    for cell in json.loads(data)["cells"]:
        text = cell["source"]
        found = digest(text if isinstance(text, str) else "".join(text))
        nbgrader: dict[str, Any] = cell["metadata"].get("nbgrader") or {}
        if nbgrader.get("solution"):
            answers.setdefault(nbgrader.get("grade_id", ""), found)
        elif nbgrader and cell["cell_type"] == "code":
            (checks if nbgrader.get("grade") else setup).add(found)
    return Saved(answers, frozenset(setup), frozenset(checks), saved)
