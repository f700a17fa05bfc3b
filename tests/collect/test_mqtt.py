"""Topics of an MQTT broker as a source: nothing is acknowledged before it is stored, nothing is stored twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.collect.mqtt_broker import KINDS, Broker, broker, client, paho, wait_for
from tests.collect.told import Told, plan

from tillage.collect import Mqtt
from tillage.core.errors import BadData, ConfigurationError, Denied, Unavailable
from tillage.face.following import stamps
from tillage.face.rooms import project, registry
from tillage.flow.configuration import parse
from tillage.flow.following import Expired
from tillage.flow.planner import intents
from tillage.promises import forget

pytestmark = pytest.mark.usefixtures("key")
mqtt_source = sys.modules[Mqtt.__module__]


@pytest.fixture(scope="module", params=KINDS)
def there(request: pytest.FixtureRequest) -> Iterator[Broker]:
    with broker(request.param) as made:
        yield made


@pytest.fixture
def at(there: Broker, topic: str, tmp_path: Path) -> Callable[..., Path]:
    """A plan that reads all below the topic, under a session of its name; more parameters of source and table."""

    def made(source: str = "", more: str = "", name: str = "p", window: float = 0.4) -> Path:
        table = ", ".join(part for part in (more, "max_quarantine: 1") if part)
        settings = f"server: '{there.server}', topics: '{topic}/#', session: {topic}, window: {window}"
        return plan(tmp_path / name, f"mqtt: {{{settings}{', ' if source else ''}{source}}}", table)

    return made


def until(root: Path, messages: int) -> Told:
    """Runs, until so many messages were collected; a broker takes the time that the machine leaves it."""
    end = time.monotonic() + 60
    while (got := Told(root)).table["in"] < messages:
        assert time.monotonic() < end, got.table
    return got


def test_what_the_broker_kept_and_what_comes_is_read_once(there: Broker, topic: str, at: Callable[..., Path]) -> None:
    """The first run makes the session; from then on nothing is missed, and equal messages are as many as there were."""
    there.send(f"{topic}/kept", b'{"v": 0}', retain=True)
    first = until(at("meta: [topic, qos, retained]"), 1)
    assert first.columns == ["v", "mqtt_topic", "mqtt_qos", "mqtt_retained"]
    assert first.rows == [(0, f"{topic}/kept", 1, True)]
    there.send(f"{topic}/a", b'{"v": 1}', b'{"v": 1}')
    there.send(f"{topic}/b", b'{"v": 2}')
    second = until(at("meta: [topic, qos, retained]"), 4)
    assert [(row[0], row[1]) for row in second.rows] == [
        (0, f"{topic}/kept"), (1, f"{topic}/a"), (1, f"{topic}/a"), (2, f"{topic}/b"),
    ]  # fmt: skip
    third = Told(at("meta: [topic, qos, retained]"))
    assert (third.rows, third.table["version"], third.table["touched"]) == (second.rows, second.table["version"], 0)


def test_a_run_takes_more_than_a_broker_hands_out_by_itself(there: Broker, topic: str, at: Callable[..., Path]) -> None:
    """Mosquitto stops at 20 that are not acknowledged, unless it is told that more may be."""
    Told(at())
    there.send(f"{topic}/a", *(f'{{"v": {n}}}'.encode() for n in range(200)))
    got = Told(at(window=5))
    assert len(got.rows) > 20
    assert sorted(row[0] for row in until(at(), 200).rows) == list(range(200))


def test_what_was_sent_or_retained_twice_is_one_row_by_its_id(
    there: Broker, topic: str, at: Callable[..., Path]
) -> None:
    there.send(f"{topic}/a", b'{"id": 1, "v": 1}', retain=True)
    until(at(more="key: id"), 1)
    there.send(f"{topic}/a", b'{"id": 2, "v": 2}', b'{"id": 2, "v": 2}', b'{"id": 1, "v": 1}')
    got = until(at(more="key: id"), 4)
    assert got.rows == [(1, 1), (2, 2)]
    assert (got.table["in"], got.table["dropped"]) == (4, {"superseded": 2})


def test_what_is_retained_comes_once_though_the_topics_change(
    there: Broker, topic: str, at: Callable[..., Path]
) -> None:
    """Brokers send it again with each subscription; a new value is a new message."""
    there.send(f"{topic}/a", b'{"v": 1}', retain=True)
    there.send(f"{topic}-b", b'{"v": 2}', retain=True)
    root = at()
    assert until(root, 1).rows == [(1,)]
    more = (root / "tillage.yaml").read_text().replace(f"topics: '{topic}/#'", f"topics: ['{topic}/#', '{topic}-b']")
    (root / "tillage.yaml").write_text(more)
    assert until(root, 2).rows == [(1,), (2,)]
    assert Told(root).rows == [(1,), (2,)]


def test_poison_is_set_aside_and_acknowledged(there: Broker, topic: str, at: Callable[..., Path]) -> None:
    Told(at())
    there.send(f"{topic}/a", b'{"v": 1}', b"{bad", b"\xff", b'{"mqtt_topic": 1}', b"")
    got = until(at(), 4)
    assert got.rows == [(1,)]
    assert {(reason, message.partition(":")[0]) for reason, message in got.bad} == {
        (reason, f"{topic}/a") for reason in ("bad_json", "bad_encoding", "bad_name")
    }
    assert got.notes[-1] == "t: 1 empty message, counted"
    assert Told(at()).table["touched"] == 0


def test_what_a_run_refuses_is_handed_over_again(there: Broker, topic: str, at: Callable[..., Path]) -> None:
    Told(at())
    root = at()
    (root / "tillage.yaml").write_text((root / "tillage.yaml").read_text().replace(", max_quarantine: 1", ""))
    there.send(f"{topic}/a", *[b"{bad"] * 12, b'{"v": 1}')
    with pytest.raises(BadData, match="cannot be read"):
        until(root, 100)
    died(root)
    there.send(f"{topic}/a", b'{"v": 2}')
    got = until(at(), 14)
    assert (got.rows, got.table["quarantined"]) == ([(1,), (2,)], {"bad_json": 12})


# ---- death


def died(root: Path) -> None:
    """As if the process had been killed: connections are gone, nothing is acknowledged, nothing is remembered."""
    for place in [place for place in mqtt_source._open if str(root) in place]:
        batch = mqtt_source._open.pop(place)
        batch.client._client._sock_close()
        batch.close()


@pytest.mark.parametrize("point", ["version.begin", "version.commit", "version.after"])
def test_killed_before_the_commit_nothing_is_lost(
    point: str, there: Broker, topic: str, at: Callable[..., Path]
) -> None:
    Told(at())
    there.send(f"{topic}/a", *[b'{"v": 1}'] * 3, b'{"v": 2}')
    command = "from tillage.face.main import main; main()"
    dead = subprocess.run(
        [sys.executable, "-c", command, "run", "--json"],
        cwd=at(),
        env={**os.environ, "TILLAGE_FAILPOINT": point},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    there.send(f"{topic}/a", b'{"v": 1}')
    assert [row[0] for row in until(at(), 5).rows] == [1, 1, 1, 1, 2]
    assert Told(at(window=1.8)).table["touched"] == 0


def test_dead_between_commit_and_acknowledgement_nothing_is_doubled(
    there: Broker, topic: str, at: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed over again is known by its number; an equal message that was sent since is another one."""
    Told(at())
    there.send(f"{topic}/a", *[b'{"v": 1}'] * 3, b'{"v": 2}')
    with monkeypatch.context() as patch:
        patch.setattr(Mqtt, "settled", lambda self, root, paths: died(root))
        assert [row[0] for row in until(at(window=1.8), 4).rows] == [1, 1, 1, 2]
    there.send(f"{topic}/a", b'{"v": 1}')
    again = until(at(), 5)
    assert [row[0] for row in again.rows] == [1, 1, 1, 1, 2]
    assert Told(at(window=1.8)).table["touched"] == 0  # and now the broker knows


