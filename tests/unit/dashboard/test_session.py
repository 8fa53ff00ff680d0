"""What stands behind an open dashboard: a real store, real copies, and what may befall them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from roadmap_progress import catalog
from roadmap_progress.dashboard import session as session_module
from roadmap_progress.dashboard import view
from roadmap_progress.dashboard.session import Session
from roadmap_progress.errors import CatalogError, PassportError, StoreError
from roadmap_progress.model import Outcome
from roadmap_progress.servers import _survey
from roadmap_progress.store import path_for
from roadmap_progress.workspace import passport

Record = Callable[..., None]


@pytest.fixture
def session(tree: Path) -> Iterator[Session]:
    session = Session(tree)
    session.refresh()
    yield session
    session.close()


def titles(session: Session) -> list[str]:
    return [notice.title for notice in session.facts.notices]


def points(session: Session) -> float:
    assert session.progress is not None
    return session.progress.points


def test_another_processs_event_shows_at_the_next_look(session: Session, record: Record) -> None:
    assert points(session) == 0
    record("look_up")
    assert session.refresh(thorough=False)
    assert points(session) == 3
    assert "3 <small>of 6</small>" in session.parts()["head"]


def test_nothing_new_is_nothing_to_draw(session: Session) -> None:
    assert not session.refresh(thorough=False)
    assert not session.refresh()


def test_a_store_that_was_set_aside_is_told_and_the_page_goes_on(
    tree: Path, session: Session, record: Record
) -> None:
    record("look_up")
    session.refresh()
    session.close()
    for companion in ("-wal", "-shm"):
        path_for(tree).with_name(path_for(tree).name + companion).unlink(missing_ok=True)
    path_for(tree).write_bytes(b"this is no database " * 400)
    session.refresh()
    assert titles(session) == ["An unreadable progress file was set aside."]
    assert len(list(path_for(tree).parent.glob("progress.sqlite.corrupt-*"))) == 1
    assert points(session) == 0
    record("say_name")
    session.refresh()
    assert points(session) == 1


def test_a_store_that_another_process_set_aside_is_told_too(tree: Path, session: Session, record: Record) -> None:
    record("look_up")
    session.refresh()
    path_for(tree).rename(path_for(tree).with_name("progress.sqlite.corrupt-20261123T101010Z"))
    record("say_name")
    session.refresh()
    assert titles(session) == ["An unreadable progress file was set aside."]
    assert points(session) == 1  # what is stored now, not what was


def test_a_truncated_copy_is_told_kept_and_mended_by_starting_over(session: Session) -> None:
    copy = session.copy("1.1", "exercises")
    copy.write_text('{"cells": [', encoding="utf-8")
    assert session.refresh()
    (notice,) = session.facts.notices
    assert notice.start_over == ("1.1", "exercises")
    assert 'data-start-over="1.1"' in session.parts()["notices"]
    session.copy("1.1", "exercises", start_over=True)
    session.refresh()
    assert titles(session) == []
    kept = list((copy.parents[1] / "kept" / "01-first").iterdir())
    assert [path.read_text(encoding="utf-8") for path in kept] == ['{"cells": [']


def test_a_missing_roadmap_is_a_message_and_comes_back(tree: Path) -> None:
    text = (tree / catalog.FILE).read_text(encoding="utf-8")
    (tree / catalog.FILE).unlink()
    (tree / "content").mkdir()
    (tree / "content" / "roadmap.toml").touch()  # a checkout in which nothing was built
    session = Session(tree)
    session.refresh()
    assert titles(session) == ["The course's roadmap cannot be read."]
    assert list(session.parts()) == ["shapes", "notices"]
    with pytest.raises(CatalogError, match="nothing can be opened"):
        session.copy("1.1", "lesson")
    (tree / catalog.FILE).write_text(text, encoding="utf-8")
    assert session.refresh()
    assert titles(session) == []
    assert "section-01-first" in session.parts()
    session.close()


def test_a_roadmap_that_breaks_while_the_page_is_open_leaves_the_page_standing(
    tree: Path, session: Session, record: Record
) -> None:
    record("look_up")
    (tree / catalog.FILE).write_text("{", encoding="utf-8")
    assert session.refresh()
    assert titles(session) == ["The course's roadmap cannot be read."]
    assert points(session) == 3


def test_outside_the_course_the_page_says_where_to_go(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.refresh()
    assert "change to the course's folder" in session.facts.notices[0].text


def test_a_store_that_cannot_be_made_is_a_message_and_the_roadmap_still_shows(tree: Path) -> None:
    (tree / "work").write_text("a file where a folder should be", encoding="utf-8")
    session = Session(tree)
    session.refresh()
    assert titles(session) == ["Your progress cannot be read or written."]
    assert "section-01-first" in session.parts()
    with pytest.raises(StoreError):
        session.assess("say_why")
    (tree / "work").unlink()
    session.refresh()
    assert titles(session) == []
    session.close()


def test_a_new_version_of_the_course_shows_by_itself(tree: Path, session: Session) -> None:
    data = json.loads((tree / catalog.FILE).read_text(encoding="utf-8"))
    data["sections"][0]["notebooks"][0]["title"] = "Renamed"
    (tree / catalog.FILE).write_text(json.dumps(data), encoding="utf-8")
    assert session.refresh()
    assert "Renamed" in session.parts()["section-01-first"]


def test_an_essay_counts_once_the_learner_has_assessed_it(session: Session, record: Record) -> None:
    record("say_name")
    session.refresh()
    assert 'data-assess="say_why"' in session.parts()["section-01-first"]
    session.assess("say_why")
    session.refresh()
    assert points(session) == 3
    assert 'data-assess="say_why"' not in session.parts()["section-01-first"]


def test_only_an_essay_can_be_assessed_by_oneself(session: Session) -> None:
    with pytest.raises(CatalogError, match="no essay is called 'look_up'"):
        session.assess("look_up")


def test_two_sessions_of_one_course_see_the_same(tree: Path, session: Session, record: Record) -> None:
    other = Session(tree)
    other.refresh()
    session.assess("say_why")
    record("look_up", Outcome.FAILED)
    for one in (session, other):
        one.refresh()
    assert points(session) == points(other) == 2
    assert session.parts() == other.parts()
    other.close()


@pytest.fixture
def serving(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The course, where the one written notebook starts nginx in two ways, and a server of later times."""
    roadmap = json.loads((tree / catalog.FILE).read_text())
    roadmap["sections"][0]["notebooks"][0]["servers"] = ["web_server", "http_cache", "of_the_future"]
    (tree / catalog.FILE).write_text(json.dumps(roadmap))
    monkeypatch.setattr(session_module, "LOOK_AGAIN_S", 0.0)
    monkeypatch.setenv("ROADMAP_NGINX", "/nowhere/nginx")
    return tree


