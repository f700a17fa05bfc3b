"""Law 3: a run reads what changed, and the chunks and keys that it touches; never the rest, and nothing for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.world import KEY, World, small_chunks
from tests.laws.budget import bound, snapshot
from tests.laws.worlds import KindsWorld
from tillage.face.rooms import project
from tillage.store.index import PAGE_ROWS

EDITS = 5


@pytest.mark.parametrize(
    ("kind", "seed"),
    [(World, 51), (World, 52), (KindsWorld, 53), pytest.param(World, 54, marks=pytest.mark.nightly)],
)
def test_touched_stays_within_the_bound(
    kind: type[World], seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch)
    world = kind(tmp_path / "w", seed)
    used = allowed = read_all = 0
    with world.open() as p:
        p.run()
        before = snapshot(p, world.root)
        for _ in range(EDITS):
            edit = world.edit()
            outcome = p.run()
            after = snapshot(p, world.root)
            for table in p.plan.tables:
                most = sum(bound(p, s, before, after) for s in p.stages.values() if s.target == table)
                touched = outcome.touched.get(table, 0)
                if not any("read again" in note for note in outcome.notes):  # whole, since a column's type changed
                    assert touched <= most, (table, edit)
                used, allowed = used + touched, allowed + most
                read_all += sum(len(rows) for name, rows in after.rows.items() if name.split("/")[0] == table)
            before = after
            nothing = p.run()
            assert (nothing.changed, set(nothing.touched.values())) == ([], {0})
        assert used > 0
        print(f"{kind.__name__} {seed}: touched {used} of {allowed} allowed; reading all would be {read_all}")


PLAN = """\
project: big
tables:
  notes: {collect: {files: "data/*.csv"}, key: id}
  clean:
    from: notes
    steps:
      - normalize: {columns: [text]}
      - filter: "n >= 0"
    expect: [{column: id, not_null: true}]
  single: {from: clean, steps: [{drop_duplicates: {columns: [text]}}]}
  cities: {from: clean, steps: [{aggregate: {by: [city], columns: {rows: count(), total: sum(n)}}}]}
models:
  bayes: {learn: naive_bayes, from: clean, input: text, target: side, split: {test: 0.2}}
"""
BIG, NEW, CITIES = 60_000, 50, 600


def big_file(path: Path, start: int, rows: int) -> None:
    lines = [f"{i},text {i} of {i % 977},city{i % CITIES},{i % 7},{'ab'[i % 2]}" for i in range(start, start + rows)]
    path.write_text("\n".join(["id,text,city,n,side", *lines]) + "\n", encoding="utf-8")


def test_appending_to_a_big_table_costs_what_was_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    (tmp_path / "data").mkdir()
    (tmp_path / "tillage.yaml").write_text(PLAN, encoding="utf-8")
    big_file(tmp_path / "data" / "a.csv", 0, BIG)
    with project(tmp_path) as p:
        first = p.run()
        assert first.touched["notes"] == BIG
        big_file(tmp_path / "data" / "b.csv", BIG, NEW)
        added = p.run()
        assert added.touched["notes"] == NEW
        assert added.touched["clean"] == 2 * NEW  # the Maps, and the expectations
        for table in (
            "single",
            "cities",
            "bayes",
        ):  # an index is read by pages, and few pages are not touched by NEW keys
            assert added.touched[table] <= 3 * NEW + BIG
        nothing = p.run()
        assert (nothing.changed, set(nothing.touched.values())) == ([], {0})
        big_file(tmp_path / "data" / "b.csv", BIG, NEW - 1)
        cut = p.run()
        assert cut.touched["notes"] <= 2 * NEW
        assert cut.touched["clean"] <= 2 * NEW + 1
        for table in ("single", "cities", "bayes"):  # one key: one page of the index, and what waits to be folded in
            assert cut.touched[table] <= PAGE_ROWS + 4 * NEW
