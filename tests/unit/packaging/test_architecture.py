"""The contracts between the package's rooms bite; `make test` holds the package itself against them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


class TestArchitecture:
    """The contracts between rooms bite; `make test` holds the package itself against them."""

    @pytest.fixture
    def copied(self, tmp_path: Path) -> Path:
        shutil.copytree(
            ROOT / "roadmap_progress", tmp_path / "roadmap_progress", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy(ROOT / "pyproject.toml", tmp_path)
        return tmp_path

    @pytest.mark.parametrize(
        ("module", "line", "broken"),
        [
            ("catalog.py", "import roadmap_progress.grading", "imports go down only"),
            ("progress.py", "import roadmap_progress.store", "imports go down only"),
            ("catalog.py", "import subprocess", "start or signal processes"),
            ("catalog.py", "import nbformat", "only notebooks imports nbformat"),
            ("store/files.py", "import pandas", "stays light"),
            ("progress.py", "import sqlite3", "progress and review are pure"),
        ],
    )
    def test_a_forbidden_import_is_found(self, copied: Path, module: str, line: str, broken: str) -> None:
        source = copied / "roadmap_progress" / module
        future = "from __future__ import annotations\n"
        source.write_text(
            source.read_text(encoding="utf-8").replace(future, f"{future}{line}\n"), encoding="utf-8"
        )
        linter = Path(sys.executable).with_name("lint-imports")
        command = [str(linter), "--no-cache", "--no-logo"]
        outcome = subprocess.run(command, cwd=copied, capture_output=True, text=True, check=False)
        said = " ".join(outcome.stdout.split())
        assert outcome.returncode == 1
        assert re.search(rf"{broken}[^.]* BROKEN", said), said
