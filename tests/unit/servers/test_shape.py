"""All servers have one shape, and importing them costs nothing."""

from __future__ import annotations

import sys

import pytest

from roadmap_progress import servers
from roadmap_progress.processes import run
from roadmap_progress.servers._kind import Server, ServerKind


def test_all_is_what_the_registry_and_the_documentation_promise():
    assert sorted(servers.__all__) == sorted([*servers.REGISTRY, "REGISTRY", "BOOKSHOP_ZONES"])
    for name in servers.__all__:
        assert getattr(servers, name) is not None


@pytest.mark.parametrize("name", servers.REGISTRY)
def test_each_kind_knows_its_name_what_it_is_and_how_it_is_installed(name):
    kind = getattr(servers, name)
    assert isinstance(kind, ServerKind)
    assert kind.name == name
    assert kind.summary
    assert kind.install.commands()
    assert kind.open.__doc__


def test_each_that_lives_in_its_own_process_or_on_the_learners_disk_is_not_kept_elsewhere_when_graded():
    """A folder of the learner's, a library, a program that the caller starts: of no use in another process."""
    own = {name for name in servers.REGISTRY if not getattr(servers, name).kept}
    assert own == {
        *("dns_hierarchy", "certificate_authority", "web_server", "http_cache", "package_index"),
        *("git_remote", "search", "container_engine"),
    }


def test_an_unknown_server_is_an_attribute_error_that_names_the_others():
    with pytest.raises(AttributeError, match=r"no attribute 'oracle'; there are .*web_server"):
        _ = servers.oracle


def test_importing_the_package_imports_no_servers_library():
    code = (
        "import sys, roadmap_progress.servers\n"
        "heavy = {'dns', 'dnslib', 'trustme', 'cryptography', 'httpx', 'subprocess', 'asyncio', 'ssl'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run([sys.executable, "-c", code], timeout_s=60).stdout == "[]\n"


class Bell(Server):
    """The least that is a server."""

    def __init__(self) -> None:
        self.rings = True

    @property
    def description(self) -> str:
        return "a bell"

    def stop(self) -> None:
        self.rings = False


BELL = ServerKind("bell", Bell, None, None, "")


def test_start_says_in_one_line_what_it_took(capsys):
    bell = BELL.start()
    assert bell.rings
    assert capsys.readouterr().out == "bell: a bell\n"


def test_with_says_nothing_and_stops_also_after_an_error(capsys):
    rung = []

    def use() -> None:
        with BELL() as bell:
            rung.append(bell)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert [bell.rings for bell in rung] == [False]
    assert capsys.readouterr().out == ""


def test_a_started_server_can_be_given_to_with():
    with Bell() as bell:
        assert bell.rings
    assert not bell.rings
