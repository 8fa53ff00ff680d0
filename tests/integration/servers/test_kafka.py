"""Kafka as lessons use it: order in a partition, a group that rebalances, offsets that last; nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.processes import wait_until
from roadmap_progress.servers import kafka, streams

pytestmark = pytest.mark.server
QUIET = {"log_level": 0}


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(streams.VARIABLE, raising=False)
        with kafka() as running:
            yield running


def consumer(cluster, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200,
            **QUIET,
        }
    )


def read(reader: Consumer, count: int) -> list:
    """So many messages, within half a minute."""
    found: list = []
    deadline = time.monotonic() + 30
    while len(found) < count and time.monotonic() < deadline:
        message = reader.poll(0.2)
        if message is not None and not message.error():
            found.append(message)
    return found


def write(cluster, topic: str, pairs: list[tuple[str, str]]) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "enable.idempotence": True, **QUIET})
    for key, value in pairs:
        producer.produce(topic, key=key, value=value)
    assert producer.flush(30) == 0


def test_it_says_that_it_stands_in(cluster):
    assert cluster.description.startswith("a mock cluster, confluent-kafka ")
    assert cluster.bootstrap_servers.count(",") == 2


def test_messages_of_one_key_come_in_order_from_one_partition(cluster):
    write(cluster, "orders", [(key, f"{key}{number}") for number in range(5) for key in ("Ada", "Bob")])
    reader = consumer(cluster, "in-order")
    reader.subscribe(["orders"])
    found = read(reader, 10)
    reader.close()
    for key in ("Ada", "Bob"):
        own = [message for message in found if message.key() == key.encode()]
        assert [message.value().decode() for message in own] == [f"{key}{number}" for number in range(5)]
        assert len({message.partition() for message in own}) == 1


def test_what_was_committed_is_not_read_again(cluster):
    write(cluster, "payments", [("Ada", "1"), ("Ada", "2")])
    first = consumer(cluster, "ledger")
    first.subscribe(["payments"])
    (message, _) = read(first, 2)
    first.commit(message=message, asynchronous=False)  # the first only: the second was not finished
    first.close()
    second = consumer(cluster, "ledger")
    second.subscribe(["payments"])
    assert [again.value() for again in read(second, 1)] == [b"2"]
    partition = TopicPartition("payments", message.partition())
    assert second.committed([partition], timeout=10)[0].offset == message.offset() + 1
    second.close()


def test_a_group_shares_the_partitions_and_takes_over_when_a_member_leaves(cluster):
    write(cluster, "parcels", [("Ada", "1")])
    one, two = consumer(cluster, "packers"), consumer(cluster, "packers")
    for member in (one, two):
        member.subscribe(["parcels"])

    def shares() -> list[int]:
        for member in (one, two):
            member.poll(0.1)
        return [len(member.assignment()) for member in (one, two)]

    assert wait_until(lambda: shares() == [2, 2], timeout_s=40)
    two.close()
    assert wait_until(lambda: (one.poll(0.1), len(one.assignment()))[1] == 4, timeout_s=40)
    one.close()


def test_one_in_the_environment_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setenv(streams.VARIABLE, "127.0.0.1:1")
    with pytest.raises(ServerUnavailable, match="names a cluster that cannot be used"):
        kafka.start()


OWNER = """
import time
from roadmap_progress.servers import kafka
cluster = kafka.start()
time.sleep(600)
"""


def test_nothing_is_left_of_it_when_its_owner_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-u", "-c", OWNER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as owner:
        assert owner.stdout.readline().startswith("kafka: ")
        family = psutil.Process(owner.pid).children(recursive=True)
        assert len(family) == 2  # its watchdog, and the cluster
        owner.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert wait_until(lambda: not list(Path(tmp_path).iterdir()), timeout_s=30)
