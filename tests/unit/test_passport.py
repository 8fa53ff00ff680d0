"""The passport: saved here, restored there, byte for byte; damaged, it gives back what is whole."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from roadmap_progress import catalog
from roadmap_progress.cli import main
from roadmap_progress.errors import PassportError
from roadmap_progress.model import Event, EventSource, Outcome
from roadmap_progress.progress import summarize
from roadmap_progress.store import Store, path_for
from roadmap_progress.workspace import Workspace, passport, passports
from roadmap_progress.workspace.passport import Answer, Extra, Passport, Work

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
SECTION = "01-first"
PICTURE = {"plan.png": {"image/png": "iVBORw0KGgo="}}


def event(number: int, **changes: Any) -> Event:
    values = {
        "uuid": f"uuid-{number}",
        "machine": "here",
        "source": EventSource.KERNEL,
        "check_id": "total_sum",
        "check_version": "v",
        "answer_digest": "d",
        "outcome": Outcome.PASSED,
        "points": 2.0,
        "time": NOW + timedelta(seconds=number),
    }
    return Event(**{**values, **changes})


def exercises(**answers: str) -> nbformat.NotebookNode:
    def cell(name: str, text: str, *, solution: bool, essay: bool = False) -> nbformat.NotebookNode:
        marks = {
            "grade_id": name,
            "solution": solution,
            "locked": not solution,
            "grade": essay,
            "schema_version": 3,
        }
        make = new_markdown_cell if essay else new_code_cell
        return make(text, metadata={"nbgrader": marks}, id=name)

    return new_notebook(
        cells=[
            new_markdown_cell("# Sums", id="intro"),
            cell("total_answer", answers.get("total_answer", "# yours\n..."), solution=True),
            cell("total_sum", "assert total([1]) == 1", solution=False),
            cell("why", answers.get("why", "Your text"), solution=True, essay=True),
        ]
    )


def course(root: Path, aliases: dict[str, str] | None = None) -> Path:
    check = {"id": "total_sum", "topic": "sums-topic", "points": 2, "kind": "checks", "version": "v"}
    answers = [{"id": name, "released": "r"} for name in ("total_answer", "why")]
    exercise = {"id": "total", "title": "Total", "answers": answers, "checks": [check]}
    notebook = {
        "number": "1.1",
        "slug": "sums",
        "title": "Sums",
        "status": "ready",
        "minutes": 30,
        "topics": [{"id": "sums-topic", "title": "Sums"}],
        "exercises": [exercise],
    }
    roadmap = {
        "version": "1",
        "aliases": aliases or {},
        "sections": [{"number": 1, "slug": SECTION, "title": "First", "notebooks": [notebook]}],
    }
    (root / "course").mkdir(parents=True)
    (root / catalog.FILE).write_text(json.dumps(roadmap), encoding="utf-8")
    folder = root / "exercises" / SECTION
    folder.mkdir(parents=True)
    nbformat.write(exercises(), folder / "1.1-sums.ipynb")
    return root


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A course in which somebody has worked."""
    root = course(tmp_path / "here")
    path = open_copy(root)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].source = "def total(numbers):\n    return sum(numbers)  # é…\n"
    notebook.cells[3].source = "Because ![plan](attachment:plan.png)"
    notebook.cells[3]["attachments"] = PICTURE
    notebook.cells.insert(2, new_code_cell("total([1, 2])", id="mine-1"))
    notebook.cells.insert(3, new_markdown_cell("A note", id="mine-2"))
    notebook.cells.insert(0, new_code_cell("import math", id="top"))
    nbformat.write(notebook, path)
    with Store(path_for(root)) as store:
        store.append(event(1), event(2, outcome=Outcome.FAILED, points=0.0), event(3, check_id="gone_check"))
    return root


def open_copy(root: Path) -> Path:
    roadmap = catalog.load(root)
    return Workspace(root, roadmap.aliases).exercises(roadmap.find("1.1"))


def saved(root: Path, now: datetime = NOW) -> bytes:
    with Store(path_for(root)) as store:
        data, problems = passports.save(root, catalog.load(root), store, now)
    assert problems == []
    return data


def restored(data: bytes, root: Path) -> passports.Restored:
    with Store(path_for(root)) as store:
        return passports.restore(passport.load(data), root, catalog.load(root), store)


def records(data: bytes) -> list[str]:
    """All lines but the head, which names machine and time."""
    return data.decode().splitlines()[1:]


def stored(root: Path) -> list[Event]:
    with Store(path_for(root)) as store:
        return [found for _, found in store.events()]


def sources(root: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(open_copy(root), as_version=4).cells]


