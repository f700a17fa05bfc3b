"""Under load: slow clients, swaps, SIGTERM and kill -9 cost no reply, no acknowledged label, and nobody else's time.

Every load is bounded and ends by itself; the clients are on this machine.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve import running
from tests.serve.clients import ROW, asked, end_under_load, load, nothing_old_was_lost, nothing_was_dropped
from tests.serve.running import Server, lay, until
from tillage.store import Store
from tillage.store.segments import STAGE


@pytest.mark.parametrize("swaps", [10, pytest.param(100, marks=pytest.mark.nightly)])
def test_swaps_without_a_failed_reply(swaps: int, tmp_path: Path) -> None:
    lay(tmp_path, "factor: 2")
    running.change(tmp_path, "factor: 3")
    with Server(tmp_path) as server, load(server, 3) as clients:
        until(lambda: asked(clients) > 10)
        for swap in range(swaps):
            version = 1 + swap % 2
            status, value, _ = server.ask("POST", "/v1/services/desk/rollback", {"version": version})
            assert (status, value["version"]) == (200, version)
        until(lambda: asked(clients) > 200)
    assert [client.failed for client in clients] == [[], [], []]
    answers = {(v["version"], v["predictions"][0]["prediction"]) for client in clients for _, v in client.told}
    assert answers == {(1, 5.0), (2, 7.5)}, "each reply is of one version"


DRIP = """
import socket, sys, time
host, port, count, token = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
head = f"POST /v1/services/desk HTTP/1.1\\r\\nHost: localhost\\r\\nAuthorization: Bearer {token}\\r\\n".encode()
held = [socket.create_connection((host, port), timeout=5) for _ in range(count)]
for each in held:
    each.sendall(head)
print("all", flush=True)
while True:
    for at, each in enumerate(held):
        each.sendall(b"X-Drip: 1\\r\\n")
        if at % 10 == 9:
            time.sleep(0.004)
"""
"""Clients whose heads never end, each a drop every 0.2 seconds; they live for less than the server would let them."""


@contextlib.contextmanager
def dripping(server: Server, count: int) -> Iterator[None]:
    """So many of them, in a process of their own: what is measured must not wait for them in its own."""
    command = [sys.executable, "-c", DRIP, str(server.host), str(server.port), str(count), server.token]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "all\n"
        try:
            yield
            assert process.poll() is None, "none was given up meanwhile"
        finally:
            process.kill()


def latencies(server: Server, seconds: float) -> list[float]:
    """Of one client's requests."""
    with load(server, 1) as [client]:
        time.sleep(seconds)  # the length of the load
    assert client.failed == []
    return client.latencies


def test_five_hundred_dripping_clients_at_most_double_the_99th_percentile(tmp_path: Path) -> None:
    """The two sides in turn, all their requests together: a machine that is busy elsewhere is so for both."""
    alone, beside = list[float](), list[float]()
    with Server(lay(tmp_path)) as server:
        latencies(server, 0.5)
        for _ in range(6):
            alone += latencies(server, 1)
            with dripping(server, 500):
                beside += latencies(server, 1)
        assert min(len(alone), len(beside)) > 300
        before, during = (statistics.quantiles(side, n=100)[98] for side in (alone, beside))
        assert during < 2 * before, (before, during)
        assert server.predict(ROW)["predictions"][0]["prediction"] == 5.0


@pytest.mark.parametrize("turn", range(3))
def test_kill_9_loses_no_acknowledged_label_and_nothing_older_than_a_second(turn: int, tmp_path: Path) -> None:
    folder = lay(tmp_path)
    with Server(folder) as server:
        with load(server, 2, labels=turn == 1) as clients:
            until(lambda: asked(clients) > 20)
            time.sleep(random.Random(turn).uniform(1.5, 2.3))  # any moment will do
            killed = time.monotonic()
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
        assert bool(nothing_old_was_lost(clients, folder, killed)) == (turn == 1)


def test_sigterm_under_load_drops_nothing(tmp_path: Path) -> None:
    folder = lay(tmp_path)
    with Server(folder) as server:
        with load(server, 4) as clients:
            until(lambda: asked(clients) > 40)
            end_under_load(server)
        nothing_was_dropped(clients, folder)


OFTEN = "import tillage.serve.predictions as p\np.ROLL_BYTES = 1 << 18"
"""The log is brought into the table sixty times as often as it would be: that, too, must leave nothing behind."""


@pytest.mark.nightly
def test_ten_minutes_cost_no_memory_and_no_files(tmp_path: Path) -> None:
    with Server(lay(tmp_path), before=OFTEN) as server:
        process = Path(f"/proc/{server.process.pid}")
        held: list[tuple[float, float, int]] = []
        with load(server, 2, labels=True) as clients:
            end = time.monotonic() + 600
            while time.monotonic() < end:
                time.sleep(10)
                pages = int((process / "statm").read_text().split()[1])
                megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
                held.append((time.monotonic(), megabytes, len(list((process / "fd").iterdir()))))
        assert all(client.failed == [] for client in clients)
        settled = held[len(held) // 4 :]
        slope = statistics.linear_regression([t for t, _, _ in settled], [m for _, m, _ in settled]).slope * 60
        assert slope < 1, f"{slope:.2f} MB a minute: {[round(megabytes) for _, megabytes, _ in held]}"
        assert max(files for _, _, files in settled) - min(files for _, _, files in settled) <= 4
        assert server.end() == 0
    store = Store(tmp_path / ".tillage")
    assert len(store.versions(STAGE)) > 20
    store.close()
