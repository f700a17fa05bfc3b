"""FillMissing against numpy, exact fractions and plain counting."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.core.state import decode, digest, encode
from tillage.face.rooms import project
from tillage.prepare import FilledMissing, FillMissing


def learn(rows: pl.DataFrame, with_: str, *columns: str, value: Any = None) -> FilledMissing:
    step = FillMissing.model_validate({"columns": columns, "with": with_, "value": value})
    return step.finish(step.update(step.start(), rows))


values = st.lists(st.none() | st.floats(-1e9, 1e9) | st.sampled_from([math.nan, math.inf, 0.1, 0.1, 0.2]), max_size=20)


@settings(max_examples=80, deadline=None)
@given(data=values, cut=st.integers(0, 20), way=st.sampled_from(["mean", "median", "min", "max", "most_frequent"]))
def test_learnt_values_and_states(data: list[float | None], cut: int, way: str) -> None:
    rows = pl.DataFrame({"x": data}, schema={"x": pl.Float64})
    known = [v + 0.0 for v in data if v is not None and math.isfinite(v)]
    step = FillMissing.model_validate({"columns": ["x"], "with": way})
    whole = step.update(step.start(), rows)
    fitted = step.finish(whole)
    (learnt,) = fitted.state["values"].values()
    if not known:
        assert learnt is None
    elif way == "mean":
        exact = float(sum(map(Fraction, known), Fraction(0)))
        assert learnt == exact / len(known)
        assert math.isclose(learnt, float(np.mean(known)), rel_tol=1e-9, abs_tol=1e-3)
    elif way == "median":
        assert math.isclose(learnt, statistics.median(known), rel_tol=1e-9, abs_tol=1e-9)
    elif way == "most_frequent":
        counts = Counter(known)
        assert counts[float(learnt)] == max(counts.values())
    else:
        assert learnt == {"min": min, "max": max}[way](known)
    filled = fitted.apply(rows)["x"].to_list()
    fill = None if learnt is None else float(learnt)
    assert filled == [fill if v is None or math.isnan(v) else v for v in data]

    first, second = step.update(step.start(), rows[:cut]), step.update(step.start(), rows[cut:])
    kept = digest(first)
    assert digest(step.merge(second, first)) == digest(whole) == digest(step.update(first, rows[cut:]))
    assert digest(step.merge(step.start(), whole)) == digest(whole)
    assert digest(first) == kept
    again = FilledMissing(state=decode(encode(fitted.state)))
    assert again.fingerprint() == fitted.fingerprint()


def test_every_type_keeps_its_type_but_whole_numbers_under_a_mean_or_median(rows: pl.DataFrame) -> None:
    gaps = pl.DataFrame({"n": [1, None, 2, 2], "t": ["b", "a", None, "a"], "b": [True, None, True, False]})
    gaps = gaps.with_columns(d=pl.Series([dt.date(2024, 1, 5), None, None, dt.date(2024, 1, 5)]))
    out = learn(gaps, "most_frequent", "n", "t", "b", "d").apply(gaps)
    assert out.schema == gaps.schema
    assert out.row(1) == (2, "a", True, dt.date(2024, 1, 5))
    assert out["t"][2] == "a"
    mean = learn(gaps, "mean", "n").apply(gaps)["n"]
    assert mean.dtype == pl.Float64
    assert mean[1] == 5 / 3
    assert learn(gaps, "mean", "n").apply(gaps.drop_nulls())["n"].dtype == pl.Float64
    median = learn(gaps, "median", "n").apply(gaps)["n"]
    assert median.dtype == pl.Float64
    assert median.to_list() == [1.0, 2.0, 2.0, 2.0]
    assert learn(gaps, "min", "n", "t").apply(gaps).row(1)[:2] == (1, "a")
    assert learn(gaps, "constant", "n", value=7).apply(gaps)["n"].to_list() == [1, 7, 2, 2]
    assert learn(gaps, "constant", "n", value=0.5).apply(gaps)["n"].to_list() == [1.0, 0.5, 2.0, 2.0]
    assert rows["x"].to_list()[1] is None


def test_a_constant_of_days_and_times_is_a_text_of_iso_8601() -> None:
    day, time = dt.date(2024, 1, 5), dt.datetime(2024, 1, 5, 8, 30, tzinfo=dt.UTC)
    rows = pl.DataFrame({"d": [None, day], "t": [time, None]}, schema={"d": pl.Date, "t": pl.Datetime("us", "UTC")})
    assert learn(rows, "constant", "d", value="2023-12-31").apply(rows)["d"].to_list() == [dt.date(2023, 12, 31), day]
    filled = learn(rows, "constant", "t", value="2024-01-05T09:30+08:00").apply(rows)["t"]
    assert filled.to_list() == [time, time.replace(hour=1)]
    for column, value in (("d", "soon"), ("t", "soon"), ("d", "2024-01-05T08:30")):
        with pytest.raises(ConfigurationError, match="Write it as 2024-01-31"):
            learn(rows, "constant", column, value=value).apply(rows)


def test_a_tie_goes_to_the_first_by_text() -> None:
    for texts in (["b", "a", None], ["a", "b", None], ["b", None, "a"]):
        assert learn(pl.DataFrame({"t": texts}), "most_frequent", "t").state["values"] == {"t": "a"}


def test_a_column_without_a_value(nothing: pl.DataFrame, empty: pl.DataFrame) -> None:
    for frame in (nothing, empty):
        for way in ("mean", "median", "min", "max", "most_frequent"):
            assert learn(frame, way, "x").state["values"] == {"x": None}
            stand_in = learn(frame, way, "x", value=3.5).apply(pl.DataFrame({"x": [None, 1.0]}))
            assert stand_in["x"].to_list() == [3.5, 1.0]
    assert learn(nothing, "min", "x").apply(nothing).equals(nothing)
    assert learn(nothing, "constant", "text", value="无").apply(nothing)["text"].to_list() == ["无"] * 6
    assert FilledMissing.example().apply(empty).schema["n"] == pl.Float64


def test_complaints(rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match=r"'txt'. Did you mean 'text'"):
        learn(rows, "min", "txt")
    with pytest.raises(ConfigurationError, match="Column 'text' holds String, and cannot be filled with: mean"):
        learn(rows, "mean", "text")
    with pytest.raises(ConfigurationError, match="Column 'n' holds Int64 and cannot be filled with 'x'"):
        learn(rows, "constant", "n", value="x").apply(rows)
    with pytest.raises(ConfigurationError, match="Column 'text' holds String and cannot be filled with 5"):
        learn(rows, "constant", "text", value=5).apply(rows)
    with pytest.raises(ValidationError, match="needs a 'value'"):
        FillMissing(columns=("x",), with_="constant")
    with pytest.raises(ConfigurationError, match="Column 'text' holds String, and cannot be filled with: median"):
        learn(rows, "median", "text")
    with pytest.raises(ValidationError, match="'mean', 'median', 'min'"):
        FillMissing.model_validate({"columns": ["x"], "with": "middle"})
    step = FillMissing.example()
    assert FillMissing.model_validate(step.params()) == step
    assert step.needs() == ("x", "n")
    assert FilledMissing.example().needs() == ("x", "n")


@pytest.mark.parametrize("way", ["most_frequent", "mean", "median", "min", "max"])
def test_a_run_tells_of_a_column_without_any_value(tmp_path: Path, way: str) -> None:
    (tmp_path / "a.csv").write_text("id,empty,n\n1,,1\n2,,\n")
    steps = f"[{{fill_missing: {{columns: [empty, n], with: {way}}}}}]"
    tables = f"  raw: {{collect: {{files: a.csv}}, key: id}}\n  full: {{from: raw, steps: {steps}}}\n"
    (tmp_path / "tillage.yaml").write_text(f"project: p\ntables:\n{tables}")
    with project(tmp_path) as opened:
        told = opened.run().notes
        assert told == [
            "full: Column 'empty' has no value to learn from, so its gaps stay. Give fill_missing a `value` for it."
        ]
        assert opened.run().notes == []


NOON = dt.datetime(2024, 1, 5, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("seen", "value", "wanted"),
    [
        (dt.date(2024, 1, 5), "1900-01-01", dt.date(1900, 1, 1)),
        (NOON.replace(tzinfo=None), "1900-01-01 06:30", dt.datetime(1900, 1, 1, 6, 30, tzinfo=dt.UTC)),
        (NOON, "1900-01-01T08:30:00+08:00", dt.datetime(1900, 1, 1, 0, 30, tzinfo=dt.UTC)),
    ],
)
def test_moments_are_filled_with_what_is_written(seen: dt.date, value: str, wanted: dt.date) -> None:
    rows = pl.DataFrame({"at": [seen, None]})
    filled = learn(rows, "constant", "at", value=value).apply(rows)
    assert filled.schema == rows.schema
    got = filled["at"].to_list()[1]
    assert (got.replace(tzinfo=dt.UTC) if isinstance(got, dt.datetime) else got) == wanted
    with pytest.raises(ConfigurationError, match=r"'at' holds Date.*'soon'"):
        learn(rows, "constant", "at", value="soon").apply(rows)


def test_a_time_of_day_is_told() -> None:
    rows = pl.DataFrame({"at": [dt.time(8), None]})
    with pytest.raises(ConfigurationError, match="'at' holds Time and cannot be filled"):
        learn(rows, "constant", "at", value="09:00").apply(rows)
