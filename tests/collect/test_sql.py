"""Databases as sources: the same life of a table in each of them, by a plan in a store, against a rebuild.

SQLite and DuckDB are files; PostgreSQL is a real server, started here; MariaDB too where the machine has one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.collect.servers import PASSWORD, connected
from tests.collect.shop import MARIADB, Shop
from tests.promises.canary import TOKEN, scan

from tillage.collect import Sql
from tillage.core.errors import ConfigurationError, Denied, InputMissing, Unavailable
from tillage.face.rooms import project
from tillage.flow.planner import intents
from tillage.promises import forget
from tillage.promises.tracing import trace, trace_record
from tillage.store.verify import verify


def fill(shop: Shop) -> None:
    shop.do(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, item VARCHAR(40), price DECIMAL(8,2), seen INTEGER)",
        "INSERT INTO orders VALUES (1, 'tea', 1.10, 10), (2, 'r%se ''?', 2.25, 10), (3, NULL, NULL, 12)",
    )


ROWS = [(1, "tea", 1.1, 10), (2, "r%se '?", 2.25, 10), (3, None, None, 12)]


def test_a_table_lives_as_in_its_database(shop: Shop) -> None:
    """Inserts, updates and deletions arrive; each time the table has the digest of a rebuild; twice costs nothing."""
    fill(shop)
    shop.plan()
    assert shop.run()[0]["rows"] == 3
    assert shop.rows() == ROWS
    again, _ = shop.run()
    assert (again["version"], again["touched"]) == (1, 0)
    shop.do("UPDATE orders SET item = 'green tea' WHERE id = 1", "DELETE FROM orders WHERE id = 3")
    shop.do("INSERT INTO orders VALUES (7, 'salt', 0.5, 11)")
    changed, _ = shop.run()
    assert shop.rows() == [(1, "green tea", 1.1, 10), (2, "r%se '?", 2.25, 10), (7, "salt", 0.5, 11)]
    rebuilt, _ = shop.run(shop.plan(name="anew"))
    assert (changed["version"], changed["digest"]) == (2, rebuilt["digest"])


def test_only_rows_beyond_the_cursor_are_asked_for(shop: Shop) -> None:
    """Ties of the last value are read again by key where they changed; a deletion is not seen, and that is said."""
    fill(shop)
    shop.plan("table: orders, cursor: seen")
    _, notes = shop.run()
    assert any("deleted in the database stay" in note for note in notes)
    with project(shop.root) as opened:
        (intent,) = intents(opened)
        assert (intent.runs, intent.why.partition(";")[0]) == (False, "nothing new")
        assert "deleted in the database stay" in intent.why
        assert "deleted in the database stay" in " ".join(opened.notes("orders"))
    assert shop.run()[0]["version"] == 1
    shop.do("INSERT INTO orders VALUES (4, 'late', 1, 12), (5, 'new', 1, 13)", "DELETE FROM orders WHERE id = 1")
    shop.do("UPDATE orders SET seen = 14, item = 'rose' WHERE id = 2")
    told, _ = shop.run()
    assert [(r[0], r[1]) for r in shop.rows()] == [(1, "tea"), (2, "rose"), (3, None), (4, "late"), (5, "new")]
    assert told["touched"] <= 3 + 4  # of the table of six: ties, new ones, and what they supersede
    assert shop.run()[0]["version"] == told["version"]
    shop.do("UPDATE orders SET item = 'rosé' WHERE id = 2")  # under the last value of the cursor: a tie
    shop.run()
    assert (2, "rosé") in [(r[0], r[1]) for r in shop.rows()]
    shop.do("INSERT INTO orders VALUES (9, 'plain', 1, 20)")
    before = shop.run()[0]
    assert before["touched"] <= 2
    with project(shop.root) as opened:
        (objects,) = opened.store.catalog.rows("SELECT count(*) AS n FROM sources WHERE ended IS NULL")
    assert objects["n"] == 4


def test_a_cursor_over_an_empty_table_waits(shop: Shop) -> None:
    shop.do("CREATE TABLE orders (id INTEGER PRIMARY KEY, seen INTEGER)")
    shop.plan("table: orders, cursor: seen")
    assert shop.run()[0]["rows"] == 0
    shop.do("INSERT INTO orders VALUES (1, 5), (2, NULL)")
    assert shop.run()[0]["rows"] == 2
    assert shop.run()[0]["version"] <= 2


@pytest.mark.parametrize(("kind", "end"), [("numeric", "NaN"), ("numeric", "Infinity"), ("timestamptz", "infinity")])
def test_a_cursor_that_can_grow_no_more_is_an_error(postgres: Shop, kind: str, end: str) -> None:
    """PostgreSQL puts NaN above every number: whatever came later would not be asked for."""
    postgres.do(
        f"CREATE TABLE orders (id INTEGER PRIMARY KEY, seen {kind})",
        f"INSERT INTO orders VALUES (1, '{end}'), (2, NULL)",
    )
    postgres.plan("table: orders, cursor: seen")
    with pytest.raises(ConfigurationError, match=f"'seen' is '{end}', after which nothing could come"):
        postgres.run()
    postgres.do("DROP TABLE orders", "CREATE TABLE orders (id INTEGER PRIMARY KEY, seen text)")
    postgres.do(f"INSERT INTO orders VALUES (1, '{end}')")
    assert postgres.run()[0]["rows"] == 1  # a text like any other


def test_fractions_are_no_cursor(shop: Shop) -> None:
    """They do not compare exactly in every database; the error says so, and what to take."""
    shop.do("CREATE TABLE orders (id INTEGER PRIMARY KEY, seen DOUBLE PRECISION)", "INSERT INTO orders VALUES (1, 1.5)")
    shop.plan("table: orders, cursor: seen")
    with pytest.raises(
        ConfigurationError, match=r"'seen' \([a-zA-Z ]+\) cannot be a cursor\. Take a column of integers"
    ):
        shop.run()


def test_it_is_said_that_a_cursor_does_not_see_rows_without_a_value(shop: Shop) -> None:
    fill(shop)
    shop.plan("table: orders, cursor: seen")
    _, notes = shop.run()
    assert any("below the last one read, or none, are not seen" in note for note in notes)
    shop.do("INSERT INTO orders VALUES (4, 'late', 1, NULL)")
    assert shop.run()[0]["rows"] == 3


def test_a_query_is_a_table(shop: Shop) -> None:
    fill(shop)
    shop.plan("query: \"SELECT id, item FROM orders WHERE item <> '100%' -- a remark\\n;\", key: [id]")
    shop.run()
    assert shop.rows() == [(1, "tea"), (2, "r%se '?")]


def test_what_is_forgotten_does_not_come_back(shop: Shop) -> None:
    """The row is still in the database; its tombstone holds through changes of the table, and of the row."""
    fill(shop)
    for rest in ("table: orders", "table: orders, cursor: seen"):
        folder = shop.plan(rest, name="cursor" if "cursor" in rest else "whole")
        shop.run(folder)
        with project(folder) as opened:
            forget(opened, "orders", where="id = 2")
        shop.do(f"INSERT INTO orders VALUES ({50 + len(rest)}, 'more', 1, {50 + len(rest)})")
        shop.do(f"UPDATE orders SET item = 'again', seen = {60 + len(rest)} WHERE id = 2")
        if shop.server is None:
            (folder / "shop.db").write_bytes((shop.root / "shop.db").read_bytes())
        shop.run(folder)
        assert 2 not in [row[0] for row in shop.rows(folder)]
        assert 50 + len(rest) in [row[0] for row in shop.rows(folder)]


def test_a_cursor_names_nobody_who_was_forgotten(shop: Shop) -> None:
    """Who had the greatest value: it is on no record, its row stays away, and all that comes later is read, once."""
    shop.do(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, mail VARCHAR(40), n INTEGER)",
        f"INSERT INTO orders VALUES (1, 'ann@x.org', 5), (2, 'bob@x.org', 6), (3, '{TOKEN}@x.org', 7)",
    )
    folder = shop.plan("table: orders, cursor: mail", "key: id")

    def told() -> tuple[int, int]:
        now, _ = shop.run()
        assert scan(folder / ".tillage") == []
        return now["version"], now["touched"]

    shop.run()
    assert "catalog table sources" in scan(folder / ".tillage")
    with project(folder) as opened:
        forget(opened, "orders", key=["3"])
    assert scan(folder / ".tillage") == []
    assert told()[1] == 0
    shop.do("INSERT INTO orders VALUES (4, 'zzz1@x.org', 8)")
    assert told()[1] == 1
    assert [row[0] for row in shop.rows()] == [1, 2, 4]
    assert told()[1] == 0
    shop.do(f"UPDATE orders SET mail = 'zzz2{TOKEN}' WHERE id = 3")  # the person's again, and again the greatest
    told()
    assert told()[1] == 0
    shop.do("INSERT INTO orders VALUES (5, 'zzz3@x.org', 9)", "UPDATE orders SET n = 80 WHERE id = 4")
    told()
    assert [row[0] for row in shop.rows()] == [1, 2, 4, 5]
    shop.do("DELETE FROM orders WHERE id = 3", "INSERT INTO orders VALUES (6, 'zzz4@x.org', 9)")
    told()
    assert [row[0] for row in shop.rows()] == [1, 2, 4, 5, 6]
    assert told()[1] == 0
    shop.plan("table: orders, cursor: mail, types: {n: text}", "key: id")  # all stretches are read again
    told()
    assert [row[2] for row in shop.rows()] == ["5", "6", "80", "9", "9"]
    with project(folder) as opened:
        assert verify(opened.store).findings == ()


def test_a_bound_that_is_gone_at_the_source(shop: Shop) -> None:
    """The forgotten row was taken out there, too: nothing is missed, though what stood beside it is read again."""
    shop.do(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, mail VARCHAR(40))",
        f"INSERT INTO orders VALUES (1, 'ann@x.org'), (2, '{TOKEN}@x.org'), (7, NULL)",
    )
    folder = shop.plan("table: orders, cursor: mail", "key: id")
    shop.run()
    with project(folder) as opened:
        forget(opened, "orders", key=["2"])
    shop.do("DELETE FROM orders WHERE id = 2", "INSERT INTO orders VALUES (3, 'aaa@x.org'), (4, 'zzz@x.org')")
    shop.run()
    assert [row[0] for row in shop.rows()] == [1, 3, 4, 7]
    assert shop.run()[0]["touched"] == 0
    assert scan(folder / ".tillage") == []


def test_a_record_is_its_key(shop: Shop) -> None:
    shop.do("CREATE TABLE orders (id INTEGER PRIMARY KEY, item VARCHAR(9))", "INSERT INTO orders VALUES (4711, 'tea')")
    shop.plan()
    shop.run()
    with project(shop.root) as opened:
        found = trace_record(opened, "orders", 4711)
        assert [behind.label for behind in trace(opened, "orders", int(opened.read("orders")["_id"][0])).back] == [
            found.label
        ]
        assert found.label == "orders record 4711"


def test_changed_columns_are_an_error_until_they_are_accepted(shop: Shop) -> None:
    fill(shop)
    shop.plan()
    shop.run()
    shop.do("ALTER TABLE orders ADD COLUMN colour VARCHAR(9)")
    with pytest.raises(ConfigurationError, match=r"'colour'.* is new") as told:
        shop.run()
    assert shop.rows() == ROWS
    digest = told.value.fix.rpartition("accept: ")[2]
    shop.plan(f"table: orders, accept: '{digest}'")
    assert shop.run()[0]["rows"] == 3
    assert shop.rows()[0] == (1, "tea", 1.1, 10, None)
    shop.do("ALTER TABLE orders DROP COLUMN colour")
    with pytest.raises(ConfigurationError, match="not those that 'accept' stands for"):
        shop.run()


def test_a_key_that_does_not_tell_rows_apart_is_an_error(shop: Shop) -> None:
    fill(shop)
    shop.plan("query: SELECT * FROM orders, key: [seen]")
    with pytest.raises(ConfigurationError, match="Two rows of query have one key"):
        shop.run()
    shop.plan("query: SELECT * FROM orders, key: [item]")
    with pytest.raises(ConfigurationError, match="NULL in a row"):
        shop.run()
    shop.do("CREATE TABLE IF NOT EXISTS bare (a INTEGER)")
    shop.plan("table: bare")
    with pytest.raises(ConfigurationError, match="no primary key"):
        shop.run()
    shop.plan("table: orders, cursor: seen", more="max_quarantine: 0.5")
    with pytest.raises(ConfigurationError, match="comes again"):
        shop.run()


def test_what_is_not_there_is_said(shop: Shop) -> None:
    fill(shop)
    shop.plan("table: oders")
    with pytest.raises(InputMissing, match="oders"):
        shop.run()
    shop.plan("query: SELEKT 1, key: [id]")
    with pytest.raises(ConfigurationError, match="does not take the query"):
        shop.run()
    shop.plan("table: orders, cursor: sen")
    with pytest.raises(ConfigurationError, match="Did you mean 'seen'"):
        shop.run()


def test_what_goes_wrong_names_the_table(shop: Shop) -> None:
    """Of several tables of one database, whose word is the same for all."""
    fill(shop)
    folder = shop.plan("table: oders")
    with project(folder) as opened, pytest.raises(InputMissing, match=r"^Table 'orders': .*oders"):
        intents(opened)
    with pytest.raises(InputMissing, match=r"^Table 'orders': .*oders"):
        shop.run()
    shop.plan()
    shop.run()
    shop.do("DROP TABLE orders")
    with pytest.raises(InputMissing, match=r"(?s)^Table 'orders': .*read from \(1\) is gone; its rows stay") as caught:
        shop.run()
    assert "header" not in caught.value.fix  # a file's way of saying that a table shall be empty


def test_a_file_that_is_no_whole_database_is_not_the_fault_of_the_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop("sqlite", tmp_path, None, monkeypatch)
    shop.do("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)")
    shop.do(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
        "INSERT INTO orders SELECT i, hex(zeroblob(500)) FROM n"
    )
    shop.plan()
    whole = (tmp_path / "shop.db").read_bytes()
    (tmp_path / "shop.db").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unavailable, match="malformed"):
        shop.run()


def test_names_of_duckdb_are_alike_in_capitals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop("duckdb", tmp_path, None, monkeypatch)
    fill(shop)
    shop.plan("table: MAIN.Orders")
    assert shop.run()[0]["rows"] == 3


def test_an_error_of_duckdb_is_all_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library counts what was not let go when the program ends, in thirty lines."""
    shop = Shop("duckdb", tmp_path, None, monkeypatch)
    fill(shop)
    shop.plan("table: oders")
    command = [sys.executable, "-m", "tillage.face.main", "run"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == InputMissing.exit_code
    assert ended.stderr.splitlines()[-1] == "Mend 'table' or 'query'."


def test_nothing_is_written_to_a_database(shop: Shop) -> None:
    fill(shop)
    shop.plan("query: 'DELETE FROM orders RETURNING id', key: [id]")
    with pytest.raises(ConfigurationError):
        shop.run()
    if shop.kind == "postgresql":
        shop.plan("query: 'WITH gone AS (DELETE FROM orders RETURNING id) SELECT id FROM gone', key: [id]")
        with pytest.raises(ConfigurationError):
            shop.run()
        shop.do(
            "CREATE OR REPLACE FUNCTION bump() RETURNS int LANGUAGE sql AS "
            "$$ UPDATE orders SET seen = seen + 1 RETURNING 1 $$"
        )
        shop.plan("query: SELECT bump() AS id, key: [id]")
        with pytest.raises(ConfigurationError, match="read-only transaction"):
            shop.run()
    if shop.kind == "duckdb":
        (shop.root / "secret.csv").write_text("id\n1\n")
        shop.plan(f"query: \"SELECT id FROM read_csv('{shop.root}/secret.csv')\", key: [id]")
        with pytest.raises(ConfigurationError, match="disabled"):
            shop.run()
    shop.plan()
    shop.run()
    assert shop.rows() == ROWS


def test_declared_types_go_first(shop: Shop) -> None:
    fill(shop)
    shop.do("INSERT INTO orders VALUES (4, '12', 1, 1)")
    shop.plan(
        "query: 'SELECT id, item FROM orders WHERE id <> 3', key: [id], types: {item: int64}",
        "key: id, max_quarantine: 1",
    )
    told, _ = shop.run()
    assert (told["rows"], told["quarantined"]) == (1, {"bad_value": 2})


# ---- PostgreSQL: its connections, its log


def test_a_commit_moves_the_stamp_and_nothing_else_does(postgres: Shop) -> None:
    """With no commit anywhere the table is not even fetched; an open transaction counts when it commits."""
    fill(postgres)
    postgres.plan()
    postgres.run()
    seen = list[int]()
    with pytest.MonkeyPatch.context() as patch:
        fetch = Sql._fetch

        def noted(*given: Any) -> Any:
            seen.append(1)
            return fetch(*given)

        patch.setattr(Sql, "_fetch", noted)
        assert postgres.server is not None
        with closing(connected(postgres.server)) as other:
            other.execute("BEGIN")
            other.execute("UPDATE orders SET item = 'soon' WHERE id = 1")
            postgres.run()
            assert (1, "tea") in [row[:2] for row in postgres.rows()]
            seen.clear()
            other.execute("COMMIT")
        postgres.run()
    assert seen == [1]
    assert (1, "soon") in [row[:2] for row in postgres.rows()]


@pytest.mark.parametrize("key", ["id", "code", "both", "flags"])
def test_a_lost_connection_is_taken_up_behind_the_last_key(
    key: str, postgres: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends our session twice in the middle: each row comes once, none is missing."""
    from tillage.collect import spool
    from tillage.collect.db_postgres import Postgres

    monkeypatch.setattr(spool, "FIRST_ROWS", 100)
    monkeypatch.setattr(spool, "MOST_ROWS", 100)
    monkeypatch.setattr(sys.modules[Sql.__module__], "WAIT_SECONDS", 0.01)
    columns = {"id": "id", "code": "code", "both": "at, id", "flags": "flags"}[key]
    postgres.do(
        'CREATE TABLE orders (id int, code text COLLATE "C", at timestamptz, flags bit(12))',
        "INSERT INTO orders SELECT i, md5(i::text), '2024-01-01'::timestamptz + (i / 7) * interval '1.5 s', "
        "i::bit(12) FROM generate_series(1, 1000) i",
        f"ALTER TABLE orders ADD PRIMARY KEY ({columns})",
    )
    whole, killed = Postgres.rows, list[int]()

    def killing(self: Postgres, statement: str, values: Any, size: Any) -> Iterator[Any]:
        for n, rows in enumerate(whole(self, statement, values, size)):
            yield rows
            if n == 2 and "ORDER BY" in statement and len(killed) < 2:
                killed.append(len(rows))
                postgres.do(f"SELECT pg_terminate_backend({self._connection.info.backend_pid}, 5000)")

    monkeypatch.setattr(Postgres, "rows", killing)
    postgres.plan()
    told, _ = postgres.run()
    assert (told["in"], told["rows"]) == (1000, 1000)
    assert killed == [100, 100]
    assert sorted(row[0] for row in postgres.rows()) == list(range(1, 1001))


def test_a_schema_that_changes_while_a_connection_is_lost_is_an_error(
    postgres: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tillage.collect import spool
    from tillage.collect.db_postgres import Postgres

    monkeypatch.setattr(spool, "FIRST_ROWS", 100)
    monkeypatch.setattr(spool, "MOST_ROWS", 100)
    monkeypatch.setattr(sys.modules[Sql.__module__], "WAIT_SECONDS", 0.01)
    postgres.do("CREATE TABLE orders AS SELECT i AS id, i AS n FROM generate_series(1, 500) i")
    postgres.do("ALTER TABLE orders ADD PRIMARY KEY (id)")
    whole = Postgres.rows

    def changing(self: Postgres, statement: str, values: Any, size: Any) -> Iterator[Any]:
        for rows in whole(self, statement, values, size):
            yield rows
            if "ORDER BY" in statement:
                postgres.do(f"SELECT pg_terminate_backend({self._connection.info.backend_pid}, 5000)")
                postgres.do("ALTER TABLE orders ALTER n TYPE text")

    monkeypatch.setattr(Postgres, "rows", changing)
    postgres.plan()
    with pytest.raises(ConfigurationError, match="'n' was integer and is text"):
        postgres.run()


def test_a_server_that_stays_away_is_unavailable(postgres: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from tillage.core.errors import Unavailable

    fill(postgres)
    monkeypatch.setattr(sys.modules[Sql.__module__], "WAIT_SECONDS", 0.001)
    postgres.source = postgres.source.replace(str(postgres.server and postgres.server.port), "9")
    postgres.plan()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9/postgres cannot be reached"):
        postgres.run()


def test_the_password_is_in_no_file_and_no_message(postgres: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given as a secret or in an address that the environment holds: nothing that is written or said has it."""
    fill(postgres)
    assert postgres.server is not None
    said = []
    monkeypatch.setenv("SHOP", postgres.server.address.replace("owner@", f"owner:{PASSWORD}@"))
    for source in (postgres.source, "address: '${SHOP}'"):
        postgres.source = source
        postgres.plan()
        said += [json.dumps(postgres.run())]
        for rest in ("table: nowhere", "query: SELEKT, key: [id]"):
            postgres.plan(rest)
            with pytest.raises((InputMissing, ConfigurationError)) as told:
                postgres.run()
            said += [str(told.value), repr(told.value.__context__), repr(told.value.__cause__)]
    wrong = PASSWORD + "x"
    monkeypatch.setenv("SHOP_PASSWORD", wrong)
    postgres.source = f"address: '{postgres.server.address}', secret: SHOP_PASSWORD"
    postgres.plan()
    with pytest.raises(Denied) as told:
        postgres.run()
    said.append(str(told.value))
    monkeypatch.delenv("SHOP_PASSWORD")
    with pytest.raises(Denied, match="SHOP_PASSWORD is not set"):
        postgres.run()
    assert len(said) > 10
    assert [s for s in said if PASSWORD in s] == []
    files = [p for p in postgres.root.rglob("*") if p.is_file()]
    assert len(files) > 3
    assert [p for p in files if PASSWORD.encode() in p.read_bytes()] == []


@MARIADB
def test_mysql_resumes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: Callable[[str], Any]) -> None:
    from tillage.collect import spool
    from tillage.collect.db_mysql import MySql

    monkeypatch.setattr(spool, "FIRST_ROWS", 100)
    monkeypatch.setattr(spool, "MOST_ROWS", 100)
    monkeypatch.setattr(sys.modules[Sql.__module__], "WAIT_SECONDS", 0.01)
    shop = Shop("mysql", tmp_path, servers("mysql"), monkeypatch)
    shop.do("DROP TABLE IF EXISTS orders", "CREATE TABLE orders (id INT PRIMARY KEY, text TEXT)")
    shop.do("INSERT INTO orders SELECT seq, REPEAT('x', 20000) FROM seq_1_to_1000")
    whole, killed = MySql.rows, list[int]()

    def killing(self: MySql, statement: str, values: Any, size: Any) -> Iterator[Any]:
        for rows in whole(self, statement, values, size):
            yield rows
            if "ORDER BY" in statement and not killed:
                killed.append(1)
                shop.do(f"KILL {self._connection.thread_id()}")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(MySql, "rows", killing)
    shop.plan()
    assert shop.run()[0]["rows"] == 1000
    assert killed == [1]
