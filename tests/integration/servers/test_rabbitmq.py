"""RabbitMQ as its lesson uses it: messages that survive a crash; and nothing left of it, epmd included."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

import pika
import psutil
import pytest

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.processes import wait_until
from roadmap_progress.servers import _ports, broker, rabbitmq

pytestmark = [pytest.mark.server, pytest.mark.slow]

DURABLE = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


@pytest.fixture(scope="module")
def mq(missing):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(broker.URL_VARIABLE, raising=False)
        patch.delenv(broker.VARIABLE, raising=False)
        try:
            server = rabbitmq.start()
        except ServerUnavailable as error:
            missing(str(error))
        yield server
        server.stop()


@pytest.fixture
def channel(mq):
    """A channel on which every message is confirmed, or an error."""
    with mq.connect() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def waiting(mq, queue: str) -> list[str]:
    """The bodies of the messages in a queue, taken out of it."""
    found = []
    with mq.connect() as connection:
        channel = connection.channel()
        while (got := channel.basic_get(queue, auto_ack=True))[0]:
            found.append(got[2].decode())
    return found


def first(mq, queue: str) -> bytes | None:
    """The body of a queue's first message, which stays there; None if there is none, or the queue cannot tell."""
    try:
        with mq.connect() as connection:
            return connection.channel().basic_get(queue)[2]
    except pika.exceptions.AMQPError:
        return None


def test_a_direct_exchange_sends_each_message_where_its_key_says(mq, channel):
    channel.exchange_declare("orders", "direct")
    for queue in ("paper", "ebooks"):
        channel.queue_declare(queue)
        channel.queue_bind(queue, "orders", routing_key=queue)
    channel.basic_publish("orders", "paper", b"Middlemarch")
    channel.basic_publish("orders", "ebooks", b"Emma")
    assert (waiting(mq, "paper"), waiting(mq, "ebooks")) == (["Middlemarch"], ["Emma"])


def test_what_is_not_acknowledged_comes_again_and_says_so(mq, channel):
    channel.queue_declare("packing")
    channel.basic_publish("", "packing", b"order 1")
    with mq.connect() as connection:  # a worker that takes it, and dies
        method, _, _ = connection.channel().basic_get("packing")
        assert not method.redelivered
    taken = []
    assert wait_until(lambda: taken.append(channel.basic_get("packing")) or taken[-1][0] is not None, timeout_s=30)
    method, _, body = taken[-1]
    assert (method.redelivered, body) == (True, b"order 1")
    channel.basic_ack(method.delivery_tag)


def test_a_message_that_nobody_can_get_is_returned(channel):
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", "nowhere", b"lost", mandatory=True)


def test_only_what_is_durable_survives_a_crash_and_a_restart(mq):
    port = mq.port
    with mq.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("orders-durable", durable=True)
        channel.queue_declare("orders-quorum", durable=True, arguments={"x-queue-type": "quorum"})
    mq.restart()  # or a crash right now could take the quorum queue with it: the list of them is written late
    channel = mq.connect().channel()
    channel.confirm_delivery()
    channel.queue_declare("orders-transient")
    for queue in ("orders-durable", "orders-quorum", "orders-transient"):
        channel.basic_publish("", queue, b"persistent", DURABLE)
    channel.basic_publish("", "orders-durable", b"transient")
    mq.kill()
    with pytest.raises(pika.exceptions.AMQPError):
        channel.basic_publish("", "orders-durable", b"too late", DURABLE)
    mq.restart()
    assert mq.port == port
    with mq.connect() as connection, pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
        connection.channel().queue_declare("orders-transient", passive=True)
    assert waiting(mq, "orders-durable") == ["persistent"]
    # A quorum queue has to elect a leader first, and until then says that it cannot.
    assert wait_until(lambda: first(mq, "orders-quorum") == b"persistent", timeout_s=120)


def test_only_its_own_user_gets_in_and_the_description_has_no_password(mq):
    assert mq.found.version in mq.description
    assert mq.password not in mq.description
    for user in ("guest:guest", f"{mq.user}:guess"):
        url = f"amqp://{user}@{mq.host}:{mq.port}/%2F"
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            pika.BlockingConnection(pika.URLParameters(url))


def test_nothing_of_it_can_be_reached_from_another_machine(mq):
    pids = {process.pid for process in psutil.Process().children(recursive=True)}
    ours = [one for one in psutil.net_connections("inet") if one.pid in pids and one.status == "LISTEN"]
    assert {mq.port} < {one.laddr.port for one in ours}  # the broker, the node, the port mapper
    assert {one.laddr.ip for one in ours} <= {"127.0.0.1", "::1"}


