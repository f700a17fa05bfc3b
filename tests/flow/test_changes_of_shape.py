"""Law 2 where the shape of a table changes: its columns' order and types, no row left, one source by two ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flow.world import KEY, differences, digests
from tillage.core.errors import BadData, ConfigurationError
from tillage.face.main import ended
from tillage.face.rooms import registry
from tillage.flow import keyed, stages
from tillage.flow.configuration import load
from tillage.flow.run import Project
from tillage.promises import trace
from tillage.store.verify import verify

EVERY_KIND = """\
project: shapes
tables:
  raw: {collect: {files: "data/*.csv"}%s, max_quarantine: 1}
  some: {from: raw, steps: [{filter: "x > 2"}]}
  once: {from: some, steps: [{drop_duplicates: {columns: [text], keep: {first: x}}}]}
  groups: {from: some, steps: [{aggregate: {by: [city], columns: {n: count(), most: max(x), least: min(day)}}}]}
  both: {from: [some, raw]}
  good: {from: some, steps: [{derive: {columns: {y: "x"}}}], expect: [{column: text, not_null: true}], profile: true}
"""

HEAD = "id,text,city,x,day\n"


class Folder:
    """A plan and its files, run in one store and compared with a new one each time."""

    def __init__(self, root: Path, plan: str) -> None:
        self.root, self.rebuilds = root, 0
        root.mkdir(exist_ok=True)
        self.write("tillage.yaml", plan)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def open(self, store: str = ".tillage") -> Project:
        plan = load(self.root, registry()).model_copy(update={"store": self.root / store})
        return Project(plan, registry().within(self.root))

    def run(self, store: str = ".tillage") -> Any:
        with self.open(store) as p:
            p.run()
            assert not verify(p.store).findings
            return digests(p)

    def same_as_a_rebuild(self) -> Any:
        self.rebuilds += 1
        updated = self.run()
        assert differences(updated, self.run(f"rebuild{self.rebuilds}")) == []
        return updated


@pytest.fixture(autouse=True)
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)


def lines(first: int, count: int, x: str = "{}", text: str = "text {0}") -> str:
    """Rows of a file; `text` is given a number that comes again, and the row's own."""
    rows = []
    for n in range(count):
        city = "Ulm" if n % 3 else "Rome"
        rows.append(f"{first + n},{text.format(n % 7, first + n)},{city},{x.format(n % 12)},2024-01-0{n % 9 + 1}\n")
    return "".join(rows)


@pytest.mark.parametrize("key", ["", ", key: id"])
def test_the_order_of_columns_is_that_of_a_rebuild(tmp_path: Path, key: str) -> None:
    folder = Folder(tmp_path / "f", EVERY_KIND % key)
    folder.write("data/a.csv", HEAD + lines(0, 20))
    folder.write("data/b.csv", HEAD + lines(100, 20))
    before = folder.same_as_a_rebuild()
    cells = [line.split(",") for line in lines(0, 20).splitlines()]
    folder.write("data/a.csv", "day,text,city,x,id\n" + "".join(",".join([f[4], *f[1:4], f[0]]) + "\n" for f in cells))
    after = folder.same_as_a_rebuild()
    assert after["tables"]["raw"]["digest"] != before["tables"]["raw"]["digest"]
    folder.write("data/0.csv", "x,id,text\n3,7777,new\n")
    folder.same_as_a_rebuild()


@pytest.mark.parametrize("key", ["", ", key: id"])
def test_a_type_that_comes_and_goes_leaves_no_trace(tmp_path: Path, key: str) -> None:
    folder = Folder(tmp_path / "f", EVERY_KIND.replace("x > 2", "text like 'text%%'") % key)
    folder.write("data/a.csv", HEAD + lines(0, 30))
    folder.write("data/b.csv", HEAD + lines(100, 30))
    folder.same_as_a_rebuild()
    folder.write("data/b.csv", HEAD + lines(100, 30, "0{}"))
    folder.same_as_a_rebuild()
    folder.write("data/b.csv", HEAD + lines(100, 30))
    folder.same_as_a_rebuild()
    with folder.open() as p:
        assert sorted(p.read("groups")["most"]) == [9, 11], "numbers again: of texts, 8 would be the largest"


