"""What the types of each database become, how wide a table may be, and that memory is flat."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.collect.shop import KINDS, MARIADB, Shop

from tillage.face.rooms import project

# ---- PostgreSQL: its types, its connections, its log


def test_exotic_types_are_text_and_noted(postgres: Shop) -> None:
    postgres.do(
        "CREATE TABLE orders (id int PRIMARY KEY, big numeric(1000), wait interval, place point, doc jsonb, page xml, "
        "raw bytea, mood text[], free numeric, price numeric(12,2), at timestamptz, day date, who uuid, ok boolean)",
        "INSERT INTO orders VALUES (1, 10::numeric ^ 900, '1 day 2 hours', '(1,2)', '{\"a\": [1, null]}', NULL, "
        "'\\x00ff', '{a,b}', 1.50, 12.34, '2024-02-29 12:00:00+02', '2024-02-29', "
        "'00000000-0000-0000-0000-000000000001', true)",
    )
    postgres.plan()
    _, notes = postgres.run()
    ((_, big, wait, place, doc, page, raw, mood, free, price, at, day, who, ok),) = postgres.rows()
    assert big == str(10**900)
    assert (wait, place, doc, page) == ("1 day 02:00:00", "(1,2)", '{"a": [1, null]}', None)
    assert (raw, mood) == ("\\x00ff", "{a,b}")
    assert (free, price, str(at), str(day), ok) == ("1.50", 12.34, "2024-02-29 10:00:00+00:00", "2024-02-29", True)
    assert who.endswith("1")
    told = " ".join(notes)
    noted = (
        "'big' (numeric(1000,0))",
        "(interval)",
        "(point)",
        "(jsonb)",
        "(xml)",
        "(bytea)",
        "(text[])",
        "'free' (numeric)",
    )
    assert [n for n in noted if n not in told] == []
    assert "'price'" not in told


def test_infinite_and_impossible_times_are_quarantined(postgres: Shop) -> None:
    postgres.do(
        "CREATE TABLE orders (id int PRIMARY KEY, at timestamptz, naive timestamp, day date)",
        "INSERT INTO orders VALUES (1, '2024-01-01', '2024-01-01', '2024-01-01'), (2, 'infinity', NULL, NULL), "
        "(3, NULL, '-infinity', NULL), (4, NULL, NULL, '0044-03-15 BC'), (5, '20000-01-01', NULL, NULL)",
    )
    postgres.plan(more="key: id, max_quarantine: 1")
    told, notes = postgres.run()
    assert (told["rows"], told["quarantined"], told["in"]) == (1, {"bad_value": 4}, 5)
    assert any("'naive' (timestamp without time zone): its times are taken to be UTC" in note for note in notes)


def test_days_are_what_the_database_says(postgres: Shop) -> None:
    """A table whose rows are valid until 9999-12-31 is no table of bad records; a declared type asks as it does of
    files."""
    postgres.do(
        "CREATE TABLE orders (id int PRIMARY KEY, until date, seen timestamptz, naive timestamp)",
        "INSERT INTO orders VALUES (1, '9999-12-31', '9999-12-31 23:59:59.999999+00', '1500-02-03 04:05'), "
        "(2, '0001-01-01', '1582-10-14 00:00+00', '9999-01-01')",
    )
    postgres.plan()
    told, _ = postgres.run()
    assert (told["rows"], told["quarantined"]) == (2, {})
    assert [[str(v)[:19] for v in row[1:]] for row in postgres.rows()] == [
        ["9999-12-31", "9999-12-31 23:59:59", "1500-02-03 04:05:00"],
        ["0001-01-01", "1582-10-14 00:00:00", "9999-01-01 00:00:00"],
    ]
    postgres.plan("table: orders, types: {until: date}", more="key: id, max_quarantine: 1")
    assert postgres.run()[0]["quarantined"] == {"bad_value": 2}


# ---- many columns, many rows


@pytest.mark.parametrize(("kind", "width"), [("sqlite", 2000), ("duckdb", 2000), ("postgresql", 1600)])
def test_two_thousand_columns(
    kind: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: Callable[[str], Any]
) -> None:
    """As many as the database takes: PostgreSQL has 1,600 at most."""
    shop = Shop(kind, tmp_path, servers(kind), monkeypatch)
    names = ["id", *(f"c{i}" for i in range(1, width))]
    columns = ", ".join(f"{n} SMALLINT" for n in names[1:])
    shop.do("DROP TABLE IF EXISTS orders", f"CREATE TABLE orders (id INTEGER PRIMARY KEY, {columns})")
    shop.do(
        *(f"INSERT INTO orders VALUES ({', '.join([str(n), *['7'] * (width - 1)])})" for n in (1, 2, 3)),
    )
    shop.plan()
    assert shop.run()[0]["rows"] == 3
    with project(shop.root) as opened:
        frame = opened.read("orders").drop("_id")
    assert frame.columns == names
    assert frame["c1999" if width == 2000 else "c1599"].to_list() == [7, 7, 7]


def test_sqlite_values_have_types_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop("sqlite", tmp_path, None, monkeypatch)
    shop.do("CREATE TABLE orders (id INTEGER PRIMARY KEY, n, x, t, b)")
    shop.do("INSERT INTO orders VALUES (1, 1, 1, 'a', x'00ff'), (2, NULL, 2.5, 3, NULL)")
    shop.do("INSERT INTO orders VALUES (3, 9223372036854775807, 4, NULL, NULL), (4, 1, 1, CAST(x'ff' AS TEXT), NULL)")
    shop.plan(more="key: id, max_quarantine: 1")
    told, notes = shop.run()
    with project(shop.root) as opened:
        frame = opened.read("orders").drop("_id").sort("id")
    assert frame.schema == {"id": pl.Int64, "n": pl.Int64, "x": pl.Float64, "t": pl.String, "b": pl.String}
    assert frame.rows() == [(1, 1, 1.0, "a", "00ff"), (2, None, 2.5, "3", None), (3, 2**63 - 1, 4.0, None, None)]
    assert told["quarantined"] == {"bad_encoding": 1}
    assert any("'b' (bytes): read as hexadecimal text" in note for note in notes)


def test_duckdb_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop("duckdb", tmp_path, None, monkeypatch)
    shop.do(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, u UBIGINT, h HUGEINT, w INTERVAL, l INTEGER[], b BLOB, "
        "moment TIMESTAMP)"
    )
    shop.do(
        "INSERT INTO orders VALUES (1, 18446744073709551615, -1, INTERVAL 3 DAY, [1, 2], '\\x01'::BLOB, 'infinity')"
    )
    shop.do(
        "INSERT INTO orders VALUES (2, 18446744073709551615, 1, INTERVAL 3 DAY, [1], 'a', '2024-01-01 10:00:00.25')"
    )
    shop.plan(more="key: id, max_quarantine: 1")
    told, notes = shop.run()
    ((_, u, h, w, many, b, at),) = shop.rows()
    assert (u, h, w, many, b) == ("18446744073709551615", "1", "3 days", "[1]", "61")
    assert str(at) == "2024-01-01 10:00:00.250000+00:00"
    assert told["quarantined"] == {"bad_value": 1}
    assert len([n for n in notes if "read as text" in n]) == 5


@MARIADB
def test_mysql_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: Callable[[str], Any]) -> None:
    shop = Shop("mysql", tmp_path, servers("mysql"), monkeypatch)
    shop.do("DROP TABLE IF EXISTS orders")
    shop.do(
        "CREATE TABLE orders (id INT PRIMARY KEY, u BIGINT UNSIGNED, d DECIMAL(65,2), p DECIMAL(10,2), t TIME, "
        "g POINT, j JSON, b VARBINARY(9), at DATETIME(6), e ENUM('x', 'y'), bits BIT(9))",
        "SET sql_mode = ''",
    )
    shop.do("SET sql_mode = ''", "INSERT INTO orders VALUES (1, 18446744073709551615, 1e50, 1.5, '-26:00:00', "
            "POINT(1, 2), '{\"a\": 1}', 0x00ff, '2024-01-01 10:00:00.25', 'y', 5), "
            "(2, 0, 0, 0, NULL, NULL, NULL, NULL, '0000-00-00 00:00:00', 'x', 1)")  # fmt: skip
    for rest in ("table: orders", "query: SELECT * FROM orders, key: [id]"):
        folder = shop.plan(rest, "key: id, max_quarantine: 1", name=rest[:5])
        told, notes = shop.run(folder)
        ((_, u, d, p, t, g, j, b, at, e, bits),) = shop.rows(folder)
        assert (str(u), d, float(p)) == ("18446744073709551615", "1" + "0" * 50 + ".00", 1.5)
        assert (t, g, j, b.upper(), e, bits) == ("-26:00:00", "POINT(1 2)", '{"a": 1}', "00FF", "y", "5")
        assert str(at) == "2024-01-01 10:00:00.250000+00:00"
        assert told["quarantined"] == {"bad_value": 1}
        assert notes


MILLION = """
import json, resource, sys
from pathlib import Path
from tillage.collect import Sql
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
source = Sql(address=sys.argv[1], secret=sys.argv[2], query=f"SELECT * FROM big WHERE id <= {sys.argv[3]}", key=("id",))
root, rows = Path(sys.argv[4]), 0
types = source.column_types([source.observe(root, "query")])
for batch in source.read(root, "query", types):
    rows += batch.rows.height
