"""Columns that name a person get pseudonyms instead: the same value the same one, in every table of the project.

Each different value of a chunk is worked out once: 6 microseconds, or some 50 where the format is kept.
"""

from __future__ import annotations

from typing import ClassVar, Self

import polars as pl
from pydantic import Field

from tillage.core.columns import Columns, require_written
from tillage.core.errors import ConfigurationError, Problem, unknown_name
from tillage.core.keyed import KeyedMap
from tillage.core.rows import leave, user_columns
from tillage.privacy.pseudonyms import FormatCipher, token

TOO_FEW = "format_too_small"
"""The reason of a row whose value could be guessed from its format."""


class Pseudonymize(KeyedMap):
    """Replace the values of columns by pseudonyms, keyed by the project's secret (subkey `pseudonym`).

    Equal values of one `domain` get equal pseudonyms, whatever their column, table or run, so tables can still be
    joined; those of different domains cannot be told to be equal. Null stays null, and NaN is as null. A number or date
    counts as its text, and 7.0 as that of 7, since a gap may make whole numbers fractions; the column becomes text. A
    pseudonym says nothing to who lacks the key, but who holds it can find out by trying values: the data stay personal
    (GDPR, Art. 4(5)), and rows can still be told apart by their other columns.

    With `keep_format` digits stay digits and letters letters, in place, and no two values share a pseudonym; checksums
    do not survive. Marks and characters of other scripts stay as they are. A row with a value whose format allows less
    than a million values leaves, with the reason `format_too_small`.

    >>> rows = pl.DataFrame({"patient": ["4711", "4712", "4711", None]})
    >>> step = Pseudonymize(columns=("patient",)).with_key(bytes(32))
    >>> step.apply(rows)["patient"].to_list()
    ['vvomcsmqmh5d5gd6sxjjkboccy', 'ftq5yl4x7dlihwaqoimck7jqdu', 'vvomcsmqmh5d5gd6sxjjkboccy', None]
    """

    version: ClassVar[int] = 2

    columns: Columns = Field(min_length=1, description="columns whose values are replaced")
    domain: str = Field("", description="what the values are of (patient, account): equal ones are told only within it")
    keep_format: bool = Field(False, description="digits for digits, letters for letters; for what checks a format")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame, with a key that protects nothing."""
        return cls(columns=("text", "day", "n", "x"), keep_format=True).with_key(bytes(range(32)))

    def needs(self) -> tuple[str, ...]:
        """The columns named."""
        return self.columns

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with pseudonyms; raises ConfigurationError for a column that is missing, Denied without a key."""
        known = user_columns(rows)
        missing = [c for c in self.columns if c not in known]
        if missing:
            raise ConfigurationError(Problem(unknown_name("column", c, known)) for c in missing)
        require_written(rows, self.columns)
        texts = rows.select(_as_text(rows[c]) for c in self.columns)
        if not self.keep_format:
            key = self.held_key()
            return rows.with_columns(
                _mapped(texts[c], {v: token(key, self.domain, v) for v in _different(texts[c])}) for c in self.columns
            )
        cipher = FormatCipher(self.held_key(), self.domain)
        small = pl.repeat(value=False, n=rows.height, eager=True)
        made = []
        for column in self.columns:
            values = _different(texts[column])
            fitting = {v: cipher.hide(v) for v in values if cipher.fits(v)}
            made.append(_mapped(texts[column], fitting))
            small = small | (made[-1].is_null() & texts[column].is_not_null())
        return leave(rows.with_columns(made), TOO_FEW, pl.lit(small))


def _as_text(values: pl.Series) -> pl.Series:
    """Values as text: a whole float as the integer that it equals, where there is one of 64 bits; NaN as null."""
    if not values.dtype.is_float():
        return values.cast(pl.String)
    value = pl.first()
    whole = (value == value.floor()) & (value >= -(2.0**63)) & (value < 2.0**63)  # the first that is too large
    text = pl.when(whole).then(value.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(value.cast(pl.String))
    return values.to_frame().select(pl.when(value.is_not_nan()).then(text).alias(values.name)).to_series()


def _different(texts: pl.Series) -> list[str]:
    return texts.drop_nulls().unique().to_list()


def _mapped(texts: pl.Series, made: dict[str, str]) -> pl.Series:
    """Each text by what was made of it; null where nothing was."""
    if not made:
        return pl.Series(texts.name, [None] * len(texts), dtype=pl.String)
    return texts.replace_strict(list(made), list(made.values()), default=None, return_dtype=pl.String)
