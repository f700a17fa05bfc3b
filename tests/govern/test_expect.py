"""Expect against plain Python, row by row; its words; its states."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError, Verdict
from tillage.core.state import decode, digest, encode
from tillage.govern import Expect


def judge(rows: pl.DataFrame, *checks: dict[str, Any]) -> tuple[Verdict, ...]:
    step = Expect.model_validate({"checks": checks})
    return step.finish(step.update(step.start(), rows))


def one(frame: pl.DataFrame, **check: Any) -> Verdict:
    (found,) = judge(frame, check)
    return found


values = st.lists(
    st.tuples(
        st.none() | st.integers(-3, 3),
        st.none() | st.floats(-3, 3) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0.0]),
        st.none() | st.sampled_from(["a", "b", "ab", "发烧", ""]),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(data=values, at_least=st.sampled_from([0.0, 0.5, 0.75, 1.0]), cut=st.integers(0, 12))
def test_every_part_against_plain_python(data: list[tuple[Any, Any, Any]], at_least: float, cut: int) -> None:
    step = Expect.model_validate(
        {
            "checks": [
                {"column": "f", "min": -1, "max": 1.5, "at_least": at_least},
                {"column": "n", "not_null": True, "min": -1.5, "one_of": [0, 1, 2.5], "at_least": at_least},
                {"column": "t", "matches": "^[ab]", "one_of": ["a", "发烧"], "at_least": at_least},
                {"where": "n > 0 or t = 'a'", "at_least": at_least},
                {"column": "f", "unique": True},
                {"column": "t", "unique": True},
                {"rows": {"min": 3, "max": 5}},
            ]
        }
    )
    rows = pl.DataFrame(data, schema={"n": pl.Int64, "f": pl.Float64, "t": pl.String}, orient="row")
    ns, fs, ts = ([v for v in column if v is not None] for column in (rows["n"], rows["f"], rows["t"]))

    def share(held: list[bool]) -> bool:
        return not held or sum(held) / len(held) >= at_least

    def repeated(column: list[Any]) -> int:
        return sum(
            c > 1 for c in Counter("nan" if isinstance(v, float) and math.isnan(v) else v for v in column).values()
        )

    want = [
        share([v >= -1 for v in fs]),
        share([v <= 1.5 for v in fs]),
        share([v is not None for v in rows["n"]]),
        share([v >= -1.5 for v in ns]),
        share([v in (0, 1, 2.5) for v in ns]),
        share([v in ("a", "发烧") for v in ts]),
        share([re.search("^[ab]", v) is not None for v in ts]),
        share([(n is not None and n > 0) or t == "a" for n, _, t in data]),
        repeated(fs) == 0,
        repeated(ts) == 0,
        len(data) >= 3,
        len(data) <= 5,
    ]
    whole = step.update(step.start(), rows)
    assert [v.passed for v in step.finish(whole)] == want
    assert step.finish(whole)[8].measured == repeated(fs)

    first, second = step.update(step.start(), rows[:cut]), step.update(step.start(), rows[cut:])
    kept = digest(first)
    assert digest(step.merge(second, first)) == digest(whole) == digest(step.update(first, rows[cut:]))
    assert digest(step.merge(whole, step.start())) == digest(whole)
    assert digest(first) == kept
    assert step.finish(decode(encode(whole))) == step.finish(whole)
    shuffled = rows.sample(fraction=1, shuffle=True, seed=cut)
    assert digest(step.update(step.start(), shuffled)) == digest(whole)


def test_the_plan_of_the_design() -> None:
    rows = pl.DataFrame({"disease": ["flu", None, "cold"]})
    found = one(rows, column="disease", not_null=True)
    assert found == Verdict(
        name="disease not_null", passed=False, measured=2 / 3, limit=1.0, why="1 of 3 rows has no value in 'disease'."
    )


@pytest.mark.parametrize(
    ("check", "measured", "limit", "why"),
    [
        ({"column": "n", "min": 0}, -1, 0, "1 of 6 values of 'n' is below 0; the smallest is -1."),
        ({"column": "n", "max": 9}, 9, 9, "All 6 values of 'n' are at most 9; the largest is 9."),
        ({"column": "x", "max": 1}, math.inf, 1, "2 of 5 values of 'x' are above 1 or NaN; the largest is inf."),
        ({"column": "x", "min": -1}, "NaN", -1, "1 of 5 values of 'x' is below -1 or NaN; the smallest is 0.0."),
        ({"column": "city", "unique": True}, 2, 0, "2 values of 'city' occur more than once, in 4 rows."),
        ({"column": "id", "unique": True}, 0, 0, "No value of 'id' occurs twice among 6."),
        ({"column": "city", "one_of": ["x", "y"]}, 4 / 6, 1.0,
         "2 of 6 values of 'city' are not among the 2 values allowed."),
        ({"column": "day", "matches": "^2024"}, 5 / 6, 1.0, "1 of 6 values of 'day' does not match ^2024"),
        ({"where": "n >= 0", "at_least": 0.5}, 5 / 6, 0.5, "1 of 6 rows does not fulfil: n >= 0"),
        ({"where": "true"}, 1.0, 1.0, "All 6 rows fulfil: true"),
        ({"rows": {"min": 7}}, 6, 7, "The table has 6 rows; at least 7 are expected."),
        ({"column": "n", "type": "text"}, "int64", "text", "Column 'n' is int64."),
    ],
)  # fmt: skip
def test_measured_limit_and_words(
    rows: pl.DataFrame, check: dict[str, Any], measured: Any, limit: Any, why: str
) -> None:
    found = one(rows, **check)
    assert (found.measured, found.limit, found.why) == (measured, limit, why)


def test_dates_as_texts_as_dates_and_as_times() -> None:
    days = [dt.date(2024, 1, 5), dt.date(2024, 2, 1), None]
    rows = pl.DataFrame({"d": days}).with_columns(
        t=pl.col("d").cast(pl.String),
        m=pl.col("d").cast(pl.Datetime),
        z=pl.col("d").cast(pl.Datetime).dt.replace_time_zone("Asia/Shanghai"),
    )
    for column, limit in (("d", "2024-02-01"), ("t", "2024-02-01"), ("m", "2024-02-01"), ("z", "2024-01-31T16:00:00")):
        for bound in (limit, dt.date.fromisoformat(limit) if "T" not in limit else limit):
            assert one(rows, column=column, max=bound).passed, column
            assert one(rows, column=column, min="2024-01-01").passed
            assert not one(rows, column=column, min=bound).passed
    assert one(rows, column="d", min="2024-01-10").measured == "2024-01-05"
    assert one(rows, column="d", one_of=["2024-01-05", "2024-02-01"]).passed
    with pytest.raises(ConfigurationError, match="'soon', which is no date"):
        one(rows, column="d", min="soon")


def test_large_integers_are_not_rounded() -> None:
    rows = pl.DataFrame({"n": [2**53 + 1]})
    assert not one(rows, column="n", max=2**53).passed
    assert not one(rows, column="n", max=float(2**53)).passed
    assert not one(rows, column="n", one_of=[2**53]).passed
    assert one(rows, column="n", max=2**200).passed
    assert one(rows, column="n", min=-(2**200)).passed


def test_types() -> None:
    rows = pl.DataFrame(
        {"n": [1], "f": [1.0], "t": ["a"], "b": [True], "d": [dt.date(2024, 1, 5)], "m": [dt.datetime(2024, 1, 5)]}  # noqa: DTZ001
    )
    for column, name in zip("nftbdm", ("int64", "float64", "text", "bool", "date", "datetime"), strict=True):
        assert one(rows, column=column, type=name).passed
        assert not one(rows, column=column, type="text" if name != "text" else "bool").passed
    text = {"column": "t", "type": "text", "one_of": ["a"], "matches": "a"}
    assert all(v.passed for v in judge(rows.cast({"t": pl.Categorical}), text))


def test_hostile_frames(rows: pl.DataFrame, empty: pl.DataFrame, nothing: pl.DataFrame) -> None:
    step = Expect.example()
    assert set(step.needs()) == {"id", "x", "city", "day", "n"}
    for frame in (empty, nothing):
        found = step.finish(step.update(step.start(), frame))
        assert len(found) == len(step.finish(step.start())) == 15
        failed = {v.name for v in found if not v.passed}
        assert failed == {"day fresh", *(["rows min"] if frame.height == 0 else ["id not_null", "where"])}
    assert all(v.passed for v in step.finish(step.update(step.start(), rows)))
    with pytest.raises(ConfigurationError, match=r"'cty'. Did you mean 'city'\?\n.*'dayy'. Did you mean 'day'"):
        judge(rows, {"column": "cty", "not_null": True}, {"column": "dayy", "not_null": True})
    with pytest.raises(ConfigurationError, match=r"'m'. Did you mean 'n'|No column is called 'm'"):
        one(rows, where="m > 1")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"column": "city", "min": 5}, "'min' of the check on 'city' is 5, and the column is text"),
        ({"column": "n", "max": "5"}, "'max' of the check on 'n' is '5', and the column is int64"),
        ({"column": "city", "one_of": [True]}, "Put quotes round yes, no"),
        ({"column": "n", "one_of": [True]}, "is True, and the column is int64"),
        ({"column": "n", "matches": "5"}, "'matches' of the check on 'n' needs text"),
    ],
)
def test_a_limit_of_another_type_is_a_mistake_in_the_plan(
    rows: pl.DataFrame, check: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        one(rows, **check)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"column": "a"}, "must say what to expect"),
        ({"not_null": True}, "'not_null' needs a column"),
        ({"column": "a", "matches": "(a"}, "not a regular expression of the linear-time kind"),
        ({"column": "a", "matches": r"(?=a)b"}, "not a regular expression of the linear-time kind"),
        ({"column": "a", "min": math.nan}, "finite"),
        ({"column": "a", "nulls": 0}, "Extra inputs"),
        ({"column": "a", "not_null": True, "at_least": 1.2}, "less than or equal to 1"),
        ({"rows": {"min": -1}}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_checked_is_refused_at_once(check: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Expect.model_validate({"checks": [check]})


def test_ten_kilobytes_of_as_cost_linear_time() -> None:
    rows = pl.DataFrame({"t": ["a" * 10_000]})
    assert not one(rows, column="t", matches="^(a+)+$b").passed


def test_the_state_of_unique_is_sixteen_bytes_a_value() -> None:
    step = Expect.model_validate({"checks": [{"column": "n", "unique": True}]})
    rows = pl.DataFrame({"n": range(1000)})
    state = step.update(step.start(), rows)
    assert len(encode(step.merge(state, state))) < 1000 * 16 + 400
    assert step.finish(step.merge(state, state))[0].measured == 1000


def test_parameters_round_trip() -> None:
    step = Expect.example()
    assert Expect.model_validate(step.params()) == step
    assert Expect.model_validate(step.params()).fingerprint() == step.fingerprint()


@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_moments_beyond_the_years_of_python_are_judged(unit: Any, zone: str | None) -> None:
    days = pl.Series("d", [4_000_000, -800_000, 19_000], dtype=pl.Int32).cast(pl.Date)
    rows = pl.DataFrame([days, days.cast(pl.Datetime(unit)).dt.replace_time_zone(zone).alias("t")])
    for column in ("d", "t"):
        low, high = one(rows, column=column, min="1900-01-01"), one(rows, column=column, max="2030-01-01")
        assert (low.passed, high.passed) == (False, False)
        assert f"1 of 3 values of '{column}' is below 1900-01-01; the smallest is 0001-01-01" in low.why
        assert f"1 of 3 values of '{column}' is above 2030-01-01; the largest is 9999-12-31" in high.why
        fresh = one(rows, column=column, fresh={"within": "2d", "as_of": "2024-01-01"})
        assert (fresh.passed, "9999-12-31T23:59:59.999999+00:00" in fresh.why) == (True, True)
