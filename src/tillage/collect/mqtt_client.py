"""MQTT 5, or 3.1.1 where the broker knows no more, by Eclipse Paho (`paho-mqtt`, EPL-2.0 or BSD-3-Clause).

One lasting session, each message told once: the broker keeps what it sent until it is acknowledged, which is left to
whoever calls; after a lost connection it sends that again under the same number. MQTT 5 lets us say how many messages
may be underway (else Mosquitto stops at 20), and that the session shall not expire. A thread of Paho's own keeps the
connection alive meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

from tillage.core.errors import Denied, TillageError, Unavailable

KEEPALIVE = 60
QOS = 1
"""At least once; a message that was sent as exactly once comes as this one, too."""


UNDERWAY = 65_535
"""Messages that may be without our acknowledgement at once: as many as there are numbers for them."""

FOR_EVER = 0xFFFF_FFFF
_older: set[str] = set()
"""Brokers that do not speak MQTT 5."""

_OLDER, _CLOSED = "Unsupported protocol version", "it closed the connection"


@dataclass(frozen=True)
class Server:
    """Where a broker is, and how it is to be spoken to; `session` is the name under which it keeps our messages."""

    host: str
    port: int
    session: str
    user: str = ""
    password: str = ""
    tls: bool = False
    ca: str = ""
    certificate: str = ""
    private_key: str = ""
    key_password: str = ""
    timeout: float = 30.0

    @property
    def shown(self) -> str:
        """What may be told of it."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Delivery:
    """One delivery of a message: `number` is the broker's until it is acknowledged, `again` its mark of a repetition.

    `retained`: it was kept for those who subscribe later; `received`: microseconds since 1970.
    """

    topic: str
    payload: bytes
    number: int
    qos: int
    retained: bool
    again: bool
    received: int


class _OlderError(Exception):
    """The broker does not speak MQTT 5."""


class MqttClient:
    """An open session; `resumed` says whether the broker knew it."""

    def __init__(self, server: Server, *, anew: bool = False) -> None:
        """`anew`: begin without whatever the broker has kept, and have it keep nothing."""
        try:
            import paho.mqtt.client as paho
        except ImportError:
            raise Unavailable(
                "MQTT needs the library paho-mqtt.", fix="Install it: pip install 'tillage[mqtt]'"
            ) from None
        self._paho, self._server, self._queue = paho, server, SimpleQueue[Delivery]()
        self._topics: tuple[str, ...] = ()
        try:
            self._open(paho.MQTTv311 if server.shown in _older else paho.MQTTv5, anew)
        except _OlderError:
            _older.add(server.shown)
            self._open(paho.MQTTv311, anew)

    def _open(self, protocol: Any, anew: bool) -> None:
        paho, server = self._paho, self._server
        self.resumed, self._refused, self._granted = False, "", list[Any]()
        self._answered, self._subscribed = Event(), Event()
        self._new = protocol == paho.MQTTv5
        lasting = None if self._new else anew
        self._client: Any = paho.Client(
            paho.CallbackAPIVersion.VERSION2, server.session, clean_session=lasting, protocol=protocol, manual_ack=True
        )
        self._client.reconnect_delay_set(0.1, 10)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._delivered
        self._client.on_subscribe = self._confirmed
        if server.user:
            self._client.username_pw_set(server.user, server.password)
        try:
            if server.tls:
                self._client.tls_set(
                    server.ca or None,
                    server.certificate or None,
                    server.private_key or None,
                    keyfile_password=server.key_password or None,
                )
            self._client.connect_timeout = server.timeout
            more = {"clean_start": anew, "properties": self._wishes(anew)} if self._new else {}
            self._client.connect(server.host, server.port, KEEPALIVE, **more)
        except OSError as error:
            raise self._gone(str(error)) from None
        self._client.loop_start()
        if not self._answered.wait(server.timeout):
            self.close()
            raise self._gone(f"it does not answer within {server.timeout:g} seconds")
        if self._refused:
            self.close()
            if self._new and self._refused in (_OLDER, _CLOSED):
                raise _OlderError
            if self._refused == _CLOSED:
                raise self._gone(_CLOSED)
            raise Denied(
                f"MQTT at {server.shown} turns us away: {self._refused}.", fix="Check user and secret, and the session."
            )

    def _wishes(self, anew: bool) -> Any:
        """How long the session lasts, and how many messages may be underway at once."""
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        make: Any = Properties  # Paho gives it no types
        wishes = make(PacketTypes.CONNECT)
        wishes.SessionExpiryInterval = 0 if anew else FOR_EVER
        wishes.ReceiveMaximum = UNDERWAY
        return wishes

    def subscribe(self, topics: tuple[str, ...]) -> None:
        """Ask for these topics; the broker sends what it retains of them, and remembers the wish."""
        self._subscribed.clear()
        self._topics = topics
        self._ask()
        if not self._subscribed.wait(self._server.timeout):
            raise self._gone("it does not confirm the subscription")
        refused = [t for t, code in zip(topics, self._granted, strict=False) if code.is_failure]
        if refused:
            raise Denied(f"MQTT at {self._server.shown} does not give us {', '.join(refused)}.", fix="Mend 'topics'.")

    def _ask(self) -> None:
        options: Any = QOS
        if self._new:  # what is retained comes with a new subscription alone
            from paho.mqtt.subscribeoptions import SubscribeOptions

            options = SubscribeOptions(QOS, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        self._client.subscribe([(topic, options) for topic in self._topics])

    def next(self, seconds: float) -> Delivery | None:
        """The next delivery; None when there is none for so long."""
        try:
            return self._queue.get(timeout=max(0.0, seconds))
        except Empty:
            return None

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that a message is safe here."""
        if delivery.qos:
            self._client.ack(delivery.number, delivery.qos)

    def close(self) -> None:
        """Say good-bye; the broker goes on to keep what comes."""
        self._client.disconnect()
        self._client.loop_stop()

    # -- Paho's thread ----------------------------------------------------------------------------------------------

    def _connected(self, client: Any, _: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._refused = str(code)
        elif self._answered.is_set() and not flags.session_present and self._topics:  # it forgot us meanwhile
            self._ask()
        else:
            self.resumed = bool(flags.session_present)
        self._answered.set()

    def _disconnected(self, client: Any, _: Any, flags: Any, code: Any, properties: Any) -> None:
        if not self._answered.is_set():
            self._refused = _CLOSED
            self._answered.set()

    def _confirmed(self, client: Any, _: Any, number: int, codes: list[Any], properties: Any) -> None:
        self._granted = codes
        self._subscribed.set()

    def _delivered(self, client: Any, _: Any, message: Any) -> None:
        now = time.time_ns() // 1000
        self._queue.put(
            Delivery(message.topic, bytes(message.payload), message.mid, message.qos, message.retain, message.dup, now)
        )

    def _gone(self, why: str) -> TillageError:
        return Unavailable(f"MQTT at {self._server.shown} cannot be reached: {why}.", fix="Check 'server'.")
