"""What the steps that vary pictures have in common: bytes are read, varied by a seed, and written as they were."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import polars as pl
from pydantic import Field

from tillage.augment.chance import Chance
from tillage.augment.synthetic import Augment
from tillage.media import SIZE, Pictures, Size
from tillage.media.image import Pixels


class AugmentImage(Augment):
    """An Augment of pictures in a column of bytes; bytes that are no picture stay, and have no variation."""

    version: ClassVar[int] = 2
    kind: ClassVar[str] = "bytes"

    columns: tuple[str, ...] = Field(
        ("pixels",), min_length=1, max_length=1, description="column of pictures, as bytes; all others are copied"
    )
    size: Size = SIZE

    @abstractmethod
    def changed(self, pixels: Pixels, seed: int) -> Pixels:
        """The pixels varied (rows, columns, channels), by the 64 bits of a seed."""

    def needs(self) -> tuple[str, ...]:
        """The column of pictures, those of their size, and those of the condition."""
        return tuple(dict.fromkeys([*super().needs(), *(self.size or ())]))

    def vary(self, rows: pl.DataFrame, chance: Chance) -> Mapping[str, pl.Series]:
        """The pictures varied, and their size."""
        (column,) = self.columns
        pictures, seeds = Pictures(rows, column, self.size), chance.bits().tolist()

        def varied(n: int, pixels: Pixels) -> tuple[bytes | None, int, int]:
            made = self.changed(pixels, seeds[n])
            same = made.shape == pixels.shape and (made == pixels).all()
            return None if same else pictures.write(made), made.shape[1], made.shape[0]

        found = pictures.each(varied)
        data = pl.Series([f and f[0] for f in found], dtype=pl.Binary)
        new = data.is_not_null()
        out = {column: data.zip_with(new, pictures.values)}
        for k, name in enumerate(self.size or (), 1):
            told = pl.Series([f and f[k] for f in found], dtype=pl.Int64)
            out[name] = told.zip_with(new, rows[name].cast(pl.Int64))
        return out
