"""Dates and ParseDates against the standard library's calendar."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.core import ConfigurationError
from tillage.prepare import Dates, ParseDates

ALL = (
    "year", "quarter", "month", "week", "week_year", "day", "day_of_year", "weekday", "is_weekend", "hour", "minute",
)  # fmt: skip
UTC = dt.UTC


def naive(year: int, month: int, day: int) -> dt.datetime:
    return dt.datetime(year, month, day, tzinfo=UTC).replace(tzinfo=None)


def parts_of(t: dt.datetime) -> tuple[Any, ...]:
    week_year, week, weekday = t.isocalendar()
    rest = (t.day, t.timetuple().tm_yday, weekday, weekday >= 6, t.hour, t.minute)
    return (t.year, (t.month + 2) // 3, t.month, week, week_year, *rest)


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.none() | st.datetimes(naive(1972, 1, 1), naive(2037, 12, 31)), max_size=12),
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin", "America/St_Johns"]),
)
def test_parts_as_the_standard_library_has_them(times: list[dt.datetime | None], zone: str) -> None:
    aware = [t and t.replace(tzinfo=UTC) for t in times]
    rows = pl.DataFrame({"t": aware, "u": times}, schema={"t": pl.Datetime("us", "UTC"), "u": pl.Datetime("us")})
    out = Dates(columns=("t", "u"), parts=ALL, time_zone=zone).apply(rows)
    moved = [t and t.astimezone(ZoneInfo(zone)) for t in aware]
    for name, local in (("t", moved), ("u", times)):
        found = out.select(f"{name}_{part}" for part in ALL).rows()
        assert found == [parts_of(t) if t else (None,) * len(ALL) for t in local]
    assert out.columns == ["t", "u", *(f"{c}_{part}" for c in "tu" for part in ALL)]


def test_days_and_columns_of_nulls() -> None:
    rows = pl.DataFrame({"d": [dt.date(2024, 12, 30), None], "e": [None, None]})
    out = Dates(columns=("d", "e"), parts=("week", "week_year", "is_weekend")).apply(rows)
    assert out.select(pl.exclude("d", "e")).rows() == [(1, 2025, False, None, None, None), (None,) * 6]
    assert out.schema["e_week"] == pl.Int64
    assert out.schema["e_is_weekend"] == pl.Boolean


def test_complaints_of_dates(rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match=r"'day' holds String.*Put `parse_dates` before"):
        Dates(columns=("day",)).apply(rows)
    days = ParseDates(columns=("day",)).apply(rows)
    with pytest.raises(ConfigurationError, match=r"'day' holds dates without a time, which have no hour"):
        Dates(columns=("day",), parts=("hour",)).apply(days)
    with pytest.raises(ConfigurationError, match="makes a column 'day_year', and there is one"):
        Dates(columns=("day",)).apply(days.with_columns(day_year=1))
    with pytest.raises(ValidationError, match="no time zone is called 'Mars'"):
        Dates(columns=("day",), time_zone="Mars")


def read(texts: Sequence[str | None], *formats: str, **given: Any) -> pl.DataFrame:
    step = ParseDates.model_validate({"columns": ["t"], **({"formats": formats} if formats else {}), **given})
    return step.apply(pl.DataFrame({"t": texts}, schema={"t": pl.String}))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.datetimes(naive(1000, 1, 1)), max_size=8),
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%B %d, %Y %I:%M:%S %p", "%Y年%m月%d日 %H:%M:%S"]),
)
def test_what_is_written_is_read(times: list[dt.datetime], fmt: str) -> None:
    whole = [t.replace(microsecond=0) for t in times]
    texts = [f" {t.strftime(fmt)} " for t in whole]
    assert read(texts, fmt, to="datetime")["t"].to_list() == [t.replace(tzinfo=UTC) for t in whole]
    assert read(texts, fmt)["t"].to_list() == [t.date() for t in whole]


def test_iso_by_default() -> None:
    texts = [
        "2024-01-05", "2024-01-05 23:30", "2024-01-05T23:30:01.5", "2024-01-05T23:30:00Z", "2024-01-05 23:30:00+08:00",
        "2024-01-05T23:30:00.25-0130", "", " ", None, "2024-02-30", "5.1.2024",
    ]  # fmt: skip
    out = read(texts, to="datetime")
    day, clock = dt.datetime(2024, 1, 5, tzinfo=UTC), dt.timedelta(hours=23, minutes=30)
    assert out["t"].to_list() == [
        day, day + clock, day + clock + dt.timedelta(seconds=1.5), day + clock, day + clock - dt.timedelta(hours=8),
        day + clock + dt.timedelta(hours=1.5, seconds=0.25), *[None] * 5,
    ]  # fmt: skip
    assert out["_reason"].to_list() == [None] * 9 + ["not_a_date"] * 2
    assert out.schema["t"] == pl.Datetime("us", "UTC")
    days = read(texts)
    assert days["t"].to_list() == [dt.date(2024, 1, 5)] * 6 + [None] * 5
    assert days["_reason"].to_list() == out["_reason"].to_list()
    assert "_reason" not in read(texts, failing="null").columns


@settings(max_examples=60, deadline=None)
@given(
    time=st.datetimes(naive(1000, 1, 1), naive(9999, 12, 31)).map(lambda t: t.replace(microsecond=0)),
    fmt=st.sampled_from(["%Y年%m月%d日 %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y／%m／%d　%H：%M：%S"]),
    wide=st.sets(st.integers(0, 30)),
)
def test_full_width_is_read_as_half_width(time: dt.datetime, fmt: str, wide: set[int]) -> None:
    plain = time.strftime(fmt.replace("%Y", f"{time.year:04}"))
    text = "".join(chr(ord(c) + 0xFEE0) if i in wide and "!" <= c <= "~" else c for i, c in enumerate(plain))
    rows = pl.DataFrame({"t": [text, None, "２０２４年１月５日", "２０２４年13月５日", "  "]})
    out = ParseDates(columns=("t",), formats=(fmt, "%Y年%m月%d日"), to="datetime").apply(rows)
    assert out.rows() == [
        (time.replace(tzinfo=UTC), None),
        (None, None),
        (dt.datetime(2024, 1, 5, tzinfo=UTC), None),
        (None, "not_a_date"),
        (None, None),
    ]


def test_the_first_format_that_fits_counts() -> None:
    assert read(["03/04/2024"], "%d/%m/%Y", "%m/%d/%Y")["t"].to_list() == [dt.date(2024, 4, 3)]
    assert read(["03/13/2024"], "%d/%m/%Y", "%m/%d/%Y")["t"].to_list() == [dt.date(2024, 3, 13)]


def test_clocks_that_change() -> None:
    """In Berlin 02:30 was not there on 31 March 2024, and came twice on 27 October."""
    out = read(["2024-03-31 02:30", "2024-10-27 02:30", "2024-07-01"], to="datetime", time_zone="Europe/Berlin")
    assert out["t"].to_list() == [
        None, dt.datetime(2024, 10, 27, 0, 30, tzinfo=UTC), dt.datetime(2024, 6, 30, 22, tzinfo=UTC),
    ]  # fmt: skip
    assert out["_reason"].to_list() == ["not_a_date", None, None]


def test_types_that_are_dates_already(nothing: pl.DataFrame, empty: pl.DataFrame) -> None:
    moment = dt.datetime(2024, 1, 5, 20, tzinfo=UTC)
    rows = pl.DataFrame({"d": [moment.date()], "t": [moment], "n": [moment.replace(tzinfo=None)]})
    assert ParseDates(columns=("d", "t", "n")).apply(rows).row(0)[:3] == (moment.date(),) * 3
    times = ParseDates(columns=("d", "t", "n"), to="datetime", time_zone="Asia/Shanghai").apply(rows)
    hours = [0, 20, 20]
    assert [t.hour for t in times.row(0)[:3]] == [(hours[0] - 8) % 24, hours[1], hours[2] - 8]
    for frame in (nothing, empty):
        assert ParseDates(columns=("day",), to="datetime").apply(frame).schema["day"] == pl.Datetime("us", "UTC")


def test_complaints_of_parse_dates(rows: pl.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="Column 'n' holds Int64, and parse_dates needs text"):
        ParseDates(columns=("n",)).apply(rows)
    for wrong, message in (("%Q", "stands for nothing"), ("soon", "names no part"), ("%z %H:%M", "not at its end")):
        with pytest.raises(ValidationError, match=message):
            ParseDates(columns=("day",), formats=(wrong,))
    step = ParseDates.example()
    assert ParseDates.model_validate(step.params()) == step


@pytest.mark.parametrize(
    ("zone", "texts", "years"),
    [
        ("America/New_York", ["9999-12-31 23:59", "9999-12-31 12:00", "0001-01-01 00:00"], [None, 9999, 1]),
        ("Asia/Shanghai", ["9999-12-31 23:59", "0001-01-01 00:00", "0000-05-05 00:00"], [9999, None, None]),
    ],
)
def test_what_lies_beyond_the_years_of_dates_is_no_date(zone: str, texts: list[str], years: list[int | None]) -> None:
    step = ParseDates.model_validate(
        {"columns": ["t"], "formats": ["%Y-%m-%d %H:%M"], "to": "datetime", "time_zone": zone}
    )
    out = step.apply(pl.DataFrame({"t": texts}))
    assert [None if t is None else t.year for t in out["t"].to_list()] == years
    assert out["_reason"].to_list() == [None if year else "not_a_date" for year in years]
    plain = pl.DataFrame({"t": texts}).select(pl.col("t").str.to_datetime("%Y-%m-%d %H:%M"))
    again = step.model_copy(update={"failing": "null"}).apply(plain)
    assert again["t"].equals(out["t"])
