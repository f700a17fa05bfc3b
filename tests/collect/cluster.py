"""Kafka for the tests: the brokers that librdkafka has built in, on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

kafka = pytest.importorskip("confluent_kafka")

ROOM = 5 << 20
"""Bytes that such a broker keeps of a partition: what is older is removed."""


class Cluster:
    """Brokers, and what puts messages there."""

    def __init__(self, producer: Any, servers: str) -> None:
        self.producer, self.servers = producer, servers

    def send(self, topic: str, *values: Any, key: str | bytes | None = None, partition: int = 0) -> None:
        """One message a value, in order; what is not bytes is written as JSON, None is a tombstone."""
        for value in values:
            data = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            self.producer.produce(topic, data, key=key, partition=partition)
        assert self.producer.flush(10) == 0

    def bury(self, topic: str, partition: int = 0, *, key: str | bytes | None = None) -> None:
        """Send so many empty objects, long ones, that the brokers remove what was there before."""
        self.send(topic, *[b"{}" + b" " * 900_000] * 8, partition=partition, key=key)


@contextmanager
def cluster(brokers: int = 1) -> Iterator[Cluster]:
    """Brokers as long as it is open."""
    producer = kafka.Producer({"test.mock.num.brokers": brokers, "linger.ms": 0, "log_level": 0})
    found = producer.list_topics(timeout=10).brokers.values()
    yield Cluster(producer, ",".join(f"{b.host}:{b.port}" for b in found))
