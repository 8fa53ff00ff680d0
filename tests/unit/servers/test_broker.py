"""Which RabbitMQ is taken: not the one that runs the system's own broker."""

from __future__ import annotations

import pytest

from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.servers import broker, rabbitmq


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine where nothing is installed; its PATH is the folder `sbin`."""
    for name in (broker.VARIABLE, broker.URL_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "sbin"))
    monkeypatch.setattr("roadmap_progress.servers._found.SERVER_FOLDERS", ())
    monkeypatch.setattr(broker, "DEBIAN_FOLDER", str(tmp_path / "lib" / "bin"))
    (tmp_path / "sbin").mkdir()
    return tmp_path


def install(folder, name: str = "rabbitmq-server", version: str = "3.10.8"):
    (folder / "bin").mkdir(parents=True)
    (folder / "lib" / "rabbitmq_server-x" / "plugins" / f"rabbit-{version}").mkdir(parents=True)
    binary = folder / "bin" / name
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    return binary


def test_debians_wrapper_is_passed_over_for_the_program_behind_it(machine):
    program = install(machine / "lib")
    wrapper = program.with_name(broker.WRAPPER)
    wrapper.write_text("#!/bin/sh\n")
    wrapper.chmod(0o755)
    (machine / "sbin" / "rabbitmq-server").symlink_to(wrapper)
    found = rabbitmq.locate()
    assert (found.path, found.version) == (program, "3.10.8")


def test_one_that_is_too_old_is_named(machine, monkeypatch):
    monkeypatch.setenv(broker.VARIABLE, str(install(machine / "old", version="3.6.10")))
    with pytest.raises(ServerUnavailable, match=r"is 3\.6\.10, at least 3\.8 is needed"):
        rabbitmq.locate()


def test_without_any_the_error_names_the_command_of_each_way(machine):
    with pytest.raises(ServerUnavailable) as caught:
        rabbitmq.start()
    for command in ("apt-get install -y rabbitmq-server", "conda-forge rabbitmq-server", "brew install rabbitmq"):
        assert command in str(caught.value)


def test_one_that_is_only_a_script_is_not_run_to_learn_its_version(machine, monkeypatch):
    script = machine / "sbin" / "rabbitmq-server"
    script.write_text(f"#!/bin/sh\ntouch {machine}/was-run\n")
    script.chmod(0o755)
    (machine / "sbin" / "rabbitmqctl").symlink_to(script)
    with pytest.raises(ServerUnavailable, match="did not tell its version"):
        rabbitmq.locate()
    assert not (machine / "was-run").exists()
