"""How a value is made coarser by levels: numbers to ranges, texts to prefixes, dates to years, categories to trees.

Level 0 is the value itself, as text; the last level is `*`, which says nothing. Each level follows from the one before
it, so that coarser never tells apart what finer put together. Cost: one look at each different value and level.
Source: Sweeney, Achieving k-anonymity privacy protection using generalization and suppression, International Journal
on Uncertainty, Fuzziness and Knowledge-based Systems 10(5), 2002 (value generalisation hierarchies).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, Self, TypeAlias

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from tillage.core.columns import require_written
from tillage.core.errors import ConfigurationError

ANY = "*"
"""Every value, at the last level."""

OTHER = "other"
"""Every value that a tree does not know, at the levels between."""

DatePart = Literal["month", "quarter", "year", "decade"]

Tree: TypeAlias = "dict[str, Any]"
"""Node to its children: a mapping of nodes again, or a list of values."""


class Hierarchy(BaseModel):
    """The levels of one column; none named: the value, or nothing.

    >>> ages = Hierarchy(ranges=(5, 20))
    >>> [ages.labels(pl.Series([37]), level).item() for level in range(4)]
    ['37', '[35, 40)', '[20, 40)', '*']
    >>> Hierarchy(prefix=(3,)).labels(pl.Series(["35233", None]), 1).to_list()
    ['352**', None]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ranges: tuple[FiniteFloat, ...] = Field(
        (), description="widths of ranges of numbers, each a multiple of the one before: [5, 10, 20]"
    )
    prefix: tuple[int, ...] = Field((), description="first characters of a text that are kept, fewer each time: [3, 1]")
    dates: tuple[DatePart, ...] = Field((), description="what is kept of a date: month, quarter, year, decade")
    tree: Tree = Field({}, description="categories of categories: {warm: [red, yellow], cold: {dark: [blue]}}")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [name for name in ("ranges", "prefix", "dates", "tree") if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError(f"a column is made coarser in one way, not by {' and '.join(ways)}")
        if any(width <= 0 for width in self.ranges):
            raise ValueError(f"widths of ranges are greater than 0, got {list(self.ranges)}")
        if any(b <= a or Fraction(str(b)) % Fraction(str(a)) for a, b in pairwise(self.ranges)):
            raise ValueError(f"each width must be a multiple of the one before it, got {list(self.ranges)}")
        if any(n < 0 for n in self.prefix) or any(b >= a for a, b in pairwise(self.prefix)):
            raise ValueError(f"each prefix must be shorter than the one before it, got {list(self.prefix)}")
        order = ("month", "quarter", "year", "decade")
        if [order.index(part) for part in self.dates] != sorted({order.index(part) for part in self.dates}):
            raise ValueError(f"parts of dates go from fine to coarse ({', '.join(order)}), got {list(self.dates)}")
        names = [name for path in _paths(self.tree) for name in path[-1:]]
        inner = {name for path in _paths(self.tree) for name in path[:-1]}
        twice = sorted({n for n in names if names.count(n) > 1 or n in inner or n in {ANY, OTHER}})
        if twice:
            raise ValueError(f"'{twice[0]}' has two places in the tree, or is a word of ours")
        return self

    @property
    def height(self) -> int:
        """The number of the last level, `*`."""
        deepest = max((len(path) for path in _paths(self.tree)), default=1) - 1
        return len(self.ranges) + len(self.prefix) + len(self.dates) + deepest + 1

    def labels(self, values: pl.Series, level: int) -> pl.Series:
        """The values at a level, as texts; null is its own value until the last level.

        Raises ConfigurationError where the column is not of a type that is made coarser in this way.
        """
        if level == self.height:
            return pl.Series(values.name, [ANY], dtype=pl.String).new_from_index(0, len(values))
        if values.dtype == pl.Null:
            return values.cast(pl.String)
        if self.ranges:
            return self._range(values, level)
        if self.dates:
            return self._date(values, level)
        require_written(values.to_frame(), [values.name])
        if values.dtype.is_float():
            values = values.set(values == 0, 0.0)  # the other zero is none of its own
        texts = values.cast(pl.String)
        if level == 0 or texts.is_empty():
            return texts
        if self.prefix:
            kept = self.prefix[level - 1]
            stars = (texts.str.len_chars().cast(pl.Int64) - kept).clip(0)
            frame = pl.DataFrame({"t": texts.str.slice(0, kept), "n": stars})
            return frame.select(pl.col("t") + pl.lit(ANY).repeat_by("n").list.join("")).to_series().rename(values.name)
        place = self.height - 1 - level
        coarser = {path[-1]: path[min(place, len(path) - 1)] for path in _paths(self.tree)}
        return texts.replace_strict(coarser, default=OTHER, return_dtype=pl.String).set(texts.is_null(), None)

    def measured(self, values: pl.Series) -> pl.Series | None:
        """Each value as a place on a line: numbers as they are, dates as microseconds, null where a value is neither.

        None for what has no such order: prefixes, trees, and where no way is named, anything but numbers and times.
        """
        if self.prefix or self.tree or values.dtype == pl.Null:
            return None
        if self.ranges or (not self.dates and values.dtype.is_numeric()):
            return self._numbers(values).cast(pl.Float64)
        if self.dates or values.dtype in (pl.Date, pl.Datetime):
            days = self._days(values)
            return (values if isinstance(values.dtype, pl.Datetime) else days).cast(pl.Datetime("us")).cast(pl.Float64)
        return None

    def levels(self, labels: pl.Series) -> pl.Series:
        """The level that each label is of, the finest of several (`other`: the last but one); null is of none.

        A range between two values, `[21, 38]`, is of the finest level that is as wide.
        """
        widths = self.ranges or [_DAYS[part] for part in self.dates]
        spans = self._spans(labels)
        kept = [(labels == ANY) | (spans > max(widths, default=-1.0)).fill_null(value=False)]
        if self.ranges:
            ends = labels.str.extract_groups(r"^\[(.+), (.+)\)$").struct.unnest()
            width = ends["2"].cast(pl.Float64) - ends["1"].cast(pl.Float64)
            kept += [(width - w).abs() < w * 1e-6 for w in reversed(self.ranges)]
        elif self.dates:
            forms = {"month": r"^\d+-\d\d$", "quarter": r"^\d+-Q\d$", "year": r"^\d+$", "decade": r"^\d+s$"}
            kept += [labels.str.contains(forms[part]) for part in reversed(self.dates)]
        elif self.prefix:
            plain = labels.str.strip_chars_end(ANY).str.len_chars()
            masked = labels.str.ends_with(ANY)
            kept += [masked & (plain == n) for n in reversed(self.prefix)]
        elif self.tree:
            paths = _paths(self.tree)
            for level in range(self.height - 1, 0, -1):
                place = self.height - 1 - level
                names = {path[place] for path in paths if len(path) > place + 1} | {OTHER}
                kept.append(labels.is_in(sorted(names)))
        out = pl.Series([0] * len(labels), dtype=pl.Int64)
        for above, mask in enumerate(kept):
            out = out.set(mask.fill_null(value=False) & (out == 0), self.height - above)
        for level, most in reversed(list(enumerate(widths, start=1))):
            out = out.set((spans <= most).fill_null(value=False), level)
        return out.set(labels.is_null(), None)

    def penalties(self, labels: pl.Series) -> pl.Series:
        """How much each label leaves open, 0 (a value, or null) to 1 (`*`): the normalised certainty penalty.

        Of a range of numbers or dates its width over that of all labels; of a node of a tree its share of the tree's
        values; of a prefix its level over the last one. `labels`: all of a table. Source: Xu et al., Utility-based
        anonymization using local recoding, KDD 2006.

        >>> Hierarchy(ranges=(10,)).penalties(pl.Series(["[20, 30)", "[35, 40]", "60", "*"])).to_list()
        [0.25, 0.125, 0.0, 1.0]
        """
        if self.prefix:
            found = pl.select(pl.lit(self.levels(labels)) / self.height).to_series()
        elif self.tree:
            leaves = _leaves(self.tree)
            shares = {node: (n if n > 1 else 0) / leaves[ANY] for node, n in leaves.items()}
            found = labels.replace_strict(shares, default=0.0, return_dtype=pl.Float64)
        else:
            ends = self._ends(labels)
            known = (ends["high"].max() or 0) - (ends["low"].min() or 0)  # type: ignore[operator]
            found = (ends["high"] - ends["low"]) / (known or 1)
        return found.fill_null(0.0).set(labels.is_in([ANY, OTHER]), 1.0)

    def _ends(self, labels: pl.Series) -> pl.DataFrame:
        """The ends (`low`, `high`) of labels that are values or ranges: of dates, of numbers, or of what they are."""
        if self.dates:
            return _days_between(labels)
        numbers = _between(labels)
        if self.ranges:
            return numbers
        days = _days_between(labels)
        return numbers.select(pl.coalesce(c, days[c]).alias(c) for c in ("low", "high"))

    def _spans(self, labels: pl.Series) -> pl.Series:
        """How wide ranges between two values are (in days: of dates); null for all other labels."""
        ends = self._ends(labels)
        return (ends["high"] - ends["low"]).set(~labels.str.contains(r"^\[.+, .+\]$").fill_null(value=False), None)

    def _numbers(self, values: pl.Series) -> pl.Series:
        if not values.dtype.is_numeric():
            raise ConfigurationError(
                f"Column '{values.name}' holds {values.dtype}, and ranges need numbers.",
                fix="Read it as numbers before (`parse_numbers`), or use 'prefix' or 'tree'.",
            )
        return values if values.dtype.is_integer() else _finite(values)

    def _range(self, values: pl.Series, level: int) -> pl.Series:
        numbers = self._numbers(values)
        if level == 0:
            return numbers.cast(pl.String)
        width = Fraction(str(self.ranges[level - 1]))
        # As a person reads them: 0.3 is three tenths, so that it begins the range [0.3, 0.4), and levels nest exactly.
        lows = [None if v is None else Fraction(str(v)) // width * width for v in numbers.to_list()]
        texts = [None if low is None else f"[{_written(low)}, {_written(low + width)})" for low in lows]
        return pl.Series(values.name, texts, dtype=pl.String)

    def _days(self, values: pl.Series) -> pl.Series:
        if values.dtype == pl.String:
            return values.str.to_date("%Y-%m-%d", strict=False, exact=False)
        if values.dtype.is_temporal() and values.dtype not in (pl.Time, pl.Duration):
            return values.dt.date() if isinstance(values.dtype, pl.Datetime) else values
        raise ConfigurationError(
            f"Column '{values.name}' holds {values.dtype}, and 'dates' needs dates.",
            fix="Read it as dates before (`parse_dates`).",
        )

    def _date(self, values: pl.Series, level: int) -> pl.Series:
        days = self._days(values)
        if level == 0:
            return values.cast(pl.String)
        d = pl.col("d")
        year = d.dt.year().cast(pl.String)
        forms = {
            "month": year + "-" + d.dt.month().cast(pl.String).str.zfill(2),
            "quarter": year + "-Q" + d.dt.quarter().cast(pl.String),
            "year": year,
            "decade": (d.dt.year() // 10 * 10).cast(pl.String) + "s",
        }
        found = pl.DataFrame({"d": days}).select(forms[self.dates[level - 1]].alias("d"))["d"]
        lost = found.is_null() & values.is_not_null()
        return found.set(lost, OTHER).rename(values.name)


_DAYS = {"month": 31, "quarter": 92, "year": 366, "decade": 3653}
"""The most days that a part of a date has."""

_RANGE = r"^\[(?<low>.+), (?<high>.+)[\])]$"


def _between(labels: pl.Series) -> pl.DataFrame:
    """The ends (`low`, `high`) of labels that are numbers or ranges of them; null for others."""
    ends = labels.str.extract_groups(_RANGE).struct.unnest()
    numbers = (pl.coalesce(c, pl.lit(labels)).cast(pl.Float64, strict=False).alias(c) for c in ("low", "high"))
    return ends.select(pl.when(n.is_finite()).then(n) for n in numbers)


def _days_between(labels: pl.Series) -> pl.DataFrame:
    """The first and last day of labels that are dates, their parts, or ranges of them, as numbers; null for others.

    Times are parts of a day.
    """
    ends = labels.str.extract_groups(_RANGE).struct.unnest()
    text = pl.lit(labels)
    quarter = text.str.extract(r"-Q(\d)$").cast(pl.Int32)
    year = text.str.extract(r"^(\d+)").cast(pl.Int32, strict=False)
    month = (
        pl.when(quarter.is_not_null()).then(quarter * 3 - 2).otherwise(text.str.extract(r"^\d+-(\d\d)$").cast(pl.Int32))
    )
    whole = text.str.contains(r"^\d+(s|-Q\d|-\d\d)?$")
    first = pl.when(whole).then(pl.date(year, month.fill_null(1), 1))
    length = (
        pl.when(quarter.is_not_null())
        .then(pl.lit("3mo"))
        .when(month.is_not_null())
        .then(pl.lit("1mo"))
        .when(text.str.ends_with("s"))
        .then(pl.lit("10y"))
        .otherwise(pl.lit("1y"))
    )
    last = first.dt.offset_by(length).dt.offset_by("-1d")
    return ends.select(
        pl.coalesce(part.cast(pl.Int32).cast(pl.Float64), _day(pl.coalesce(end, text))).alias(end)
        for end, part in (("low", first), ("high", last))
    )


def _day(text: pl.Expr) -> pl.Expr:
    """Days since 1970 of a text that begins with a date, and of its time if it holds one; null for others."""
    moment = text.str.strip_suffix("+00:00").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    day = text.str.to_date("%Y-%m-%d", strict=False, exact=False).cast(pl.Datetime("us"))
    return pl.coalesce(moment, day).dt.epoch("us") / 86_400_000_000


def _leaves(tree: Tree) -> dict[str, int]:
    """How many values each node of a tree has below it; `*` has all."""
    found: dict[str, int] = {}
    for path in _paths(tree):
        for node in (ANY, *path):
            found[node] = found.get(node, 0) + 1
    return found


def _finite(values: pl.Series) -> pl.Series:
    """Numbers with one zero; NaN and infinities are none."""
    numbers = values.cast(pl.Float64)
    return numbers.set(~numbers.is_finite(), None).set(numbers == 0, 0.0)


def _written(number: Fraction) -> str:
    return str(number.numerator if number.denominator == 1 else float(number))


def _paths(tree: Tree | list[Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """From the root to each value."""
    return list(_walk(tree, above))


def _walk(tree: Any, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(tree, dict):
        for name, below in tree.items():
            yield from _walk(below, (*above, str(name)))
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield (*above, str(value))
    elif tree is None:
        yield above
    else:
        raise ValueError(f"{tree!r} in a tree is neither a mapping of nodes nor a list of values")
