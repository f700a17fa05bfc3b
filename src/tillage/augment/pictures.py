"""What the steps that vary pictures have in common: bytes are read, varied by a seed, and written as PNG."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import polars as pl

from tillage.augment.chance import Chance
from tillage.augment.synthetic import Augment
from tillage.media import decode_image, each, encode_image
from tillage.media.image import Pixels


class AugmentImage(Augment):
    """An Augment of pictures in columns of bytes; bytes that are no picture stay, and have no variation."""

    kind: ClassVar[str] = "bytes"

    @abstractmethod
    def changed(self, pixels: Pixels, seed: int) -> Pixels:
        """The pixels varied (rows, columns, channels), by the 64 bits of a seed."""

    def vary(self, rows: pl.DataFrame, chance: Chance) -> Mapping[str, pl.Series]:
        """The pictures varied, as PNG."""
        return {c: self._varied(rows[c].cast(pl.Binary), chance, n) for n, c in enumerate(self.columns)}

    def _varied(self, pictures: pl.Series, chance: Chance, what: int) -> pl.Series:
        seeds = chance.bits(what=what).tolist()

        def varied(n: int, data: bytes) -> bytes:
            pixels = decode_image(data)
            made = self.changed(pixels, seeds[n])
            same = made.shape == pixels.shape and (made == pixels).all()
            return data if same else encode_image(made)

        found = pl.Series(pictures.name, each(pictures, varied), dtype=pl.Binary)
        return found.zip_with(found.is_not_null(), pictures)
