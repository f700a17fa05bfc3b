"""The thread through every kind of stage, by hand on a small orchard, and both ways against each other at random.

Mutations caught: trace_back: one member of a group instead of all; the parent of a child not resolved; the ledger of
superseded records not read; one input of several. trace_steps: what left for another reason taken for merged.
trace_forward: rows that would return shake nothing; the gate that holds rows back passed over; a check that passes
shakes its gate. trace_places: rows removed since are shown; the newest version is read for an older one. trace_graph:
a node twice. trace_record: a moved record found at its old place, or nowhere.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.flow.world import PLAN as WORLD_PLAN
from tests.flow.world import World, small_chunks
from tests.laws.worlds import PLAN as KINDS_PLAN
from tests.laws.worlds import KindsWorld

from tillage.core.errors import InputMissing, UnknownName, UsageError
from tillage.core.rows import ids
from tillage.face.rooms import project
from tillage.flow.run import Project
from tillage.promises.trace_graph import Edge, Item, Node, Thread
from tillage.promises.tracing import row_of_key, trace, trace_record
from tillage.store.gc import collect
from tillage.store.purge import purge

PLAN = """\
project: orchard
tables:
  notes:
    collect: {files: {path: "data/*.csv", types: {id: int64, text: text, city: text, x: float64, n: int64}}}
    key: id
    max_quarantine: 1
  words:
    from: notes
    steps:
      - reference.Words: {column: text}
      - filter: {where: "n >= 0", reason: negative}
      - drop_duplicates: {columns: [text, city]}
      - derive: {columns: {big: "n > 2"}}
  cities: {from: words, steps: [{aggregate: {by: [city], columns: {rows: count(), most: max(n)}}}]}
  few: {from: cities, steps: [{filter: "rows < 2"}]}
  fewer: {from: few, steps: [{aggregate: {by: [rows], columns: {cities: count()}}}]}
  beside:
    from: {left: words, right: cities}
    steps:
      - reference.Joined: {on: city, take: [rows]}
      - derive: {columns: {more: "right_rows > 1"}}
  ranked: {from: notes, steps: [{reference.Ranked: {column: n, most: 3}}, {derive: {columns: {double: "rank * 2"}}}]}
  tidy:
    from: notes
    steps:
      - drop_duplicates: {columns: [text]}
      - fill_missing: {columns: [x]}
      - derive: {columns: {label: "if(text like 'w%', 'yes', 'no')"}}
    expect: [{column: city, not_null: true}]
  plain: {from: notes, steps: [{derive: {columns: {more: "n + 1"}}}], expect: [{column: id, not_null: true}]}
  after: {from: plain, steps: [{derive: {columns: {most: "more + 1"}}}]}
  both: {from: [words, tidy], steps: [{select: {columns: [text, n]}}]}
models:
  bayes: {learn: naive_bayes, from: tidy, input: text, target: label, split: {test: 0.5}}
