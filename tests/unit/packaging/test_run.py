"""`make test`: which steps it takes, on what, and what it says at the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
import yaml

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[3]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


class TestSystemPackages:
    def test_a_package_is_missing_when_none_of_its_commands_is_there(
        self, system: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        listed = tmp_path / "apt.txt"
        listed.write_text("# comment\nshell  no-such-command sh\nghost  no-such-command\n")
        monkeypatch.setattr(system, "LIST", listed)
        assert system.missing() == ["ghost"]

    def test_a_file_like_the_one_that_is_named_stands_for_its_package(
        self, system: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        listed = tmp_path / "apt.txt"
        listed.write_text(f"maps  {tmp_path}/*/maps.control\nstars  {tmp_path}/*/stars.control\n")
        (tmp_path / "15").mkdir()
        (tmp_path / "15" / "maps.control").touch()
        monkeypatch.setattr(system, "LIST", listed)
        assert system.missing() == ["stars"]

    def test_a_plain_user_is_told_the_one_command(
        self,
        system: ModuleType,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        listed = tmp_path / "apt.txt"
        listed.write_text("ghost  no-such-command\nspirit  no-such-command\n")
        monkeypatch.setattr(system, "LIST", listed)
        monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
        monkeypatch.delenv("CI", raising=False)
        assert system.main() == 0
        assert "ghost spirit" in capsys.readouterr().out

    def test_daemons_are_kept_from_starting_only_meanwhile(
        self, system: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        policy = tmp_path / "policy-rc.d"
        monkeypatch.setattr(system, "POLICY", policy)
        with system.no_daemons():
            assert subprocess.run([policy], check=False).returncode == 101
        assert not policy.exists()
        policy.write_text("an administrator's own")
        with system.no_daemons():
            assert policy.read_text() == "an administrator's own"
        assert policy.exists()


class TestRun:
    def test_quick_things_come_first_and_every_group_is_there(self, run: ModuleType) -> None:
        groups = [step.group for step in run.plan(run.Scope())]
        assert list(dict.fromkeys(groups)) == list(run.GROUPS)

    def test_a_step_that_falls_short_makes_the_run_fail_and_does_not_stop_it(
        self, run: ModuleType, capfd: pytest.CaptureFixture[str]
    ) -> None:
        steps = [
            run.Step("unit", "bad", [sys.executable, "-c", "raise SystemExit(3)"]),
            run.Step("unit", "good", [sys.executable, "-c", "print('still run')"]),
        ]
        results = run.run_all(steps)
        assert run.summarize(results, 1.0) == 1
        shown = capfd.readouterr().out
        assert "still run" in shown
        assert re.search(r"bad .*FAILED \(exit code 3\)", shown)
        assert run.summarize(results[1:], 1.0) == 0

    def test_a_step_runs_beside_the_one_before_and_its_output_comes_behind(
        self, run: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        mine, yours = tmp_path / "mine", tmp_path / "yours"
        meet = (
            "import pathlib, sys, time\n"
            "mine, yours = map(pathlib.Path, sys.argv[1:3])\n"
            "mine.touch()\n"
            "end = time.monotonic() + 60\n"
            "while not yours.exists() and time.monotonic() < end: time.sleep(0.02)\n"
            "print(sys.argv[3], yours.exists(), flush=True)\n"
            "raise SystemExit(int(sys.argv[4]))"
        )
        steps = [
            run.Step("unit", "first", [sys.executable, "-c", meet, mine, yours, "I saw it:", "0"]),
            run.Step("unit", "second", [sys.executable, "-c", meet, yours, mine, "so did I:", "4"], beside=True),
            run.Step("unit", "third", [sys.executable, "-c", "print('beside as well')"], beside=True),
            run.Step("unit", "fourth", [sys.executable, "-c", "print('behind them')"]),
        ]
        for step in steps:
            step.command[:] = map(str, step.command)
        results = run.run_all(steps)
        assert [(result.step.name, result.code) for result in results] == [
            ("first", 0),
            ("second", 4),
            ("third", 0),
            ("fourth", 0),
        ]
        shown = capfd.readouterr().out
        words = ["I saw it: True", "so did I: True", "beside as well", "behind them"]
        assert [shown.index(word) for word in words] == sorted(shown.index(word) for word in words)

    def test_a_step_beside_whose_first_one_is_not_run_is_run_all_the_same(self, run: ModuleType) -> None:
        steps = [step for step in run.plan(run.Scope()) if step.group == "notebooks"]
        assert [first.name for first, _ in run.together(steps)] == ["lessons"]

    def test_cells_of_a_notebook_stay_together_and_single_tests_go_to_whoever_is_idle(
        self, run: ModuleType
    ) -> None:
        spread = {
            step.name: step.command[step.command.index("--dist") + 1]
            for step in run.plan(run.Scope())
            if "--dist" in step.command
        }
        assert spread == {
            "unit tests": "worksteal",
            "lessons": "loadscope",
            "solutions": "loadscope",
            "integration": "worksteal",
            "browser": "worksteal",
        }

    def test_outputs_are_compared_only_on_the_python_that_made_them(self, run: ModuleType) -> None:
        assert "--nbval" in run.nbval("course", None, strict=True)
        assert "--nbval-lax" in run.nbval("course", None, strict=False)

    @pytest.fixture
    def repository(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """A repository with one commit on main."""
        for name, value in {"NAME": "A", "EMAIL": "a@example.org"}.items():
            monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
            monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
        (tmp_path / "old.txt").write_text("1")
        git(tmp_path, "init", "-q", "-b", "main")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", "first")
        return tmp_path

    def test_a_branch_is_compared_with_where_it_left_main(
        self, run: ModuleType, monkeypatch: pytest.MonkeyPatch, repository: Path
    ) -> None:
        monkeypatch.setattr(run, "ROOT", repository)
        assert run.changed_paths() is None, "one commit: nothing to compare with"
        git(repository, "checkout", "-q", "-b", "topic")
        for name in ("one.txt", "two.txt"):
            (repository / name).write_text(name)
            git(repository, "add", name)
            git(repository, "commit", "-q", "-m", name)
        (repository / "new.txt").write_text("not added yet")
        assert run.changed_paths() == ["new.txt", "one.txt", "two.txt"]
        git(repository, "checkout", "-q", "main")
        git(repository, "merge", "-q", "topic")
        assert run.changed_paths() == ["new.txt", "two.txt"], "on main itself: the commit before"

    def test_a_changed_source_brings_its_notebook_and_no_other(
        self, run: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = "content/01-foundations/1.2-dev-environment-and-tooling.lesson.md"
        monkeypatch.setattr(run, "changed_paths", lambda: [name])
        scope = run.changed_scope()
        assert scope.notebooks == ["1.2"]
        lessons = next(step for step in run.plan(scope) if step.name == "lessons")
        assert [Path(word).name for word in lessons.command if word.endswith(".ipynb")] == [
            "1.2-dev-environment-and-tooling.ipynb"
        ]


def git(where: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=where, check=True)


class TestContinuousIntegration:
    def test_it_calls_make_test_and_nothing_else(self) -> None:
        run = ROOT / ".ci" / "run"
        assert os.access(run, os.X_OK)
        assert run.read_text().splitlines()[-1] == "exec make test"

    def test_the_workflow_runs_make_test_on_every_python(self) -> None:
        job = yaml.safe_load(text(".github/workflows/test.yml"))["jobs"]["test"]
        assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
        assert [step["run"] for step in job["steps"] if "run" in step] == ["make test"]


class TestNotebooks:
    """The command that runs notebooks bites: a wrong output fails strictly, a warning alone never does."""

    @pytest.fixture
    def notebook(self, tmp_path: Path) -> Path:
        cells = [
            nbformat.v4.new_code_cell(
                "import warnings\nwarnings.warn('a library grew old', DeprecationWarning, stacklevel=1)",
                metadata={"tags": ["nbval-ignore-output"]},
            ),
            nbformat.v4.new_code_cell(
                "40 + 2",
                execution_count=2,
                outputs=[nbformat.v4.new_output("execute_result", {"text/plain": "43"}, execution_count=2)],
            ),
        ]
        path = tmp_path / "wrong.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    @pytest.mark.parametrize(("strict", "code"), [(True, 1), (False, 0)])
    def test_a_wrong_output_fails_only_where_outputs_are_compared(
        self, run: ModuleType, notebook: Path, strict: bool, code: int
    ) -> None:
        ours = ["-c", str(ROOT / "pyproject.toml"), str(notebook)]  # one outside would go without our settings
        command = [
            new
            for word in run.nbval("course", None, strict=strict)
            for new in (ours if word == "course" else [word])
        ]
        outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert outcome.returncode == code, outcome.stdout + outcome.stderr
        assert ("1 failed, 1 passed" if strict else "2 passed") in outcome.stdout
