"""Where an implementation is looked for, in which order, and what is said when there is none."""

from __future__ import annotations

import sys

import pytest

from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.servers import _found
from roadmap_progress.servers._found import Found, Install, Source, find_library, find_program

INSTALL = Install(apt="shopd", conda="shopd", brew="shop", pip="shop-wheel")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that installs a `shopd` with a version into a folder; nothing else can be found."""
    monkeypatch.setattr(_found, "SERVER_FOLDERS", (str(tmp_path / "sbin"),))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("ROADMAP_SHOPD", raising=False)

    def install(folder: str, version: str | None, *, mode: int = 0o755):
        path = tmp_path / folder / "shopd"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(version or "?")
        path.chmod(mode)
        return path

    return install


def find(wheel=None) -> Found:
    def version_of(path):
        text = path.read_text()
        return None if text == "?" else text

    return find_program(
        "shopd",
        variable="ROADMAP_SHOPD",
        version_of=version_of,
        at_least=(1, 10),
        wheel=lambda: wheel,
        install=INSTALL,
    )


def test_the_environment_goes_before_the_system_and_that_before_the_wheel(machine, monkeypatch):
    wheel = machine("wheel", "2.0")
    assert find(wheel) == Found("shopd", "2.0", Source.WHEEL, wheel)
    aside = machine("sbin", "1.11")
    assert find(wheel) == Found("shopd", "1.11", Source.SYSTEM, aside)
    on_path = machine("bin", "1.12")
    assert find(wheel) == Found("shopd", "1.12", Source.SYSTEM, on_path)
    named = machine("own", "3.1")
    monkeypatch.setenv("ROADMAP_SHOPD", str(named))
    assert find(wheel) == Found("shopd", "3.1", Source.ENVIRONMENT, named)


def test_a_conda_environments_is_called_so(machine, tmp_path):
    machine("bin", "1.12")
    (tmp_path / "conda-meta").mkdir()
    assert find().source is Source.CONDA


def test_one_that_is_too_old_or_broken_is_passed_over(machine):
    machine("bin", "1.9")
    machine("sbin", None)
    wheel = machine("wheel", "1.10")
    assert find(wheel).source is Source.WHEEL


def test_none_at_all_names_one_command_for_each_way(machine):
    with pytest.raises(ServerUnavailable) as caught:
        find()
    text = str(caught.value)
    for words in (
        "shopd is not available",
        "sudo apt-get install -y shopd",
        "conda install -c conda-forge shopd",
        "brew install shop",
        "-m pip install shop-wheel",
    ):
        assert words in text


def test_each_that_was_refused_is_named_with_its_reason(machine):
    old, broken = machine("bin", "1.9"), machine("sbin", None)
    with pytest.raises(ServerUnavailable) as caught:
        find()
    assert f"{old} (installed on this system) is 1.9, at least 1.10 is needed" in str(caught.value)
    assert f"{broken} (installed on this system) did not tell its version" in str(caught.value)


def test_a_wrong_address_in_the_environment_is_an_error_not_passed_over(machine, monkeypatch):
    machine("bin", "1.12")
    monkeypatch.setenv("ROADMAP_SHOPD", "/nowhere/shopd")
    with pytest.raises(ServerUnavailable, match=r"(?s)/nowhere/shopd.*cannot be executed.*ROADMAP_SHOPD"):
        find()


def test_a_library_that_is_not_installed_names_pip():
    with pytest.raises(
        ServerUnavailable, match=r"(?s)has no package 'no_such_library'.*-m pip install shop-wheel"
    ):
        find_library("no_such_library", "shop", INSTALL)


def test_a_library_that_is_installed_is_found_with_its_version():
    found = find_library("pytest", "pytest", INSTALL)
    assert found == Found("pytest", pytest.__version__, Source.WHEEL)
    assert sys.executable not in str(found)


def test_the_command_for_this_machine_is_the_one_of_its_own_package_manager(machine, monkeypatch):
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    assert INSTALL.command().endswith("-m pip install shop-wheel")
    machine("bin", "1.12").with_name("brew").symlink_to(machine("bin", "1.12"))
    assert INSTALL.command() == "brew install shop"
    machine("bin", "1.12").with_name("apt-get").symlink_to(machine("bin", "1.12"))
    assert INSTALL.command() == "sudo apt-get install -y shopd"
    monkeypatch.setenv("CONDA_PREFIX", "/opt/conda")
    assert INSTALL.command() == "conda install -c conda-forge shopd"