JOINED = """\
project: shapes
tables:
  orders: {collect: {files: "data/o*.csv"}, key: id}
  prices: {collect: {files: "data/p*.csv"}, key: id}
  joined: {from: {left: orders, right: prices}, steps: [{join: {on: [item], how: inner}}]}
"""


def test_columns_that_two_joined_tables_share_keep_a_type_each(tmp_path: Path) -> None:
    large = 2**53 + 1
    folder = Folder(tmp_path / "f", JOINED)
    folder.write("data/o.csv", f"id,item,n,code,seen\n1,a,{large},7,5\n2,b,4,8,6\n")
    folder.write("data/p.csv", "id,item,n,code,seen\n1,a,1.5,x7,true\n2,b,2.5,x8,false\n")
    folder.same_as_a_rebuild()
    wanted = {
        "n": [large, 4],
        "code": [7, 8],
        "seen": [5, 6],
        "n_right": [1.5, 2.5],
        "code_right": ["x7", "x8"],
        "seen_right": ["true", "false"],
    }
    with folder.open() as p:
        assert p.read("joined").sort("id").select(*wanted).to_dict(as_series=False) == wanted
    folder.write("data/p.csv", "id,item,n,code,seen\n1,a,1,x7,\n3,b,3,x9,\n")
    folder.same_as_a_rebuild()
    folder.write("data/o2.csv", "id,item,n,code,seen\n5,b,0.25,y,late\n")
    folder.same_as_a_rebuild()
    with folder.open() as p:
        assert p.read("joined").sort("id", "id_right")["n_right"].to_list() == [1, 3, 3]


OWN = """\
from collections.abc import Mapping
from typing import ClassVar

import polars as pl

from tillage.core.step import Group


class Priced(Group):
    ports: ClassVar[tuple[str, ...]] = ("left", "right")

    def key(self, rows: pl.DataFrame, port: str) -> tuple[str, ...]:
        return ("item",)

    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        prices = rows["right"].select("_key", "price")
        return rows["left"].select("_key", "id", "item").join(prices, on="_key", how="left")
"""


def test_an_index_whose_columns_had_other_names_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = JOINED.replace("join: {on: [item], how: inner}", "own_steps.Priced: {}")
    folder = Folder(tmp_path / "f", plan)
    folder.write("own_steps.py", OWN)
    folder.write("data/o.csv", "id,item\n1,a\n2,b\n3,a\n")
    folder.write("data/p.csv", "id,item,price\n1,a,1.5\n2,b,2.5\n")
    with monkeypatch.context() as before:
        before.setattr(stages, "ENTRIES", 1)
        before.setattr(keyed, "_set_apart", lambda port, rows: rows)
        before.setattr(keyed, "_only_of", lambda port, entries: entries)
        folder.run()
    folder.write("data/o2.csv", "id,item\n4,a\n")
    folder.same_as_a_rebuild()
    with folder.open() as p:
        assert p.read("joined").sort("id")["price"].to_list() == [1.5, 2.5, 1.5, 1.5]


def test_a_key_that_becomes_of_another_type_is_told_and_empties_no_join(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "f", JOINED)
    folder.write("data/o.csv", "id,item\n1,7\n2,8\n")
    folder.write("data/p.csv", "id,item,price\n1,7,1\n2,8,2\n")
    assert folder.same_as_a_rebuild()["tables"]["joined"]["rows"] == 2
    folder.write("data/p2.csv", "id,item,price\n3,7.5,3\n")
    for store in (".tillage", "new"):
        with folder.open(store) as p, pytest.raises(ConfigurationError, match="never written alike"):
            p.run()
    with folder.open() as p:
        assert p.read("joined").height == 2


