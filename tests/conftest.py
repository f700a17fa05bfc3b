"""What every test runs under: the same Hypothesis cases each time, and no network beyond this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tillage.flow.pipeline import folder

# A change must not fail for the draw of another day: `ci` is the same each time, `nightly` looks further.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

LOOPBACK = ("127.", "::1", "localhost")


def stay_home(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook that refuses every connection and look-up that leaves the machine."""
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else ""  # a path: a socket of this machine
    elif event == "socket.getaddrinfo":
        host = arguments[0] or ""
    else:
        return
    host = host.decode() if isinstance(host, bytes) else str(host)
    if host and not host.startswith(LOOPBACK):
        raise PermissionError(f"a test tried to reach {host}; tests stay on this machine")


sys.addaudithook(stay_home)


@pytest.fixture(autouse=True)
def current_folder() -> Iterator[None]:
    """`tl.project(path)` sets the folder of what follows: no test may hand it on to the next."""
    folder.set(None)
    yield
    folder.set(None)
