"""Select, Drop, Rename, Derive, Filter."""

from __future__ import annotations

import math

import polars as pl
import pytest
from pydantic import ValidationError

from tillage.core import ConfigurationError, Map
from tillage.prepare import Derive, Drop, Filter, Normalize, Rename, Select


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


@pytest.mark.parametrize("where", ["n > 0", "n is null", "n > 0 or n is null", "true", "false", "null"])
@pytest.mark.parametrize("numbers", [[], [1], [0], [None], [1, 2], [1, 0, None], [0, 0], [None, None]])
def test_a_filter_marks_what_the_condition_says(where: str, numbers: list[int | None]) -> None:
    held = {
        "n > 0": [n is not None and n > 0 for n in numbers],
        "n is null": [n is None for n in numbers],
        "n > 0 or n is null": [n is None or n > 0 for n in numbers],
        "true": [True for _ in numbers],
    }.get(where, [False for _ in numbers])
    rows = pl.DataFrame({"_id": range(len(numbers)), "n": numbers}, schema={"_id": pl.UInt128, "n": pl.Int64})
    step = Filter(where=where, reason="odd")
    marked = step.apply(rows)
    assert marked["_reason"].to_list() == [None if stays else "odd" for stays in held]
    assert marked.schema["_reason"] == pl.String
    assert marked.drop("_reason").equals(rows)
    before = pl.Series("_reason", ["gone" if at % 2 else None for at in range(len(numbers))], dtype=pl.String)
    again = step.apply(rows.with_columns(before))["_reason"].to_list()
    assert again == [b or (None if stays else "odd") for b, stays in zip(before, held, strict=True)]


def test_few_texts_and_many_are_normalized_alike() -> None:
    odd = ["fine", "two  spaces", " end", "end ", "é", "e\u0301", "ﬁ", "line\n", "\n", "", None, "\x7f", "~ -"]
    many = Normalize().apply(pl.DataFrame({"t": odd * 20}))["t"].to_list()
    few = [Normalize().apply(pl.DataFrame({"t": [text]}, schema={"t": pl.String})).item() for text in odd]
    assert few == many[: len(odd)]
