"""Kafka by librdkafka (`confluent-kafka`, Apache-2.0): which partitions there are, how far they go, their messages.

Partitions are assigned by us, never by a group: whoever else reads the topics, no rebalance moves ours, and nothing is
committed to the brokers. What a transaction aborted is not seen. Cost: some 3 us a message.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tillage.core.errors import Denied, TillageError, Unavailable

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError

Place = tuple[str, int]
"""Topic and partition."""

MANY = 10_000
"""Messages that are handed over at once, at most."""

BYTES = 8 << 20
_silent = logging.getLogger("tillage.kafka")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


@dataclass(frozen=True)
class Message:
    """One message: `timestamp` in milliseconds since 1970, None where it has none; a tombstone's `value` is None."""

    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None


class OutOfRangeError(Exception):
    """The brokers no longer hold what was asked for."""


class KafkaClient:
    """An open connection; `settings` are librdkafka's, `shown` what may be told of them."""

    def __init__(self, settings: Mapping[str, Any], shown: str, timeout: float) -> None:
        try:
            import confluent_kafka
        except ImportError:
            raise Unavailable(
                "Kafka needs the library confluent-kafka.", fix="Install it: pip install 'tillage[kafka]'"
            ) from None
        self._kafka, self._shown, self._timeout = confluent_kafka, shown, timeout
        self._said: list[KafkaError] = []
        fixed = {
            "group.id": "tillage",  # librdkafka wants one; nothing is ever committed under it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
            "error_cb": self._said.append,
        }
        try:
            self._consumer: Consumer = confluent_kafka.Consumer({**settings, **fixed}, logger=_silent)
        except confluent_kafka.KafkaException as error:
            raise self._failed(error) from None

    def __enter__(self) -> KafkaClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def partitions(self, topic: str) -> list[int] | None:
        """The numbers of a topic's partitions; None where there is no such topic."""
        try:
            found = self._consumer.list_topics(topic, timeout=self._timeout).topics[topic]
        except self._kafka.KafkaException as error:
            raise self._failed(error) from None
        code = found.error.code() if found.error is not None else None
        if code in (self._kafka.KafkaError.UNKNOWN_TOPIC_OR_PART, self._kafka.KafkaError._UNKNOWN_TOPIC):
            return None
        if found.error is not None:
            raise self._failed(self._kafka.KafkaException(found.error))
        return sorted(found.partitions)

    def topics(self) -> list[str]:
        """The names of all topics that we may see."""
        try:
            return sorted(t for t in self._consumer.list_topics(timeout=self._timeout).topics if not t.startswith("__"))
        except self._kafka.KafkaException as error:
            raise self._failed(error) from None

    def ends(self, place: Place) -> tuple[int, int]:
        """The first offset that a partition holds, and the one behind its last committed message."""
        try:
            low, high = self._consumer.get_watermark_offsets(
                self._kafka.TopicPartition(*place), timeout=self._timeout, cached=False
            )
        except self._kafka.KafkaException as error:
            raise self._failed(error) from None
        return low, high

    def read(self, windows: Mapping[Place, tuple[int, int]]) -> Iterator[tuple[Place, list[Message]]]:
        """The messages from the first offset to before the second, in order at each place; raises OutOfRangeError."""
        waiting = {place: window for place, window in windows.items() if window[0] < window[1]}
        at = self._kafka.TopicPartition
        try:
            self._consumer.assign([at(*place, window[0]) for place, window in sorted(waiting.items())])
            heard = time.monotonic()
            while waiting:
                got = self._consumer.consume(MANY, timeout=0.1)
                found: dict[Place, list[Message]] = {}
                done: set[Place] = set()
                for one in got:
                    place = (str(one.topic()), int(one.partition() or 0))
                    if place in waiting and place not in done and self._taken(one, waiting[place][1], place, found):
                        done.add(place)
                if got:
                    heard = time.monotonic()
                elif time.monotonic() - heard > self._timeout:
                    raise self._silence(waiting)
                yield from found.items()
                if done:
                    self._consumer.incremental_unassign([at(*place) for place in sorted(done)])
                    waiting = {place: window for place, window in waiting.items() if place not in done}
            self._consumer.unassign()
        except self._kafka.KafkaException as error:
            raise self._failed(error) from None

    def _taken(self, one: Any, end: int, place: Place, found: dict[Place, list[Message]]) -> bool:
        """Take a message; whether it was the last one wanted of its place."""
        error = one.error()
        offset = int(one.offset())
        if error is None:
            if offset < end:
                kind, stamp = one.timestamp()
                timed = kind != self._kafka.TIMESTAMP_NOT_AVAILABLE
                message = Message(offset, stamp if timed else None, one.key(), one.value())
                found.setdefault(place, []).append(message)
            return offset + 1 >= end
        if error.code() == self._kafka.KafkaError._PARTITION_EOF:
            return offset >= end  # marks of transactions, or what was compacted, stand before it
        if error.code() in (self._kafka.KafkaError._AUTO_OFFSET_RESET, self._kafka.KafkaError.OFFSET_OUT_OF_RANGE):
            raise OutOfRangeError(f"{place[0]}/{place[1]}")
        raise self._kafka.KafkaException(error)

    def _silence(self, waiting: Mapping[Place, Any]) -> TillageError:
        topic, partition = min(waiting)
        why = f"{topic}/{partition} gave nothing for {self._timeout:g} seconds."
        return self._failed(self._kafka.KafkaException(self._kafka.KafkaError(-1, why)))

    def _failed(self, error: Exception) -> TillageError:
        """The error of ours for one of librdkafka's; what it heard from the brokers before says more."""
        codes, first = self._kafka.KafkaError, error.args[0]
        if hasattr(self, "_consumer"):
            self._consumer.poll(0)  # hands over what the brokers said
        said = [first, *self._said]
        refused = {codes._AUTHENTICATION, codes.SASL_AUTHENTICATION_FAILED, codes.TOPIC_AUTHORIZATION_FAILED}
        refused |= {codes.GROUP_AUTHORIZATION_FAILED, codes.CLUSTER_AUTHORIZATION_FAILED, codes._SSL}
        denied = next((e for e in said if e.code() in refused), None)
        if denied is not None:
            return Denied(
                f"Kafka at {self._shown} turns us away: {denied.str()}",
                fix="Check user, secret, mechanism and tls, and what the user may read.",
            )
        down = next((e for e in self._said if e.code() != codes._ALL_BROKERS_DOWN), first)
        return Unavailable(f"Kafka at {self._shown} cannot be reached: {down.str()}", fix="Check 'servers'.")
