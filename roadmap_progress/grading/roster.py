"""The instructor's two tables, read with care: who is in the class, and what is due when."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from roadmap_progress.errors import ClassroomError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

COLUMNS = ("id", "first_name", "last_name", "email", "lms_user_id")
_BAD_ID = re.compile(r"[+*/\\,]|\s")  # nbgrader splits submissions' names at "+", and makes folders of ids


@dataclass(frozen=True, slots=True)
class Student:
    """One line of the roster; `id` is the name that the student submits under."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""


def read_roster(path: Path) -> list[Student]:
    """The students in the CSV file: a header with `id` and any of the other columns, then a line for each.

    Raises:
        ClassroomError: the file is missing, not UTF-8, or a line is not as it should be; names the line.
    """
    students: list[Student] = []
    lines: dict[str, int] = {}
    for line, row in _rows(path, known=COLUMNS, required=("id",)):
        name = row["id"]
        if not name:
            raise ClassroomError(f"{path}:{line}: the id is empty; it is the name that the student submits under")
        if bad := _BAD_ID.search(name):
            raise ClassroomError(
                f"{path}:{line}: the id {name!r} holds {bad[0]!r}, which nbgrader cannot have there"
            )
        if name in lines:
            raise ClassroomError(f"{path}:{line}: the id {name!r} is on line {lines[name]} already; take one out")
        lines[name] = line
        students.append(Student(**row))
    if not students:
        raise ClassroomError(f"{path}: there is a header, but no student below it")
    return students


def read_due_dates(path: Path, sections: Collection[str], timezone: ZoneInfo) -> dict[str, datetime]:
    """When each section is due, in UTC, from a CSV file with the columns `section` and `due`.

    A date without an offset is in `timezone`; a date without a time is the last second of that day.

    Raises:
        ClassroomError: the file is missing, not UTF-8, or a line is not as it should be; names the line.
    """
    due: dict[str, datetime] = {}
    for line, row in _rows(path, known=("section", "due"), required=("section", "due")):
        if row["section"] not in sections:
            raise ClassroomError(
                f"{path}:{line}: no section {row['section']!r} is ready; there are {', '.join(sorted(sections))}"
            )
        if row["section"] in due:
            raise ClassroomError(f"{path}:{line}: {row['section']} has a due date above already; take one out")
        try:
            due[row["section"]] = parse_due(row["due"], timezone)
        except ValueError:
            raise ClassroomError(
                f"{path}:{line}: {row['due']!r} is no date; write 2027-03-31 23:59, or with an offset "
                "2027-03-31T23:59+02:00"
            ) from None
    return due


def parse_due(text: str, timezone: ZoneInfo) -> datetime:
    """A point in time, in UTC.

    Raises:
        ValueError: it is none.
    """
    moment = datetime.fromisoformat(text)
    if len(text) <= len("2027-03-31"):
        moment = moment.replace(hour=23, minute=59, second=59)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone)
    return moment.astimezone(UTC)


def find_timezone(name: str) -> ZoneInfo:
    """The time zone called `name`.

    Raises:
        ClassroomError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ClassroomError(f"{name!r} is no time zone; write a name such as UTC or Europe/Berlin") from None


def _rows(path: Path, *, known: tuple[str, ...], required: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Every filled line with its number, stripped of white space around each value."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter=_delimiter(path), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        for name in required:
            if name not in header:
                raise ClassroomError(
                    f"{path}:1: there is no column {name!r}; the first line names the columns: {','.join(known)}"
                )
        for name in header:
            if name not in known:
                raise ClassroomError(f"{path}:1: the column {name!r} is unknown; known are {', '.join(known)}")
            if header.count(name) > 1:
                raise ClassroomError(f"{path}:1: the column {name!r} is there twice")
        rows = []
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if len(values) != len(header):
                raise ClassroomError(
                    f"{path}:{reader.line_num}: {len(values)} values for {len(header)} columns; "
                    "a value that holds a comma has to be in quotes"
                )
            stripped = (value.strip() for value in values)
            rows.append((reader.line_num, dict(zip(header, stripped, strict=True))))
    except csv.Error as error:
        raise ClassroomError(f"{path}:{reader.line_num}: is no CSV: {error}") from error
    return rows


def _delimiter(path: Path) -> str:
    """What separates the header's columns: spreadsheets write semicolons where the comma is the decimal point."""
    header = _text(path).partition("\n")[0]
    return max(",;\t", key=header.count)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ClassroomError(f"{path} cannot be read: {error.strerror}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ClassroomError(f"{path}:1: is UTF-16; save it as CSV UTF-8")
    try:
        return data.decode("utf-8-sig")  # with or without the mark that Excel puts in front
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ClassroomError(
            f"{path}:{line}: byte {data[error.start]:#04x} is not UTF-8; save it as CSV UTF-8"
        ) from None
