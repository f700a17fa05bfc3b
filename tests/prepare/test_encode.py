"""Encode against scikit-learn's encoders and plain counting."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from tillage.core import ConfigurationError
from tillage.prepare import Encode, Encoded


def learn(rows: pl.DataFrame, *columns: str, cut: int = 0, **given: Any) -> Encoded:
    step = Encode.model_validate({"columns": columns, **given})
    first, second = (step.update(step.start(), part) for part in (rows[:cut], rows[cut:]))
    return step.finish(step.merge(second, first))


words = st.lists(st.sampled_from(["a", "b", "c", "Ulm", "\u5317\u4eac", ""]), min_size=1, max_size=25)


@settings(max_examples=100, deadline=None)
@given(seen=words, later=words, cut=st.integers(0, 25))
def test_one_hot_as_scikit_learn_does(seen: list[str], later: list[str], cut: int) -> None:
    rows = pl.DataFrame({"c": seen})
    out = learn(rows, "c", cut=cut, other="nothing").apply(pl.DataFrame({"c": later}))
    peer = OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit([[v] for v in seen])
    assert out.columns == [f"c_{v}" for v in peer.categories_[0]]
    assert out.rows() == [tuple(map(int, row)) for row in peer.transform([[v] for v in later])]
    assert set(out.dtypes) == {pl.Int8}


@settings(max_examples=60, deadline=None)
@given(seen=words, later=words, limit=st.integers(1, 4))
def test_ordinal_as_scikit_learn_does_with_a_limit(seen: list[str], later: list[str], limit: int) -> None:
    ranked = sorted(Counter(seen).items(), key=lambda item: (-item[1], item[0]))
    listed = sorted(value for value, _ in ranked[:limit])
    peer = OrdinalEncoder(categories=[listed], handle_unknown="use_encoded_value", unknown_value=-1).fit([[listed[0]]])
    out = learn(pl.DataFrame({"c": seen}), "c", limit=limit, as_="ordinal").apply(pl.DataFrame({"c": later}))
    assert out["c"].to_list() == [int(row[0]) for row in peer.transform([[v] for v in later])]


def test_each_row_is_in_one_category_unless_null() -> None:
    rows = pl.DataFrame({"c": ["a", "b", "b", "c", None, "other"]})
    out = learn(rows, "c", limit=2).apply(rows)
    assert out.columns == ["c_a", "c_b", "c_other"]
    assert out.rows() == [(1, 0, 0), (0, 1, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0), (0, 0, 1)]
    assert learn(rows, "c").apply(rows).row(5) == (0, 0, 0, 1)  # a value that is called other is one of the others
    rare = learn(rows, "c", min_count=2).apply(rows)
    assert rare.columns == ["c_b", "c_other"]
    codes = learn(rows, "c", limit=2, other="nothing", as_="ordinal").apply(rows)["c"].to_list()
    assert codes == [0, 1, 1, None, None, None]
    assert learn(rows, "c", limit=2, as_="ordinal").apply(rows)["c"].to_list() == [0, 1, 1, -1, None, -1]


def test_a_row_whose_value_is_not_listed_may_leave() -> None:
    rows = pl.DataFrame({"c": ["a", "b", None, "z"], "d": ["x", "y", "x", "x"]})
    fitted = learn(rows[:2], "c", "d", other="leave", order={"d": ["x"]})
    out = fitted.apply(rows)
    assert out["_reason"].to_list() == [None, "other_category", None, "other_category"]
    assert out.columns == ["_reason", "c_a", "c_b", "d_x"]


def test_types_and_orders() -> None:
    rows = pl.DataFrame({"n": [10, 9, -2, 9], "b": [True, False, None, True]}).with_columns(
        d=pl.Series([dt.date(2024, 2, 1), dt.date(2023, 5, 5), None, None])
    )
    assert learn(rows, "n", "b", "d").apply(rows).columns == [
        "n_-2", "n_9", "n_10", "n_other", "b_false", "b_true", "b_other", "d_2023-05-05", "d_2024-02-01", "d_other",
    ]  # fmt: skip
    sizes = pl.DataFrame({"s": ["L", "S", "M", "XL"]})
    codes = learn(sizes, "s", order={"s": ["S", "M", "L"]}, as_="ordinal").apply(sizes)
    assert codes["s"].to_list() == [2, 0, 1, -1]
    assert learn(sizes, "s", limit=1, order={"s": ["S", "M"]}).apply(sizes).columns == ["s_S", "s_M", "s_other"]


def test_nothing_to_learn_from(nothing: pl.DataFrame, empty: pl.DataFrame) -> None:
    for frame in (nothing, empty):
        fitted = learn(frame, "city")
        assert fitted.state["columns"] == {"city": []}
        out = fitted.apply(pl.DataFrame({"city": ["x", None]}))
        assert out.rows() == [(1,), (0,)]
        assert fitted.apply(frame)["city_other"].dtype == pl.Int8
        assert learn(frame, "city", as_="ordinal").apply(frame)["city"].dtype == pl.Int64


def test_complaints(rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="Column 'x' holds Float64, and encode cannot learn from that"):
        learn(rows, "x")
    with pytest.raises(ConfigurationError, match=r"makes a column 'city_y', and there is one of that name"):
        learn(rows, "city").apply(rows.with_columns(city_y=1))
    with pytest.raises(ConfigurationError, match=r"makes a column 'a_b_c'"):
        learn(pl.DataFrame({"a": ["b_c"], "a_b": ["c"]}), "a", "a_b").apply(pl.DataFrame({"a": ["b_c"], "a_b": ["c"]}))
    with pytest.raises(ConfigurationError, match="Did you mean 'city'"):
        learn(rows, "citi")
    with pytest.raises(ValidationError, match="not among 'columns'"):
        Encode(columns=("city",), order={"town": ("a",)})
    with pytest.raises(ValidationError, match="each once"):
        Encode(columns=("city",), order={"city": ("a", "a")})
    step = Encode.example()
    assert Encode.model_validate(step.params()) == step