@pytest.mark.parametrize("key", ["", ", key: id"])
@pytest.mark.parametrize("collect", ['{files: "data/*.csv"}', '{files: {path: "data/*.csv", types: {day: datetime}}}'])
def test_a_table_that_loses_all_its_rows_keeps_its_columns(tmp_path: Path, key: str, collect: str) -> None:
    folder = Folder(tmp_path / "f", EVERY_KIND.replace('{files: "data/*.csv"}', collect) % key)
    folder.write("data/a.csv", HEAD)
    empty = folder.same_as_a_rebuild()
    assert empty["tables"]["both"]["rows"] == 0
    folder.write("data/a.csv", HEAD + lines(0, 20))
    full = folder.same_as_a_rebuild()
    folder.write("data/a.csv", HEAD + lines(0, 20, "-1{}"))
    assert folder.same_as_a_rebuild()["tables"]["groups"]["rows"] == 0
    folder.write("data/a.csv", HEAD)
    assert differences(folder.same_as_a_rebuild(), empty) == []
    folder.write("data/a.csv", HEAD + lines(0, 20))
    assert differences(folder.same_as_a_rebuild(), full) == []


def test_tables_by_two_ways_are_compacted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tillage.flow.compact.SLACK", 4)
    plan = """\
project: ways
tables:
  raw: {collect: {files: "data/*.csv"}, key: id}
  low: {from: raw, steps: [{filter: "x < 7"}]}
  high: {from: raw, steps: [{filter: "x >= 7"}]}
  both: {from: [low, high]}
  groups: {from: both, steps: [{aggregate: {by: [city], columns: {n: count()}}}]}
models:
  city: {learn: naive_bayes, from: low, input: text, target: city, test_from: high}
"""
    folder = Folder(tmp_path / "f", plan)
    for n in range(8):  # more small chunks than compaction lets be
        folder.write(f"data/{n:02}.csv", HEAD + lines(100 * n, 14, text="w{1} text {0}"))
        folder.run()
    with folder.open() as p:
        assert len(p.store.chunks("both")) < 16
        assert all(chunk.source is not None for chunk in p.store.chunks("both")), "or a removal would not reach it"
        assert p.run().changed == []
    folder.same_as_a_rebuild()
    for n in range(0, 8, 4):
        (folder.root / f"data/{n:02}.csv").unlink()
    folder.write("data/01.csv", HEAD + lines(100, 9, text="w{1} text {0}"))
    folder.same_as_a_rebuild()


LIMITED = """\
project: limits
tables:
  raw: {collect: {files: {path: "data/*.csv", types: {x: int64}}}%s}
  next: {from: raw, steps: [{filter: "x > 2"}]}
"""


def test_the_limit_of_bad_records_is_one_of_the_table_and_not_of_a_run(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "f", LIMITED % "")
    folder.write("data/a.csv", HEAD + lines(0, 3000))
    folder.write("data/b.csv", HEAD + lines(5000, 40) + lines(6000, 12, "bad"))
    folder.same_as_a_rebuild()  # 12 of 52 records of this file, but of 3,052 of the table
    few = Folder(tmp_path / "g", LIMITED % "")
    few.write("data/a.csv", HEAD + lines(0, 40) + lines(50, 9, "bad"))
    few.same_as_a_rebuild()
    few.write("data/b.csv", HEAD + lines(100, 40) + lines(150, 9, "bad"))
    for store in (".tillage", "fresh"):
        with few.open(store) as p, pytest.raises(BadData, match="18 of 98 records"):
            p.run()
    with few.open() as p:
        assert p.store.count("raw") == 40, "the last version stays"


@pytest.mark.parametrize("key", ["", ", key: id"])
def test_a_table_without_a_readable_file_stays_as_it_was(tmp_path: Path, key: str) -> None:
    folder = Folder(tmp_path / "f", f"project: p\ntables:\n  raw: {{collect: {{files: a.csv}}{key}}}\n")
    folder.write("a.csv", "")
    with folder.open() as p, pytest.raises(BadData, match="it would have no column"):
        p.run()
    folder.write("a.csv", HEAD + lines(0, 5))
    folder.same_as_a_rebuild()
    folder.write("a.csv", "")  # as it is found while somebody writes it anew
    with folder.open() as p:
        with pytest.raises(BadData, match=r"\n  [\w/]+\.\w+: empty_file"):
            p.run()
        assert p.store.count("raw") == 5


