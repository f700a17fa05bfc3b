"""A bounded load on a server: so many requests over so many open connections, and what they cost the server.

One process, one selector, requests written by hand: the client must not be what is measured. It ends by itself, after
the requests or after `--seconds`. Prints one JSON object: requests, how many a second,
CPU milliseconds of the server and its workers a request, latency.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import statistics
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """CPU seconds of a process so far, those of its threads included, and of the children that it has seen end."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:  # it has ended: who started it has its seconds
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICK


def family(pid: int) -> list[int]:
    """A process and those that it has started and that live: a server and its workers."""
    started = " ".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children"))
    return [pid, *map(int, started.split())]


def whole(data: bytes) -> bool:
    """Whether an answer is there to its end."""
    head, gap, body = data.partition(b"\r\n\r\n")
    if not gap:
        return False
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= int(length.split(b":")[1])


def connected(address: str) -> socket.socket:
    """An open connection that sends at once."""
    place = urlsplit(address)
    made = socket.create_connection((place.hostname, place.port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def requests_of(address: str, path: str, body: str, token: str) -> list[bytes]:
    """The requests that are sent in turn: of one body, or of each line of a file, `@FILE`."""
    bodies = Path(body[1:]).read_text(encoding="utf-8").splitlines() if body.startswith("@") else [body]
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\n"
    )
    encoded = [one.encode() for one in bodies]
    return [f"{head}Content-Length: {len(one)}\r\n\r\n".encode() + one for one in encoded]


def options(about: str | None) -> argparse.ArgumentParser:
    """What every load is told: where, what, by which token."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("address")
    parser.add_argument("path")
    parser.add_argument("body", help="a body, or @FILE with one a line, which are sent in turn")
    parser.add_argument("--token", required=True)
    return parser


def drive(
    address: str, bodies: Sequence[bytes], requests: int, connections: int, seconds: float
) -> tuple[list[float], int]:
    """The latency of each request, in seconds; and how many were not answered with 200."""
    turn = cycle(bodies)
    selector = selectors.DefaultSelector()
    left, failed, latencies = requests, 0, list[float]()
    for _ in range(min(connections, requests)):
        open_ = connected(address)
        selector.register(open_, selectors.EVENT_READ, [b"", time.perf_counter()])
        open_.sendall(next(turn))
        left -= 1
    until = time.monotonic() + seconds
    while selector.get_map() and time.monotonic() < until:
        for key, _ in selector.select(1):
            held, open_ = key.data, key.fileobj
            got = open_.recv(1 << 16)
            held[0] += got
            if got and not whole(held[0]):
                continue
            now = time.perf_counter()
            latencies.append(now - held[1])
            failed += not held[0].startswith(b"HTTP/1.1 200 ")
            if left and got:
                left -= 1
                held[:] = [b"", now]
                open_.sendall(next(turn))
            else:
                selector.unregister(open_)
                open_.close()
    return latencies, failed


def main() -> None:
    """Drive, and tell."""
    parser = options(__doc__)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    bodies = requests_of(given.address, given.path, given.body, given.token)
    drive(given.address, bodies, max(given.requests // 10, 20), given.connections, given.seconds)
    before, began = sum(map(cpu, family(given.pid))), time.perf_counter()
    latencies, failed = drive(given.address, bodies, given.requests, given.connections, given.seconds)
    wall = time.perf_counter() - began
    used = sum(map(cpu, family(given.pid))) - before
    latencies.sort()
    told = {
        "requests": len(latencies),
        "failed": failed,
        "a_second": len(latencies) / wall,
        "cpu_ms": used / len(latencies) * 1000,
        "median_ms": statistics.median(latencies) * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
