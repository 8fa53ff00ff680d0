"""Which git serves, and what is said where there is none, or only half of one."""

from __future__ import annotations

import pytest

from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.servers import git_remote, repositories


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine on which `install(version, *parts)` is the only git."""
    monkeypatch.delenv(repositories.VARIABLE, raising=False)
    monkeypatch.setattr("roadmap_progress.servers._found.SERVER_FOLDERS", ())
    (tmp_path / "bin").mkdir()
    (tmp_path / "core").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def install(version: str, *parts: str):
        binary = tmp_path / "bin" / "git"
        binary.write_text(
            f'#!/bin/sh\n[ "$1" = --exec-path ] && echo "{tmp_path}/core" || echo "git version {version}"\n'
        )
        for program in (binary, *(tmp_path / "core" / part for part in parts)):
            program.touch()
            program.chmod(0o755)
        return binary

    return install


def test_without_any_the_error_names_the_command_of_each_way(machine):
    with pytest.raises(ServerUnavailable) as caught:
        git_remote.start()
    for words in ("git is not available", "sudo apt-get install -y git", "conda-forge git", "brew install git"):
        assert words in str(caught.value)


def test_one_with_all_its_parts_is_taken_whatever_its_builder_added_to_its_version(machine):
    binary = machine("2.39.5 (Apple Git-154)", "git-http-backend", "git-daemon")
    found = git_remote.locate()
    assert (found.path, found.version) == (binary, "2.39.5")


def test_one_that_lacks_a_part_is_told_which(machine):
    binary = machine("2.39.5", "git-http-backend")
    with pytest.raises(ServerUnavailable, match=rf"{binary} has no git-daemon in .*core"):
        git_remote.locate()


def test_one_that_is_too_old_is_told(machine):
    machine("2.20.1", "git-http-backend", "git-daemon")
    with pytest.raises(ServerUnavailable, match=r"is 2\.20\.1, at least 2\.28 is needed"):
        git_remote.locate()