def test_saved_here_and_restored_on_an_empty_machine_all_is_the_same(here, tmp_path):
    there = course(tmp_path / "there")
    outcome = restored(saved(here), there)
    assert (outcome.events, outcome.answers, outcome.problems) == (3, 5, ())
    assert sources(there) == sources(here)
    assert nbformat.read(open_copy(there), as_version=4).cells[-1].attachments == PICTURE
    nbformat.validate(nbformat.read(open_copy(there), as_version=4))
    assert records(saved(there)) == records(saved(here))
    progress = [summarize(catalog.load(root), stored(root), NOW) for root in (here, there)]
    assert progress[0] == progress[1]


def test_restoring_twice_changes_nothing(here, tmp_path):
    there = course(tmp_path / "there")
    data = saved(here)
    restored(data, there)
    before = open_copy(there).read_bytes()
    outcome = restored(data, there)
    assert (outcome.events, outcome.answers, outcome.problems) == (0, 0, ())
    assert open_copy(there).read_bytes() == before
    assert not (there / "work" / "kept").exists()


def test_what_is_here_stays_and_what_differs_is_set_beside_it(here, tmp_path):
    there = course(tmp_path / "there")
    path = open_copy(there)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].source = "total = sum"
    nbformat.write(notebook, path)
    with Store(path_for(there)) as store:
        store.append(event(9, machine="there"))
    outcome = restored(saved(here), there)
    assert outcome.events == 3
    taken = outcome.taken["1.1"]
    assert (taken.answers, taken.extras, taken.differing) == (("why",), 3, ("total_answer",))
    assert "total = sum" in sources(there)
    beside = [cell.source for cell in nbformat.read(taken.aside, as_version=4).cells]
    assert beside == sources(here)
    assert "you have other answers here to total_answer" in outcome.problems[0]
    assert {found.uuid for found in stored(there)} == {"uuid-1", "uuid-2", "uuid-3", "uuid-9"}
    earlier = [one for one in (there / "work" / "kept" / SECTION).iterdir() if one != taken.aside]
    assert [cell.source for cell in nbformat.read(earlier[0], as_version=4).cells][1] == "total = sum"
    restored(saved(here), there)  # once more: no further file
    assert len(list((there / "work" / "kept" / SECTION).iterdir())) == 2


def test_two_passports_become_one_that_has_all_of_both(here, tmp_path):
    there = course(tmp_path / "there")
    with Store(path_for(there)) as store:
        store.append(event(1), event(7, machine="there"))
    both = passport.merge(passport.load(saved(here)), passport.load(saved(there, NOW + timedelta(days=1))))
    assert [found.uuid for found in both.events] == ["uuid-1", "uuid-2", "uuid-3", "uuid-7"]
    assert both.saved == NOW + timedelta(days=1)
    assert passport.load(passport.dump(both)) == both
    other = Passport(works=(Work("1.1", (Answer("total_answer", "other"),), ()),), saved=NOW)
    assert len(passport.merge(both, other, other).works) == 2


def test_ids_that_were_renamed_are_followed(here, tmp_path):
    there = course(tmp_path / "there", {"total_sum": "total_all", "total_answer": "all_answer"})
    path = there / "exercises" / SECTION / "1.1-sums.ipynb"
    path.write_text(path.read_text().replace("total_answer", "all_answer"))
    file = there / catalog.FILE
    for old, new in (("total_sum", "total_all"), ("total_answer", "all_answer")):
        file.write_text(file.read_text().replace(f'"id": "{old}"', f'"id": "{new}"'))
    outcome = restored(saved(here), there)
    assert outcome.taken["1.1"].answers == ("all_answer", "why")
    progress = summarize(catalog.load(there), stored(there), NOW)
    assert (progress.points, progress.unknown) == (2.0, 1)


def test_an_answer_that_the_course_has_no_place_for_is_told_and_kept(here, tmp_path):
    there = course(tmp_path / "there")
    data = passport.dump(Passport(works=(Work("1.1", (Answer("old_answer", "x"),), ()),), saved=NOW))
    outcome = restored(data, there)
    assert outcome.taken["1.1"].left == ("old_answer",)
    assert "no place any more for old_answer" in outcome.problems[0]


def test_a_copy_that_cannot_be_read_is_told_and_the_rest_restored(here, tmp_path):
    there = course(tmp_path / "there")
    open_copy(there).write_text("{")
    outcome = restored(saved(here), there)
    assert outcome.events == 3
    assert "1.1 were not restored" in outcome.problems[0]
    assert (there / "work" / SECTION / "1.1-sums.ipynb").read_text() == "{"
    open_copy_text = here / "work" / SECTION / "1.1-sums.ipynb"
    open_copy_text.write_text("{")
    with Store(path_for(here)) as store:
        data, problems = passports.save(here, catalog.load(here), store, NOW)
    assert "The answers of 1.1 are not in it" in problems[0]
    assert len(passport.load(data).events) == 3


