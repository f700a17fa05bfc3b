"""Topics of Kafka as a source: each message once, whatever dies when; what is lost is told; what expired stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.collect.cluster import Cluster, cluster, kafka
from tests.collect.told import Told, plan
from tests.flow.world import KEY

from tillage.collect import Kafka
from tillage.collect import kafka as kafka_source
from tillage.collect.kafka_client import KafkaClient
from tillage.core.errors import BadData, ConfigurationError, Denied, Unavailable
from tillage.face.following import stamps
from tillage.face.rooms import project, registry
from tillage.flow.configuration import load, parse
from tillage.flow.following import Expired
from tillage.flow.planner import intents
from tillage.promises import forget

pytestmark = pytest.mark.usefixtures("key")


@pytest.fixture(scope="module")
def brokers() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
def at(brokers: Cluster, topic: str, tmp_path: Path) -> Callable[..., Path]:
    """A plan that reads the topic; more parameters of the source, and of the table."""

    def made(source: str = "", more: str = "", name: str = "p") -> Path:
        table = ", ".join(part for part in (more, "max_quarantine: 1") if part)
        settings = f"servers: '{brokers.servers}', topics: {topic}" + (f", {source}" if source else "")
        return plan(tmp_path / name, f"kafka: {{{settings}}}", table)

    return made


def test_each_message_is_a_row_known_by_its_offset(brokers: Cluster, topic: str, at: Callable[..., Path]) -> None:
    brokers.send(topic, {"id": 1, "n": 1.5}, {"id": 1, "n": 2})
    brokers.send(topic, {"id": 2, "at": [1, {"b": 2}]}, partition=2)
    got = Told(at())
    assert got.columns == ["id", "n", "at", "kafka_topic", "kafka_partition", "kafka_offset"]
    assert got.rows == [
        (1, 1.5, None, topic, 0, 0),
        (1, 2.0, None, topic, 0, 1),
        (2, None, '[1,{"b":2}]', topic, 2, 0),
    ]
    assert (got.table["version"], got.table["touched"]) == (1, 3)


def test_a_run_reads_what_came_since_and_equals_a_rebuild(
    brokers: Cluster, topic: str, at: Callable[..., Path]
) -> None:
    brokers.send(topic, *({"n": n} for n in range(5)))
    assert Told(at()).table["rows"] == 5
    again = Told(at())
    assert (again.table["version"], again.table["touched"]) == (1, 0)
    brokers.send(topic, {"n": 5}, {"n": 6}, partition=3)
    brokers.send(topic, {"n": 7})
    grown = Told(at())
    assert (grown.table["version"], grown.table["rows"], grown.table["touched"]) == (2, 8, 3)
    assert sorted(row[0] for row in grown.rows) == list(range(8))
    assert Told(at(name="anew")).table["digest"] == grown.table["digest"]


def test_facts_about_a_message_become_columns(brokers: Cluster, topic: str, at: Callable[..., Path]) -> None:
    brokers.producer.produce(topic, b'{"id": 1}', key=b"k\xc3\xa9", timestamp=1_700_000_000_123)
    brokers.producer.produce(topic, b'{"id": 2}', key=b"\xff\x00", timestamp=1_700_000_000_124)
    brokers.producer.flush(10)
    got = Told(at("meta: [key, timestamp, topic, partition]", "key: id"))
    assert got.columns == ["id", "kafka_topic", "kafka_partition", "kafka_timestamp", "kafka_key"]
    assert got.kinds["kafka_timestamp"] == "Datetime(time_unit='us', time_zone='UTC')"
    partitions = {row[2] for row in got.rows}
    assert partitions <= {0, 1, 2, 3}
    assert [(r[0], r[1], int(r[3].timestamp() * 1000), r[4]) for r in got.rows] == [
        (1, topic, 1_700_000_000_123, "ké"),
        (2, topic, 1_700_000_000_124, "ff00"),
    ]


def test_a_later_message_of_a_key_is_an_update(brokers: Cluster, topic: str, at: Callable[..., Path]) -> None:
    brokers.send(topic, {"id": 1, "n": 1}, {"id": 2, "n": 2}, {"id": 1, "n": 3})
    first = Told(at(more="key: id"))
    assert (first.columns, first.rows) == (["id", "n"], [(1, 3), (2, 2)])
    assert first.table["dropped"] == {"superseded": 1}
    brokers.send(topic, {"id": 2, "n": 9})
    second = Told(at(more="key: id"))
    assert second.rows == [(1, 3), (2, 9)]
    assert (second.table["in"], second.table["dropped"], second.table["touched"]) == (4, {"superseded": 2}, 2)
    assert Told(at(more="key: id", name="anew")).table["digest"] == second.table["digest"]


@pytest.mark.parametrize(
    ("settings", "values", "rows", "reasons"),
    [
        (
            "format: csv, columns: [a, b], types: {a: int64}",
            [b"1,x", b'2,"y\nz"\n', b"3", b'4,"', b"5,a\n6,b", b"", b"x,y", b"7,\xff"],
            [(1, "x"), (2, "y\nz")],
            ["short_row", "unclosed_quote", "several_records", "empty_record", "bad_value", "bad_encoding"],
        ),
        ("format: csv, columns: [a, b]", [b'1,"x""y"', b'2,"z', b"3,u"], [(1, 'x"y'), (3, "u")], ["unclosed_quote"]),
        (
            "format: csv, columns: [a, b], delimiter: tab",
            [b"1\tx", b"2\t", b"3\ty\tz"],
            [(1, "x"), (2, None)],
            ["long_row"],
        ),
        (
            "format: text, max_field: 9",
            ["Größe 1\n2".encode()[:9], b"", b"\xff", b"a\x00b", b"0123456789"],
            [("",), ("Größe 1",)],
            ["bad_encoding", "nul_byte", "field_too_long"],
        ),
    ],
    ids=["csv", "csv in lines", "csv without quotes", "text"],
)
def test_csv_and_text(
    settings: str,
    values: list[bytes],
    rows: list[Any],
    reasons: list[str],
    brokers: Cluster,
    topic: str,
    at: Callable[..., Path],
) -> None:
    brokers.send(topic, *values)
    got = Told(at(settings))
    assert [row[:-3] for row in got.rows] == rows
    assert sorted(reason for reason, _ in got.bad) == sorted(reasons)
    assert got.table["in"] == len(values)


def test_a_poison_message_is_set_aside_and_the_offset_advances(
    brokers: Cluster, topic: str, at: Callable[..., Path]
) -> None:
    poison = [b"{bad", b"\x00\x00\x00\x00\x07avro", b'{"_id": 1}', b'{"kafka_offset": 1}', b'{"": 1}', b"[1]", b""]
    brokers.send(topic, {"n": 1}, *poison, b'{\n  "n":\n 2}', {"n": 3})
    got = Told(at())
    assert [(row[0], row[-1]) for row in got.rows] == [(1, 0), (2, 8), (3, 9)]
    assert got.table["quarantined"] == {
        "bad_json": 1, "nul_byte": 1, "bad_name": 3, "not_an_object": 1, "empty_record": 1,
    }  # fmt: skip
    assert f"{topic}/0 offset 1: " in dict(got.bad)["bad_json"]
    brokers.send(topic, {"n": 4})
    more = Told(at())
    assert (more.table["touched"], more.table["rows"], more.table["quarantined"]) == (1, 4, got.table["quarantined"])


def test_too_much_poison_stops_the_run_and_no_offset_advances(
    brokers: Cluster, topic: str, at: Callable[..., Path]
) -> None:
    brokers.send(topic, {"n": 1})
    root = at(more="max_quarantine: 0.1")
    (root / "tillage.yaml").write_text((root / "tillage.yaml").read_text().replace(", max_quarantine: 1}", "}"))
    Told(root)
    brokers.send(topic, *[b"{bad"] * 12, {"n": 2})
    with pytest.raises(BadData, match=f"{topic}/0 offset 1: "):
        Told(root)
    assert sorted(row[0] for row in Told(at()).rows) == [1, 2]  # with another limit they are read, all of them


def test_a_tombstone_is_counted_and_told(brokers: Cluster, topic: str, at: Callable[..., Path]) -> None:
    brokers.send(topic, {"n": 1}, None, {"n": 2}, key="k")
    got = Told(at())
    assert [(row[0], row[-1]) for row in got.rows] == [(1, 0), (2, 2)]
    assert got.notes == ["t: without a value (tombstones): 1 message, counted; they delete nothing"]
    with project(at()) as opened:
        assert opened.notes("t") == ["without a value (tombstones): 1 message, counted; they delete nothing"]


def test_a_tombstone_is_a_row_that_says_deleted_where_that_is_asked_for(
    brokers: Cluster, topic: str, at: Callable[..., Path]
) -> None:
    """By the key of messages it is an update, so what was there before leaves; a filter leaves the tombstone out."""
    brokers.send(topic, {"n": 1}, {"n": 2}, key="a")
    brokers.send(topic, {"n": 3}, None, key="b")
    root = at("meta: [key, deleted]", "key: kafka_key, steps: [{filter: 'not kafka_deleted'}]")
    assert Told(root).rows == [(2, "a", False)]
    brokers.send(topic, None, key="a")
    got = Told(root)
    assert (got.rows, got.notes) == ([], [])
    assert got.table["dropped"] == {"superseded": 3, "filtered": 2}


# ---- what brokers remove


def test_messages_that_were_removed_before_they_were_read_are_a_loss(
    brokers: Cluster, topic: str, at: Callable[..., Path]
) -> None:
    brokers.send(topic, {"n": 1}, {"n": 2})
    Told(at())
    brokers.send(topic, {"n": 3})
    brokers.bury(topic)
    with pytest.raises(BadData, match=rf"lost: {topic}/0: \d+ messages? \(offsets 2 to \d+\) removed.*lost: accept"):
        Told(at())
    got = Told(at("lost: accept"))
    assert [row[0] for row in got.rows if row[0] is not None] == [1, 2]
    (note,) = [note for note in got.notes if "removed" in note]
    assert f"{topic}/0: " in note
    with project(at("lost: accept")) as opened:  # and it is never forgotten
        (why,) = [one.why for one in intents(opened)]
        assert "removed by the brokers before they were read" in why


def test_what_is_removed_between_look_and_reading_is_no_loss_in_silence(
    brokers: Cluster, topic: str, tmp_path: Path
) -> None:
    brokers.send(topic, {"n": 1}, {"n": 2})
    source = Kafka(servers=brokers.servers, topics=topic)
    (found,) = source.scan(tmp_path)
    brokers.bury(topic)
    with pytest.raises(Expired, match="no longer hold all messages"):
        source.checksum(tmp_path, found.path)


def test_a_topic_that_was_made_anew_is_a_loss(brokers: Cluster, topic: str, at: Callable[..., Path]) -> None:
    """Another cluster under the same plan is what a topic that was deleted and made again looks like."""
    brokers.send(topic, {"n": 1}, {"n": 2}, {"n": 3})
    root = at()
    Told(root)
    with cluster() as other:
        other.send(topic, {"n": 7})
        text = (root / "tillage.yaml").read_text().replace(brokers.servers, other.servers)
        (root / "tillage.yaml").write_text(text)
        with pytest.raises(BadData, match="made anew: it was read to offset 3, and ends at 1 now"):
            Told(root)


def test_rows_whose_messages_expired_stay_and_take_another_type(
    brokers: Cluster, topic: str, at: Callable[..., Path]
) -> None:
    """A late text makes the column text: what the brokers have is read again, the rest is cast as it stands."""
    brokers.send(topic, {"id": 1, "n": 1}, {"id": 1, "n": 2}, b"{bad", {"id": 2, "n": None})
    assert Told(at(more="key: id")).kinds == {"id": "Int64", "n": "Int64"}
    brokers.send(topic, {"id": 5, "n": 5})
    Told(at(more="key: id"))
    brokers.bury(topic)  # the first two objects are gone; what buries them has no key, and is set aside
    brokers.send(topic, {"id": 6, "n": "x"}, partition=1)
    got = Told(at("lost: accept", "key: id"))
    assert got.rows == [(1, "2"), (2, None), (5, "5"), (6, "x")]
    assert got.table["dropped"] == {"superseded": 1}
    assert got.table["quarantined"]["bad_json"] == 1
    assert any("the type or place of n changed" in note for note in got.notes)


def test_rows_whose_messages_expired_stay_when_the_plan_reads_otherwise(
    brokers: Cluster, topic: str, at: Callable[..., Path]
) -> None:
    brokers.send(topic, {"id": 1, "n": "7"}, {"id": 2, "n": "x"})
    before = Told(at(more="key: id"))
    assert before.kinds["n"] == "String"
    brokers.bury(topic)
    source = "lost: accept, types: {n: int64}, meta: [offset]"
    got = Told(at(source, "key: id"))
    assert (got.columns, got.rows) == (["id", "n", "kafka_offset"], [(1, 7, None)])
    assert ("bad_value", "The value of column 'n' is no int64.") in got.bad
    same = Told(at(source, "key: id"))
    assert (same.table["version"], same.rows, same.bad) == (got.table["version"], got.rows, got.bad)


def test_what_a_compacted_topic_dropped_stays(
    brokers: Cluster, topic: str, at: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again, an object has fewer messages than it had: so they were compacted, and its rows are kept."""
    brokers.send(topic, {"n": 1}, {"n": 2}, {"n": 3})
    Told(at())
    whole = KafkaClient.read

    def compacted(self: KafkaClient, windows: Any) -> Any:
        for place, some in whole(self, windows):
            yield place, some[1:]

    monkeypatch.setattr(KafkaClient, "read", compacted)
    got = Told(at("meta: [timestamp]"))
    assert [row[0] for row in got.rows] == [1, 2, 3]


