"""The laws of every exported statistic, found by discovery, and an oracle of its own for each."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tillage.measure
from tillage.core.errors import UsageError
from tillage.core.state import decode, encode
from tillage.measure import Counts, Distinct, Extremes, Moments, Quantiles, Ranks, Sample, Statistic, Sum, ValueCounts
from tillage.measure.distinct import STANDARD_ERROR
from tillage.measure.quantiles import RELATIVE_ERROR, bucket, middle

EXPORTED = [getattr(tillage.measure, name) for name in tillage.measure.__all__]
STATISTICS = [s for s in EXPORTED if isinstance(s, type) and issubclass(s, Statistic) and s is not Statistic]
FLOATS = st.floats() | st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.0**-1022, 1e308, -1e308, 0.1, 1e16])
VALUES: dict[str, tuple[pl.DataType, st.SearchStrategy[Any]]] = {
    "float": (pl.Float64(), FLOATS),
    "int": (pl.Int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)),
    "large": (pl.UInt64(), st.integers(0, 2**64 - 1)),
    "small": (pl.Int8(), st.integers(-128, 127)),
    "flag": (pl.Boolean(), st.booleans()),
    "text": (pl.String(), st.text(st.characters(exclude_categories=["Cs"]), max_size=4)),
    "nothing": (pl.Null(), st.none()),
}
OF_NUMBERS = {Sum, Moments, Quantiles, Ranks}
CASES = [(s, kind) for s in STATISTICS for kind in VALUES if not (s in OF_NUMBERS and kind == "text")]


def test_every_exported_statistic_is_held_to_the_laws() -> None:
    assert {s for s, _ in CASES} == {Counts, Distinct, Extremes, Moments, Quantiles, Ranks, Sample, Sum, ValueCounts}
    assert len(CASES) == 59


def columns(kind: str) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | VALUES[kind][1], max_size=12)


def folded(statistic: Statistic, kind: str, rows: list[tuple[int, Any]]) -> Any:
    values = pl.Series("v", [v for _, v in rows], dtype=VALUES[kind][0])
    return statistic.update(statistic.start(), values, pl.Series([i for i, _ in rows], dtype=pl.UInt128))


@pytest.mark.parametrize(("cls", "kind"), CASES, ids=[f"{s.__name__}-{k}" for s, k in CASES])
def test_laws(cls: Callable[[], Statistic], kind: str) -> None:
    @settings(max_examples=12)
    @given(columns(kind), columns(kind), columns(kind), st.integers(0, 2**32))
    def laws(one: list[Any], two: list[Any], three: list[Any], seed: int) -> None:
        s = cls() if cls is not Sample else Sample(size=3)
        shuffler = random.Random(seed)
        parts = [one, two, three]
        ids = iter([shuffler.getrandbits(128) for _ in range(sum(map(len, parts)))])
        a, b, c = ([(next(ids), value) for value in part] for part in parts)
        whole = a + b + c
        left, middle_, right = (folded(s, kind, part) for part in (a, b, c))
        before = [encode(state) for state in (left, middle_, right)]
        expected = encode(folded(s, kind, whole))

        assert encode(s.merge(s.merge(left, middle_), right)) == expected
        assert encode(s.merge(left, s.merge(middle_, right))) == expected
        assert encode(s.merge(s.merge(right, left), middle_)) == expected
        assert encode(s.merge(left, s.start())) == encode(s.merge(s.start(), left)) == before[0]
        shuffled = shuffler.sample(whole, len(whole))
        assert encode(folded(s, kind, shuffled)) == expected
        series = pl.Series([v for _, v in whole], dtype=VALUES[kind][0])
        onward = s.update(s.start(), series[: len(a)], pl.Series([i for i, _ in a], dtype=pl.UInt128))
        kept = encode(onward)
        rest = pl.Series([i for i, _ in b + c], dtype=pl.UInt128)
        assert encode(s.update(onward, series[len(a) :], rest)) == expected
        assert encode(onward) == kept  # update leaves its argument alone
        assert [encode(state) for state in (left, middle_, right)] == before  # and so does merge
        assert repr(s.finish(decode(expected))) == repr(s.finish(folded(s, kind, whole)))

    laws()


def of(statistic: Statistic, values: Any, ids: Any = None) -> Any:
    series = values if isinstance(values, pl.Series) else pl.Series("v", values)
    return statistic.finish(statistic.update(statistic.start(), series, ids))


FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e308, -1e308, 5e-324, 1.0, 1e-16])


@given(st.lists(FINITE, min_size=1))
def test_a_sum_of_floats_is_that_of_fractions(values: list[float]) -> None:
    exact = sum(map(Fraction, values))
    try:
        expected = float(exact)
    except OverflowError:
        expected = math.inf if exact > 0 else -math.inf
    assert of(Sum(), values) == expected
    if max(map(abs, values)) < 2.0**1000:
        assert of(Sum(), values) == math.fsum(values)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none()))
def test_a_sum_of_integers_has_no_bounds(values: list[int | None]) -> None:
    made = of(Sum(), pl.Series(values, dtype=pl.Int64))
    assert made == sum(v for v in values if v is not None)
    assert isinstance(made, int)


def test_sums_of_what_is_not_finite() -> None:
    assert of(Sum(), [math.inf, 1.0]) == math.inf
    assert of(Sum(), [-math.inf, 1e308]) == -math.inf
    assert math.isnan(of(Sum(), [math.inf, -math.inf]))
    assert math.isnan(of(Sum(), [math.nan, math.inf, -math.nan]))
    assert of(Sum(), [1e308] * 3 + [-1e308] * 2) == 1e308
    assert of(Sum(), pl.Series([0.5, 0.25, None], dtype=pl.Float32)) == 0.75
    assert math.isnan(of(Moments(), [1.0, math.inf])["mean"])
    assert math.isnan(of(Moments(), [1.0, math.nan])["variance"])


@given(st.lists(FINITE | st.integers(-(2**53), 2**53).map(float), min_size=2, max_size=20))
def test_moments_of_floats_are_those_of_fractions(values: list[float]) -> None:
    exact = list(map(Fraction, values))
    found = of(Moments(), values)
    assert found["count"] == len(values)
    assert Fraction(found["mean"]) == Fraction(float(sum(exact) / len(exact)))
    variance = statistics.variance(exact)
    if variance < 2**1023:
        assert found["variance"] == float(variance)
    else:
        assert found["variance"] > 1e307


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=20), st.booleans())
def test_moments_of_integers_are_those_of_fractions(values: list[int], large: bool) -> None:
    series = pl.Series([v + 2**63 for v in values], dtype=pl.UInt64) if large else pl.Series(values, dtype=pl.Int64)
    exact = list(map(Fraction, series))
    found = of(Moments(), series)
    assert (found["mean"], found["variance"]) == (float(sum(exact) / len(exact)), float(statistics.variance(exact)))


def test_moments_of_many_values() -> None:
    values = np.random.default_rng(1).lognormal(0, 4, 150_000) * np.where(np.arange(150_000) % 3, 1, -1)
    found = of(Moments(), values)
    assert found["mean"] == float(sum(map(Fraction, values.tolist())) / len(values))
    assert found["variance"] == pytest.approx(np.var(values, ddof=1), rel=1e-12)
    assert of(Sum(), values) == math.fsum(values)
    assert of(Moments(), []) == {"count": 0, "mean": None, "variance": None}
    assert of(Moments(), [4]) == {"count": 1, "mean": 4.0, "variance": None}


def test_counts_and_extremes() -> None:
    assert of(Counts(), [1, None, None]) == {"rows": 3, "nulls": 2}
    assert of(Extremes(), ["b", None, "é", "疼"]) == {"min": "b", "max": "疼"}
    assert of(Extremes(), [math.nan, 2.5, -math.inf, None]) == {"min": -math.inf, "max": 2.5}
    assert of(Extremes(), pl.Series([2**64 - 1, 0], dtype=pl.UInt64)) == {"min": 0, "max": 2**64 - 1}
    assert of(Extremes(), [None]) == of(Extremes(), [math.nan]) == {"min": None, "max": None}
    assert str(of(Extremes(), [-0.0])["min"]) == "0.0"
    mixed = Extremes()
    with pytest.raises(UsageError, match="cannot be compared"):
        mixed.update(mixed.update(mixed.start(), pl.Series(["a"])), pl.Series([1]))


QUANTILES = Quantiles((0.0, 0.1, 0.5, 0.9, 1.0))


@given(st.lists(st.floats(allow_nan=False, allow_subnormal=False), min_size=1, max_size=60))
def test_quantiles_are_within_the_stated_error(values: list[float]) -> None:
    found = of(QUANTILES, values)
    ordered = sorted(values)
    for q, value in found.items():
        true = ordered[int(float(q) * (len(values) - 1))]
        assert value == true or abs(value - true) <= RELATIVE_ERROR * abs(true)


def test_quantiles_of_a_long_column() -> None:
    values = np.random.default_rng(2).lognormal(3, 2, 200_000)  # long enough for the dense way of counting
    found = of(Quantiles(), values)
    assert len(found) == 7
    for q, value in found.items():
        assert value == pytest.approx(np.quantile(values, float(q), method="lower"), rel=RELATIVE_ERROR)
    s = Quantiles()
    short = s.start()
    for part in np.array_split(values, 7):
        short = s.update(short, pl.Series(part))
    assert encode(short) == encode(s.update(s.start(), pl.Series(values)))
    assert of(Quantiles((0.5,)), [None, math.nan]) == {"0.5": None}
    assert of(Quantiles((0.5,)), [1e-320, -1e-320, 0.0]) == {"0.5": 0.0}
    with pytest.raises(ValueError, match="between 0 and 1"):
        Quantiles((5.0,))


def test_buckets_are_ordered_and_64_to_a_power_of_two() -> None:
    values = np.sort(np.random.default_rng(3).normal(0, 1e5, 1000))
    assert (np.diff(bucket(values)) >= 0).all()
    assert len(np.unique(bucket(np.linspace(1, 2, 10_000, endpoint=False)))) == 64
    assert (bucket(middle(bucket(values))) == bucket(values)).all()


def splitmix(number: int, seed: int) -> int:
    """SplitMix64 as its paper states it, on integers of Python."""
    mask = 2**64 - 1
    z = number + (seed + 1) * 0x9E3779B97F4A7C15 & mask
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    return z ^ z >> 31


@pytest.mark.parametrize(("size", "seed"), [(1, 0), (7, 0), (7, 5), (500, 1)])
def test_a_sample_holds_the_smallest_scrambled_ids(size: int, seed: int) -> None:
    ids = [random.Random(4).getrandbits(128) for _ in range(1)] + list(range(2**90, 2**90 + 300)) + [3, 2**64 + 3]
    expected = sorted(ids, key=lambda i: (splitmix(i % 2**64, seed), i >> 64))[:size]
    found = of(Sample(size, seed), [f"v{i}" for i in ids], pl.Series(ids, dtype=pl.UInt128))
    assert found == {"ids": expected, "values": [f"v{i}" for i in expected]}


def test_splitmix_has_its_published_values() -> None:
    # the first outputs of SplitMix64 from the state 0 are its scrambling of the multiples of the golden ratio
    assert splitmix(0, 0) == 0xE220A8397B1DCDAF
    assert splitmix(0, 1) == 0x6E789E6AA1B965F4


def test_a_sample_is_fair_and_needs_ids() -> None:
    ids = pl.Series(range(20_000), dtype=pl.UInt128)
    values = of(Sample(1000), list(range(20_000)), ids)["values"]
    assert abs(statistics.mean(values) - 9999.5) < 3 * 5773.5 / math.sqrt(1000)
    with pytest.raises(UsageError, match="row_id of every value"):
        of(Sample(), [1])
    with pytest.raises(UsageError, match="cannot be sampled"):
        of(Sample(), [[1]], pl.Series([1], dtype=pl.UInt128))
    with pytest.raises(ValueError, match="at least one row"):
        Sample(0)


@pytest.mark.parametrize("n", [0, 1, 10, 1000, 3000, 10_000, 30_000, 300_000])
def test_distinct_counts_are_within_four_standard_errors(n: int) -> None:
    values = pl.Series("v", np.arange(n) * 7).cast(pl.String)
    found = of(Distinct(), pl.concat([values, values.head(100), pl.Series("v", [None], dtype=pl.String)]))
    assert abs(found - n) <= 4 * STANDARD_ERROR * n


def test_distinct_registers_are_those_of_the_paper() -> None:
    import polars_hash as plh

    values = pl.Series("v", np.arange(5000) / 3)
    hashes = values.to_frame().select(plh.hash_rows(pl.col("v")).alias("h"))
    numbers = hashes.select(plh.col("h").nchash.xxh3_64().alias("h"))["h"].to_list()
    registers = [0] * 4096
    for h in numbers:
        bits = f"{h:064b}"
        registers[int(bits[:12], 2)] = max(registers[int(bits[:12], 2)], (bits[12:] + "1").index("1") + 1)
    d = Distinct()
    assert d.update(d.start(), values)["registers"].tolist() == registers
    assert of(d, [0.0, -0.0, math.nan, -math.nan]) == of(d, [0.0, math.nan])


@pytest.mark.parametrize("lowest", [0, 1, 20, 50])
def test_the_estimate_is_that_of_ertl(lowest: int) -> None:
    registers = np.random.default_rng(lowest).integers(lowest, 54, 4096).astype(np.uint8)
    counts = np.bincount(registers, minlength=54)
    empty, full = counts[0] / 4096, 1 - counts[53] / 4096
    sigma = empty + sum(empty ** (2**k) * 2.0 ** (k - 1) for k in range(1, 60))
    tau = (1 - full - sum((1 - full ** (2.0**-k)) ** 2 * 2.0**-k for k in range(1, 60))) / 3
    z = 4096 * sigma + sum(counts[k] * 2.0**-k for k in range(1, 53)) + 4096 * tau * 2.0**-52
    assert Distinct().finish({"registers": registers}) == pytest.approx(4096**2 / (2 * math.log(2) * z), rel=1e-9)


def test_distinct_survives_full_registers() -> None:
    assert math.isfinite(Distinct().finish({"registers": np.full(4096, 52, np.uint8)}))


@given(st.lists(st.none() | st.sampled_from("abcde")))
def test_value_counts_are_those_of_a_counter(values: list[str | None]) -> None:
    expected = Counter(v for v in values if v is not None)
    found = of(ValueCounts(), pl.Series(values, dtype=pl.String))
    assert found == expected
    assert list(found) == sorted(found, key=lambda v: (-expected[v], v))
    assert list(of(ValueCounts(top=2), pl.Series(values, dtype=pl.String))) == list(found)[:2]


def test_value_counts_write_values_as_text() -> None:
    assert of(ValueCounts(), [1.5, -0.0, 0.0]) == {"0.0": 2, "1.5": 1}
    assert of(ValueCounts(), [True, False, True]) == {"true": 2, "false": 1}


@pytest.mark.parametrize("statistic", [Sum(), Moments(), Quantiles(), Extremes()])
def test_columns_that_are_no_numbers_are_refused_by_name(statistic: Statistic) -> None:
    with pytest.raises(UsageError, match=r"Column 'v' is of type List.*numbers are needed"):
        of(statistic, [[1]])
