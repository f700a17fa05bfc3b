"""Bin against scikit-learn's KBinsDiscretizer and numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.preprocessing import KBinsDiscretizer

from tillage.core import ConfigurationError
from tillage.prepare import Bin, Binned
from tillage.prepare.bin import range_names


def learn(rows: pl.DataFrame, *columns: str, cut: int = 0, **given: Any) -> Binned:
    step = Bin.model_validate({"columns": columns, **given})
    first, second = (step.update(step.start(), part) for part in (rows[:cut], rows[cut:]))
    return step.finish(step.merge(second, first))


@settings(max_examples=120, deadline=None)
@given(
    values=st.lists(st.integers(-10_000, 10_000), min_size=2, max_size=40),
    later=st.lists(st.integers(-20_000, 20_000), max_size=10),
    bins=st.sampled_from([2, 4, 8]),
    way=st.sampled_from(["width", "quantile"]),
    cut=st.integers(0, 40),
)
def test_as_scikit_learn_does(values: list[int], later: list[int], bins: int, way: str, cut: int) -> None:
    """Powers of two, so that no rounding of an edge decides."""
    fitted = learn(pl.DataFrame({"n": values}), "n", bins=bins, cut=cut, with_=way)
    inner: Any
    if way == "width":
        inner = np.linspace(min(values), max(values), bins + 1)[1:-1] if min(values) < max(values) else []
    else:
        inner = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    assert fitted.state["columns"]["n"] == pytest.approx(list(inner))
    got = fitted.apply(pl.DataFrame({"n": values + later}, schema={"n": pl.Int64}))["n"].to_list()
    assert got == np.searchsorted(np.array(fitted.state["columns"]["n"]), values + later, side="right").tolist()
    if len(set(values)) > 2 * bins and len(set(inner)) == bins - 1:
        strategy = {"width": "uniform", "quantile": "quantile"}[way]
        options = {"quantile_method": "linear"} if way == "quantile" else {}
        peer = KBinsDiscretizer(bins, encode="ordinal", strategy=strategy, subsample=None, **options)
        assert got[: len(values)] == peer.fit_transform([[float(v)] for v in values])[:, 0].astype(int).tolist()


def test_given_edges_and_names() -> None:
    ages = pl.DataFrame({"age": [-math.inf, 0.0, 17.9, 18.0, 64.5, 65.0, math.inf, math.nan, None]})
    numbers = learn(ages, "age", edges=[18, 64.5]).apply(ages)["age"]
    assert numbers.to_list() == [0, 0, 0, 1, 2, 2, 2, None, None]
    names = learn(ages, "age", edges=[18, 64.5], labels="range").apply(ages)["age"]
    assert names.to_list() == [*["below 18"] * 3, "18 to 64.5", *["64.5 and above"] * 3, None, None]


def test_names_of_ranges_differ() -> None:
    assert range_names([-1 / 3, 2e6, 1e20]) == [
        "below -0.333333", "-0.333333 to 2e+06", "2e+06 to 1e+20", "1e+20 and above",
    ]  # fmt: skip
    assert range_names([1.0000001, 1.0000002])[1] == "1.0000001 to 1.0000002"
    assert range_names([]) == ["any"]


def test_ranges_of_equally_many_rows() -> None:
    rows = pl.DataFrame({"x": [float(i * i) for i in range(100)]})
    counts = learn(rows, "x", bins=4, with_="quantile").apply(rows)["x"].value_counts(sort=True)
    assert counts["count"].to_list() == [25] * 4
    skewed = pl.DataFrame({"x": [0.0] * 90 + [1.0] * 10})
    assert learn(skewed, "x", bins=4, with_="quantile").state["columns"]["x"] == [0.0]


def test_one_value_or_none(nothing: pl.DataFrame, empty: pl.DataFrame) -> None:
    for frame in (nothing, empty, pl.DataFrame({"x": [3.0, 3.0]})):
        fitted = learn(frame, "x")
        assert fitted.state["columns"] == {"x": []}
        assert fitted.apply(pl.DataFrame({"x": [1.0, None]}))["x"].to_list() == [0, None]
        assert fitted.apply(frame).schema["x"] == pl.Int64
    assert learn(empty, "x", labels="range").apply(empty).schema["x"] == pl.String
    wide = learn(pl.DataFrame({"x": [-1.7e308, 1.7e308]}), "x", bins=2)
    assert wide.state["columns"] == {"x": [0.0]}


def test_complaints(rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="Column 'text' holds String, and bin cannot learn from that"):
        learn(rows, "text")
    with pytest.raises(ConfigurationError, match="this step needs numbers"):
        Binned.example().apply(rows.with_columns(x=pl.lit("a")))
    with pytest.raises(ValidationError, match="must rise"):
        Bin.model_validate({"columns": ["x"], "edges": [1, 1]})
    step = Bin.example()
    assert Bin.model_validate(step.params()) == step
    assert step.needs() == Binned.example().needs() == ("x", "n")
