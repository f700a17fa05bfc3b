"""A row that stands twice in a stack: shown as it is, and refused where rows are told apart by their id."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.flow.test_changes_of_shape import Folder
from tests.flow.world import KEY
from tillage.core.errors import ConfigurationError
from tillage.flow.stacking import common_shape

PLAN = """\
project: stacks
tables:
  s: {{collect: {{files: "data/*.csv"}}, key: id}}
  a: {{from: s, steps: [{{filter: "x < 3"}}]}}
  b: {{from: s, steps: [{{filter: "x >= {least}"}}]}}
  ab: {{from: [a, b]}}
  last: {{from: ab, steps: [{last}]}}
"""
AGGREGATE = "{aggregate: {by: [y], columns: {n: count()}}}"
DUPLICATES = "{drop_duplicates: {columns: [t]}}"
ROWS = "id,x,t,y\n" + "".join(f"{n},{n},t{n},p\n" for n in range(5))


@pytest.fixture(autouse=True)
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)


def folder(tmp_path: Path, least: int, last: str) -> Folder:
    made = Folder(tmp_path / "f", PLAN.format(least=least, last=last))
    made.write("data/a.csv", ROWS)
    return made


def test_integers_that_could_not_be_told_apart_are_not_stacked() -> None:
    """2^63 and more has no Int64: a step of a project may make such a column."""
    signed = {"a": pl.Schema({"n": pl.Int8()}), "b": pl.Schema({"n": pl.Int64()})}
    assert common_shape(signed, "both") == {"n": pl.Int64()}
    with pytest.raises(ConfigurationError, match="'n' is Int8 in 'a', UInt64 in 'b'"):
        common_shape({**signed, "b": pl.Schema({"n": pl.UInt64()})}, "both")


@pytest.mark.parametrize("last", [AGGREGATE, DUPLICATES])
def test_a_row_in_both_tables_is_refused_where_it_would_count_twice(tmp_path: Path, last: str) -> None:
    made = folder(tmp_path, 2, last)
    with pytest.raises(ConfigurationError, match="'last' looks across rows of 'a' and 'b' together, and 1 of the rows"):
        made.run()


@pytest.mark.parametrize("last", [AGGREGATE, DUPLICATES])
def test_tables_of_one_source_that_share_no_row_follow_every_change(tmp_path: Path, last: str) -> None:
    made = folder(tmp_path, 3, last)
    made.same_as_a_rebuild()
    made.write("data/b.csv", ROWS.replace("\n", "\n1", 5))
    made.same_as_a_rebuild()
    made.write("data/a.csv", "id,x,t,y\n0,4,t0,p\n1,1,t1,q\n")
    made.same_as_a_rebuild()


@pytest.mark.parametrize("last", [AGGREGATE, DUPLICATES])
def test_a_refused_plan_that_is_mended_gives_a_rebuild(tmp_path: Path, last: str) -> None:
    made = folder(tmp_path, 3, last)
    before = made.run()
    made.write("tillage.yaml", PLAN.format(least=2, last=last))
    with pytest.raises(ConfigurationError, match="stand in both"):
        made.run()
    made.write("tillage.yaml", PLAN.format(least=3, last=last))
    after = made.same_as_a_rebuild()
    assert after["tables"]["last"] == before["tables"]["last"]


def test_a_plain_stack_shows_such_a_row_twice(tmp_path: Path) -> None:
    made = folder(tmp_path, 2, '{filter: "x >= 0"}')
    made.same_as_a_rebuild()
    with made.open() as p:
        assert p.read("ab")["id"].sort().to_list() == [0, 1, 2, 2, 3, 4]
