"""The roadmap's data is refused where it contradicts itself, in words that say what to mend."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from roadmap_progress import catalog
from roadmap_progress.errors import CatalogError
from roadmap_progress.model import Status

DATA: dict[str, Any] = {
    "version": "1.0",
    "sections": [
        {
            "number": 1,
            "slug": "01-first",
            "title": "First",
            "notebooks": [
                {
                    "number": "1.1",
                    "slug": "one",
                    "title": "One",
                    "status": "ready",
                    "topics": [{"id": "t-one", "title": "T", "links": [{"title": "L", "url": "https://x.org"}]}],
                    "exercises": [
                        {
                            "id": "e-one",
                            "title": "E",
                            "answers": [{"id": "e-one_answer", "released": "00"}],
                            "checks": [{"id": "e-one_a", "topic": "t-one", "points": 2}],
                        }
                    ],
                },
                {"number": "1.2", "slug": "two", "title": "Two", "status": "planned", "requires": ["1.1"]},
            ],
        }
    ],
}


@pytest.fixture
def data() -> dict[str, Any]:
    return copy.deepcopy(DATA)


def notebooks(data: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = data["sections"][0]["notebooks"]
    return found


def test_data_becomes_a_roadmap(data: dict[str, Any]) -> None:
    roadmap = catalog.parse(data)
    assert [notebook.stem for notebook in roadmap.notebooks.values()] == ["1.1-one", "1.2-two"]
    assert roadmap.find("1.1") is roadmap.find("one") is roadmap.find("1.1-one")
    assert roadmap.checks["e-one_a"].points == roadmap.find("1.1").points == 2
    assert [notebook.status for notebook in roadmap.notebooks.values()] == [Status.READY, Status.PLANNED]
    assert roadmap.section("01-first").title == "First"


def test_a_renamed_notebook_is_found_by_its_old_name(data: dict[str, Any]) -> None:
    data["aliases"] = {"former": "one"}
    assert catalog.parse(data).find("former").number == "1.1"


@pytest.mark.parametrize(("name", "words"), [("9.9", "no notebook is called '9.9'")])
def test_an_unknown_name_is_an_error(data: dict[str, Any], name: str, words: str) -> None:
    with pytest.raises(CatalogError, match=words):
        catalog.parse(data).find(name)
    with pytest.raises(CatalogError, match="there are 01-first"):
        catalog.parse(data).section(name)


def test_a_cycle_of_prerequisites_is_shown(data: dict[str, Any]) -> None:
    notebooks(data)[0]["requires"] = ["1.2"]
    with pytest.raises(CatalogError, match=r"form a cycle: 1\.\d → 1\.\d → 1\.\d"):
        catalog.parse(data)


def test_an_unknown_prerequisite_is_named(data: dict[str, Any]) -> None:
    notebooks(data)[1]["requires"] = ["7.7"]
    with pytest.raises(CatalogError, match=r"1\.2 requires '7\.7'"):
        catalog.parse(data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: notebooks(data)[1].update(slug="one"), "'one' is used twice"),
        (
            lambda data: notebooks(data)[1].update(topics=[{"id": "t-one", "title": "again"}]),
            "'t-one' is used twice",
        ),
        (lambda data: data.update(retired=["one"]), "'one', which was retired"),
        (lambda data: data.update(retired=["e-one_a"]), "'e-one_a', which was retired"),
        (lambda data: data.update(aliases={"one": "two"}), "which is an alias of 'two'"),
        (lambda data: data.update(aliases={"former": "nothing"}), "points at 'nothing', which nothing is called"),
        (
            lambda data: notebooks(data)[0]["exercises"][0]["checks"][0].update(topic="t-two"),
            r"grades the topic 't-two', which 1\.1 has not; it has t-one",
        ),
        (lambda data: data.pop("version"), "'version'"),
        (lambda data: notebooks(data)[0].update(status="done"), "'done' is not a valid Status"),
        (lambda data: data.update(sections=[None]), "not as it should be"),
    ],
)
def test_contradictions_are_refused(data: dict[str, Any], change: Any, words: str) -> None:
    change(data)
    with pytest.raises(CatalogError, match=words):
        catalog.parse(data)


def test_a_missing_or_broken_file_says_how_to_get_it_back(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="`roadmap build` makes it"):
        catalog.load(tmp_path)
    (tmp_path / "course").mkdir()
    (tmp_path / catalog.FILE).write_text('{"version": ', encoding="utf-8")
    with pytest.raises(CatalogError, match="git checkout"):
        catalog.load(tmp_path)


def test_the_course_is_found_from_below_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROADMAP_ROOT", raising=False)
    below = tmp_path / "work" / "01-first"
    below.mkdir(parents=True)
    with pytest.raises(CatalogError, match="is not inside the course"):
        catalog.find_root(below)
    (tmp_path / "course").mkdir()
    (tmp_path / catalog.FILE).write_text(json.dumps(DATA), encoding="utf-8")
    assert catalog.find_root(below) == tmp_path.resolve()
    monkeypatch.setenv("ROADMAP_ROOT", str(tmp_path / "work"))
    assert catalog.find_root(tmp_path) == (tmp_path / "work").resolve()
