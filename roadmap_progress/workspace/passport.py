"""The passport: all that a learner did, as one file to carry from machine to machine. Pure: bytes in, bytes out.

A line a record, each a JSON object `{"kind": …, "data": …, "sum": …}`; `sum` is the CRC-32 of the data. The first
is the head: the form's version, when and where it was saved, how many records follow. So a damaged file gives back
every record whose line is whole, and tells how many are not. Everything is named by permanent ids, as it was
called when it was saved: aliases are followed when it is used.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from roadmap_progress.errors import PassportError
from roadmap_progress.model import Event, EventSource, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FORM = 1
LIMIT_BYTES = 256 << 20
CELL_TYPES = ("code", "markdown", "raw")

Attachments = dict[str, dict[str, str]]  # file name → type → base64, as in a notebook


@dataclass(frozen=True, slots=True)
class Answer:
    """What a learner wrote into an answer's cell."""

    grade_id: str
    text: str
    attachments: Attachments | None = None


@dataclass(frozen=True, slots=True)
class Extra:
    """A cell that a learner added.

    Attributes:
        after: grade id and cell id of the course's cell that it stands behind, "" for none; both "" at the top.
    """

    cell_id: str
    cell_type: str
    text: str
    after: tuple[str, str] = ("", "")
    attachments: Attachments | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """A learner's part of one notebook's exercises: what differs from what the course gives out."""

    notebook: str
    answers: tuple[Answer, ...]
    extras: tuple[Extra, ...]


@dataclass(frozen=True, slots=True)
class Passport:
    """What a passport holds.

    Attributes:
        saved: when it was saved, aware; None where the file does not tell any more.
        lost: records that could not be read.
        unknown: whole records that this version of the course does not understand.
    """

    events: tuple[Event, ...] = ()
    works: tuple[Work, ...] = ()
    saved: datetime | None = None
    machine: str = ""
    lost: int = 0
    unknown: int = 0


def dump(passport: Passport) -> bytes:
    """The file; the same passport gives the same bytes, whatever the order of its events.

    Raises:
        ValueError: it was saved at no time.
    """
    if passport.saved is None:
        raise ValueError("a passport without the time when it was saved")
    merged = merge(passport)
    records = [("event", _event_data(event)) for event in merged.events]
    records += [("work", _work_data(work)) for work in merged.works]
    head = {
        "passport": FORM,
        "saved": passport.saved.astimezone(UTC).isoformat(),
        "machine": passport.machine,
        "records": len(records),
    }
    return "".join(_line(kind, data) for kind, data in [("head", head), *records]).encode()


def load(data: bytes) -> Passport:
    """All that can be read of a file.

    Raises:
        PassportError: it is no passport, nothing in it can be read, or a newer version of the course wrote it.
    """
    if len(data) > LIMIT_BYTES:
        raise PassportError(f"the file has {len(data) >> 20} MB; no passport is that large")
    if not data.strip():
        raise PassportError("the file is empty")
    reader = _Reader()
    for line in data.decode("utf-8", errors="replace").split("\n"):
        if line.strip():
            reader.take(line)
    return reader.passport()


def merge(*passports: Passport) -> Passport:
    """All of them as one: every event once, every work that differs; the latest tells when it was saved."""
    events = {event.uuid: event for passport in passports for event in passport.events}
    works = {(work.notebook, _sum(_work_data(work))): work for passport in passports for work in passport.works}
    latest = max(passports, key=lambda one: one.saved or datetime.min.replace(tzinfo=UTC), default=Passport())
    return Passport(
        tuple(sorted(events.values(), key=lambda event: (event.time, event.uuid))),
        tuple(works[key] for key in sorted(works)),
        latest.saved,
        latest.machine,
        sum(passport.lost for passport in passports),
        sum(passport.unknown for passport in passports),
    )


