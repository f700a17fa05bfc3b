"""Databases for the tests of SQL: each server is started once, when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.collect.servers import Server, mariadb, mariadb_programs, postgresql
from tests.collect.shop import KINDS, Shop


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Server | None]]:
    """Each started when it is first asked for."""
    started: dict[str, Any] = {}
    made: dict[str, Server] = {}

    def of(kind: str) -> Server | None:
        if kind in ("sqlite", "duckdb"):
            return None
        if kind not in started:
            programs = mariadb_programs()
            started[kind] = postgresql() if kind == "postgresql" else mariadb(programs) if programs else None
            made[kind] = started[kind].__enter__()
        return made[kind]

    yield of
    for context in started.values():
        context.__exit__(None, None, None)


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