def test_a_second_one_has_nothing_to_do_with_the_first(mq, channel):
    channel.queue_declare("mine")
    with rabbitmq() as other, other.connect() as connection:
        assert other.node != mq.node
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
            connection.channel().queue_declare("mine", passive=True)
    assert waiting(mq, "mine") == []  # and it still runs


def test_a_broker_in_the_environment_is_used_and_left_running(mq, monkeypatch):
    monkeypatch.setenv(broker.URL_VARIABLE, mq.url)
    with rabbitmq() as server, server.connect() as connection:
        assert connection.is_open
        assert f"RabbitMQ {mq.found.version} (named in the environment)" in server.description
    mq.connect().close()
    monkeypatch.setenv(broker.URL_VARIABLE, "amqp://ada:x@127.0.0.1:1/")
    with pytest.raises(ServerUnavailable, match="ROADMAP_RABBITMQ_URL names a broker that cannot be used"):
        rabbitmq.start()


def test_a_setting_that_it_refuses_is_an_error_with_its_own_words(mq, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ServerFailed, match=r"(?s)rabbitmq ended at once.*no_such_setting"):
        rabbitmq.start(settings={"no_such_setting": "1"})
    assert not list(tmp_path.iterdir())


def test_a_port_that_somebody_took_in_between_is_another_ports_chance(mq, monkeypatch):
    with socket.create_server((_ports.HOST, 0)) as taken:
        free = _ports.free_port
        ports = iter([free(), taken.getsockname()[1]])  # the port mapper's, then the broker's
        monkeypatch.setattr(_ports, "free_port", lambda: next(ports, 0) or free())
        with rabbitmq() as server:
            assert server.port != taken.getsockname()[1]
            server.connect().close()


@pytest.fixture
def hanging(mq, tmp_path):
    """A program in the place of RabbitMQ that never gets anywhere."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "plugins" / "rabbit-3.99.0").mkdir(parents=True)
    script = tmp_path / "bin" / "rabbitmq-server"
    script.write_text("#!/bin/sh\necho thinking; exec sleep 600\n")
    script.chmod(0o755)
    return script


def test_a_start_that_hangs_ends_at_its_deadline(hanging, monkeypatch):
    monkeypatch.setenv(broker.VARIABLE, str(hanging))
    with pytest.raises(ServerFailed, match=r"rabbitmq was not ready within 1 s; .*log:\nthinking"):
        rabbitmq.start(timeout_s=1)


STARTER = """
import sys
from roadmap_progress.servers import rabbitmq
try:
    rabbitmq.start()
except KeyboardInterrupt:
    print('interrupted', flush=True)
sys.stdin.read()
"""


def test_an_interrupt_in_the_middle_of_start_leaves_nothing_though_the_owner_lives(hanging, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", STARTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary), broker.VARIABLE: str(hanging)},
    ) as owner:
        try:
            below = psutil.Process(owner.pid).children
            assert wait_until(lambda: "sleep" in {child.name() for child in below(recursive=True)}, timeout_s=60)
            owner.send_signal(signal.SIGINT)
            assert owner.stdout.readline() == "interrupted\n"
            assert wait_until(lambda: not below(recursive=True), timeout_s=30)
            assert not list(temporary.iterdir())
        finally:
            owner.stdin.close()
            owner.wait(30)


OWNER = """
import json, time
from roadmap_progress.servers import rabbitmq
mq = rabbitmq.start()
connection = mq.connect()
print(json.dumps([mq.port, mq._mapper_port]), flush=True)
time.sleep(600)
"""


def test_nothing_is_left_of_two_of_them_when_their_owners_are_killed_at_once(mq, tmp_path):
    owners = [
        subprocess.Popen(
            [sys.executable, "-c", OWNER],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        for _ in range(2)
    ]
    family, ports = [], []
    try:
        for owner in owners:
            assert owner.stdout.readline().startswith("rabbitmq: ")
            ports += json.loads(owner.stdout.readline())
            family += psutil.Process(owner.pid).children(recursive=True)
        names = [process.name() for process in family]
        for name in ("epmd", "beam.smp", "erl_child_setup"):
            assert names.count(name) >= 2
    finally:
        for owner in owners:
            owner.kill()
        for owner in owners:
            owner.wait(30)
            owner.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    assert wait_until(lambda: not list(tmp_path.iterdir()), timeout_s=30)
    assert not any(map(_ports.answers, ports))
