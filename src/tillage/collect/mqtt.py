"""Topics of an MQTT broker as a source: what it kept for our session, and what comes while a run listens.

MQTT has no offsets: the broker hands a message over until it is acknowledged, and that is done when the rows are in
the store, not before. What was in the store when a run died and is handed over again is known by the broker's number
and its content, and left out. What a publisher sent twice are two messages to the broker: a table whose key is the
message's own id has it once. Messages of quality 0 are kept by nobody: what comes while nothing listens is not seen.
Cost: the seconds for which a run listens, and some 10 us a message.
"""

from __future__ import annotations

import json
import re
import time
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
from pydantic import Field, field_validator

from tillage.collect.messages import VALUE, Messages
from tillage.collect.mqtt_client import UNDERWAY, Delivery, MqttClient, Server
from tillage.collect.stream import Stream, beside, password
from tillage.collect.types import dtype_of
from tillage.core.errors import BadData, TillageError
from tillage.core.state import State
from tillage.core.step import Found
from tillage.flow.following import Expired, Held, Looked
from tillage.flow.pipeline import reader

Fact = Literal["topic", "qos", "retained", "received"]
FACTS: dict[str, str] = {
    "mqtt_topic": "text",
    "mqtt_qos": "int64",
    "mqtt_retained": "bool",
    "mqtt_received": "datetime",
}
_SHAPE = {**{name: dtype_of(kind) for name, kind in FACTS.items()}, VALUE: pl.Binary()}
_SERVER = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_SESSION = re.compile(r"[A-Za-z0-9._-]{1,64}")
PORT, TLS_PORT = 1883, 8883
MARK = 8
"""Bytes by which a message is known when it is handed over again."""


@dataclass
class _Batch:
    """What came since the last commit: it is acknowledged when its object is in the store."""

    client: MqttClient
    path: str
    messages: Messages = field(default_factory=Messages)
    taken: list[Delivery] = field(default_factory=list)
    retained: dict[str, str] = field(default_factory=dict)
    digest: Any = field(default_factory=sha256)
    asked: bool = False
    """Whether topics were asked for on this connection, so that what the broker retains of them comes."""
    gap: bool = False
    """Whether the broker had forgotten the session."""

    def acknowledge(self) -> None:
        """Tell the broker that all of it is safe, and let go of it."""
        for delivery in self.taken:
            self.client.acknowledge(delivery)
        self.close()

    def close(self) -> None:
        """Let go of it; what was not acknowledged is handed over again."""
        self.client.close()
        self.messages.close()


_open: OrderedDict[str, _Batch] = OrderedDict()


