"""One command sets the course up on a fresh machine, and says clearly why it cannot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[3]


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


class TestMake:
    def test_help_comes_without_a_target_and_lists_the_two_commands(self) -> None:
        shown = make().stdout
        assert re.search(r"^make lab +\S", shown, re.MULTILINE)
        assert re.search(r"^make test +\S", shown, re.MULTILINE)

    def test_a_python_that_is_missing_is_named_with_the_command_that_installs_it(self) -> None:
        outcome = make("python", "PYTHON=/nowhere/python3")
        assert outcome.returncode != 0
        assert "there is no /nowhere/python3" in outcome.stderr
        assert "apt-get install python3" in outcome.stderr

    def test_a_python_that_is_too_old_is_refused_with_its_version(self, tmp_path: Path) -> None:
        old = tmp_path / "python3"
        old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit\nexit 1\n')
        old.chmod(0o755)
        outcome = make("python", f"PYTHON={old}")
        assert outcome.returncode != 0
        assert "Python 3.9.2 is too old" in outcome.stderr

    def test_lab_opens_the_dashboard(self) -> None:
        command = make("-n", "lab").stdout
        assert "jupyter lab --LabApp.default_url=/lab/tree/dashboard.ipynb" in command

    def test_root_is_let_in_by_lab_and_nobody_else_asks_for_it(self, tmp_path: Path) -> None:
        for uid, allowed in (("0", True), ("1000", False)):
            fake = tmp_path / uid / "id"
            fake.parent.mkdir()
            fake.write_text(f"#!/bin/sh\necho {uid}\n")
            fake.chmod(0o755)
            command = make("-n", "lab", PATH=f"{fake.parent}{os.pathsep}{os.environ['PATH']}").stdout
            assert ("--allow-root" in command) is allowed

    def test_a_tree_made_for_learners_says_that_it_has_no_tests(self, tmp_path: Path) -> None:
        outcome = make("-C", str(tmp_path), "-f", str(ROOT / "Makefile"), "test")
        assert outcome.returncode != 0
        assert "has no sources or tests" in outcome.stderr

    def test_test_passes_changed_on(self) -> None:
        assert "tests/run.py --changed" in make("-n", "test", "CHANGED=1").stdout
        assert "--changed" not in make("-n", "test").stdout


class TestInstall:
    def test_without_a_venv_module_the_package_is_named(
        self, install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(install, "PYTHON", tmp_path / "no" / "python")
        monkeypatch.setattr(
            install.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else True
        )
        with pytest.raises(install.InstallError, match="apt-get install python3-venv"):
            install.make_environment()

    def test_too_little_disk_is_said_before_anything_is_made(
        self, install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
        monkeypatch.setattr(install, "PYTHON", tmp_path / ".venv" / "bin" / "python")
        monkeypatch.setattr(install, "NEEDED_BYTES", 10**18)
        with pytest.raises(install.InstallError, match="GB of free disk"):
            install.make_environment()
        assert not (tmp_path / ".venv").exists()

    def test_a_failing_step_says_what_to_look_at(self, install: ModuleType) -> None:
        with pytest.raises(install.InstallError, match=r"(?s)it broke; the lines above say why.*HTTPS_PROXY"):
            install.run([sys.executable, "-c", "raise SystemExit(3)"], "it broke")

    def test_an_environment_that_works_is_kept(
        self, install: ModuleType, capsys: pytest.CaptureFixture[str]
    ) -> None:
        install.make_environment()
        assert capsys.readouterr().out == ""

    def test_an_environment_whose_python_is_gone_is_made_again(
        self,
        install: ModuleType,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        venv = tmp_path / ".venv"
        (venv / "bin").mkdir(parents=True)
        (venv / "bin" / "python").symlink_to(tmp_path / "gone")
        monkeypatch.setattr(install, "VENV", venv)
        monkeypatch.setattr(install, "PYTHON", venv / "bin" / "python")
        install.make_environment()
        assert "does not work any more" in capsys.readouterr().out
        assert install.works()

    def test_a_step_is_done_again_only_when_its_input_changed(
        self, install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(install, "VENV", tmp_path)
        lock = tmp_path / "lock.txt"
        lock.write_text("a==1\n")
        assert not install.Stamp("x", lock).fresh()
        install.Stamp("x", lock).set()
        os.utime(lock, (0, 0))
        assert install.Stamp("x", lock).fresh()
        lock.write_text("a==2\n")
        assert not install.Stamp("x", lock).fresh()

    def test_files_that_installation_copies_are_watched(self, install: ModuleType) -> None:
        assert ROOT / "roadmap_progress" / "tracking" / "ipython_kernel_config.py" in install.copied_files()
