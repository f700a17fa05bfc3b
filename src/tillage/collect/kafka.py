"""Topics of Kafka as a source: what came since the last run is one object, and how far it goes stands in its name.

So the progress is written in the transaction that writes the rows, and each message is in the table once, whatever dies
when; nothing is committed to the brokers. A run reads to the end that each partition has when it begins. Rows are known
by topic, partition and offset unless the table names a key: then a later message is an update.
Messages that the brokers removed before they were read are a loss, and stop the run; those that they removed later keep
their rows. Cost: some 10 us a message of five fields, memory flat, a temporary file of what is read.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from struct import pack
from typing import Any, ClassVar, Literal, Self

import polars as pl
from pydantic import Field, field_validator, model_validator

from tillage.collect.kafka_client import KafkaClient, Message, OutOfRangeError, Place
from tillage.collect.messages import VALUE, Messages
from tillage.collect.stream import Stream, beside, password
from tillage.collect.types import dtype_of
from tillage.core.errors import BadData, ConfigurationError, unknown_name
from tillage.core.state import State
from tillage.core.step import Batch, Found
from tillage.flow.following import Expired, Held, Looked
from tillage.flow.pipeline import reader

KEPT = 8
"""Answers that are kept until they are read."""

Fact = Literal["topic", "partition", "offset", "timestamp", "key", "deleted"]
FACTS: dict[str, str] = {
    "kafka_topic": "text",
    "kafka_partition": "int64",
    "kafka_offset": "int64",
    "kafka_timestamp": "datetime",
    "kafka_key": "text",
    "kafka_deleted": "bool",
}
OWN_KEY: tuple[Fact, ...] = ("topic", "partition", "offset")
_SERVER = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_SHAPE = {**{name: dtype_of(kind) for name, kind in FACTS.items()}, VALUE: pl.Binary()}

Window = dict[str, dict[str, list[int]]]
"""Topic and partition to the first offset, the one behind the last and, where messages were lost, the one expected."""

_read: OrderedDict[str, tuple[Messages, str]] = OrderedDict()
_counts: OrderedDict[str, dict[str, int]] = OrderedDict()


class Kafka(Stream):
    """Messages of topics of Kafka, a row each.

    >>> source = Kafka(servers="kafka.example:9092", topics="orders", meta=("timestamp",))
    >>> source.identified()[1]
    ('kafka_topic', 'kafka_partition', 'kafka_offset')
    """

    facts: ClassVar[dict[str, str]] = FACTS

    servers: str = Field(description="Brokers to begin with, HOST:PORT, with a comma between them.")
    topics: str | tuple[str, ...] = Field(description="Topics to read.")
    meta: tuple[Fact, ...] = Field(
        (), description="Facts about a message that become columns: offset is kafka_offset; deleted brings tombstones."
    )
    start: Literal["beginning", "end"] = Field("beginning", description="Where the first run of all begins to read.")
    lost: Literal["stop", "accept"] = Field(
        "stop", description="What to do where brokers removed messages before they were read: stop, or go on and tell."
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How user and password are shown (SASL), where there is a user."
    )

    @field_validator("servers")
    @classmethod
    def _addresses(cls, value: str) -> str:
        if not value or not all(_SERVER.fullmatch(one.strip()) for one in value.split(",")):
            raise ValueError("servers are HOST:PORT, with a comma between them")
        return value

    @field_validator("topics")
    @classmethod
    def _names(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        given = (value,) if isinstance(value, str) else value
        if not given or not all(_TOPIC.fullmatch(one) for one in given):
            raise ValueError("name at least one topic: letters, digits, '.', '_' and '-'")
        if len(set(given)) < len(given):
            raise ValueError("a topic is named twice")
        return value

    @model_validator(mode="after")
    def _tombstones(self) -> Self:
        if "deleted" in self.meta and (self.format != "json" or "key" not in self.meta):
            raise ValueError("'deleted' needs format json, and 'key' beside it, which tells what was deleted")
        return self

    def identified(self) -> tuple[Self, tuple[str, ...]]:
        """With topic, partition and offset, which are the key."""
        meta = (*OWN_KEY, *(fact for fact in self.meta if fact not in OWN_KEY))
        return self.model_copy(update={"meta": meta}), tuple(f"kafka_{fact}" for fact in OWN_KEY)

    # -- what is there ----------------------------------------------------------------------------------------------

    def follow(self, root: Path, held: Sequence[Held]) -> Looked:
        """What was read, and one object more where the partitions go on; no message is fetched."""
        _remember(_counts, self._place(root), {h.path: int(h.state.get("messages", 0)) for h in held})
        found = [Found(path=h.path, stamp=h.stamp) for h in held]
        with self._connected(root) as client:
            window = self._window(client, _reached([h.path for h in held]))
        if held and not any(first < end for parts in window.values() for first, end, *_ in parts.values()):
            return Looked(found)
        number = 1 + (int(held[-1].path.partition(" ")[0]) if held else 0)
        path = f"{number:09d} {json.dumps(window, separators=(',', ':'))}"
        return Looked([*found, Found(path=path, stamp={"messages": _extent(window)})])

    def _window(self, client: KafkaClient, reached: Mapping[Place, int]) -> Window:
        """From where each partition was read to up to its end now, for those that went on or are new."""
        window: Window = {}
        for topic in sorted(self._topics):
            numbers = client.partitions(topic)
            if numbers is None:
                raise ConfigurationError(unknown_name("topic", topic, client.topics()), fix="Mend 'topics'.")
            for number in numbers:
                low, high = client.ends((topic, number))
                expected = reached.get((topic, number))
                if expected is None:
                    first = high if self.start == "end" and not reached else low
                    window.setdefault(topic, {})[str(number)] = [first, high]
                elif low > expected or high < expected:
                    if self.lost == "stop":
                        raise _loss(topic, number, expected, low, high)
                    window.setdefault(topic, {})[str(number)] = [low, high, expected]
                elif high > expected:
                    window.setdefault(topic, {})[str(number)] = [expected, high]
        return window

    def notes(self, states: Sequence[State]) -> tuple[str, ...]:
        """Messages that were lost, and those without a value."""
        out = [_told(*one) for state in states for one in state.get("lost", ())]
        empty = sum(int(state.get("empty", 0)) for state in states)
        if empty and "deleted" not in self.meta:
            out.append(f"without a value (tombstones): {_many(empty)}, counted; they delete nothing")
        return tuple(out)

    # -- one object -------------------------------------------------------------------------------------------------

    def observe(self, root: Path, path: str) -> State:
        """What the messages need, and which were lost before them."""
        return {**super().observe(root, path), "lost": _losses(_windows(path))}

    def read(self, root: Path, path: str, schema: Mapping[str, str]) -> Iterator[Batch]:
        """A row a message, by topic, partition and offset; raises Expired when the brokers do not hold all any more."""
        yield from super().read(root, path, schema)
        if (done := _read.pop(self._place(root, path), None)) is not None:
            done[0].close()

    def asked(self) -> tuple[str, ...]:
        """See `Stream.asked`."""
        return tuple(f"kafka_{fact}" for fact in self.meta)

    def empty_rows(self) -> bool:
        """Where tombstones are asked for, each is a row."""
        return "deleted" in self.meta

    def which(self, facts: Mapping[str, Any]) -> str:
        """Topic, partition and offset."""
        return f"{facts['kafka_topic']}/{facts['kafka_partition']} offset {facts['kafka_offset']}"

    def fetched(self, root: Path, path: str) -> tuple[Messages, str]:
        """See `Stream.fetched`."""
        place = self._place(root, path)
        if place not in _read and (before := _remember(_read, place, self._fetch(root, path))):
            before[0].close()
        return _read[place]

    def _fetch(self, root: Path, path: str) -> tuple[Messages, str]:
        """The messages of an object, and their digest; raises Expired when some of them are gone."""
        windows = {place: (first, end) for place, (first, end, *_) in _windows(path).items()}
        messages, sums = Messages(), {place: sha256() for place in windows}
        expected = _counts.get(self._place(root), {}).get(path)
        try:
            with self._connected(root) as client:
                for place, some in client.read(windows):
                    messages.add(place, _frame(place, some))
                    for one in some:
                        sums[place].update(_bytes(one))
        except OutOfRangeError:
            messages.close()
            raise _expired(path) from None
        except BaseException:
            messages.close()
            raise
        if expected is not None and messages.count < expected:  # the topic was compacted since
            messages.close()
            raise _expired(path)
        whole = sha256(json.dumps([[*p, sums[p].hexdigest()] for p in sorted(sums)]).encode())
        return messages, whole.hexdigest()

    # -- connections ------------------------------------------------------------------------------------------------

    @property
    def _topics(self) -> tuple[str, ...]:
        return (self.topics,) if isinstance(self.topics, str) else self.topics

    def _place(self, root: Path, path: str = "") -> str:
        return json.dumps([self.model_dump_json(include={"servers", "topics"}), str(root.absolute()), path])

    def _connected(self, root: Path) -> KafkaClient:
        settings: dict[str, Any] = {"bootstrap.servers": self.servers}
        sasl = "sasl_" if self.user else ""
        settings["security.protocol"] = f"{sasl}ssl" if self.tls else f"{sasl}plaintext"
        if self.user:
            settings |= {"sasl.mechanism": self.mechanism, "sasl.username": self.user}
            settings["sasl.password"] = password(self.secret)
        files = {"ssl.ca.location": self.ca, "ssl.certificate.location": self.certificate}
        files["ssl.key.location"] = self.private_key
        settings |= {name: beside(root, path) for name, path in files.items() if path}
        if self.key_secret:
            settings["ssl.key.password"] = password(self.key_secret)
        return KafkaClient(settings, self.servers, self.timeout)


def _remember(kept: OrderedDict[str, Any], place: str, value: Any) -> Any:
    """Keep a value with the newest; the one that had to go for it."""
    kept.pop(place, None)
    kept[place] = value
    return kept.popitem(last=False)[1] if len(kept) > KEPT else None


def _windows(path: str) -> dict[Place, list[int]]:
    """The offsets that an object's name ends with."""
    window: Window = json.loads(path.partition(" ")[2])
    return {(topic, int(number)): bounds for topic, parts in window.items() for number, bounds in parts.items()}


