"""nbgrader's gradebook, seen from the course: which cells it grades, and which the course has now.

What autograde needs to know of a section, nbgrader's generate step writes into the gradebook. Here that
step runs with its release going to a folder that is thrown away: `exercises/` is built already.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.coursedir import CourseDirectory

from roadmap_progress.authoring import releasing
from roadmap_progress.errors import ClassroomError, ExecutionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traitlets.config import Config


@dataclass(frozen=True, slots=True)
class Cell:
    """What the gradebook holds of a cell: its text with the hidden part, and what it is worth."""

    source: str
    kind: str
    locked: bool
    points: float | None


Cells = dict[tuple[str, str], Cell]  # by notebook and grade id


def course_directory(root: Path) -> tuple[Any, Config]:
    """nbgrader's own idea of the course at `root` (a `CourseDirectory`), and its configuration.

    Raises:
        ClassroomError: there is no `nbgrader_config.py`, or it is wrong.
    """
    config = releasing.configuration(root)
    if "root" not in config.CourseDirectory:
        config.CourseDirectory.root = str(root)
    return CourseDirectory(config=config), config


@contextmanager
def opened(root: Path) -> Iterator[Any]:
    """The class's gradebook; made, with its tables, where there is none.

    Raises:
        ClassroomError: the file is no gradebook, or cannot be opened.
    """
    from sqlalchemy.exc import DatabaseError, OperationalError

    course, _ = course_directory(root)
    try:
        _make_tables(course.db_url)
        with Gradebook(course.db_url, course.course_id) as gradebook:
            yield gradebook
    except OperationalError as error:
        raise ClassroomError(
            f"the gradebook {course.db_url} cannot be used: {error.orig}; after an update of nbgrader, "
            "make a copy of it and run `nbgrader db upgrade`"
        ) from error
    except DatabaseError as error:
        raise ClassroomError(f"{course.db_url} is no gradebook: {error.orig}") from error


def recorded(gradebook: Any, section: str) -> Cells:
    """The cells of the section that the gradebook grades; empty where it does not know the section."""
    try:
        assignment = gradebook.find_assignment(section)
    except MissingEntry:
        return {}
    found: Cells = {}
    for notebook in assignment.notebooks:
        points = {cell.name: float(cell.max_score) for cell in notebook.grade_cells}
        for cell in notebook.source_cells:
            found[notebook.name, cell.name] = Cell(cell.source, cell.cell_type, cell.locked, points.get(cell.name))
    return found


def current(root: Path, sections: list[str]) -> dict[str, Cells]:
    """The cells that the course has now, as nbgrader's generate step would record them.

    Raises:
        ClassroomError: nbgrader cannot read the solutions.
    """
    with tempfile.TemporaryDirectory(prefix="roadmap-gradebook-") as folder:
        url = f"sqlite:///{Path(folder) / 'gradebook.db'}"
        for section in sections:
            generate(root, section, url)
        with Gradebook(url) as gradebook:
            return {section: recorded(gradebook, section) for section in sections}


def generate(root: Path, section: str, url: str | None = None) -> None:
    """Record the section's cells in the gradebook (at `url`, else the class's), as `generate_assignment` does.

    Raises:
        ClassroomError: nbgrader refuses; with what it said.
    """
    course, config = course_directory(root)
    _make_tables(url or course.db_url)
    with tempfile.TemporaryDirectory(prefix="roadmap-release-") as folder:
        try:
            releasing.generate(config, section, into=Path(folder), db_url=url or course.db_url)
        except ExecutionError as error:
            raise ClassroomError(f"nbgrader could not read solutions/{section}:\n{error}") from error


def _make_tables(url: str) -> None:
    """Make the tables of a gradebook that has none yet, as nbgrader would.

    nbgrader starts `alembic` by name to ask for the version of the tables. It need not be on the PATH, and costs
    five times as much as asking its library here.
    """
    from alembic.config import Config as AlembicConfig
    from alembic.script import ScriptDirectory
    from nbgrader.api import Base
    from nbgrader.dbutil import ALEMBIC_DIR
    from sqlalchemy import create_engine, inspect, text

    engine = create_engine(url)
    try:
        if inspect(engine).get_table_names():
            return
        settings = AlembicConfig()
        settings.set_main_option("script_location", ALEMBIC_DIR.replace("%", "%%"))
        version = ScriptDirectory.from_config(settings).get_current_head()
        Base.metadata.create_all(bind=engine)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
            connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": version})
    finally:
        engine.dispose()
