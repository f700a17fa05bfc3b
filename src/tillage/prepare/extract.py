"""Parts of a text become columns: what the named groups of a pattern found. Cost: one linear-time search a text.

`(?P<city>.*) (?P<state>[A-Z]{2})$` on a column `city` makes of "Reno NV" the city "Reno" and the state "NV".
Syntax: that of Rust's regex crate, which has no look-around and no back references, and so no bad cases.
"""

from __future__ import annotations

import re
from typing import Annotated, Self

import polars as pl
from pydantic import AfterValidator, Field

from tillage.core.errors import ConfigurationError
from tillage.core.rows import leave
from tillage.core.step import Map
from tillage.prepare.columns import require_type

REASON = "no_match"
"""The reason of a row that leaves because the pattern was not found."""

_NAMED = re.compile(r"\(\?P?<([A-Za-z][A-Za-z0-9_]*)>")


def _pattern(text: str) -> str:
    try:
        pl.Series([""]).str.contains(text, strict=True)
    except pl.exceptions.ComputeError as error:
        raise ValueError(f"{text!r} is not a regular expression of the linear-time kind: {error}") from error
    if not _NAMED.search(text):
        raise ValueError(f"{text!r} names no group: write (?P<NAME>...) round each part that becomes a column")
    return text


class Extract(Map):
    """Write what each named group of `pattern` finds into the column of that name, which is made where there is none.

    Of several places the first counts. Where the pattern is not found, or a group takes no part, the columns keep what
    they have (null where they are new); or the row leaves with reason `no_match`. A null is not searched.

    >>> rows = pl.DataFrame({"city": ["Reno NV", "Bend"], "state": [None, "OR"]})
    >>> Extract(column="city", pattern="^(?P<city>.*) (?P<state>[A-Z]{2})$").apply(rows).rows()
    [('Reno', 'NV'), ('Bend', 'OR')]
    """

    column: str = Field(description="text column that is searched")
    pattern: Annotated[str, AfterValidator(_pattern)] = Field(
        description="regular expression with named groups, (?P<NAME>...), each of which fills the column NAME"
    )
    strict: bool = Field(False, description="whether a row whose text does not match leaves")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(column="day", pattern=r"^(?P<year>\d+)-0(?P<day>\d)", strict=True)

    def needs(self) -> tuple[str, ...]:
        """The column that is searched."""
        return (self.column,)

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the columns filled; raises ConfigurationError for a column missing or without texts."""
        names = list(dict.fromkeys(_NAMED.findall(self.pattern)))
        require_type(rows, (self.column, *(n for n in names if n in rows.columns)), "text")
        if rows.schema[self.column] == pl.Null:
            return rows.with_columns(pl.lit(None, dtype=pl.String).alias(n) for n in names if n not in rows.columns)
        found = rows.select(pl.col(self.column).str.extract_groups(self.pattern).alias("found"))["found"]
        lost = [n for n in names if n not in found.struct.fields]
        if lost:
            raise ConfigurationError(
                f"'{lost[0]}' in the pattern of extract is not a group of its own.", fix="Escape it, or rename it."
            )
        parts = found.struct.unnest()
        none = pl.lit(None, dtype=pl.String)
        out = rows.with_columns(
            pl.coalesce(parts[n], pl.col(n).cast(pl.String) if n in rows.columns else none).alias(n) for n in names
        )
        if not self.strict:
            return out
        matched = rows[self.column].str.contains(self.pattern)
        return leave(out, REASON, pl.lit((~matched).fill_null(value=False)))
