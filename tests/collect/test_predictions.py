"""What a server answered as a table of the plan: labels late, twice, never; kept inputs train the model again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.flow.world import KEY

from tillage.core.errors import ConfigurationError
from tillage.face.rooms import project
from tillage.flow.run import Project
from tillage.promises import estimate, forget
from tillage.serve.predictions import PredictionLog
from tillage.serve.service import Served
from tillage.store.verify import verify

PLAN = """project: back
tables:
  notes: {collect: {files: a.csv}, key: id, subject: person}
  answers: {collect: predictions, key: id}
  told: {collect: {predictions: {service: desk, labelled: true, types: {text: text}}}, key: id}
  taught: {from: told, steps: [{select: {columns: [text, label]}}]}
models:
  kinds: {learn: naive_bayes, from: notes, input: text, target: kind}
services:
  desk: {model: kinds, from: notes, keep: [text, person]}
"""


class Desk:
    """A service's log, without a server around it."""

    def __init__(self, p: Project) -> None:
        self.loaded = Served(p, p.plan.services["desk"]).now
        self.log = PredictionLog(p.store)

    def ask(self, **row: Any) -> str:
        [name] = self.log.ids.new(1)
        columns = {c: [row.get(c)] for c in self.loaded.schema}
        [given] = self.loaded.answer([columns], [1])
        self.log.add(self.loaded, columns, given, [name], 0.001)
        return name

    def label(self, name: str, label: Any) -> None:
        self.log.label([(name, label)]).result(5)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    rows = [f"{i},someone{i % 7},{('red apple', 'blue sky')[i % 2]} {i},{('red', 'blue')[i % 2]}" for i in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["id,person,text,kind", *rows]) + "\n")
    (tmp_path / "tillage.yaml").write_text(PLAN)
    return tmp_path


def test_labels_come_late_twice_and_never(folder: Path) -> None:
    with project(folder) as p:
        p.run()
        assert p.read("answers").height == 0, "a plan may ask for answers before there are any"
        desk = Desk(p)
        late, twice, never = (desk.ask(text=f"red {n}", person="someone1") for n in range(3))
        desk.label(twice, "red")
        desk.log.roll()
        assert "answers" in p.run().changed
        rows = {r["id"]: r for r in p.read("answers").iter_rows(named=True)}
        assert {n: rows[n]["label"] for n in (late, twice, never)} == {late: None, twice: "red", never: None}
        assert rows[late]["text"] == "red 0"
        assert p.read("told")["id"].to_list() == [twice]
        desk.label(twice, "blue")
        desk.label(late, True)
        other = desk.ask(text="sky")
        desk.log.roll()
        outcome = p.run()
        assert outcome.touched["answers"] > 0
        labels = {r["id"]: r["label"] for r in p.read("answers").iter_rows(named=True)}
        assert labels == {late: "true", twice: "blue", never: None, other: None}
        assert sorted(p.read("taught").select("text", "label").rows()) == [("red 0", "true"), ("red 1", "blue")]
        assert p.run().changed == [], "nothing new costs nothing"
        desk.log.close()
        rebuilt = {t: p.store.digest(t) for t in ("answers", "told", "taught")}
        for stage in [s.name for s in p.stages.values() if s.target in rebuilt]:
            with p.store.catalog.transaction():
                p.store.catalog.write("DELETE FROM versions WHERE stage = ?", stage)
                p.store.catalog.write("DELETE FROM chunks WHERE stage = ?", stage)
                p.store.catalog.write("DELETE FROM sources WHERE stage = ?", stage)
        p.run()
        assert {t: p.store.digest(t) for t in rebuilt} == rebuilt, "update equals rebuild"


def test_forgetting_reaches_the_answers_their_table_and_what_was_made_of_it(folder: Path) -> None:
    with project(folder) as p:
        p.run()
        desk = Desk(p)
        mine, theirs = desk.ask(text="red", person="someone3"), desk.ask(text="a blue secret", person="someone4")
        for name in (mine, theirs):
            desk.label(name, "red")
        desk.log.close()
        p.run()
        assert p.read("taught").height == 2
        told = estimate(p, "notes", subject=["someone4"])
        assert (told["answers"], told["tables"]["told"]["rows"]) == ({"predictions": 1, "labels": 1}, 1)
        forget(p, "notes", subject=["someone4"])
        for table in ("answers", "told"):
            assert p.read(table)["id"].to_list() == [mine]
        assert p.read("taught")["text"].to_list() == ["red"]
        for part in ("rows", "labels", "about", "inputs"):
            assert "secret" not in json.dumps(p.store.frame("@predictions", part).rows(), default=str)
        before = {table: p.store.digest(table) for table in ("answers", "told", "taught")}
        p.run()  # the stretch of the log was rewritten, so it is read again
        assert {table: p.store.digest(table) for table in before} == before
        assert p.run().changed == []
        assert verify(p.store).findings == ()
        forget(p, "answers", key=[mine])  # named where it is collected, it goes from the log as well
        assert p.store.count("@predictions") == 0
        assert p.read("taught").height == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("collect: predictions, key: id", "collect: predictions", "must name its key"),
        ("keep: [text, person]", "keep: 7", "'keep' of service 'desk' must be text"),
        ("types: {text: text}", "types: {label: int64}", "has a type of its own"),
    ],
)
def test_what_cannot_be_is_said(old: str, new: str, said: str, folder: Path) -> None:
    (folder / "tillage.yaml").write_text(PLAN.replace(old, new))
    with pytest.raises(ConfigurationError, match=said), project(folder) as p:
        p.run()


def test_a_kept_value_of_another_type_is_quarantined(folder: Path) -> None:
    plan = PLAN.replace("types: {text: text}", "types: {text: int64}").replace(
        "key: id}\n  taught", "key: id, max_quarantine: 1}\n  taught"
    )
    (folder / "tillage.yaml").write_text(plan)
    with project(folder) as p:
        p.run()
        desk = Desk(p)
        for text in ("7", "seven"):
            desk.label(desk.ask(text=text), "red")
        desk.log.close()
        p.run()
        assert p.read("told")["text"].to_list() == [7]
        assert p.store.frame("told", "quarantine").height == 1