@pytest.mark.parametrize(
    "data", [b"", b"  \n", b"hello", b"{}", b'{"cells": []}', b"\xff\xfe\x00", b"null\n[1]\n7"]
)
def test_what_is_no_passport_is_refused_in_words(data):
    with pytest.raises(PassportError, match=r"no passport|empty"):
        passport.load(data)


def test_a_newer_passport_is_refused_and_nothing_changed(here, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(passport, "FORM", 2)
    data = saved(here)
    monkeypatch.undo()
    there = course(tmp_path / "there")
    monkeypatch.chdir(there)
    (there / "new.passport").write_bytes(data)
    assert main(["passport", "restore", "new.passport"]) == 1
    assert "update the course" in capsys.readouterr().err
    assert stored(there) == []


def test_records_of_a_kind_that_is_not_known_are_counted_and_left_out(here):
    line = passport._line("dream", {"of": "a later version"})
    bad = passport._line("event", {**passport._event_data(event(5)), "points": -1})
    late = passport._line("event", {**passport._event_data(event(6)), "time": "9999-12-31T23:59:59-23:00"})
    found = passport.load(saved(here) + line.encode() + bad.encode() + late.encode())
    assert (len(found.events), found.unknown) == (3, 3)


def test_hostile_works_make_no_bad_notebook(here, tmp_path):
    there = course(tmp_path / "there")
    extras = (
        Extra("../../etc", "code", "1", ("total_answer", "")),
        Extra("x" * 100, "markdown", "<script>1</script>", ("nowhere", "nothing")),
        Extra("total_answer", "raw", "2", ("total_answer", "")),
    )
    work = Work(
        "1.1", (Answer("total_answer", "a"), Answer("total_answer", "b"), Answer("total_sum", "c")), extras
    )
    restored(passport.dump(Passport(works=(work, Work("../x", (), ())), saved=NOW)), there)
    notebook = nbformat.read(open_copy(there), as_version=4)
    nbformat.validate(notebook)
    assert "assert total([1]) == 1" in [cell.source for cell in notebook.cells]  # a check is no answer
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_a_damaged_passport_gives_back_what_is_whole_and_loses_nothing_of_what_was_there(here, tmp_path):
    there, whole = course(tmp_path / "there"), saved(here)
    known = {found.uuid: found for found in [*stored(here), event(8, machine="there")]}

    @settings(max_examples=1000, deadline=None, database=None)
    @given(damages=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 200), st.binary(max_size=60)), max_size=3))
    def damage(damages: list[tuple[float, int, bytes]]) -> None:
        damaged = bytearray(whole)
        for place, length, instead in damages:
            at = int(place * len(damaged))
            damaged[at : at + length] = instead
        shutil.rmtree(there / "work", ignore_errors=True)
        with Store(path_for(there)) as store:
            store.append(event(8, machine="there"))
        with suppress(PassportError):  # nothing in it can be read: that is said in words
            restored(bytes(damaged), there)
        found = stored(there)
        assert "uuid-8" in {one.uuid for one in found}
        assert all(known[one.uuid] == one for one in found)
        lines = set(bytes(damaged).split(b"\n"))
        intact = sum(line.encode() in lines for line in records(whole) if '"kind": "event"' in line)
        assert len(found) - 1 >= intact

    damage()


def test_the_command_saves_and_restores(here, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(here)
    assert main(["passport", "save"]) == 0
    (file,) = here.glob("backend-roadmap-*.passport")
    assert f"saved in {file.name}" in capsys.readouterr().out
    assert passports.last_saved(here) is not None
    there = course(tmp_path / "there")
    monkeypatch.chdir(there)
    assert main(["passport", "restore", str(file)]) == 0
    assert "3 results that were not here, 5 answers and cells of yours in 1 notebook" in capsys.readouterr().out
    assert main(["passport", "restore", "missing"]) == 1
    assert "missing cannot be read" in capsys.readouterr().err
    file.write_bytes(file.read_bytes()[:-40])
    assert main(["passport", "restore", str(file)]) == 1
    assert "the file is damaged" in capsys.readouterr().out


def test_what_is_not_saved_yet_is_known_by_its_time():
    events = [event(1), event(5), event(3)]
    assert passports.unsaved_since(events, None) == event(1).time
    assert passports.unsaved_since(events, event(3).time) == event(5).time
    assert passports.unsaved_since(events, event(5).time) is None
