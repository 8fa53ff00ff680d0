"""`roadmap dist OUT`: the tree that a graded class gets.

It has what a learner needs and nothing that gives an answer away: no sources, no solutions, no tests, no
instructor's data, no hidden block. Every file that goes in is searched for lines of those before it is kept.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap_progress.authoring import build, exercises, outline, secrets
from roadmap_progress.errors import ClassroomError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Everything else stays out, so that a new folder is secret until somebody decides otherwise.
PARTS = (
    "course",
    "exercises",
    "roadmap_progress",
    "requirements",
    "binder",
    "docs",
    "dashboard.ipynb",
    "nbgrader_config.py",
    "pyproject.toml",
    "environment.yml",
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "LICENSE-content",
)
IGNORED = shutil.ignore_patterns(
    "__pycache__", ".ipynb_checkpoints", ".hypothesis", "*.pyc", "*.egg-info", ".*cache"
)


def distribute(root: Path, target: Path) -> list[Path]:
    """Make the tree at `target`; returns its files.

    Raises:
        ClassroomError: the target is there already, the build is stale, or a secret was found: then
            nothing is left at `target`.
        SourceError: a source is wrong.
    """
    if target.exists() and any(target.iterdir()):
        raise ClassroomError(f"{target} is there already and not empty; name a folder that is not")
    if stale := build.check(root):
        raise ClassroomError(f"{stale[0]} ({len(stale)} stale in all): `roadmap build` first")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".roadmap-dist-") as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        for part in PARTS:
            source = root / part
            if source.is_dir():
                shutil.copytree(source, tree / part, ignore=IGNORED, symlinks=True)
            elif source.is_file():
                shutil.copy2(source, tree / part)
        if found := list(_secrets(root, tree)):
            listed = "\n  ".join(found)
            raise ClassroomError(f"{len(found)} secrets would have gone out; nothing was written:\n  {listed}")
        files = sorted(path.relative_to(tree) for path in tree.rglob("*") if path.is_file())
        if target.exists():
            target.rmdir()
        tree.rename(target)
    return [target / path for path in files]


def _secrets(root: Path, tree: Path) -> Iterator[str]:
    roadmap = outline.load(root)
    texts = {
        str(path.relative_to(tree)): path.read_text(encoding="utf-8", errors="replace")
        for path in tree.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    sources = []
    public: set[str] = set()
    for notebook in roadmap.ready():
        lesson, exercise = outline.sources(root, notebook)
        sources.append(exercises.read(exercise))
        public |= secrets.lesson_lines(lesson) | secrets.public_lines(sources[-1])
    for source in sources:
        yield from secrets.leaks(source, public, texts)
