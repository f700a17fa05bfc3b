"""When a row happened: columns that can order rows, and lengths of time between them. Cost: a look at the schema."""

from __future__ import annotations

import re
from typing import Annotated

import polars as pl
from pydantic import AfterValidator

from tillage.core.errors import BadData, ConfigurationError
from tillage.prepare.columns import require

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_LENGTH = re.compile(r"([1-9][0-9]{0,8})(w|d|h|m|s)?")


def read_length(text: str) -> tuple[int, str]:
    """(number, unit) of a length such as `7d`; the unit is "" for a column of integers.

    >>> read_length("36h"), read_length("100")
    ((36, 'h'), (100, ''))
    """
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no length of time; write 7d, 36h, 15m, 30s or 2w, or a number for integers")
    return int(match[1]), match[2] or ""


def _valid(text: str) -> str:
    read_length(text)
    return text


Length = Annotated[str, AfterValidator(_valid)]
"""Weeks, days of 24 hours, hours, minutes, seconds; a bare number for a column of integers."""


def require_time(rows: pl.DataFrame, column: str) -> None:
    """Raise ConfigurationError unless the column can order rows: dates, times or integers.

    >>> require_time(pl.DataFrame({"day": ["2024-01-05"]}), "day")
    Traceback (most recent call last):
    tillage.core.errors.ConfigurationError: Column 'day' holds String, which does not order rows in time. Put \
`parse_dates` or `cast` before this step.
    """
    require(rows, [column])
    dtype = rows.schema[column]
    if not (dtype in {pl.Date, pl.Null} or isinstance(dtype, pl.Datetime) or dtype.is_integer()):
        raise ConfigurationError(
            f"Column '{column}' holds {dtype}, which does not order rows in time.",
            fix="Put `parse_dates` or `cast` before this step.",
        )


def ticks(values: pl.Series) -> pl.Series:
    """The column as Int64: days, units of the time, or the integers themselves; BadData beyond 64 bits.

    >>> ticks(pl.Series([2**63], dtype=pl.UInt64))
    Traceback (most recent call last):
    tillage.core.errors.BadData: '' orders rows in time and holds 9223372036854775808, which is beyond 2^63 - 1. Look \
for wrong values with `tillage show`, and filter them before this step.
    """
    whole = values.to_physical()
    made = whole.cast(pl.Int64, strict=False)
    if made.null_count() > whole.null_count():
        beyond = whole.filter(made.is_null() & whole.is_not_null())[0]
        raise BadData(
            f"'{values.name}' orders rows in time and holds {beyond}, which is beyond 2^63 - 1.",
            fix="Look for wrong values with `tillage show`, and filter them before this step.",
        )
    return made


def length_in_ticks(dtype: pl.DataType, text: str, column: str) -> int:
    """The length in the ticks of a column of this type; raises ConfigurationError where the two do not go together.

    >>> length_in_ticks(pl.Datetime("ms"), "2s", "seen")
    2000
    """
    number, unit = read_length(text)
    if dtype.is_integer() or dtype == pl.Null:
        if unit and dtype != pl.Null:
            raise ConfigurationError(
                f"Column '{column}' holds {dtype}: a length of it is a bare number, not '{text}'.",
                fix=f"Write '{number}', or read the column as times before: `parse_dates`.",
            )
        return number
    if not unit:
        raise ConfigurationError(
            f"Column '{column}' holds {dtype}: '{text}' needs a unit.", fix=f"Write '{text}d' for days, or h, m, s, w."
        )
    seconds = number * _SECONDS[unit]
    if dtype == pl.Date:
        if seconds % 86_400:
            raise ConfigurationError(
                f"Column '{column}' holds days, and '{text}' is not a whole number of them.",
                fix="Write a number of days, such as 2d, or read the column as times: `to: datetime` of parse_dates.",
            )
        return seconds // 86_400
    assert isinstance(dtype, pl.Datetime)
    return seconds * {"ms": 10**3, "us": 10**6, "ns": 10**9}[dtype.time_unit]
