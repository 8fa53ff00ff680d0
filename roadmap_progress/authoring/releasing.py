"""nbgrader's release step, in this process: its command would import nbgrader anew for every section."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING

from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config.loader import PyFileConfigLoader

from roadmap_progress.errors import ClassroomError, ExecutionError

if TYPE_CHECKING:
    from pathlib import Path

    from traitlets.config import Config

CONFIG = "nbgrader_config.py"


def configuration(root: Path) -> Config:
    """The course's own nbgrader configuration.

    Raises:
        ClassroomError: `nbgrader_config.py` is missing, or something in it or in the settings is wrong.
    """
    if not (root / CONFIG).is_file():
        raise ClassroomError(f"{root / CONFIG} is missing; `git checkout {CONFIG}` brings it back")
    try:
        config: Config = PyFileConfigLoader(CONFIG, path=str(root)).load_config()
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise ClassroomError(
            f"{root / CONFIG} or classroom/settings.toml is not as it should be: {error}"
        ) from error
    return config


def generate(config: Config, section: str, *, into: Path | None = None, db_url: str | None = None) -> None:
    """What `nbgrader generate_assignment <section> --force` does, or does with `--no-db`.

    Args:
        config: the course's; names its root.
        into: write the release here; default: where the configuration says.
        db_url: of the gradebook that records the section's cells; None: none does.

    Raises:
        ExecutionError: nbgrader refuses; with what it said.
    """
    said = _Listener()
    log = logging.Logger(f"nbgrader.{section}")  # not in the tree of loggers: nothing is printed
    log.addHandler(said)
    config = copy.deepcopy(config)
    course = CourseDirectory(config=config)
    course.assignment_id = section
    if into is not None:
        course.release_directory = str(into)
    if db_url is None:
        config.SaveCells.enabled = False
    else:
        course.db_url = db_url
    converter = GenerateAssignment(coursedir=course, config=config, log=log)
    converter.no_database = db_url is None
    converter.force = True
    try:
        converter.start()
    except (NbGraderException, SystemExit) as error:
        raise ExecutionError(said.text()) from error


class _Listener(logging.Handler):
    """Keeps the last lines of what is logged as a warning or worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def text(self) -> str:
        return "\n".join(f"    {line}" for message in self.messages for line in message.splitlines()[-3:])
