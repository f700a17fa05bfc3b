"""Texts become dates or times by the formats that are named, in their order; what fits none leaves with a reason.

Nothing is guessed: 03/04/2024 is in March or in April as the format says, for every row of every chunk alike. Cost:
one parse a format, of the texts that none before it could read.
Source: the directives of the chrono crate (a superset of C's strftime), months and weekdays in English.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

import polars as pl
from pydantic import AfterValidator, Field

from tillage.core.columns import Columns
from tillage.core.errors import ConfigurationError, Problem
from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.prepare.columns import remedy, require
from tillage.prepare.time_zone import Ambiguous, TimeZone, in_zone
from tillage.text.unicode import is_ascii

REASON = "not_a_date"
"""The reason of a row that leaves."""

ISO = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
)
"""ISO 8601 as it is mostly written; `%#z` also reads `Z`, `+08` and `+0800`."""

_DIRECTIVE = re.compile(r"%(?:[YCymbBhdeHkIlMSpPjaAFTRDzf%]|\.f|[369]f|\.[369]f|:z|#z)")
_TIMED = re.compile(r"%(?:[HkIlMSTR]|\.?[369]?f)")
_OFFSET = re.compile(r"%[:#]?z")
_WIDE = {0x3000: " ", **{point: chr(point - 0xFEE0) for point in range(0xFF01, 0xFF5F)}}
"""Signs in full width, and what they are in half width."""
_WRITTEN_OFFSET = r"(?:Z|[+-]\d{2}:?(?:\d{2})?)$"


def _format(text: str) -> str:
    rest = _DIRECTIVE.sub("", text)
    if "%" in rest:
        raise ValueError(f"{text!r} has a % that stands for nothing; a format is written such as %d.%m.%Y %H:%M")
    if not _DIRECTIVE.search(text.replace("%%", "")):
        raise ValueError(f"{text!r} names no part of a date; a format is written such as %d.%m.%Y %H:%M")
    offset = _OFFSET.search(text)
    if offset and (offset.end() < len(text) or not _TIMED.search(text)):
        raise ValueError(f"{text!r} has an offset that is not at its end, after a time")
    return text


Format = Annotated[str, AfterValidator(_format)]


class ParseDates(Map):
    """Read columns of texts as dates (`to: date`) or as times in UTC (`to: datetime`, microseconds).

    Spaces at the ends do not count, and full width counts as half width; a text that is empty then becomes null. A time
    without an offset is one of `time_zone`: by `ambiguous` where clocks go back, and none at all in the hour that is
    left out. With `to: date` the day is taken as it is written. Columns that hold dates or times already are only
    brought to the type.

    >>> rows = pl.DataFrame({"day": ["05.01.2024", "２０２４年1月6日", "soon"]})
    >>> step = ParseDates(columns=("day",), formats=("%d.%m.%Y", "%Y年%m月%d日"))
    >>> [(str(day), reason) for day, reason in step.apply(rows).rows()]
    [('2024-01-05', None), ('2024-01-06', None), ('None', 'not_a_date')]
    """

    columns: Columns = Field(min_length=1, description="columns of texts")
    formats: tuple[Format, ...] = Field(
        ISO,
        min_length=1,
        description="how they are written, such as %d.%m.%Y or %Y-%m-%d %H:%M:%S; the first fit counts",
    )
    to: Literal["date", "datetime"] = Field("date", description="days, or times in UTC")
    time_zone: TimeZone = Field("UTC", description="zone of times that are written without an offset")
    ambiguous: Ambiguous = Field(
        "earliest", description="which of the two a time is that clocks show twice, or that it fits no format"
    )
    failing: Literal["leave", "null"] = Field("leave", description="what fits no format: its row leaves, or it is null")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("day", "text"), failing="null")

    def needs(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with dates; raises ConfigurationError for a column that is missing or cannot hold dates."""
        require(rows, self.columns)
        wrong = [c for c in self.columns if not _can_be_read(rows.schema[c])]
        if wrong:
            raise ConfigurationError(
                Problem(
                    f"Column '{c}' holds {rows.schema[c]}, and parse_dates needs text. "
                    f"{remedy(c, rows.schema[c], 'text')}"
                )
                for c in wrong
            )
        narrow = rows.with_columns(_in_half_width(rows[c]) for c in self.columns)
        made = narrow.select(self.parsed(c, rows.schema[c]).alias(c) for c in self.columns)
        out = rows.with_columns(made)
        if self.failing == "null":
            return out
        lost = pl.DataFrame([made[c].is_null() & has_text(rows[c]) for c in self.columns])
        return leave(out, REASON, pl.lit(lost.select(pl.any_horizontal(pl.all()).alias("lost"))["lost"]))

    def parsed(self, column: str, dtype: pl.DataType) -> pl.Expr:
        """The expression that reads a column of this type; null where it cannot, and beyond the years 1 to 9999."""
        if dtype == pl.String:
            text = pl.col(column).str.strip_chars()
            return pl.coalesce(_in_reach(self._read(text, f.translate(_WIDE))) for f in self.formats)
        if dtype == pl.Null:
            return pl.col(column).cast(pl.Date if self.to == "date" else pl.Datetime("us", "UTC"))
        value = pl.col(column)
        if self.to == "date":
            return value.cast(pl.Date)
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
            return value.dt.convert_time_zone("UTC").cast(pl.Datetime("us", "UTC"))
        return _in_reach(self._moment(value.cast(pl.Datetime("us"))))

    def _read(self, text: pl.Expr, format_: str) -> pl.Expr:
        if not _TIMED.search(format_):
            day = text.str.to_date(format_, strict=False)
            return day if self.to == "date" else self._moment(day.cast(pl.Datetime("us")))
        if self.to == "date" and _OFFSET.search(format_):
            # The day as it is written, which the offset would move: it is read, so that nonsense fails, and left out.
            read = text.str.to_datetime(format_, strict=False, time_unit="us")
            plain = _OFFSET.sub("", format_)
            written = text.str.replace(_WRITTEN_OFFSET, "").str.to_datetime(plain, strict=False, time_unit="us")
            return pl.when(read.is_not_null()).then(written.cast(pl.Date))
        moment = text.str.to_datetime(format_, strict=False, time_unit="us")
        if self.to == "date":
            return moment.cast(pl.Date)
        return moment if _OFFSET.search(format_) else self._moment(moment)

    def _moment(self, local: pl.Expr) -> pl.Expr:
        return in_zone(local, self.time_zone, self.ambiguous).dt.convert_time_zone("UTC")


def _in_reach(moment: pl.Expr) -> pl.Expr:
    """The moments of the years 1 to 9999, which is as far as dates of Python and of databases go."""
    return pl.when(moment.dt.year().is_between(1, 9999)).then(moment)


def _can_be_read(dtype: pl.DataType) -> bool:
    return dtype in {pl.String, pl.Null, pl.Date} or isinstance(dtype, pl.Datetime)


def _in_half_width(values: pl.Series) -> pl.Series:
    if values.dtype != pl.String or is_ascii(values).all():
        return values
    return values.str.replace_many(list(map(chr, _WIDE)), list(_WIDE.values()))


def has_text(values: pl.Series) -> pl.Series:
    """Where there is a value that is more than spaces: what cannot be read there has failed.

    >>> has_text(pl.Series(["a", " ", None])).to_list()
    [True, False, False]
    """
    if values.dtype == pl.String:
        return (values.str.strip_chars() != "").fill_null(value=False)
    return values.is_not_null()
