"""A server gets a port of its own, also when somebody is faster, and is not tried again for another reason."""

from __future__ import annotations

import socket
import sys

import pytest

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import Watchdog
from roadmap_progress.servers import _ports

SERVER = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(600)
"""


class Starter:
    """Starts a small server on the port that it is given."""

    def __init__(self, watchdog: Watchdog) -> None:
        self.watchdog = watchdog
        self.tried: list[int] = []

    def __call__(self, port: int) -> None:
        self.tried.append(port)
        self.watchdog.start("small", [sys.executable, "-c", SERVER, str(port)])
        # Something else may answer there: only one of ours that runs is ready.
        self.watchdog.wait_ready(
            "small", lambda: _ports.answers(port) and port not in self.others, timeout_s=self.timeout_s
        )

    others: tuple[int, ...] = ()
    timeout_s = 30.0


@pytest.fixture
def begin():
    watchdog = Watchdog("ports")
    yield Starter(watchdog)
    watchdog.close()


@pytest.fixture
def occupied():
    with socket.create_server((_ports.HOST, 0)) as listener:
        yield listener.getsockname()[1]


def first_offers(monkeypatch, port: int) -> None:
    free, offers = _ports.free_port, iter([port])
    monkeypatch.setattr(_ports, "free_port", lambda: next(offers, 0) or free())


def test_a_port_that_somebody_took_in_between_is_another_ports_chance(begin, occupied, monkeypatch):
    first_offers(monkeypatch, occupied)
    begin.others = (occupied,)
    _ports.start_on_port(begin.watchdog, "small", begin)
    assert len(begin.tried) == 2
    assert begin.watchdog.is_running("small")


@pytest.mark.parametrize(("insist", "times"), [(False, 1), (True, _ports.PORTS_TRIED)])
def test_a_port_that_it_has_to_keep_is_not_exchanged(begin, occupied, insist, times):
    begin.others = (occupied,)
    with pytest.raises(ServerFailed, match="in use"):
        _ports.start_on_port(begin.watchdog, "small", begin, chosen=occupied, insist=insist)
    assert begin.tried == [occupied] * times


def test_one_that_hangs_is_not_tried_again(begin, monkeypatch):
    begin.timeout_s = 3.0  # by then it has its port, which is therefore taken
    monkeypatch.setattr(_ports, "answers", lambda _: False)
    with pytest.raises(ServerFailed, match="was not ready within 3 s"):
        _ports.start_on_port(begin.watchdog, "small", begin)
    assert len(begin.tried) == 1


def test_a_taken_port_is_told_from_a_free_one(occupied):
    assert _ports.taken(occupied)
    assert _ports.answers(occupied)
    free = _ports.free_port()
    assert not _ports.taken(free)
    assert not _ports.answers(free)
