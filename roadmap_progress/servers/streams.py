"""Kafka's protocol on three brokers: the mock cluster of librdkafka, the C library below Kafka's clients.

::

    cluster = kafka.start()
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.bootstrap_servers})

It is a stand-in, and its description says so. Clients talk the real protocol to it: partitions, consumer groups
that rebalance, committed offsets, idempotent producers, transactions. But it keeps everything in memory, and its
topics make themselves, with four partitions: `create_topics` and `describe_configs` time out.

`ROADMAP_KAFKA_BOOTSTRAP_SERVERS` names a cluster that somebody else runs; then that one is used.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from roadmap_progress.processes import StopLimits
from roadmap_progress.servers._found import Found, Install, Source, find_library
from roadmap_progress.servers._kind import Server, ServerKind, starting

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = Install(pip="confluent-kafka")
VARIABLE = "ROADMAP_KAFKA_BOOTSTRAP_SERVERS"
NAME = "kafka"
BROKERS = 3
TIMEOUT_S = 20.0
LIMITS = StopLimits(ask_s=1.0, terminate_s=1.0, kill_s=2.0)


class MockCluster(Server):
    """Brokers that were started here.

    Attributes:
        bootstrap_servers: their addresses, "127.0.0.1:41663,127.0.0.1:34063,…": what clients ask for.
    """

    def __init__(self, *, brokers: int, timeout_s: float) -> None:
        found = locate()
        with starting(NAME) as watchdog:
            super().__init__(watchdog, found, "")
            file: Path = watchdog.directory / "addresses"
            module = "roadmap_progress.servers._kafka_cluster"
            watchdog.start(NAME, [sys.executable, "-P", "-m", module, str(brokers), file], limits=LIMITS)
            watchdog.wait_ready(NAME, file.exists, timeout_s=timeout_s)
            self.bootstrap_servers = self._address = file.read_text(encoding="ascii")

    @property
    def description(self) -> str:
        """That it is a stand-in, from where, and where it listens."""
        return f"a mock cluster, {self.found}, at {self._address}"


class KafkaElsewhere:
    """A cluster that somebody else runs, named in the environment."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.found = locate()

    @property
    def description(self) -> str:
        """Where it listens."""
        return f"{self.found} at {self.bootstrap_servers}"

    def stop(self) -> None:
        """Nothing: it is not ours to stop."""


def locate() -> Found:
    """What would be taken.

    Raises:
        ServerUnavailable: there is none, or the cluster named in the environment does not answer.
    """
    library = find_library("confluent_kafka", "confluent-kafka", INSTALL)
    servers = os.environ.get(VARIABLE)
    if not servers:
        return library
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    try:
        brokers = client.list_topics(timeout=10).brokers
    except KafkaException as error:
        reasons = [f"{VARIABLE} names a cluster that cannot be used: {error}"]
        raise INSTALL.unavailable("Kafka", reasons) from error
    return Found("Kafka", f"with {len(brokers)} brokers", Source.ENVIRONMENT)


def _open(*, brokers: int = BROKERS, timeout_s: float = TIMEOUT_S) -> MockCluster | KafkaElsewhere:
    """Start a cluster without a topic in it.

    Args:
        brokers: how many.
        timeout_s: they answer by then.

    Raises:
        ServerUnavailable: confluent-kafka is not installed.
        ServerFailed: the brokers did not come up in time.
    """
    if servers := os.environ.get(VARIABLE):
        return KafkaElsewhere(servers)
    return MockCluster(brokers=brokers, timeout_s=timeout_s)


kafka = ServerKind(
    "kafka",
    _open,
    locate,
    INSTALL,
    "Kafka's protocol on a mock cluster of three brokers",
    "a mock cluster of librdkafka's that stands in for Kafka: it forgets everything when it ends, and topics make "
    f"themselves; {VARIABLE} names a real one",
)
