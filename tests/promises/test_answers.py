"""A server's answers are on the thread: traced both ways, forgotten with whom they are about, while it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serve.running import Server, tillage, until

from tillage.core.errors import InputMissing, UsageError
from tillage.face.rooms import project
from tillage.flow import erasure
from tillage.flow.prediction_table import read_predictions
from tillage.promises import estimate, forget, receipts
from tillage.promises.receipt import row_committed
from tillage.promises.tracing import Node, row_of_key, trace, trace_prediction, trace_subject
from tillage.store.verify import verify

PLAN = """project: asked
tables:
  notes: {collect: {files: a.csv}, key: id, subject: person}
  other: {collect: {files: b.csv}, key: id}
  clean: {from: notes, steps: [{normalize: {columns: [text]}}]}
models:
  kinds: {learn: naive_bayes, from: clean, input: text, target: kind}
services:
  desk: {model: kinds, from: notes}
"""


def rows() -> list[str]:
    kinds = (("red apple", "red"), ("blue sky", "blue"))
    return [f"{i},someone{i % 7},{kinds[i % 2][0]} {i},{kinds[i % 2][1]}" for i in range(60)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("asked")
    (folder / "tillage.yaml").write_text(PLAN)
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("\n".join(["id,person,text,kind", *rows()]) + "\n")
    tillage(folder, "run")
    with Server(folder) as server:
        yield server, folder


def asked(server: Server, **row: Any) -> str:
    """The id of an answer; after a forgetting the server refuses until it has taken the model that was learnt then."""
    told: dict[str, Any] = {}

    def answers() -> bool:
        status, value, _ = server.ask("POST", "/v1/services/desk", {"rows": [{"text": "red apple", **row}]})
        assert status in (200, 503), value
        told.update(value)
        return status == 200

    until(answers)
    return str(told["predictions"][0]["id"])


def durable(server: Server, prediction: str, label: str) -> None:
    status, value, _ = server.ask("POST", "/feedback", {"id": prediction, "label": label})
    assert (status, value) == (200, {"accepted": 1})


def ends(node: Node, side: str) -> list[tuple[str, str]]:
    return [(e.end.partition(":")[0], e.how) for e in node.thread.of(side, node.id)]  # type: ignore[arg-type]


def test_an_answer_is_traced_to_the_version_its_data_and_its_row(served: tuple[Server, Path]) -> None:
    server, folder = served
    own, subject, nobody = asked(server, id=4), asked(server, person="someone4"), asked(server)
    durable(server, own, "red")
    with project(folder) as p:
        node = trace_prediction(p, own)
        assert ends(node, "back") == [("notes", "brought its key"), ("kinds@1", "answered by")]
        assert (node.facts["prediction"], node.facts["label"], node.facts["service"]) == ("red", "red", "desk")
        kinds = {item.kind for item in node.thread.items.values()}
        assert {"record", "object", "model", "table"} <= kinds
        assert node.thread.items["record:a.csv#4"].facts["record"] == 4
        assert ends(trace_prediction(p, nobody), "back") == [("kinds@1", "answered by")]
        row = trace(p, "clean", row_of_key(p, "clean", ["4"]), direction="forward")
        told = {
            n.id.partition(":")[2]: e.how for n, e in zip(row.forward, row.thread.of("forward", row.id), strict=True)
        }
        assert told[own] == "asked with its key"
        assert told[subject] == "asked about its subject"
        assert nobody not in told
        found = trace_subject(p, "clean", "someone4")
        assert {n.id.partition(":")[2] for n in found.forward} == {own, subject}
        assert len(trace_subject(p, "notes", "nobody at all").forward) == 0
        with pytest.raises(UsageError, match="no id that this project gave"):
            trace_prediction(p, "0" * 32)
        with pytest.raises(InputMissing, match="has no prediction"):
            trace_prediction(p, own[:24] + "00000007")
    for words in (("prediction", own), (own,)):
        value = json.loads(tillage(folder, "trace", *words, "--json"))
        assert value["trace"]["root"] == f"prediction:{own}"
    assert f"prediction {own}" in tillage(folder, "trace", "notes", "--subject", "someone4")


def test_the_numbers_say_whether_labels_agree(served: tuple[Server, Path]) -> None:
    server, _ = served
    for label, times in (("red", 2), ("blue", 1)):
        for _ in range(times):
            durable(server, asked(server), label)
    lines = server.ask("GET", "/metrics")[1].decode().splitlines()
    told = {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if "of_classes_total{" in line}
    assert told == {
        'tillage_labels_of_classes_total{agrees="yes",service="desk",version="1"}': 3.0,  # one of the test before
        'tillage_labels_of_classes_total{agrees="no",service="desk",version="1"}': 1.0,
    }


def test_forget_beside_a_server_takes_answers_labels_and_segments(served: tuple[Server, Path]) -> None:
    server, folder = served
    theirs = [asked(server, id=5), asked(server, id=5, person="someone5"), asked(server, id="700", person="someone5")]
    others = [asked(server, id=6), asked(server)]
    for name in (*theirs, *others):
        durable(server, name, f"said of {name}")
    with project(folder) as p:
        told = estimate(p, "notes", subject=["someone5"])
        assert told["answers"] == {"predictions": 3, "labels": 3}
        _, receipt = forget(p, "notes", subject=["someone5"])
        left = set(read_predictions(p.store)["id"].to_list())
        assert left.isdisjoint(theirs)
        assert left >= set(others)
        assert all(row_committed(receipt, int(name, 16)) for name in theirs)
        assert receipt["counts"]["@predictions"] == {"predictions": 3, "labels": 3}
        with pytest.raises(InputMissing, match="was forgotten"):
            trace_prediction(p, theirs[0])
        for path in (folder / ".tillage").rglob("*"):
            assert not path.is_file() or not any(f"said of {n}".encode() in path.read_bytes() for n in theirs)
        # the server goes on in another segment, and a label of what was forgotten is not kept
        again = asked(server, id=6)
        for name in (again, theirs[0]):
            durable(server, name, "late")
        assert forget(p, "notes", key=["42"])[0]["answers"] == {"predictions": 0, "labels": 0}
        now = read_predictions(p.store)
        assert now.filter(now["id"] == again)["label"].to_list() == ["late"]
        assert p.store.frame("@predictions", "labels")["label"].to_list().count("late") == 1


def test_someone_known_by_their_requests_alone_is_forgotten(served: tuple[Server, Path]) -> None:
    server, folder = served
    by_subject, by_key = asked(server, person="a guest"), asked(server, id="900")
    durable(server, by_key, "x")
    with project(folder) as p:
        assert forget(p, "notes", subject=["a guest"])[0]["answers"]["predictions"] == 1
        assert forget(p, "notes", key=["900"])[0]["answers"]["predictions"] == 1
        assert set(read_predictions(p.store)["id"].to_list()).isdisjoint([by_subject, by_key])
        with pytest.raises(InputMissing, match="Nothing in table 'notes'"):
            forget(p, "notes", key=["900"])


def test_an_erasure_that_was_cut_off_takes_the_answers_when_a_run_ends_it(
    served: tuple[Server, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, folder = served
    theirs, other = asked(server, id=8), asked(server, id=9)
    durable(server, theirs, "x")

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with project(folder) as p:
        with monkeypatch.context() as patch:
            patch.setattr(erasure, "purge_doomed", die)
            with pytest.raises(Killed):
                forget(p, "notes", key=["8"])
        assert theirs in read_predictions(p.store)["id"].to_list()
    with project(folder) as p:
        p.run()
        left = read_predictions(p.store)["id"].to_list()
        assert theirs not in left
        assert other in left
        assert row_committed(receipts(p.store)[-1], int(theirs, 16))
        assert verify(p.store).findings == ()
