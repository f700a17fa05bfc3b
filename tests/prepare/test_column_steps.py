"""Select, Drop, Rename, Derive, Filter."""

from __future__ import annotations

import math

import polars as pl
import pytest
from pydantic import ValidationError

from tillage.core import ConfigurationError, Map
from tillage.prepare import Derive, Drop, Filter, Rename, Select


def test_select_keeps_order_and_reserved(rows: pl.DataFrame) -> None:
    out = Select(columns=("day", "id", "day")).apply(rows.with_columns(_parent=pl.col("_id")))
    assert out.columns == ["_id", "_parent", "day", "id"]
    assert out["id"].to_list() == [1, 2, 3, 4, 5, 6]


def test_drop(rows: pl.DataFrame) -> None:
    assert Drop(columns=("x", "n")).apply(rows).columns == ["_id", "id", "text", "city", "day"]


def test_rename_swaps_and_refuses_two_of_a_name(rows: pl.DataFrame) -> None:
    out = Rename(columns={"city": "day", "day": "city"}).apply(rows)
    assert out["day"].to_list() == rows["city"].to_list()
    assert out["city"].to_list() == rows["day"].to_list()
    assert out.columns == ["_id", "id", "text", "day", "x", "n", "city"]
    with pytest.raises(ConfigurationError, match="two columns would be called 'day'"):
        Rename(columns={"city": "day"}).apply(rows)


@pytest.mark.parametrize(
    "step",
    [Select(columns=("txt",)), Drop(columns=("txt",)), Rename(columns={"txt": "t"}), Filter(where="txt = 'a'"),
     Derive(columns={"t": "lower(txt)"})],
    ids=lambda s: s.name(),
)  # fmt: skip
def test_a_missing_column_is_named_with_the_nearest(step: Map, rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match=r"'txt'. Did you mean 'text'"):
        step.apply(rows)
    assert step.needs() == ("txt",)


@pytest.mark.parametrize("cls", [Select, Drop, Rename, Derive, Filter])
def test_hostile_frames(cls: type[Select], rows: pl.DataFrame, empty: pl.DataFrame, nothing: pl.DataFrame) -> None:
    step = cls.example()
    assert step.apply(empty).height == 0
    assert step.apply(empty).schema == step.apply(rows).schema
    assert step.apply(nothing)["_id"].to_list() == rows["_id"].to_list()


@pytest.mark.parametrize("name", ["_id", "_x", ""])
def test_reserved_names_cannot_be_given(name: str) -> None:
    with pytest.raises(ValidationError):
        Derive(columns={name: "1"})
    with pytest.raises(ValidationError):
        Rename(columns={"a": name})


def test_derive_sees_the_input_only(rows: pl.DataFrame) -> None:
    out = Derive(columns={"n": "n + 1", "m": "n * 10"}).apply(rows)
    assert out["m"].to_list() == [10 * n for n in rows["n"]]
    assert out["n"].to_list() == [n + 1 for n in rows["n"]]
    assert out.columns == [*rows.columns, "m"]


def test_derive_of_a_literal_has_a_value_a_row(rows: pl.DataFrame) -> None:
    assert Derive(columns={"one": "1"}).apply(rows)["one"].to_list() == [1] * 6


def test_filter_marks_what_is_not_true(rows: pl.DataFrame) -> None:
    out = Filter(where="x >= 0.5", reason="low").apply(rows)
    expected = [None if v is not None and (math.isnan(v) or v >= 0.5) else "low" for v in rows["x"]]
    assert out["_reason"].to_list() == expected  # NaN is the largest number here, as in PostgreSQL
    assert out.drop("_reason").equals(rows)


def test_filter_by_literal_and_after_another_reason(rows: pl.DataFrame) -> None:
    first = Filter(where="n > 0", reason="one").apply(rows)
    assert Filter(where="false", reason="two").apply(first)["_reason"].to_list() == [
        "two", "one", "one", "two", "two", "two",
    ]  # fmt: skip


def test_conditions_are_checked_when_the_step_is_made(rows: pl.DataFrame) -> None:
    with pytest.raises((ValidationError, ConfigurationError)):
        Filter(where="n >")
    with pytest.raises((ValidationError, ConfigurationError)):
        Filter(where="1 + 2")
    with pytest.raises(ConfigurationError, match="text"):
        Filter(where="city > 5").apply(rows)
    with pytest.raises(ConfigurationError, match="No column is called '_id'"):
        Derive(columns={"leak": "_id"}).apply(rows)
