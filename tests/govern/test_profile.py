"""Profile against numpy and plain Python; its states; its JSON."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest

from tillage.core import ConfigurationError
from tillage.core.state import decode, digest, encode
from tillage.govern import Profile


def profile(rows: pl.DataFrame, **params: Any) -> dict[str, Any]:
    step = Profile.model_validate(params)
    found = step.finish(step.update(step.start(), rows))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    columns: dict[str, Any] = found["columns"]
    return columns


def with_ids(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(_id=(pl.int_range(frame.height).cast(pl.UInt128) + 1) * 2**90)


def test_numbers_against_numpy() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.lognormal(size=5000), -rng.lognormal(size=3000)])
    rows = with_ids(pl.DataFrame({"x": [*x.tolist(), None, float("nan"), float("inf")], "n": range(8003)}))
    found = profile(rows)["x"]
    assert (found["type"], found["rows"], found["nulls"], found["not_finite"]) == ("float64", 8003, 1, 2)
    assert (found["min"], found["max"]) == (x.min(), x.max())
    assert found["mean"] == pytest.approx(x.mean(), rel=1e-12)
    assert found["std"] == pytest.approx(x.std(ddof=1), rel=1e-12)
    for share, value in found["quantiles"].items():
        assert value == pytest.approx(float(np.quantile(x, float(share), method="lower")), rel=0.008)
    assert found["distinct"] == pytest.approx(8002, rel=0.06)
    assert profile(rows)["n"]["distinct"] == pytest.approx(8003, rel=0.06)


def test_texts_against_plain_counting(rows: pl.DataFrame) -> None:
    found = profile(rows)["text"]
    assert found == {
        "type": "text", "rows": 6, "nulls": 1, "distinct": 4, "min_length": 0, "max_length": 7, "mean_length": 2.6,
        "sampled": 5, "frequent": [["a", 0.4], ["", 0.2], ["发烧，脖子僵硬", 0.2], ["Ｂ  b", 0.2]],
    }  # fmt: skip
    many = with_ids(pl.DataFrame({"t": [f"w{int(i**0.5)}" for i in range(4000)]}))
    exact = profile(many, sample=4000, frequent=3)["t"]["frequent"]
    counts = sorted(Counter(many["t"]).items(), key=lambda item: (-item[1], item[0]))
    assert exact == [[t, n / 4000] for t, n in counts[:3]]
    half = with_ids(pl.DataFrame({"t": ["rare", "usual", "usual", "usual"] * 1000}))
    sampled = profile(half, sample=1000)["t"]
    assert sampled["sampled"] == 1000
    assert sampled["frequent"][0][0] == "usual"
    assert sampled["frequent"][0][1] == pytest.approx(0.75, abs=0.06)
    assert profile(with_ids(pl.DataFrame({"t": ["x" * 500]})))["t"]["frequent"] == [["x" * 80, 1.0]]


def test_truth_and_days() -> None:
    rows = with_ids(pl.DataFrame({"b": [True, True, False, None], "d": [dt.date(2024, 1, d) for d in (5, 9, 2, 3)]}))
    found = profile(rows)
    assert found["b"] == {"type": "bool", "rows": 4, "nulls": 1, "distinct": 2, "true": 2 / 3}
    assert (found["d"]["type"], found["d"]["min"], found["d"]["max"]) == ("date", "2024-01-02", "2024-01-09")


def test_states_merge_exactly(rows: pl.DataFrame) -> None:
    step = Profile(sample=3)
    whole = step.update(step.start(), rows)
    for cut in range(7):
        a, b = step.update(step.start(), rows[:cut]), step.update(step.start(), rows[cut:])
        kept = digest(a), digest(b)
        assert (
            digest(step.merge(a, b)) == digest(step.merge(b, a)) == digest(whole) == digest(step.update(a, rows[cut:]))
        )
        assert (digest(a), digest(b)) == kept
    assert digest(step.merge(step.start(), whole)) == digest(whole)
    assert digest(step.update(step.start(), rows[::-1])) == digest(whole)
    assert step.finish(decode(encode(whole))) == step.finish(whole)


def test_a_column_that_is_first_empty(rows: pl.DataFrame, nothing: pl.DataFrame) -> None:
    step = Profile()
    both = step.finish(step.merge(step.update(step.start(), nothing), step.update(step.start(), rows)))
    assert (both["rows"], both["columns"]["x"]["type"]) == (12, "float64")
    assert (both["columns"]["x"]["rows"], both["columns"]["x"]["nulls"], both["columns"]["x"]["not_finite"]) == (
        12,
        7,
        2,
    )


def test_hostile_frames(rows: pl.DataFrame, empty: pl.DataFrame, nothing: pl.DataFrame) -> None:
    found = profile(empty)
    assert found["x"]["mean"] is None
    assert found["x"]["quantiles"]["0.5"] is None
    assert found["text"]["frequent"] == []
    assert profile(nothing)["x"] == {"type": "null", "rows": 6, "nulls": 6, "distinct": 0}
    assert list(profile(rows, columns=("x", "day"))) == ["x", "day"]
    assert sorted(profile(rows)) == ["city", "day", "id", "n", "text", "x"]
    with pytest.raises(ConfigurationError, match=r"'txt'. Did you mean 'text'"):
        profile(rows, columns=("txt",))
    assert Profile(columns=("x",)).needs() == ("x",)


def test_no_quantile_lies_beyond_the_values() -> None:
    found = profile(with_ids(pl.DataFrame({"same": [7] * 5, "x": [-1000.5, -1000.25, -1000.5, -1000.25, -1000.5]})))
    assert set(found["same"]["quantiles"].values()) == {7.0}
    assert all(-1000.5 <= v <= -1000.25 for v in found["x"]["quantiles"].values())
