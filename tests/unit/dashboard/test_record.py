"""The record to show: true, labelled, and made of nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from roadmap_progress.cli import main
from roadmap_progress.dashboard.session import Session
from roadmap_progress.model import Outcome

Record = Callable[..., None]


def made(tree: Path, name: str = "") -> str:
    session = Session(tree)
    session.refresh()
    file, data = session.record(name)
    session.close()
    assert re.fullmatch(r"backend-roadmap-record-\d{4}-\d\d-\d\d\.html", file)
    return data.decode()


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.split("<body>")[1]).split())


def test_it_says_what_was_passed_and_who_says_so(tree: Path, record: Record) -> None:
    record("look_up", Outcome.FAILED)
    record("look_up")
    text = words(made(tree))
    assert "Recorded by the learner’s own machine; not signed." in text
    assert "topics mastered 0 of 1" in text
    assert "in part 3 of 6" in text
    assert "1 of 3 checks passed in 2 runs" in text
    assert "1.2" not in text  # nothing of it was passed


def test_a_topic_that_is_mastered_has_its_date_and_an_essay_is_told(tree: Path, record: Record) -> None:
    record("look_up")
    record("say_name")
    session = Session(tree)
    session.refresh()
    session.assess("say_why")
    session.close()
    html = made(tree)
    assert '<tr class="whole">' in html
    assert re.search(r"✓ \d+ \w+ \d{4} 6 of 6 3 of 3 checks passed in 3 runs; 1 of them an essay", words(html))


def test_without_anything_passed_it_says_so(tree: Path) -> None:
    assert "Nothing has been passed yet." in words(made(tree))


def test_it_loads_nothing_and_a_name_is_no_markup(tree: Path, record: Record) -> None:
    record("look_up")
    html = made(tree, " <script>alert(1)</script> ")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script" not in html
    assert not re.search(r"""(src|@import|url\()""", html)


def test_the_command_writes_it(
    tree: Path, record: Record, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record("look_up")
    monkeypatch.chdir(tree)
    assert main(["record", "mine.html", "--name", "Ada Lovelace"]) == 0
    assert "mine.html" in capsys.readouterr().out
    assert "Ada Lovelace" in (tree / "mine.html").read_text(encoding="utf-8")
    assert main(["record", "no/such/folder/mine.html"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_outside_a_course_the_command_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["record"]) == 1
    assert "roadmap record:" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
