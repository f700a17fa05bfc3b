"""Texts such as `12 kg`, `1,234.5`, `12%`, `￥1,200` or `3.5万` become numbers in one declared unit.

A text is a sign, a number, a power of ten in Chinese (万, 亿), and a unit before or after it; anything else fails with
a reason. A comma is never guessed at: groups of three digits are groups, and the decimal sign is the one declared.
Cost: one regular expression a text, and a product for each unit that occurs.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import AfterValidator, Field

from tillage.core.errors import ConfigurationError, Problem, unknown_name
from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.prepare.columns import divided, remedy, require
from tillage.prepare.normalize import normalize_text
from tillage.prepare.units import UNITS, Unit, find_unit, step_between

NOT_A_NUMBER, OTHER_UNIT = "not_a_number", "other_unit"
"""The reasons of rows that leave."""

_POWERS = {
    "": "", "十": "e1", "百": "e2", "千": "e3", "万": "e4", "十万": "e5", "百万": "e6", "千万": "e7", "亿": "e8",
    "十亿": "e9", "百亿": "e10", "千亿": "e11", "万亿": "e12",
}  # fmt: skip

_MINUS = ("-", "\u2212")


def _unit(name: str) -> str:
    if name and find_unit(name) is None:
        raise ValueError(unknown_name("unit", name, UNITS))
    return name


UnitName = Annotated[str, AfterValidator(_unit)]


class ParseNumbers(Map):
    """Read columns of texts as float64, each in its unit; a bare number is taken to be in that unit already.

    A unit of another dimension fails, and so does any unit where the column's is "" (only shares, such as 12% or 3‰,
    become 0.12 and 0.003). Full width counts as half width; an empty text becomes null. A row that fails leaves with
    reason `not_a_number` or `other_unit`. A column that holds numbers already only becomes float64.

    >>> rows = pl.DataFrame({"w": ["12 kg", "500 g", "1,200", "3 m", "heavy"], "p": ["￥1.2万", "12", "", "5元", None]})
    >>> out = ParseNumbers(columns={"w": "kg", "p": "CNY"}).apply(rows)
    >>> out.rows()[:3]
    [(12.0, 12000.0, None), (0.5, 12.0, None), (1200.0, None, None)]
    >>> out["_reason"].to_list()
    [None, None, None, 'other_unit', 'not_a_number']
    """

    columns: dict[str, UnitName] = Field(
        min_length=1,
        description='column to the unit that it shall be in, such as kg, m, °C, CNY; "" for a plain number',
    )
    decimal: Literal[".", ","] = Field(".", description="the decimal sign; the other one, a space or ' parts groups")
    failing: Literal["leave", "null"] = Field(
        "leave", description="what is no number, or in another unit: its row leaves, or it is null"
    )

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns={"text": "kg", "n": "%"})

    def needs(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self.columns)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with numbers; raises ConfigurationError for a column that is missing, or holds neither of them."""
        require(rows, self.columns)
        wrong = [c for c in self.columns if not _readable(rows.schema[c])]
        if wrong:
            raise ConfigurationError(
                Problem(
                    f"Column '{c}' holds {rows.schema[c]}, and parse_numbers needs text. "
                    f"{remedy(c, rows.schema[c], 'text')}"
                )
                for c in wrong
            )
        out = rows
        for name, unit in self.columns.items():
            if rows.schema[name] != pl.String:
                out = out.with_columns(pl.col(name).cast(pl.Float64))
                continue
            parts = self._parts(rows[name])
            values = _in_unit(parts, find_unit(unit or "1") or UNITS["1"])
            out = out.with_columns(values.alias(name))
            if self.failing == "leave":
                lost = values.is_null() & parts["text"].is_not_null()
                out = leave(out, NOT_A_NUMBER, pl.lit(lost & parts["number"].is_null()))
                out = leave(out, OTHER_UNIT, pl.lit(lost & parts["number"].is_not_null()))
        return out

    def _parts(self, texts: pl.Series) -> pl.DataFrame:
        """`text` (null where it is empty), `number` and `unit` of each; a null number: there is none."""
        text = normalize_text(texts.rename("text"))
        group = "," if self.decimal == "." else "."
        found = text.to_frame().select(
            pl.when(pl.col("text") != "").then(pl.col("text")).alias("text"),
            pl.col("text").str.extract_groups(_pattern(self.decimal, group)).alias("parts"),
        )
        part = pl.col("parts").struct.field
        minus = (part("sign") + part("second")).is_in(_MINUS)
        sign = pl.when(minus).then(pl.lit("-")).otherwise(pl.lit(""))
        digits = (
            part("digits").str.replace_all(f"[{re.escape(group)} ']", "").str.replace(self.decimal, ".", literal=True)
        )
        power = part("power").fill_null("").replace_strict(_POWERS, default=None)
        both = part("sign").str.len_chars() + part("second").str.len_chars() > 1
        units = (part("before").str.len_chars() > 0) & (part("after").str.len_chars() > 0)
        number = pl.when(~both & ~units).then(sign + digits + power).cast(pl.Float64, strict=False)
        unit = pl.coalesce(pl.when(part(end).str.len_chars() > 0).then(part(end)) for end in ("before", "after"))
        return found.select("text", pl.when(number.is_finite()).then(number).alias("number"), unit.alias("unit"))


def _pattern(decimal: str, group: str) -> str:
    """Groups by name: sign, unit before, sign, digits, power of ten, unit after."""
    point, comma = re.escape(decimal), re.escape(group)
    grouped = "|".join(f"[0-9]{{1,3}}(?:{g}[0-9]{{3}})+" for g in (comma, " ", "'"))
    digits = rf"(?:(?:{grouped}|[0-9]+)(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    sign = "[+\\x{2212}-]?"
    unit = r"[^\s0-9+,.\-\x{2212}][^\s0-9+,.\-\x{2212}]{0,15}[23]?"
    power = "|".join(sorted(filter(None, _POWERS), key=len, reverse=True))
    return (
        rf"^(?P<sign>{sign}) ?(?P<before>(?:{unit})?) ?(?P<second>{sign})(?P<digits>{digits}) ?(?P<power>(?:{power})?)"
        rf" ?(?P<after>(?:{unit})?)$"
    )


def _readable(dtype: pl.DataType) -> bool:
    return dtype in {pl.String, pl.Null} or dtype.is_numeric()


def _in_unit(parts: pl.DataFrame, wanted: Unit) -> pl.Series:
    """The numbers in the unit that is wanted; null for those of another dimension."""
    number = pl.col("number")
    out: Any = pl.when(pl.col("unit").is_null()).then(number)
    for name in sorted(parts["unit"].drop_nulls().unique()):
        unit = find_unit(name)
        if unit is not None and unit.dimension == wanted.dimension:
            factor, offset = step_between(unit, wanted)
            out = out.when(pl.col("unit") == name).then(_scaled(number, factor) + float(offset))
    return parts.select(out.otherwise(None).alias("number"))["number"]


def _scaled(number: pl.Expr, factor: Fraction) -> pl.Expr:
    """The product; by whole numbers and their reciprocals it is rounded once, so 500 g are 0.5 kg."""
    return divided(number, float(1 / factor)) if factor.numerator == 1 else number * float(factor)