class _Reader:
    """Takes a passport's lines, one by one."""

    def __init__(self) -> None:
        self._head: dict[str, Any] | None = None
        self._events: list[Event] = []
        self._works: list[Work] = []
        self._read = self._broken = self._unknown = 0

    def take(self, line: str) -> None:
        found = _parse(line)
        if found is None:
            self._broken += 1
            return
        kind, data = found
        if kind == "head":
            self._take_head(data)
            return
        self._read += 1
        read: Callable[[], None] | None = {
            "event": lambda: self._events.append(_event(data)),
            "work": lambda: self._works.append(_work(data)),
        }.get(kind)
        try:
            if read is None:
                raise ValueError(kind)  # noqa: TRY301 - one way out
            read()
        except (ValueError, TypeError, LookupError, OverflowError):
            self._unknown += 1  # whole, but nothing that this version knows

    def passport(self) -> Passport:
        if self._head is None and not self._read:
            raise PassportError("the file is no passport of this course, or nothing in it can be read any more")
        told = self._head.get("records") if self._head else None
        # A line that was torn in two counts once, where the head tells how many there were.
        lost = max(told - self._read, 0) if type(told) is int else self._broken
        return Passport(
            tuple(self._events),
            tuple(self._works),
            _time(self._head.get("saved")) if self._head else None,
            str(self._head.get("machine", "")) if self._head else "",
            lost,
            self._unknown,
        )

    def _take_head(self, data: Any) -> None:
        form = data.get("passport") if isinstance(data, dict) else None
        if type(form) is not int:
            self._broken += 1
            return
        if form > FORM:
            raise PassportError(
                f"a newer version of the course wrote this passport (its form is {form}, this version knows "
                f"{FORM}); update the course. Nothing was changed"
            )
        self._head = data


def _line(kind: str, data: Any) -> str:
    return json.dumps({"kind": kind, "data": data, "sum": _sum(data)}, ensure_ascii=False) + "\n"


def _sum(data: Any) -> str:
    canonical = json.dumps(data, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(canonical.encode()):08x}"


def _parse(line: str) -> tuple[str, Any] | None:
    """Kind and data of a line; None for one that is not whole."""
    try:
        record = json.loads(line)
        if record["sum"] == _sum(record["data"]) and type(record["kind"]) is str:
            return record["kind"], record["data"]
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    return None


def _event_data(event: Event) -> dict[str, Any]:
    return {
        "uuid": event.uuid,
        "machine": event.machine,
        "source": event.source.value,
        "check": event.check_id,
        "version": event.check_version,
        "answer": event.answer_digest,
        "outcome": event.outcome.value,
        "points": event.points,
        "time": event.time.astimezone(UTC).isoformat(),
    }


def _event(data: Any) -> Event:
    points = data["points"]
    time = _time(data["time"])
    if type(points) not in (int, float) or not math.isfinite(points) or points < 0 or time is None:
        raise ValueError("no event")
    return Event(
        _text(data["uuid"]),
        _text(data["machine"]),
        EventSource(data["source"]),
        _text(data["check"]),
        _text(data["version"]),
        _text(data["answer"]),
        Outcome(data["outcome"]),
        float(points),
        time,
    )


def _work_data(work: Work) -> dict[str, Any]:
    return {
        "notebook": work.notebook,
        "answers": [
            {"id": answer.grade_id, "text": answer.text} | _with(answer.attachments) for answer in work.answers
        ],
        "extras": [
            {"id": extra.cell_id, "type": extra.cell_type, "text": extra.text, "after": list(extra.after)}
            | _with(extra.attachments)
            for extra in work.extras
        ],
    }


def _with(attachments: Attachments | None) -> dict[str, Any]:
    return {"attachments": attachments} if attachments else {}


def _work(data: Any) -> Work:
    return Work(
        _text(data["notebook"]),
        tuple(
            Answer(_text(one["id"]), _text(one["text"]), _attachments(one.get("attachments")))
            for one in _list(data["answers"])
        ),
        tuple(
            Extra(
                _text(one["id"]),
                _one_of(one["type"], CELL_TYPES),
                _text(one["text"]),
                (_text(one["after"][0]), _text(one["after"][1])),
                _attachments(one.get("attachments")),
            )
            for one in _list(data["extras"])
        ),
    )


def _attachments(data: Any) -> Attachments | None:
    if data is None:
        return None
    return {
        _text(name): {_text(kind): _text(content) for kind, content in kinds.items()}
        for name, kinds in data.items()
        if isinstance(kinds, dict)
    }


def _time(data: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(data)
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, TypeError, OverflowError):
        return None


def _text(data: Any) -> str:
    if type(data) is not str:
        raise TypeError(f"{data!r} is no text")
    data.encode()  # a lone surrogate could be written nowhere
    return data


def _list(data: Any) -> Iterable[Any]:
    if type(data) is not list:
        raise TypeError(f"{data!r} is no list")
    return data


def _one_of(data: Any, allowed: tuple[str, ...]) -> str:
    if data not in allowed:
        raise ValueError(f"{data!r} is none of {', '.join(allowed)}")
    return str(data)
