"""The `roadmap` command: parse, call one room, print, exit code.

Exit codes: 0 fine, 1 something fell short, 2 usage, 130 interrupted. Each command is a module of this
package with `configure(parser)` and `run(arguments) -> int`; it is imported only when it is called, and
imports its rooms inside `run`, so that `roadmap --version` and `--help` stay quick.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "build": "turn content/ into course/, solutions/ and exercises/",
    "lint": "hold the sources against the bar for lessons and exercises",
    "prove": "show that solutions pass, stubs are not attempted, and known mistakes are caught",
    "new": "lay out the two source files of a planned notebook",
    "dist": "make the tree that a graded class gets: no sources, no solutions, no hidden checks",
    "check": "grade your own copy of a notebook's exercises",
    "status": "show your progress in the terminal",
    "passport": "carry your progress and your answers from one machine to another",
    "record": "write a page that shows what you have mastered, to give to others",
    "doctor": "show which servers this machine can run, and how to install the others",
    "grade": "grade what a class handed in, in parallel and shut in",
    "classroom": "set up a class: roster, due dates, gradebook",
}


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"roadmap {version('roadmap-progress')}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    parser = argparse.ArgumentParser(prog="roadmap", description="The backend roadmap course.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    run = None
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == chosen:
            module = importlib.import_module(f"roadmap_progress.cli.{name}")
            module.configure(subparser)
            run = module.run
    parsed = parser.parse_args(arguments)
    if run is None:  # argparse has refused an unknown command already
        parser.error(f"unknown command {parsed.command!r}")

    from roadmap_progress.errors import RoadmapError

    try:
        return int(run(parsed))
    except RoadmapError as error:
        print(f"roadmap {parsed.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"roadmap {parsed.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
