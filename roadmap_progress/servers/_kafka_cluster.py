"""librdkafka's mock cluster, for as long as this process runs: run as a module.

    python -m roadmap_progress.servers._kafka_cluster BROKERS FILE

The addresses of the brokers are written to the file when they take connections.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from confluent_kafka import Producer


def main() -> None:
    """Start the brokers, say where they are, and wait for the end."""
    brokers, file = int(sys.argv[1]), Path(sys.argv[2])
    # Its own addresses take the place of this one; the cluster lives as long as the client does.
    client = Producer({"test.mock.num.brokers": brokers, "bootstrap.servers": "127.0.0.1"})
    found = client.list_topics(timeout=30).brokers.values()
    addresses = ",".join(f"{broker.host}:{broker.port}" for broker in found)
    new = file.with_suffix(".new")
    new.write_text(addresses, encoding="ascii")
    new.rename(file)
    threading.Event().wait()  # SIGTERM ends it


if __name__ == "__main__":
    main()