"""

A = """\
id,text,city,x,n
1,red apple,Ulm,0.5,1
2,red,Rome,,2
3,red apple,Ulm,1,3
4,bad,Ulm,1,-1
5,broken
6,old,Bonn,1,1
"""
B = """\
id,text,city,x,n
6,new,Bonn,2,9
7,pear,Rome,3,1
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an orchard that was run once."""
    folder = tmp_path_factory.mktemp("orchard")
    with pytest.MonkeyPatch.context() as patch:
        small_chunks(patch)
        shutil.copy(Path(__file__).parents[1] / "laws" / "reference.py", folder / "reference.py")
        (folder / "tillage.yaml").write_text(PLAN)
        (folder / "data").mkdir()
        (folder / "data/a.csv").write_text(A)
        (folder / "data/b.csv").write_text(B)
        pairs = [f"{100 + i},{'W' if i % 2 else 'w'}ord{i // 2},Kiel,1,1" for i in range(40)]
        (folder / "data/c.csv").write_text("id,text,city,x,n\n" + "\n".join(pairs) + "\n")
        with project(folder) as opened:
            opened.run()
        yield folder


@pytest.fixture(scope="module")
def orchard(built: Path) -> Iterator[Project]:
    """To be looked at."""
    with project(built) as opened:
        yield opened


@pytest.fixture
def changing(built: Path, tmp_path: Path) -> Iterator[Project]:
    """A copy, to be changed."""
    shutil.copytree(built, tmp_path / "orchard")
    with project(tmp_path / "orchard") as opened:
        yield opened


def by_id(p: Project, key: int) -> int:
    return row_of_key(p, "notes", [str(key)])


def edges(node: Node, side: Any = "back") -> list[Edge]:
    return list(node.thread.every(side))


def carried(node: Node, side: Any) -> set[str]:
    """Ids of the nodes that carried edges lead to."""
    return {e.end for e in edges(node, side) if e.kind == "carried"}


def influenced(node: Node, side: Any) -> set[str]:
    return {e.end for e in edges(node, side) if e.kind == "influenced"}


def rows(p: Project, table: str, **values: Any) -> list[int]:
    found = [r["_id"] for r in p.read(table).to_dicts() if all(r[k] == v for k, v in values.items())]
    assert found, (table, values)
    return found


def one(p: Project, table: str, **values: Any) -> int:
    [found] = rows(p, table, **values)
    return int(found)


def items(node: Node, kind: str) -> list[Item]:
    return [i for i in node.thread.items.values() if i.kind == kind]


def records(node: Node) -> set[str]:
    return {i.label for i in items(node, "record")}


# ---- from a row


def test_a_row_comes_from_its_record_and_shows_its_values(orchard: Project) -> None:
    node = trace(orchard, "notes", by_id(orchard, 7))
    assert node.facts["values"] == {"id": 7, "text": "pear", "city": "Rome", "x": 3.0, "n": 1}
    assert [n.label for n in node.back] == ["data/b.csv record 1"]
    assert node.back[0].facts["sha256"]
    assert node.back[0].forward == ()


def test_a_child_comes_from_the_record_of_its_parent(orchard: Project) -> None:
    child = one(orchard, "words", text="apple")
    assert child not in set(orchard.read("notes")["_id"].to_list())
    node = trace(orchard, "words", child)
    assert "data/a.csv record 0" in records(node)
    forward = trace(orchard, "notes", by_id(orchard, 1), direction="forward")
    assert f"words:{child:032x}" in carried(forward, "forward")
    assert any(e.how.startswith("child by words") for e in edges(forward, "forward"))


def test_a_keeper_and_its_copy_know_each_other(orchard: Project) -> None:
    first, second = by_id(orchard, 1), by_id(orchard, 3)
    keeper, copy = min(first, second), max(first, second)
    assert records(trace(orchard, "tidy", keeper)) == {"data/a.csv record 0", "data/a.csv record 2"}
    node = trace(orchard, "tidy", copy)
    assert {k: node.facts[k] for k in ("state", "reason", "step")} == {
        "state": "left",
        "reason": "merged",
        "step": "drop_duplicates",
    }
    assert node.facts["into"] == f"{keeper:032x}"
    assert [n.label.split()[1] for n in node.forward] == [f"{keeper:032x}"]
    assert len(records(node)) == 1


def test_without_the_keeper_its_copy_would_return(orchard: Project) -> None:
    keeper, copy = sorted([by_id(orchard, 1), by_id(orchard, 3)])
    node = trace(orchard, "notes", keeper, direction="forward")
    said = {(e.how, e.end) for e in edges(node, "forward") if e.end.startswith("tidy/1:") and e.kind == "influenced"}
    assert said == {("without it would stay", f"tidy/1:{copy:032x}")}
    assert "tidy/1@1" in influenced(node, "forward")
    assert ("words/2@1", "words@1") in {(e.start, e.end) for e in edges(node, "forward")}, "another may get through"
    loose = trace(orchard, "notes", copy, direction="forward")
    assert "tidy/1@1" not in influenced(loose, "forward"), "a copy may go, and nothing changes"
    assert {f"tidy/1:{copy:032x}", f"tidy/1:{keeper:032x}"} <= carried(loose, "forward")


def test_a_dropped_row_says_why_where_and_from_what(orchard: Project) -> None:
    node = trace(orchard, "words", by_id(orchard, 4))
    assert {k: node.facts[k] for k in ("state", "reason", "step")} == {
        "state": "left",
        "reason": "negative",
        "step": "filter",
    }
    assert records(node) == {"data/a.csv record 3"}
    assert node.forward == ()


def test_a_group_of_one_port_has_all_its_members(orchard: Project) -> None:
    node = trace(orchard, "cities", one(orchard, "cities", city="Rome"))
    assert records(node) == {"data/a.csv record 1", "data/b.csv record 1"}


def test_a_group_of_two_ports_has_the_rows_of_both(orchard: Project) -> None:
    made = rows(orchard, "beside", city="Rome")
    assert len(made) == 2
    node = trace(orchard, "beside", made[0])
    back = carried(node, "back")
    assert {f"words:{i:032x}" for i in rows(orchard, "words", city="Rome")} <= back
    assert f"cities:{one(orchard, 'cities', city='Rome'):032x}" in back
    assert records(node) == {"data/a.csv record 1", "data/b.csv record 1"}
    forward = trace(orchard, "notes", by_id(orchard, 7), direction="forward")
    assert {f"beside:{i:032x}" for i in made} <= carried(forward, "forward")


def test_without_a_member_a_group_may_go_another_way(orchard: Project) -> None:
    """Rome has two rows and is filtered out; it would have one, and stay."""
    node = trace(orchard, "notes", by_id(orchard, 7), direction="forward")
    rome = one(orchard, "cities", city="Rome")
    assert node.thread.items[f"few:{rome:032x}"].facts["state"] == "left"
    assert not any(i.stage == "fewer" and i.kind == "row" for i in node.thread.items.values())
    assert {"few@1", "fewer@1"} <= influenced(node, "forward")


def test_rows_of_stacked_tables_come_by_their_own_port(orchard: Project) -> None:
    child = one(orchard, "words", text="apple")
    node = trace(orchard, "both", child, direction="back")
    assert {e.end.split(":")[0] for e in edges(node) if e.start.startswith("both:")} == {"words"}
    twice = one(orchard, "tidy", text="pear")
    node = trace(orchard, "both", twice, direction="back")
    assert {e.end.split(":")[0] for e in edges(node) if e.start.startswith("both:")} == {"words", "tidy"}


def test_a_whole_that_computes_is_influenced_by_all_rows(orchard: Project) -> None:
    node = trace(orchard, "ranked", by_id(orchard, 2))
    assert f"notes:{by_id(orchard, 2):032x}" in carried(node, "back")
    assert "notes@1" in influenced(node, "back")
    forward = trace(orchard, "notes", by_id(orchard, 4), direction="forward")
    assert {"ranked@1"} <= influenced(forward, "forward")
    gone = trace(orchard, "ranked", by_id(orchard, 6))
    assert (gone.facts["state"], gone.facts["reason"]) == ("left", "beyond")


def test_a_fitted_map_influences_by_the_version_that_it_saw(orchard: Project) -> None:
    row = by_id(orchard, 7)
    node = trace(orchard, "tidy", row)
    assert {"tidy/2-fill_missing@1", "tidy/1@1", "tidy/expect@1"} <= influenced(node, "back")
    saw = [e for e in edges(node) if e.start == "tidy/2-fill_missing@1"]
    assert [(e.end, e.how) for e in saw] == [("tidy/1@1", "saw")]
    forward = trace(orchard, "notes", row, direction="forward")
    assert {"tidy/2-fill_missing@1", "tidy/3@1", "tidy@1", "bayes@1", "both@1"} <= influenced(forward, "forward")


def test_carried_edges_stand_before_influenced_ones(orchard: Project) -> None:
    node = trace(orchard, "tidy", by_id(orchard, 7))
    for start in node.thread.items:
        kinds = [e.kind for side in ("back", "forward") for e in node.thread.of(side, start)]
        both = [[e.kind for e in node.thread.of(side, start)] for side in ("back", "forward")]
        assert all(k == sorted(k) for k in both), (start, kinds)


def test_a_check_that_passes_leaves_the_other_rows_alone(orchard: Project) -> None:
    node = trace(orchard, "notes", by_id(orchard, 2), direction="forward")
    assert f"after:{by_id(orchard, 2):032x}" in carried(node, "forward")
    assert "plain/expect@1" in influenced(node, "forward")
    assert "after@1" not in influenced(node, "forward")


def test_a_leak_names_the_test_rows_that_are_like_it(orchard: Project) -> None:
    left = orchard.store.frame("bayes/2", "left")
    assert left.height >= 3, "the words in two spellings never stood on two sides"
    leak = int(left["_id"][0])
    sides = {r["_id"]: r["tillage:side"] for r in orchard.store.frame("bayes/1").to_dicts()}
    text = {r["_id"]: r["text"].lower() for r in orchard.read("notes").to_dicts()}
    node = trace(orchard, "tidy", leak, direction="forward")
    entry = node.thread.items[f"bayes/2:{leak:032x}"]
    assert (entry.facts["state"], entry.facts["reason"], entry.facts["step"]) == ("left", "leak", "drop_leaks")
    [twin] = [i for i in sides if text[i] == text[leak] and i != leak]
    assert sides[twin] == "test"
    other = trace(orchard, "tidy", twin, direction="forward")
    said = {e.end: e.how for e in edges(other, "forward") if e.how.startswith("without it")}
    assert said == {f"bayes/2:{leak:032x}": "without it would stay"}
    assert "test side" in {e.how for e in edges(other, "forward") if e.end == "bayes@1"}


def test_a_model_comes_from_the_tables_it_saw_and_their_objects(orchard: Project) -> None:
    node = trace(orchard, "bayes")
    assert node.kind == "model"
    assert [n.label for n in node.back] == ["bayes/2 version 1"]
    assert {i.label for i in items(node, "object")} == {"data/a.csv", "data/b.csv", "data/c.csv"}
    assert node.forward == ()


# ---- from a record


def test_a_record_leads_to_its_row(orchard: Project) -> None:
    node = trace_record(orchard, "data/b.csv", 1)
    assert [n.label for n in node.forward] == [f"notes {by_id(orchard, 7):032x}"]
    assert f"tidy:{by_id(orchard, 7):032x}" in carried(node, "forward")


def test_a_superseded_record_names_the_one_that_is_shown(orchard: Project) -> None:
    row = by_id(orchard, 6)
    assert records(trace(orchard, "notes", row)) == {"data/a.csv record 5", "data/b.csv record 0"}
    [entry] = trace_record(orchard, "data/a.csv", 5).forward
    assert (entry.facts["state"], entry.facts["shown"]) == ("superseded", "data/b.csv record 0")
    forward = trace(orchard, "notes", row, direction="forward")
    assert {"notes@1", "words/1@1", "cities@1"} <= influenced(forward, "forward"), "the other record would show"


def test_a_quarantined_record_says_why_where_and_until_when(orchard: Project) -> None:
    [entry] = trace_record(orchard, "data/a.csv", 4).forward
    assert entry.kind == "quarantined"
    first, last = entry.facts["bytes"]
    assert A.encode()[first:last].strip() == b"5,broken"
    assert entry.facts["reason"] == "short_row"
    assert entry.facts["expires"] > "2026"
    assert "broken" not in json.dumps(entry.to_dict()), "the record itself stays sealed"


def test_a_record_that_moved_is_found_where_it_stands(changing: Project) -> None:
    path = changing.plan.root / "data/b.csv"
    path.write_text(B.replace("6,new", "8,first,Bonn,1,1\n6,new"))
    changing.run()
    node = trace_record(changing, "data/b.csv", 2)
    assert [n.label for n in node.forward] == [f"notes {by_id(changing, 7):032x}"]
    assert records(trace(changing, "notes", by_id(changing, 7))) == {"data/b.csv record 2"}
    assert [n.label for n in trace_record(changing, "data/b.csv", 0).forward] == [f"notes {by_id(changing, 8):032x}"]


def test_every_record_of_a_changed_file_is_found(changing: Project) -> None:
    path = changing.plan.root / "data/c.csv"
    head, *lines = path.read_text().splitlines()
    lines = [f"{90 + n},plum {n},Bonn,1,1" for n in range(3)] + lines[:9] + lines[20:] + ["99,fig,Bonn,1,1"]
    path.write_text("\n".join([head, *lines]) + "\n")
    changing.run(["notes"])
    for record, line in enumerate(lines):
        [row] = trace_record(changing, "data/c.csv", record, depth=1).forward
        assert row.label == f"notes {by_id(changing, int(line.split(',')[0])):032x}", (record, line)
    with pytest.raises(InputMissing):
        trace_record(changing, "data/c.csv", len(lines))


# ---- bounds


def test_what_is_not_named_is_counted(orchard: Project) -> None:
    [kiel] = rows(orchard, "cities", city="Kiel")
    whole = trace(orchard, "cities", kiel, direction="back", limit=None)
    assert len(records(whole)) == 40
    few = trace(orchard, "cities", kiel, direction="back", limit=3)
    named = [i for i in items(few, "row") if i.stage == "words"]
    assert len(named) == 3
    assert [i.facts["rows"] for i in items(few, "rows")] == [37]
    assert len(records(few)) == 3
    assert any(n.label == "words and 37 more rows of this key" for n in few.back)


def test_a_stage_that_is_cut_short_is_shaken(orchard: Project) -> None:
    node = trace(orchard, "cities", rows(orchard, "cities", city="Kiel")[0], direction="forward", limit=3)
    assert [i.facts["rows"] for i in items(node, "rows")] == [37]
    assert "beside@1" in influenced(node, "forward")


def test_depth_counts_edges(orchard: Project) -> None:
    row = by_id(orchard, 7)

    def far(depth: int | None, direction: Any) -> int:
        node = trace(orchard, "notes" if direction == "forward" else "both", row, depth=depth, direction=direction)
        reached, steps = {node.id}, 0
        while more := {e.end for e in edges(node, direction) if e.start in reached} - reached:
            reached, steps = reached | more, steps + 1
        return steps

    for direction in ("back", "forward"):
        whole = far(None, direction)
        assert whole > 4
        for depth in (1, 2, 4):
            assert far(depth, direction) == depth
        assert far(99, direction) == whole


def test_one_direction_alone(orchard: Project) -> None:
    row = by_id(orchard, 7)
    assert trace(orchard, "words", row, direction="back").forward == ()
    assert trace(orchard, "words", row, direction="forward").back == ()
    assert trace_record(orchard, "data/b.csv", 1, direction="back").forward == ()
    assert trace(orchard, "bayes", direction="forward").back == ()


def test_each_node_is_written_once(orchard: Project) -> None:
    value = trace(orchard, "both", by_id(orchard, 7)).to_dict()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    names = [n["id"] for n in value["nodes"]]
    assert len(names) == len(set(names))
    for side in ("back", "forward"):
        known = [(e["from"], e["to"], e["edge"]) for e in value[side]]
        assert len(known) == len(set(known))
        assert {end for e in value[side] for end in (e["from"], e["to"])} <= set(names)
    assert {e["to"] for side in ("back", "forward") for e in value[side]} | {value["root"]} == set(names)


def test_ways_that_meet_again_cost_no_more_nodes() -> None:
    """Thirty diamonds in a row: 2^30 ways, 91 nodes."""
    thread = Thread(Item("0", "row", "t 0"))
    for n in range(30):
        for way in "ab":
            thread.back(str(n), Item(f"{n}{way}", "row", "t x"), "carried")
            thread.back(f"{n}{way}", Item(str(n + 1), "row", "t x"), "carried")
    assert len(thread.to_dict()["nodes"]) == 91
    assert len(thread.to_dict()["back"]) == 120


# ---- versions


def test_a_gate_that_holds_rows_back_says_so(changing: Project) -> None:
    (changing.plan.root / "data/d.csv").write_text("id,text,city,x,n\n50,plum,,1,1\n")
    assert changing.run().failed == ["tidy"]
    row = by_id(changing, 50)
    node = trace(changing, "tidy", row)
    assert node.label.startswith("tidy/3 ")
    [held] = [n for n in node.forward if n.id == "tidy@1"]
    assert held.facts["state"] == "held back"
    assert held.facts["failing"] == ["city not_null"]
    assert "tidy/expect@2" in influenced(node, "forward")
    assert "bayes@1" in influenced(node, "forward"), "without the row all would be published"


def test_what_was_not_run_since_is_behind(changing: Project) -> None:
    (changing.plan.root / "data/d.csv").write_text("id,text,city,x,n\n50,plum,Bonn,1,1\n")
    changing.run(["words"])
    node = trace(changing, "notes", by_id(changing, 50), direction="forward")
    behind = {i.id: i.facts["saw"] for i in node.thread.items.values() if i.facts.get("state") == "behind"}
    assert behind["tidy/1@1"] == behind["ranked/1@1"] == "notes version 1 of 2"
    assert behind["cities@1"] == "words version 1 of 2"
    assert not {"words/1@1", "words/1@2", "words@2"} & set(behind)
    assert f"words:{by_id(changing, 50):032x}" in carried(node, "forward")
    old = trace(changing, "tidy", by_id(changing, 7))
    assert f"notes@1:{by_id(changing, 7):032x}" in carried(old, "back"), "it was made from the version before"


def test_an_older_version_is_traced_as_it_was(changing: Project) -> None:
    row = by_id(changing, 7)
    path = changing.plan.root / "data/b.csv"
    path.write_text(B.replace("7,pear,Rome,3,1\n", ""))
    changing.run()
    with pytest.raises(InputMissing, match="has left table 'tidy' since") as error:
        trace(changing, "tidy", row)
    assert f"tillage trace tidy {row:032x} --version 1" in error.value.fix
    node = trace(changing, "tidy", row, version=1)
    assert node.facts["values"]["text"] == "pear"
    assert records(node) == {"data/b.csv record 1"}
    assert f"tidy/1@1:{row:032x}" in carried(node, "back")


def test_a_version_that_is_gone_names_those_that_are_kept(changing: Project) -> None:
    for n in range(2):
        (changing.plan.root / f"data/e{n}.csv").write_text(f"id,text,city,x,n\n{60 + n},plum{n},Bonn,1,1\n")
        changing.run()
    collect(changing.store, keep=1)
    with pytest.raises(InputMissing, match="Version 1 of 'words' is not kept any more") as error:
        trace(changing, "words", by_id(changing, 7), version=1)
    assert "--version" in error.value.fix
    with pytest.raises(InputMissing, match="was never made"):
        trace(changing, "words", version=99)
    assert records(trace(changing, "words", by_id(changing, 7))) == {"data/b.csv record 1"}


def test_an_erased_row_leaves_no_thread_and_says_so(changing: Project) -> None:
    row = by_id(changing, 7)
    purge(changing.store, {s: ids([row]) for s in changing.store.stages()}, vacuum=False)
    with pytest.raises(InputMissing, match="were erased") as error:
        trace(changing, "notes", row)
    assert "tillage show notes" in error.value.fix
    assert trace(changing, "notes").facts["erased"] == 1


# ---- errors


def test_every_error_says_what_to_do(orchard: Project) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'words'"):
        trace(orchard, "wrds", 1)
    with pytest.raises(InputMissing, match="neither holds nor ever dropped") as missing:
        trace(orchard, "words", 5)
    assert "tillage show words" in missing.value.fix
    with pytest.raises(UsageError, match="is a model") as model:
        trace(orchard, "bayes", 5)
    assert "tillage trace bayes" in model.value.fix
    for wrong in (-1, 1 << 128):
        with pytest.raises(UsageError, match="128 bits"):
            trace(orchard, "words", wrong)
    for bounds in ({"depth": 0}, {"limit": 0}):
        with pytest.raises(UsageError, match="at least 1"):
            trace(orchard, "words", by_id(orchard, 7), **bounds)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Did you mean 'back'"):
        trace(orchard, "words", direction="bakc")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match=r"Did you mean 'data/a\.csv'"):
        trace_record(orchard, "data/a.cvs", 0)
    with pytest.raises(InputMissing, match=r"No table has a record 77 of data/a\.csv") as record:
        trace_record(orchard, "data/a.csv", 77)
    assert record.value.fix == "6 records were read, counted from 0."


def test_nothing_can_be_traced_before_the_first_run(tmp_path: Path) -> None:
    (tmp_path / "tillage.yaml").write_text("project: p\ntables: {a: {collect: {files: a.csv}}}\n")
    with project(tmp_path) as opened:
        with pytest.raises(InputMissing, match="has no version yet"):
            trace(opened, "a")
        with pytest.raises(InputMissing, match="No table has read a file yet"):
            trace_record(opened, "a.csv", 0)


# ---- both ways against each other


def related(node: Node, side: Any) -> set[tuple[str, str]]:
    """(row of the source, row of a table) that carried edges join, but for what a keeper took in."""
    left_out = {"back": "merged into it", "forward": "merged into"}[side]
    reached, waiting = {node.id}, [node.id]
    while waiting:
        for edge in node.thread.of(side, waiting.pop()):
            if edge.kind == "carried" and edge.how != left_out and edge.end not in reached:
                reached.add(edge.end)
                waiting.append(edge.end)
    return {(node.id, end) for end in reached}


@pytest.mark.parametrize(("kind", "plan", "seed"), [(World, WORLD_PLAN, 5), (KindsWorld, KINDS_PLAN, 6)])
def test_back_and_forward_tell_the_same(
    kind: type[World], plan: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch)
    world = kind(tmp_path, seed, plan)
    with world.open() as p:
        p.run()
        for _ in range(4):
            world.edit()
            if p.run().failed:
                pytest.fail("a gate holds this world back, so that its tables stand on different versions")
        random, tables = Random(seed), [t for t in p.plan.tables if t not in ("notes", "lines")]
        sources = random.sample(p.read("notes")["_id"].to_list(), 12)
        back: set[tuple[str, str]] = set()
        looked: set[str] = set()
        for table in tables:
            for row in random.sample(every := p.read(table)["_id"].to_list(), min(12, len(every))):
                node = trace(p, table, row, direction="back", limit=None)
                looked.add(node.id)
                back |= {(end, start) for start, end in related(node, "back")}
        begun = {f"notes:{row:032x}" for row in sources}
        forward: set[tuple[str, str]] = set()
        for row in sources:
            forward |= related(trace(p, "notes", row, direction="forward", limit=None), "forward")
    expected = {(start, end) for start, end in back if start in begun}
    assert len(expected) > 15
    assert {(start, end) for start, end in forward if end in looked} == expected


def test_any_sample_of_rows_can_be_traced_as_a_dictionary(orchard: Project) -> None:
    random = Random(3)
    for table in orchard.plan.tables:
        for row in random.sample(every := orchard.read(table)["_id"].to_list(), min(4, len(every))):
            value = trace(orchard, table, row).to_dict()
            assert value["root"].startswith(table)
            assert value["back"]