def test_after_a_run_the_broker_keeps_nothing_of_what_is_stored(
    there: Broker, topic: str, at: Callable[..., Path]
) -> None:
    """Whoever takes the session up gets the next message first."""
    Told(at())
    there.send(f"{topic}/a", b'{"v": 1}', b'{"v": 2}')
    until(at(), 2)
    got: list[bytes] = []
    other = paho.Client(paho.CallbackAPIVersion.VERSION2, topic, clean_session=False)
    other.on_message = lambda client, _, message: got.append(message.payload)
    other.connect("127.0.0.1", there.port)
    other.loop_start()
    wait_for(other.is_connected)
    there.send(f"{topic}/a", b"next")
    wait_for(lambda: got)
    other.disconnect()
    other.loop_stop()
    assert got == [b"next"]


def test_dead_twice_between_commit_and_acknowledgement(
    there: Broker, topic: str, at: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second acknowledgement of the first messages may be lost with those of the second."""
    Told(at())
    monkeypatch.setattr(Mqtt, "settled", lambda self, root, paths: died(root))
    monkeypatch.setattr(mqtt_source.MqttClient, "acknowledge", lambda self, delivery: None)
    for n in range(1, 4):
        there.send(f"{topic}/a", f'{{"v": {n}}}'.encode())
        assert [row[0] for row in until(at(window=1.8), n).rows] == list(range(1, n + 1))


def test_a_connection_that_is_lost_meanwhile_doubles_nothing(
    there: Broker, topic: str, at: Callable[..., Path]
) -> None:
    """Between the look and the run: Paho connects anew, the broker hands all over again under the same numbers."""
    Told(at())
    there.send(f"{topic}/a", b'{"v": 1}', b'{"v": 1}', b'{"v": 2}')
    with project(at(window=1.8)) as opened:
        before = stamps(opened)
        (batch,) = [one for place, one in mqtt_source._open.items() if str(at()) in place]
        assert len(batch.taken) == 3
        batch.client._client._sock_close()
        wait_for(batch.client._client.is_connected)
        assert stamps(opened) == before
        opened.run()
        assert sorted(opened.read("t")["v"]) == [1, 1, 2]
        assert stamps(opened) == before  # as the run left it
        assert not [place for place in mqtt_source._open if str(at()) in place]


# ---- what is lost, expires, is forgotten


def test_a_session_that_the_broker_forgot_is_a_loss(there: Broker, topic: str, at: Callable[..., Path]) -> None:
    Told(at())
    there.send(f"{topic}/a", b'{"v": 1}')
    until(at(), 1)
    other = client(there.port, topic, clean_session=True)  # takes our name, and ends the session
    other.disconnect()
    other.loop_stop()
    there.send(f"{topic}/a", b'{"v": 2}')
    for _ in range(2):  # looking once does not hide it
        with pytest.raises(BadData, match=f"no longer knows the session '{topic}'.*lost: accept"):
            Told(at())
    got = Told(at("lost: accept"))
    assert got.rows == [(1,)]
    note = f"the broker forgot the session '{topic}' before batch {got.table['version']}: messages were lost"
    assert f"t: {note}" in got.notes
    there.send(f"{topic}/a", b'{"v": 3}')
    again = until(at("lost: accept"), 2)
    assert again.rows == [(1,), (3,)]
    with project(at("lost: accept")) as opened:
        assert note in opened.notes("t")


def test_rows_stay_and_take_another_type(there: Broker, topic: str, at: Callable[..., Path]) -> None:
    Told(at())
    there.send(f"{topic}/a", b'{"v": 1}', b"{bad")
    until(at(), 2)
    there.send(f"{topic}/a", b'{"v": "x"}')
    got = until(at(), 3)
    assert (got.rows, got.table["quarantined"]) == ([("1",), ("x",)], {"bad_json": 1})
    told = Told(at("types: {v: int64}"))
    assert (told.rows, told.table["quarantined"]) == ([(1,)], {"bad_json": 1, "bad_value": 1})


def test_a_forgotten_person_does_not_come_back(there: Broker, topic: str, at: Callable[..., Path]) -> None:
    Told(at())
    there.send(f"{topic}/a", b'{"who": "ada", "v": 1}', b'{"who": "bob", "v": 2}', b'{"who": "ada", "v": 1}')
    until(at(more="subject: who"), 3)
    with project(at(more="subject: who")) as opened:
        forget(opened, "t", subject=["ada"])
        states = [row[0] for row in opened.store.catalog.rows("SELECT state FROM sources")]
        assert not any("handed" in text and json.loads(text)["handed"] for text in states)  # nor what it was known by
    there.send(f"{topic}/a", b'{"who": "eve", "v": "x"}')
    assert until(at(more="subject: who"), 2).rows == [("bob", "2"), ("eve", "x")]
    assert Told(at("meta: [topic]", "subject: who")).rows == [("bob", "2", None), ("eve", "x", None)]


def test_what_is_stored_cannot_be_had_again(there: Broker, topic: str, tmp_path: Path) -> None:
    source = Mqtt(server=there.server, topics="a", session=topic)
    with pytest.raises(Expired, match="batch 7 are with the broker no more"):
        source.checksum(tmp_path, "000000007")


# ---- what goes wrong


def test_nothing_is_asked_to_foretell_a_run(there: Broker, topic: str, at: Callable[..., Path]) -> None:
    Told(at())
    with project(at()) as opened:
        (intent,) = intents(opened)
        assert (intent.runs, intent.why) == (True, "it is asked at the run")
    assert not mqtt_source._open


def test_a_broker_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    root = plan(tmp_path, "mqtt: {server: '127.0.0.1:1', topics: t, session: s}")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 cannot be reached: .*refused"):
        Told(root)


def test_a_broker_that_wants_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with broker("nats", password="hunter2") as there:
        settings = f"server: '{there.server}', topics: t, session: s, window: 0.2"
        with pytest.raises(Denied, match="turns us away"):
            Told(plan(tmp_path / "a", f"mqtt: {{{settings}}}"))
        settings += ", user: me, secret: PLANT_PASSWORD"
        with pytest.raises(Denied, match="PLANT_PASSWORD is not set"):
            Told(plan(tmp_path / "b", f"mqtt: {{{settings}}}"))
        monkeypatch.setenv("PLANT_PASSWORD", "hunter2")
        assert Told(plan(tmp_path / "c", f"mqtt: {{{settings}}}")).rows == []
        monkeypatch.setenv("PLANT_PASSWORD", "wrong")
        with pytest.raises(Denied, match="turns us away") as raised:
            Told(plan(tmp_path / "d", f"mqtt: {{{settings}}}"))
        assert "wrong" not in str(raised.value)


def test_without_the_library_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(Unavailable, match=r"pip install 'tillage\[mqtt\]'"):
        Mqtt(server="b", topics="t", session="s").scan(tmp_path)


WRONG = [
    ("mqtt: {topics: t, session: s}", "'server'"),
    ("mqtt: {server: b, topics: t}", "'session'"),
    ("mqtt: {server: 'b/c', topics: t, session: s}", "HOST:PORT"),
    ("mqtt: {server: b, topics: 'a/#/b', session: s}", "at least one topic"),
    ("mqtt: {server: b, topics: 'a+', session: s}", "at least one topic"),
    ("mqtt: {server: b, topics: [t, t], session: s}", "named twice"),
    ("mqtt: {server: b, topics: t, session: 'a b'}", "session is a name"),
    ("mqtt: {server: b, topics: t, session: s, window: 0}", "'window'"),
    ("mqtt: {server: b, topics: t, session: s, types: {mqtt_topic: text}}", "type of its own"),
]


@pytest.mark.parametrize(("source", "said"), WRONG)
def test_what_is_wrong_in_a_plan_has_a_place(source: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse(f"project: s\ntables:\n  t:\n    collect: {{{source}}}\n", tmp_path, registry())
    (problem,) = raised.value.problems
    assert said in problem.message
    assert (problem.line, problem.column >= 14) == (4, True)
