"""FillNearest against distances written out, and beside scikit-learn's KNNImputer."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.core.keys import fraction
from tillage.core.state import digest
from tillage.prepare import FillNearest, NearestFilled


def learn(rows: pl.DataFrame, cut: int = 0, *, by: list[str], **given: Any) -> NearestFilled:
    step = FillNearest.model_validate({**given, "from": by})
    first, second = (step.update(step.start(), part) for part in (rows[:cut], rows[cut:]))
    return step.finish(step.merge(second, first))


def numbered(columns: dict[str, Any], **types: Any) -> pl.DataFrame:
    frame = pl.DataFrame(columns, schema_overrides=types)
    return frame.with_columns(pl.int_range(1, frame.height + 1).cast(pl.UInt128).alias("_id"))


def by_hand(rows: pl.DataFrame, column: str, compared: list[str], neighbours: int, donors: int) -> list[Any]:
    """Straight from the description; donors in the order of the hash of their ids."""
    dicts = rows.with_columns(fraction(rows["_id"], "donor").alias("at")).sort("at").to_dicts()
    known = [d for d in dicts if d[column] is not None][:donors]
    out = []
    for row in rows.to_dicts():
        if row[column] is not None or not known:
            out.append(row[column])
            continue
        ranked = []
        for place, donor in enumerate(known):
            far = 0.0
            for c in compared:
                a, b = row[c], donor[c]
                if a is None or b is None:
                    far += 1
                elif isinstance(a, str):
                    far += a != b
                else:
                    values = [d[c] for d in known if d[c] is not None]
                    spread = float(max(values) - min(values)) or 1.0
                    far += min(abs(a - b) / spread, 1.0)
            ranked.append((int(far / len(compared) * 2**40), place))
        said = [known[place][column] for _, place in sorted(ranked)[:neighbours]]
        if isinstance(said[0], float):
            out.append(sum(said) / len(said))
        elif isinstance(said[0], int):
            out.append(sorted(said)[(len(said) - 1) // 2])
        else:
            counts = Counter(said)
            out.append(next(v for v in said if counts[v] == max(counts.values())))
    return out


number = st.none() | st.integers(-3, 9).map(float)
word = st.sampled_from(["a", "b", "北京", None])
whole = st.none() | st.integers(0, 5)


@settings(max_examples=100, deadline=None)
@given(
    table=st.lists(st.tuples(number, word, whole), min_size=1, max_size=12),
    cut=st.integers(0, 12),
    neighbours=st.integers(1, 4),
    donors=st.integers(1, 12),
)
def test_as_by_hand(table: list[tuple[Any, ...]], cut: int, neighbours: int, donors: int) -> None:
    x, t, n = (list(values) for values in zip(*table, strict=True))
    rows = numbered({"x": x, "t": t, "n": n}, x=pl.Float64, t=pl.String, n=pl.Int64)
    filled = learn(rows, cut, columns=["x", "t", "n"], by=["x", "t", "n"], neighbours=neighbours, donors=donors)
    out = filled.apply(rows)
    for column in ("x", "t", "n"):
        others = [c for c in ("x", "t", "n") if c != column]
        assert out[column].to_list() == by_hand(rows, column, others, neighbours, donors)


def test_better_than_the_mean_and_like_scikit_learn() -> None:
    from sklearn.datasets import load_iris
    from sklearn.impute import KNNImputer

    names = ["a", "b", "c", "d"]
    data = load_iris().data
    hidden = np.random.default_rng(3).random(len(data)) < 0.2
    given = data.copy()
    given[hidden, 2] = np.nan
    rows = numbered({n: given[:, k] for k, n in enumerate(names)})
    out = learn(rows, columns=["c"], by=["a", "b", "d"], neighbours=5).apply(rows)["c"].to_numpy()
    scale = given.copy()
    low, high = np.nanmin(scale, axis=0), np.nanmax(scale, axis=0)
    peer = KNNImputer(n_neighbors=5).fit_transform((scale - low) / (high - low)) * (high - low) + low

    def error(values: Any) -> float:
        return float(np.sqrt(np.mean((values[hidden] - data[hidden, 2]) ** 2)))

    assert error(out) < 0.25 * error(np.full(len(data), np.nanmean(given[:, 2])))
    assert error(out) < 1.1 * error(peer[:, 2])


def test_the_sample_is_the_same_in_any_order_and_types_stay() -> None:
    day = [dt.date(2024, 1, 5), None, dt.date(2024, 2, 1)]
    rows = numbered(
        {"k": [1, 1, 9], "b": [True, None, False], "d": day, "n": [2**60 + 1, None, 7], "x": [0.5, None, 2.0]}
    )
    out = learn(rows, columns=["b", "d", "n", "x"], by=["k"], neighbours=1).apply(rows)
    assert out.schema == rows.schema
    assert out.row(1)[:5] == (1, True, day[0], 2**60 + 1, 0.5)
    many = numbered({"k": list(range(300)), "n": [i % 7 for i in range(300)]})
    step = FillNearest.model_validate({"columns": ["n"], "from": ["k"], "donors": 20})
    straight = step.update(step.start(), many)
    parts = [step.update(step.start(), many[a : a + 60]) for a in range(0, 300, 60)]
    mixed = step.start()
    for part in parts[::-1]:
        mixed = step.merge(mixed, part)
    assert digest(mixed) == digest(straight)
    assert len(straight["n"]["at"]) == 20


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValidationError, match="cannot be filled from itself"):
        FillNearest.model_validate({"columns": ["n"], "from": ["n"]})
    rows = numbered({"n": [1, None], "k": ["a", "a"]})
    with pytest.raises(ConfigurationError, match="Did you mean 'k'"):
        learn(rows, columns=["n"], by=["kk"])
    learnt = learn(rows, columns=["n"], by=["k"])
    with pytest.raises(ConfigurationError, match="Learn it again"):
        learnt.apply(rows.with_columns(n=pl.Series(["x", None])))
    when = rows.with_columns(k=pl.lit(dt.time(12)))
    with pytest.raises(ConfigurationError, match="cannot compare"):
        learn(when, columns=["n"], by=["k"])


def test_a_range_beyond_the_largest_float_is_a_range() -> None:
    near = [-1.5e308, 1.5e308, 1.0e308, -1.0e308]
    rows = numbered({"v": ["low", "high", None, None], "x": near})
    learned = learn(rows, columns=["v"], by=["x"], neighbours=1)
    assert learned.apply(rows)["v"].to_list() == ["low", "high", "high", "low"]


def test_what_no_float_tells_apart_from_a_narrow_range_is_far() -> None:
    rows = numbered({"v": ["low", "high"], "x": [-1.7e308, -1.6e308]})
    learned = learn(rows, columns=["v"], by=["x"], neighbours=1)
    far = numbered({"v": [None], "x": [1.7e308]}, v=pl.String)
    assert learned.apply(far)["v"].item() in {"low", "high"}