def card(session: Session) -> str:
    session._servers.wait()
    session.refresh()
    return session.parts()["section-01-first"]


def test_a_lesson_whose_server_is_missing_is_marked_once_with_reason_and_command(serving: Path) -> None:
    session = Session(serving)
    session.refresh()
    html = card(session)
    assert html.count("nginx is missing on this machine.") == 1
    assert "/nowhere/nginx (named in the environment) cannot be executed" in html
    assert session.facts.missing[0].command in html
    assert "nginx is missing on this machine." in session.parts()["next"]
    session._servers.wait()
    session.close()


def test_the_mark_goes_away_by_itself_once_the_server_is_there(
    serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(serving)
    session.refresh()
    assert "is missing on this machine" in card(session)
    program = serving / "nginx"
    program.write_text("#!/bin/sh\necho nginx version: nginx/1.30.0 >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("ROADMAP_NGINX", str(program))
    session._servers.wait()  # a look that began before
    session.refresh()  # begins another one
    assert "is missing on this machine" not in card(session)
    session.close()


def test_the_page_opens_before_anything_was_looked_for(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_look = threading.Event()
    real = _survey.survey

    def slow(names: list[str]) -> object:
        assert may_look.wait(60)
        return real(names)

    monkeypatch.setattr(_survey, "survey", slow)
    session = Session(serving)
    session.refresh()
    assert "is missing" not in session.parts()["section-01-first"]
    assert not session.refresh()  # and goes on as it is meanwhile
    may_look.set()
    assert "is missing on this machine" in card(session)
    session._servers.wait()
    session.close()


def test_a_course_that_starts_no_server_looks_for_none(session: Session) -> None:
    session.refresh()
    assert session._servers._thread is None


def test_what_no_passport_holds_is_told_until_it_is_saved(tree: Path, session: Session, record: Record) -> None:
    assert session.facts.keeping == view.Keeping()
    record("look_up")
    session.refresh()
    since = session.facts.keeping.unsaved_since
    assert since is not None
    assert "Not saved since" in session.parts()["passport"]
    name, data, problems = session.save_passport()
    assert (name.endswith(".passport"), problems) == (True, [])
    session.refresh()
    assert session.facts.keeping.unsaved_since is None
    assert "All that you did is saved." in session.parts()["passport"]
    assert passport.load(data).events[0].check_id == "look_up"


def test_an_answer_that_was_written_after_the_passport_is_told(tree: Path, session: Session) -> None:
    copy = session.copy("1.1", "exercises")
    session.save_passport()
    session.refresh()
    assert session.facts.keeping.unsaved_since is None
    cell = {"cell_type": "code", "metadata": {}, "source": "mine", "id": "a", "outputs": []}
    copy.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    session.refresh()
    assert session.facts.keeping.unsaved_since is not None


@pytest.mark.parametrize("name", session_module.BINDER)
def test_a_machine_that_forgets_is_said_to(
    session: Session, record: Record, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    record("look_up")
    session.refresh()
    assert session.facts.keeping.forgets
    assert "thrown away when you leave it" in session.parts()["passport"]


def test_a_restored_passport_shows(session: Session, record: Record) -> None:
    record("look_up")
    session.refresh()
    _, data, _ = session.save_passport()
    assert session.root is not None
    path_for(session.root).unlink()
    session.refresh()
    assert points(session) == 0
    assert session.restore_passport(data).events == 1
    session.refresh()
    assert points(session) == 3
    with pytest.raises(PassportError, match="no passport"):
        session.restore_passport(b"a picture")


def test_what_is_due_opens_on_an_empty_cell_and_on_the_same_day_again(tree: Path, record: Record) -> None:
    marks = {"nbgrader": {"grade_id": "look_answer", "solution": True}, "roadmap": {"exercise": "look"}}
    checks = {"nbgrader": {"grade_id": "look_up"}, "roadmap": {"exercise": "look", "role": "checks"}}
    other = {"nbgrader": {"grade_id": "say_answer", "solution": True}, "roadmap": {"exercise": "say"}}
    cells = [
        {"cell_type": "code", "metadata": {"roadmap": {"role": "setup"}}, "source": "N = 1", "id": "s"},
        {"cell_type": "markdown", "metadata": {}, "source": "## Look it up", "id": "p"},
        {"cell_type": "code", "metadata": marks, "source": "...", "id": "a"},
        {"cell_type": "code", "metadata": checks, "source": "assert N", "id": "c"},
        {"cell_type": "markdown", "metadata": {}, "source": "## Say why", "id": "q"},
        {"cell_type": "code", "metadata": other, "source": "...", "id": "b"},
    ]
    released = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tree / "exercises" / "01-first" / "1.1-naming.ipynb").write_text(json.dumps(released))
    record("look_up", Outcome.FAILED)
    clock = datetime.now(UTC) + timedelta(days=2)
    session = Session(tree, lambda: clock)
    session.refresh()
    assert "Look it up" in session.parts()["review"]
    copy = session.review("1.1", "look")
    sources = [cell["source"] for cell in json.loads(copy.read_text())["cells"]]
    assert sources[1:] == ["N = 1", "## Look it up", "...", "assert N"]
    copy.write_text(copy.read_text().replace("...", "mine"))
    os.utime(copy, (clock.timestamp(), clock.timestamp()))
    assert "mine" in session.review("1.1", "look").read_text()
    clock += timedelta(days=1)
    assert "mine" not in session.review("1.1", "look").read_text()
    (kept,) = (tree / "work" / "kept" / "review").iterdir()
    assert "mine" in kept.read_text()
    with pytest.raises(CatalogError, match="no exercise 'sing'"):
        session.review("1.1", "sing")
    session.close()
