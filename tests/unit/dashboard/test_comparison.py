"""Mine beside the solution: who may look, and what is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadmap_progress import catalog
from roadmap_progress.dashboard.comparison import lines
from roadmap_progress.dashboard.session import Session
from roadmap_progress.errors import RoadmapError, WorkspaceError
from roadmap_progress.model import Outcome

Record = Callable[..., None]
MODEL = "def look(name):\n    ### BEGIN SOLUTION\n    return ask(name)\n    ### END SOLUTION"


def notebook(*answers: tuple[str, str]) -> str:
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "source": text, "metadata": {"nbgrader": {"grade_id": name, "solution": True}}}
        for name, text in answers
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def both(tree: Path) -> Path:
    """A tree with the model answers, and a copy in which one was answered."""
    roadmap = json.loads((tree / catalog.FILE).read_text(encoding="utf-8"))
    roadmap["sections"][0]["notebooks"][0]["exercises"][0]["answers"] = [{"id": "look-answer", "released": "r"}]
    (tree / catalog.FILE).write_text(json.dumps(roadmap), encoding="utf-8")
    for folder, text in (("solutions", MODEL), ("work", "def look(name):\n    return <guess>")):
        path = tree / folder / "01-first" / "1.1-naming.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(notebook(("look-answer", text)), encoding="utf-8")
    return tree


@pytest.fixture
def session(both: Path) -> Any:
    session = Session(both)
    session.refresh()
    yield session
    session.close()


def offered(session: Session) -> bool:
    session.refresh()
    return 'data-compare="look"' in session.parts()["section-01-first"]


def test_the_solution_is_for_who_has_passed(session: Session, record: Record) -> None:
    assert not offered(session)
    with pytest.raises(WorkspaceError, match="passed, or tried 3 times"):
        session.compare("1.1", "look")
    record("look_up")
    assert offered(session)
    html = session.compare("1.1", "look")
    assert '<td data-only="mine">' in html
    assert "return &lt;guess&gt;" in html
    assert "return ask(name)" in html
    assert "SOLUTION" not in html
    assert html.count("def look(name):") == 2


def test_or_for_who_has_tried_three_times_with_an_answer(session: Session, record: Record) -> None:
    record("look_up", Outcome.FAILED)
    record("look_up", Outcome.CRASHED)
    record("look_up", Outcome.NOT_ATTEMPTED)
    assert not offered(session)
    record("look_up", Outcome.FAILED)
    assert offered(session)


def test_the_whole_notebook_is_for_who_may_look_at_each_of_its_exercises(
    session: Session, both: Path, record: Record
) -> None:
    def shown() -> bool:
        session.refresh()
        return 'data-kind="solution"' in session.parts()["section-01-first"]

    record("look_up")
    record("say_name")
    assert not shown()
    with pytest.raises(WorkspaceError, match="once each exercise is passed, or tried 3 times"):
        session.copy("1.1", "solution")
    record("say_why")
    assert shown()
    copy = session.copy("1.1", "solution")
    assert copy == both / "work" / "solutions" / "01-first" / "1.1-naming.ipynb"
    source = both / "solutions" / "01-first" / "1.1-naming.ipynb"
    assert copy.read_bytes() == source.read_bytes()
    copy.write_text(copy.read_text().replace("ask(name)", "ask(name, twice=True)"))
    assert session.copy("1.1", "solution").read_bytes() == source.read_bytes()
    (kept,) = (both / "work" / "kept" / "solutions").iterdir()  # what the learner tried there
    assert "twice=True" in kept.read_text()
    source.unlink()
    session.refresh(thorough=True)
    assert not shown()
    with pytest.raises(WorkspaceError, match="is missing"):
        session.copy("1.1", "solution")


def test_a_tree_without_solutions_offers_none(session: Session, both: Path, record: Record) -> None:
    record("look_up")
    (both / "solutions" / "01-first" / "1.1-naming.ipynb").unlink()
    assert not offered(session)
    with pytest.raises(WorkspaceError, match="cannot be read"):
        session.compare("1.1", "look")
    with pytest.raises(RoadmapError, match="has no exercise"):
        session.compare("1.1", "nonsense")


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_each_side_can_be_read_from_top_to_bottom(mine: list[str], solution: list[str]) -> None:
    rows = list(lines("\n".join(mine), "\n".join(solution)))
    assert [one for one, _, _ in rows if one is not None] == mine
    assert [other for _, other, _ in rows if other is not None] == solution
    assert all((one == other) == same for one, other, same in rows)
    assert all(re.fullmatch("[abc]", line) for row in rows for line in row[:2] if line is not None)
