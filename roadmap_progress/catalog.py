"""The roadmap's data, checked: `course/roadmap.json` → `Roadmap`.

`roadmap.json` is what the build makes of `content/roadmap.toml` and the exercises. It is all that a
tree without `content/` has, so everything that needs a title, a version or a digest reads it here.
"""

from __future__ import annotations

import json
import os
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadmap_progress.errors import CatalogError
from roadmap_progress.model import Answer, Check, Exercise, Link, Notebook, Roadmap, Section, Status, Topic

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path("course") / "roadmap.json"


def find_root(start: Path | None = None) -> Path:
    """The course's folder: `$ROADMAP_ROOT`, or the nearest folder at or above `start` with a roadmap in it.

    Raises:
        CatalogError: there is none.
    """
    if named := os.environ.get("ROADMAP_ROOT"):
        return Path(named).resolve()
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).is_file() or (folder / "content" / "roadmap.toml").is_file():
            return folder
    raise CatalogError(f"{start} is not inside the course: no {FILE} here or above; change to the course's folder")


def load(root: Path) -> Roadmap:
    """Read the course's roadmap.

    Raises:
        CatalogError: the file is missing, not JSON, or contradicts itself.
    """
    path = root / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CatalogError(f"{path} is missing: `roadmap build` makes it") from None
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path} cannot be read ({error}); `git checkout {FILE}` brings it back") from error
    return parse(data)


def parse(data: dict[str, Any]) -> Roadmap:
    """A `Roadmap` from the plain data of `roadmap.json`.

    Raises:
        CatalogError: a field is missing, an id is used twice or after it was retired, a prerequisite is
            unknown, or prerequisites form a cycle.
    """
    try:
        roadmap = Roadmap(
            version=data["version"],
            sections=tuple(_section(section) for section in data["sections"]),
            aliases=dict(data.get("aliases", {})),
            retired=frozenset(data.get("retired", ())),
            repository=data.get("repository", ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CatalogError(f"the roadmap's data is not as it should be: {error!r}") from error
    _reject_reused_ids(roadmap)
    _reject_bad_prerequisites(roadmap)
    return roadmap


def _section(data: dict[str, Any]) -> Section:
    slug = data["slug"]
    return Section(data["number"], slug, data["title"], tuple(_notebook(item, slug) for item in data["notebooks"]))


def _notebook(data: dict[str, Any], section: str) -> Notebook:
    return Notebook(
        number=data["number"],
        slug=data["slug"],
        title=data["title"],
        section=section,
        status=Status(data["status"]),
        minutes=data.get("minutes", 0),
        requires=tuple(data.get("requires", ())),
        servers=tuple(data.get("servers", ())),
        topics=tuple(
            Topic(topic["id"], topic["title"], tuple(Link(**link) for link in topic.get("links", ())))
            for topic in data.get("topics", ())
        ),
        exercises=tuple(_exercise(exercise) for exercise in data.get("exercises", ())),
    )


def _exercise(data: dict[str, Any]) -> Exercise:
    return Exercise(
        data["id"],
        data["title"],
        tuple(Answer(**answer) for answer in data["answers"]),
        tuple(Check(**check) for check in data["checks"]),
    )


def _reject_reused_ids(roadmap: Roadmap) -> None:
    """Every id names one thing, for ever: also those that are retired or were renamed."""
    seen: dict[str, str] = {}
    for name, what in _ids(roadmap):
        if name in roadmap.retired:
            raise CatalogError(f"{what} uses the id {name!r}, which was retired; ids are never used again")
        if name in roadmap.aliases:
            raise CatalogError(f"{what} uses the id {name!r}, which is an alias of {roadmap.aliases[name]!r}")
        if name in seen:
            raise CatalogError(f"the id {name!r} is used twice: by {seen[name]} and by {what}; rename one")
        seen[name] = what
    for old, new in roadmap.aliases.items():
        if new not in seen:
            raise CatalogError(f"the alias {old!r} points at {new!r}, which nothing is called")
    for notebook in roadmap.notebooks.values():
        own = {topic.id for topic in notebook.topics}
        for check in notebook.checks:
            if check.topic not in own:
                raise CatalogError(
                    f"check {check.id!r} grades the topic {check.topic!r}, which {notebook.number} has not; "
                    f"it has {', '.join(sorted(own))}"
                )


def _ids(roadmap: Roadmap) -> Iterator[tuple[str, str]]:
    """Every permanent id, and what it names."""
    for section in roadmap.sections:
        yield section.slug, f"section {section.number}"
    for notebook in roadmap.notebooks.values():
        yield notebook.number, f"notebook {notebook.number}"
        yield notebook.slug, f"notebook {notebook.number}"
        yield from ((topic.id, f"a topic of {notebook.number}") for topic in notebook.topics)
        for exercise in notebook.exercises:
            yield f"exercise {exercise.id}", f"an exercise of {notebook.number}"
            checks = [check.id for check in exercise.checks]
            yield from ((name, f"a check of {notebook.number}") for name in checks)
            answers = (answer.id for answer in exercise.answers)
            # An essay is both.
            yield from ((name, f"an answer of {notebook.number}") for name in answers if name not in checks)


def _reject_bad_prerequisites(roadmap: Roadmap) -> None:
    for notebook in roadmap.notebooks.values():
        for needed in notebook.requires:
            if needed not in roadmap.notebooks:
                raise CatalogError(f"{notebook.number} requires {needed!r}, which is no notebook of the roadmap")
    graph = {notebook.number: notebook.requires for notebook in roadmap.notebooks.values()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = " → ".join(reversed(error.args[1]))
        raise CatalogError(f"the prerequisites form a cycle: {cycle}; take one `requires` out") from None
