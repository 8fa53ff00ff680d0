"""`roadmap doctor`: which servers this machine can run, and the one command that installs what is missing."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from roadmap_progress.model import Notebook


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known of one server on this machine.

    Attributes:
        name: as in `roadmap_progress.servers`.
        summary: what it is.
        unlocks: numbers of the notebooks that start it.
        found: whether it can be started.
        implementation: "nginx", or "" where none was found.
        version: of the implementation.
        source: where it comes from, in words.
        path: of its program; "" for a library.
        problem: why it cannot be started; "" where it can.
        install: way of installing → the command, where it is missing.
        stand_in: what it stands in for, where it is not the real one.
    """

    name: str
    summary: str
    unlocks: tuple[str, ...]
    found: bool = False
    implementation: str = ""
    version: str = ""
    source: str = ""
    path: str = ""
    problem: str = ""
    install: dict[str, str] = field(default_factory=dict)
    stand_in: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print it as JSON, for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print the table; 1 if a server is missing that a written notebook starts."""
    notebooks, note = _notebooks()
    diagnoses = diagnose(notebooks)
    if arguments.json:
        print(json.dumps([asdict(diagnosis) for diagnosis in diagnoses], indent=2, ensure_ascii=False))
    else:
        print(_table(diagnoses, note))
    return 0 if all(diagnosis.found or (notebooks and not diagnosis.unlocks) for diagnosis in diagnoses) else 1


def diagnose(notebooks: list[Notebook]) -> list[Diagnosis]:
    """Look for every server that there is a registry entry for, in its order."""
    from roadmap_progress.errors import ServerUnavailable
    from roadmap_progress.servers import REGISTRY
    from roadmap_progress.servers._found import Source
    from roadmap_progress.servers._kind import load
    from roadmap_progress.servers._survey import survey

    diagnoses = []
    for name, found in survey(REGISTRY).items():
        kind = load(name, REGISTRY[name])
        unlocks = tuple(notebook.number for notebook in notebooks if name in notebook.servers)
        known = Diagnosis(name=name, summary=kind.summary, unlocks=unlocks)
        if isinstance(found, ServerUnavailable):
            diagnoses.append(replace(known, problem=str(found), install=kind.install.commands()))
        else:
            diagnoses.append(
                replace(
                    known,
                    found=True,
                    implementation=found.implementation,
                    version=found.version,
                    source=found.source.value,
                    path=str(found.path or ""),
                    stand_in=kind.stand_in if found.source is Source.WHEEL else "",
                )
            )
    return diagnoses


def _notebooks() -> tuple[list[Notebook], str]:
    """The notebooks that have been written, and why there are none where the roadmap cannot be read."""
    from roadmap_progress import catalog
    from roadmap_progress.errors import CatalogError

    try:
        return list(catalog.load(catalog.find_root()).ready()), ""
    except CatalogError as error:
        return [], f"What each unlocks is not known: {error}"


def _table(diagnoses: list[Diagnosis], note: str) -> str:
    rows = [("", "server", "what", "unlocks")]
    for diagnosis in diagnoses:
        what = f"{diagnosis.implementation} {diagnosis.version}, {diagnosis.source}"
        where = f": {diagnosis.path}" if diagnosis.path else ""
        rows.append(
            (
                "✓" if diagnosis.found else "✗",
                diagnosis.name,
                what + where if diagnosis.found else "missing",
                ", ".join(diagnosis.unlocks) or "–",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    stand_ins = [diagnosis for diagnosis in diagnoses if diagnosis.stand_in]
    lines += [""] if stand_ins else []
    lines += [f"{diagnosis.name}: {diagnosis.stand_in}" for diagnosis in stand_ins]
    for problem in dict.fromkeys(diagnosis.problem for diagnosis in diagnoses if not diagnosis.found):
        missing = [diagnosis for diagnosis in diagnoses if diagnosis.problem == problem]
        lines += ["", *(f"{diagnosis.name}: {diagnosis.summary}" for diagnosis in missing)]
        lines += [textwrap.indent(problem, "  ")]
    for way, what in (("sudo apt-get install -y ", "Debian and Ubuntu"), ("brew install ", "macOS")):
        commands = [command for diagnosis in diagnoses for command in diagnosis.install.values()]
        packages = dict.fromkeys(command.removeprefix(way) for command in commands if command.startswith(way))
        plain = [words for words in packages if not words.startswith("--")]
        if len(plain) > 1:
            lines += ["", f"All of these on {what}: {way}{' '.join(plain)}"]
    return "\n".join(lines + (["", note] if note else []))
