"""Scale against scikit-learn, in chunks and at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from tillage.core import BadData, ConfigurationError
from tillage.prepare import Scale, Scaled

PEERS = {"standard": StandardScaler(), "min_max": MinMaxScaler(), "robust": RobustScaler(quantile_range=(10, 80))}


def learn(rows: pl.DataFrame, with_: str, *columns: str, cut: int = 0) -> Scaled:
    step = Scale.model_validate({"columns": columns, "with": with_, "quantiles": (0.1, 0.8)})
    first, second = (step.update(step.start(), part) for part in (rows[:cut], rows[cut:]))
    return step.finish(step.merge(second, first))


@settings(max_examples=120, deadline=None)
@given(
    data=st.lists(st.tuples(st.integers(-1000, 1000), st.floats(-1e6, 1e6)), min_size=2, max_size=30),
    cut=st.integers(0, 30),
    way=st.sampled_from(sorted(PEERS)),
)
def test_as_scikit_learn_does(data: list[tuple[int, float]], cut: int, way: str) -> None:
    rows = pl.DataFrame(data, schema={"n": pl.Int64, "x": pl.Float64}, orient="row")
    out = learn(rows, way, "n", "x", cut=cut).apply(rows)
    values = np.array(data, dtype=np.float64)
    spread = np.ptp(values, axis=0)
    wide = (spread > 1e-6) | (spread == 0)  # scikit-learn takes less for rounding, and leaves it as it is
    expected = PEERS[way].fit_transform(values)
    for place, name in enumerate(("n", "x")):
        if wide[place]:
            assert out[name].to_numpy() == pytest.approx(expected[:, place], rel=1e-6, abs=1e-6)


def test_what_is_no_value_is_not_learnt_and_stays() -> None:
    rows = pl.DataFrame({"x": [1.0, 3.0, None, math.nan, math.inf, -math.inf]})
    for way, expected in (("standard", [-1.0, 1.0]), ("min_max", [0.0, 1.0]), ("robust", [-1 / 1.4, 1 / 1.4])):
        out = learn(rows, way, "x").apply(rows)["x"].to_list()
        assert out[:2] == pytest.approx(expected)
        assert out[2] is None
        assert math.isnan(out[3])
        assert out[4:] == [math.inf, -math.inf]


def test_one_value_or_none(nothing: pl.DataFrame, empty: pl.DataFrame) -> None:
    for way in PEERS:
        same = learn(pl.DataFrame({"n": [7, 7, None]}), way, "n").apply(pl.DataFrame({"n": [7, 9]}))
        assert same["n"].to_list() == [0.0, 2.0]
        for frame in (nothing, empty):
            scaled = learn(frame, way, "x", "n")
            assert scaled.apply(pl.DataFrame({"x": [5.0], "n": [5]})).row(0) == (5.0, 5.0)
            assert scaled.apply(frame).schema["n"] == pl.Float64


def test_large_offsets_keep_their_differences() -> None:
    rows = pl.DataFrame({"x": [1e9 + i for i in range(5)]})
    assert learn(rows, "standard", "x").apply(rows)["x"].to_list() == pytest.approx([-(2**0.5), -(0.5**0.5), 0.0,
                                                                                     0.5**0.5, 2**0.5])  # fmt: skip


def test_complaints(rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="Column 'text' holds String, and scale cannot learn from that"):
        learn(rows, "standard", "text")
    with pytest.raises(ConfigurationError, match="Did you mean 'text'"):
        learn(rows, "standard", "txt")
    with pytest.raises(ConfigurationError, match="this step needs numbers"):
        Scaled.example().apply(rows.with_columns(x=pl.lit("a")))
    for way in ("standard", "min_max"):
        with pytest.raises(BadData, match="'x' lie so far apart"):
            learn(pl.DataFrame({"x": [-1.7e308, 1.7e308]}), way, "x")
    for wrong in ((0.8, 0.2), (0.5, 0.5), (0.1, 1.1)):
        with pytest.raises(ValidationError, match="the lower first"):
            Scale(columns=("x",), quantiles=wrong)


def test_parameters_survive() -> None:
    step: Any = Scale.example()
    assert Scale.model_validate(step.params()) == step
    assert step.needs() == Scaled.example().needs() == ("x", "n")