# ---- others on the same topics, and death


def test_a_rebalance_in_the_middle_of_a_batch_moves_nothing(
    brokers: Cluster, topic: str, at: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another consumer joins our group's name while we read, is given partitions, commits, and leaves."""
    for partition in range(4):
        brokers.send(topic, *({"n": 100 * partition + n} for n in range(50)), partition=partition)
    monkeypatch.setattr("tillage.collect.kafka_client.MANY", 7)
    whole, joined = KafkaClient.read, list[Any]()

    def disturbed(self: KafkaClient, windows: Any) -> Any:
        for place, some in whole(self, windows):
            yield place, some
            if not joined:
                settings = {"bootstrap.servers": brokers.servers, "group.id": "tillage", "log_level": 0}
                joined.append(kafka.Consumer({**settings, "auto.offset.reset": "earliest"}))
                joined[0].subscribe([topic])
                got = None
                while got is None:
                    got = joined[0].poll(0.1)
                joined[0].commit(got, asynchronous=False)
                joined[0].close()

    monkeypatch.setattr(KafkaClient, "read", disturbed)
    got = Told(at())
    assert sorted(row[0] for row in got.rows) == sorted(100 * p + n for p in range(4) for n in range(50))
    assert joined
    brokers.send(topic, {"n": 999}, partition=1)
    assert Told(at()).table["rows"] == 201


def run_dying(root: Path, failpoint: str = "") -> subprocess.CompletedProcess[str]:
    command = "from tillage.face.main import main; main()"
    environment = {**os.environ, "TILLAGE_KEY": KEY, **({"TILLAGE_FAILPOINT": failpoint} if failpoint else {})}
    return subprocess.run(
        [sys.executable, "-c", command, "run", "--json"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("point", ["version.begin", "version.chunks", "version.commit", "version.after"])
def test_killed_between_fetch_and_commit_nothing_is_lost_or_doubled(
    point: str, brokers: Cluster, topic: str, at: Callable[..., Path]
) -> None:
    brokers.send(topic, *({"n": n} for n in range(20)))
    Told(at())
    brokers.send(topic, *({"n": n} for n in range(20, 40)), partition=1)
    died = run_dying(at(), point)
    assert died.returncode == -signal.SIGKILL, died.stderr
    brokers.send(topic, {"n": 40})
    got = Told(at())
    assert sorted(row[0] for row in got.rows) == list(range(41))
    assert got.table["digest"] == Told(at(name="anew")).table["digest"]


def test_a_forgotten_person_does_not_come_back(brokers: Cluster, topic: str, at: Callable[..., Path]) -> None:
    """Not by another run, not when all is read again, and not out of the rows that stay when messages expire."""
    brokers.send(topic, {"who": "ada", "n": 1}, {"who": "bob", "n": 2}, {"who": "ada", "n": 3})
    Told(at(more="subject: who"))
    with project(at(more="subject: who")) as opened:
        forget(opened, "t", subject=["ada"])
    assert [row[:2] for row in Told(at(more="subject: who")).rows] == [("bob", 2)]
    brokers.send(topic, {"who": "ada", "n": "four"})
    again = Told(at(more="subject: who"))
    assert [row[:2] for row in again.rows] == [("ada", "four"), ("bob", "2")]
    brokers.bury(topic)
    last = Told(at("lost: accept, types: {n: text}", "subject: who"))
    assert [row[:2] for row in last.rows if row[0]] == [("ada", "four"), ("bob", "2")]


# ---- what goes wrong


def test_brokers_that_cannot_be_reached_say_so(tmp_path: Path) -> None:
    root = plan(tmp_path, "kafka: {servers: '127.0.0.1:1', topics: t, timeout: 0.5}")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 cannot be reached: .*refused") as raised:
        Told(root)
    assert raised.value.exit_code == 69


def test_a_topic_that_is_not_there_is_named_with_the_nearest(brokers: Cluster, tmp_path: Path) -> None:
    brokers.send("orders-of-the-shop", {"n": 1})
    root = plan(tmp_path, f"kafka: {{servers: '{brokers.servers}', topics: order-of-the-shop}}")
    with pytest.raises(ConfigurationError, match=r"No topic is called 'order-of-the-shop'\. Did you mean 'orders-of"):
        Told(root)


def test_an_empty_topic_is_a_table_without_rows(brokers: Cluster, topic: str, at: Callable[..., Path]) -> None:
    """Its first message then makes the columns; partitions without any are no obstacle."""
    brokers.send(topic, {"id": 0})
    assert Told(at("start: end", "key: id")).rows == []
    brokers.send(topic, {"id": 1}, partition=2)
    got = Told(at("start: end", "key: id"))
    assert (got.columns, got.rows) == (["id"], [(1,)])


def test_secrets_come_from_the_environment_alone(
    brokers: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Kafka(servers="k:1", topics="t", user="me", secret="KAFKA_PASSWORD", tls=True, ca="ca.pem")
    given: list[dict[str, Any]] = []

    class Client(KafkaClient):
        def __init__(self, settings: Any, shown: str, timeout: float) -> None:
            given.append(dict(settings))
            raise Unavailable(shown)

    monkeypatch.setattr(sys.modules[Kafka.__module__], "KafkaClient", Client)
    with pytest.raises(Denied, match="KAFKA_PASSWORD is not set"):
        source.scan(tmp_path)
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    with pytest.raises(Unavailable):
        source.scan(tmp_path)
    assert given == [
        {
            "bootstrap.servers": "k:1",
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "me",
            "sasl.password": "hunter2",
            "ssl.ca.location": str(tmp_path / "ca.pem"),
        }
    ]
    assert "hunter2" not in repr(source) + source.model_dump_json()


def test_a_broker_that_speaks_no_tls_is_told_of(brokers: Cluster, tmp_path: Path) -> None:
    root = plan(tmp_path, f"kafka: {{servers: '{brokers.servers}', topics: t, tls: true, timeout: 1}}")
    with pytest.raises((Denied, Unavailable), match=r"SSL|ssl|Disconnected"):
        Told(root)


def test_without_the_library_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(Unavailable, match=r"pip install 'tillage\[kafka\]'"):
        Kafka(servers="k:1", topics="t").scan(tmp_path)


WRONG = [
    ("kafka: {topics: t}", "'servers'"),
    ("kafka: {servers: k, topics: t, topcs: t}", "Did you mean 'topics'?"),
    ("kafka: {servers: 'k/x', topics: t}", "HOST:PORT"),
    ("kafka: {servers: k, topics: []}", "at least one topic"),
    ("kafka: {servers: k, topics: [a, a]}", "named twice"),
    ("kafka: {servers: k, topics: t, format: csv}", "'columns'"),
    ("kafka: {servers: k, topics: t, columns: [a]}", "'columns'"),
    ("kafka: {servers: k, topics: t, format: csv, columns: [_a]}", "begins with '_'"),
    ("kafka: {servers: k, topics: t, user: me}", "go together"),
    ("kafka: {servers: k, topics: t, user: me, secret: 'pass word'}", "environment variable"),
    ("kafka: {servers: k, topics: t, ca: ca.pem}", "'tls: true'"),
    ("kafka: {servers: k, topics: t, tls: true, certificate: c.pem}", "go together"),
    ("kafka: {servers: k, topics: t, meta: [deleted]}", "'key' beside it"),
    ("kafka: {servers: k, topics: t, types: {kafka_offset: text}}", "type of its own"),
    ("kafka: {servers: k, topics: t, meta: [offsets]}", "offset"),
]


@pytest.mark.parametrize(("source", "said"), WRONG)
def test_what_is_wrong_in_a_plan_has_a_place(source: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse(f"project: s\ntables:\n  t:\n    collect: {{{source}}}\n", tmp_path, registry())
    (problem,) = raised.value.problems
    assert said in problem.message
    assert problem.line == 4
    assert problem.column >= 14


def test_the_same_from_python(brokers: Cluster, topic: str, tmp_path: Path) -> None:
    brokers.send(topic, {"n": 1})
    rows = kafka_source(servers=brokers.servers, topics=topic)
    assert rows.table().key == ("kafka_topic", "kafka_partition", "kafka_offset")
    keyed = kafka_source(servers=brokers.servers, topics=topic, key="n")
    assert keyed.table().key == ("n",)
    assert keyed.table().source == Kafka(servers=brokers.servers, topics=topic)


def test_a_plan_that_is_written_is_the_plan_that_was_read(at: Callable[..., Path]) -> None:
    from tillage.flow.writing import to_yaml

    read = load(at() / "tillage.yaml", registry())
    text = to_yaml(read, registry())
    assert parse(text, read.root, registry()).tables == read.tables


def test_following_notices_what_comes(brokers: Cluster, topic: str, at: Callable[..., Path]) -> None:
    brokers.send(topic, {"n": 1})
    with project(at()) as opened:
        opened.run()
        before = stamps(opened)
        assert stamps(opened) == before
        brokers.send(topic, {"n": 2}, partition=3)
        assert stamps(opened) != before


def test_a_plan_foretells_without_reading(brokers: Cluster, topic: str, at: Callable[..., Path]) -> None:
    brokers.send(topic, {"n": 1})
    Told(at())
    with project(at()) as opened:
        assert [(i.runs, i.why) for i in intents(opened)] == [(False, "nothing new")]
        brokers.send(topic, {"n": 2})
        (intent,) = intents(opened)
        assert intent.runs
        assert json.dumps({topic: {"0": [1, 2]}}, separators=(",", ":")) in intent.why
