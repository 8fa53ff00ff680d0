"""What can go wrong, as one tree.

RoadmapError                    everything this package raises on purpose
├── CatalogError                the roadmap's data contradicts itself, or a name in it is unknown
├── SourceError                 an author's source; names file and line, and how to mend it
├── NotebookError               a notebook cannot be read, or is not what it should be
├── WorkspaceError              the learner's copies: cannot make, find or replace one
├── StoreError                  the progress file cannot be read or written
├── PassportError               a file to restore is no passport, or a newer version wrote it
├── ExecutionError              a notebook could not be run at all (a failing cell is no such error)
├── ServerError                 a server that the lessons talk to
│   ├── ServerUnavailable       no binary, wheel or address for it; names the command that installs it
│   └── ServerFailed            it did not get ready in time, or died; carries its last log lines
├── GraphError                  a repository's commits cannot be read
└── ClassroomError              the instructor's data: roster, dates, gradebook

A learner's wrong answer is none of these: it is a `model.Outcome`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class RoadmapError(Exception):
    """Base of all errors; its text says what happened, with which value, and what to do about it."""


class CatalogError(RoadmapError):
    """The roadmap's data contradicts itself, or a name in it is unknown."""


class SourceError(RoadmapError):
    """A mistake in an author's source.

    Args:
        path: the source file.
        line: 1-based line of the mistake, or None where the whole file is meant.
        problem: what is wrong.
        mend: what to write instead.
    """

    def __init__(self, path: Path, line: int | None, problem: str, mend: str = "") -> None:
        where = f"{path}:{line}" if line else str(path)
        super().__init__(f"{where}: {problem}" + (f"\n    mend: {mend}" if mend else ""))
        self.path, self.line, self.problem, self.mend = path, line, problem, mend


class NotebookError(RoadmapError):
    """A notebook cannot be read, or is not what it should be."""


class WorkspaceError(RoadmapError):
    """One of the learner's copies cannot be made, found or replaced."""


class StoreError(RoadmapError):
    """The progress file cannot be read or written."""


class PassportError(RoadmapError):
    """A file to restore is no passport, or a newer version of the course wrote it."""


class ExecutionError(RoadmapError):
    """A notebook could not be run at all."""


class ServerError(RoadmapError):
    """A server that the lessons talk to."""


class ServerUnavailable(ServerError):
    """There is no binary, wheel or address for a server; the text names the command that installs it.

    Args:
        text: all of it.
        what: is not there, in a word: "nginx".
        reasons: what was looked at, and why it was not taken.
    """

    def __init__(self, text: str, what: str = "", reasons: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.what, self.reasons = what, tuple(reasons)


class ServerFailed(ServerError):
    """A server did not get ready within its deadline, or died; the text ends with its last log lines."""


class GraphError(RoadmapError):
    """A repository's commits cannot be read, or a revision is not there."""


class ClassroomError(RoadmapError):
    """The instructor's data: roster, due dates or gradebook."""
