"""Rows with a little noise on numbers. 30 nanoseconds a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from tillage.augment.chance import Chance
from tillage.augment.synthetic import Augment


class AddNoise(Augment):
    """Make rows in which numbers are a little off, by chance (normal, each number for itself).

    A whole number stays one, and nulls, NaN and infinities stay what they are.

    >>> rows = pl.DataFrame({"x": [20.0] * 5000}).with_columns(_id=pl.int_range(5000).cast(pl.UInt128))
    >>> made = AddNoise(columns=("x",), sd=0.5).apply(rows)["x"][5000:]
    >>> bool(abs(made.mean() - 20) < 0.03 and abs(made.std() - 0.5) < 0.03)
    True
    """

    kind: ClassVar[str] = "numbers"

    sd: float = Field(gt=0, description="standard deviation of the noise, in the unit of the columns")
    relative: bool = Field(False, description="`sd` is a share of each value instead: 0.01 is one per cent of it")

    @classmethod
    def example(cls) -> Self:
        """An instance that works on the reference frame."""
        return cls(columns=("x", "n"), sd=2, copies=2)

    def vary(self, rows: pl.DataFrame, chance: Chance) -> Mapping[str, pl.Series]:
        """The numbers with noise."""
        return {c: self._noisy(rows[c], chance, n) for n, c in enumerate(self.columns)}

    def _noisy(self, values: pl.Series, chance: Chance, what: int) -> pl.Series:
        if values.dtype == pl.Null:
            return values
        # Box and Muller: two uniform draws make a normal one; the first is never 0.
        one, two = chance.uniform(what=2 * what), chance.uniform(what=2 * what + 1)
        drawn = np.sqrt(-2 * np.log1p(-one)) * np.cos(2 * np.pi * two)
        noise = pl.Series(drawn, dtype=pl.Float64) * self.sd
        old = values.cast(pl.Float64)
        made = old + (noise * old.abs() if self.relative else noise)
        if values.dtype.is_integer():
            made = made.round()
        made = made.cast(values.dtype, strict=False)
        return made.zip_with((old.is_finite() & made.is_not_null()).fill_null(value=False), values)
