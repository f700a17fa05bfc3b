"""Clients that ask a server all the time, and what must be so of their answers when it has ended, well or badly."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.serve.running import Server, stored

ROW = {"size": 2.5, "text": "a"}


@dataclass
class Client:
    """One open connection that asks again and again."""

    server: Server
    told: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """When each answer was there, and the answer."""
    labelled: list[str] = field(default_factory=list)
    """Ids whose labels were acknowledged."""
    latencies: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def ask(self, stop: Event, *, labels: bool = False, body: dict[str, Any] | None = None) -> None:
        """Until it is told to stop, or the server takes no connection any more."""
        headers = {"Authorization": f"Bearer {self.server.token}", "Content-Type": "application/json"}
        data = json.dumps(body or {"rows": [ROW]})
        connection = self._connected()
        while connection is not None and not stop.is_set():
            try:
                began = time.perf_counter()
                connection.request("POST", "/v1/services/desk", data, headers)
                answer = connection.getresponse()
                value = json.loads(answer.read())
                if answer.status != 200:
                    self.failed.append(f"{answer.status}: {value}")
                    continue
                self.latencies.append(time.perf_counter() - began)
                self.told.append((time.monotonic(), value))
                if labels:
                    name = value["predictions"][0]["id"]
                    connection.request("POST", "/feedback", json.dumps({"id": name, "label": 1}), headers)
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 200:
                        self.labelled.append(name)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(type(error).__name__)
                connection.close()
                connection = self._connected()
        if connection is not None:
            connection.close()

    def _connected(self) -> http.client.HTTPConnection | None:
        made = http.client.HTTPConnection(str(self.server.host), self.server.port, timeout=20)
        try:
            made.connect()
        except OSError:
            made.close()
            return None
        return made


@contextlib.contextmanager
def load(server: Server, clients: int, **options: Any) -> Iterator[list[Client]]:
    """So many clients that ask all the time; they are through when it ends."""
    stop = Event()
    made = [Client(server) for _ in range(clients)]
    threads = [Thread(target=client.ask, args=(stop,), kwargs=options) for client in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def asked(clients: list[Client]) -> int:
    return sum(len(client.told) for client in clients)


def end_under_load(server: Server) -> None:
    """SIGTERM: it ends in good order, and soon."""
    began = time.monotonic()
    assert server.end() == 0
    assert time.monotonic() - began < 10


def nothing_was_dropped(clients: list[Client], folder: Path) -> None:
    """No reply was cut, and none refused but for the end."""
    cut = [why for client in clients for why in client.failed if why.startswith(("Incomplete", "5", "4"))]
    assert [why for why in cut if not why.startswith("503")] == []
    given = {v["predictions"][0]["id"] for client in clients for _, v in client.told}
    assert given == set(stored(folder)["id"]), "every answer that was given is in the table, and no other"


def nothing_old_was_lost(clients: list[Client], folder: Path, killed: float) -> list[str]:
    """Of a server that was killed then: what was given a second before is in the table, and each acknowledged label.

    The ids that were labelled.
    """
    there = {row["id"]: row for row in stored(folder).iter_rows(named=True)}
    old = [v["predictions"][0]["id"] for client in clients for at, v in client.told if at < killed - 1.3]
    assert old
    assert [name for name in old if name not in there] == []
    labelled = [name for client in clients for name in client.labelled]
    assert {there[name]["label"] for name in labelled} <= {"1"}
    return labelled
