"""Law 10: what a row is given comes from nothing later than the row itself, taken at once or as rows arrive.

Steps that know a time are found by discovery: a Group with a parameter `time` or `as_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings

from tests.flow.world import World, small_chunks, update_equals_rebuild
from tests.laws.frames import frames, reference
from tillage.core.keys import hash_text
from tillage.core.step import Group
from tillage.face.rooms import registry
from tillage.prepare import Join, Window

STEPS: dict[str, Group] = {"join": Join.example(), "window": Window.example()}
FOUND = {
    name
    for name in registry().names()
    if issubclass(cls := registry().find(name), Group) and {"time", "as_of"} & set(cls.model_fields)
}


def test_every_step_that_knows_a_time_is_faced() -> None:
    assert set(STEPS) == FOUND


def times(step: Group) -> dict[str, str]:
    """Port to the column that says when its rows happened."""
    if isinstance(step, Join):
        assert step.as_of is not None
        return {"left": step.as_of, "right": step.right_as_of or step.as_of}
    assert isinstance(step, Window)
    return {"rows": step.time}


def made(step: Group, ports: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    return step.apply({p: f.with_columns(hash_text(f, step.key(f, p)).alias("_key")) for p, f in ports.items()})


@pytest.mark.parametrize("name", STEPS)
def test_what_is_later_does_not_show(name: str) -> None:
    step, by = STEPS[name], times(STEPS[name])
    first = next(iter(by.values()))

    @settings(max_examples=40, deadline=None)
    @given(rows=frames())
    @example(rows=reference())
    def law(rows: pl.DataFrame) -> None:
        whole = made(step, dict.fromkeys(by, rows))
        for now in rows[first].unique():
            known = {port: rows.filter(pl.col(time) <= now) for port, time in by.items()}
            early = made(step, known)
            until = whole.filter(pl.col(first) <= now)
            columns = early.columns
            assert until.sort(columns).equals(early.sort(columns)), now

    law()


PLAN = """\
project: time
tables:
  notes: {collect: {files: "data/*.csv"}, key: id, max_quarantine: 1}
  prices: {from: notes, steps: [{filter: "n < 3"}, {select: {columns: [city, n, x]}}]}
  seen:
    from: notes
    steps:
      - window: {by: [city], time: id, columns: {last: "lag(text, 1)", total: "sum(x, 9)", most: "max(n, 3 rows)"}}
      - filter: "total < 1000"
  priced: {from: {left: notes, right: prices}, steps: [{join: {on: [city], as_of: id, right_as_of: n, within: "40"}}]}
  pairs: {from: {left: notes, right: prices}, steps: [{join: {on: [city], how: inner, take: [x]}}]}
"""


@pytest.mark.parametrize("seed", [0, 2])
def test_as_rows_arrive_it_is_what_a_rebuild_gives(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", seed, PLAN)
    update_equals_rebuild(world, 4)


def test_rows_of_later_days_leave_the_earlier_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    world = World(tmp_path / "w", 1, PLAN)
    (tmp_path / "w" / "data").joinpath("base.csv").unlink()
    with world.open() as project:
        project.run()
        before = rows_of(project, "seen")
        world.write_rows(tmp_path / "w" / "data" / "later.csv", [[str(n), "late", "Ulm", "9", "4"] for n in (900, 901)])
        project.run()
        after = rows_of(project, "seen")
    assert len(before) > 4
    assert [row for row in after if row["id"] < 900] == before
    assert [row["last"] for row in after if row["id"] == 901] == ["late"]


def rows_of(project: Any, table: str) -> list[dict[str, Any]]:
    rows = project.store.frame(table).sort("id")
    return rows.select(c for c in rows.columns if not c.startswith("_")).to_dicts()  # type: ignore[no-any-return]
