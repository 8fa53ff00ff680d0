"""A course tree as the build leaves it, small enough to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from roadmap_progress import catalog
from roadmap_progress.model import Event, EventSource, Outcome
from roadmap_progress.store import Store, path_for


def check(name: str, points: float, kind: str = "checks") -> dict[str, Any]:
    return {"id": name, "topic": "names", "points": points, "kind": kind, "version": "v"}


ROADMAP = {
    "version": "1",
    "sections": [
        {
            "number": 1,
            "slug": "01-first",
            "title": "First <steps>",
            "notebooks": [
                {
                    "number": "1.1",
                    "slug": "naming",
                    "title": "Names & `numbers`",
                    "status": "ready",
                    "minutes": 90,
                    "topics": [{"id": "names", "title": "What `dig` shows"}],
                    "exercises": [
                        {"id": "look", "title": "Look it up", "answers": [], "checks": [check("look_up", 3)]},
                        {
                            "id": "say",
                            "title": "Say why",
                            "answers": [],
                            "checks": [check("say_name", 1), check("say_why", 2, "essay")],
                        },
                    ],
                },
                {
                    "number": "1.2",
                    "slug": "later",
                    "title": "Later",
                    "status": "planned",
                    "requires": ["1.1"],
                    "topics": [{"id": "later-topic", "title": "Later"}],
                },
            ],
        }
    ],
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The root of a course with one notebook."""
    notebook = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    for folder in ("course", "exercises"):
        path = tmp_path / folder / "01-first" / "1.1-naming.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(notebook, encoding="utf-8")
    (tmp_path / catalog.FILE).write_text(json.dumps(ROADMAP), encoding="utf-8")
    return tmp_path


@pytest.fixture
def record(tree: Path) -> Any:
    """Store the outcome of a check, as another process would."""

    def do(check_id: str, outcome: Outcome = Outcome.PASSED) -> None:
        from datetime import UTC, datetime

        roadmap = catalog.load(tree)
        worth = roadmap.checks[check_id].points if outcome is Outcome.PASSED else 0.0
        with Store(path_for(tree)) as store:
            now = datetime.now(UTC)
            source = EventSource.KERNEL
            store.append(Event(str(uuid4()), store.machine, source, check_id, "v", "", outcome, worth, now))

    return do
