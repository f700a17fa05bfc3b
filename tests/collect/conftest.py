"""Databases for the tests of SQL, each server started once, when it is first asked for; names for those of brokers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.collect.servers import Server, mariadb, mariadb_programs, postgresql
from tests.collect.shop import KINDS, Shop
from tests.flow.world import KEY

_numbers = count(1)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same row_ids each time."""
    monkeypatch.setenv("TILLAGE_KEY", KEY)


@pytest.fixture
def topic() -> str:
    """A topic of its own for each test: the broker is the same for all."""
    return f"topic{next(_numbers)}"


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Server | None]]:
    """Each started when it is first asked for."""
    made: dict[str, Server] = {}
    with ExitStack() as running:

        def of(kind: str) -> Server | None:
            if kind in ("sqlite", "duckdb"):
                return None
            if kind not in made:
                programs = mariadb_programs()
                start = mariadb(programs) if kind == "mysql" and programs is not None else postgresql()
                made[kind] = running.enter_context(start)
            return made[kind]

        yield of


@pytest.fixture(params=KINDS)
def shop(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: Callable[[str], Any]
) -> Shop:
    made = Shop(request.param, tmp_path, servers(request.param), monkeypatch)
    made.do("DROP TABLE IF EXISTS orders")
    return made


@pytest.fixture
def postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: Callable[[str], Any]) -> Shop:
    made = Shop("postgresql", tmp_path, servers("postgresql"), monkeypatch)
    made.do("DROP TABLE IF EXISTS orders")
    return made