@pytest.mark.parametrize("learner", ["naive_bayes", "text_classifier", "tabular_classifier"])
def test_no_row_to_learn_from_is_an_error_in_the_data(tmp_path: Path, learner: str) -> None:
    text = "text" if learner == "naive_bayes" else "[text]"
    plan = f"models:\n  m: {{learn: {learner}, from: raw, input: {text}, target: city}}\n"
    folder = Folder(tmp_path / "f", "project: p\ntables:\n  raw: {collect: {files: a.csv}}\n" + plan)
    folder.write("a.csv", HEAD)
    with folder.open() as p, pytest.raises(BadData):
        p.run()


def test_a_row_that_moved_and_then_changed_stands_where_it_is_now(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "f", "project: p\ntables:\n  raw: {collect: {files: a.csv}, key: id}\n")
    for text in ("1,1\n2,2\n3,3\n", "0,0\n1,1\n2,2\n3,3\n", "0,0\n9,9\n8,8\n1,1\n2,2\n3,333\n", "9,9\n2,2\n3,333\n"):
        folder.write("a.csv", "id,x\n" + text)
        folder.run()
        with folder.open() as p:
            for place, line in enumerate(text.splitlines()):
                [row] = p.read("raw").filter(id=int(line.split(",")[0]))["_id"]
                found = trace(p, "raw", row).thread.items.values()
                records = [item.facts["record"] for item in found if item.kind == "record"]
                assert records == [place], (text, line)


def test_a_table_of_an_earlier_plan_is_told_of_where_the_new_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps are put in, and the run cannot end: what stands was made by other stages than the plan has now."""
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    head = "project: p\ntables:\n  notes: {collect: {files: '*.csv'}, key: id}\n  t: {from: notes, steps: ["
    steps = ['filter: "n > 1"', "aggregate: {by: [n], columns: {rows: count()}}", 'derive: {columns: {m: "n + 1"}}']
    more = ["drop_duplicates: {columns: [n]}", *steps[:1], "kmeans: {columns: [n], clusters: 9}", *steps[1:]]
    (tmp_path / "a.csv").write_text("id,n\n1,1\n2,2\n3,2\n4,3\n")
    for written, code in ((steps, 0), (more, 65), (steps, 0)):
        (tmp_path / "tillage.yaml").write_text(head + ", ".join(f"{{{step}}}" for step in written) + "]}\n")
        assert ended(["run", "--plan", str(tmp_path), "--json"]) == code
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        counts = {"in": 4, "rows": 2, "consumed": 3, "created": 2, "dropped": {"filtered": 1}}
        assert {name: told["tables"]["t"][name] for name in counts} == counts


ZEROS = """\
project: shapes
tables:
  raw: {collect: {files: "data/*.csv"}, key: id}
  groups: {from: raw, steps: [{aggregate: {by: [x], columns: {n: count()}}}]}
  one: {from: raw, steps: [{resolve_conflicts: {by: [x, y]}}]}
  before: {from: raw, steps: [{window: {by: [x], time: id, columns: {last: "lag(id, 1)"}}}]}
  joined: {from: {left: raw, right: groups}, steps: [{join: {on: [x]}}]}
  texts: {from: raw, steps: [{cast: {columns: {x: text}}}]}
"""


def test_the_other_zero_is_no_other_key(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "f", ZEROS)
    folder.write("data/a.csv", "id,x,y\n1,0.5,a\n2,0.0,a\n3,0.0,a\n")
    folder.same_as_a_rebuild()
    folder.write("data/a.csv", "id,x,y\n1,0.5,a\n2,0.0,a\n3,-0.0,a\n")
    told = folder.same_as_a_rebuild()["tables"]
    assert [told[table]["rows"] for table in ("groups", "one", "before", "joined")] == [2, 2, 3, 3]
    with folder.open() as p:
        assert sorted(p.read("groups").select("x", "n").rows()) == [(0.0, 2), (0.5, 1)]
