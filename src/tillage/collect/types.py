"""The narrowest type that holds every value of a column unchanged, and the cast to it.

null, int64, float64, text, and where the file itself has types: bool, and Polars' own by name. 007, +5, -0, 1_000, nan
and 2^70 are text; a decimal is float64 when the shortest text of its double has the same value (1.10 has,
12345678901234567890.123 has not). What was observed in two places merges to what would be observed in both together.
Cost: about 0.1 us a value, once for a column of text (its first value decides).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl

NULL, INT, FLOAT, TEXT, BOOL = "null", "int64", "float64", "text", "bool"
DATE, DATETIME = "date", "datetime"

DTYPES: dict[str, pl.DataType] = {
    NULL: pl.Null(),
    INT: pl.Int64(),
    FLOAT: pl.Float64(),
    TEXT: pl.String(),
    BOOL: pl.Boolean(),
    DATE: pl.Date(),
    DATETIME: pl.Datetime("us", "UTC"),
}
_PLAIN = {name: getattr(pl, name)() for name in ("Int8", "Int16", "Int32", "UInt8", "UInt16", "UInt32", "UInt64")}
_PLAIN |= {"Float32": pl.Float32(), "Time": pl.Time(), "Binary": pl.Binary()}
_INTEGERS = {INT, "Int8", "Int16", "Int32", "UInt8", "UInt16", "UInt32"}
_FLOATS = {FLOAT, "Float32"}

EXACT = 1 << 53
"""Integers below this have a double of their own."""

_NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?")
_NO_NUMBER = "[+-]?(?:[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])"
"""What programs write for the numbers that are none."""
_FEW = 2_000
"""So many values are checked sooner by Python than by starting a query."""
_SHORT = r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)|\.[0-9]+|[1-9][0-9]*|0)$"
"""A decimal without exponent; with at most 15 characters it always survives (IEEE 754: 15 digits do)."""


@dataclass
class Column:
    """What the values of one column need.

    `type`: a name of DTYPES, or Polars' own; `wide`: an integer of 2^53 or more is among them, which no double can be
    trusted with; `empty`: a quoted empty text is, which is null in a column of numbers and a value in one of text.
    """

    type: str = NULL
    wide: bool = False
    empty: bool = False

    def merge(self, other: Column) -> Column:
        """What the values of both need.

        >>> Column("int64").merge(Column("float64")).type, Column("int64", wide=True).merge(Column("float64")).type
        ('float64', 'text')
        """
        wide = self.wide or other.wide
        return Column(_merged(self.type, other.type, wide), wide, self.empty or other.empty)

    def final(self) -> str:
        """The type once all is known: a column of nothing but empty texts is text."""
        return TEXT if self.type == NULL and self.empty else self.type


class ClashError(ValueError):
    """Two types of which no value could stay what it is."""


def _merged(a: str, b: str, wide: bool) -> str:
    if a == b:
        return a
    if NULL in (a, b):
        return b if a == NULL else a
    kinds = {a, b}
    if kinds <= _INTEGERS:
        return INT
    if kinds <= _INTEGERS | _FLOATS:
        return TEXT if wide else FLOAT
    if all(k.startswith("Datetime") or k == DATETIME for k in kinds):
        zoned = [k == DATETIME or "," in k for k in (a, b)]
        if all(zoned):
            return "Datetime(ns, UTC)" if any("ns" in k for k in kinds) else DATETIME
        if any(zoned):
            raise ClashError("one has times of a zone, the other times without")
        return "Datetime(ns)" if any("ns" in k for k in kinds) else "Datetime(us)"
    if "Binary" in kinds:
        raise ClashError("one has bytes")
    return TEXT


def dtype_of(name: str) -> pl.DataType:
    """The Polars type of a type's name.

    >>> dtype_of("text"), dtype_of("Decimal(10, 2)")
    (String, Decimal(precision=10, scale=2))
    """
    if name in DTYPES:
        return DTYPES[name]
    if name in _PLAIN:
        return _PLAIN[name]  # type: ignore[no-any-return]
    match = re.fullmatch(r"(Datetime|Duration|Decimal)\((\w+)(?:, (\w+))?\)", name)
    if not match:
        raise ValueError(f"no type is called {name!r}")
    if match[1] == "Decimal":
        return pl.Decimal(int(match[2]), int(match[3]))
    unit = match[2]
    if unit not in ("ms", "us", "ns"):
        raise ValueError(f"no type is called {name!r}")
    return pl.Duration(unit) if match[1] == "Duration" else pl.Datetime(unit, match[3])  # type: ignore[arg-type]


def name_of(dtype: pl.DataType) -> str:
    """The inverse of `dtype_of`."""
    for name, known in DTYPES.items():
        if dtype == known:
            return name
    if isinstance(dtype, pl.Datetime):
        return f"Datetime({dtype.time_unit}, {dtype.time_zone})" if dtype.time_zone else f"Datetime({dtype.time_unit})"
    if isinstance(dtype, pl.Duration):
        return f"Duration({dtype.time_unit})"
    if isinstance(dtype, pl.Decimal):
        return f"Decimal({dtype.precision}, {dtype.scale})"
    return str(dtype)


@dataclass
class Seen:
    """The columns of one file in the making: name to what it needs, in the order in which they came."""

    columns: dict[str, Column] = field(default_factory=dict)

    def add(self, name: str, column: Column) -> None:
        """Take note of a stretch of a column."""
        self.columns[name] = self.columns[name].merge(column) if name in self.columns else column

    def knows(self, name: str) -> str:
        """The type so far."""
        return self.columns[name].type if name in self.columns else NULL


def infer(values: pl.Series, so_far: str = NULL) -> tuple[Column, pl.Series]:
    """What a column of texts needs, and its values in that type; a column known to be text stays as it is.

    >>> infer(pl.Series("n", ["1", None, "-2"]))[0], infer(pl.Series("n", ["007"]))[0].type
    (Column(type='int64', wide=False, empty=False), 'text')
    """
    if so_far == TEXT:
        return Column(TEXT), values
    nulls = values.null_count()
    if nulls == len(values):
        return Column(NULL), values
    numbers, empty = values, False
    for value in values.head(8).to_list():
        if value and not _is_number(value):
            return Column(TEXT), values
    integers = values.cast(pl.Int64, strict=False)
    if integers.null_count() > nulls:
        blank = values == ""
        empty = bool(blank.any())
        if empty:
            numbers = values.set(blank, None)
            nulls = numbers.null_count()
            if nulls == len(values):
                return Column(NULL, empty=True), values
    if integers.null_count() == nulls and (integers.cast(pl.String) == numbers).all():
        low, high = integers.min(), integers.max()
        wide = low <= -EXACT or high >= EXACT  # type: ignore[operator]
        return Column(INT, wide=bool(wide), empty=empty), integers
    doubles = _doubles(numbers, nulls)
    if doubles is None:
        return Column(TEXT), values
    return Column(FLOAT, empty=empty), doubles


def why_text(values: pl.Series) -> str | None:
    """Why a column of texts that seems to be one of numbers is text all the same; None where it holds other texts.

    >>> why_text(pl.Series(["1.5", "inf"])), why_text(pl.Series(["7", "1180591620717411303424"]))
    ("'inf' stands among its numbers; declare it float64 to set such records aside", \
'it holds whole numbers beyond 64 bits; declare it float64 to have them rounded')
    >>> why_text(pl.Series(["7", "Ulm"])), why_text(pl.Series(["007", "7"]))
    (None, None)
    """
    if not all(_is_number(v) or re.fullmatch(_NO_NUMBER, v) for v in values.head(8).to_list() if v):
        return None
    known = values.drop_nulls()
    known = known.filter(known != "")
    odd = known.str.contains(f"^(?:{_NO_NUMBER})$")
    numbers = known.filter(~odd)
    if not len(numbers) or not numbers.str.contains(f"^(?:{_NUMBER.pattern})$").all() or (numbers == "-0").any():
        return None
    if odd.any():
        return f"'{known.filter(odd)[0]}' stands among its numbers; declare it float64 to set such records aside"
    whole = numbers.filter(numbers.str.contains("^-?[0-9]+$"))
    if whole.cast(pl.Int64, strict=False).null_count():
        return "it holds whole numbers beyond 64 bits; declare it float64 to have them rounded"
    return "it holds numbers of more digits than float64 keeps; declare it float64 to have them rounded"


def _doubles(numbers: pl.Series, nulls: int) -> pl.Series | None:
    """The column as float64; None when one value would change."""
    doubles = numbers.cast(pl.Float64, strict=False)
    known = doubles.drop_nulls() if nulls else doubles  # a query even where there is nothing to drop
    if doubles.null_count() > nulls or not np.isfinite(known.to_numpy()).all():
        return None
    # Where the shortest text of the double is the text itself there is nothing to check; few are left.
    rest = numbers.filter(doubles.cast(pl.String) != numbers)
    if len(rest) > _FEW:
        rest = rest.filter(~((rest.str.len_bytes() <= 15) & rest.str.contains(_SHORT)) | (rest == "-0"))
    return (
        doubles
        if all(_is_number(v) and ((len(v) <= 15 and "e" not in v.lower()) or _survives(v)) for v in rest.to_list())
        else None
    )


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and text != "-0"


def _survives(text: str) -> bool:
    """Whether the double of a number has exactly the same decimal value when it is written; huge exponents have not."""
    if len(text) > 400 or (len(text) > 15 and text.lstrip("-").isdigit() and abs(int(text)) >= EXACT):
        return False
    number = float(text)
    return Decimal(repr(number)) == Decimal(text) if number - number == 0 else False


def cast(values: pl.Series, to: str, declared: bool = False, *, any_day: bool = False) -> tuple[pl.Series, list[int]]:
    """The values in the type `to`, and the indices of those that have no such value (null there).

    Texts of a `declared` type are read as people write them: `007` and ` 5` are integers, `yes` is true. A date before
    15 October 1582, when calendars differed, or in the year 9999, which stands for none, is no date; unless `any_day`
    says that what wrote it has days of its own, as a database does.

    >>> cast(pl.Series("n", ["007", "x"]), "int64", declared=True)[1]
    [1]
    >>> until = pl.Series("until", ["9999-12-31"])
    >>> cast(until, "date", declared=True)[1], cast(until, "date", declared=True, any_day=True)[1]
    ([0], [])
    """
    dtype = dtype_of(to)
    if values.dtype == dtype:
        return values, []
    if values.null_count() == len(values):
        return pl.Series(values.name, [None] * len(values), dtype=dtype), []
    if to == NULL:
        return pl.Series(values.name, [None] * len(values), dtype=dtype), _indices(
            values.is_not_null() & (values.cast(pl.String) != "")
        )
    if to == TEXT:
        return _texts(values), []
    made = _from_text(values, to, declared, any_day) if values.dtype == pl.String else _between(values, to)
    lost = made.is_null() & values.is_not_null()
    if values.dtype == pl.String:
        lost &= values != ""
    return made, _indices(lost) if lost.any() else []


def _indices(mask: pl.Series) -> list[int]:
    return mask.fill_null(value=False).arg_true().to_list()


def _texts(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Binary:
        raise ClashError("bytes have no text")
    return values.cast(pl.String)


def _between(values: pl.Series, to: str) -> pl.Series:
    """From one typed column to another; what would not come back the same becomes null."""
    dtype = dtype_of(to)
    if isinstance(values.dtype, pl.Datetime) and isinstance(dtype, pl.Datetime):
        if (values.dtype.time_zone is None) != (dtype.time_zone is None):
            return _from_text(_texts(values), to, declared=True)
        return values.cast(dtype, strict=False)
    if values.dtype.is_numeric() and dtype.is_numeric():
        made = values.cast(dtype, strict=False)
        same = made.cast(values.dtype, strict=False) == values
        if values.dtype.is_integer() and dtype.is_float():
            same &= values.cast(pl.Int128).abs() <= EXACT
        if values.dtype.is_float():
            same |= values.is_nan() & dtype.is_float()
        return made.set(~same.fill_null(value=True), None)
    return _from_text(_texts(values), to, declared=True)


def _from_text(values: pl.Series, to: str, declared: bool, any_day: bool = False) -> pl.Series:
    if not declared:
        made = values.cast(dtype_of(to), strict=False)
        if to == INT:
            return made.set((made.cast(pl.String) != values).fill_null(value=False), None)
        return made.set(made.is_finite().not_().fill_null(value=False), None) if to == FLOAT else made
    trimmed = values.str.strip_chars()
    if to == BOOL:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        return trimmed.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
    if to == DATE:
        days = _shaped(trimmed, r"^\d{4}-\d{2}-\d{2}$").str.to_date("%Y-%m-%d", strict=False)
        return days if any_day else _known(days)
    if to == DATETIME:
        return _moments(trimmed) if any_day else _known(_moments(trimmed))
    made = trimmed.cast(dtype_of(to), strict=False)
    if to == FLOAT:
        return made.set(made.is_finite().not_().fill_null(value=False), None)
    return made


_FIRST_DAY, _LAST_DAY = date(1582, 10, 15), date(9998, 12, 31)
_DAY = r"^(\d{4}-\d{2}-\d{2})"
_MOMENT = _DAY + r"(?:[T ](\d{2}:\d{2})(?::(\d{2}(?:\.\d{1,6})?))?\s?(Z|[+-]\d{2}:?\d{2})?)?$"


def _moments(values: pl.Series) -> pl.Series:
    """ISO 8601 to microseconds in UTC; a time without an offset is taken to be UTC."""
    parts = values.str.extract_groups(_MOMENT).struct.rename_fields(["day", "clock", "second", "zone"]).struct.unnest()
    offset = pl.col("zone").replace({"Z": "+0000"}).fill_null("+0000").str.replace(":", "")
    minutes = offset.str.slice(1, 2).cast(pl.Int64) * 60 + offset.str.slice(3, 2).cast(pl.Int64)
    signed = pl.when(offset.str.starts_with("-")).then(-minutes).otherwise(minutes)
    text = pl.concat_str(
        pl.col("day"), pl.lit(" "), pl.col("clock").fill_null("00:00"), pl.lit(":"), pl.col("second").fill_null("00")
    )
    local = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    made = parts.select((local - pl.duration(minutes=signed)).dt.replace_time_zone("UTC")).to_series()
    return made.alias(values.name)


def _known(days: pl.Series) -> pl.Series:
    """The days that mean one day: those before the Gregorian calendar and of the year 9999 (a placeholder) are null."""
    day = days.dt.date()
    return days.set(((day < _FIRST_DAY) | (day > _LAST_DAY)).fill_null(value=False), None)


def _shaped(values: pl.Series, pattern: str) -> pl.Series:
    """The values of that shape, null for the others: `to_date` alone would take 2024-1-5 and more."""
    return values.set(~values.str.contains(pattern).fill_null(value=False), None)


def union(states: Iterable[tuple[str, dict[str, Column]]]) -> dict[str, Column]:
    """The columns of all files (path, columns), in the order in which they first come; a ClashError names both."""
    out: dict[str, Column] = {}
    origin: dict[str, str] = {}
    for path, columns in states:
        for name, column in columns.items():
            try:
                merged = out[name].merge(column) if name in out else column
            except ClashError as error:
                raise ClashError(f"column '{name}' of {origin[name]} and {path}: {error}") from error
            if name not in origin or merged.type != out[name].type:
                origin[name] = path
            out[name] = merged
    return out
