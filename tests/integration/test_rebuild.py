"""The notebooks in the repository are what its sources give, to the byte, in any folder.

All exercises and solutions are built again. A lesson has to run for that, and `make test` runs every one anyway
and compares its outputs: here, as few of them as have every kind of picture between them, with as many kinds of
servers as that allows. All of them where `ROADMAP_REBUILD=all` is set, as before a release.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from roadmap_progress import catalog, notebooks
from roadmap_progress.authoring import build, outline
from roadmap_progress.execution.lessons import IGNORE_TAG

REPOSITORY = Path(__file__).resolve().parents[2]
BUILT = ("course", "solutions", "exercises")
PICTURES = {"browser", "commit_graph", "ipywidgets", "matplotlib"}
IMPORT = re.compile(r"^[ \t]*(?:from|import) +([\w.]+)(?: +import +(\([^)]*\)|[^#\n]*))?", re.MULTILINE)


def kinds(lesson: str) -> set[str]:
    """The kinds of servers and pictures that a lesson's text imports."""
    found: set[str] = set()
    for module, names in IMPORT.findall(lesson):
        if (package := module.partition(".")[0]) in PICTURES:
            found.add(package)
        elif package == "roadmap_progress":
            found |= set(re.findall(r"\w+", names))
    return found


def few_with_every_picture(lessons: dict[str, set[str]]) -> list[str]:
    """Numbers of lessons with all pictures between them: again and again the one with most that are missing."""
    chosen: list[str] = []
    missing = PICTURES & set().union(*lessons.values())
    while missing:
        best = max(lessons, key=lambda number: (len(lessons[number] & missing), len(lessons[number])))
        chosen.append(best)
        missing -= lessons[best]
    return [number for number in lessons if number in chosen]


def test_lessons_to_rebuild_have_every_kind_of_picture_between_them() -> None:
    lessons = {
        "9.9": kinds("import os\nfrom roadmap_progress.servers import postgresql  # one"),
        "10.1": kinds(
            "    import matplotlib.pyplot\nfrom roadmap_progress.servers import (\n  mongodb,\n  postgresql)"
        ),
        "10.2": kinds("from roadmap_progress import commit_graph"),
        "9.1": kinds("import ipywidgets as widgets, sys\nfrom roadmap_progress import commit_graph"),
    }
    assert lessons["10.1"] == {"matplotlib", "mongodb", "postgresql"}
    assert lessons["9.1"] == {"ipywidgets", "commit_graph"}
    # 10.2 has a kind that 9.1 has, too; 9.9 has servers only
    assert few_with_every_picture(lessons) == ["10.1", "9.1"]


def comparable(path: Path) -> str:
    """The file's text without what a tagged cell may show otherwise, and the digest that follows."""
    if path.suffix == ".ipynb":
        notebook = notebooks.read(path)
        for cell in notebook.cells:
            if IGNORE_TAG in cell.metadata.get("tags", []):
                cell.outputs = []
        return notebooks.dumps(notebook)
    if path.name == catalog.FILE.name:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for recorded in data["built"].values():
            del recorded["lesson"]
        return json.dumps(data)
    return path.read_text(encoding="utf-8")


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_rebuild_elsewhere_leaves_no_difference(tmp_path: Path) -> None:
    root = tmp_path / "somewhere else"
    root.mkdir()
    for part in ("content", *BUILT):
        shutil.copytree(REPOSITORY / part, root / part, ignore=shutil.ignore_patterns(*build.BESIDE))
    for name in ("pyproject.toml", "nbgrader_config.py"):
        shutil.copy2(REPOSITORY / name, root / name)
    ready = {notebook.number: notebook for notebook in catalog.load(root).ready()}
    lessons = {
        number: kinds(outline.sources(root, notebook)[0].read_text(encoding="utf-8"))
        for number, notebook in ready.items()
    }
    chosen = list(ready) if os.environ.get("ROADMAP_REBUILD") == "all" else few_with_every_picture(lessons)
    for built in ("solutions", "exercises"):
        shutil.rmtree(root / built)
    for number in chosen:
        build.Built.of(root, ready[number]).lesson.unlink()
    said: list[str] = []
    build.build(root, [], say=said.append)
    assert [words for words in said if "lesson" in words] == [f"{number}: lesson, executed" for number in chosen]
    assert {words.partition(":")[0] for words in said if "solutions" in words} == set(ready)
    for folder in BUILT:
        for path in sorted((REPOSITORY / folder).rglob("*.*")):
            if path.is_file() and not build.BESIDE.intersection(path.parts):
                assert comparable(root / path.relative_to(REPOSITORY)) == comparable(path), path.name
