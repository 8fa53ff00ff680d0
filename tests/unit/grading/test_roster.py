"""The instructor's tables: what is read, and that a mistake names its line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from roadmap_progress.errors import ClassroomError
from roadmap_progress.grading.roster import Student, find_timezone, parse_due, read_due_dates, read_roster

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


@pytest.mark.parametrize(
    "data",
    [
        b"id,first_name,last_name,email,lms_user_id\nada,Ada,L\xc3\xb6velace,a@b,17\n",
        b"\xef\xbb\xbfid,first_name,last_name,email,lms_user_id\r\nada,Ada,L\xc3\xb6velace,a@b,17\r\n",
        b"id;first_name;last_name;email;lms_user_id\n\n ada ;Ada;L\xc3\xb6velace;a@b;17\n;;;;\n",
        b"lms_user_id\temail\tID\tlast_name\tfirst_name\n17\ta@b\tada\tL\xc3\xb6velace\tAda\n",
    ],
    ids=["plain", "Excel's mark and line ends", "semicolons and empty lines", "tabs, another order"],
)
def test_what_spreadsheets_write_is_read(table: Path, data: bytes) -> None:
    table.write_bytes(data)
    assert read_roster(table) == [Student("ada", "Ada", "Lövelace", "a@b", "17")]


def test_only_the_id_is_needed_and_a_comma_may_be_quoted(table: Path) -> None:
    table.write_text('id,last_name\nada,"Lovelace, Countess of"\n')
    assert read_roster(table) == [Student("ada", last_name="Lovelace, Countess of")]


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"id,email\nada,\nbob,\nada,\n", 4, "'ada' is on line 2 already"),
        (b"first_name,email\nAda,\n", 1, "no column 'id'"),
        (b"id,e-mail\nada,\n", 1, "'e-mail' is unknown; known are id, first_name"),
        (b"id,id\nada,ada\n", 1, "'id' is there twice"),
        (b"id,email\nada,\nbob\n", 3, "1 values for 2 columns"),
        (b"id,email\nada,\n,x@y\n", 3, "the id is empty"),
        (b"id\nada+bob\n", 2, "'+'"),
        (b"id,last_name\nada,x\nbob,M\xfcller\n", 3, "0xfc is not UTF-8; save it as CSV UTF-8"),
        ("id\nada\n".encode("utf-16"), 1, "is UTF-16"),
        (b'id,email\nada,"x\n', 2, "is no CSV"),
        (b"", 1, "no column 'id'"),
    ],
)
def test_a_mistake_in_the_roster_names_its_line(table: Path, data: bytes, line: int, words: str) -> None:
    table.write_bytes(data)
    with pytest.raises(ClassroomError) as caught:
        read_roster(table)
    assert str(caught.value).startswith(f"{table}:{line}: ")
    assert words in str(caught.value)


def test_a_roster_without_students_or_without_a_file_says_so(table: Path) -> None:
    with pytest.raises(ClassroomError, match="cannot be read"):
        read_roster(table)
    table.write_text("id,email\n")
    with pytest.raises(ClassroomError, match="no student below it"):
        read_roster(table)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2027-03-31 23:59", datetime(2027, 3, 31, 21, 59, tzinfo=UTC)),  # summer time there
        ("2027-01-31 23:59", datetime(2027, 1, 31, 22, 59, tzinfo=UTC)),
        ("2027-01-31", datetime(2027, 1, 31, 22, 59, 59, tzinfo=UTC)),
        ("2027-01-31T23:59+05:30", datetime(2027, 1, 31, 18, 29, tzinfo=UTC)),
    ],
)
def test_a_due_date_is_in_the_class_time_zone_unless_it_has_an_offset(text: str, utc: datetime) -> None:
    assert parse_due(text, BERLIN) == utc


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("02-tools,2027-01-01", "no section '02-tools' is ready; there are 01-foundations"),
        ("01-foundations,31.1.2027", "'31.1.2027' is no date"),
        ("01-foundations,2027-01-01\n01-foundations,2027-01-02", "has a due date above already"),
    ],
)
def test_a_mistake_in_the_due_dates_names_its_line(table: Path, line: str, words: str) -> None:
    table.write_text(f"section,due\n{line}\n")
    with pytest.raises(ClassroomError, match=r"csv:[23]: ") as caught:
        read_due_dates(table, {"01-foundations"}, BERLIN)
    assert words in str(caught.value)


def test_an_unknown_time_zone_is_refused() -> None:
    assert find_timezone("Europe/Berlin") == BERLIN
    with pytest.raises(ClassroomError, match="'Mars/Olympus' is no time zone"):
        find_timezone("Mars/Olympus")
