"""Requirements are locked, with hashes and without anybody's address; conda's environment is the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[3]
LOCKS = ["lab.txt", "test.txt", "tools.txt"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


class TestLocks:
    @pytest.mark.parametrize("name", LOCKS)
    def test_every_requirement_is_pinned_and_hashed(self, name: str) -> None:
        entries = re.split(r"\n(?=\S)", text(f"requirements/{name}").strip())
        entries = [entry for entry in entries if not entry.startswith("#")]
        assert entries
        for entry in entries:
            assert re.match(r"[a-z0-9][a-z0-9._-]*==[^\s;]+", entry), entry[:80]
            assert "--hash=sha256:" in entry, entry[:80]

    @pytest.mark.parametrize("name", [*LOCKS, "lab.in", "test.in", "tools.in"])
    def test_no_address_of_a_registry_is_in_them(self, name: str) -> None:
        assert re.findall(r"https?:|file:|--(?:extra-)?index|--find-links", text(f"requirements/{name}")) == []

    def test_the_lab_is_a_part_of_the_test_environment(self, conda: ModuleType) -> None:
        """Learners get the versions that were tested."""
        lab, test = (set(conda.pins(text(f"requirements/{name}.txt"))) for name in ("lab", "test"))
        assert len(lab) > 100
        assert lab <= test

    @pytest.mark.parametrize("use", ["lab", "test", "tools"])
    def test_everything_asked_for_is_locked(self, use: str) -> None:
        wanted = re.findall(r"^[a-z][\w.-]*", text(f"requirements/{use}.in"), re.MULTILINE)
        locked = set(re.findall(r"^([a-z0-9._-]+)==", text(f"requirements/{use}.txt"), re.MULTILINE))
        assert wanted
        assert set(wanted) <= locked, "run `make lock`"

    def test_no_process_compiles_a_grammar_that_nobody_uses(self) -> None:
        """It took every Jupyter process 2 to 3 s to import nbformat with it."""
        for name in ("lab.txt", "test.txt"):
            assert not re.search("^(rfc3987-syntax|lark)==", text(f"requirements/{name}"), re.MULTILINE)
        left_out = re.findall(r"^([\w-]+) ;", text("requirements/overrides.txt"), re.MULTILINE)
        assert left_out == ["rfc3987-syntax"]
        assert f"uninstall --yes {left_out[0]} " in text("binder/postBuild")


class TestConda:
    def test_the_environment_is_made_from_the_lock(self, conda: ModuleType) -> None:
        assert text("environment.yml") == conda.environment(text("requirements/lab.txt")), "run `make lock`"

    def test_it_is_python_and_the_locks_own_versions(self) -> None:
        *system, packages = yaml.safe_load(text("environment.yml"))["dependencies"]
        assert system == ["python=3.11", "pip"]
        locked = re.findall(r"^([a-z0-9._-]+==[^\s;\\]+)", text("requirements/lab.txt"), re.MULTILINE)
        assert [pin.partition(" ;")[0] for pin in packages["pip"]] == locked

    def test_markers_survive(self, conda: ModuleType) -> None:
        lock = "a==1 ; sys_platform == 'darwin' \\\n    --hash=sha256:00\nb==2 \\\n    --hash=sha256:01\n"
        assert conda.pins(lock) == ["a==1 ; sys_platform == 'darwin'", "b==2"]