class Mqtt(Stream):
    """Messages of topics of an MQTT broker, a row each.

    >>> Mqtt(server="mqtt.example", topics="plant/+/temperature", session="tillage-plant").which({"mqtt_topic": "a/b"})
    'a/b'
    """

    cheap: ClassVar[bool] = False
    facts: ClassVar[dict[str, str]] = FACTS

    server: str = Field(description="The broker, HOST or HOST:PORT; the port is 1883, with tls 8883.")
    topics: str | tuple[str, ...] = Field(
        description="Topics to read; + stands for one level of a name, # for the rest."
    )
    session: str = Field(
        description="The name under which the broker keeps messages for this table; nobody else may use it."
    )
    window: float = Field(2.0, ge=0.05, le=3600, description="Seconds that a run listens.")
    most: int = Field(50_000, ge=1, le=UNDERWAY, description="Most messages that one run takes.")
    meta: tuple[Fact, ...] = Field((), description="Facts about a message that become columns: topic is mqtt_topic.")
    lost: Literal["stop", "accept"] = Field(
        "stop",
        description="What to do where the broker forgot the session, and with it messages: stop, or go on and tell.",
    )

    @field_validator("server")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if not _SERVER.fullmatch(value):
            raise ValueError("the server is HOST or HOST:PORT")
        return value

    @field_validator("session")
    @classmethod
    def _a_name(cls, value: str) -> str:
        if not _SESSION.fullmatch(value):
            raise ValueError("the session is a name: letters, digits, '.', '_' and '-', at most 64")
        return value

    @field_validator("topics")
    @classmethod
    def _filters(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        given = (value,) if isinstance(value, str) else value
        if not given or not all(map(_is_filter, given)):
            raise ValueError("name at least one topic; + stands for a whole level, # for the last ones")
        if len(set(given)) < len(given):
            raise ValueError("a topic is named twice")
        return value

    # -- what is there ----------------------------------------------------------------------------------------------

    def follow(self, root: Path, held: Sequence[Held]) -> Looked:
        """What was read, and one object more where messages came while it listened."""
        place = self._place(root)
        batch = _open.pop(place, None)
        if batch is not None and batch.path in {h.path for h in held}:  # a run ended between the commit and this
            batch.acknowledge()
            batch = None
        batch = batch or self._begin(root, held)
        try:
            self._listen(batch, held)
        except BaseException:
            batch.close()
            raise
        found = [Found(path=h.path, stamp=h.stamp) for h in held]
        if batch.taken or batch.gap or not held:
            _open[place] = batch
            return Looked([*found, Found(path=batch.path, stamp={})])
        batch.close()
        return Looked(found)

    def _begin(self, root: Path, held: Sequence[Held]) -> _Batch:
        """A session in which the broker hands over what we have not acknowledged."""
        server = self._server(root)
        client = MqttClient(server)
        batch = _Batch(client, f"{1 + (int(held[-1].path) if held else 0):09d}")
        try:
            if held and not client.resumed:
                if self.lost == "stop":
                    client.close()
                    client = MqttClient(server, anew=True)  # or it would be known the next time, and nothing be told
                    raise _forgotten(self.session)
                batch.gap = True
            if not held or not client.resumed or held[-1].state.get("topics") != list(self._topics):
                batch.asked = True
                client.subscribe(self._topics)
        except TillageError:
            client.close()
            raise
        return batch

    def _listen(self, batch: _Batch, held: Sequence[Held]) -> None:
        """Take what comes for so many seconds, but for what is in the store already."""
        stored = _stored(held)
        waiting = {_mark(one) for one in batch.taken}
        retained = {t: d for h in held for t, d in h.state.get("retained", {}).items()} | batch.retained
        fresh: list[Delivery] = []
        end = time.monotonic() + self.window
        while len(batch.taken) + len(fresh) < self.most and (left := end - time.monotonic()) > 0:
            one = batch.client.next(left)
            if one is None:
                break
            mark, said = _mark(one), sha256(one.payload).hexdigest()[:32]
            if one.again and mark in waiting:
                continue  # the connection was lost and found; it is acknowledged with the rest
            if one.again and mark in stored:
                batch.client.acknowledge(one)
                continue
            kept = one.retained and (batch.asked or not one.qos)  # brokers mark what waited for us so, too
            if kept and retained.get(one.topic) == said:
                batch.client.acknowledge(one)
                continue
            if kept:
                retained[one.topic] = batch.retained[one.topic] = said
            waiting.add(mark)
            fresh.append(one)
        if fresh:
            batch.messages.add(len(batch.taken), _frame(fresh))
            for one in fresh:
                batch.digest.update(f"{one.topic}\0{one.received}\0{len(one.payload)}\0".encode() + one.payload)
            batch.taken += fresh

    def masked(self, held: Sequence[Held], named: Collection[str]) -> list[Held]:
        """Without the marks of messages and the topics of what was retained, in the objects named."""
        gone = {"handed": "", "retained": {}}
        return [replace(h, state={**h.state, **gone}) if h.path in named else h for h in held]

    def settled(self, root: Path, paths: Sequence[str]) -> None:
        """The rows are in the store: the broker may forget their messages."""
        place = self._place(root)
        if place in _open and _open[place].path in paths:
            _open.pop(place).acknowledge()

    def notes(self, states: Sequence[State]) -> tuple[str, ...]:
        """Where the broker forgot us; messages without a value."""
        gaps = [state["path"] for state in states if state.get("gap")]
        out = [
            f"the broker forgot the session '{self.session}' before batch {int(path)}: messages were lost"
            for path in gaps
        ]
        empty = sum(int(state.get("empty", 0)) for state in states)
        return (*out, *([f"{empty:,} empty message{'s' * (empty != 1)}, counted"] if empty else []))

    # -- one object -------------------------------------------------------------------------------------------------

    def observe(self, root: Path, path: str) -> State:
        """What the messages need, and by what they are known when the broker hands them over again."""
        state = super().observe(root, path)
        batch = _open[self._place(root)]
        handed = b"".join(_mark(one) for one in batch.taken if one.qos)
        return {
            **state,
            "handed": b64encode(handed).decode(),
            "retained": batch.retained,
            "topics": list(self._topics),
            "gap": batch.gap,
        }

    def fetched(self, root: Path, path: str) -> tuple[Messages, str]:
        """See `Stream.fetched`; only what no store holds yet can be had."""
        batch = _open.get(self._place(root))
        if batch is None or batch.path != path:
            raise Expired(f"The messages of batch {int(path)} are with the broker no more.")
        return batch.messages, f"{path}-{batch.digest.hexdigest()}"

    def asked(self) -> tuple[str, ...]:
        """See `Stream.asked`."""
        return tuple(f"mqtt_{fact}" for fact in self.meta)

    def which(self, facts: Mapping[str, Any]) -> str:
        """The topic."""
        return str(facts["mqtt_topic"])

    # -- connections ------------------------------------------------------------------------------------------------

    @property
    def _topics(self) -> tuple[str, ...]:
        return (self.topics,) if isinstance(self.topics, str) else self.topics

    def _place(self, root: Path) -> str:
        return json.dumps([self.server, self.session, str(root.absolute())])

    def _server(self, root: Path) -> Server:
        match = _SERVER.fullmatch(self.server)
        assert match is not None, self.server
        files = {
            name: beside(root, path)
            for name, path in (("ca", self.ca), ("certificate", self.certificate), ("private_key", self.private_key))
            if path
        }
        return Server(
            host=match[1].strip("[]"),
            port=int(match[2] or (TLS_PORT if self.tls else PORT)),
            session=self.session,
            user=self.user,
            password=password(self.secret) if self.secret else "",
            tls=self.tls,
            key_password=password(self.key_secret) if self.key_secret else "",
            timeout=self.timeout,
            **files,
        )


def _is_filter(topic: str) -> bool:
    """Whether it names topics as MQTT 3.1.1 (4.7) has it."""
    levels = topic.split("/")
    whole = all(level in ("+", "#") or not {"+", "#"} & set(level) for level in levels)
    return bool(topic) and "\0" not in topic and whole and "#" not in levels[:-1] and not topic.startswith("$share/")


def _mark(one: Delivery) -> bytes:
    """By what a delivery is known when it comes again: 64 bits over the broker's number and what it says."""
    return sha256(f"{one.number}\0{one.topic}\0".encode() + one.payload).digest()[:MARK]


def _stored(held: Sequence[Held]) -> set[bytes]:
    """The marks of what was stored last, as many as a broker has numbers: some hand over again only after minutes."""
    found: set[bytes] = set()
    for one in reversed(held):
        data = b64decode(one.state.get("handed", ""))
        found |= {data[at : at + MARK] for at in range(0, len(data), MARK)}
        if len(found) >= UNDERWAY or one.state.get("gap"):  # from there on numbers mean other messages
            break
    return found


def _frame(some: Sequence[Delivery]) -> pl.DataFrame:
    made = {
        "mqtt_topic": [one.topic for one in some],
        "mqtt_qos": [one.qos for one in some],
        "mqtt_retained": [one.retained for one in some],
        "mqtt_received": pl.Series([one.received for one in some], dtype=pl.Int64).cast(dtype_of("datetime")),
        VALUE: [one.payload or None for one in some],
    }
    return pl.DataFrame(made, schema_overrides=_SHAPE)


def _forgotten(session: str) -> BadData:
    return BadData(
        f"Messages were lost: the broker no longer knows the session '{session}', and kept nothing for it since.",
        fix="Have the broker keep sessions longer, or run more often. To go on with what comes now: lost: accept",
    )


mqtt = reader(Mqtt)
"""The function that begins a pipeline with this source."""
