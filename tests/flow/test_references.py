"""Expectations that look beside their own rows: at another table, and at an earlier version of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.flow.world import KEY, PLAN, World, differences, digests, small_chunks
from tillage.core.errors import ConfigurationError
from tillage.core.state import decode
from tillage.core.step import Verdict
from tillage.face.rooms import project, registry
from tillage.flow.configuration import parse
from tillage.flow.planner import intents
from tillage.flow.results import RESULT, STATE, TOTAL, load_result
from tillage.flow.run import Project
from tillage.govern.references import ReferencedValues
from tillage.promises import forget
from tillage.store.gc import collect
from tillage.store.verify import verify

SHOP = """\
project: shop
tables:
  customers: {collect: {files: "customers/*.csv"}, key: id}
  orders:
    collect: {files: "orders/*.csv"}
    key: id
    expect:
      - {column: customer, references: customers.id}
      - {column: parent, references: orders.id}
  open: {from: orders, steps: [{filter: "amount > 0"}]}
"""

DRIFT = """\
project: shop
tables:
  orders:
    collect: {files: "orders/*.csv"}
    key: id
    expect:
      - {column: amount, max: 1000}
      - {column: amount, drift: {from_version: 2, by: ks, limit: 0.3}}
"""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)


def write(root: Path, name: str, *lines: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def shop(root: Path, plan: str = SHOP) -> Path:
    (root / "tillage.yaml").write_text(plan, encoding="utf-8")
    write(root, "customers/a.csv", "id,name", "1,Ann", "2,Bo", "3,Cy")
    write(root, "orders/a.csv", "id,customer,parent,amount", "10,1,,5", "11,2,10,6", "12,,10,7")
    return root


def verdicts(p: Project, table: str) -> tuple[Verdict, ...]:
    found = load_result(p.store, f"{table}/expect", p.registry)
    assert isinstance(found, tuple)
    return found


REFERRING = PLAN.replace(
    "      - {column: id, not_null: true}\n",
    "      - {column: n, references: lines.n, at_least: 0}\n"
    "      - {column: double, references: clean.n, at_least: 0}\n"
    "      - {references: {table: lines, columns: {n: n, text: text}}, at_least: 0}\n",
)


@pytest.mark.parametrize("seed", range(3))
def test_update_equals_rebuild(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path, seed, REFERRING)
    measured = set()
    with world.open() as kept:
        kept.run()
        for n in range(5):
            edits = [world.edit() for _ in range(world.random.randint(1, 2))]
            if n % 2:
                world.write_lines("l0.jsonl")
            outcome = kept.run()
            with world.open(f"rebuild{n}") as fresh:
                fresh.run()
                assert differences(digests(kept, outcome), digests(fresh)) == [], (n, edits)
                assert verdicts(kept, "clean") == verdicts(fresh, "clean"), (n, edits)
            measured |= {v.measured for v in verdicts(kept, "clean")}
            assert not verify(kept.store).findings, (n, edits)
            again = kept.run()
            assert again.changed == [], (n, edits)
            assert set(again.touched.values()) <= {0}
            assert not any(i.runs for i in intents(kept)), (n, edits)
    assert len(measured) > 3, "the edits moved them"


def test_the_gate_is_judged_again_when_either_table_changes(tmp_path: Path) -> None:
    with project(shop(tmp_path)) as p:
        assert p.run().failed == []
        write(tmp_path, "customers/a.csv", "id,name", "2,Bo", "3,Cy")
        assert [i.target for i in intents(p) if i.runs and i.kind == "gate"] == ["orders"]
        outcome = p.run()
        assert outcome.failed == ["orders"]
        assert "1 of 2 rows with 'customer' has no counterpart in 'customers.id'" in str(outcome.checks)
        assert "'1'" in str(outcome.checks)
        assert set(p.read("orders")["id"].to_list()) == {10, 11, 12}, "the last version stays"
        again = p.run()
        assert (again.failed, again.changed, set(again.touched.values())) == (["orders"], [], {0})
        write(tmp_path, "orders/a.csv", "id,customer,parent,amount", "11,2,,6", "13,3,11,0")
        assert p.run().failed == []
        assert p.read("open")["id"].to_list() == [11]
        write(tmp_path, "orders/a.csv", "id,customer,parent,amount", "13,3,11,0")
        assert p.run().failed == ["orders"], "a table that refers to itself"
        write(tmp_path, "orders/b.csv", "id,customer,parent,amount", "11,4,,6")
        write(tmp_path, "customers/b.csv", "id,name", "4,Di")
        assert p.run(["orders"]).failed == [], "what it refers to is brought up to date with it"
        assert not verify(p.store).findings


def test_a_table_that_is_held_back_holds_back_what_refers_to_it(tmp_path: Path) -> None:
    plan = SHOP.replace('customers/*.csv"}, key: id}', 'customers/*.csv"}, key: id, expect: [{rows: {max: 3}}]}')
    with project(shop(tmp_path, plan)) as p:
        p.run()
        write(tmp_path, "customers/b.csv", "id,name", "4,Di")
        write(tmp_path, "orders/b.csv", "id,customer,parent,amount", "14,4,,6")
        assert p.run().failed == ["customers"]
        assert 14 not in p.read("orders")["id"].to_list()


def test_a_change_costs_the_chunks_that_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    shop(tmp_path)
    write(tmp_path, "orders/big.csv", "id,customer,parent,amount", *(f"{n},1,,5" for n in range(100, 400)))
    with project(tmp_path) as p:
        p.run()
        write(tmp_path, "customers/b.csv", "id,name", "4,Di")
        outcome = p.run()
        assert outcome.touched["orders"] <= 2, "no order is read again"
        assert "orders/expect" in outcome.changed


def hashes(p: Project, stage: str) -> set[int]:
    """The hashes that any state or result of a stage holds, of all versions that are kept."""
    found: set[int] = set()
    for part in (STATE, TOTAL, RESULT):
        for chunk in p.store.every_chunk(stage, part):
            value: Any = decode(p.store.objects.get(chunk.object, chunk.checksum))
            found |= set((value.get("numbers") or value)["hashes"].tolist())
    return found


def hash_of(value: int) -> int:
    step = ReferencedValues(table="customers", columns=("id",))
    return int(step.update(step.start(), pl.DataFrame({"id": [value]}))["hashes"][0])


def test_forgetting_a_row_that_is_referred_to(tmp_path: Path) -> None:
    with project(shop(tmp_path)) as p:
        p.run()
        before = len(p.store.versions("orders/expect"))
        assert hash_of(1) in hashes(p, "orders/beside-1")
        forget(p, "customers", key=["1"])
        assert hashes(p, "orders/beside-1") == {hash_of(2), hash_of(3)}
        assert "such as '1'" in verdicts(p, "orders")[0].why, "the order is still there, and says whose it is"
        assert len(p.store.versions("orders/expect")) > before
        old = [v for v in p.store.versions("orders/expect")[:before] if "erased" not in v.facts]
        assert old == [], "verdicts that were judged by the row are gone"
        outcome = p.run()
        assert (outcome.failed, outcome.changed) == (["orders"], [])
        assert not verify(p.store).findings


def test_forgetting_a_row_that_a_verdict_names(tmp_path: Path) -> None:
    with project(shop(tmp_path)) as p:
        p.run()
        write(tmp_path, "orders/b.csv", "id,customer,parent,amount", "14,4711,,6")
        write(tmp_path, "customers/b.csv", "id,name", "4711,Di")
        p.run()
        (tmp_path / "customers/b.csv").unlink()
        assert p.run().failed == ["orders"]
        assert "4711" in verdicts(p, "orders")[0].why
        forget(p, "orders", key=["14"])
        assert "4711" not in str(verdicts(p, "orders"))
        raw = [p.store.objects.get(c.object, c.checksum) for c in p.store.every_chunk("orders/expect", RESULT)]
        assert not any(b"4711" in data for data in raw)
        assert p.run().failed == []
        assert not verify(p.store).findings


def wrong(plan: str, tmp_path: Path) -> list[tuple[int, int, str]]:
    with pytest.raises(ConfigurationError) as caught:
        parse(plan, tmp_path, registry())
    return [(p.line, p.column, p.message) for p in caught.value.problems]


def test_what_is_wrong_is_said_with_its_place(tmp_path: Path) -> None:
    assert wrong(SHOP.replace("customers.id", "custmers.id"), tmp_path) == [
        (8, 40, "'references' of table 'orders': no table is called 'custmers'. Did you mean 'customers'?")
    ]
    ((line, column, said),) = wrong(SHOP.replace("customers.id", "customers"), tmp_path)
    assert (line, column) == (8, 40)
    assert "write TABLE.COLUMN" in said
    round_ = SHOP.replace(
        'customers/*.csv"}, key: id}', 'customers/*.csv"}, expect: [{column: last, references: open.id}]}'
    )
    ((line, _, said),) = wrong(round_, tmp_path)
    assert line == 3
    assert said == (
        "Tables are made from each other, or refer to each other, in a circle: "
        "customers <- open <- orders <- customers."
    )
    ((line, column, _),) = wrong(DRIFT.replace("from_version: 2", "from_version: 0"), tmp_path)
    assert (line, column) == (8, 48)


def test_a_column_that_the_other_table_does_not_have(tmp_path: Path) -> None:
    with project(shop(tmp_path, SHOP.replace("customers.id", "customers.idd"))) as p:
        with pytest.raises(ConfigurationError, match=r"8:40 .*'customers' has no column 'idd'. Did you mean 'id'"):
            p.check(look=True)
        with pytest.raises(ConfigurationError, match="'customers': No column is called 'idd'"):
            p.run()


def test_a_table_that_python_names_and_there_is_not(tmp_path: Path) -> None:
    plan = parse(SHOP, tmp_path, registry())
    less = plan.model_copy(update={"tables": {n: t for n, t in plan.tables.items() if n != "customers"}})
    with pytest.raises(ConfigurationError, match="name 'customers', which is no table"):
        Project(less, registry())


# -- drift from an earlier version -----------------------------------------------------------------------------------


def amounts(root: Path, name: str, first: int, *values: float) -> None:
    write(root, f"orders/{name}", "id,amount", *(f"{first + n},{v}" for n, v in enumerate(values)))


def drifting(root: Path) -> None:
    """Two versions: of the amounts 1 to 10, and of 1 to 20."""
    (root / "tillage.yaml").write_text(DRIFT.partition("      - {column: amount, drift")[0], encoding="utf-8")
    amounts(root, "a.csv", 0, *range(1, 11))
    with project(root) as p:
        p.run()
        amounts(root, "b.csv", 100, *range(11, 21))
        p.run()
    (root / "tillage.yaml").write_text(DRIFT, encoding="utf-8")


def test_drift_is_measured_from_the_version_that_the_plan_names(tmp_path: Path) -> None:
    drifting(tmp_path)
    with project(tmp_path) as p:
        assert p.run().failed == []
        assert verdicts(p, "orders")[1].measured == 0
        amounts(tmp_path, "c.csv", 200, *range(21, 26))
        assert p.run().failed == []
        found = verdicts(p, "orders")[1]
        assert found.measured == pytest.approx(5 / 25)
        assert "25 rows against 20 of version 2" in found.why
        collect(p.store, keep=1)
        amounts(tmp_path, "d.csv", 300, *range(26, 31))
        assert p.run().failed == ["orders"]
        assert verdicts(p, "orders")[1].measured == pytest.approx(10 / 30), "of version 2 still"
        again = p.run()
        assert (again.changed, set(again.touched.values())) == ([], {0})
        p.run(refit=["orders"])
        assert verdicts(p, "orders")[1].measured == pytest.approx(10 / 30), "a refit moves no comparison"
        (tmp_path / "tillage.yaml").write_text(DRIFT.replace("from_version: 2", "from_version: 4"), encoding="utf-8")
    with project(tmp_path) as p:
        assert p.run().failed == []
        assert verdicts(p, "orders")[1].measured == pytest.approx(5 / 30)
        assert not verify(p.store).findings


def test_a_version_that_is_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    drifting(tmp_path)
    (tmp_path / "tillage.yaml").write_text(DRIFT.replace("from_version: 2", "from_version: 7"), encoding="utf-8")
    said = "8:48  'from_version' of table 'orders': version 7 of 'orders' is not there; there are versions 1 and 2"
    with project(tmp_path) as p:
        with pytest.raises(ConfigurationError, match=said) as caught:
            p.check()
        assert "from_version" in str(caught.value.fix)
        with pytest.raises(ConfigurationError, match=said):
            p.run()


def test_the_first_version_is_the_one_that_was_published(tmp_path: Path) -> None:
    plan = DRIFT.replace("from_version: 2", "from_version: 1")
    (tmp_path / "tillage.yaml").write_text(plan, encoding="utf-8")
    amounts(tmp_path, "a.csv", 0, *range(1, 11), 5000)
    with project(tmp_path) as p:
        assert p.run().failed == ["orders"]
        amounts(tmp_path, "a.csv", 0, *range(1, 11))
        assert p.run().failed == []
        p.run()
        amounts(tmp_path, "b.csv", 100, 11, 12)
        p.run()
        assert "12 rows against 10 of version 1" in verdicts(p, "orders")[1].why
        assert p.run().changed == []


def test_forgetting_a_row_of_the_earlier_version(tmp_path: Path) -> None:
    drifting(tmp_path)
    with project(tmp_path) as p:
        p.run()
        amounts(tmp_path, "c.csv", 200, *range(21, 26))
        p.run()
        forget(p, "orders", key=["109"])  # the amount 20
        found = verdicts(p, "orders")[1]
        assert "24 rows against 19 of version 2" in found.why
        assert found.measured == pytest.approx(5 / 24)
        outcome = p.run()
        assert (outcome.failed, outcome.changed) == ([], [])
        assert not verify(p.store).findings
