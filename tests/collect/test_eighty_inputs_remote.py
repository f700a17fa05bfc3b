"""What a source may be handed from afar: the web and SQL rows of the list of eighty inputs, each with what must become
of it, against real servers on this machine.

Web, 9 rows; SQL and streams, 9 rows, of which four are of streams: three of Kafka, one of MQTT.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.collect.servers import PASSWORD, Server, connected
from tests.collect.site import Page, Site, article, bomb, dripping, site
from tests.collect.told import Told, plan
from tests.flow.world import KEY

from tillage.core.errors import ConfigurationError
from tillage.face.rooms import project

LIMIT = 100_000


@dataclass
class Found:
    """What a run made of the misbehaving site: rows by path, the ledger's reasons, the notes, what it asked for."""

    rows: dict[str, dict[str, Any]]
    quarantined: dict[str, int]
    notes: list[str]
    asked: list[tuple[float, str, dict[str, str]]]
    inner: list[str]
    seconds: float


def nested(depth: int) -> bytes:
    return b"<html><body>" + b"<div><b>" * (depth // 2) + b"deep" + b"</b></div>" * (depth // 2)


def moved(to: str) -> Page:
    return Page(status=302, headers={"Location": to})


def wanted(web: Site, unsure: Site, inner: Site) -> dict[str, Any]:
    """The pages of the sites; the first one leads to all others."""
    paths = ["/denied/x", "/loop", "/metadata", "/inner", "/deep", "/bomb", "/charset", "/drip", "/busy"]
    web.pages |= {
        "/": Page(article("Home.", *paths)),
        "/robots.txt": Page("User-agent: *\nDisallow: /denied\n"),
        "/denied/x": Page(article("Denied.")),
        "/loop": moved("/loop2"),
        "/loop2": moved("/loop"),
        "/metadata": moved("http://169.254.169.254/latest/meta-data/"),
        "/inner": moved(inner.url.replace("127.0.0.1", "[::ffff:127.0.0.2]") + "/"),
        "/deep": Page(nested(100_000)),
        "/bomb": Page(bomb(LIMIT * 100), headers={"Content-Encoding": "gzip"}),
        "/charset": Page(
            article("Größe und Straße.").encode(), headers={"Content-Type": "text/html; charset=iso-8859-1"}
        ),
        "/drip": Page(does=dripping),
        "/busy": lambda n: Page(status=429, headers={"Retry-After": "1"}) if n == 1 else Page(article("At last.")),
    }
    unsure.pages |= {"/": Page(article("Unsure.")), "/robots.txt": Page(status=500)}
    inner.pages["/"] = Page(article("Inner."))
    return {"urls": [web.url + "/", unsure.url + "/"]}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    """One crawl of everything that misbehaves; each row of the list looks at its part."""
    root = tmp_path_factory.mktemp("web")
    with pytest.MonkeyPatch.context() as patch, site() as web, site() as unsure, site() as inner:
        patch.setenv("TILLAGE_KEY", KEY)
        urls = wanted(web, unsure, inner)["urls"]
        allowed = "allow_private: [127.0.0.1]"
        settings = f"urls: {urls}, depth: 1, rate: 500, timeout: 2, max_bytes: {LIMIT * 20}, {allowed}"
        (root / "tillage.yaml").write_text(
            f"project: w\ntables: {{pages: {{collect: {{web: {{{settings}}}}}, key: url, max_quarantine: 1}}}}\n"
        )
        start = time.monotonic()
        with project(root) as opened:
            outcome = opened.run()
            rows = {r["url"].removeprefix(web.url): r for r in opened.read("pages").drop("_id").iter_rows(named=True)}
            told = opened.summary(outcome)["tables"]["pages"]
        seconds = time.monotonic() - start
        yield Found(rows, told["quarantined"], outcome.notes, web.asked, [*inner.paths(), *unsure.paths()], seconds)


def robots_deny(got: Found) -> None:
    assert "/denied/x" not in got.rows
    assert "/denied/x" not in [path for _, path, _ in got.asked]
    assert "pages: 1 skipped: robots.txt" in got.notes


def robots_5xx(got: Found) -> None:
    assert got.inner == ["/robots.txt"]
    assert "pages: 1 not reached: robots_unavailable" in got.notes


def redirect_loop(got: Found) -> None:
    assert len([path for _, path, _ in got.asked if path.startswith("/loop")]) == 6  # the first, and five more
    assert "pages: 1 skipped: too many redirects" in got.notes


def redirect_inside(got: Found) -> None:
    """The metadata of a cloud, and another address of this machine that only IPv6 clothes as IPv4."""
    assert "pages: 2 skipped: addresses inside" in got.notes
    assert "/" not in got.inner


def deep_nesting(got: Found) -> None:
    """In its two seconds it gives no text, or is set aside; the run goes on."""
    assert "/deep" not in got.rows or got.rows["/deep"]["text"] == ""
    assert ("/deep" in got.rows) == (not {"page_too_slow", "page_unreadable"} & set(got.quarantined))
    assert got.seconds < 60


def gzip_bomb(got: Found) -> None:
    assert "/bomb" not in got.rows
    assert got.quarantined["page_too_large"] == 1


def wrong_charset(got: Found) -> None:
    assert "Größe und Straße." in got.rows["/charset"]["text"]


def slow_drip(got: Found) -> None:
    assert "/drip" not in got.rows
    assert "pages: 1 not reached: timeout" in got.notes


def retry_after(got: Found) -> None:
    first, second = [at for at, path, _ in got.asked if path == "/busy"]
    assert second - first >= 1
    assert "At last." in got.rows["/busy"]["text"]


WEB: dict[str, Callable[[Found], None]] = {
    "robots.txt deny": robots_deny,
    "robots 5xx": robots_5xx,
    "redirect loop": redirect_loop,
    "redirect to 169.254.169.254": redirect_inside,
    "HTML 100,000 deep": deep_nesting,
    "gzip bomb": gzip_bomb,
    "wrong charset header": wrong_charset,
    "slow-drip body": slow_drip,
    "429 with Retry-After": retry_after,
}


@pytest.mark.parametrize("name", WEB)
def test_web(name: str, found: Found) -> None:
    WEB[name](found)


# ---- SQL


@pytest.fixture
def server(servers: Callable[[str], Server]) -> Server:
    return servers("postgresql")


class Orders:
    """A table `orders` and a project that reads it."""

    def __init__(self, server: Server, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.server, self.root, self.patch = server, root, patch
        patch.setenv("TILLAGE_KEY", KEY)
        patch.setenv("SHOP_PASSWORD", PASSWORD)
        sql = f"address: '{server.address}', secret: SHOP_PASSWORD, table: orders"
        (root / "tillage.yaml").write_text(
            f"project: s\ntables: {{orders: {{collect: {{sql: {{{sql}}}}}, key: id, max_quarantine: 1}}}}\n"
        )
        self.do("DROP TABLE IF EXISTS orders")

    def do(self, *statements: str) -> None:
        with closing(connected(self.server)) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def run(self) -> tuple[list[dict[str, Any]], dict[str, int], list[str]]:
        with project(self.root) as opened:
            outcome = opened.run()
            told = opened.summary(outcome)["tables"]["orders"]
            return opened.read("orders").drop("_id").sort("id").to_dicts(), told["quarantined"], outcome.notes


def exotic(orders: Orders) -> None:
    """Interval, geometry, NUMERIC(1000), an integer of 64 bits without sign, jsonb, xml, bytea."""
    orders.do(
        "CREATE TABLE orders (id int PRIMARY KEY, wait interval, place polygon, big numeric(1000), word numeric(20), "
        "doc jsonb, page xml, raw bytea)",
        "INSERT INTO orders VALUES (1, '3 days', '((0,0),(1,1),(1,0))', 10::numeric ^ 999, 18446744073709551615, "
        "'[1]', NULL, '\\x00')",
    )
    rows, quarantined, notes = orders.run()
    assert rows == [{"id": 1, "wait": "3 days", "place": "((0,0),(1,1),(1,0))", "big": "1" + "0" * 999,
                     "word": "18446744073709551615", "doc": "[1]", "page": None, "raw": "\\x00"}]  # fmt: skip
    assert not quarantined
    kinds = ("interval", "polygon", "numeric(1000,0)", "numeric(20,0)", "jsonb", "xml", "bytea")
    assert [k for k in kinds if not any(f"({k}): read as text" in note for note in notes)] == []


def infinity(orders: Orders) -> None:
    orders.do(
        "CREATE TABLE orders (id int PRIMARY KEY, at timestamptz)",
        "INSERT INTO orders VALUES (1, 'infinity'), (2, NULL)",
    )
    rows, quarantined, _ = orders.run()
    assert (rows, quarantined) == ([{"id": 2, "at": None}], {"bad_value": 1})


def wide(orders: Orders) -> None:
    """1,600, the most that PostgreSQL has; SQLite and DuckDB are read with 2,000 in test_sql."""
    columns = ", ".join(f"c{n} smallint" for n in range(1599))
    orders.do(f"CREATE TABLE orders (id int PRIMARY KEY, {columns})", "INSERT INTO orders (id, c1598) VALUES (1, 7)")
    ((row,), _, _) = orders.run()
    assert (len(row), row["c1598"], row["c0"]) == (1600, 7, None)


def lost(orders: Orders) -> None:
    from tillage.collect import spool
    from tillage.collect.db_postgres import Postgres

    orders.patch.setattr(spool, "FIRST_ROWS", 50)
    orders.patch.setattr(spool, "MOST_ROWS", 50)
    orders.do(
        "CREATE TABLE orders AS SELECT i AS id FROM generate_series(1, 300) i",
        "ALTER TABLE orders ADD PRIMARY KEY (id)",
    )
    whole, asked = Postgres.rows, list[str]()

    def killing(self: Postgres, statement: str, values: Any, size: Any) -> Iterator[Any]:
        for rows in whole(self, statement, values, size):
            yield rows
            if "ORDER BY" in statement:
                asked.append(statement)
                if len(asked) == 3:
                    orders.do(f"SELECT pg_terminate_backend({self._connection.info.backend_pid}, 5000)")

    orders.patch.setattr(Postgres, "rows", killing)
    rows, _, _ = orders.run()
    assert [r["id"] for r in rows] == list(range(1, 301))
    assert [" > (" in statement for statement in asked] == [False] * 3 + [True] * 3


def changed(orders: Orders) -> None:
    orders.do("CREATE TABLE orders (id int PRIMARY KEY, n int)", "INSERT INTO orders VALUES (1, 1)")
    orders.run()
    orders.do("ALTER TABLE orders ALTER n TYPE bigint")
    with pytest.raises(ConfigurationError, match="'n' was integer and is bigint"):
        orders.run()


SQL: dict[str, Callable[[Orders], None]] = {
    "exotic types": exotic,
    "infinity timestamp": infinity,
    "2,000 columns": wide,
    "connection lost in mid-cursor": lost,
    "schema change between chunks": changed,
}


@pytest.mark.parametrize("name", SQL)
def test_sql(name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SQL[name](Orders(server, tmp_path, monkeypatch))


# ---- streams


def poison(brokers: Any, run: Callable[[str], Told]) -> None:
    """It is set aside, and the next run begins behind it."""
    brokers.send("poison", {"n": 1}, b"{bad", {"n": 2})
    source = f"kafka: {{servers: '{brokers.servers}', topics: poison}}"
    got = run(source)
    assert ([row[0] for row in got.rows], got.table["quarantined"]) == ([1, 2], {"bad_json": 1})
    brokers.send("poison", {"n": 3})
    assert (run(source).table["rows"], run(source).table["in"]) == (3, 4)


def tombstone(brokers: Any, run: Callable[[str], Told]) -> None:
    brokers.send("tombstone", {"n": 1}, None, key="k")
    got = run(f"kafka: {{servers: '{brokers.servers}', topics: tombstone}}")
    assert (len(got.rows), got.table["in"]) == (1, 1)
    assert got.notes == ["t: without a value (tombstones): 1 message, counted; they delete nothing"]


def rebalance(brokers: Any, run: Callable[[str], Told]) -> None:
    """Another consumer of our group's name comes and goes while a run reads: nothing is lost, nothing doubled."""
    from tests.collect.cluster import kafka

    from tillage.collect.kafka_client import KafkaClient

    for partition in range(4):
        brokers.send("rebalance", *({"n": 10 * partition + n} for n in range(10)), partition=partition)
    whole, others = KafkaClient.read, list[Any]()

    def disturbed(self: KafkaClient, windows: Any) -> Iterator[Any]:
        settings = {"bootstrap.servers": brokers.servers, "group.id": "tillage", "auto.offset.reset": "earliest"}
        others.append(kafka.Consumer({**settings, "log_level": 0}))
        others[0].subscribe(["rebalance"])
        for given in whole(self, windows):
            yield given
            if len(others) == 1:
                got = None
                while got is None:
                    got = others[0].poll(0.1)
                others[0].commit(got, asynchronous=False)
                others[0].close()
                others.append(None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaClient, "read", disturbed)
        got = run(f"kafka: {{servers: '{brokers.servers}', topics: rebalance}}")
    assert sorted(row[0] for row in got.rows) == list(range(40))
    assert len(others) == 2


def doubled(there: Any, run: Callable[[str], Told]) -> None:
    """What the broker retains, and what a sender sent twice, is one row by its id."""
    there.send("doubled/a", b'{"id": 1, "v": 1}', retain=True)
    source = f"mqtt: {{server: '{there.server}', topics: 'doubled/#', session: doubled, window: 0.5}}"
    while len(run(source).rows) < 1:
        pass
    there.send("doubled/a", b'{"id": 2, "v": 2}', b'{"id": 2, "v": 2}', b'{"id": 1, "v": 1}')
    while (got := run(source)).table["in"] < 4:
        pass
    assert (got.rows, got.table["dropped"]) == ([(1, 1), (2, 2)], {"superseded": 2})


KAFKA: dict[str, Callable[[Any, Callable[[str], Told]], None]] = {
    "poison message": poison,
    "tombstone": tombstone,
    "rebalance in a batch": rebalance,
}
MQTT: dict[str, Callable[[Any, Callable[[str], Told]], None]] = {"retained and doubled messages": doubled}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Told]:
    """A run of a table `t` that collects from a source; the key is `id` where the source has one."""
    monkeypatch.setenv("TILLAGE_KEY", KEY)

    def of(source: str) -> Told:
        key = "key: id, " if "mqtt" in source else ""
        return Told(plan(tmp_path, source, f"{key}max_quarantine: 1"))

    return of


@pytest.mark.parametrize("name", KAFKA)
def test_kafka(name: str, run: Callable[[str], Told]) -> None:
    from tests.collect.cluster import cluster  # skips where the library is not installed

    with cluster() as brokers:
        KAFKA[name](brokers, run)


@pytest.mark.parametrize("name", MQTT)
def test_mqtt(name: str, run: Callable[[str], Told]) -> None:
    from tests.collect.mqtt_broker import broker  # skips where the library is not installed

    with broker("nats") as there:
        MQTT[name](there, run)


def test_the_rows_of_the_list_are_all_here() -> None:
    assert (len(WEB), len(SQL) + len(KAFKA) + len(MQTT)) == (9, 9)
