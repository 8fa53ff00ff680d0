"""The notebooks in the repository are what its sources give, to the byte, in any folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from roadmap_progress import catalog, notebooks
from roadmap_progress.authoring import build
from roadmap_progress.execution.lessons import IGNORE_TAG

REPOSITORY = Path(__file__).resolve().parents[2]
BUILT = ("course", "solutions", "exercises")


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
    for built in ("solutions", "exercises"):
        shutil.rmtree(root / built)
    build.build(root, [], force=True, say=lambda _: None)
    for folder in BUILT:
        for path in sorted((REPOSITORY / folder).rglob("*.*")):
            if path.is_file() and not build.BESIDE.intersection(path.parts):
                assert comparable(root / path.relative_to(REPOSITORY)) == comparable(path), path.name
