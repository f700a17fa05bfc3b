"""A database of any kind and a project that reads it; the servers start when they are first asked for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.collect.servers import (
    PASSWORD,
    Server,
    connected,
    mariadb_programs,
    mysql_connected,
)
from tests.flow.world import KEY

from tillage.face.rooms import project

NO_MARIADB = "no mariadbd: install Debian's mariadb-server-core, or name its folder in TILLAGE_MARIADB"
MARIADB = pytest.mark.skipif(mariadb_programs() is None, reason=NO_MARIADB)
KINDS = ["sqlite", "duckdb", "postgresql", pytest.param("mysql", marks=MARIADB)]


class Shop:
    """A database of one kind and a project that reads it."""

    def __init__(self, kind: str, root: Path, server: Server | None, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind, self.root, self.server = kind, root, server
        monkeypatch.setenv("TILLAGE_KEY", KEY)
        monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
        if server is None:
            self.source = f"address: '{kind}:shop.db'"
        else:
            self.source = f"address: '{server.address}', secret: SHOP_PASSWORD"

    def do(self, *statements: str) -> None:
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.root / "shop.db")) as db, db:
                for statement in statements:
                    db.execute(statement)
        elif self.kind == "duckdb":
            with closing(duckdb.connect(str(self.root / "shop.db"))) as duck:
                for statement in statements:
                    duck.execute(statement)
        else:
            assert self.server is not None
            opened: Any = connected if self.kind == "postgresql" else mysql_connected
            with closing(opened(self.server)) as connection, connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    def plan(self, rest: str = "table: orders", more: str = "key: id", name: str = "") -> Path:
        folder = self.root / name if name else self.root
        folder.mkdir(exist_ok=True)
        if name and self.server is None:
            (folder / "shop.db").write_bytes((self.root / "shop.db").read_bytes())
        text = f"project: shop\ntables:\n  orders: {{collect: {{sql: {{{self.source}, {rest}}}}}, {more}}}\n"
        (folder / "tillage.yaml").write_text(text)
        return folder

    def run(self, folder: Path | None = None, targets: tuple[str, ...] = ()) -> tuple[dict[str, Any], list[str]]:
        with project(folder or self.root) as opened:
            outcome = opened.run(targets)
            return opened.summary(outcome, digest=True)["tables"]["orders"], outcome.notes

    def rows(self, folder: Path | None = None) -> list[tuple[Any, ...]]:
        with project(folder or self.root) as opened:
            return sorted(opened.read("orders").drop("_id").rows())