def _reached(paths: Sequence[str]) -> dict[Place, int]:
    """How far each partition was read, from the names of all objects in order."""
    return {place: bounds[1] for path in paths for place, bounds in _windows(path).items()}


def _extent(window: Window) -> int:
    return sum(end - first for parts in window.values() for first, end, *_ in parts.values())


def _losses(windows: Mapping[Place, list[int]]) -> list[list[Any]]:
    return [[*place, bounds[2], bounds[0], bounds[1]] for place, bounds in sorted(windows.items()) if len(bounds) > 2]


def _told(topic: str, number: int, expected: int, low: int, high: int) -> str:
    """What was lost, in words."""
    if high < expected:
        return f"{topic}/{number} was made anew: it was read to offset {expected:,}, and ends at {high:,} now"
    return (
        f"{topic}/{number}: {_many(low - expected)} (offsets {expected:,} to {low - 1:,}) "
        "removed by the brokers before they were read"
    )


def _many(n: int) -> str:
    return f"{n:,} message{'s' * (n != 1)}"


def _loss(topic: str, number: int, expected: int, low: int, high: int) -> BadData:
    return BadData(
        f"Messages were lost: {_told(topic, number, expected, low, high)}.",
        fix="Give the topic a longer retention, or run more often. To go on with what is there: lost: accept",
    )


