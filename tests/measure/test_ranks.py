"""Ranks against numpy's quantiles, and its states where bits had to be dropped."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.core.state import encode
from tillage.measure import Ranks
from tillage.measure.ranks import distribution

FLOATS = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308])


def state_of(values: list[float] | np.ndarray[Any, Any], most: int = 1 << 16) -> Any:
    s = Ranks(most=most)
    return s.update(s.start(), pl.Series(values, dtype=pl.Float64))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(-1e150, 1e150), min_size=1, max_size=30), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_exact_below_the_limit_as_numpy(values: list[float], shares: list[float]) -> None:
    found = Ranks(tuple(shares)).finish(state_of(values))
    for share in shares:
        exact = float(np.quantile(np.array(values), share))
        assert found[str(share)] == pytest.approx(exact, rel=1e-12, abs=1e-300)


@settings(max_examples=100, deadline=None)
@given(*[st.lists(FLOATS, max_size=14)] * 3, st.integers(1, 6))
def test_states_merge_exactly_where_bits_are_dropped(a: list[float], b: list[float], c: list[float], most: int) -> None:
    s = Ranks(most=most + 3)
    one, two, three = (state_of(v, most + 3) for v in (a, b, c))
    whole = encode(state_of(a + b + c, most + 3))
    assert encode(s.merge(s.merge(one, two), three)) == whole
    assert encode(s.merge(three, s.merge(two, one))) == whole
    assert len(s.merge(one, s.merge(two, three))["keys"]) <= most + 3
    values, counts = distribution(s.merge(one, s.merge(two, three)))
    assert counts.sum() == len(a + b + c)
    assert (np.diff(values) > 0).all()


def test_dropped_bits_keep_to_the_spread() -> None:
    random = np.random.default_rng(3)
    for values, relative in (
        (random.normal(0, 1, 200_000), 0.0),
        (1e6 + random.uniform(-1, 1, 200_000), 0.0),
        (random.lognormal(0, 4, 200_000), 1e-4),
    ):
        state = state_of(values)
        assert state["dropped"] > 0
        assert 20_000 < len(state["keys"]) <= 1 << 16
        found = Ranks((0.01, 0.25, 0.5, 0.75, 0.99)).finish(state)
        spread = float(np.quantile(values, 0.75) - np.quantile(values, 0.25))
        for share, value in found.items():
            assert value is not None
            exact = float(np.quantile(values, float(share)))
            assert abs(value - exact) < max(3e-4 * spread, relative * abs(exact)), share


def test_ends_and_nothing() -> None:
    assert Ranks((0.5,)).finish(state_of([])) == {"0.5": None}
    assert Ranks((0.0, 0.5, 1.0)).finish(state_of([math.nan, -math.inf, math.inf, 2.0])) == {
        "0.0": -math.inf, "0.5": 2.0, "1.0": math.inf,
    }  # fmt: skip
    assert Ranks((0.25,)).finish(state_of([-1.7e308, 1.7e308])) == pytest.approx({"0.25": -0.85e308})
    assert np.signbit(distribution(state_of([-0.0]))[0]).tolist() == [False]
    with pytest.raises(ValueError, match="between 0 and 1"):
        Ranks((1.5,))
