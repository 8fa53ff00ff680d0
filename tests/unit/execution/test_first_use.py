"""What the zygote imports besides what notebooks name."""

from __future__ import annotations

import importlib
import subprocess
import sys

from roadmap_progress.execution.first_use import AT_FIRST_USE, with_first_use


def test_it_follows_what_was_asked_for_and_comes_once() -> None:
    asked, further = ["httpx", "json", "sqlalchemy.orm", "sqlmodel"], "sqlalchemy.dialects.postgresql.psycopg"
    assert with_first_use([*asked, "json"]) == [*asked, "httpcore", further]
    assert with_first_use(["json"]) == ["json"]


def test_the_servers_come_with_all_their_kinds() -> None:
    found = with_first_use(["roadmap_progress.servers"])
    assert {"roadmap_progress.servers.postgres", "roadmap_progress.servers._attached"} < set(found)
    for name in found:
        importlib.import_module(name)


def test_the_packages_do_not_import_it_themselves() -> None:
    """Else a line of the table is of no use, or names what this version of the package no longer has."""
    script = """
import importlib, json, sys
package, *further = sys.argv[1:]
importlib.import_module(package)
known = [one for one in further if one in sys.modules]
for one in further:
    importlib.import_module(one)
print(json.dumps(known))
"""
    for package, further in AT_FIRST_USE.items():
        command = [sys.executable, "-c", script, package, *further]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.stdout.strip(), done.returncode) == ("[]", 0), (package, done.stderr)
