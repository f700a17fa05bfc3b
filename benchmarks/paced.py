"""A load at a fixed rate on a server; it ends by itself.

Latency counts from when a request was due, so that a server that falls behind does not slow its own measure down. One
process, one selector. Prints one JSON object: requests, failures, median and 99th percentile in milliseconds.
"""

from __future__ import annotations

import json
import selectors
import statistics
import time
from collections import deque
from itertools import cycle

from load import connected, options, requests_of, whole

CONNECTIONS = 16


def main() -> None:
    """Drive, and tell."""
    parser = options(__doc__)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    bodies = cycle(requests_of(given.address, given.path, given.body, given.token))
    selector = selectors.DefaultSelector()
    free = deque(
        connected(given.address) for _ in range(CONNECTIONS)
    )  # each in its turn: one that idles is closed by the server
    latencies, failed, sent = list[float](), 0, 0
    began = time.perf_counter()
    every = int(given.rate * given.seconds)
    while len(latencies) < every and time.perf_counter() < began + given.seconds + 20:
        now = time.perf_counter()
        while sent < every and free and now >= began + sent / given.rate:
            taken = free.popleft()
            selector.register(taken, selectors.EVENT_READ, [b"", began + sent / given.rate])
            taken.sendall(next(bodies))
            sent += 1
        due = began + sent / given.rate - now if sent < every and free else 0.05
        for key, _ in selector.select(max(min(due, 0.05), 0)):
            held, open_ = key.data, key.fileobj
            got = open_.recv(1 << 16)  # type: ignore[union-attr]
            held[0] += got
            if got and not whole(held[0]):
                continue
            latencies.append(time.perf_counter() - held[1])
            failed += not held[0].startswith(b"HTTP/1.1 200 ")
            selector.unregister(open_)
            if got:
                free.append(open_)  # type: ignore[arg-type]
            else:
                open_.close()  # type: ignore[union-attr]
                free.append(connected(given.address))
    for each in free:
        each.close()
    latencies.sort()
    told = {
        "requests": len(latencies),
        "failed": failed + every - len(latencies),
        "median_ms": statistics.median(latencies) * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
