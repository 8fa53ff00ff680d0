"""`roadmap status`: where the learner stands, in plain text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roadmap_progress import catalog
from roadmap_progress.cli import main

ROADMAP = {
    "version": "1",
    "sections": [
        {
            "number": 1,
            "slug": "01-first",
            "title": "First",
            "notebooks": [
                {
                    "number": "1.1",
                    "slug": "names",
                    "title": "Names",
                    "status": "ready",
                    "minutes": 30,
                    "topics": [{"id": "names-topic", "title": "Names"}],
                    "exercises": [
                        {
                            "id": "look",
                            "title": "Look it up",
                            "answers": [],
                            "checks": [{"id": "look_up", "topic": "names-topic", "points": 3}],
                        }
                    ],
                }
            ],
        },
        {
            "number": 2,
            "slug": "02-second",
            "title": "Second",
            "notebooks": [{"number": "2.1", "slug": "later", "title": "Later", "status": "planned"}],
        },
    ],
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "course").mkdir()
    (tmp_path / catalog.FILE).write_text(json.dumps(ROADMAP), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_shows_points_what_next_and_planned_sections(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Backend roadmap: 0 of 3 points (0%), 0 of 1 notebooks done, 1 planned\n")
    assert "Next: 1.1 Names (about 30 min)" in text
    assert "0/3 points, ready" in text
    assert "2  Second (1 planned)" in text
    assert "2.1" not in text


def test_all_shows_planned_notebooks_one_by_one(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--all"]) == 0
    assert "○ 2.1  Later  planned" in capsys.readouterr().out


def test_a_notebooks_name_shows_its_exercises(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "names"]) == 0
    assert "▷ Look it up  0/3, not begun" in capsys.readouterr().out
    assert main(["status", "2.1"]) == 0
    assert capsys.readouterr().out == "2.1 Later is planned, not written yet.\n"


def test_an_unknown_notebook_is_an_error(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "9.9"]) == 1
    assert "no notebook is called '9.9'" in capsys.readouterr().err


def test_a_store_that_cannot_be_made_is_told_first(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "work").write_text("a file where a folder should be", encoding="utf-8")
    assert main(["status"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("! Your progress cannot be read or written.")
    assert "0 of 3 points" in text