print(json.dumps({"rows": rows, "peak": peak()}))
"""


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_flat(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: Callable[[str], Any]
) -> None:
    """A million rows take about as much as a tenth of them."""
    shop = Shop(kind, tmp_path, servers(kind), monkeypatch)
    shop.do("DROP TABLE IF EXISTS big", "CREATE TABLE big (id INTEGER PRIMARY KEY, a INTEGER, b VARCHAR(40), x FLOAT)")
    numbers = {
        "sqlite": "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s LIMIT 1000000) SELECT i FROM s",
        "duckdb": "SELECT range AS i FROM range(1, 1000001)",
        "postgresql": "SELECT i FROM generate_series(1, 1000000) AS g(i)",
        "mysql": "SELECT seq AS i FROM seq_1_to_1000000",
    }
    text = "CONCAT('some text of row ', i)" if kind == "mysql" else "'some text of row ' || i"
    shop.do(f"INSERT INTO big SELECT i, i % 1000, {text}, i / 7.0 FROM ({numbers[kind]}) AS n")
    address = f"{kind}:shop.db" if shop.server is None else shop.server.address
    peaks = []
    for rows in (100_000, 1_000_000):
        command = [
            sys.executable,
            "-c",
            MILLION,
            address,
            "SHOP_PASSWORD" if shop.server else "",
            str(rows),
            str(tmp_path),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told = json.loads(done.stdout)
        assert told["rows"] == rows
        peaks.append(told["peak"])
    assert peaks[1] - peaks[0] < 60, peaks
