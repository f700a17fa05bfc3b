"""What the steps that vary sounds have in common: bytes are read, varied by a seed, and written as they were."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from tillage.augment.chance import Chance
from tillage.augment.synthetic import Augment
from tillage.media import SHAPE, Shape, Sound, Sounds
from tillage.media.sound import Samples


class AugmentAudio(Augment):
    """An Augment of sounds in a column of bytes; bytes that are no sound stay, and have no variation."""

    version: ClassVar[int] = 2
    kind: ClassVar[str] = "bytes"

    columns: tuple[str, ...] = Field(
        ("audio",), min_length=1, max_length=1, description="column of sounds, as bytes; all others are copied"
    )
    shape: Shape = SHAPE

    @abstractmethod
    def changed(self, sound: Sound, seed: int) -> Samples:
        """The samples varied (as many frames and channels), by the 64 bits of a seed."""

    def needs(self) -> tuple[str, ...]:
        """The column of sounds, those of their layout, and those of the condition."""
        return tuple(dict.fromkeys([*super().needs(), *(self.shape or ())]))

    def vary(self, rows: pl.DataFrame, chance: Chance) -> Mapping[str, pl.Series]:
        """The sounds varied."""
        (column,) = self.columns
        sounds, seeds = Sounds(rows, column, self.shape), chance.bits().tolist()

        def varied(n: int, sound: Sound) -> bytes | None:
            made = self.changed(sound, seeds[n])
            return None if np.array_equal(made, sound.samples) else sounds.write(replace(sound, samples=made))

        found = pl.Series(column, sounds.each(varied), dtype=pl.Binary)
        return {column: found.zip_with(found.is_not_null(), sounds.values)}
