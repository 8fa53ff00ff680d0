"""`content/roadmap.toml` → the plain data that `catalog.parse` checks and `course/roadmap.json` holds."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from roadmap_progress import catalog
from roadmap_progress.errors import CatalogError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from roadmap_progress.model import Notebook, Roadmap

FILE = "content/roadmap.toml"


def read(root: Path) -> dict[str, Any]:
    """The outline as plain data, without exercises.

    Raises:
        SourceError: the file is missing or no TOML; names the line.
        CatalogError: it contradicts itself.
    """
    path = root / FILE
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(path, None, "is missing: this tree has no sources to build from") from None
    except tomllib.TOMLDecodeError as error:
        raise SourceError(path, None, f"is no TOML: {error}") from None
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    try:
        sections = [
            {**section, "notebooks": section["notebook"], "notebook": None} for section in written["section"]
        ]
    except (KeyError, TypeError) as error:
        raise CatalogError(
            f"{path}: every [[section]] has [[section.notebook]] below it; missing: {error}"
        ) from None
    for section in sections:
        del section["notebook"]
    data = {
        "version": project["project"]["version"],
        "repository": project["tool"]["roadmap"]["repository"],
        "resources": written.get("resources", []),
        "aliases": written.get("aliases", {}),
        "retired": written.get("retired", []),
        "sections": sections,
    }
    catalog.parse(data)
    return data


def load(root: Path) -> Roadmap:
    """The outline as a `Roadmap` without exercises; raises as `read` does."""
    return catalog.parse(read(root))


def sources(root: Path, notebook: Notebook) -> tuple[Path, Path]:
    """Where the notebook's lesson and exercises are written."""
    folder = root / "content" / notebook.section
    return folder / f"{notebook.stem}.lesson.md", folder / f"{notebook.stem}.exercises.md"


def choose(roadmap: Roadmap, names: list[str]) -> list[Notebook]:
    """The notebooks with these names; without names, all that have been written.

    Raises:
        CatalogError: a name is unknown, or names a notebook that is only planned.
    """
    if not names:
        return list(roadmap.ready())
    chosen = [roadmap.find(name) for name in names]
    ready = list(roadmap.ready())
    for notebook in chosen:
        if notebook not in ready:
            mend = f'`roadmap new {notebook.number}`, then status = "ready"'
            raise CatalogError(f"{notebook.number} is planned, not written: {mend}")
    return chosen