def _expired(path: str) -> Expired:
    return Expired(f"The brokers no longer hold all messages of {path}.", fix="Give the topic a longer retention.")


def _bytes(one: Message) -> bytes:
    """A message without ambiguity."""
    key, value = one.key, one.value
    sizes = [-1 if part is None else len(part) for part in (key, value)]
    return pack("<qqqq", one.offset, one.timestamp or 0, *sizes) + (key or b"") + (value or b"")


def _frame(place: Place, some: Sequence[Message]) -> pl.DataFrame:
    """Messages of one partition with the facts about them; a key that is no text is written as hexadecimal digits."""
    times = [None if one.timestamp is None else one.timestamp * 1000 for one in some]
    made = {
        "kafka_topic": [place[0]] * len(some),
        "kafka_partition": [place[1]] * len(some),
        "kafka_offset": [one.offset for one in some],
        "kafka_timestamp": pl.Series(times, dtype=pl.Int64).cast(dtype_of("datetime")),
        "kafka_key": [_text(one.key) for one in some],
        "kafka_deleted": [one.value is None for one in some],
        VALUE: [one.value for one in some],
    }
    return pl.DataFrame(made, schema_overrides=_SHAPE)


def _text(key: bytes | None) -> str | None:
    if key is None:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return key.hex()


kafka = reader(Kafka)
"""The function that begins a pipeline with this source."""
