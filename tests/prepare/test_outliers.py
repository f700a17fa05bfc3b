"""DropOutliers and ClipOutliers against numpy and the definitions of Tukey and of Iglewicz and Hoaglin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.prepare import ClipOutliers, DropOutliers, OutliersClipped, OutliersDropped


def learn(cls: Any, rows: pl.DataFrame, *columns: str, cut: int = 0, **given: Any) -> Any:
    step = cls.model_validate({"columns": columns, **given})
    first, second = (step.update(step.start(), part) for part in (rows[:cut], rows[cut:]))
    return step.finish(step.merge(second, first))


def oracle(values: list[float], way: str, limit: float) -> tuple[float, float] | None:
    x = np.array(values)
    if way == "z_score":
        low = high = x.mean()
        spread = x.std(ddof=1) if len(x) > 1 and np.ptp(x) else 0.0
    elif way == "iqr":
        low, high = np.quantile(x, [0.25, 0.75])
        spread = high - low
    else:
        low = high = np.median(x)
        spread = np.median(np.abs(x - low)) / 0.67448975
    return (low - limit * spread, high + limit * spread) if spread > 0 else None


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(st.floats(-100, 100).map(lambda v: round(v, 2)) | st.floats(1e3, 1e6), min_size=1, max_size=25),
    cut=st.integers(0, 25),
    way=st.sampled_from(["z_score", "iqr", "mad"]),
    limit=st.sampled_from([None, 0.5, 2.0]),
)
def test_as_defined(values: list[float], cut: int, way: str, limit: float | None) -> None:
    rows = pl.DataFrame({"x": values})
    given = {"with": way, "limit": limit}
    expected = oracle(values, way, limit or {"z_score": 3, "iqr": 1.5, "mad": 3.5}[way])
    dropped = learn(DropOutliers, rows, "x", cut=cut, **given)
    bounds = dropped.state["columns"]["x"]
    if expected is None:
        assert bounds is None
        assert dropped.apply(rows)["_reason"].to_list() == [None] * len(values)
        return
    assert bounds == pytest.approx(expected, rel=1e-7, abs=1e-9)
    low, high = bounds
    assert dropped.apply(rows)["_reason"].to_list() == ["outlier" if not low <= v <= high else None for v in values]
    clipped = learn(ClipOutliers, rows, "x", cut=cut, **given).apply(rows)["x"]
    assert clipped.to_list() == np.clip(values, low, high).tolist()


def test_a_published_example() -> None:
    """Iglewicz and Hoaglin's measurements: both large values show by the MAD, and hide each other by the z-score."""
    rows = pl.DataFrame({"x": [2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3]})
    by = {way: learn(DropOutliers, rows, "x", with_=way).apply(rows)["_reason"] for way in ("mad", "z_score")}
    assert by["mad"].is_not_null().to_list() == [False] * 8 + [True] * 2
    assert by["z_score"].null_count() == 10


def test_what_is_no_number() -> None:
    rows = pl.DataFrame({"x": [1.0, 2.0, 3.0, 4.0, None, math.nan, math.inf, -math.inf]})
    marks = learn(DropOutliers, rows, "x").apply(rows)["_reason"].to_list()
    assert marks == [None] * 6 + ["outlier"] * 2
    out = learn(ClipOutliers, rows, "x").apply(rows)["x"].to_list()
    assert out[:5] == [1.0, 2.0, 3.0, 4.0, None]
    assert math.isnan(out[5])
    assert out[6:] == [5.5, -0.5]


def test_whole_numbers_stay_whole() -> None:
    rows = pl.DataFrame({"n": [1, 2, 3, 4, 99, -99]}, schema={"n": pl.Int8})
    out = learn(ClipOutliers, rows, "n").apply(rows)["n"]
    assert out.dtype == pl.Int8
    assert out.to_list() == [1, 2, 3, 4, 7, -2]  # the quartiles are 1.25 and 3.75, so the bounds -2.5 and 7.5
    wide = OutliersClipped(state={"columns": {"n": [-1e300, 1e300]}})
    assert wide.apply(rows)["n"].to_list() == rows["n"].to_list()
    none_between = OutliersClipped(state={"columns": {"n": [2.2, 2.7]}})
    assert none_between.apply(rows)["n"].to_list() == [2] * 6
    floats = rows.with_columns(pl.col("n").cast(pl.Float32))
    assert learn(ClipOutliers, floats, "n").apply(floats)["n"].dtype == pl.Float32


def test_several_columns_and_none(nothing: pl.DataFrame, empty: pl.DataFrame) -> None:
    rows = pl.DataFrame({"a": [1, 2, 3, 4, 90], "b": [90, 1, 2, 3, 4], "c": [5] * 5})
    assert learn(DropOutliers, rows, "a", "b", "c").apply(rows)["_reason"].is_not_null().to_list() == [
        True, False, False, False, True,
    ]  # fmt: skip
    for frame in (nothing, empty):
        for cls in (DropOutliers, ClipOutliers):
            fitted = learn(cls, frame, "x")
            assert fitted.state == {"columns": {"x": None}}
            assert fitted.apply(frame).select("x").equals(frame.select("x"))
            bounded = type(fitted)(state={"columns": {"x": [0.0, 1.0]}})
            assert bounded.apply(frame).select("x").equals(frame.select("x"))


def test_complaints(rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="Column 'text' holds String, and drop_outliers cannot learn from"):
        learn(DropOutliers, rows, "text")
    for fitted in (OutliersClipped.example(), OutliersDropped.example()):
        with pytest.raises(ConfigurationError, match="this step needs numbers"):
            fitted.apply(rows.with_columns(x=pl.lit("a")))
        assert fitted.needs() == ("x", "n", "id")
    with pytest.raises(ValidationError, match="greater than 0"):
        DropOutliers(columns=("x",), limit=0)
    for step in (DropOutliers.example(), ClipOutliers.example()):
        assert type(step).model_validate(step.params()) == step
